"""The cable is severed beyond its modem, then the hotspot too; then both come back. The order is asserted, the times
are told."""

import time

from agent import ask
from home import CABLE, HOTSPOT
from tools import ensure


def play(world):
    home, agent, told = world.home, world.agent, []
    agent.at_peace()
    for cut, name, then in [(CABLE, "cable", "hotspot"), (HOTSPOT, "hotspot", "phone")]:
        moment = time.monotonic()
        home.sever(cut)
        agent.is_active(then, 30)
        world.meter.wait(moment + 0.1, 30)
        time.sleep(2)
        told.append(f"{name} severed: on {then}, gap {world.meter.gap(moment):.0f} ms")
    home.restore(HOTSPOT)
    home.restore(CABLE)
    moment = time.monotonic()
    agent.at_peace()
    time.sleep(1)
    told.append(f"both restored: back on cable, gap {world.meter.gap(moment):.0f} ms")
    switches = [entry["text"] for entry in ask("history") if entry["code"] == "switched"][-3:]
    order = [f"from {a} to {b}" for a, b in [("cable", "hotspot"), ("hotspot", "phone"), ("phone", "cable")]]
    ensure(all(o in s for o, s in zip(order, switches)), f"not in this order: {switches}")
    ensure(home.wrong_sources() == 0, f"{home.wrong_sources()} packets with a wrong source")
    return "; ".join(told) + "; no wrong source"
