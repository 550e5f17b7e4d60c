"""A multicast route that igmpproxy made, from the line to a client that joined: all packets of the stream arrive."""

import contextlib
import time

from home import IN_CLIENT, a_home, by_hand
from rounds import an_agent
from tools import ensure, read, start, text, until, write

GROUP, PORT, PACKETS, LISTENS = "239.35.10.4", 5004, 100, "/run/iptv"
# A receiver that counts; joining is what makes igmpproxy ask for the stream.
RECEIVER = f"""
import socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("{GROUP}", {PORT}))
s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton("{GROUP}") + socket.inet_aton("10.77.0.2"))
out = open(sys.argv[1], "w", buffering=1)
while True:
    out.write(s.recv(64).decode() + "\\n")
"""
SENDER = f"""
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("192.168.10.1"))
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 8)
for n in range(int(sys.argv[1])):
    s.sendto(str(n).encode(), ("{GROUP}", {PORT}))
    time.sleep(0.02)
"""
PROXY = """
quickleave
phyint wan0 upstream ratelimit 0 threshold 1
    altnet 0.0.0.0/0
phyint lan0 downstream ratelimit 0 threshold 1
phyint wan1 disabled
phyint lo disabled
"""


@contextlib.contextmanager
def a_television():
    write("/run/receiver.py", RECEIVER)
    write("/run/sender.py", SENDER)
    write("/run/igmpproxy.conf", PROXY)
    proxy = start("igmpproxy -n /run/igmpproxy.conf", "igmpproxy")
    client = start(f"{IN_CLIENT}python3 /run/receiver.py {LISTENS}", "iptv")
    try:
        yield
    finally:
        for program in (client, proxy):
            program.terminate()
            program.wait(10)


def stream():
    """How many of the packets arrive. igmpproxy makes the route when it knows of the client and sees the first of them."""
    def routed():
        send(3)
        return f"{GROUP})" in text("ip mroute show") and "Oifs: lan0" in text("ip mroute show")

    until("the multicast route", routed, 30)
    time.sleep(0.5)
    before = len(read(LISTENS).splitlines())
    send(PACKETS)
    time.sleep(0.5)
    return len(read(LISTENS).splitlines()) - before


def send(packets):
    start(f"ip netns exec modem0 python3 /run/sender.py {packets}", "iptv").wait(60)


def play(_):
    with a_home():
        with by_hand(), a_television():
            alone = stream()
        ensure(alone == PACKETS, f"without the agent {alone} of {PACKETS}")
        with an_agent("iptv"), a_television():
            arrived = stream()
    ensure(arrived == PACKETS, f"{arrived} of {PACKETS} packets arrived, {alone} without the agent")
    return f"{arrived} of {PACKETS} packets of the stream arrived"
