# What the tests need of OpenWrt's /lib/functions.sh. Like uci's own export, a configuration is read as shell. What a test
# has to look at afterwards is written to /calls.

record() {
	echo "$*" >>/calls
}

config() {
	_count=$((_count + 1))
	_section=${2:-cfg$_count}
	CONFIG_SECTIONS="$CONFIG_SECTIONS $_section"
	eval "CONFIG_${_section}_TYPE=\$1"
}

option() {
	eval "CONFIG_${_section}_$1=\$2"
}

list() {
	eval "CONFIG_${_section}_$1=\"\${CONFIG_${_section}_$1:+\${CONFIG_${_section}_$1} }\$2\""
}

# As with uci's, variables of a file that was loaded before stay, and lines with a mistake are passed over.
config_load() {
	CONFIG_SECTIONS=
	_count=0
	[ -e "/etc/config/$1" ] || return 1
	while read -r _line; do
		! echo "$_line" | sh -n 2>/dev/null || eval "$_line"
	done <"/etc/config/$1"
}

config_get() {
	case "$2$3" in
	*[!A-Za-z0-9_]*) return 0 ;;
	esac
	eval "$1=\${CONFIG_${2}_$3:-\$4}"
}

config_get_bool() {
	config_get "$@"
	eval "_value=\$$1"
	case $_value in
	1 | on | true | yes | enabled) eval "$1=1" ;;
	0 | off | false | no | disabled) eval "$1=0" ;;
	*) eval "$1=\$4" ;;
	esac
}

config_foreach() {
	_each=$1
	_type=$2
	for _one in $CONFIG_SECTIONS; do
		eval "_is=\$CONFIG_${_one}_TYPE"
		[ "$_is" != "$_type" ] || "$_each" "$_one"
	done
}

default_postinst() {
	record "default_postinst $*"
}

default_prerm() {
	record "default_prerm $*"
}

# Programs of the box that must not be run, or are not there.
logger() {
	if [ -t 0 ] || [ $# -gt 5 ]; then
		record "logger $*"
	else
		record "logger $* < $(cat)"
	fi
}

chown() {
	record "chown $*"
}

modprobe() {
	record "modprobe $*"
}

killall() {
	record "killall $*"
}

sleep() {
	record "sleep $*"
}

jsonfilter() {
	[ ! -e /model ] || cat /model
}
