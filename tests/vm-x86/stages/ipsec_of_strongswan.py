"""strongSwan between the LAN and a net of a far gateway's, IKEv2 with MOBIKE: of what it is for no packet leaves in clear,
and the tunnel survives its line. By itself charon keeps its address while it has it, and the agent carries its packets; with
`prefer_best_path` it says by MOBIKE where it is now."""

import time

from home import CABLE, IN_CLIENT, a_home, by_hand
from leaks import alone_by, play_rounds
from rounds import ROUNDS, VERDICT, an_agent, at_peace, flows, is_active
from settings import config
from sniffer import sniffing
from strongswan import HOST, THEIRS, local, raised
from tools import ensure, until

TRAFFIC = [("same", IN_CLIENT, HOST), ("new", IN_CLIENT, HOST)]
BEST = "prefer_best_path = yes"
ADDRESSES = ["192.168.10.100", "192.168.11.100"]


def sees(sniffer):
    """Without a tunnel the LAN's packets are at the modem in clear."""
    begun = time.monotonic()
    flows(IN_CLIENT, HOST, 2)
    ensure(sniffer.to(THEIRS, since=begun), f"no packet to {THEIRS} at the modem, without a tunnel")


def address_after(home, seconds):
    """The tunnel's address so long after a failover."""
    home.sever(CABLE)
    is_active("mifi", VERDICT)
    time.sleep(seconds)
    there = local()
    home.restore(CABLE)
    at_peace()
    return there


def play(_):
    rounds = max(ROUNDS // 2, 2)
    with a_home() as home, sniffing() as sniffer:
        with by_hand():
            sees(sniffer)
        # NAT of another's has to spare what a policy is for; here it has none on that line.
        with by_hand('"wan1"'), raised():
            alone_by(home, sniffer, TRAFFIC, [THEIRS])
        with raised(), an_agent("strongswan-first", config(mifi_more='on_return = "cut"')):
            kept = play_rounds(home, sniffer, TRAFFIC, "with charon as it comes", rounds, [THEIRS])
            stayed = address_after(home, 5)
        with an_agent("strongswan-second"), raised(BEST):
            moved = play_rounds(home, sniffer, TRAFFIC, f"with {BEST}", rounds, [THEIRS])
            there = address_after(home, 5)
            until("charon to be back", lambda: local() == ADDRESSES[CABLE], 20)
    ensure(stayed == ADDRESSES[CABLE], f"charon as it comes has {stayed} after a failover")
    ensure(there == ADDRESSES[1 - CABLE], f"charon with {BEST} has {there} after a failover")
    return f"as it comes (its address stays {stayed}): {kept}; with {BEST} (moved to {there} by MOBIKE): {moved}"
