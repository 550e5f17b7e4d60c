"""OpenVPN with `redirect-gateway def1`: two halves of the Internet in `main`, and a host route to its server by the line
that was in use then. That route follows the choice."""

from home import BOX, ECHO, IN_CLIENT, a_home, by_hand
from leaks import alone_by, play_rounds, sees
from openvpn import raised
from rounds import ROUNDS, an_agent
from sniffer import sniffing

TRAFFIC = [("same", IN_CLIENT, ECHO), ("new", IN_CLIENT, ECHO), ("same", BOX, ECHO)]


def play(_):
    with a_home() as home, sniffing() as sniffer:
        with by_hand(), raised("--redirect-gateway def1"):
            alone_by(home, sniffer, TRAFFIC, [ECHO])
        with an_agent("openvpn"):
            sees(sniffer)
            with raised("--redirect-gateway def1"):
                return play_rounds(home, sniffer, TRAFFIC, "of OpenVPN's", min(ROUNDS, 5), [ECHO])
