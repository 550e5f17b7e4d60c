"""Failovers and failbacks in a row, and what a flow felt of each; the agent from its start to its purge."""

import concurrent.futures
import contextlib
import shutil
import time

from agent import BINARY, Agent, ask, at_peace, footprint, is_active
from gaps import Meter
from home import BOX, CABLE
from settings import STATE, config
from tools import Failed, argument, ensure, ensure_same, run, text, until

# Failovers and failbacks of a stage: twenty in the long form, these in the short one.
SHORT = 2
ROUNDS = int(argument("rounds", "2"))
# Seconds in which a verdict is reached, on a machine that is emulated and has to share.
VERDICT = 15


@contextlib.contextmanager
def an_agent(log, settings=None, ready=lambda: at_peace(60)):
    """Runs until the block ends. Then it is purged, and everybody else's is as it was."""
    # What was learned of a line of the stage before is nothing of this one's.
    shutil.rmtree(STATE, ignore_errors=True)
    before = footprint()
    agent = Agent(log, settings or config())
    try:
        ready()
        yield agent
    finally:
        agent.stop()
        text(f"{BINARY} purge")
    ensure_same(footprint(), before, "purge leaves the box other than it was")


@contextlib.contextmanager
def metering(*wanted):
    """Meters, each given as (kind, where it runs, more words)."""
    meters = []
    try:
        # Python takes a second to begin here: all at the same time.
        with concurrent.futures.ThreadPoolExecutor() as together:
            for begun in [together.submit(Meter, *words) for words in wanted]:
                meters.append(begun.result())
        yield meters
    finally:
        for meter in meters:
            meter.stop()


def answered(meter, since, seconds=20):
    """Waits until what is asked from now on is answered: how long the longest silence was since that moment, in seconds."""
    meter.wait(time.monotonic(), seconds)
    return meter.gap(since) / 1000


def round_trip(home, meters, look=lambda begun, name: None):
    """One failover and the failback. Returns for each meter its longest silence in seconds, at either; `look` is called
    with the moment of each and who is in use then."""
    cut = time.monotonic()
    home.sever(CABLE)
    try:
        is_active("mifi", VERDICT)
        away = [answered(meter, cut) for meter in meters]
        look(cut, "mifi")
    finally:
        mended = time.monotonic()
        home.restore(CABLE)
    at_peace()
    time.sleep(0.5)
    with evidence():
        for meter in meters:
            meter.wait(time.monotonic(), 20)
    look(mended, "cable")
    return away, [meter.gap(mended) / 1000 for meter in meters]


@contextlib.contextmanager
def evidence():
    """If it fails, what the kernel had then is left in the logs."""
    try:
        yield
    except Failed:
        for command in ["wg show", "conntrack -L", "conntrack -L -f ipv6", "ip rule", "ip -6 rule", "ip route show table all",
                        "ip -6 route show table all", "nft list ruleset"]:
            run(f"echo '## {command}' >>/vm/logs/evidence; {command} >>/vm/logs/evidence 2>&1; true")
        raise


def switches():
    return [entry["text"] for entry in ask("history") if entry["code"] == "switched"]


def own(kind="same", more=""):
    """A meter of the box's own."""
    return kind, BOX, more


def worst(gaps):
    return f"{max(gaps):.1f} s" if gaps else "never"


def median(gaps):
    return f"{sorted(gaps)[len(gaps) // 2]:.1f}"


def silent(meter, seconds):
    """Nothing comes back for so long: what a control without the agent shows. Fails if something does."""
    begun = time.monotonic()
    time.sleep(seconds)
    ensure(not meter.answered_since(begun + 0.5), "the line was cut, and yet there were answers")


def flows(inside, server, count):
    """How many of so many new flows are answered."""
    return int(text(f"{inside}python3 /vm/guest/asks.py {server} {count}"))


def ping_works(inside, address, seconds=10):
    until(f"an answer from {address}", lambda: run(f"{inside}ping -n -q -c 1 -W 1 {address} >/dev/null") is None, seconds)
