"""Stands for OpenWrt's ubusd and netifd: says which networks there are, to whoever asks. Started as a program, with
`network=device` for each."""

import os
import socket
import struct
import sys
import threading

SOCKET = "/var/run/ubus/ubus.sock"
# The object network.interface, and what a client is given for itself.
NETIFD, CLIENT = 0x78650DC0, 0x142D5323
HELLO, STATUS, DATA, LOOKUP, INVOKE, ADD_OBJECT = 0, 1, 2, 4, 5, 6
# Attributes of a frame; kinds of values in a table.
CODE, OBJECT, TABLE_OF = 1, 3, 7
ARRAY, TABLE, STRING, BOOL = 1, 2, 3, 7


def padded(data):
    return data + bytes(-len(data) % 4)


def attribute(kind, payload):
    return padded(struct.pack(">I", kind << 24 | len(payload) + 4) + payload)


def value(name, what):
    """A value of a table, named; of an array, without a name."""
    if isinstance(what, bool):
        kind, payload = BOOL, bytes([what])
    elif isinstance(what, str):
        kind, payload = STRING, what.encode() + b"\0"
    elif isinstance(what, dict):
        kind, payload = TABLE, b"".join(value(*entry) for entry in what.items())
    else:
        kind, payload = ARRAY, b"".join(value("", entry) for entry in what)
    head = padded(struct.pack(">H", len(name)) + name.encode() + b"\0")
    return attribute(0x80 | kind, head + payload)


def frame(kind, sequence, peer, attributes=b""):
    return struct.pack(">BBHI", 0, kind, sequence, peer) + attribute(0, attributes)


def whole(client, length):
    data = b""
    while len(data) < length:
        more = client.recv(length - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def serve(client, dump):
    client.sendall(frame(HELLO, 0, CLIENT))
    number = {LOOKUP: NETIFD, ADD_OBJECT: CLIENT}
    try:
        while True:
            _, kind, sequence, peer, length = struct.unpack(">BBHII", whole(client, 12))
            whole(client, (length & 0xFFFFFF) - 4)
            if kind in number:
                client.sendall(frame(DATA, sequence, peer, attribute(OBJECT, struct.pack(">I", number[kind]))))
            elif kind == INVOKE:
                client.sendall(frame(DATA, sequence, peer, attribute(TABLE_OF, dump)))
            client.sendall(frame(STATUS, sequence, peer, attribute(CODE, bytes(4))))
    except (EOFError, OSError):
        client.close()


def main(networks):
    up = [{"interface": name, "up": True, "pending": False, "available": True, "autostart": True, "proto": "dhcp",
           "l3_device": device, "device": device, "route": [], "dns-server": []} for name, device in networks]
    dump = value("interface", up)
    os.makedirs(os.path.dirname(SOCKET), exist_ok=True)
    if os.path.exists(SOCKET):
        os.remove(SOCKET)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(SOCKET)
        listener.listen()
        while True:
            client, _ = listener.accept()
            threading.Thread(target=serve, args=(client, dump), daemon=True).start()


if __name__ == "__main__":
    main([word.split("=", 1) for word in sys.argv[1:]])
