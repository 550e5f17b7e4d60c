"""libvirt with its default network (virbr0, NAT, a dnsmasq), and what stands for a virtual machine on it: a namespace."""

import contextlib

from net import ip
from tools import read, run, start, text, until

CALLS, FORWARDING = "virsh --quiet --connect qemu:///system", "/proc/sys/net/ipv4/ip_forward"
GUEST, IN_GUEST = "192.168.122.50", "ip netns exec guest "


@contextlib.contextmanager
def running():
    forwarding = read(FORWARDING).strip()
    # Who installs the packages has these users.
    for number, user in enumerate(("libvirt-qemu", "libvirt-dnsmasq"), 64055):
        run(f"grep -q ^{user}: /etc/passwd || {{ echo {user}:x:{number}:{number}::/:/bin/false >>/etc/passwd"
            f" && echo {user}:x:{number}: >>/etc/group; }}")
    run("mkdir -p /var/lib/libvirt/dnsmasq /var/cache/libvirt /run/libvirt")
    daemon = start("libvirtd", "libvirtd")
    try:
        until("libvirt's answer", lambda: text(f"{CALLS} uri"), 60)
        run(f"{CALLS} net-define /usr/share/libvirt/networks/default.xml >/dev/null && {CALLS} net-start default >/dev/null")
        yield
    finally:
        run(f"{CALLS} net-destroy default >/dev/null; {CALLS} net-undefine default >/dev/null; true")
        daemon.terminate()
        daemon.wait(30)
        # Its chains stay when it goes.
        run(f"for f in ip ip6; do for t in filter nat mangle; do nft delete table $f $t 2>/dev/null; done; done;"
            f" sysctl -q -w net.ipv4.ip_forward={forwarding}")


@contextlib.contextmanager
def a_guest():
    run("ip netns add guest")
    ip(None, "link add guest0 type veth peer name eth0 netns guest\nlink set guest0 master virbr0\nlink set guest0 up")
    ip("guest", f"link set lo up\nlink set eth0 up\naddr add {GUEST}/24 dev eth0\nroute add default via 192.168.122.1")
    try:
        yield
    finally:
        run("ip link del guest0; ip netns del guest")
