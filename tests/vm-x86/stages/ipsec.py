"""A site-to-site IPsec policy (static keys; strongSwan writes the same into the kernel): of what it is for, no packet
leaves in clear."""

import contextlib
import time

from home import CABLE, IN_CLIENT, LAN, PEER, a_home, by_hand
from net import ip, nft
from rounds import VERDICT, an_agent, is_active
from sniffer import sniffing
from tools import ensure, run

THEIRS, HOST, PACKETS, ESP = "10.99.0.0/24", "10.99.0.7", 1000, 50
KEY = "0x" + "83" * 20
BOX_OUT, BOX_SEEN = "192.168.10.100", "100.64.0.2"


def states(source, to, there, back):
    aead = f"aead 'rfc4106(gcm(aes))' {KEY} 128"
    return f"""
        xfrm state add src {source} dst {to} proto esp spi {there} reqid 1 mode tunnel {aead}
        xfrm state add src {to} dst {source} proto esp spi {back} reqid 1 mode tunnel {aead}"""


def policies(mine, theirs, me, them):
    out, back = f"tmpl src {me} dst {them}", f"tmpl src {them} dst {me}"
    return f"""
        xfrm policy add src {mine} dst {theirs} dir out {out} proto esp reqid 1 mode tunnel
        xfrm policy add src {theirs} dst {mine} dir fwd {back} proto esp reqid 1 mode tunnel
        xfrm policy add src {theirs} dst {mine} dir in {back} proto esp reqid 1 mode tunnel"""


@contextlib.contextmanager
def a_policy():
    """Between the LAN and a network of the far end's, and NAT as people write it beside that."""
    ip(None, states(BOX_OUT, PEER, 0x100, 0x200) + policies(LAN, THEIRS, BOX_OUT, PEER))
    ip("core", f"addr add {HOST}/24 dev lo" + states(BOX_SEEN, PEER, 0x100, 0x200) + policies(THEIRS, LAN, PEER, BOX_SEEN))
    nft(None, """table ip theirs {
        chain nat { type nat hook postrouting priority srcnat; rt ipsec exists accept; oifname "wan0" masquerade; }
    }""")
    try:
        yield
    finally:
        nft(None, "delete table ip theirs")
        ip(None, "xfrm policy flush\nxfrm state flush")


def burst(packets):
    """That many packets of the client's to the far network, some a millisecond."""
    run(f"{IN_CLIENT}python3 -c '\nimport socket, time\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        f"for n in range({packets}):\n    s.sendto(b\"x\", (\"{HOST}\", 9000 + n % 50))\n    time.sleep(0.002)\n'")


def sent(sniffer, packets):
    """(in ESP, in clear) of so many."""
    begun = time.monotonic()
    burst(packets)
    time.sleep(0.5)
    return len(sniffer.to(PEER, since=begun, protocol=ESP)), len(sniffer.to(THEIRS, since=begun))


def play(_):
    with a_home() as home, sniffing() as sniffer:
        with by_hand():
            _, clear = sent(sniffer, 10)
            ensure(clear == 10, f"without a policy the sniffer sees {clear} of 10 packets in clear")
        with a_policy():
            with by_hand('"wan1"'):
                alone = sent(sniffer, 100)
            ensure(alone == (100, 0), f"without the agent, of 100 packets {alone[0]} in ESP, {alone[1]} in clear")
            with an_agent("ipsec"):
                inside, clear = sent(sniffer, PACKETS)
                home.sever(CABLE)
                is_active("mifi", VERDICT)
                _, clear_then = sent(sniffer, PACKETS // 5)
                home.restore(CABLE)
    ensure(clear + clear_then == 0 and inside == PACKETS,
           f"of {PACKETS} packets {inside} in ESP, {clear} in clear; {clear_then} in clear after a failover")
    return f"{inside} of {PACKETS} packets in ESP, 0 in clear, 0 of {PACKETS // 5} after a failover"
