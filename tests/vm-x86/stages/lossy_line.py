"""A line that loses packets is not dead: with 5 % lost each way it is kept, with 30 % it is left for the better one."""

import time

from agent import ask, is_active
from home import CABLE, DELAYS, ECHO, IN_CLIENT, a_home
from rounds import ROUNDS, SHORT, an_agent, metering, switches
from tools import ensure

# Seconds that it has to be kept for.
KEPT = 15 if ROUNDS <= SHORT else 60


def play(_):
    with a_home() as home, an_agent("lossy-line"), metering(("new", IN_CLIENT, ECHO)) as meters:
        before = len(switches())
        begun = time.monotonic()
        home.line(CABLE, f"delay {DELAYS[CABLE]} loss 5%")
        time.sleep(KEPT)
        lost, whole = meters[0].lost(begun)
        ensure(len(switches()) == before, f"5 % lost, and it moved: {switches()[before:]}")
        begun = time.monotonic()
        home.line(CABLE, f"delay {DELAYS[CABLE]} loss 30%")
        is_active("mifi", 90)
        left = time.monotonic() - begun
        home.line(CABLE, f"delay {DELAYS[CABLE]}")
        ensure(ask("status")["active"] == "mifi", "it came back at once")
    return f"5 % lost each way: kept for {KEPT} s ({lost} of {whole} unanswered); 30 %: left after {left:.1f} s"
