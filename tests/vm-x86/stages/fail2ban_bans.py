"""fail2ban bans who comes in by either uplink, before and after a failover; its bans stay, and the agent's own table is
none of its business, nor the other way round."""

from fail2ban import PORTS, guesses, opened, pardon, running
from home import CABLE, a_home
from net import ip
from rounds import VERDICT, an_agent, at_peace, is_active
from tools import ensure, ensure_same, text

ATTACKERS = [("modem0", "192.168.10.66", "192.168.10.100"), ("modem1", "192.168.11.66", "192.168.11.100")]


def ours():
    return text("nft --stateless list table inet sparelink")


def ban(attacker):
    """The control: who is not banned opens both ports, and then none."""
    before = opened(*attacker)
    ensure(before == len(PORTS), f"with no ban {before} of {len(PORTS)} ports opened for {attacker[1]}")
    guesses(attacker[1])
    ensure(opened(*attacker) == 0, f"a port opens for {attacker[1]}, who is banned")


def play(_):
    first, second = ATTACKERS
    with a_home() as home, running():
        for modem, address, _ in ATTACKERS:
            ip(modem, f"addr add {address}/24 dev lan")
        ban(first)
        with an_agent("fail2ban"):
            held = [opened(*first)]
            home.sever(CABLE)
            is_active("mifi", VERDICT)
            table = ours()
            ban(second)
            ensure_same(ours(), table, "a ban changes the agent's table")
            held += [opened(*first), opened(*second)]
            home.restore(CABLE)
            at_peace()
            held += [opened(*first), opened(*second)]
            # What was not there before the agent is taken back before its purge.
            pardon(second[1])
        held.append(opened(*first))
    ensure(not any(held), f"ports opened for those who are banned: {held}")
    return "bans by nftables and by iptables, one before and one after a failover: 0 ports opened then, after the failback and after the purge"
