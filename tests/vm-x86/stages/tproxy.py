"""A transparent proxy on the box: `tproxy` marks what it takes, and a rule for that mark delivers it to the proxy. All the
client's connections reach it, before and after a failover."""

import contextlib

from home import CABLE, ECHO, IN_CLIENT, a_home, by_hand
from net import ip, nft
from rounds import VERDICT, an_agent, is_active
from tools import ensure, start, text, write

PORT, FLOWS = 7000, 4
PROXY = f"""
import socket
s = socket.socket()
s.setsockopt(socket.SOL_IP, 19, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("0.0.0.0", {PORT}))
s.listen(16)
while True:
    one, _ = s.accept()
    one.sendall(b"proxied for " + one.getsockname()[0].encode())
    one.close()
"""
ASKS = f"""
import socket
good = 0
for _ in range({FLOWS}):
    try:
        with socket.create_connection(("{ECHO}", 7), 3) as s:
            good += s.recv(64) == b"proxied for {ECHO}"
    except OSError:
        pass
print(good)
"""


@contextlib.contextmanager
def a_proxy():
    write("/run/proxy.py", PROXY)
    write("/run/asks.py", ASKS)
    proxy = start("python3 /run/proxy.py", "tproxy")
    ip(None, "rule add fwmark 1 lookup 100\nroute add local default dev lo table 100")
    nft(None, f"""table ip proxy {{
        chain taken {{
            type filter hook prerouting priority mangle
            iifname "lan0" ip daddr {ECHO} tcp dport 7 tproxy to 127.0.0.1:{PORT} meta mark set 1 accept
        }}
    }}""")
    try:
        yield
    finally:
        nft(None, "delete table ip proxy")
        ip(None, "rule del fwmark 1 lookup 100\nroute del local default dev lo table 100")
        proxy.kill()
        proxy.wait()


def proxied():
    """How many of the client's connections the proxy answered."""
    return int(text(f"{IN_CLIENT}python3 /run/asks.py"))


def play(_):
    with a_home() as home, a_proxy():
        with by_hand():
            alone = proxied()
        with an_agent("tproxy"):
            first = proxied()
            home.sever(CABLE)
            is_active("mifi", VERDICT)
            then = proxied()
            home.restore(CABLE)
    ensure(alone == FLOWS, f"without the agent {alone} of {FLOWS}")
    ensure((first, then) == (FLOWS, FLOWS), f"{first} of {FLOWS} connections proxied, {then} after a failover, {alone} without the agent")
    return f"{first} of {FLOWS} connections proxied, and {then} after a failover"
