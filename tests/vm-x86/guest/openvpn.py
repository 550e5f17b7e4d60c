"""OpenVPN between the box and a server in the Internet, without keys: what matters here is its device and its routes."""

import contextlib

from home import BOX, LAN, PEER
from rounds import ping_works
from tools import start

BOX_IN, FAR = "10.8.0.2", "10.8.0.1"
PLAIN = "--cipher none --auth none --verb 3 --ping 1"


@contextlib.contextmanager
def raised(more=""):
    """Both ends; `more` is said to the box's end alone, routes for example."""
    far = start(f"ip netns exec core openvpn --dev tun-far --dev-type tun --local {PEER} --float --lport 1194 {PLAIN}"
                f" --ifconfig {FAR} {BOX_IN} --route {LAN.replace('/24', '')} 255.255.255.0 {BOX_IN}", "openvpn-far")
    box = start(f"openvpn --dev tun0 --dev-type tun --remote {PEER} 1194 --nobind --ifconfig {BOX_IN} {FAR} {PLAIN} {more}",
                "openvpn")
    try:
        ping_works(BOX, FAR, 20)
        yield
    finally:
        for end in (box, far):
            end.terminate()
            end.wait(10)
