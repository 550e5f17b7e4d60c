"""Reads what `meter.py` wrote."""

import time

from tools import read, start, until


class Meter:
    def __init__(self, kind, inside="ip netns exec client ", more=""):
        """Packets of the client's, or of the machine's own with nothing for `inside`."""
        self.path = f"/run/meter-{kind}-{time.monotonic_ns()}"
        self.process = start(f"{inside}python3 /vm/guest/meter.py {kind} {self.path} {more}", "meter")
        until("the meter at work", lambda: read(self.path), 30)

    def lines(self):
        split = [line.split() for line in read(self.path).splitlines()]
        return [line for line in split if len(line) == 3]

    def answers(self):
        """(asked, answered) of each packet so far, in the order of asking."""
        return sorted((float(asked), float(answered)) for _, asked, answered in self.lines())

    def lost(self, moment):
        """How many of the packets asked since that moment were not answered, and of how many."""
        numbers = {int(number) for number, asked, _ in self.lines() if float(asked) >= moment}
        whole = max(numbers) - min(numbers) + 1
        return whole - len(numbers), whole

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
