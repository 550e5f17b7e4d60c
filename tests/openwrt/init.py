"""The init script, as procd would run it."""

from box import CONFIG, a_box
from harness import ensure, same, test

UCI = "/etc/config/sparelink"
COMMAND = f"param command /usr/bin/sparelink run --uci {UCI}"


def with_ujail(box):
    box.write("sbin/ujail", "").chmod(0o755)


def about(calls, word):
    return [call for call in calls if call.split()[0] == word]


@test
def init_starts_nothing_while_it_is_disabled():
    with a_box() as box:
        for file in (None, "0", ""):
            if file is not None:
                box.configure(enabled=file)
            code, _, calls = box.service("start")
            same(code, 0, "exit code")
            same(about(calls, "instance"), [], f"enabled {file!r}")
            same(len(about(calls, "logger")), 1, f"lines in the log: {calls}")
            ensure("is not 1" in about(calls, "logger")[0], calls)
            # Save & Apply is heard of all the same.
            same(calls[-2:], ["trigger sparelink network", "procd is told"], "the end")
        # And the control: with a 1 it starts.
        box.configure(enabled="1")
        ensure("instance" in box.service("start")[2], "enabled 1 starts it")


@test
def init_runs_it_for_ever_as_root_where_there_is_no_ujail():
    with a_box() as box:
        box.configure(enabled="1")
        code, _, calls = box.service("start")
        same(code, 0, "exit code")
        same(calls, [
            f"sparelink check --uci {UCI}",
            "modprobe nf_conntrack_netlink",
            "instance",
            COMMAND,
            "param file /usr/bin/sparelink",
            "param respawn 3600 1 0",
            "param env SPARELINK_LOG=syslog",
            "param stderr 1",
            "instance is complete",
            "trigger sparelink network",
            "procd is told",
        ], "what procd is told")
        for made in ("etc/sparelink/state", "var/run/sparelink", "tmp/resolv.conf.d"):
            ensure((box.root / made).is_dir(), f"{made} is there")


@test
def init_jails_it_where_ujail_is():
    with a_box() as box:
        with_ujail(box)
        box.configure(enabled="1")
        box.write("etc/TZ", "UTC\n")
        for led in ("green:wan", "white:system"):
            box.write(f"sys/class/leds/{led}/brightness", "0")
        calls = box.service("start")[2]
        for line in (
            "chown -hR sparelink:sparelink /var/run/sparelink /etc/sparelink/state",
            "chown root:sparelink /etc/sparelink",
            f"chown root:sparelink {UCI}",
            "chown sparelink /sys/class/leds/green:wan/brightness /sys/class/leds/green:wan/trigger",
            "chown sparelink /sys/class/leds/white:system/brightness /sys/class/leds/white:system/trigger",
            "param user sparelink",
            "param group sparelink",
            "param no_new_privs 1",
            "param capabilities /etc/capabilities/sparelink.json",
            "jail sparelink log procfs sysfs",
            "mount /etc/config /tmp/resolv.conf.d /var/run/ubus /var/run/sparelink-leds",
            "mount_rw /etc/sparelink /var/run/sparelink /etc/sparelink/state /proc/sys/net /sys/devices",
            "mount /etc/TZ",
        ):
            ensure(line in calls, f"{line!r} in {calls}")
        ensure("mount /etc/localtime" not in calls, "what is not there is not mounted")
        same((box.root / CONFIG).stat().st_mode & 0o777, 0o640, "mode of the configuration")
        same((box.root / "etc/sparelink/state").stat().st_mode & 0o777, 0o700, "mode of the state")


@test
def init_jails_nobody_without_the_user():
    with a_box() as box:
        with_ujail(box)
        box.configure(enabled="1")
        box.write("etc/passwd", "root:x:0:0:root:/root:/bin/ash\n")
        calls = box.service("start")[2]
        same(about(calls, "jail"), [], "the jail")
        ensure("instance is complete" in calls, "it runs as root")


@test
def init_takes_the_folders_and_the_toml_file_that_are_named():
    with a_box() as box:
        with_ujail(box)
        toml = "/mnt/usb/conf/uplinks.toml"
        box.configure(enabled="1", config_file=toml, run_dir="/tmp/run/x", state_dir="/mnt/usb/state")
        calls = box.service("start")[2]
        ensure(f"sparelink check --config {toml}" in calls, calls)
        ensure(f"param command /usr/bin/sparelink run --config {toml}" in calls, calls)
        ensure("mount /mnt/usb/conf" in calls, calls)
        ensure("mount_rw /etc/sparelink /tmp/run/x /mnt/usb/state /proc/sys/net /sys/devices" in calls, calls)
        # One that is in a folder of its own is mounted with it.
        box.configure(enabled="1", config_file="/etc/sparelink/sparelink.toml")
        calls = box.service("start")[2]
        ensure("param command /usr/bin/sparelink run --config /etc/sparelink/sparelink.toml" in calls, calls)
        same(about(calls, "mount"), ["mount /etc/config /tmp/resolv.conf.d /var/run/ubus /var/run/sparelink-leds"], "mounts")


@test
def init_starts_nothing_that_is_wrong_and_says_why():
    with a_box() as box:
        box.configure(enabled="1")
        box.write("wrong", "/etc/config/sparelink:2:9: unknown\n")
        code, _, calls = box.service("start")
        same(code, 1, "exit code")
        same(about(calls, "instance"), [], "nothing is started")
        ensure(any("2:9: unknown" in call for call in about(calls, "logger")), calls)
        ensure(calls[-1] == "procd is told", "it is heard of when the file is mended")


@test
def init_leaves_a_running_agent_alone_when_the_file_is_wrong():
    with a_box() as box:
        box.configure(enabled="1")
        box.write("running", "")
        box.write("wrong", "/etc/config/sparelink:2:9: unknown\n")
        for action in ("start", "reload"):
            code, _, calls = box.service(action)
            same(code, 1, f"exit code of {action}")
            same(about(calls, "signal") + about(calls, "instance") + about(calls, "procd"), [], f"{action} does nothing")
            ensure(any("2:9: unknown" in call for call in calls), f"{action} says what is wrong: {calls}")
        # A file that uci cannot read is no wish to stop.
        box.write(CONFIG, "config sparelink 'main'\n\toption enabled '1\n")
        code, _, calls = box.service("reload")
        same((code, about(calls, "procd")), (1, []), "a quote that is never closed")
        # And the control: a right one is taken.
        (box.root / "wrong").unlink()
        box.configure(enabled="1")
        ensure("signal sparelink * HUP" in box.service("reload")[2], "a right file is taken")


@test
def init_reload_checks_first_and_signals_then():
    with a_box() as box:
        box.configure(enabled="1")
        box.write("running", "")
        code, _, calls = box.service("reload")
        same(code, 0, "exit code")
        same(calls[:2], [f"sparelink check --uci {UCI}", "signal sparelink * HUP"], "the order")
        # The same instance again: procd leaves it alone.
        ensure(COMMAND in calls and calls[-1] == "procd is told", calls)


@test
def init_lets_the_agent_read_what_uci_has_made_new_before_it_is_told():
    with a_box() as box:
        with_ujail(box)
        box.configure(enabled="1")
        box.write("running", "")
        # As uci leaves it.
        (box.root / CONFIG).chmod(0o600)
        calls = box.service("reload")[2]
        group, signal = f"chown root:sparelink {UCI}", "signal sparelink * HUP"
        ensure(group in calls and calls.index(group) < calls.index(signal), f"the order: {calls}")
        same((box.root / CONFIG).stat().st_mode & 0o777, 0o640, "mode of the configuration")


@test
def init_takes_a_broken_line_for_no_wish_to_stop():
    with a_box() as box:
        box.write("running", "")
        for text in ("config sparelink 'main'\n\toption enabled '1\n", "config sparelink 'main\n\toption enabled '0'\n"):
            box.write(CONFIG, text)
            box.write("wrong", "/etc/config/sparelink:1:1: this quote is never closed\n")
            code, _, calls = box.service("reload")
            same((code, about(calls, "procd")), (1, []), f"procd is told nothing: {calls}")


@test
def init_reload_starts_and_ends_it_as_enabled_says():
    with a_box() as box:
        box.configure(enabled="1")
        calls = box.service("reload")[2]
        same(about(calls, "signal"), [], "there is nobody to be told")
        ensure("instance is complete" in calls, "0 to 1 starts it")
        box.configure(enabled="0")
        box.write("running", "")
        calls = box.service("reload")[2]
        same(about(calls, "signal") + about(calls, "instance"), [], "1 to 0")
        same(calls[-2:], ["trigger sparelink network", "procd is told"], "procd ends what it is not told of")


@test
def init_stop_leaves_the_traffic_as_it_is():
    with a_box() as box:
        box.configure(enabled="1")
        same(box.service("stop")[2], ["procd ends it"], "stop")


@test
def init_purge_waits_until_the_agent_has_ended():
    with a_box() as box:
        box.configure(enabled="1")
        same(box.service("purge")[2], ["procd ends it"], "it has not run since the box booted")
        box.write("var/run/sparelink/lock", "")
        box.write("busy", "2")
        code, _, calls = box.service("purge")
        purge = "sparelink purge --run-dir /var/run/sparelink"
        same((code, calls), (0, ["procd ends it", purge, "sleep 1", purge, "sleep 1", purge]), "purge")
        box.write("busy", "99")
        code, _, calls = box.service("purge")
        same((code, calls.count(purge)), (1, 10), "it gives up")
        ensure("the agent is still running" in calls[-1], calls)
        box.configure(config_file="/etc/sparelink/sparelink.toml")
        box.write("busy", "0")
        ensure("sparelink purge --config /etc/sparelink/sparelink.toml" in box.service("purge")[2], "with a TOML file")


@test
def init_undoes_at_boot_what_nobody_confirmed():
    with a_box() as box:
        box.configure(enabled="1")
        box.write("etc/init.d/dnsmasq", "#!/bin/sh\necho dnsmasq $* >>/calls\n").chmod(0o755)
        undo = "sparelink setup --undo"
        calls = box.service("boot")[2]
        ensure(undo not in calls and "instance" in calls, f"nothing is on trial: {calls}")
        for record in ("setup-undo.json", "setup-undo.undoing"):
            file = box.write(f"etc/sparelink/{record}", "{}")
            calls = box.service("boot")[2]
            ensure(undo in calls and "dnsmasq restart" in calls, f"{record}: {calls}")
            ensure(calls.index(undo) < calls.index("instance"), f"before it starts: {calls}")
            file.unlink()


@test
def init_purge_has_dnsmasq_read_what_it_read_before():
    with a_box() as box:
        box.configure(enabled="1")
        box.write("etc/init.d/dnsmasq", "#!/bin/sh\necho dnsmasq $* >>/calls\n").chmod(0o755)
        for file, is_ours in (("/var/run/sparelink/resolv.conf", True), ("/etc/my.conf", False)):
            told = f"[ \"$2\" = get ] && echo {file} || echo uci $* >>/calls"
            box.write("sbin/uci", f"#!/bin/sh\n{told}\n").chmod(0o755)
            calls = box.service("purge")[2]
            back = "uci set dhcp.@dnsmasq[0].resolvfile=/tmp/resolv.conf.d/resolv.conf.auto"
            same([back in calls, "uci commit dhcp" in calls, "dnsmasq restart" in calls], [is_ours] * 3, file)


LED = """
. /lib/functions.sh
load_led() {
	local sysfs trigger name
	config_get sysfs "$1" sysfs
	config_get trigger "$1" trigger none
	[ -f "/usr/libexec/led-trigger/$trigger" ] && {
		. "/usr/libexec/led-trigger/$trigger"
		return 0
	}
	record "led $1 $trigger"
}
config_load system
config_foreach load_led led
"""


def leds(box):
    folder = box.root / "var/run/sparelink-leds"
    return {file.name: file.read_text() for file in folder.iterdir()} if folder.is_dir() else {}


@test
def leds_with_its_trigger_are_given_to_the_agent():
    def led(name, sysfs, trigger):
        return f"config led '{name}'\n\toption sysfs '{sysfs}'\n\toption trigger '{trigger}'\n"

    with a_box() as box:
        box.write("led.sh", LED)
        three = led("a", "green:wan", "sparelink"), led("b", "white:system", "sparelink"), led("c", "red:x", "timer")
        box.write("etc/config/system", "".join(three))
        code, said, calls = box.call("sh", "/led.sh")
        told = ["sparelink reload", "sparelink reload", "led c timer"]
        same((code, said, calls), (0, "", told), "the agent is told, the others are left alone")
        same(leds(box), {"a": "green:wan\n", "b": "white:system\n"}, "LEDs")
        # One is taken back, then the other.
        box.write("etc/config/system", led("a", "green:wan", "none") + three[1])
        box.call("sh", "/led.sh")
        same(leds(box), {"b": "white:system\n"}, "LEDs")
        box.write("etc/config/system", led("b", "white:system", "none"))
        box.configure(enabled="1")
        box.service("start")
        same(leds(box), {}, "LEDs")
