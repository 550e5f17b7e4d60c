"""The phone's cable comes out, and the phone comes back as another interface: with a new hardware address, as
Android makes one each time, and so under another name. It is known by its driver, then by the port it is plugged into."""

import os
import signal
import time

from agent import CONFIG, uplink
from home import PHONE
from settings import config
from tools import ensure, slowness, until, write

# From the address to an eligible spare, in seconds, on a machine as slow as an emulated one.
PROVEN = 15
# One that is not locally administered, which the kernel calls eth-something, and one that is: usb-something.
ETH, USB = "00:16:3e:83:00:02", "02:83:00:00:00:03"


def play(world):
    home = world.home
    told = [f"by its driver: {replugged(home, ETH)}"]
    device = os.path.realpath(f"/sys/class/net/{home.interfaces[PHONE]}/device")
    port = os.path.basename(os.path.dirname(device))
    write(CONFIG, config(phone=f'match = {{ usb_path = "{port}" }}'))
    world.agent.process.send_signal(signal.SIGHUP)
    told.append(f"by its port {port}: {replugged(home, USB)}")
    return "; ".join(told)


def replugged(home, mac):
    """It comes out, and back with another address. What that took, in words."""
    ready()
    old, pace = home.interfaces[PHONE], slowness()
    home.unplug()
    until("the phone is gone", lambda: uplink("phone")["role"] == "not_ready", 10)
    gone = uplink("phone")["condition"]
    home.plug_as(mac)
    new = home.interfaces[PHONE]
    ensure(new != old, f"it came back as {new}")
    home.lease(PHONE)
    address = time.monotonic()
    ready()
    took = time.monotonic() - address
    ensure(uplink("phone")["interface"] == new, f"the agent calls it {uplink('phone')['interface']}")
    ensure(took <= PROVEN * pace, f"a spare only {took:.1f} s after its address")
    return f"{old} unplugged ({gone}), back as {new} (pace 1:{pace:.1f}), a spare {took:.1f} s after its address"


def ready():
    until("a spare", lambda: uplink("phone")["role"] == "ready", 60)
