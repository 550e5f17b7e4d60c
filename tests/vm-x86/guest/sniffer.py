"""What leaves the box, seen at the modems: a packet socket in each modem's namespace, on its side of the LAN."""

import collections
import contextlib
import ctypes
import ipaddress
import os
import select
import socket
import threading
import time

CLONE_NEWNET, ETH_P_ALL, PACKET_OUTGOING = 0x40000000, 3, 4
SOL_PACKET, PACKET_STATISTICS = 263, 6
IPV4, IPV6, ICMP6 = 0x0800, 0x86DD, 58

Packet = collections.namedtuple("Packet", "at modem source to protocol port")
libc = ctypes.CDLL(None, use_errno=True)


def socket_in(namespace, interface):
    """A packet socket of another namespace's; to be called by the main thread."""
    own = os.open("/proc/self/ns/net", os.O_RDONLY)
    theirs = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        enter(theirs)
        sniffed = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        sniffed.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sniffed.bind((interface, ETH_P_ALL))
        return sniffed
    finally:
        enter(own)
        os.close(own)
        os.close(theirs)


def enter(namespace):
    if libc.setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def parsed(at, modem, kind, data):
    """An IP packet, or None."""
    if kind == IPV4 and len(data) >= 20:
        size, protocol = (data[0] & 15) * 4, data[9]
        source, to = data[12:16], data[16:20]
    elif kind == IPV6 and len(data) >= 40:
        size, protocol = 40, data[6]
        source, to = data[8:24], data[24:40]
    else:
        return None
    port = int.from_bytes(data[size + 2:size + 4], "big") if protocol in (6, 17) else None
    return Packet(at, modem, ipaddress.ip_address(source), ipaddress.ip_address(to), protocol, port)


class Sniffer:
    def __init__(self, modems=2, interface="lan"):
        self.sockets = [socket_in(f"modem{n}", interface) for n in range(modems)]
        self.packets = []
        self.over = False
        self.thread = threading.Thread(target=self.listen, daemon=True)
        self.thread.start()

    def listen(self):
        while not self.over:
            for ready in select.select(self.sockets, [], [], 0.2)[0]:
                data, (_, kind, direction, _, _) = ready.recvfrom(256)
                packet = parsed(time.monotonic(), self.sockets.index(ready), kind, data)
                # What the modem sends itself is not what it gets.
                if packet and direction != PACKET_OUTGOING:
                    self.packets.append(packet)

    def to(self, *places, since=0, modem=None, protocol=None, port=None):
        """Packets to these addresses or networks."""
        nets = [ipaddress.ip_network(place) for place in places]
        return [p for p in list(self.packets) if p.at >= since and any(p.to in net for net in nets)
                and modem in (None, p.modem) and protocol in (None, p.protocol) and port in (None, p.port)]

    def sources(self, *places, since=0):
        """The source addresses of those, as text."""
        return {str(packet.source) for packet in self.to(*places, since=since)}

    def dropped(self):
        """Packets that the sockets lost, so that nobody can say what they were."""
        whole = 0
        for one in self.sockets:
            statistics = one.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
            whole += int.from_bytes(statistics[4:8], "little")
        return whole

    def stop(self):
        self.over = True
        self.thread.join()
        for one in self.sockets:
            one.close()


@contextlib.contextmanager
def sniffing(**more):
    sniffer = Sniffer(**more)
    try:
        yield sniffer
    finally:
        sniffer.stop()
