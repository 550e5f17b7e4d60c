"""What a LAN client feels. `meter.py new FILE` opens a new UDP flow to the echo server every 100 ms, `meter.py same FILE`
keeps one flow for all packets, from port 5060. Each answer is a line in FILE: its number, when it was asked for, and when it
came (monotonic seconds). A third word is another server, a fourth the mark that each packet carries, as from Tailscale's."""

import selectors
import socket
import sys
import time

EVERY, WAIT = 0.1, 2.0
ECHO = "203.0.113.7"


def flow(server, mark):
    one = socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM)
    one.setblocking(False)
    if ":" in server:
        # Of the same port there is one of either family.
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if mark:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
    return one


def main(kind, path, server=ECHO, mark="0"):
    ready, waiting, number = selectors.DefaultSelector(), [], 0
    mark = int(mark, 0)
    same = flow(server, mark) if kind == "same" else None
    if same:
        same.bind(("", 5060))
        ready.register(same, selectors.EVENT_READ)
    with open(path, "w", buffering=1) as out:
        out.write("begun\n")
        due = time.monotonic()
        while True:
            now = time.monotonic()
            if now >= due:
                due = max(due + EVERY, now)
                one = same or flow(server, mark)
                if not same:
                    ready.register(one, selectors.EVENT_READ)
                    waiting.append((now, one))
                number += 1
                try:
                    one.sendto(f"{number} {now}".encode(), (server, 7))
                except OSError:
                    pass
            while waiting and waiting[0][0] < now - WAIT:
                _, one = waiting.pop(0)
                ready.unregister(one)
                one.close()
            for key, _ in ready.select(max(0, due - time.monotonic())):
                try:
                    out.write(f"{key.fileobj.recv(64).decode()} {time.monotonic()}\n")
                except OSError:
                    pass


main(*sys.argv[1:])
