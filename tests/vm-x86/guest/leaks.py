"""The heart of the stages with tunnels: failovers under traffic of LAN and box, and not one packet outside the tunnel."""

import time

from home import BOX, CABLE, ECHO, ECHO6, IN_CLIENT, MIFI, PEER, PEER6
from rounds import ROUNDS, median, metering, ping_works, round_trip, silent, worst
from tools import ensure, slowness

# A flow of the LAN's and one of the box's, of either family, and new ones of the LAN's.
TRAFFIC = [("same", IN_CLIENT, ECHO), ("same", IN_CLIENT, ECHO6), ("new", IN_CLIENT, ECHO), ("same", BOX, ECHO),
           ("same", BOX, ECHO6)]
LINES = {"cable": CABLE, "mifi": MIFI}
# The longest silence through a tunnel that keeps itself alive every second (three or four, as measured), on a machine that
# is nobody else's; and how long a tunnel may take to follow.
SILENCE, FOLLOWS = 6.0, 4.0


def clear(sniffer, since=0, inside=(ECHO, ECHO6)):
    """Packets outside the tunnel: to where only the tunnel leads, or with an address of the LAN."""
    return sniffer.to(*inside, since=since) + [p for p in list(sniffer.packets) if p.at >= since and of_the_lan(p)]


def of_the_lan(packet):
    return str(packet.source).startswith(("10.77.0.", "fd77:"))


def ensure_clear_of(packets, what):
    some = ", ".join(f"{p.source} > {p.to} at modem {p.modem}" for p in packets[:4])
    ensure(not packets, f"{len(packets)} packets outside the tunnel {what}: {some}")


def carried_by(sniffer, modem, since):
    """Packets of the tunnel itself that a modem was given."""
    return sniffer.to(PEER, PEER6, since=since, modem=modem)


def sees(sniffer):
    """Without a tunnel the traffic is at the first modem, and the sniffer sees it: else its silence means nothing."""
    for inside in (IN_CLIENT, BOX):
        for place in (ECHO, ECHO6):
            begun = time.monotonic()
            ping_works(inside, place)
            ensure(clear(sniffer, begun, [place]), f"no packet to {place} at the modem, without a tunnel")


def alone_by(home, sniffer, traffic, inside=(ECHO, ECHO6)):
    """The control, without the agent: the tunnel carries everything, and the end of its line is its own."""
    begun = time.monotonic()
    with metering(*traffic) as meters:
        for meter in meters:
            meter.wait(begun, 20)
        home.sever(CABLE)
        silent(meters[0], 3)
        home.restore(CABLE)
        meters[0].wait(time.monotonic(), 20)
    ensure_clear_of(clear(sniffer, begun, inside), "without the agent")


class Follower:
    """Looks whether the tunnel's own packets are where the verdict is."""

    def __init__(self, sniffer):
        self.sniffer, self.took = sniffer, []

    def look(self, begun, name):
        there = LINES[name]
        end = time.monotonic() + FOLLOWS
        while True:
            since = time.monotonic()
            time.sleep(0.6)
            if carried_by(self.sniffer, there, since) and not carried_by(self.sniffer, 1 - there, since):
                break
            ensure(time.monotonic() < end, f"{name} is in use, and the tunnel's packets are elsewhere")
        self.took.append(carried_by(self.sniffer, there, begun)[0].at - begun)


def play_rounds(home, sniffer, traffic, what, rounds=ROUNDS, inside=(ECHO, ECHO6)):
    """Failovers and failbacks under traffic. Returns what was seen, in words."""
    pace = slowness()
    begun, away, back = time.monotonic(), [], []
    follower = Follower(sniffer)
    with metering(*traffic) as meters:
        for meter in meters:
            meter.wait(begun, 20)
        for _ in range(rounds):
            out, home_again = round_trip(home, meters, follower.look)
            away.append(max(out))
            back.append(max(home_again))
    ensure_clear_of(clear(sniffer, begun, inside), what)
    ensure(sniffer.dropped() == 0, "the sniffer missed packets")
    ensure(max(away) <= SILENCE * pace, f"{worst(away)} of silence at a failover {what}, median {median(away)}")
    return (f"0 packets outside the tunnel in {rounds} failovers and failbacks, silence {worst(away)} at most (median"
            f" {median(away)}), at failbacks {worst(back)}; the tunnel's own packets moved after {worst(follower.took)} at most")
