"""A full tunnel by wg-quick that stands before the agent starts. Without the agent nothing leaks either, but the tunnel
dies with its line."""

from home import a_home, by_hand
from leaks import TRAFFIC, alone_by, play_rounds, sees
from rounds import ROUNDS, SHORT, an_agent
from sniffer import sniffing
from wireguard import FULL, a_tunnel, raised


def play(_):
    with a_home() as home, sniffing() as sniffer, a_tunnel(FULL) as tunnel:
        with by_hand():
            sees(sniffer)
        if ROUNDS > SHORT:
            with by_hand(), raised(tunnel):
                alone_by(home, sniffer, TRAFFIC)
        with raised(tunnel), an_agent("wg-first"):
            return play_rounds(home, sniffer, TRAFFIC, "with wg-quick first")
