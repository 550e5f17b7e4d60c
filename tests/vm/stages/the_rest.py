"""What the 32-bit programs cost at rest with three uplinks: memory, and how often they wake. The full one as on a Pi; the lite
one as on OpenWrt, with its language and its bus."""

import glob
import statistics
import time

from agent import SHARED, Agent, ask, at_peace, uplink
from home import SSID
from settings import STATE, config
from tools import ensure, read, run, start, write

SETTLE, PERIODS, PERIOD = 20, 6, 10
UCI = f"""
config sparelink 'main'
	option enabled '1'
	list lan 'lan0'
	option state_dir '{STATE}'
	option hold '3s'
	option hold_max '3s'
config uplink 'cable'
	option network 'wan'
config uplink 'hotspot'
	option ssid "{SSID}"
	option kind 'wifi'
config uplink 'phone'
	option network 'wwan'
	option kind 'cellular'
	option metered '1'
"""


def wake_ups(pid):
    """Voluntary context switches so far, of all threads."""
    count = 0
    for path in glob.glob(f"/proc/{pid}/task/*/status"):
        count += int(next(line for line in read(path).splitlines() if line.startswith("voluntary")).split()[1])
    return count


def cost(name, agent, most_kb, most_wake_ups):
    """What it costs, in words, and whether that is no more than so much."""
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
    status = dict(line.split(":", 1) for line in read(f"/proc/{pid}/status").splitlines())
    rss, own = (int(status[key].split()[0]) for key in ("VmRSS", "RssAnon"))
    events = len(ask("history")) - before
    said = f"{name}: {rss} kB resident ({own} of its own), {woken:.0f} wake-ups a minute in the median, {whole} in this one ({events} events)"
    return said, rss <= most_kb and woken <= most_wake_ups


def play(world):
    world.meter.stop()
    phone = uplink("phone")["interface"]
    world.agent.stop()
    # Flows that are still to finish on a spare are counted, and so no rest.
    run("conntrack -F")
    # The defaults, as on a box.
    world.agent = Agent("agent-armv7", config(more=""), f"{SHARED}/bin/sparelink-armv7")
    full = cost("armv7", world.agent, 10 * 1024, 300)
    world.agent.stop()
    bus = start(f"python3 /vm/guest/ubusd.py wan=wan0 wwan={phone}", "ubusd")
    try:
        write("/etc/config/sparelink", UCI)
        run("conntrack -F")
        lite, options = f"{SHARED}/bin/sparelink-armv7-lite", ["--uci", "/etc/config/sparelink"]
        world.agent = Agent("agent-lite", config(more=""), lite, options)
        costs = [full, cost("lite, UCI and ubus", world.agent, 4200, 300)]
    finally:
        bus.kill()
    told = "; ".join(said for said, _ in costs)
    ensure(all(little for _, little in costs), told)
    return told
