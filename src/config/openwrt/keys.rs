//! What can be said in `/etc/config/sparelink`, and what it is in TOML.

/// How a value stands in TOML.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    Number,
    Flag,
    /// Text, or 0 for no; 1 is what holds without a word.
    Switch,
    List,
    /// Addresses, each in the list of its family: the second key is that of IPv6.
    Addresses(&'static str),
    /// What the init script reads.
    Elsewhere,
}

/// An option or a list, and what it is in TOML: its table below that of the section, and its key there.
pub(super) struct Key(
    pub(super) &'static str,
    pub(super) &'static str,
    pub(super) &'static str,
    pub(super) Form,
);

use Form::{Addresses, Elsewhere, Flag, List, Number, Switch, Text};

/// `config sparelink 'main'`.
const MAIN: &[Key] = &[
    Key("enabled", "", "", Elsewhere),
    Key("config_file", "", "", Elsewhere),
    Key("lan", "lan", "interfaces", List),
    Key("guard", "lan", "guard", Flag),
    Key("announce", "lan", "announce", Flag),
    Key("hold", "failback", "hold", Text),
    Key("hold_max", "failback", "hold_max", Text),
    Key("listen", "web", "listen", List),
    Key("web_name", "web", "names", List),
    Key("trusted_proxy", "web", "trusted_proxy", List),
    Key("zone", "time", "zone", Text),
    Key("state_dir", "state", "dir", Text),
    Key("history", "state", "history", Text),
    Key("run_dir", "run", "dir", Text),
    Key("board", "leds", "board", Text),
    Key("led", "leds", "status", Text),
];
/// `config probe 'probe'`.
const PROBE: &[Key] = &[
    Key("target", "probe", "targets", Addresses("targets6")),
    Key("dns", "probe", "dns", Switch),
    Key("http", "probe", "http", Switch),
    Key("window", "probe", "window", Text),
];
/// `config http`, one for each check.
const HTTP: &[Key] = &[
    Key("url", "", "url", Text),
    Key("status", "", "status", Number),
    Key("body", "", "body", Text),
];
/// `config uplink 'wan'`; the order of the file is the order of the chain.
const UPLINK: &[Key] = &[
    Key("name", "", "name", Text),
    Key("network", "", "network", Text),
    Key("device", "", "interface", Text),
    Key("kind", "", "kind", Text),
    Key("metered", "", "metered", Flag),
    Key("gateway", "", "gateway", Text),
    Key("gateway6", "", "gateway6", Text),
    Key("resolver", "", "resolvers", List),
    Key("prefix", "", "prefixes", List),
    Key("prefix6", "", "prefixes6", List),
    Key("keep_route", "", "keep_routes", List),
    Key("on_return", "", "on_return", Text),
    Key("window", "", "window", Text),
    Key("usb_path", "match", "usb_path", Text),
    Key("driver", "match", "driver", Text),
    Key("mac", "match", "mac", Text),
    Key("ssid", "match", "ssid", Text),
    Key("provider", "provider", "name", Text),
    Key("account", "provider", "account", Text),
    Key("phone", "provider", "phone", Text),
    Key("country", "provider", "country", Text),
    Key("monthly", "provider", "monthly", Text),
    Key("reported", "provider", "reported", Text),
    Key("led", "", "", Elsewhere),
];
/// `config notify`, one for each channel.
const NOTIFY: &[Key] = &[
    Key("to", "", "to", Text),
    Key("min", "", "min", Text),
    Key("quiet", "", "quiet", Text),
    Key("secret_file", "", "secret_file", Text),
    Key("escalate", "", "escalate", List),
    Key("after", "", "after", Text),
    Key("body", "", "body", Text),
    Key("method", "", "method", Text),
];
/// `config heartbeat 'heartbeat'`.
const HEARTBEAT: &[Key] = &[
    Key("url", "heartbeat", "url", Text),
    Key("every", "heartbeat", "every", Text),
    Key("each_uplink", "heartbeat", "each_uplink", Flag),
];
/// `config ddns`, one for each name.
const DDNS: &[Key] = &[
    Key("name", "", "name", Text),
    Key("protocol", "", "protocol", Text),
    Key("server", "", "server", Text),
    Key("zone", "", "zone", Text),
    Key("key_name", "", "key_name", Text),
    Key("user", "", "user", Text),
    Key("secret_file", "", "secret_file", Text),
    Key("uplink", "", "uplink", Text),
    Key("ipv4", "", "ipv4", Flag),
    Key("ipv6", "", "ipv6", Flag),
    Key("ttl", "", "ttl", Number),
    Key("behind_nat", "", "behind_nat", Flag),
    Key("echo", "", "echo", List),
];
/// Types of sections: their keys, and the TOML list whose element one is.
pub(super) const SECTIONS: [(&str, &[Key], Option<&str>); 7] = [
    ("sparelink", MAIN, None),
    ("probe", PROBE, None),
    ("http", HTTP, Some("probe.http")),
    ("uplink", UPLINK, Some("uplink")),
    ("notify", NOTIFY, Some("notify")),
    ("heartbeat", HEARTBEAT, None),
    ("ddns", DDNS, Some("ddns")),
];
