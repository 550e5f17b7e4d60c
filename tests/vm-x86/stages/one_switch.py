"""Both uplinks are macvlans of one network card, with both modems on its switch. Each answers for its own address only;
failover and failback work."""

import time

from home import CABLE, ECHO, IN_CLIENT, MIFI, a_home
from net import ip
from rounds import an_agent, flows, metering, round_trip
from tools import ensure, run, text

FLOWS = 25


def macvlan(n):
    if n == CABLE:
        run("ip netns add switch")
        ip(None, "link add card type veth peer name box netns switch\nlink set card up")
        ip("switch", "link add ports type bridge\nlink set ports up\nlink set box master ports\nlink set box up")
    ip(None, f"link add wan{n} link card type macvlan mode bridge")
    ip("switch", f"link add modem{n} type veth peer name lan netns modem{n}\nlink set modem{n} master ports\nlink set modem{n} up")
    return f"wan{n}"


def play(_):
    with a_home(macvlan) as home:
        try:
            with an_agent("one-switch"), metering(("new", IN_CLIENT, ECHO)) as meters:
                meters[0].wait(time.monotonic(), 10)
                answered = flows(IN_CLIENT, ECHO, FLOWS)
                away, back = round_trip(home, meters)
                strangers = flux()
        finally:
            run("ip link del card; ip netns del switch")
    ensure(answered == FLOWS, f"{answered} of {FLOWS} flows answered")
    ensure(not strangers, f"one line answers for the address of the other: {strangers}")
    return f"{answered} of {FLOWS} flows answered; failover {away[0]:.1f} s, failback {back[0]:.1f} s; each line answers for itself only"


def flux():
    """Who answers, on the whole switch, for the address of each uplink, as the modem next to it learned it."""
    wrong = []
    for n in (CABLE, MIFI):
        own = text(f"cat /sys/class/net/wan{n}/address").strip()
        ip(f"modem{n}", "neigh flush all")
        run(f"ip netns exec modem{n} ping -n -q -c 3 -i 0.2 -W 1 192.168.1{n}.100 >/dev/null; true")
        learned = text(f"ip -n modem{n} neigh show 192.168.1{n}.100")
        if own not in learned:
            wrong.append(learned.strip())
    return wrong
