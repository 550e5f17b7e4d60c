"""How the agent on the board is configured."""

from home import SSID
from tools import SHARED

STATE = f"{SHARED}/state"
UPLINKS = """
[[uplink]]
name = "cable"
interface = "wan0"
[[uplink]]
name = "hotspot"
{hotspot}
kind = "wifi"
[[uplink]]
name = "phone"
{phone}
kind = "cellular"
metered = true
[lan]
interfaces = ["lan0"]
[failback]
hold = "3s"
hold_max = "3s"
[state]
dir = "{state}"
"""


# An emulated machine stands still for half a second whenever its host is busy: verdicts wait for longer than that.
PATIENT = """
[probe]
window = "2s"
"""


# A phone is known by what it is, not by what the kernel happens to call it.
HOTSPOT, PHONE = f'match = {{ ssid = "{SSID}" }}', 'match = { driver = "rndis_host" }'


def config(hotspot=HOTSPOT, phone=PHONE, more=PATIENT):
    return UPLINKS.format(hotspot=hotspot, phone=phone, state=STATE) + more
