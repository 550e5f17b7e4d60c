"""The service as its drop-ins make it: without CAP_NET_RAW, and with an LED on a GPIO line beside an LED device."""

import shutil

from agent import at_peace, is_active
from home import CABLE
from lamps import patterns
from service import UNIT, begin_again, configure, pid, status_of
from settings import PATIENT
from tools import ensure, run, until

EXAMPLES, FOLDER = "/usr/share/doc/sparelink/examples", f"/etc/systemd/system/{UNIT}.d"
# Line 4 is an LED device (see `board`), 7 is free.
BOX, ITS_HOTSPOT = 4, 7
LEDS = f"""
[leds]
status = "board:green:internet"
uplinks = {{ hotspot = {{ gpio = "gpiochip0", line = {ITS_HOTSPOT} }} }}
"""
CAP_NET_ADMIN = 1 << 12


def show(*wanted):
    """The box and the hotspot."""
    def agree():
        now = tuple(patterns((BOX, ITS_HOTSPOT)).values())
        ensure(now == wanted, f"{now}, not {wanted}")
        return True
    until("the LEDs", agree, 60)


def play(world):
    shutil.copytree(EXAMPLES, FOLDER)
    configure(PATIENT + LEDS)
    begin_again()
    at_peace()
    capabilities = int(status_of(pid(), "CapEff")[0], 16)
    ensure(capabilities == CAP_NET_ADMIN, f"its capabilities are {capabilities:x}")
    show("steady", "slow")
    world.home.sever(CABLE)
    is_active("hotspot", 60)
    show("slow", "steady")
    world.home.restore(CABLE)
    at_peace()
    run(f"rm -r {FOLDER}")
    configure()
    begin_again()
    at_peace()
    return f"CapEff {capabilities:x}: failed over and back; an LED device and a GPIO line showed it"
