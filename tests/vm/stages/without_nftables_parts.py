"""Kernels that lack a part which our table cannot do without: the agent says which, and has changed nothing."""

from agent import BINARY, Agent, footprint
from missing import without
from tools import ensure, ensure_same, text

MODULES = ["nft_masq", "nft_fib_inet", "nft_reject_inet", "nft_ct"]


def play(world):
    world.meter.stop()
    world.agent.stop()
    text(f"{BINARY} purge")
    said = [refused(module) for module in MODULES]
    return f"{said[0]}; the same for {', '.join(MODULES[1:])}; nothing was changed"


def refused(module):
    with without(module):
        before = footprint()
        agent = Agent(f"without-{module}")
        code = agent.ended(30)
        after = footprint()
    said = [line for line in agent.log().splitlines() if module in line]
    ensure(code == 2, f"without {module} it ended with {code}")
    ensure(len(said) == 1 and "this kernel has no" in said[0], f"without {module} it said {said}")
    ensure_same(after, before, f"without {module} something is left:")
    return said[0].strip()
