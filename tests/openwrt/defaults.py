"""What the package proposes on boxes of several kinds, and the file that it begins with."""

import contextlib
import json
import subprocess

import ucifile
from box import CONFIG, a_box
from harness import HERE, OPENWRT, REPOSITORY, Skipped, ensure, same, test

SCRIPT = "/etc/uci-defaults/90-sparelink"
SHIPPED = (OPENWRT / "files" / CONFIG).read_text()


def read(name):
    """The parts of a box in boxes/."""
    parts, part = {}, None
    for line in (HERE / "boxes" / f"{name}.txt").read_text().splitlines(keepends=True):
        if line.startswith("== "):
            part = line[3:].strip()
            parts[part] = ""
        elif part is not None:
            parts[part] += line
    return parts


def set_up(box, parts):
    for file in ("network", "firewall", "wireless"):
        if file in parts:
            box.write(f"etc/config/{file}", parts[file])
    if "model" in parts:
        box.write("model", parts["model"])


def proposes(name):
    parts = read(name)
    with a_box() as box:
        set_up(box, parts)
        # As at an install: read by a shell that then deletes it.
        code, said, calls = box.call("sh", "-c", f". {SCRIPT}")
        same((code, said, calls), (0, "", []), "it says nothing, and changes nothing by uci")
        begin = SHIPPED.replace("\tlist lan 'lan'", "#\tlist lan 'lan'") if "lan" in parts else SHIPPED
        ensure("#\tlist lan" in begin or "\n\tlist lan" in begin, "the LAN stands there")
        text = box.read(CONFIG)
        ensure(text.startswith(begin), "what is explained stays")
        same(text[len(begin):], parts["proposed"], f"proposed for {name}")
        same(ucifile.mistakes(text), [], "it can be read")
        ensure(("sparelink", "main") == ucifile.sections(text)[0][:2], "the section main")
        ensure(("option", "enabled", "0") in ucifile.sections(text)[0][2], "it stays disabled")
        for file in ("network", "firewall", "wireless"):
            same((box.root / "etc/config" / file).exists(), file in parts, file)
            if file in parts:
                same(box.read(f"etc/config/{file}"), parts[file], f"{file} is as it was")
        # A second time nothing is added, unless there was nothing to be found.
        box.call("sh", SCRIPT)
        same(box.read(CONFIG), text, "run again")


@test
def defaults_on_a_travel_router():
    proposes("travel-router")


@test
def defaults_on_a_dsl_router():
    proposes("dsl")


@test
def defaults_with_two_fixed_lines():
    proposes("two-lines")


@test
def defaults_on_a_wifi_client():
    proposes("wifi-client")


@test
def defaults_with_lte():
    proposes("lte")


@test
def defaults_where_there_is_no_way_out():
    proposes("access-point")


@test
def defaults_leave_a_configured_box_alone():
    parts = read("travel-router")
    uplink = "config uplink 'mine'\n\toption device 'eth7'\n"
    toml = "config sparelink 'main'\n\toption config_file '/etc/sparelink/sparelink.toml'\n"
    with a_box() as box:
        set_up(box, parts)
        for text in (uplink, toml):
            box.write(CONFIG, text)
            same(box.call("sh", SCRIPT)[:2], (0, ""), "it ends well")
            same(box.read(CONFIG), text, "untouched")
        # No file, no proposal, and no mistake either; then the control.
        (box.root / CONFIG).unlink()
        same(box.call("sh", SCRIPT)[:2], (0, ""), "without a file")
        ensure(not (box.root / CONFIG).exists(), "none is made")
        box.write(CONFIG, "config sparelink 'main'\n")
        box.call("sh", SCRIPT)
        ensure("config uplink 'wan'" in box.read(CONFIG), "an empty one is filled")


@test
def the_shipped_file_is_understood():
    for text in (SHIPPED, ucifile.uncommented(SHIPPED)):
        same(ucifile.mistakes(text), [], "keys that the agent does not know")
    same([kind for kind, *_ in ucifile.sections(SHIPPED)], ["sparelink"], "what holds without a change")
    same({kind for kind, *_ in ucifile.sections(ucifile.uncommented(SHIPPED))}, set(ucifile.known()), "what is explained")
    main = {key: value for _, key, value in ucifile.sections(SHIPPED)[0][2]}
    same(main, {"enabled": "0", "lan": "lan", "state_dir": "/etc/sparelink/state", "run_dir": "/var/run/sparelink"}, "main")
    # And the controls.
    same(ucifile.mistakes("config sparelink\n\toption gaurd '1'\n"), ["sparelink.gaurd"], "a wrong key")
    same(ucifile.mistakes("config uplink\n\tlist kind 'wired'\n"), ["uplink.kind is no list"], "a list")


def the_program():
    """One that reads OpenWrt's language, as somebody built it."""
    for place in ("debug", "arm/x86_64-unknown-linux-musl"):
        program = REPOSITORY / "target" / place / "sparelink"
        with contextlib.suppress(OSError):
            if "--uci" in subprocess.run([program, "check", "--help"], capture_output=True, text=True).stdout:
                return program
    raise Skipped("no sparelink that knows --uci is in target/debug: cargo build")


@test
def the_program_itself_takes_what_is_proposed():
    program = the_program()

    def check(file):
        done = subprocess.run([program, "check", "--uci", file], capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    with a_box() as box:
        for name in ("travel-router", "dsl", "two-lines", "wifi-client", "lte"):
            set_up(box, read(name))
            box.write(CONFIG, SHIPPED)
            box.call("sh", SCRIPT)
            code, said = check(box.root / CONFIG)
            same(code, 0, f"{name}: {said}")
        # Everything that is explained, but for what excludes the rest.
        lines = ucifile.uncommented(SHIPPED).splitlines(True)
        explained = "".join(line for line in lines if "config_file" not in line and "option http" not in line)
        code, said = check(box.write(CONFIG, explained))
        same(code, 0, said)
        # And the control.
        code, said = check(box.write(CONFIG, explained.replace("option guard", "option gaurd")))
        ensure(code == 2 and "guard" in said, said)


NAMES = "/etc/uci-defaults/95-sparelink-names"


@test
def names_find_a_way_after_a_sysupgrade_that_took_the_program():
    ours, openwrts = "/var/run/sparelink/resolv.conf", "/tmp/resolv.conf.d/resolv.conf.auto"
    with a_box() as box:
        box.write("sbin/uci", '#!/bin/sh\n[ "$2" = get ] && exec cat /told\necho "uci $*" >>/calls\n').chmod(0o755)
        # As boot does it: what succeeds is deleted.
        boots = f"( . {NAMES} ) && rm -f {NAMES}"
        for told, program, calls in (
            (ours, True, []),
            ("/etc/my.conf", False, []),
            (ours, False, [f"uci set dhcp.@dnsmasq[0].resolvfile={openwrts}", "uci commit dhcp"]),
        ):
            box.write("told", told)
            if not program and (box.root / "usr/bin/sparelink").exists():
                (box.root / "usr/bin/sparelink").unlink()
            same(box.call("sh", "-c", boots)[2], calls, f"{told}, program {program}")
            same((box.root / "var/run/sparelink").is_dir(), True, "dnsmasq starts")
            same((box.root / NAMES.lstrip("/")).exists(), calls == [], "it stays as long as it is needed")
    ensure(NAMES in (OPENWRT / "files/lib/upgrade/keep.d/sparelink").read_text().split(), "a sysupgrade keeps it")


@test
def json_files_are_what_their_readers_want():
    files = OPENWRT / "files"
    capabilities = json.loads((files / "etc/capabilities/sparelink.json").read_text())
    same(sorted(capabilities), ["ambient", "bounding", "effective", "inheritable", "permitted"], "sets")
    for name, ones in capabilities.items():
        same(ones, ["CAP_NET_ADMIN", "CAP_NET_RAW"], name)
    acl = json.loads((files / "usr/share/acl.d/sparelink.json").read_text())
    same(acl["user"], "sparelink", "who")
    same(acl["access"]["network.interface"], {"methods": ["dump"]}, "what of netifd")
    same(acl["access"]["network.interface.*"], {"methods": ["status", "up", "down"]}, "what of a network")
    same((acl["publish"], acl["subscribe"]), (["sparelink"], ["network.interface"]), "its own object, netifd's events")
    same(acl["listen"], ["network.interface", "ubus.object.*"], "events")
    ensure(set(acl) <= {"user", "group", "access", "publish", "subscribe", "inherit", "listen", "send"}, "ubusd's keys")
    luci = OPENWRT / "luci-app-sparelink"
    for file in sorted(luci.rglob("*.json")):
        json.loads(file.read_text())
