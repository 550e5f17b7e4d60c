"""Plays stages on the card: see `run`."""

import os
import random
import subprocess
import sys
import time

import home
from card import HERE, PLAYED, WORK, Card, Machine

CUTS = int(os.environ.get("CUTS", "20"))
SEED = int(os.environ.get("SEED", "83"))
# In seconds, on a machine that is all emulated; a real one takes a tenth.
BOOT = 600
# Over how many seconds of a first boot the cuts are spread; it is about how long one takes.
FIRST = 90
KEY = f"{PLAYED}/key"
SSH = ["ip", "netns", "exec", "device", "ssh", "-i", KEY, "root@192.168.77.1", *"-o StrictHostKeyChecking=no -o BatchMode=yes \
    -o UserKnownHostsFile=/dev/null -o ConnectTimeout=20 -o LogLevel=ERROR".split()]


class Failed(Exception):
    pass


def ensure(true, what):
    if not true:
        raise Failed(what)


def until(what, true, machine, seconds=BOOT, every=1.0):
    """Waits for what `true` gives, until it is something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = true()
        if got:
            return got
        ensure(machine.alive(), f"the machine ended while {what} was waited for")
        time.sleep(every)
    raise Failed(f"{what} did not come in {seconds} s")


def leased(machine, seconds):
    until("an address in the LAN", lambda: home.lease(f"{HERE}/udhcpc.sh"), machine, seconds)


def page(machine, seconds=BOOT):
    """The page answers a device that got its address from the box; what it says."""
    leased(machine, seconds)
    return until("the page", home.status, machine, seconds)


def on_the_box(command, seconds=120):
    """What a command says on the box, by ssh from the LAN; None if it fails."""
    try:
        done = subprocess.run([*SSH, command], capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return None
    return done.stdout if done.returncode == 0 else None


def with_key(name, of=None):
    """A card with a key on it."""
    if not os.path.exists(KEY):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", KEY], check=True)
    card = Card(name, of)
    with open(f"{KEY}.pub", "rb") as key:
        card.write("authorized_keys", key.read().replace(b"\n", b"\r\n"))
    return card


def first_boot(board, seconds=BOOT):
    card = Card(f"first-{board}")
    machine = Machine(card, board)
    try:
        said = page(machine, seconds)
        answered = machine.age()
        said = until("the Internet", lambda: (lambda s: s and s["active"] and s)(home.status()), machine)
        online = machine.age()
        internet = until("the LAN's way out", lambda: home.on_the_device("ping -n -c 1 -W 2 1.1.1.1"), machine, 60)
        ensure(internet, "the LAN has no Internet")
        name = home.on_the_device("busybox nslookup -type=a example.com 192.168.77.1") or ""
        ensure(home.WEB in name, f"names: {name!r}")
        shut = home.on_the_device("busybox nc -w 3 192.168.77.1 22 -e true", 8) is None
        ensure(shut, "ssh is open without a key")
        code = card.read("sparelink-code.txt")
    finally:
        machine.cut()
    return (f"the page answered in the LAN after {answered:.0f} s, \"{said['sentence']}\" after {online:.0f} s; the LAN has the"
            f" Internet and names, ssh is shut, the code is {'on the card' if code else 'not on the card'}")


def the_board():
    # Its SD card and its USB are emulated to the bit.
    return first_boot("raspi3b", 3 * BOOT)


def the_machine():
    return first_boot("virt")


GOOD = '\ufeff[[uplink]]\r\nname = "line"\r\ninterface = "eth1"\r\n[lan]\r\ninterfaces = ["eth0"]\r\n'


def the_files():
    """A key, a configuration from Notepad, a wrong one, none."""
    card = with_key("files")
    card.write("sparelink.toml", GOOD.encode())
    card.write("wifi.txt", "\ufeffname = Ännas Netz;\r\npassword = geheim\\123\r\ncountry = DE\r\n".encode())
    machine = Machine(card)
    try:
        said = page(machine)
        ensure([uplink["name"] for uplink in said["uplinks"]] == ["line"], f"the uplinks are {said['uplinks']}")
        until("ssh", lambda: on_the_box("true") is not None, machine)
        profile = on_the_box("cat /etc/NetworkManager/system-connections/wifi.nmconnection") or ""
        names = on_the_box("nmcli -g 802-11-wireless.ssid,802-11-wireless-security.psk --show-secrets connection show wifi") or ""
        ensure("Ännas Netz;" in names and "geheim" in names, f"the Wi-Fi is {names!r}, from {profile!r}")
        ensure("ro," in (on_the_box("grep /boot/firmware /proc/mounts") or ""), "the partition for the PC can be written")
        first = on_the_box("cat /etc/ssh/ssh_host_ed25519_key.pub")
        on_the_box("sync")
    finally:
        machine.cut()
    card.write("sparelink.toml", GOOD.replace("eth1", "eth 1").replace("lan]", "lam]").encode())
    machine = Machine(card)
    try:
        said = page(machine)
        ensure([uplink["name"] for uplink in said["uplinks"]] == ["line"], "a wrong file changed the uplinks")
        errors = (card.read("sparelink-errors.txt") or b"").decode()
        places = ["sparelink.toml:3:13: ", "sparelink.toml:4:2: ", "\r\n"]
        ensure(all(place in errors for place in places), f"it is told that {errors!r}")
        until("ssh", lambda: on_the_box("true") is not None, machine)
        ensure(on_the_box("cat /etc/ssh/ssh_host_ed25519_key.pub") == first, "the box has another key")
    finally:
        machine.cut()
    return "a key opens ssh; Notepad's configuration is taken, and Wi-Fi; a wrong one is told on the card, the old one stays"


def cuts_of_the_first_boot(count, chance):
    """The power is cut in random moments of a first boot; the next boot has its page."""
    again = []
    for n in range(count):
        card = Card("cut")
        machine = Machine(card)
        at = chance.uniform(2, FIRST)
        time.sleep(at)
        ensure(machine.alive(), "the machine ended by itself")
        machine.cut()
        machine = Machine(card)
        try:
            page(machine)
            again.append(machine.age())
            print(f"   first boot {n + 1}: cut after {at:.1f} s, the page again after {again[-1]:.0f} s", flush=True)
        finally:
            machine.cut()
    return again


def cuts_of_an_upgrade(count, chance):
    """The same for an upgrade of the package, on a box that runs: each begins at the same moment of it."""
    package = next((f"{WORK}/../deb/{name}" for name in os.listdir(f"{WORK}/../deb") if "+next_arm64.deb" in name), None)
    ensure(package, "there is no next package: DEB_NEXT=1 packaging/deb/build arm64")
    ran, state = with_key("ran"), f"{PLAYED}/ran.state"
    machine = Machine(ran)
    try:
        page(machine)
        until("ssh", lambda: on_the_box("true") is not None, machine)
        with open(package, "rb") as file:
            subprocess.run([*SSH, "cat >/root/next.deb; sync"], stdin=file, check=True, timeout=300)
        machine.kept(state)
    finally:
        machine.cut()
    # One that nobody cuts says how long it takes.
    machine, upgrade = upgrading(Card("cut", ran), state)
    begun = time.monotonic()
    try:
        ensure(upgrade.wait(timeout=BOOT) == 0, "the package cannot be upgraded")
        whole = time.monotonic() - begun
        until("the next version", lambda: installed() == "ii+next", machine)
        until("the page", home.status, machine)
    finally:
        machine.cut()
    again = []
    for n in range(count):
        card = Card("cut", ran)
        machine, upgrade = upgrading(card, state)
        at = chance.uniform(0.5, whole)
        time.sleep(at)
        machine.cut()
        upgrade.kill()
        machine = Machine(card)
        try:
            page(machine)
            again.append(machine.age())
            until("ssh", lambda: on_the_box("true") is not None, machine)
            version = until("an answer of dpkg", installed, machine)
            if version[:2] not in ("ii", "iU", "iF") or not version.endswith("+next"):
                # Cut off before all was unpacked, it is the old one, and can be upgraded again.
                ensure(on_the_box("dpkg -i /root/next.deb", 300) is not None, f"{version} cannot be upgraded again")
            until("the next version, with nothing left to do", lambda: installed() == "ii+next", machine)
            print(f"   upgrade {n + 1}: cut after {at:.1f} of {whole:.1f} s, the page again after {again[-1]:.0f} s, {version}",
                  flush=True)
        finally:
            machine.cut()
    return again


def upgrading(card, state):
    """A machine that has just been told to upgrade, and who told it."""
    machine = Machine(card, state=state)
    until("ssh", lambda: on_the_box("true") is not None, machine)
    return machine, subprocess.Popen([*SSH, "dpkg -i /root/next.deb"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def installed():
    """What dpkg says of the package: its state, and whether it is the next version."""
    said = on_the_box("dpkg-query -W -f '${db:Status-Abbrev}${Version}' sparelink") or ""
    return said and said[:2] + ("+next" if said.endswith("+next") else "")


def survived(cuts, of):
    again = cuts(CUTS // 2, random.Random(SEED))
    ensure(len(again) == CUTS // 2, f"{len(again)} of {CUTS // 2} booted again")
    return f"{len(again)} of {len(again)} cuts of {of} booted again to the page, at most after {max(again):.0f} s"


def the_cuts_of_a_first_boot():
    return survived(cuts_of_the_first_boot, "a first boot")


def the_cuts_of_an_upgrade():
    return survived(cuts_of_an_upgrade, "an upgrade")


STAGES = [the_machine, the_board, the_files, the_cuts_of_a_first_boot, the_cuts_of_an_upgrade]


def main():
    os.makedirs(PLAYED, exist_ok=True)
    home.make()
    wanted = [stage for stage in STAGES if not sys.argv[1:] or stage.__name__ in sys.argv[1:]]
    passed = 0
    for stage in wanted:
        begun = time.monotonic()
        try:
            print(f"ok {stage.__name__} ({stage()}; {time.monotonic() - begun:.0f} s)", flush=True)
            passed += 1
        except (Failed, subprocess.SubprocessError) as why:
            print(f"FAILED {stage.__name__}: {why}", flush=True)
    print(f"{passed} of {len(wanted)} stages passed; consoles in target/image/played")
    sys.exit(not wanted or passed != len(wanted))


if __name__ == "__main__":
    main()
