"""How the agent on the box is configured: two cables, a hold of one second. The window is the one that a cable begins
with, and stays: lines that are cut for some seconds again and again would teach the agent patience."""

SETTINGS = """
[[uplink]]
name = "cable"
interface = "{cable}"
{cable_more}
[[uplink]]
name = "mifi"
interface = "{mifi}"
{mifi_more}
[lan]
interfaces = ["lan0"]
[failback]
hold = "1s"
hold_max = "1s"
[probe]
window = "600ms"
[state]
dir = "{state}"
"""
STATE = "/run/state"


def config(cable="wan0", mifi="wan1", cable_more="", mifi_more="", more=""):
    return SETTINGS.format(cable=cable, mifi=mifi, cable_more=cable_more, mifi_more=mifi_more, state=STATE) + more
