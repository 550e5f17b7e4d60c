"""What the 32-bit binary costs at rest with three uplinks: memory, and how often it wakes."""

import glob
import statistics
import time

from agent import SHARED, Agent, ask, at_peace
from settings import config
from tools import ensure, read, run

RSS_KB, WAKE_UPS = 10 * 1024, 300
SETTLE, PERIODS, PERIOD = 20, 6, 10


def wake_ups(pid):
    """Voluntary context switches so far, of all threads."""
    count = 0
    for path in glob.glob(f"/proc/{pid}/task/*/status"):
        count += int(next(line for line in read(path).splitlines() if line.startswith("voluntary")).split()[1])
    return count


def play(world):
    world.meter.stop()
    world.agent.stop()
    # Flows that are still to finish on a spare are counted, and so no rest.
    run("conntrack -F")
    # The defaults, as on a box.
    world.agent = agent = Agent("agent-armv7", config(more=""), f"{SHARED}/bin/sparelink-armv7")
    at_peace()
    time.sleep(SETTLE)
    pid, before = agent.process.pid, len(ask("history"))
    counts = [wake_ups(pid)]
    for _ in range(PERIODS):
        time.sleep(PERIOD)
        counts.append(wake_ups(pid))
    # The median, because a host that is busy makes a line look silent, and a silent line is asked more often.
    woken = statistics.median(b - a for a, b in zip(counts, counts[1:])) * 60 / PERIOD
    whole = counts[-1] - counts[0]
    status = read(f"/proc/{pid}/status")
    rss = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
    events = len(ask("history")) - before
    ensure(rss <= RSS_KB, f"{rss} kB resident")
    ensure(woken <= WAKE_UPS, f"{woken:.0f} wake-ups a minute, {whole} in this one, {events} events; {rss} kB resident")
    return f"armv7: {rss} kB resident, {woken:.0f} wake-ups a minute in the median, {whole} in this one ({events} events)"
