"""A kernel without a part that everything depends on: the agent says which, and has changed nothing."""

from agent import BINARY, Agent, footprint
from missing import without
from tools import ensure, text


def play(world):
    world.meter.stop()
    world.agent.stop()
    text(f"{BINARY} purge")
    with without("nft_masq"):
        before = footprint()
        agent = Agent("without-nft_masq")
        code = agent.ended(30)
        after = footprint()
    said = [line for line in agent.log().splitlines() if "nft_masq" in line]
    ensure(code == 2, f"exit code {code}")
    ensure(len(said) == 1, f"said {said}")
    ensure(before == after, f"something is left:\n{before}\n---\n{after}")
    return said[0].strip()
