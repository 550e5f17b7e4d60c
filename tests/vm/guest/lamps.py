"""What the board's LEDs show, read off its GPIO lines, where a person would see the light."""

import re
import time

from tools import ensure, read

LINES = "/sys/kernel/debug/gpio"
WATCH, EVERY = 8.0, 0.02


def levels():
    """Whether each line in use is high, by its number on the chip."""
    text = read(LINES)
    first = int(re.search(r"GPIOs (\d+)-", text).group(1))
    used = re.findall(r"gpio-(\d+) .*\bout (hi|lo)", text)
    return {int(number) - first: level == "hi" for number, level in used}


def patterns(lines):
    """What each of these lines shows: off, steady, slow (one blink in two seconds), double (two) or fast (eight)."""
    seen, end = [], time.monotonic() + WATCH
    while time.monotonic() < end:
        seen.append((time.monotonic(), levels()))
        time.sleep(EVERY)
    return {line: pattern([(at, level.get(line)) for at, level in seen]) for line in lines}


def pattern(samples):
    """The share of time that it is lit tells most; the rest is told by how often it lights up."""
    ensure(all(level is not None for _, level in samples), "the line is not in use")
    steps = list(zip(samples, samples[1:]))
    whole = samples[-1][0] - samples[0][0]
    lit = sum(b[0] - a[0] for a, b in steps if a[1]) / whole
    blinks = sum(1 for a, b in steps if b[1] and not a[1]) / whole * 2
    if lit > 0.95 or lit < 0.05:
        return "steady" if lit > 0.95 else "off"
    if lit > 0.37:
        return "fast"
    return "slow" if blinks < 1.5 else "double"
