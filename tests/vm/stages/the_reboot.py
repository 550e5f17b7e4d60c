"""After a reboot the agent knows what it had learned before: the state directory is all that was kept."""

import json

from agent import Agent, ask, at_peace
from settings import STATE, config
from tools import ensure, read, until


def play(world):
    before = json.loads(read(f"{STATE}/state.json"))["kept"]
    ensure(before["switches"] > 0 and before["lines"], f"nothing was learned: {before}")
    # No fixed window this time: what counts is what each line has earned.
    world.agent = agent = Agent("agent-after-reboot", config(more=""))
    status = until("the status", lambda: ask("status"), 30)
    ensure(status["switches"] >= before["switches"], f"{status['switches']} switches, {before['switches']} before")
    at_peace()
    agent.stop()
    after = json.loads(read(f"{STATE}/state.json"))["kept"]
    told = []
    for name, line in before["lines"].items():
        age, older = line["v4"]["age"]["secs"], after["lines"][name]["v4"]["age"]["secs"]
        ensure(older >= age, f"{name} was watched for {age} s, now for {older}")
        told.append(f"{name} {age} s")
    return f"{before['switches']} switches and what was seen of each line: {', '.join(told)}"
