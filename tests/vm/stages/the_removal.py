"""Removed and purged, nothing of it is left: no file, no unit, no route, no setting."""

from agent import footprint
from service import UNIT
from tools import ensure, ensure_same, text


def play(world):
    world.meter.stop()
    text("dpkg -r sparelink")
    ensure_same(footprint(), world.before, "left in the kernel by the removal:")
    text("dpkg -P sparelink")
    places = "/etc /usr /var/lib /run -path /var/lib/dpkg -prune -o -path '/run/meter*' -prune -o"
    left = text(f"find {places} -name '*sparelink*' -print").split()
    ensure(not left, f"left behind: {left}")
    ensure("LoadState=not-found" in text(f"systemctl show {UNIT}"), "systemd still knows the unit")
    return "nothing left in the kernel after the removal, no file after the purge"
