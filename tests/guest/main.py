"""Plays the stages of one boot, in order, and writes one line for each into the report.

The kernel's command line names them: stages=A,B,…. A stage is a file of its own with `play(world)`, which returns what
was measured, in words."""

import importlib
import sys
import time
import traceback

sys.path += ["/vm/guest", "/vm/stages"]

from tools import Failed, argument, say  # noqa: E402


class World:
    """What stages leave for those after them: the home, the agent, meters."""


def play(name, world):
    begun = time.monotonic()
    try:
        measured = importlib.import_module(name).play(world)
        verdict = "ok    "
    except Exception as error:  # whatever it was, the next stage may still tell something
        traceback.print_exc()
        measured = str(error) if isinstance(error, Failed) else repr(error)
        verdict = "FAILED"
    say(f"{verdict} {name.replace('_', ' ')}: {measured} ({time.monotonic() - begun:.0f} s)")
    return verdict == "ok    "


def main():
    world = World()
    for name in argument("stages", "").split(","):
        # Without a home or an agent nothing that follows makes sense.
        if not play(name, world) and name in ("the_home", "the_start"):
            return


main()
