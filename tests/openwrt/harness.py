"""Runs the tests of this folder, a line each, and says at the end how many passed."""

import contextlib
import sys
import tempfile
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
OPENWRT = REPOSITORY / "packaging/openwrt"

TESTS = []


class Skipped(Exception):
    """What the machine lacks for a test."""


def test(function):
    """Marks a test; its name is that of the function."""
    TESTS.append(function)
    return function


def ensure(holds, what):
    if not holds:
        raise AssertionError(what)


def same(is_, shall, what):
    ensure(is_ == shall, f"{what}:\n  is    {is_!r}\n  shall {shall!r}")


@contextlib.contextmanager
def folder():
    """A folder that is gone afterwards, whatever modes are in it."""
    with tempfile.TemporaryDirectory(prefix="sparelink-openwrt-") as name:
        yield Path(name)


def run(words):
    """Runs the tests whose names have one of the words in them (without words: all); the exit code."""
    begun, passed, failed, skipped = time.monotonic(), 0, 0, 0
    for function in TESTS:
        name = function.__name__
        if words and not any(word in name for word in words):
            continue
        own = time.monotonic()
        try:
            function()
        except Skipped as reason:
            skipped += 1
            print(f"test {name} ... skipped: {reason}", flush=True)
            continue
        except Exception as error:
            failed += 1
            if not isinstance(error, AssertionError):
                traceback.print_exc()
            print(f"test {name} ... FAILED ({time.monotonic() - own:.1f} s)\n{error}", flush=True)
            continue
        passed += 1
        print(f"test {name} ... ok ({time.monotonic() - own:.1f} s)", flush=True)
    result = "ok" if failed == 0 and passed > 0 else "FAILED"
    told = f"; {skipped} skipped" if skipped else ""
    print(f"\ntest result: {result}. {passed} passed; {failed} failed{told}; finished in {time.monotonic() - begun:.1f} s")
    return 0 if result == "ok" else 1


def main():
    sys.exit(run(sys.argv[1:]))
