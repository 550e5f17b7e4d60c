"""An uplink that somebody has put into a VRF: it is told as what it is, and the other line carries the home."""

import time

from agent import BINARY, is_active
from home import CABLE, ECHO, IN_CLIENT, a_home, cable
from net import ip
from rounds import an_agent, metering
from tools import text, until


def into_vrf(n):
    name = cable(n)
    if n == CABLE:
        ip(None, f"link add blue type vrf table 77\nlink set blue up\nlink set {name} master blue")
    return name


def told(command):
    """The line of that command's that names the VRF."""
    lines = [line for line in text(f"{BINARY} {command}; true").splitlines() if "VRF" in line]
    return lines[0].strip() if lines else None


def play(_):
    with a_home(into_vrf):
        try:
            with an_agent("vrf", ready=lambda: is_active("mifi", 30)), metering(("new", IN_CLIENT, ECHO)) as meters:
                meters[0].wait(time.monotonic(), 10)
                said = until("status to name the VRF", lambda: told("status"), 5)
                advised = until("doctor to name the VRF", lambda: told("doctor"), 5)
        finally:
            ip(None, "link del blue")
    return f"status: “{said}”; doctor: “{advised}”"
