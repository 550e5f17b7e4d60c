"""A full tunnel whose far end is reached by IPv6."""

from home import PEER6, a_home
from leaks import TRAFFIC, play_rounds, sees
from rounds import ROUNDS, an_agent
from sniffer import sniffing
from wireguard import FULL, a_tunnel, raised


def play(_):
    with a_home() as home, sniffing() as sniffer, a_tunnel(FULL, endpoint=PEER6) as tunnel, an_agent("wg-over-ipv6"):
        sees(sniffer)
        with raised(tunnel):
            return play_rounds(home, sniffer, TRAFFIC, "over IPv6", rounds=min(ROUNDS, 5))
