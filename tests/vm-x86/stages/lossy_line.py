"""A line that loses packets is not dead: with 10 % lost each way it is kept, with 60 % it is left for the better one."""

import time

from agent import ask, is_active
from home import CABLE, DELAYS, ECHO, IN_CLIENT, a_home
from rounds import an_agent, metering, switches
from tools import argument, ensure

KEPT = float(argument("kept", "30"))


def play(_):
    with a_home() as home, an_agent("lossy-line"), metering(("new", IN_CLIENT, ECHO)) as meters:
        before = len(switches())
        begun = time.monotonic()
        home.line(CABLE, f"delay {DELAYS[CABLE]} loss 10%")
        time.sleep(KEPT)
        lost, whole = meters[0].lost(begun)
        ensure(len(switches()) == before, f"10 % lost, and it moved: {switches()[before:]}")
        begun = time.monotonic()
        home.line(CABLE, f"delay {DELAYS[CABLE]} loss 60%")
        is_active("mifi", 90)
        left = time.monotonic() - begun
        home.line(CABLE, f"delay {DELAYS[CABLE]}")
        ensure(ask("status")["active"] == "mifi", "it came back at once")
    return f"10 % lost each way: kept for {KEPT:.0f} s ({lost} of {whole} unanswered); 60 %: left after {left:.1f} s"
