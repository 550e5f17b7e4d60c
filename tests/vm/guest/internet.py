"""The servers of the Internet: echo (UDP and TCP) and the page that connectivity checks ask for."""

import selectors
import socket

ECHO, WEB = "203.0.113.7", "203.0.113.80"
NO_CONTENT = b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
SUCCESS = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\nsuccess\n"

ready = selectors.DefaultSelector()


def listen(address, port, serve):
    server = socket.socket()
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


datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind((ECHO, 7))


def echo():
    data, sender = datagrams.recvfrom(2048)
    datagrams.sendto(data, sender)


ready.register(datagrams, selectors.EVENT_READ, echo)
listen(ECHO, 7, lambda data: data)
listen(WEB, 80, lambda request: NO_CONTENT if b"/generate_204 " in request else SUCCESS)
while True:
    for key, _ in ready.select():
        try:
            key.data()
        except OSError:
            pass
