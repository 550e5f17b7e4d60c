"""The agent starts on a box whose links are up: how long until the LAN has the Internet, and all three are proven."""

from agent import Agent, ask, at_peace
from gaps import Meter
from tools import ensure, slowness

# What is promised on a machine as slow as an emulated one, in seconds.
FIRST_PACKET = 10


def play(world):
    pace = slowness()
    world.meter = Meter("new")
    world.agent = agent = Agent("agent")
    first = world.meter.wait(agent.begun, 60) - agent.begun
    chosen = ask("status")["active"]
    at_peace()
    ensure(first <= FIRST_PACKET * pace, f"the first packet came after {first:.1f} s")
    return f"at a pace of 1:{pace:.1f} the first packet of the LAN {first:.1f} s after the agent's start, on {chosen}; then all three proven, and cable in use"
