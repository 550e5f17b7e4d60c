"""The root can no longer be written, as when a card wears out: the service goes on and starts again, and says it once."""

import time

from agent import at_peace
from service import begin_again, pid
from tools import ensure, run, text


def play(world):
    old, moment = pid(), time.monotonic()
    run("mount -o remount,ro /")
    try:
        ensure("Read-only" in text("touch /var/lib/sparelink/file 2>&1 || true"), "control: the root can be written")
        begin_again()
        at_peace()
        time.sleep(2.5)
        lost, whole = world.meter.lost(moment)
        said = [line for line in text(f"journalctl -o cat _PID={old}").splitlines() if "in RAM only" in line]
    finally:
        run("mount -o remount,rw /")
    ensure(len(said) == 1, f"said {said}")
    ensure(lost == 0, f"{lost} of {whole} packets of the LAN were lost")
    return f"{said[0].split('WARN')[1].strip()}; started again on it, 0 of {whole} packets lost"
