"""The phone's cable comes out, and the phone comes back as another interface: with a new hardware address, as
Android makes one each time, and so under another name."""

import time

from agent import uplink
from home import GADGET, PHONE
from tools import ensure, slowness, until, write

# From the address to an eligible spare, in seconds, on a machine as slow as an emulated one.
PROVEN = 15


def play(world):
    home, told, pace = world.home, [], slowness()
    old = home.interfaces[PHONE]
    home.unplug()
    until("the phone is gone", lambda: uplink("phone")["role"] == "not_ready", 10)
    told.append(f"{old} unplugged ({uplink('phone')['condition']})")
    # One that is not locally administered, so that the kernel calls it eth-something.
    home.plug_as("00:16:3e:83:00:02")
    new = home.interfaces[PHONE]
    ensure(new != old, f"it came back as {new}")
    home.lease(PHONE)
    address = time.monotonic()
    until("a spare again", lambda: uplink("phone")["role"] == "ready", 60)
    took = time.monotonic() - address
    ensure(uplink("phone")["interface"] == new, f"the agent calls it {uplink('phone')['interface']}")
    ensure(took <= PROVEN * pace, f"a spare only {took:.1f} s after its address")
    return f"{told[0]}, back as {new} (pace 1:{pace:.1f}); a spare {took:.1f} s after its address"
