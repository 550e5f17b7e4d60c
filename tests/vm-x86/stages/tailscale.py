"""Tailscale's rules (a stand-in for its daemon): a socket that carries its mark goes by `main`, where the dead line's route
still stands. It follows the choice all the same."""

import time

from home import BOX, CABLE, ECHO, a_home, by_hand
from net import ip
from rounds import ROUNDS, an_agent, answered, metering, round_trip, silent, worst
from tools import ensure, slowness

MARK = 0x80000
RULES = """
    rule add pref 5210 fwmark 0x80000/0xff0000 lookup main
    rule add pref 5230 fwmark 0x80000/0xff0000 lookup default
    rule add pref 5250 fwmark 0x80000/0xff0000 unreachable
    rule add pref 5270 lookup 52"""
# Seconds from the cut to the next answer, on a machine that is nobody else's.
ANSWERED = 1.5


def play(_):
    marked = ("new", BOX, f"{ECHO} {MARK}")
    with a_home() as home:
        ip(None, RULES + "\n    link add tailscale0 type dummy\n    link set tailscale0 up"
           "\n    route add 100.100.100.100 dev tailscale0 table 52")
        try:
            with by_hand(), metering(marked) as meters:
                meters[0].wait(time.monotonic(), 10)
                home.sever(CABLE)
                silent(meters[0], 3)
                home.restore(CABLE)
            with an_agent("tailscale"), metering(marked, ("same", BOX, f"{ECHO} {MARK}")) as meters:
                for meter in meters:
                    answered(meter, time.monotonic())
                pace = slowness()
                away = [round_trip(home, meters)[0] for _ in range(min(ROUNDS, 5))]
        finally:
            ip(None, "\n".join(f"rule del pref {n}" for n in (5210, 5230, 5250, 5270)) + "\nlink del tailscale0")
    new, same = (max(gaps[n] for gaps in away) for n in range(2))
    ensure(max(new, same) <= ANSWERED * pace, f"answered again after {new:.1f} s (new flows), {same:.1f} s (the same), at 1:{pace:.1f}")
    return f"severed {len(away)} times, answered again after {worst([new])} (new flows), {worst([same])} (the same) at most, at 1:{pace:.1f}"
