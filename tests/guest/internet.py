"""The servers of the Internet: echo (UDP and TCP) and the page that connectivity checks ask for. `internet.py ECHO,… [WEB,…]`
names the addresses of both, of either family."""

import selectors
import socket
import sys

ECHO, WEB = ([word for word in words.split(",") if word] for words in [*sys.argv[1:], ""][:2])
NO_CONTENT = b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
SUCCESS = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\nsuccess\n"

ready = selectors.DefaultSelector()


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def listen(address, port, serve):
    server = socket.socket(family(address))
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((address, port))
    server.listen(64)

    def accept():
        connection, _ = server.accept()
        ready.register(connection, selectors.EVENT_READ, lambda: answer(connection, serve))

    ready.register(server, selectors.EVENT_READ, accept)


def answer(connection, serve):
    try:
        data = connection.recv(4096)
        reply = serve(data) if data else None
        if reply:
            connection.sendall(reply)
        if not data or reply in (NO_CONTENT, SUCCESS):
            raise ConnectionError
    except OSError:
        ready.unregister(connection)
        connection.close()


def echo(address, port):
    datagrams = socket.socket(family(address), socket.SOCK_DGRAM)
    datagrams.bind((address, port))

    def back():
        data, sender = datagrams.recvfrom(2048)
        datagrams.sendto(data, sender)

    ready.register(datagrams, selectors.EVENT_READ, back)
    listen(address, port, lambda data: data)


for one in ECHO:
    echo(one, 7)
for one in WEB:
    listen(one, 80, lambda request: NO_CONTENT if b"/generate_204 " in request else SUCCESS)
while True:
    for key, _ in ready.select():
        try:
            key.data()
        except OSError:
            pass
