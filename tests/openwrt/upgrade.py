"""An upgrade under traffic, as opkg makes it: between a client and two providers in network namespaces, with the agent itself.

opkg and procd are played: packages are unpacked and their scripts run in opkg's order, and the service is what procd was told
of it. Started with the word `inside`, this plays in namespaces of its own and says what came of it.
"""

import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

if __name__ == "__main__":
    sys.dont_write_bytecode = True

from box import CONFIG, Box  # noqa: E402
from harness import HERE, OPENWRT, REPOSITORY, Skipped, ensure, folder, same, test  # noqa: E402
from ipk import build, source  # noqa: E402

PROGRAM = REPOSITORY / "target/debug/sparelink"
TARGETS = ["203.0.113.1", "203.0.113.2", "203.0.113.3"]
EDITED = """config sparelink 'main'
	option enabled '1'
	list lan 'lan0'
	option state_dir '/etc/sparelink/state'
	option run_dir '/var/run/sparelink'
config probe 'probe'
	list target '203.0.113.1'
	list target '203.0.113.2'
	list target '203.0.113.3'
	option dns '0'
	option http '0'
config uplink 'cable'
	option device 'eth1'
config uplink 'mifi'
	option device 'eth2'
"""
NETWORK = """
mount -t tmpfs none /run
mkdir /run/netns
ip link set lo up
ip netns add lan
ip netns add internet
join() { # NAMESPACE ITS_END ITS_ADDRESS OUR_END OUR_ADDRESS
    ip link add "$4" type veth peer name "$2" netns "$1"
    ip -n "$1" address add "$3" dev "$2"
    ip -n "$1" link set "$2" up
    ip address add "$5" dev "$4"
    ip link set "$4" up
}
join lan eth0 10.83.0.2/24 lan0 10.83.0.1/24
join internet one 192.0.2.1/24 eth1 192.0.2.2/24
join internet two 198.51.100.1/24 eth2 198.51.100.2/24
ip -n lan route add default via 10.83.0.1
ip -n internet link set lo up
for target in 203.0.113.1 203.0.113.2 203.0.113.3; do ip -n internet address add $target/32 dev lo; done
ip route add default via 192.0.2.1 dev eth1 metric 100
ip route add default via 198.51.100.1 dev eth2 metric 200
"""


def until(what, true, seconds=30):
    end = time.monotonic() + seconds
    while not true():
        ensure(time.monotonic() < end, f"never came true: {what}")
        time.sleep(0.1)


class Traffic:
    """Packets of a flow that was there before, 100 a second, and new flows one after the other."""

    def __enter__(self):
        lan = ["ip", "netns", "exec", "lan", "ping", "-n"]
        self.old = subprocess.Popen([*lan, "-i", "0.01", TARGETS[0]], stdout=subprocess.PIPE, text=True)
        news = f"n=0; l=0; while [ ! -e /run/stop ]; do n=$((n+1)); {' '.join(lan)} -c 1 -W 1 {TARGETS[1]} >/dev/null || l=$((l+1)); done; echo $n $l"
        Path("/run/stop").unlink(missing_ok=True)
        self.news = subprocess.Popen(["sh", "-c", news], stdout=subprocess.PIPE, text=True)
        time.sleep(0.5)
        return self

    def __exit__(self, *_):
        time.sleep(0.5)
        self.old.send_signal(signal.SIGINT)
        Path("/run/stop").write_text("")
        sent, received = map(int, re.search(r"(\d+) packets transmitted, (\d+) received", self.old.communicate()[0]).groups())
        new, lost = map(int, self.news.communicate()[0].split())
        self.sent, self.lost = sent + new, sent - received + lost


class Procd:
    """Runs what it is told of, and starts it anew when that is another command or another file."""

    def __init__(self, box):
        self.box, self.process, self.told = box, None, None

    def service(self, action):
        code, said, calls = self.box.service(action)
        same(code, 0, f"{action}: {said}")
        if "procd is told" in calls:
            command = next((call.split()[2:] for call in calls if call.startswith("param command ")), None)
            program = (self.box.root / "usr/bin/sparelink").read_bytes()
            told = command and (command, hashlib.sha256(program).digest())
            if told != self.told:
                self.stop()
                self.start(command) if command else None
            self.told = told
        if any(call.startswith("signal sparelink") for call in calls):
            self.process.send_signal(signal.SIGHUP)

    def start(self, command):
        log = open("/run/agent.log", "ab")
        self.process = subprocess.Popen(["chroot", self.box.root, *command], stdout=log, stderr=log)
        self.box.write("running", "")

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            (self.box.root / "running").unlink()
        self.process = None


class Opkg:
    """Unpacks a package and runs its scripts, in opkg's order."""

    def __init__(self, box, procd):
        self.box, self.procd, self.sums = box, procd, {}

    def install(self, package, program, upgrade):
        parts = {member.name: archive.extractfile(member).read() for archive in [tarfile.open(package)] for member in archive if member.isfile()}
        control = tarfile.open(fileobj=io.BytesIO(parts["./control.tar.gz"]))
        scripts = {name: control.extractfile(f"./{name}").read().decode() for name in ("postinst", "prerm", "conffiles")}
        variables = {"PKG_UPGRADE": "1"} if upgrade else {}
        if upgrade:
            self.script("prerm", self.prerm, variables)
        data = tarfile.open(fileobj=io.BytesIO(parts["./data.tar.gz"]))
        for member in data:
            path = member.name[1:]
            edited = path in scripts["conffiles"].split() and path in self.sums and self.sum(path) != self.sums[path]
            to = f"{path}-opkg" if edited else path
            if member.isfile():
                # The new one takes the place of the old, which may be running.
                text = program if path == "/usr/bin/sparelink" else data.extractfile(member).read()
                new = self.box.root / f"{to}.new".lstrip("/")
                new.parent.mkdir(parents=True, exist_ok=True)
                new.write_bytes(text)
                new.chmod(member.mode)
                new.rename(self.box.root / to.lstrip("/"))
        for path in scripts["conffiles"].split():
            self.sums.setdefault(path, self.sum(path))
        self.prerm = scripts["prerm"]
        calls = self.script("postinst", scripts["postinst"], variables)
        ensure(any(call.startswith("default_postinst") for call in calls), calls)
        # What default_postinst does with an init script.
        self.procd.service("start")

    def script(self, name, text, variables):
        self.box.write("script", text)
        code, said, calls = self.box.call("sh", "/script", **variables)
        same(code, 0, f"{name}: {said}")
        return calls

    def sum(self, path):
        return hashlib.sha256((self.box.root / path.lstrip("/")).read_bytes()).hexdigest()


def well(box):
    done = subprocess.run(["chroot", box.root, "/usr/bin/sparelink", "status", "--json", "--run-dir", "/var/run/sparelink"],
                          capture_output=True, text=True)
    if done.returncode != 0:
        return False
    said = json.loads(done.stdout)
    return said["active"] == "cable" and said["spares_ready"] == 1


def inside(packages):
    subprocess.run(["sh", "-euc", NETWORK], check=True)
    with folder() as root:
        box = Box(root)
        for path in ("usr/bin/sparelink", CONFIG):
            (root / path).unlink()
        for file in subprocess.run(["ldd", PROGRAM], capture_output=True, text=True).stdout.split():
            if file.startswith("/"):
                box.take(file, file)
        (root / "proc").mkdir()
        (root / "sys").mkdir()
        subprocess.run(["mount", "--rbind", "/proc", root / "proc"], check=True)
        subprocess.run(["mount", "--rbind", "/sys", root / "sys"], check=True)
        procd = Procd(box)
        opkg = Opkg(box, procd)
        program = PROGRAM.read_bytes()
        try:
            opkg.install(packages, program, upgrade=False)
            ensure(procd.process is None, "a fresh install starts nothing")
            box.write(CONFIG, EDITED)
            procd.service("reload")
            until("it runs", lambda: well(box))
            first = procd.process.pid
            with Traffic() as traffic:
                # A newer version is another file.
                opkg.install(packages, program + b"\n", upgrade=True)
                until("the new one runs", lambda: well(box))
            ensure(procd.process.pid != first, "the upgrade has started no new agent")
            same(box.read(CONFIG), EDITED, "the edited configuration")
            ensure((root / f"{CONFIG}-opkg").exists(), "the new one stands beside it")
            with Traffic() as control:
                subprocess.run("ip -n internet address del 203.0.113.1/32 dev lo; sleep 0.3; ip -n internet address add 203.0.113.1/32 dev lo",
                               shell=True, check=True)
            ensure(control.lost > 0, "control: a loss is seen where there is one")
            ensure(traffic.lost == 0, f"{traffic.lost} of {traffic.sent} packets lost: {Path('/run/agent.log').read_text()[-2000:]}")
            print(f"{traffic.lost} of {traffic.sent} packets lost")
        finally:
            procd.stop()
            subprocess.run(["umount", "--lazy", root / "proc", root / "sys"], check=False)


@test
def an_upgrade_costs_no_packet_and_keeps_an_edited_file():
    if not PROGRAM.exists():
        raise Skipped("target/debug/sparelink is not there: cargo build")
    with folder() as root:
        source(root)
        code, said = build(root, "x86_64")
        same(code, 0, said)
        package = next((root / "target/openwrt").glob("sparelink_*_x86_64.ipk"))
        own = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
        done = subprocess.run(["unshare", *own, "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
                               sys.executable, "-B", HERE / "upgrade.py", "inside", package],
                              capture_output=True, text=True, timeout=180)
        if done.returncode != 0 and "unshare:" in done.stderr:
            raise Skipped(f"no namespaces here: {done.stderr.strip()}")
        ensure(done.returncode == 0, done.stdout + done.stderr[-3000:])
        print(f"  {done.stdout.strip()}")


if __name__ == "__main__" and sys.argv[1:2] == ["inside"]:
    inside(Path(sys.argv[2]))
