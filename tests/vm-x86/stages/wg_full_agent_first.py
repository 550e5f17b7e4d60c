"""A full tunnel by wg-quick, started after the agent: LAN and box go through it, whatever the lines do."""

from home import a_home
from leaks import TRAFFIC, play_rounds, sees
from rounds import an_agent
from sniffer import sniffing
from wireguard import FULL, a_tunnel, raised


def play(_):
    with a_home() as home, sniffing() as sniffer, a_tunnel(FULL) as tunnel, an_agent("wg-agent-first"):
        sees(sniffer)
        with raised(tunnel):
            told = play_rounds(home, sniffer, TRAFFIC, "with the agent first")
        sees(sniffer)
    return told
