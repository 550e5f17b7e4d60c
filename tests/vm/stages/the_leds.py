"""The LEDs of the board show each state: two of them LED devices that the kernel blinks, one a line of the GPIO
controller that the agent drives, and one that somebody else has."""

from agent import Agent, at_peace, is_active, uplink
from home import CABLE, HOTSPOT, PHONE
from lamps import patterns
from settings import PATIENT, config
from tools import ensure, read, until

# Lines 4 to 6 are LED devices (see `board`), 7 is free. The phone's is the one that the first LED hangs on.
BOX, ITS_CABLE, ITS_HOTSPOT, BUSY = 4, 5, 7, 4
LEDS = f"""
[leds]
status = "board:green:internet"
[leds.uplinks]
cable = "board:yellow:spare"
hotspot = {{ gpio = "gpiochip0", line = {ITS_HOTSPOT} }}
phone = {{ gpio = "gpiochip0", line = {BUSY} }}
"""


def play(world):
    home, told = world.home, []
    world.agent.stop()
    world.agent = agent = Agent("agent-leds", config(more=PATIENT + LEDS))
    at_peace()

    def shows(state, *wanted):
        """The box, the cable and the hotspot show this; the last try says what they did show."""
        lines = (BOX, ITS_CABLE, ITS_HOTSPOT)
        def agree():
            now = patterns(lines)
            ensure(tuple(now.values()) == wanted, f"{state}: {now}, not {wanted}")
            return True
        until(f"the LEDs for {state}", agree, 60)
        told.append(f"{state}: {', '.join(wanted)}")

    shows("on cable, spares ready", "steady", "steady", "slow")
    home.sever(CABLE)
    is_active("hotspot", 60)
    shows("on hotspot", "slow", "fast", "steady")
    home.sever(HOTSPOT)
    is_active("phone", 60)
    shows("on phone, no spare", "double", "fast", "fast")
    home.sever(PHONE)
    until("no Internet", lambda: uplink("phone")["health"] == "down", 90)
    shows("no Internet", "fast", "fast", "fast")
    for n in (CABLE, HOTSPOT, PHONE):
        home.restore(n)
    at_peace()
    shows("on cable again", "steady", "steady", "slow")
    agent.stop()
    ensure(patterns([BOX])[BOX] == "off" and "[none]" in read("/sys/class/leds/board:green:internet/trigger"),
           "the LED was not given back")
    warned = [line for line in agent.log().splitlines() if "WARN" in line and "gpiochip0" in line]
    ensure(len(warned) == 1, f"warned {len(warned)} times of the busy line: {warned}")
    world.agent = Agent("agent")
    at_peace()
    return "; ".join(told) + "; given back; one warning of the busy line"
