"""Three uplinks on the board: a cable, a phone's hotspot by Wi-Fi, a tethered phone by USB, each at its distance."""

import os

from home import CABLE, HOTSPOT, PHONE, SSID, Home
from tools import ensure, read, text


def play(world):
    up = float(read("/proc/uptime").split()[0])
    world.home = Home()
    home = world.home
    link = text("iw dev wlan0 link")
    ensure(f"SSID: {SSID}" in link, f"not in the hotspot's network: {link}")
    driver = os.path.basename(os.readlink(f"/sys/class/net/{home.interfaces[PHONE]}/device/driver"))
    ensure(driver == "rndis_host", f"the tether's driver is {driver}")
    cable, hotspot, phone = home.round_trips()
    ensure(cable < hotspot < phone, f"round trips of {cable}, {hotspot}, {phone} ms")
    release = os.uname().release
    return (f"Linux {release} up after {up:.0f} s; {cable:.0f} ms by wan0, {hotspot:.0f} by wlan0 ({SSID}),"
            f" {phone:.0f} by {home.interfaces[PHONE]} ({driver})")
