"""The home and the Internet around it, on an ARM board: the board itself is the router.

    client -- lan0 [board] -+- wan0  == veth ========= modem 0 -- provider 0 -+
    192.168.77.2            +- wlan0 ~~ Wi-Fi ~~~~~~~~ modem 1 -- provider 1 -+- core -- targets
                            +- usb0  == USB, RNDIS === modem 2 -- provider 2 -+

Each box but the board is a network namespace. A modem is what real ones are: gateway, masquerade, DHCP and a DNS
proxy of its own, so that a line cut behind it looks alive. It drops what has a source that it did not hand out. The
second is a phone's hotspot (hwsim radios, hostapd), the third a tethered phone (a USB gadget on a dummy host controller).
"""

import os
import time

from net import forward, ip, nft
from tools import read, run, start, text, until, write

CLIENT = "192.168.77.2"
ECHO = "203.0.113.7"
WEB = "203.0.113.80"
TARGETS = ["1.1.1.1", "8.8.8.8", "9.9.9.9"]
SSID, PASSWORD = "Anna's phone", "correct horse"
CABLE, HOTSPOT, PHONE = 0, 1, 2
NAMES = ["cable", "hotspot", "phone"]
# Each way, per line: delay, jitter, loss. The round trips are 20, 60 and 90 ms.
LINES = ["delay 10ms 2ms loss 0.2%", "delay 30ms 6ms loss 1%", "delay 45ms 9ms loss 1%"]
METRICS = [100, 600, 101]
GADGET = "/sys/kernel/config/usb_gadget/phone"


def driven_by(driver):
    """An interface of the board's that has this driver."""
    for name in os.listdir("/sys/class/net"):
        link = f"/sys/class/net/{name}/device/driver"
        if os.path.exists(link) and os.path.basename(os.readlink(link)) == driver:
            return name
    return None


class Home:
    """Built once per boot. A plain home has cables for all three, called like what they stand for, and its lines lose
    nothing."""

    lines = [CABLE, HOTSPOT, PHONE]

    def __init__(self, plain=False):
        self.plain = plain
        self.interfaces = ["wan0", "wlan0", None]
        self.clients = {}
        self.supplicant = None
        self.replugs = 0
        for namespace in ["client", "core", "targets"]:
            run(f"ip netns add {namespace}")
            ip(namespace, "link set lo up")
        ip(None, "link set lo up")
        self.lan()
        self.internet()
        for n in self.lines:
            self.uplink(n)

    def lan(self):
        ip(None, """
            link add lan0 type veth peer name eth0 netns client
            addr add 192.168.77.1/24 dev lan0
            link set lan0 up""")
        ip("client", f"""
            addr add {CLIENT}/24 dev eth0
            link set eth0 up
            route add default via 192.168.77.1""")

    def internet(self):
        ip("core", "link add servers type veth peer name eth0 netns targets")
        ip("core", "addr add 203.0.113.1/24 dev servers\nlink set servers up")
        ip("targets", f"""
            addr add {ECHO}/24 dev eth0
            addr add {WEB}/24 dev eth0
            link set eth0 up
            route add default via 203.0.113.1""")
        for target in TARGETS:
            ip("targets", f"addr add {target}/32 dev lo")
            ip("core", f"route add {target}/32 via {ECHO}")
        forward("core")
        start(f"ip netns exec targets python3 /vm/guest/internet.py {ECHO} {WEB}", "internet")
        start("ip netns exec targets dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts"
              f" --user=root --pid-file= --bind-interfaces --address=/#/{WEB}", "internet-dns")

    def uplink(self, n):
        modem, provider = f"modem{n}", f"provider{n}"
        run(f"ip netns add {modem}; ip netns add {provider}")
        ip(modem, f"""
            link set lo up
            link add line type veth peer name customer netns {provider}
            addr add 100.64.{n}.2/30 dev line
            link set line up""")
        ip(provider, f"""
            link set lo up
            link add core type veth peer name isp{n} netns core
            addr add 100.64.{n}.1/30 dev customer
            addr add 198.18.{n}.2/30 dev core
            link set customer up
            link set core up
            route add default via 198.18.{n}.1""")
        ip(modem, f"route add default via 100.64.{n}.1")
        ip("core", f"""
            addr add 198.18.{n}.1/30 dev isp{n}
            link set isp{n} up
            route add 100.64.{n}.0/30 via 198.18.{n}.2""")
        forward(modem)
        forward(provider)
        line = LINES[n].split(" loss")[0] if self.plain else LINES[n]
        run(f"tc -n {modem} qdisc add dev line root netem {line}")
        run(f"tc -n {provider} qdisc add dev customer root netem {line}")
        nft(modem, f"""
            table ip home {{
                counter wrong_source {{ }}
                chain guard {{
                    type filter hook prerouting priority raw
                    iifname "lan" ip saddr != {{ 192.168.1{n}.0/24, 0.0.0.0 }} counter name wrong_source drop
                }}
                chain nat {{
                    type nat hook postrouting priority srcnat
                    oifname "line" snat to 100.64.{n}.2
                }}
            }}""")
        connect = [self.connect_cable, self.connect_radio, self.connect_usb]
        (self.connect_cable if self.plain else connect[n])(n)
        start(f"ip netns exec {modem} dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts"
              f" --user=root --pid-file= --bind-dynamic --interface=lan --server=1.1.1.1 --server=8.8.8.8"
              f" --dhcp-range=192.168.1{n}.2,192.168.1{n}.99,255.255.255.0,12h --dhcp-leasefile=/run/leases{n}"
              " --dhcp-authoritative --no-ping", modem)
        self.lease(n)

    def serve_lan(self, n):
        ip(f"modem{n}", f"addr add 192.168.1{n}.1/24 dev lan\nlink set lan up")

    def connect_cable(self, n):
        name = self.interfaces[n] = self.interfaces[n] or "usb0"
        ip(None, f"link add {name} type veth peer name lan netns modem{n}\nlink set {name} up")
        self.serve_lan(n)

    def connect_radio(self, n):
        """Two simulated radios: the board's, and the phone's in its own namespace."""
        run("modprobe mac80211_hwsim radios=2")
        until("radios", lambda: os.path.exists("/sys/class/net/wlan1"), 20)
        phy = os.path.basename(os.readlink("/sys/class/net/wlan1/phy80211"))
        run(f"iw phy {phy} set netns name modem{n}")
        ip(f"modem{n}", "link set wlan1 name lan")
        write("/run/hostapd.conf", f"interface=lan\nssid={SSID}\nchannel=1\nhw_mode=g\nwpa=2\nwpa_key_mgmt=WPA-PSK\n"
              f"rsn_pairwise=CCMP\nwpa_passphrase={PASSWORD}\n")
        write("/run/wpa.conf", f'network={{\nssid="{SSID}"\npsk="{PASSWORD}"\n}}\n')
        start(f"ip netns exec modem{n} hostapd /run/hostapd.conf", "hostapd")
        self.serve_lan(n)
        start("wpa_supplicant -i wlan0 -c /run/wpa.conf", "wpa_supplicant")
        until("the hotspot's carrier", lambda: read("/sys/class/net/wlan0/carrier").strip() == "1", 60)

    def connect_usb(self, n):
        """A phone that tethers: RNDIS at its end, what the kernel makes of it at ours."""
        run("modprobe -a dummy_hcd libcomposite usb_f_rndis rndis_host")
        self.plug_as("02:83:00:00:00:02", n)

    def plug_as(self, mac, n=PHONE):
        """The phone is plugged in, and the board's end has this hardware address. Waits for the interface."""
        for folder in ["strings/0x409", "configs/c.1", "functions/rndis.usb0"]:
            os.makedirs(f"{GADGET}/{folder}")
        for name, value in {"idVendor": "0x18d1", "idProduct": "0x4ee3", "strings/0x409/serialnumber": "83008301",
                            "strings/0x409/manufacturer": "Anna", "strings/0x409/product": "Phone",
                            "functions/rndis.usb0/dev_addr": "02:83:00:00:00:01",
                            "functions/rndis.usb0/host_addr": mac}.items():
            write(f"{GADGET}/{name}", value)
        os.symlink(f"{GADGET}/functions/rndis.usb0", f"{GADGET}/configs/c.1/rndis.usb0")
        write(f"{GADGET}/UDC", os.listdir("/sys/class/udc")[0])
        theirs = read(f"{GADGET}/functions/rndis.usb0/ifname").strip()
        ip(None, f"link set {theirs} netns modem{n}")
        ip(f"modem{n}", f"link set {theirs} name lan")
        self.serve_lan(n)
        self.interfaces[n] = until("the tether's interface", lambda: driven_by("rndis_host"), 30)
        ip(None, f"link set {self.interfaces[n]} up")

    def unplug(self, n=PHONE):
        """The phone's cable comes out."""
        self.clients.pop(n).kill()
        write(f"{GADGET}/UDC", "\n")
        until("the interface to go", lambda: not os.path.exists(f"/sys/class/net/{self.interfaces[n]}"), 20)
        os.remove(f"{GADGET}/configs/c.1/rndis.usb0")
        for folder in ["configs/c.1", "functions/rndis.usb0", "strings/0x409", ""]:
            os.rmdir(f"{GADGET}/{folder}")

    def lease(self, n):
        """A DHCP client as the board's network manager would run it. Waits for the address."""
        name = self.interfaces[n]
        self.clients[n] = start(f"env METRIC={METRICS[n]} busybox udhcpc -f -i {name} -t 20 -T 1 -A 1"
                                " -s /vm/guest/udhcpc.sh", f"udhcpc{n}")
        until(f"an address on {name}", lambda: "inet " in text(f"ip -4 addr show dev {name}"), 40)

    def sever(self, n):
        """Cut beyond the modem, which goes on answering."""
        nft(f"modem{n}", """table ip fault
            delete table ip fault
            table ip fault { chain cut { type filter hook forward priority filter; drop; }; }""")

    def restore(self, n):
        nft(f"modem{n}", "table ip fault\ndelete table ip fault")

    def wrong_sources(self):
        """Packets that left by an uplink with an address that is not that uplink's."""
        count = 0
        for n in range(3):
            said = text(f"ip netns exec modem{n} nft list counter ip home wrong_source")
            count += int(said.split("packets ")[1].split()[0])
        return count

    def round_trips(self):
        """Milliseconds to a target over each uplink, the board's own pings."""
        trips = []
        for name in self.interfaces:
            said = text(f"ping -n -q -c 5 -i 0.3 -W 3 -I {name} 1.1.1.1")
            trips.append(float(said.split("min/avg/max/mdev = ")[1].split("/")[1]))
        return trips
