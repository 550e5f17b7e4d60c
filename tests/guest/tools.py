"""Small things that every stage needs: commands, waiting, claims that can fail, lines for the report."""

import difflib
import os
import subprocess
import time

SHARED = "/vm"
LOGS = SHARED + "/logs"
# Seconds that `slowness` counts for on an idle host.
IDLE = 1.0


class Failed(Exception):
    """Something is not as it should be; the text says what."""


def run(command, **more):
    """Runs a shell command; what it says goes to the console. Fails with it."""
    done = subprocess.run(command, shell=True, text=True, **more)
    if done.returncode != 0:
        raise Failed(f"`{command.strip()}` ended with {done.returncode}")


def text(command):
    """What a shell command prints, errors included."""
    done = subprocess.run(command, shell=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise Failed(f"`{command}` ended with {done.returncode}: {done.stdout.strip()}")
    return done.stdout


def start(command, log):
    """Starts a program (no shell), with all it says in a log of the host's folder."""
    with open(f"{LOGS}/{log}.log", "a") as out:
        return subprocess.Popen(command.split(), stdin=subprocess.DEVNULL, stdout=out, stderr=out)


def read(path):
    with open(path) as file:
        return file.read()


def write(path, content):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(content)


def argument(name, otherwise):
    """A word of the kernel's command line: name=value."""
    words = dict(word.split("=", 1) for word in read("/proc/cmdline").split() if "=" in word)
    return words.get(name, otherwise)


def ensure(claim, otherwise):
    if not claim:
        raise Failed(otherwise if isinstance(otherwise, str) else repr(otherwise))


def ensure_same(now, before, otherwise):
    """The same lines as before; what differs is told."""
    lines = difflib.unified_diff(before.splitlines(), now.splitlines(), n=0, lineterm="")
    ensure(now == before, "\n".join([otherwise, *list(lines)[2:]]))


def until(what, test, seconds, every=0.2):
    """Waits until `test` gives something true, and returns it. Errors on the way count as not yet."""
    end = time.monotonic() + seconds
    last = None
    while time.monotonic() < end:
        try:
            last = test()
            if last:
                return last
        except (OSError, Failed, KeyError, ValueError) as error:
            last = error
        time.sleep(every)
    raise Failed(f"not within {seconds} s: {what} (last: {last})")


def say(line):
    """A line for people: on the console and in the report that the host follows."""
    print(line, flush=True)
    with open(f"{SHARED}/report", "a") as report:
        report.write(line + "\n")


def slowness():
    """How many times slower than an idle machine of two cores this one is now, at least 1: the host may have other
    things to do. Limits of time are stretched by it."""
    begun, spins = time.monotonic(), 0
    while spins < 2_000_000:
        spins += 1
    return max(1.0, (time.monotonic() - begun) / IDLE)
