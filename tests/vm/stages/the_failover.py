"""The cable is severed beyond its modem, then the hotspot too; then both come back. The order is asserted, the times
are told."""

import time

from agent import ask, at_peace, is_active
from home import CABLE, HOTSPOT
from tools import ensure


def play(world):
    home, told = world.home, []
    at_peace()
    before = len(switches())
    for cut, name, then in [(CABLE, "cable", "hotspot"), (HOTSPOT, "hotspot", "phone")]:
        moment = time.monotonic()
        home.sever(cut)
        is_active(then, 30)
        world.meter.wait(moment + 0.1, 30)
        time.sleep(2)
        told.append(f"{name} severed: on {then}, gap {world.meter.gap(moment):.0f} ms")
    home.restore(CABLE)
    home.restore(HOTSPOT)
    moment = time.monotonic()
    at_peace()
    time.sleep(1)
    told.append(f"both restored: back on cable, gap {world.meter.gap(moment):.0f} ms")
    away, further, *back = switches()[before:]
    ensure("fails over from cable to hotspot" in away, away)
    ensure("fails over from hotspot to phone" in further, further)
    ensure(back and all("Back on" in step for step in back), back)
    ensure(home.wrong_sources() == 0, f"{home.wrong_sources()} packets with a wrong source")
    return "; ".join(told) + "; no wrong source"


def switches():
    return [entry["text"] for entry in ask("history") if entry["code"] == "switched"]
