"""The networks around the box: a cable to the Internet, and a LAN with one device in it."""

import http.server
import json
import socketserver
import subprocess
import threading

TARGETS = ["1.1.1.1", "8.8.8.8", "9.9.9.9"]
# Whatever is asked for by name is here.
WEB = "198.51.100.80"
PAGE = "http://192.168.77.1:8300"


def run(command, **more):
    return subprocess.run(command.split(), check=True, capture_output=True, text=True, **more).stdout


class Web(http.server.BaseHTTPRequestHandler):
    """What is asked whether there is a sign-in page says no."""

    def do_GET(self):
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def make():
    """Taps for machines, `cable` and `lan`; behind the cable the Internet, and beyond `lan` the namespace of a device."""
    run("ip link set lo up")
    for tap in ["cable", "lan"]:
        run(f"ip tuntap add {tap} mode tap")
        run(f"ip link set {tap} up")
    run("ip address add 192.0.2.1/24 dev cable")
    for address in [*TARGETS, WEB]:
        run(f"ip address add {address}/32 dev lo")
    subprocess.Popen(["dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--interface=cable", "--bind-dynamic", "--no-resolv",
                      "--no-hosts", "--user=root", "--pid-file=", "--dhcp-leasefile=/run/leases", "--dhcp-authoritative",
                      "--dhcp-range=192.0.2.50,192.0.2.99,1h", f"--address=/#/{WEB}",
                      *[f"--listen-address={address}" for address in TARGETS]],
                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    server = socketserver.ThreadingTCPServer((WEB, 80), Web)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    run("ip netns add device")
    run("ip link add switch type bridge")
    run("ip link set lan master switch")
    run("ip link add port type veth peer name eth0 netns device")
    run("ip link set port master switch")
    run("ip link set port up")
    run("ip link set switch up")
    run("ip -n device link set lo up")
    run("ip -n device link set eth0 up")


def on_the_device(command, seconds=10, **more):
    """What a command says that runs on the LAN's device; None if it fails or takes longer."""
    try:
        done = subprocess.run(["ip", "netns", "exec", "device", *command.split()], capture_output=True, text=True,
                              timeout=seconds, check=False, **more)
    except subprocess.TimeoutExpired:
        return None
    return done.stdout if done.returncode == 0 else None


def lease(script):
    """Asks for an address, as every device does; whether there was one."""
    return on_the_device(f"busybox udhcpc -i eth0 -n -q -t 3 -T 1 -s {script}", 15) is not None


def status():
    """What the page's own source says to a device in the LAN."""
    # Debian's busybox dies of its own wget.
    said = on_the_device(f"curl -sf -m 5 {PAGE}/api/v1/status")
    try:
        return json.loads(said) if said else None
    except ValueError:
        return None
