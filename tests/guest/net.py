"""The network as `ip`, `nft` and `sysctl` set it, in a namespace or in the machine itself."""

from tools import run


def nft(namespace, rules):
    inside = f"ip netns exec {namespace} " if namespace else ""
    run(f"{inside}nft -f -", input=rules)


def ip(namespace, lines):
    """Many `ip` commands in one namespace; `None` is the machine itself."""
    inside = f"-n {namespace}" if namespace else ""
    run(f"ip {inside} -batch -", input="\n".join(line.strip() for line in lines.strip().splitlines()) + "\n")


def forward(namespace):
    run(f"ip netns exec {namespace} sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
