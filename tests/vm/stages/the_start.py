"""The agent starts on a box whose links are up: how long until the LAN has the Internet, and until an uplink is proven
and chosen; then all three are proven, and the first is in use."""

import time

from agent import Agent, ask, at_peace
from gaps import Meter
from tools import ensure, slowness, until

# From the start to the first packet through a chosen uplink, in seconds, on a machine that has its host for itself.
CHOSEN = 10


def play(world):
    pace = slowness()
    world.meter = meter = Meter("new")
    world.agent = agent = Agent("agent")
    chosen = until("an uplink chosen", lambda: ask("status")["active"], 90, every=0.1)
    through = meter.wait(time.monotonic(), 30) - agent.begun
    first = meter.wait(agent.begun, 1) - agent.begun
    at_peace()
    ensure(through <= CHOSEN * pace, f"the first packet through a chosen uplink after {through:.1f} s, at 1:{pace:.1f}")
    return (f"the LAN's first packet {first:.1f} s after the agent's start, the first through a chosen uplink ({chosen})"
            f" {through:.1f} s, at a pace of 1:{pace:.1f}; then all three proven, cable in use")
