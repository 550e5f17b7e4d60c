"""The uplink is a bridge, and netfilter looks into bridges (Docker, Kubernetes, Proxmox): what a guest on it says to the
modem is not the box's. The guest's packets pass, with the guest's own address."""

import contextlib
import time

from home import CABLE, ECHO, a_home, by_hand, cable
from net import ip
from rounds import an_agent, flows
from settings import config
from sniffer import sniffing
from tools import ensure, run

GUEST, FLOWS = "192.168.10.200", 4


def bridged(n):
    """The first uplink is a bridge of the cable and a guest's."""
    name = cable(n)
    if n != CABLE:
        return name
    run("ip netns add tv")
    ip(None, f"""
        link add br-wan type bridge
        link set {name} master br-wan
        link set {name} up
        link add tv0 type veth peer name eth0 netns tv
        link set tv0 master br-wan
        link set tv0 up""")
    ip("tv", f"link set lo up\nlink set eth0 up\naddr add {GUEST}/24 dev eth0\nroute add default via 192.168.10.1")
    return "br-wan"


@contextlib.contextmanager
def netfilter_in_bridges():
    run("modprobe br_netfilter && sysctl -q -w net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1")
    try:
        yield
    finally:
        run("sysctl -q -w net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0")


def asked(sniffer):
    """How many of the guest's flows were answered, and the sources that the modem saw."""
    begun = time.monotonic()
    return flows("ip netns exec tv ", ECHO, FLOWS), sniffer.sources(ECHO, since=begun)


def play(_):
    with a_home(bridged) as home, sniffing() as sniffer, netfilter_in_bridges():
        try:
            with by_hand('"wan1"'):
                alone = asked(sniffer)
            ensure(alone == (FLOWS, {GUEST}), f"without the agent {alone}")
            with an_agent("bridged-guest", config(cable="br-wan")):
                answered, sources = asked(sniffer)
        finally:
            run("ip netns del tv; ip link del br-wan")
        ensure(home.interfaces[CABLE] == "br-wan", "the first uplink is no bridge")
    ensure((answered, sources) == (FLOWS, {GUEST}), f"{answered} of {FLOWS} answered, the modem saw {sources}")
    return f"{answered} of {FLOWS} flows of the guest's answered, the modem saw {GUEST}"
