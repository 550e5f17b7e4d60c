"""sparelink as systemd runs it, from Debian's package."""

import glob

from agent import CONFIG
from settings import PATIENT, config
from tools import SHARED, Failed, text, until, write

UNIT = "sparelink.service"


def package(architecture, next=False):
    """The package's file; `next` is the version after."""
    found = [path for path in glob.glob(f"{SHARED}/debs/sparelink_*_{architecture}.deb") if ("+next" in path) == next]
    if len(found) != 1:
        raise Failed(f"there is not one package for {architecture}, but {found}")
    return found[0]


def install(path):
    return text(f"dpkg --force-confold -i {path}")


def configure(more=PATIENT):
    """A chain of three cables; the state where the unit has it."""
    settings = config(hotspot='interface = "wlan0"', phone='interface = "usb0"', more=more)
    write(CONFIG, settings.replace(f"{SHARED}/state", "/var/lib/sparelink"))


def begin():
    """Configured, enabled and started."""
    configure()
    text(f"systemctl enable --now {UNIT}")
    until("the service", pid, 60)


def begin_again():
    """Restarted, after changes to the unit or to its configuration."""
    old = pid()
    text(f"systemctl daemon-reload; systemctl restart {UNIT}")
    until("the service again", lambda: pid() != old, 60)


def show(what):
    return text(f"systemctl show -P {what} {UNIT}").strip()


def pid():
    """Of the running agent."""
    number = int(show("MainPID"))
    if show("ActiveState") != "active" or not number:
        raise Failed("the service is not active")
    return number


def status_of(number, what):
    """A line of /proc/PID/status, without its name."""
    with open(f"/proc/{number}/status") as lines:
        return next(line.split(":", 1)[1].split() for line in lines if line.startswith(what + ":"))
