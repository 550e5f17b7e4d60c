"""WireGuard as wg-quick sets it up, and the far end of the tunnel, which is somebody's server in the Internet."""

import contextlib

from home import BOX, LAN, LAN6, PEER
from net import ip
from rounds import ping_works
from tools import run, start, text, write

PORT = 51820
BOX_IN, BOX_IN6, FAR, FAR6 = "10.66.0.2", "fd66::2", "10.66.0.1", "fd66::1"
FULL, SPLIT = "0.0.0.0/0, ::/0", f"{FAR}/24, fd66::/64"
INTERFACE = """
[Interface]
PrivateKey = {key}
Address = {address}, {address6}
{more}
[Peer]
PublicKey = {theirs}
AllowedIPs = {allowed}
Endpoint = {endpoint}:{port}
PersistentKeepalive = 1
"""


def keys():
    key = text("wg genkey").strip()
    return key, text(f"echo {key} | wg pubkey").strip()


class Tunnel:
    """The far end stands as soon as this does; `up` is what a person does on the box."""

    def __init__(self, allowed, endpoint=PEER, more=""):
        mine, public = keys()
        theirs, their_public = keys()
        write("/run/wg-far.key", theirs)
        ip("core", "link add wg-far type wireguard")
        run(f"ip netns exec core wg set wg-far listen-port {PORT} private-key /run/wg-far.key peer {public}"
            f" allowed-ips {BOX_IN}/32,{BOX_IN6}/128,{LAN},{LAN6}")
        ip("core", f"""
            addr add {FAR}/24 dev wg-far
            addr add {FAR6}/64 dev wg-far nodad
            link set wg-far up
            route add {LAN} dev wg-far
            route add {LAN6} dev wg-far""")
        self.echo = start(f"ip netns exec core python3 /vm/guest/internet.py {FAR},{FAR6}", "far-end")
        run("umask 077; : >/etc/wireguard/wg0.conf")
        write("/etc/wireguard/wg0.conf", INTERFACE.format(
            key=mine, theirs=their_public, address=f"{BOX_IN}/24", address6=f"{BOX_IN6}/64", allowed=allowed, port=PORT,
            endpoint=f"[{endpoint}]" if ":" in endpoint else endpoint, more=more))

    def up(self):
        text("wg-quick up wg0")
        ping_works(BOX, FAR)
        ping_works(BOX, FAR6)

    def down(self):
        text("wg-quick down wg0")
        # It leaves this behind, which is in the way of a proxy with a mark, whoever else is on the box.
        run("sysctl -q -w net.ipv4.conf.all.src_valid_mark=0")

    def leave(self):
        self.echo.kill()
        self.echo.wait()
        ip("core", "link del wg-far")


@contextlib.contextmanager
def a_tunnel(allowed, **more):
    tunnel = Tunnel(allowed, **more)
    try:
        yield tunnel
    finally:
        tunnel.leave()


@contextlib.contextmanager
def raised(tunnel):
    try:
        tunnel.up()
        yield
    finally:
        tunnel.down()
