"""The agent on the box, as a person would run it, and what it says over its socket. How it is configured there is in
the machine's own `settings.py`."""

import http.client
import json
import signal
import socket
import subprocess
import time

from settings import config
from tools import LOGS, SHARED, read, text, until, write

RUN, CONFIG = "/run/sparelink", "/etc/sparelink/sparelink.toml"
BINARY = f"{SHARED}/bin/sparelink"


class Agent:
    def __init__(self, log, settings=None, binary=BINARY, options=()):
        write(CONFIG, settings or config())
        self.path = f"{LOGS}/{log}.log"
        self.begun = time.monotonic()
        with open(self.path, "a") as out:
            command = [binary, "run", "--verbose", *options]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def log(self):
        return read(self.path)

    def stop(self):
        """Ends it as systemd would; the traffic stays as it is."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def ended(self, seconds):
        """Its exit code, or None if it goes on: then it is stopped."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.stop()
            return None


def is_active(name, seconds):
    return until(f"{name} in use", lambda: ask("status")["active"] == name, seconds)


def at_peace(seconds=120):
    """The first of the chain in use, the others ready."""
    is_active("cable", seconds)

    def proven():
        return all(uplink["role"] in ("active", "ready") for uplink in ask("status")["uplinks"])
    until("all of them proven", proven, seconds)


class Socket(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(f"{RUN}/sparelink.sock")


def ask(what):
    """`status` or `history`, from the agent's socket."""
    connection = Socket("localhost")
    connection.request("GET", f"/api/v1/{what}")
    answer = connection.getresponse().read()
    connection.close()
    return json.loads(answer)


def uplink(name):
    return next(u for u in ask("status")["uplinks"] if u["name"] == name)


def footprint():
    """What is in the kernel that an agent might change: rules, routes, nftables, settings."""
    commands = ["ip -4 rule", "ip -6 rule", "ip -4 route show table all", "nft --stateless list ruleset",
                "sysctl -a --pattern '(rp_filter|src_valid_mark|ip_forward|linkdown|tcp_loose|ping_group_range)$'"]
    return "\n".join(text(command) for command in commands)
