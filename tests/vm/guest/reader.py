"""Somebody with a Raspberry Pi and docs/INSTALL-PI.md: what the guide says, the home it is read in, a session by ssh."""

import os
import pty
import re
import select
import subprocess
import time

from home import CABLE, PHONE, Home
from net import ip
from tools import LOGS, SHARED, Failed, run, text, until, write

GUIDE = f"{SHARED}/INSTALL-PI.md"
KEY = "/run/reader"
SSH = f"-i {KEY} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o ConnectTimeout=20"


def blocks():
    """What stands in the numbered steps: the language and the text of each block, in order."""
    with open(GUIDE) as file:
        steps = re.findall(r"^## \d.*?(?=^## )", file.read(), re.S | re.M)
    return [block for step in steps for block in re.findall(r"^```(\w+)\n(.*?)^```", step, re.S | re.M)]


def alike(line):
    """A line without what differs from box to box: numbers, spaces."""
    return re.sub(r"\d+([.:]\d+)*", "0", " ".join(line.split()))


class ReadersHome(Home):
    """A Pi as one begins: both ports at the ISP box, a phone by USB, all with leases of NetworkManager's; a laptop at the
    ISP box, and an access point with a device that nobody has connected yet.

        client, eth0 [Pi], eth1 [Pi] -- modem 0        device -- access        usb0 [Pi] == modem 2
    """

    lines = [CABLE, PHONE]

    def lan(self):
        self.interfaces[CABLE] = "eth1"
        for namespace in ["access", "device"]:
            run(f"ip netns add {namespace}")
            ip(namespace, "link set lo up")
        ip("access", """
            link add switch type bridge
            link set switch up
            link add port type veth peer name eth0 netns device
            link set port master switch up""")
        ip("device", "link set eth0 up")

    def connect_cable(self, n):
        ip(f"modem{n}", "link add lan type bridge")
        for name in ["eth0", "eth1"]:
            ip(None, f"link add {name} type veth peer name {name} netns modem{n}")
            ip(f"modem{n}", f"link set {name} master lan up")
        ip(f"modem{n}", "link add laptop type veth peer name eth0 netns client\nlink set laptop master lan up")
        self.serve_lan(n)
        ip("client", f"addr add 192.168.1{n}.200/24 dev eth0\nlink set eth0 up")

    def connect_usb(self, n):
        super().connect_usb(n)
        # The gadget, whose other end is in this machine as well, may have taken that name for a moment.
        name = self.interfaces[n]
        if name != "usb0":
            ip(None, f"link set {name} down\nlink set {name} name usb0\nlink set usb0 up")
            self.interfaces[n] = "usb0"

    def lease(self, n):
        for name in ["eth0", "eth1"] if n == CABLE else [self.interfaces[n]]:
            until(f"an address on {name}", lambda name=name: address(name), 60)

    def move_eth0(self):
        """From the ISP box to the access point."""
        ip("modem0", "link set eth0 netns access")
        ip("access", "link set eth0 master switch up")

    def pull(self):
        """The cable of eth1 comes out."""
        ip("modem0", "link set eth1 down")

    def put_back(self):
        ip("modem0", "link set eth1 up")

    def lease_of_the_device(self):
        """The device in the LAN asks for an address, as all do."""
        text("env METRIC=1 ip netns exec device busybox udhcpc -n -q -i eth0 -t 10 -T 1 -s /vm/guest/udhcpc.sh")


def address(name):
    """The IPv4 address of an interface of the Pi's; None while it has none."""
    words = text(f"ip -4 -br address show dev {name}").split()
    return words[2].split("/")[0] if len(words) > 2 else None


def let_in():
    """A user `pi` who may do everything, and is let in with a key. Nothing of these packages was ever configured."""
    for kind in ["auth", "account", "password", "session", "session-noninteractive"]:
        write(f"/etc/pam.d/common-{kind}", f"{kind.split('-')[0]} required pam_permit.so\n")
    write("/etc/sudoers.d/pi", "pi ALL=(ALL) NOPASSWD: ALL\n")
    run("useradd --create-home --shell /bin/bash pi; useradd --system sshd; useradd --system dnsmasq")
    # Without PAM a locked user is let in by no key either.
    run("usermod --password '*' pi")
    run(f"ssh-keygen -A >/dev/null; ssh-keygen -q -t ed25519 -N '' -f {KEY}")
    run(f"install -D -o pi -m 600 {KEY}.pub /home/pi/.ssh/authorized_keys; mkdir -p /run/sshd")
    run("/usr/sbin/sshd -f /dev/null -o UsePAM=no -o Subsystem='sftp internal-sftp'")


class Session:
    """A shell by ssh, from a namespace to an address, alive as long as nobody ends it."""

    def __init__(self, namespace, to):
        self.said = ""
        self.child, self.terminal = pty.fork()
        if not self.child:
            os.execvp("ip", f"ip netns exec {namespace} ssh -tt {SSH} pi@{to}".split())
        # As nobody is there to leave a pager.
        self.write("PS1= PS2=; export PAGER=cat TERM=dumb; stty -echo\n")
        self.types("true", 90)

    def types(self, commands, seconds=60, answers=()):
        """Types them, and waits for the last to end: what they said. Fails with the first that does. An answer is what
        is asked for, and what is typed then."""
        self.said, answers = "", list(answers)
        # The words that are waited for are not those that are typed.
        self.write(f"( set -e\n{commands.rstrip()}\n); echo the''-end:$?\n")
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.look()
            if answers and answers[0][0] in self.said:
                self.write(answers.pop(0)[1] + "\n")
            done = re.search(r"the-end:(\d+)", self.said)
            if done:
                said = self.said[:done.start()].replace("\r", "")
                if done[1] != "0":
                    raise Failed(f"`{commands.strip()}` ended with {done[1]}: {said.strip()}")
                return said
        raise Failed(f"`{commands.strip()}` did not end in {seconds} s: {self.said}")

    def write(self, words):
        os.write(self.terminal, words.encode())

    def look(self):
        if select.select([self.terminal], [], [], 0.2)[0]:
            try:
                new = os.read(self.terminal, 65536).decode(errors="replace")
                self.said += new
                with open(f"{LOGS}/session.log", "a") as log:
                    log.write(new)
            except OSError:
                raise Failed(f"the session is gone: {self.said}") from None


def copy(command, namespace):
    """`scp`, run on a laptop."""
    name = subprocess.check_output(f"ls {SHARED}/debs/sparelink_*_arm64.deb | grep -v next", shell=True, text=True).strip()
    where = command.split()[-1].split("@")[1]
    text(f"ip netns exec {namespace} scp {SSH} {name} pi@{where}")
