"""Debian's package on a systemd box: the service runs as its own user with two capabilities, well locked in."""

import re

from agent import at_peace, footprint
from gaps import Meter
from home import Home
from service import UNIT, begin, install, package, pid, show, status_of
from tools import ensure, text

# What `systemd-analyze security` may say at most, of 10.
EXPOSURE = 2.2
# CAP_NET_ADMIN and CAP_NET_RAW (linux/capability.h).
CAPABILITIES = 1 << 12 | 1 << 13


def play(world):
    world.home = Home(plain=True)
    world.before = footprint()
    install(package("arm64"))
    begin()
    at_peace()
    world.meter = Meter("same")
    world.meter.wait(0, 30)
    user, capabilities = status_of(pid(), "Uid")[1], int(status_of(pid(), "CapEff")[0], 16)
    ensure(user != "0", "it runs as root")
    ensure(capabilities & ~CAPABILITIES == 0, f"its capabilities are {capabilities:x}")
    said = text(f"systemd-analyze security --no-pager {UNIT}").strip().splitlines()[-1]
    exposure = float(re.search(r": ([0-9.]+) ", said).group(1))
    ensure(exposure <= EXPOSURE, said)
    return f"{show('Type')}, user {text(f'id -un {user}').strip()}, CapEff {capabilities:x}, exposure {exposure}"
