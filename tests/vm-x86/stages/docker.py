"""Where Docker switches forwarding on, it drops what others forward, the LAN's packets too: status and doctor say so, and
what doctor says to type helps. Started after the agent it finds forwarding on, and drops nothing. A container's packets
leave by the uplink in use, with Docker's own NAT."""

import time

from agent import BINARY
from dockerd import a_container, advised, let_through, running
from home import CABLE, ECHO, IN_CLIENT, a_home
from rounds import ROUNDS, VERDICT, an_agent, flows, is_active, median, metering, round_trip, worst
from sniffer import sniffing
from tools import ensure, slowness, text, until

FLOWS = 4
ADDRESSES = {"cable": "192.168.10.100", "mifi": "192.168.11.100"}
# Seconds without an answer at a failover, on a machine that is nobody else's.
SILENCE = 3.0


def shut_out(inside):
    """The control: what the LAN sends is dropped, and that is told; containers are not concerned. Gives what to type."""
    answered = flows(IN_CLIENT, ECHO, FLOWS), flows(inside, ECHO, FLOWS)
    ensure(answered == (0, FLOWS), f"with nothing typed, of {FLOWS} flows {answered[0]} of the LAN's and {answered[1]} of a"
                                   " container's were answered")
    until("status to name the firewall", lambda: "the firewall ip filter does not let the LAN out"
          in text(f"{BINARY} status; true"), 30)
    lines = advised()
    ensure(len(lines) == 4, f"doctor advises {lines}")
    return lines


def failovers(home, sniffer, inside, rounds):
    """The longest silence at each failover, of the LAN's flows and of the container's."""
    def sources(begun, name):
        time.sleep(1)
        seen = sniffer.sources(ECHO, since=time.monotonic() - 0.8)
        # The flow that goes on stays where it was moved to.
        wanted = set(ADDRESSES.values()) if name == "cable" else {ADDRESSES[name]}
        ensure(seen == wanted, f"{name} is in use, and the modems see {seen}")

    with metering(("new", IN_CLIENT, ECHO), ("new", inside, ECHO), ("same", inside, ECHO)) as meters:
        for meter in meters:
            meter.wait(time.monotonic(), 20)
        return [max(round_trip(home, meters, sources)[0]) for _ in range(rounds)]


def after_a_restart(home, docker):
    """How many of the LAN's flows are answered by either line when dockerd was started anew."""
    docker.down()
    docker.up()
    first = flows(IN_CLIENT, ECHO, FLOWS)
    home.sever(CABLE)
    is_active("mifi", VERDICT)
    then = flows(IN_CLIENT, ECHO, FLOWS)
    home.restore(CABLE)
    return first, then


def play(_):
    rounds, pace = max(ROUNDS // 4, 2), slowness()
    with a_home() as home, sniffing() as sniffer:
        with running(), a_container() as inside, an_agent("docker-first"):
            lines = shut_out(inside)
            with let_through(lines):
                away = failovers(home, sniffer, inside, rounds)
        with an_agent("docker-second"), running() as docker:
            with a_container() as inside:
                ensure(not advised(), f"doctor advises {advised()} where nothing is dropped")
                away += failovers(home, sniffer, inside, rounds)
            restarted = after_a_restart(home, docker)
    ensure(restarted == (FLOWS, FLOWS), f"after dockerd's restart {restarted} of {FLOWS} flows answered, by either line")
    ensure(max(away) <= SILENCE * pace, f"{worst(away)} of silence at a failover")
    return (f"Docker first: 0 of {FLOWS} flows of the LAN's until doctor's lines were typed; in both orders {len(away)} failovers,"
            f" silence {worst(away)} at most (median {median(away)}), of a container's flows too; all answered when dockerd was started anew")
