"""NetworkManager has the interfaces, as on Raspberry Pi OS: it and the agent leave each other alone, whatever either does."""

import time

from agent import ask, at_peace, is_active, uplink
from home import CABLE, METRICS, NAMES
from tools import ensure, ensure_same, run, text, until, write

CONFIG = "/etc/NetworkManager/conf.d/home.conf"
# Virtual cables are left alone unless it is told.
SETTINGS = """
[main]
plugins=keyfile
no-auto-default=*
[device-home]
match-device=interface-name:lan0,interface-name:wan0,interface-name:wlan0,interface-name:usb0
managed=1
[device-others]
match-device=*
managed=0
"""
LAN = ("ipv4.method manual ipv4.addresses 192.168.77.1/24 ipv4.never-default yes"
       " ipv6.method manual ipv6.addresses fd77::1/64 ipv6.never-default yes")


def ours():
    """Rules and routes of the agent's, which nobody else may touch."""
    return text("ip rule show proto 83; ip -4 route show table all proto 83; ip -6 route show table all proto 83")


def hand_over(home):
    """The interfaces are NetworkManager's from now on, with its own DHCP client."""
    write(CONFIG, SETTINGS)
    text("systemctl start NetworkManager")
    run(f"nmcli -t connection add type ethernet ifname lan0 con-name lan {LAN}")
    run("nmcli -t connection up lan")
    for n, name in enumerate(home.interfaces):
        home.clients.pop(n).kill()
        run(f"ip address flush dev {name}")
        run(f"nmcli -t connection add type ethernet ifname {name} con-name {NAMES[n]}"
            f" ipv4.route-metric {METRICS[n]} ipv6.method disabled")
        run(f"nmcli -t connection up {NAMES[n]}")
        said = until("its default route", lambda: text(f"ip route show default dev {name}"), 30)
        ensure("proto dhcp" in said, f"a route that is not NetworkManager's: {said}")


def take_back(home):
    """All as it was before, with the home's own DHCP clients."""
    text("systemctl stop NetworkManager")
    run("ip address flush dev lan0 scope global; ip address add 192.168.77.1/24 dev lan0")
    for n in range(3):
        home.lease(n)


def undisturbed(world, what, command):
    """It does this, and neither what the agent has in the kernel nor the LAN notices."""
    before, moment, repairs = ours(), time.monotonic(), ask("status")["repairs"]
    text(command)
    at_peace()
    time.sleep(2.5)
    lost, whole = world.meter.lost(moment)
    ensure_same(ours(), before, f"{what}: what was ours has changed")
    ensure(lost == 0, f"{what}: {lost} of {whole} packets of the LAN were lost")
    return f"{what}: 0 of {whole} packets lost, {ask('status')['repairs'] - repairs} repairs"


def play(world):
    home = world.home
    hand_over(home)
    at_peace()
    told = [
        undisturbed(world, "restarted", "systemctl restart NetworkManager"),
        undisturbed(world, "applied again", "nmcli device reapply wan0"),
        undisturbed(world, "a spare down and up", "nmcli connection down phone && nmcli connection up phone"),
    ]
    text("nmcli connection down cable")
    is_active("hotspot", 60)
    told.append(f"cable down: {uplink('cable')['condition']}, on hotspot")
    text("nmcli connection up cable")
    at_peace()
    home.sever(CABLE)
    is_active("hotspot", 60)
    home.restore(CABLE)
    at_peace()
    told.append("up, severed and restored: hotspot, then cable again")
    take_back(home)
    at_peace()
    return "; ".join(told)
