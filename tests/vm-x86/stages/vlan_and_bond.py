"""Uplinks that are a VLAN and a bond: they fail over and come back like cables, and the port's name is of no matter."""

from home import ECHO, ECHO6, IN_CLIENT, a_home
from net import ip
from rounds import ROUNDS, an_agent, median, metering, round_trip, worst
from settings import config
from tools import ensure, text

SILENCE = 6.0


def vlan(n):
    ip(None, f"""
        link add port{n} type veth peer name port netns modem{n}
        link set port{n} up
        link add wan{n} link port{n} type vlan id 7""")
    ip(f"modem{n}", "link set port up\nlink add lan link port type vlan id 7")
    return f"wan{n}"


def bond(n):
    """Two cables to a switch that is in the modem."""
    ip(f"modem{n}", "link add lan type bridge")
    ip(None, f"link add wan{n} type bond mode active-backup miimon 50")
    for port in "ab":
        ip(None, f"link add bond{n}{port} type veth peer name port-{port} netns modem{n}\nlink set bond{n}{port} master wan{n}")
        ip(f"modem{n}", f"link set port-{port} master lan\nlink set port-{port} up")
    return f"wan{n}"


def play(_):
    traffic = [("new", IN_CLIENT, ECHO), ("new", IN_CLIENT, ECHO6)]
    with a_home(lambda n: [vlan, bond][n](n)) as home:
        # By its hardware address, which the VLAN and its port have in common, as have the bond and its ports.
        macs = [text(f"cat /sys/class/net/wan{n}/address").strip() for n in range(2)]
        settings = config()
        for n in range(2):
            settings = settings.replace(f'interface = "wan{n}"', f'match = {{ mac = "{macs[n]}" }}')
        with an_agent("vlan-and-bond", settings), metering(*traffic) as meters:
            both = [round_trip(home, meters) for _ in range(min(ROUNDS, 5))]
    away, back = ([max(trip[n]) for trip in both] for n in range(2))
    ensure(max(away) <= SILENCE, f"{worst(away)} of silence at a failover")
    return f"{len(both)} failovers from a VLAN to a bond, silence {worst(away)} at most (median {median(away)}), at failbacks {worst(back)}"
