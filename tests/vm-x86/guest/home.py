"""The home and the Internet around it; the machine is the router.

    client -- lan0 [box] -+- wan0 == modem 0 -+- core: every server
    10.77.0.2             +- wan1 == modem 1 -+

Each of them but the box is a network namespace. A modem masquerades IPv4 and routes the /64 of IPv6 in which the box's
interface is. All servers are addresses of `core`; the far end of a tunnel is another one there.
"""

import concurrent.futures
import contextlib
import os

from net import forward, ip, nft
from tools import run, start, text, until

CABLE, MIFI = 0, 1
LAN, LAN6 = "10.77.0.0/24", "fd77::/64"
CLIENT, CLIENT6 = "10.77.0.2", "fd77::2"
ECHO, ECHO6 = "203.0.113.7", "2001:db8:ff::7"
WEB, WEB6 = "203.0.113.80", "2001:db8:ff::80"
PEER, PEER6 = "203.0.113.5", "2001:db8:ff::5"
TARGETS = ["1.1.1.1", "8.8.8.8", "9.9.9.9"]
TARGETS6 = ["2606:4700:4700::1111", "2001:4860:4860::8888", "2620:fe::fe"]
NAMESPACES = ["client", "modem0", "modem1", "core"]
# Each way.
DELAYS = ["4ms", "12ms"]
BOX = ""
IN_CLIENT = "ip netns exec client "


def cable(n):
    """Box and modem joined by an Ethernet cable. Returns how the box calls its end; the modem's is `lan`."""
    ip(None, f"link add wan{n} type veth peer name lan netns modem{n}")
    return f"wan{n}"


class Home:
    """Built and left by `a_home`; its `attach` makes the link between the box and a modem, and returns how the box calls
    its end."""

    def __init__(self):
        self.programs, self.interfaces = [], []

    def build(self, attach):
        for namespace in NAMESPACES:
            run(f"ip netns add {namespace}")
            ip(namespace, "link set lo up")
        ip(None, """
            link set lo up
            link add lan0 type veth peer name eth0 netns client
            addr add 10.77.0.1/24 dev lan0
            addr add fd77::1/64 dev lan0 nodad
            link set lan0 up""")
        ip("client", f"""
            addr add {CLIENT}/24 dev eth0
            addr add {CLIENT6}/64 dev eth0 nodad
            link set eth0 up
            route add default via 10.77.0.1
            route add default via fd77::1""")
        self.interfaces += [attach(n) for n in range(2)]
        # Programs begin slowly here, and there are two processors.
        with concurrent.futures.ThreadPoolExecutor() as together:
            parts = [together.submit(self.servers)]
            parts += [together.submit(self.uplink, n, name) for n, name in enumerate(self.interfaces)]
            for part in parts:
                part.result()

    def servers(self):
        mine = [f"addr add {a}/32 dev lo" for a in [ECHO, WEB, PEER, *TARGETS]]
        ip("core", "\n".join(mine + [f"addr add {a}/128 dev lo nodad" for a in [ECHO6, WEB6, PEER6, *TARGETS6]]))
        forward("core")
        inside = "ip netns exec core"
        self.start(f"{inside} python3 /vm/guest/internet.py {ECHO},{ECHO6} {WEB},{WEB6}", "internet")
        self.start(f"{inside} dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --user=root"
                   f" --pid-file= --bind-interfaces --address=/#/{WEB} --address=/#/{WEB6}", "internet-dns")

    def uplink(self, n, name):
        modem = f"modem{n}"
        ip(modem, f"""
            link add line type veth peer name isp{n} netns core
            addr add 192.168.1{n}.1/24 dev lan
            addr add 2001:db8:{n}::1/64 dev lan nodad
            addr add 100.64.{n}.2/30 dev line
            addr add 2001:db8:e{n}::2/64 dev line nodad
            link set lan up
            link set line up""")
        ip("core", f"""
            addr add 100.64.{n}.1/30 dev isp{n}
            addr add 2001:db8:e{n}::1/64 dev isp{n} nodad
            link set isp{n} up
            route add 2001:db8:{n}::/64 via 2001:db8:e{n}::2""")
        ip(modem, f"route add default via 100.64.{n}.1\nroute add default via 2001:db8:e{n}::1")
        master = f"/sys/class/net/{name}/master"
        inside = f"vrf {os.path.basename(os.readlink(master))}" if os.path.exists(master) else ""
        ip(None, f"""
            addr add 192.168.1{n}.100/24 dev {name}
            addr add 2001:db8:{n}::100/64 dev {name} nodad
            link set {name} up
            route add default via 192.168.1{n}.1 dev {name} metric 10{n} {inside}
            route add default via 2001:db8:{n}::1 dev {name} metric 10{n} {inside}""")
        forward(modem)
        nft(modem, f"""table ip home {{
            chain nat {{ type nat hook postrouting priority srcnat; oifname "line" snat to 100.64.{n}.2; }}
        }}""")
        self.line(n, f"delay {DELAYS[n]}")

    def line(self, n, behaviour):
        """What the line does to packets, each way, as netem says it."""
        run(f"tc -n modem{n} qdisc replace dev line root netem {behaviour}")
        run(f"tc -n core qdisc replace dev isp{n} root netem {behaviour}")

    def start(self, command, log):
        self.programs.append(start(command, log))

    def sever(self, n):
        """Cut beyond the modem, which goes on answering."""
        nft(f"modem{n}", """table inet fault {
            chain cut { type filter hook forward priority filter; drop; }
        }""")

    def restore(self, n):
        nft(f"modem{n}", "table inet fault\ndelete table inet fault")

    def leave(self):
        """What it began ends, and every interface goes."""
        for program in self.programs:
            program.kill()
            program.wait()
        for name in ["lan0", *self.interfaces]:
            run(f"ip link del {name} 2>/dev/null; true")
        for namespace in NAMESPACES:
            run(f"ip netns del {namespace}; true")
        until("the interfaces to go", lambda: not set(self.interfaces + ["lan0"]) & set(links()), 20)


def links():
    return [line.split(": ")[1].split("@")[0] for line in text("ip -o link").splitlines()]


@contextlib.contextmanager
def by_hand(uplinks="wan0, wan1"):
    """The router as people set it up without an agent: forwarding, and NAT on the uplinks. What makes a control work."""
    run("sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
    nft(None, f"""table inet byhand {{
        chain nat {{ type nat hook postrouting priority srcnat + 20; oifname {{ {uplinks} }} masquerade; }}
    }}""")
    try:
        yield
    finally:
        nft(None, "delete table inet byhand")
        run("sysctl -q -w net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0")


@contextlib.contextmanager
def a_home(attach=cable):
    home = Home()
    try:
        home.build(attach)
        yield home
    finally:
        home.leave()
