"""The package is upgraded while the LAN talks: nobody loses a packet, nothing that was learned is forgotten."""

import time

from agent import at_peace
from service import install, package, pid
from tools import ensure, text, until


def play(world):
    old, moment = pid(), time.monotonic()
    install(package("arm64", next=True))
    until("the new agent", lambda: pid() != old, 60)
    at_peace()
    time.sleep(2.5)
    lost, whole = world.meter.lost(moment)
    version = text("dpkg-query -f '${Version}' -W sparelink")
    ensure(version.endswith("+next"), version)
    ensure(lost == 0, f"{lost} of {whole} packets of the LAN were lost")
    return f"{version} runs; 0 of {whole} packets lost"
