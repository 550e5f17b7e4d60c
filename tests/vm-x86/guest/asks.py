"""`asks.py SERVER FLOWS` opens that many UDP flows to the echo server, one after the other, and prints how many were answered."""

import socket
import sys

server, flows = sys.argv[1], int(sys.argv[2])
answered = 0
for number in range(flows):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(2)
        one.sendto(str(number).encode(), (server, 7))
        try:
            answered += one.recv(64) == str(number).encode()
        except OSError:
            pass
print(answered)
