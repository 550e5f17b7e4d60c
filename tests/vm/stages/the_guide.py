"""docs/INSTALL-PI.md, read from its first step to its end: its own commands, typed by somebody who is connected by ssh."""

from home import CABLE
from reader import ReadersHome, Session, address, alike, blocks, copy, let_in
from settings import PATIENT
from tools import ensure, text, until, write

# As on Raspberry Pi OS, but for virtual cables, which are left alone unless it is told.
MANAGER = """
[main]
plugins=keyfile
[device-home]
match-device=interface-name:eth0,interface-name:eth1,interface-name:usb0
managed=1
[device-others]
match-device=*
managed=0
"""


class Reader:
    """Goes through the guide, block by block."""

    def __init__(self, home):
        self.home = home
        self.blocks = blocks()
        self.session = Session("client", address("eth1"))
        self.typed = self.compared = self.statuses = 0

    def read(self):
        # On the guide's own Pi eth1 has this address.
        theirs, ours = "192.168.178.50", address("eth1")
        while self.blocks:
            language, said = self.blocks.pop(0)
            if language == "sh":
                self.follow(said.replace(theirs, ours))
                self.typed += 1
            elif "no Internet behind its modem" in said and "history" not in said:
                # What follows "then pull the ISP box's own line".
                self.look_at(said)

    def follow(self, commands):
        if commands.startswith("scp "):
            copy(commands, "client")
        elif commands.startswith("sudo nano "):
            self.edit(commands.split()[-1])
        else:
            self.prepare(commands)
            shown = self.blocks.pop(0)[1] if self.blocks and self.blocks[0][0] == "text" else ""
            self.type(commands, shown)

    def edit(self, path):
        """The next block goes into the file, and something for a machine that is all emulated."""
        language, content = self.blocks.pop(0)
        ensure(language == "toml", f"after nano there is {language}")
        self.session.types(f"sudo tee {path} >/dev/null <<'END'\n{content}{PATIENT}END")

    def prepare(self, commands):
        """What hands do before these commands, as the guide has it."""
        if "--unit=lan-undo" in commands:
            self.home.move_eth0()
        elif "stop lan-undo.timer" in commands:
            self.home.lease_of_the_device()
            text("ip netns exec device ping -n -c 3 -i 0.3 -W 5 192.168.77.1")
        elif commands.endswith("sparelink status\n"):
            self.statuses += 1
            if self.statuses == 2:
                self.session = Session("device", "192.168.77.1")
                self.home.pull()

    def look_at(self, shown):
        """The line beyond the ISP box is cut, and the state is as shown; then the history."""
        self.home.put_back()
        self.type("sudo sparelink status", "Internet works, on cable since 22:31 (11 s).")
        self.home.sever(CABLE)
        self.type("sudo sparelink status", shown)
        self.type("sudo sparelink history", self.blocks.pop(0)[1])

    def type(self, commands, shown):
        """Types them; what the guide shows below them is what comes."""
        # The first line, and which spares there are; what stands in brackets is how long ago it was.
        lines = [line for n, line in enumerate(shown.splitlines()) if n == 0 or "spare" in line]
        wanted = [alike(line).partition(" (")[0] for line in lines]
        answers = [("[Y/n]", "y")] if "apt install" in commands else []
        if "passwd" in commands:
            answers = [("assword", "a good one"), ("nce more", "a good one")]

        def once():
            said = self.session.types(commands, 90, answers)
            is_settled = "being checked" not in said or "being checked" in shown
            ensure(is_settled and all(line in alike(said) for line in wanted),
                   f"`{commands.strip()}` says not {wanted} but: {said}")
            return True

        *before, last = commands.strip().splitlines()
        if last == "sudo sparelink status":
            for command in before:
                self.session.types(command)
            commands = last
            until(f"the status as shown: {wanted}", once, 180, 2)
        else:
            once()
        self.compared += bool(wanted)


def play(world):
    write("/etc/NetworkManager/conf.d/home.conf", MANAGER)
    text("systemctl start NetworkManager")
    let_in()
    home = world.home = ReadersHome()
    reader = Reader(home)
    reader.read()
    reader.session.types("sudo apt purge sparelink", answers=[("[Y/n]", "y")])
    left = text("ip rule | grep -E 'proto (83|sparelink)'; ip route show table all proto 83; nft list tables | grep sparelink || true")
    ensure(not left, f"left after the purge: {left}")
    return f"{reader.typed} blocks typed, {reader.compared} answers as shown, nothing left after the purge"
