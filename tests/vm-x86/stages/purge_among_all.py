"""All neighbours that can live together on one box, at once: whoever is behind the box gets out over a failover, and after a
purge everybody else's rules, routes and tables are what they were before the agent."""

import contextlib

import dockerd
import fail2ban
import libvirt
import openvpn
import strongswan
import wireguard
from agent import BINARY, CONFIG, footprint
from home import BOX, CABLE, ECHO, IN_CLIENT, a_home
from iptv import a_television
from net import ip
from rounds import VERDICT, an_agent, at_peace, flows, is_active, ping_works
from settings import config
from tailscale import RULES
from tools import ensure, ensure_same, text, write
from tproxy import a_proxy

FLOWS, ATTACKER = 4, "192.168.10.66"
SEEN = ["Docker", "fail2ban", "libvirt", "strongSwan", "igmpproxy"]


@contextlib.contextmanager
def rules_of_tailscale():
    ip(None, RULES)
    try:
        yield
    finally:
        ip(None, "\n".join(f"rule del pref {n}" for n in (5210, 5230, 5250, 5270)))


@contextlib.contextmanager
def all_of_them():
    """Gives where a container's commands run. Docker is the first: who switches forwarding on sets the policy."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(dockerd.running())
        container = stack.enter_context(dockerd.a_container())
        # MOBIKE would take another tunnel to the same gateway for a better way.
        for one in (libvirt.running(), libvirt.a_guest(), fail2ban.running(), strongswan.raised("interfaces_ignore = wg0,tun0")):
            stack.enter_context(one)
        tunnel = stack.enter_context(wireguard.a_tunnel(wireguard.SPLIT))
        for one in (wireguard.raised(tunnel), openvpn.raised(), rules_of_tailscale(), a_proxy(), a_television()):
            stack.enter_context(one)
        fail2ban.guesses(ATTACKER)
        # Doctor does not need the agent.
        write(CONFIG, config())
        stack.enter_context(dockerd.let_through(dockerd.advised()))
        yield container


def whole():
    return footprint() + text("ip -6 route show table all")


def get_out(container):
    """The LAN, a container and a guest, and the LAN into strongSwan's tunnel; the box into the other two."""
    places = [(IN_CLIENT, ECHO), (container, ECHO), (libvirt.IN_GUEST, ECHO), (IN_CLIENT, strongswan.HOST)]
    answered = [flows(inside, place, FLOWS) for inside, place in places]
    ensure(answered == [FLOWS] * len(places), f"of {FLOWS} flows of LAN, container, guest, and into a tunnel {answered} answered")
    ping_works(BOX, wireguard.FAR)
    ping_works(BOX, openvpn.FAR)


def play(_):
    with a_home() as home, all_of_them() as container:
        before = whole()
        with an_agent("among-all"):
            ensure(whole() != before, "the agent changes nothing, so that a purge shows nothing")
            said = text(f"{BINARY} doctor; true")
            ensure(all(name in said for name in SEEN), f"doctor has not seen all of {SEEN}: {said}")
            get_out(container)
            home.sever(CABLE)
            is_active("mifi", VERDICT)
            get_out(container)
            home.restore(CABLE)
            at_peace()
        ensure_same(whole(), before, "purge leaves the box other than it was")
    lines = len(before.splitlines())
    return f"all get out over a failover; {lines} lines of others' tables, rules and routes are the same before the agent and after the purge"
