"""The agent hangs: systemd's watchdog starts another one, and the traffic never notices."""

import os
import signal
import time

from agent import at_peace
from service import pid, show
from tools import ensure, until


def play(world):
    hung, limit = pid(), show("WatchdogUSec")
    moment = time.monotonic()
    os.kill(hung, signal.SIGSTOP)
    until("another agent", lambda: pid() != hung, 180)
    took = time.monotonic() - moment
    at_peace()
    time.sleep(2.5)
    lost, whole = world.meter.lost(moment)
    ensure(lost == 0, f"{lost} of {whole} packets of the LAN were lost")
    return f"stopped, and another one ran after {took:.0f} s (watchdog: {limit}); 0 of {whole} packets lost meanwhile"
