"""A TUN device with the best default route in `main`, metric 50, and a host route to its server: what NetworkManager makes
of a VPN (a stand-in for it, with OpenVPN behind the device). Before the agent, then after it."""

import contextlib

from home import BOX, ECHO, IN_CLIENT, PEER, a_home, by_hand
from leaks import alone_by, play_rounds
from net import ip
from openvpn import FAR, raised
from rounds import ROUNDS, an_agent
from sniffer import sniffing

TRAFFIC = [("same", IN_CLIENT, ECHO), ("new", IN_CLIENT, ECHO), ("same", BOX, ECHO)]


@contextlib.contextmanager
def a_vpn():
    server = f"{PEER}/32 via 192.168.10.1 dev wan0 metric 50 proto static"
    with raised():
        ip(None, f"route add {server}\nroute add default via {FAR} dev tun0 metric 50 proto static")
        try:
            yield
        finally:
            ip(None, f"route del {server}\nroute del default via {FAR} dev tun0 metric 50")


def play(_):
    rounds = max(ROUNDS // 4, 2)
    with a_home() as home, sniffing() as sniffer:
        with by_hand(), a_vpn():
            alone_by(home, sniffer, TRAFFIC, [ECHO])
        with a_vpn(), an_agent("vpn-first"):
            first = play_rounds(home, sniffer, TRAFFIC, "with the VPN first", rounds, [ECHO])
        with an_agent("vpn-second"), a_vpn():
            second = play_rounds(home, sniffer, TRAFFIC, "with the agent first", rounds, [ECHO])
    return f"the VPN first: {first}; the agent first: {second}"
