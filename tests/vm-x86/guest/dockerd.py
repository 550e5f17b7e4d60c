"""Docker on the box, as Debian has it, and one container, whose image is nothing but a busybox."""

import contextlib

from agent import BINARY
from net import nft
from tools import read, run, start, text, until

DATA, IMAGE, FORWARDING = "/run/docker-data", "/run/image", "/proc/sys/net/ipv4/ip_forward"


class Docker:
    """`up` is dockerd, with a containerd of its own."""

    def up(self):
        self.daemon = start(f"dockerd --data-root {DATA} --storage-driver vfs", "dockerd")
        until("dockerd's answer", lambda: text("docker info"), 120)

    def down(self):
        self.daemon.terminate()
        self.daemon.wait(60)


@contextlib.contextmanager
def running():
    """What it leaves behind when it ends is wiped away: it belongs to this box, and not to the next stage's."""
    forwarding, docker = read(FORWARDING).strip(), Docker()
    docker.up()
    try:
        yield docker
    finally:
        docker.down()
        # Where others use these tables of iptables, they may have wiped them.
        nft(None, "\n".join(f"table ip {name}\ndelete table ip {name}" for name in ("filter", "nat")))
        run(f"ip link del docker0; sysctl -q -w net.ipv4.ip_forward={forwarding}; rm -rf {DATA} {IMAGE}")


@contextlib.contextmanager
def a_container():
    """Gives what a command begins with that is to run in the container's network."""
    run(f"docker image inspect box >/dev/null 2>&1 || {{ mkdir -p {IMAGE}/bin && cp $(command -v busybox) {IMAGE}/bin/"
        f" && tar -C {IMAGE} -c . | docker import - box >/dev/null; }}")
    run("docker run --detach --name one box /bin/busybox sleep 100000 >/dev/null")
    pid = text("docker inspect --format {{.State.Pid}} one").strip()
    try:
        yield f"nsenter --net --target {pid} "
    finally:
        run("docker rm --force one >/dev/null")


def advised():
    """What doctor says to type for the chain DOCKER-USER: lines for a shell."""
    told = [line.strip().removeprefix("fix: ") for line in text(f"{BINARY} doctor; true").splitlines()]
    return [line for line in told if line.startswith("iptables -I DOCKER-USER ")]


@contextlib.contextmanager
def let_through(lines):
    """Those lines are typed, and taken back."""
    run("\n".join(["set -e", *lines]))
    try:
        yield
    finally:
        run("\n".join(lines).replace(" -I ", " -D "))
