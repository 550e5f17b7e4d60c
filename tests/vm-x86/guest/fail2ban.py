"""fail2ban as Debian has it, with its filter for sshd, and two jails that read one log: a ban by nftables and one by iptables."""

import contextlib

from tools import run, start, text, until, write

LOG, PORTS = "/run/auth.log", (22, 2222)
LOCAL = """
[Definition]
dbfile = None
logtarget = STDERR
"""
JAILS = f"""
[DEFAULT]
usedns = no
ignoreself = false
backend = polling
maxretry = 3
bantime = 1h
[sshd]
enabled = true
backend = polling
logpath = {LOG}
port = {PORTS[0]}
banaction = nftables-multiport
[sshd-too]
enabled = true
filter = sshd
logpath = {LOG}
port = {PORTS[1]}
banaction = iptables-multiport
"""
# What those ports answer; it is nobody's sshd.
SERVER = f"""
import socket, select
all = [socket.create_server(("0.0.0.0", port)) for port in {PORTS}]
while True:
    for one in select.select(all, [], [])[0]:
        one.accept()[0].close()
"""
KNOCKS = """
import socket, sys
opened = 0
for port in map(int, sys.argv[3:]):
    with socket.socket() as one:
        one.settimeout(3)
        one.bind((sys.argv[1], 0))
        opened += one.connect_ex((sys.argv[2], port)) == 0
print(opened)
"""


@contextlib.contextmanager
def running():
    write("/etc/fail2ban/fail2ban.local", LOCAL)
    write("/etc/fail2ban/jail.local", JAILS)
    write(LOG, "")
    write("/run/ports.py", SERVER)
    write("/run/knocks.py", KNOCKS)
    run("mkdir -p /run/fail2ban")
    ports = start("python3 /run/ports.py", "ports")
    server = start("/usr/bin/python3 /usr/bin/fail2ban-server -f start", "fail2ban")
    try:
        until("fail2ban's jails", lambda: "sshd-too" in text("fail2ban-client status"), 60)
        yield
    finally:
        server.terminate()
        server.wait(30)
        ports.kill()
        ports.wait()
        # Chains of iptables are there for good, once somebody asked for them.
        run("nft delete table ip filter 2>/dev/null; true")


def guesses(attacker):
    """Somebody guesses passwords, and is banned by both jails."""
    run(f"for n in 1 2 3 4; do echo \"$(date '+%b %e %T') box sshd[$n]: Failed password for root from {attacker} port 4000$n ssh2\""
        f" >>{LOG}; done")
    until(f"the bans of {attacker}", lambda: all(attacker in banned(jail) for jail in ("sshd", "sshd-too")), 30)


def pardon(attacker):
    run(f"fail2ban-client unban {attacker} >/dev/null")


def banned(jail):
    return text(f"fail2ban-client get {jail} banned")


def opened(modem, attacker, box):
    """How many of the two ports an attacker beside a modem can open."""
    numbers = " ".join(map(str, PORTS))
    return int(text(f"ip netns exec {modem} python3 /run/knocks.py {attacker} {box} {numbers}"))
