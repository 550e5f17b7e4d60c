"""Reads what `meter.py` wrote."""

import time

from tools import read, start, until


class Meter:
    def __init__(self, kind):
        self.path = f"/run/meter-{kind}-{time.monotonic_ns()}"
        self.process = start(f"ip netns exec client python3 /vm/guest/meter.py {kind} {self.path}", "meter")
        until("the meter at work", lambda: read(self.path), 30)

    def answers(self):
        """(asked, answered) of each packet so far, in the order of asking."""
        lines = [line.split() for line in read(self.path).splitlines()]
        return sorted((float(line[0]), float(line[1])) for line in lines if len(line) == 2)

    def answered_since(self, moment):
        return any(asked >= moment for asked, _ in self.answers())

    def wait(self, moment, seconds):
        """When the first packet asked after that moment was answered."""
        until("an answer for the LAN client", lambda: self.answered_since(moment), seconds)
        return next(answered for asked, answered in self.answers() if asked >= moment)

    def gap(self, moment):
        """Milliseconds between the two answered questions, the first since shortly before that moment, that were
        furthest apart."""
        asked = [at for at, _ in self.answers() if at >= moment - 1]
        return max((b - a for a, b in zip(asked, asked[1:])), default=0) * 1000

    def stop(self):
        self.process.kill()
        self.process.wait()
