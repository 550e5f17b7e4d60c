"""A root in which nothing but busybox, the package's files and stand-ins for OpenWrt's own are: scripts run there as they are."""

import contextlib
import re
import shutil
import subprocess

from harness import HERE, OPENWRT, Skipped, folder

# What the scripts call, and busybox has on OpenWrt, too.
APPLETS = "cat chmod grep ls mkdir rm sed sh sort tr".split()
CONFIG = "etc/config/sparelink"


def busybox():
    """Where it is."""
    found = shutil.which("busybox")
    if found is None:
        raise Skipped("busybox is missing: apt-get install busybox")
    return found


def libraries(program):
    """Files without which a program does not start."""
    told = subprocess.run(["ldd", program], capture_output=True, text=True).stdout
    return re.findall(r"(/\S+) \(", told)


class Box:
    """A root in `self.root`."""

    def __init__(self, root):
        self.root = root
        program = busybox()
        for file in libraries(program):
            self.take(file, file)
        self.take(program, "/bin/busybox")
        for applet in APPLETS:
            (root / "bin" / applet).symlink_to("busybox")
        shutil.copytree(OPENWRT / "files", root, dirs_exist_ok=True)
        self.take(HERE / "stubs/functions.sh", "/lib/functions.sh")
        self.take(HERE / "stubs/rc.common", "/etc/rc.common")
        self.take(HERE / "stubs/sparelink", "/usr/bin/sparelink")
        self.write("etc/passwd", "root:x:0:0:root:/root:/bin/ash\nsparelink:x:8300:8300:sparelink:/:/bin/false\n")
        self.write("etc/config/system", "")
        # A file in its place does as well.
        self.write("dev/null", "")

    def take(self, file, path):
        to = self.root / str(path).lstrip("/")
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, to)

    def write(self, path, text):
        to = self.root / path
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_text(text)
        return to

    def read(self, path):
        return (self.root / path).read_text()

    def configure(self, **options):
        """A configuration with one uplink and these options in the section main."""
        lines = "".join(f"\toption {key} '{value}'\n" for key, value in options.items())
        self.write(CONFIG, f"config sparelink 'main'\n{lines}\nconfig uplink 'wan'\n\toption network 'wan'\n")

    def call(self, *command, **environment):
        """Runs a command in it: exit code, what it said, and the lines of /calls."""
        calls = self.write("calls", "")
        done = subprocess.run(
            ["unshare", "--user", "--map-root-user", "chroot", self.root, "/bin/busybox", *command],
            capture_output=True, text=True, timeout=60,
            env={**environment, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )
        if done.returncode == 1 and "unshare:" in done.stderr:
            raise Skipped(f"no user namespaces here: {done.stderr.strip()}")
        return done.returncode, done.stdout + done.stderr, calls.read_text().splitlines()

    def service(self, action, **environment):
        """Has the init script do something."""
        return self.call("sh", "/etc/rc.common", "/etc/init.d/sparelink", action, **environment)


@contextlib.contextmanager
def a_box():
    """`with a_box() as box:`"""
    with folder() as root:
        yield Box(root)
