"""A guest on libvirt's default network gets out by the uplink in use, with libvirt's own NAT, whichever of both began first.
Without the agent it dies with the line."""

import time

from agent import BINARY
from home import CABLE, ECHO, a_home
from libvirt import IN_GUEST, a_guest, running
from rounds import ROUNDS, an_agent, median, metering, round_trip, silent, worst
from sniffer import sniffing
from tools import ensure, slowness, text

TRAFFIC = [("new", IN_GUEST, ECHO), ("same", IN_GUEST, ECHO)]
ADDRESSES = {"cable": "192.168.10.100", "mifi": "192.168.11.100"}
# Seconds without an answer at a failover, on a machine that is nobody else's.
SILENCE = 3.0


def alone(home):
    with metering(*TRAFFIC) as meters:
        for meter in meters:
            meter.wait(time.monotonic(), 20)
        home.sever(CABLE)
        silent(meters[0], 3)
        home.restore(CABLE)


def failovers(home, sniffer, rounds):
    """The longest silence of the guest's at each."""
    def sources(begun, name):
        time.sleep(1)
        seen = sniffer.sources(ECHO, since=time.monotonic() - 0.8)
        # The flow that goes on stays where it was moved to.
        wanted = set(ADDRESSES.values()) if name == "cable" else {ADDRESSES[name]}
        ensure(seen == wanted, f"{name} is in use, and the modems see {seen}")

    said = text(f"{BINARY} doctor; true")
    ensure("libvirt:" in said and "no problem found" in said, f"doctor says {said}")
    with metering(*TRAFFIC) as meters:
        for meter in meters:
            meter.wait(time.monotonic(), 20)
        return [max(round_trip(home, meters, sources)[0]) for _ in range(rounds)]


def play(_):
    rounds, pace = max(ROUNDS // 4, 2), slowness()
    with a_home() as home, sniffing() as sniffer:
        with running(), a_guest():
            alone(home)
            with an_agent("libvirt-first"):
                away = failovers(home, sniffer, rounds)
        with an_agent("libvirt-second"), running(), a_guest():
            away += failovers(home, sniffer, rounds)
    ensure(max(away) <= SILENCE * pace, f"{worst(away)} of silence at a failover")
    return f"{len(away)} failovers in both orders of start, a guest's silence {worst(away)} at most (median {median(away)}); doctor: no problem"
