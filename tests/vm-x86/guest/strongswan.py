"""strongSwan between the box and a gateway in the Internet, as `swanctl` sets it up: IKEv2 with a shared key, from net to net,
and MOBIKE, by which the box tells the gateway of another address."""

import contextlib

from home import CLIENT, LAN, PEER
from net import ip
from tools import start, text, until, write

THEIRS, HOST = "10.99.0.0/24", "10.99.0.7"
DAEMON = """
charon-systemd {{
    {more}
    plugins {{
        include /etc/strongswan.d/charon/*.conf
        vici {{
            socket = unix:///run/{name}.vici
        }}
    }}
    filelog {{
        log {{
            path = /vm/logs/{name}-charon.log
            default = 1
            flush_line = yes
        }}
    }}
}}
"""
CONNECTION = """
connections {{
    site {{
        version = 2
        local_addrs = {here}
        remote_addrs = {there}
        mobike = yes
        dpd_delay = 2s
        local {{
            auth = psk
            id = {name}
        }}
        remote {{
            auth = psk
            id = {other}
        }}
        children {{
            site {{
                local_ts = {mine}
                remote_ts = {theirs}
                start_action = {action}
                dpd_action = restart
            }}
        }}
    }}
}}
secrets {{
    ike-one {{
        secret = "nobody knows it"
    }}
}}
"""


def daemon(name, inside, more, connection):
    """One end; its connection is loaded as soon as it answers."""
    write(f"/run/{name}.conf", DAEMON.format(name=name, more=more))
    write(f"/run/{name}.swanctl", connection)
    end = start(f"{inside} env STRONGSWAN_CONF=/run/{name}.conf charon-systemd".strip(), name)
    load = f"swanctl --load-all --file /run/{name}.swanctl --uri unix:///run/{name}.vici"
    until(f"{name} to take its connection", lambda: text(load), 60)
    return end


def associations():
    """What the box says of its tunnels."""
    return text("swanctl --list-sas --uri unix:///run/box.vici 2>/dev/null")


def local():
    """The box's address that the tunnel has."""
    return next(line.split("@")[1].split("[")[0].strip() for line in associations().splitlines() if " local  '" in line)


@contextlib.contextmanager
def raised(more=""):
    """Both ends, until the tunnel stands; `more` is said to the box's daemon alone."""
    # Narrower than what other tunnels know of the LAN.
    ip("core", f"addr add {HOST}/24 dev lo\nroute add {CLIENT} dev isp0")
    echo = start(f"ip netns exec core python3 /vm/guest/internet.py {HOST}", "far-end")
    far = daemon("far", "ip netns exec core", "interfaces_ignore = isp0,isp1,wg-far,tun-far", CONNECTION.format(
        name="far", other="box", here=PEER, there="%any", mine=THEIRS, theirs=LAN, action="none"))
    box = daemon("box", "", more, CONNECTION.format(
        name="box", other="far", here="%any", there=PEER, mine=LAN, theirs=THEIRS, action="start"))
    try:
        until("the tunnel", lambda: "INSTALLED" in associations(), 60)
        yield
    finally:
        for end in (box, far):
            end.terminate()
            end.wait(20)
        echo.kill()
        echo.wait()
        ip(None, "xfrm policy flush\nxfrm state flush")
        ip("core", f"xfrm policy flush\nxfrm state flush\naddr del {HOST}/24 dev lo\nroute del {CLIENT} dev isp0")
