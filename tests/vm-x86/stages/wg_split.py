"""A tunnel of wg-quick's to a private network only: its packets are pinned to a line like any flow, and leave a dead one.
On the way back they are cut over, as `on_return` says here."""

from home import BOX, IN_CLIENT, a_home
from leaks import play_rounds, sees
from rounds import ROUNDS, an_agent
from settings import config
from sniffer import sniffing
from wireguard import FAR, FAR6, SPLIT, a_tunnel, raised

TRAFFIC = [("same", IN_CLIENT, FAR), ("same", IN_CLIENT, FAR6), ("new", BOX, FAR)]


def play(_):
    settings = config(mifi_more='on_return = "cut"')
    with a_home() as home, sniffing() as sniffer, a_tunnel(SPLIT) as tunnel, an_agent("wg-split", settings):
        sees(sniffer)
        with raised(tunnel):
            return play_rounds(home, sniffer, TRAFFIC, "that is not full", min(ROUNDS, 5), (FAR, FAR6))
