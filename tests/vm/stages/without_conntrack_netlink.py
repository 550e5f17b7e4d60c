"""A kernel whose connections cannot be listed or flushed: one warning, and failover all the same."""

import time

from agent import Agent, at_peace, is_active
from gaps import Meter
from home import CABLE
from missing import without
from tools import ensure


def play(world):
    with without("nf_conntrack_netlink"):
        meter, agent = Meter("new"), Agent("without-conntrack-netlink")
        try:
            at_peace()
            moment = time.monotonic()
            world.home.sever(CABLE)
            is_active("hotspot", 60)
            meter.wait(moment + 0.1, 60)
            time.sleep(1)
            gap = meter.gap(moment)
        finally:
            world.home.restore(CABLE)
            meter.stop()
            agent.stop()
    said = [line for line in agent.log().splitlines() if "nf_conntrack_netlink" in line]
    ensure(len(said) == 1 and "WARN" in said[0], f"said {said}")
    return f"{said[0].split('WARN')[1].strip()}; failed over all the same, gap {gap:.0f} ms"
