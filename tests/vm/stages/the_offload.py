"""Somebody's flowtable carries flows past the packet filter. They leave a dead uplink all the same."""

import time

from agent import ask, at_peace, is_active, uplink
from gaps import Meter
from home import CABLE, ECHO
from net import nft
from tools import ensure, run, text, until


def entries():
    """The long flow's connection-tracking entries, as text."""
    return [line for line in text("conntrack -L -p udp 2>/dev/null").splitlines() if f"dst={ECHO} sport=" in line
            and f"sport={PORT} " in line]


PORT = 5060


def play(world):
    home = world.home
    at_peace()
    devices = ", ".join(["lan0", *home.interfaces])
    run("nft -f -", input=f"""table inet shop {{
        flowtable fast {{ hook ingress priority filter; devices = {{ {devices} }}; }}
        chain forward {{
            type filter hook forward priority filter + 10
            meta l4proto {{ tcp, udp }} flow add @fast
        }}
    }}""")
    flow = Meter("same")
    try:
        before = until("the flow offloaded", lambda: [e for e in entries() if "[OFFLOAD]" in e], 20)
        ensure("mark=16777216" in before[0], f"not pinned to cable: {before}")
        until("the agent to know", lambda: uplink("cable")["offloaded"], 40)
        moment = time.monotonic()
        home.sever(CABLE)
        is_active("hotspot", 60)
        flow.wait(moment + 0.1, 60)
        after = until("the same flow pinned to the hotspot", lambda: [e for e in entries() if "mark=33554432" in e], 20)
        time.sleep(1)
        ensure(len(entries()) == 1, f"more than one entry: {entries()}")
        told = f"a flow offloaded on cable was answered by way of the hotspot after {flow.gap(moment):.0f} ms"
        again = until("the flow offloaded again", lambda: [e for e in entries() if "[OFFLOAD]" in e], 20)
        ensure("mark=33554432" in again[0], f"{again}")
        said = [entry["text"] for entry in ask("history") if "offload" in entry["text"]]
        ensure(said, "the agent did not mention that connections are offloaded")
        return f"{told}, and offloaded there again"
    finally:
        flow.stop()
        home.restore(CABLE)
        nft(None, "delete table inet shop")
