//! Every key of the configuration: what it says, what stands for it where it is not given, and an example. The tests
//! beside this hold it against the parser, key by key.

/// A table of the configuration.
pub(super) struct Section {
    /// As it is written in the file.
    pub(super) title: &'static str,
    /// What the parser calls it in a message.
    pub(super) called: &'static str,
    pub(super) about: &'static str,
    /// What stands around it in a whole file; its own keys come at the `@`.
    pub(super) around: &'static str,
    /// What stands between its keys.
    pub(super) joint: &'static str,
    pub(super) keys: &'static [Key],
}

pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) default: Default,
    /// A value, in TOML.
    pub(super) example: &'static str,
    pub(super) about: &'static str,
    /// Other keys of its section that it does not go without, and their values.
    pub(super) with: &'static [(&'static str, &'static str)],
}

/// What it is if it is not given.
pub(super) enum Default {
    /// It has to be given.
    Needed,
    /// The same as this value, in TOML.
    Value(&'static str),
    /// No value says the same.
    Words(&'static str),
}

use Default::{Needed, Value, Words};

const CABLE: &str = "[[uplink]]\nname = \"cable\"\ninterface = \"eth1\"\n";
const NAMED: &[(&str, &str)] = &[("name", "\"cable\""), ("interface", "\"eth1\"")];
const DDNS: &[(&str, &str)] = &[
    ("name", "\"home.example.net\""),
    ("protocol", "\"rfc2136\""),
    ("server", "\"ns1.example.net\""),
    ("key_name", "\"home\""),
    ("secret_file", "\"home.key\""),
];
const DYNDNS: &[(&str, &str)] = &[
    ("name", "\"home.example.net\""),
    ("protocol", "\"dyndns2\""),
    ("server", "\"members.example.net\""),
    ("secret_file", "\"dyn\""),
    ("user", "\"anna\""),
];
const TO: &[(&str, &str)] = &[("to", "\"ntfy://ntfy.sh/our-house-7f3k\"")];
const HOOK: &[(&str, &str)] = &[("to", "\"json://hook.lan/sparelink\"")];
const URL: &[(&str, &str)] = &[("url", "\"https://hc-ping.com/UUID\"")];
const LAN: &[(&str, &str)] = &[("interfaces", "[\"br-lan\"]")];
const PAGE: &[(&str, &str)] = &[("url", "\"http://example.com/ok\""), ("status", "204")];

const fn key(
    name: &'static str,
    default: Default,
    example: &'static str,
    about: &'static str,
    with: &'static [(&'static str, &'static str)],
) -> Key {
    Key { name, default, example, about, with }
}

pub(super) const SECTIONS: &[Section] = &[
    Section {
        title: "[[uplink]]",
        called: "[[uplink]]",
        about: "An uplink; their order is their priority. Name and interface are all that is needed.",
        around: "[[uplink]]\n@",
        joint: "\n",
        keys: &[
            key("name", Needed, "\"cable\"", "What people call it: one word.", NAMED),
            key(
                "interface",
                Words("`match` says it"),
                "\"eth1\"",
                "Its interface, by name.",
                NAMED,
            ),
            key(
                "network",
                Words("none"),
                "\"wan\"",
                "On OpenWrt instead of the interface: what netifd calls the network, whatever interface it uses for it.",
                &[("name", "\"cable\"")],
            ),
            key(
                "match",
                Words("none"),
                "{ usb_path = \"1-1.3\" }",
                "How its interface is recognised if the name may change, see below.",
                &[("name", "\"cable\"")],
            ),
            key(
                "kind",
                Value("\"wired\""),
                "\"cellular\"",
                "\"wired\", \"wifi\" or \"cellular\": how fast it is judged, and how often it is asked.",
                NAMED,
            ),
            key(
                "metered",
                Value("false"),
                "true",
                "Data on it is precious: as a spare it is asked less often, and old connections leave it after ten minutes.",
                NAMED,
            ),
            key(
                "gateway",
                Words("learned from the system's routes"),
                "\"192.168.8.1\"",
                "Its IPv4 gateway, if no route of the system shows it.",
                NAMED,
            ),
            key("gateway6", Words("learned"), "\"fe80::1\"", "The same for IPv6.", NAMED),
            key(
                "resolvers",
                Words("learned, else the targets are asked"),
                "[\"192.168.8.1\"]",
                "Its own DNS resolvers.",
                NAMED,
            ),
            key(
                "prefixes",
                Words("none"),
                "[\"198.51.100.8/29\"]",
                "Public subnets that its provider routes to this box: not translated, and let in.",
                NAMED,
            ),
            key(
                "prefixes6",
                Words("learned from source-specific routes"),
                "[\"2001:db8:1::/56\"]",
                "IPv6 prefixes that its provider delegated: not translated by this uplink.",
                NAMED,
            ),
            key(
                "keep_routes",
                Words("none"),
                "[\"203.0.113.9\"]",
                "Hosts to which a route of the system by this uplink stays, whatever uplink is in use.",
                NAMED,
            ),
            key(
                "on_return",
                Words("\"drain\"; \"drain:10m\" where metered"),
                "\"drain:10m\"",
                "What becomes of connections on it when a better uplink returns: \"drain\" lets them end, \"drain:10m\" moves them after so long, \"cut\" after a second.",
                NAMED,
            ),
            key(
                "window",
                Words("by kind, then learned"),
                "\"600ms\"",
                "Fixes how long it may be silent before it counts as dead.",
                NAMED,
            ),
            key(
                "provider",
                Words("none"),
                "{ name = \"Example Cable\" }",
                "Whom to call when it is down, see below.",
                NAMED,
            ),
        ],
    },
    Section {
        title: "match = { … }",
        called: "match = { usb_path = \"1-1.3\" }",
        about: "In an uplink. All that is given must fit, the interface's name too if there is one.",
        around: "[[uplink]]\nname = \"cable\"\nmatch = { @ }\n",
        joint: ", ",
        keys: &[
            key(
                "usb_path",
                Words("any"),
                "\"1-1.3\"",
                "The USB port, as in /sys/bus/usb/devices.",
                &[],
            ),
            key("driver", Words("any"), "\"cdc_ether\"", "The driver in the kernel.", &[]),
            key("mac", Words("any"), "\"02:00:5e:10:00:01\"", "The Ethernet address.", &[]),
            key("ssid", Words("any"), "\"Hotel\"", "The Wi-Fi network that it is in.", &[]),
        ],
    },
    Section {
        title: "provider = { … }",
        called: "provider = { name = \"Example Cable\" }",
        about: "In an uplink: for the report, and for messages when it is down.",
        around: "[[uplink]]\nname = \"cable\"\ninterface = \"eth1\"\nprovider = { @ }\n",
        joint: ", ",
        keys: &[
            key("name", Needed, "\"Example Cable\"", "Who it is.", &[]),
            key(
                "account",
                Words("none"),
                "\"C-4711\"",
                "Your number there; shown only to those who have logged in.",
                &[("name", "\"Example Cable\"")],
            ),
            key(
                "phone",
                Words("none"),
                "\"+44 800 1234\"",
                "Their telephone number.",
                &[("name", "\"Example Cable\"")],
            ),
            key(
                "country",
                Words("none"),
                "\"GB\"",
                "By whose rule they may owe a compensation.",
                &[("name", "\"Example Cable\"")],
            ),
            key(
                "monthly",
                Words("none"),
                "\"39.90 EUR\"",
                "What the line costs a month.",
                &[("name", "\"Example Cable\"")],
            ),
            key(
                "reported",
                Words("as told by `sparelink note --reported`"),
                "2026-11-17",
                "The day on which you told them of an outage.",
                &[("name", "\"Example Cable\"")],
            ),
        ],
    },
    Section {
        title: "[lan]",
        called: "[lan]",
        about: "The network behind this box. Without it only the box's own traffic is steered, and forwarding is left as it is.",
        around: "[[uplink]]\nname = \"cable\"\ninterface = \"eth1\"\n[lan]\n@",
        joint: "\n",
        keys: &[
            key("interfaces", Needed, "[\"br-lan\"]", "Its interfaces.", LAN),
            key("guard", Value("true"), "false", "Drop what comes in by an uplink unasked.", LAN),
            key(
                "announce",
                Value("false"),
                "true",
                "Tell the LAN by router advertisements when an uplink's IPv6 prefix is dead.",
                LAN,
            ),
        ],
    },
    Section {
        title: "[probe]",
        called: "[probe]",
        about: "How uplinks are asked whether the Internet is behind them.",
        around: "[[uplink]]\nname = \"cable\"\ninterface = \"eth1\"\n[probe]\n@",
        joint: "\n",
        keys: &[
            key(
                "targets",
                Value("[\"1.1.1.1\", \"8.8.8.8\", \"9.9.9.9\"]"),
                "[\"1.1.1.1\", \"9.9.9.9\"]",
                "Servers that are asked over IPv4: up to 8, best of different operators.",
                &[],
            ),
            key(
                "targets6",
                Value("[\"2606:4700:4700::1111\", \"2001:4860:4860::8888\", \"2620:fe::fe\"]"),
                "[\"2620:fe::fe\"]",
                "The same over IPv6.",
                &[],
            ),
            key(
                "dns",
                Value("\"example.com\""),
                "false",
                "The name that each uplink's resolvers are asked for; false turns this check off.",
                &[],
            ),
            key(
                "http",
                Value(
                    "[{ url = \"http://connectivitycheck.gstatic.com/generate_204\", status = 204 }, { url = \"http://detectportal.firefox.com/success.txt\", body = \"success\" }]",
                ),
                "false",
                "Pages that are loaded to find sign-in pages, see below; any one is enough, false turns this check off.",
                &[],
            ),
            key(
                "window",
                Words("by kind, then learned"),
                "\"600ms\"",
                "Fixes the window of every uplink.",
                &[],
            ),
        ],
    },
    Section {
        title: "http = [{ … }]",
        called: "an http check",
        about: "In [probe]: a page, and what it must answer. Either status or body.",
        around: "[[uplink]]\nname = \"cable\"\ninterface = \"eth1\"\n[probe]\nhttp = [{ @ }]\n",
        joint: ", ",
        keys: &[
            key(
                "url",
                Needed,
                "\"http://example.com/ok\"",
                "Its address; not https, which no sign-in page can answer.",
                PAGE,
            ),
            key("status", Words("`body` says it"), "204", "The status that it answers.", PAGE),
            key(
                "body",
                Words("`status` says it"),
                "\"success\"",
                "How its text begins.",
                &[("url", "\"http://example.com/ok\"")],
            ),
        ],
    },
    Section {
        title: "[failback]",
        called: "[failback]",
        about: "When the traffic goes back to a better uplink.",
        around: "[[uplink]]\nname = \"cable\"\ninterface = \"eth1\"\n[failback]\n@",
        joint: "\n",
        keys: &[
            key(
                "hold",
                Value("\"60s\""),
                "\"5m\"",
                "How long it must have been stable. Doubled each time it failed within the hour.",
                &[],
            ),
            key("hold_max", Value("\"30m\""), "\"2h\"", "The longest that this becomes.", &[]),
        ],
    },
    Section {
        title: "[web]",
        called: "[web]",
        about: "The page, and the API beside it.",
        around: "[[uplink]]\nname = \"cable\"\ninterface = \"eth1\"\n[lan]\ninterfaces = [\"br-lan\"]\n[web]\n@",
        joint: "\n",
        keys: &[
            key(
                "listen",
                Value("[\"lan:8300\"]"),
                "[\"192.168.1.1:8300\"]",
                "Where it listens; lan stands for the LAN interfaces' own addresses. Without [lan] the default is nowhere.",
                &[],
            ),
            key(
                "names",
                Value("[]"),
                "[\"gw.office.example\"]",
                "Names by which browsers reach it, besides its addresses.",
                &[],
            ),
            key(
                "trusted_proxy",
                Value("[]"),
                "[\"192.168.1.5\"]",
                "Reverse proxies whose word on who asks, and by which name, is taken.",
                &[],
            ),
        ],
    },
    Section {
        title: "[[notify]]",
        called: "[[notify]]",
        about: "Who is told what happens, see docs/MESSAGES.md. There can be 16.",
        around: "[[uplink]]\nname = \"cable\"\ninterface = \"eth1\"\n[[notify]]\n@",
        joint: "\n",
        keys: &[
            key(
                "to",
                Needed,
                "\"ntfy://ntfy.sh/our-house-7f3k\"",
                "Where to, as a URL: ntfy, json, mailto, tgram, pover, gotify, mqtt, sms, hilink or exec.",
                TO,
            ),
            key(
                "min",
                Value("\"warning\""),
                "\"notice\"",
                "\"notice\": each switch; \"warning\": no spare left, the first uplink down; \"critical\": no Internet.",
                TO,
            ),
            key(
                "quiet",
                Words("none"),
                "\"22:00-07:00\"",
                "When only what is critical is told, in local time.",
                TO,
            ),
            key(
                "secret_file",
                Words("the URL has it"),
                "\"ntfy\"",
                "Where the secret of the URL stands instead: a path, or a file of the secrets directory or a systemd credential.",
                TO,
            ),
            key(
                "escalate",
                Words("nobody"),
                "[\"gotify://gotify.lan/TOKEN\"]",
                "Who is told, one after the other, if nobody has seen what is critical.",
                TO,
            ),
            key(
                "after",
                Value("\"5m\""),
                "\"10m\"",
                "How long each of them waits.",
                &[
                    ("to", "\"ntfy://ntfy.sh/our-house-7f3k\""),
                    ("escalate", "[\"gotify://gotify.lan/TOKEN\"]"),
                ],
            ),
            key(
                "body",
                Words("sparelink's own JSON"),
                "'{\"text\": \"{title}: {text}\"}'",
                "What a webhook is sent instead; {title}, {text}, {next} and others are filled in.",
                HOOK,
            ),
            key("method", Value("\"POST\""), "\"PUT\"", "The method of a webhook.", HOOK),
        ],
    },
    Section {
        title: "[heartbeat]",
        called: "[heartbeat]",
        about: "A sign of life to a service outside, which tells you when it stays away.",
        around: "[[uplink]]\nname = \"cable\"\ninterface = \"eth1\"\n[heartbeat]\n@",
        joint: "\n",
        keys: &[
            key("url", Needed, "\"https://hc-ping.com/UUID\"", "The address of your check.", URL),
            key("every", Value("\"60s\""), "\"5m\"", "How often; 10s at least.", URL),
            key(
                "each_uplink",
                Value("false"),
                "true",
                "One for each uplink as well, through it.",
                URL,
            ),
        ],
    },
    Section {
        title: "[[ddns]]",
        called: "[[ddns]]",
        about: "A name that follows the traffic, see docs/NAMES.md. There can be 16.",
        around: "[[uplink]]\nname = \"cable\"\ninterface = \"eth1\"\n[[ddns]]\n@",
        joint: "\n",
        keys: &[
            key("name", Needed, "\"home.example.net\"", "The whole name.", DDNS),
            key(
                "protocol",
                Needed,
                "\"rfc2136\"",
                "\"rfc2136\", \"dyndns2\", \"cloudflare\" or \"url\".",
                DDNS,
            ),
            key(
                "server",
                Words("cloudflare needs none"),
                "\"ns1.example.net\"",
                "Who is told: the zone's primary name server, or the URL of the service.",
                DDNS,
            ),
            key(
                "zone",
                Words("the name without its first part"),
                "\"example.net\"",
                "rfc2136, cloudflare: the zone.",
                DDNS,
            ),
            key(
                "key_name",
                Words("rfc2136 needs one"),
                "\"home\"",
                "rfc2136: what the server calls the key (HMAC-SHA-256).",
                DDNS,
            ),
            key("user", Words("dyndns2 needs one"), "\"anna\"", "dyndns2: who logs in.", DYNDNS),
            key(
                "secret_file",
                Words("the URL has it"),
                "\"home.key\"",
                "Where the key, the password or the token stands.",
                DDNS,
            ),
            key(
                "uplink",
                Words("the one in use"),
                "\"cable\"",
                "It is this uplink's own name.",
                DDNS,
            ),
            key(
                "ttl",
                Value("60"),
                "120",
                "For how many seconds others may remember an address; 30 at least.",
                DDNS,
            ),
            key("ipv4", Value("true"), "false", "Whether it has an IPv4 address.", DDNS),
            key("ipv6", Value("true"), "false", "Whether it has IPv6 addresses.", DDNS),
            key(
                "behind_nat",
                Value("false"),
                "true",
                "Write the address that servers out there see.",
                DDNS,
            ),
            key(
                "echo",
                Value(
                    "[\"stun:stun.cloudflare.com:3478\", \"stun:stun.l.google.com:19302\", \"http://icanhazip.com/\"]",
                ),
                "[\"stun:stun.example.net:3478\"]",
                "Whom to ask for that: STUN servers, or pages that are an address.",
                DDNS,
            ),
        ],
    },
    Section {
        title: "[leds]",
        called: "[leds]",
        about: "Which LED shows what, see docs/LEDS.md.",
        around: "[[uplink]]\nname = \"cable\"\ninterface = \"eth1\"\n[leds]\n@",
        joint: "\n",
        keys: &[
            key(
                "board",
                Value("\"auto\""),
                "\"none\"",
                "Whose LEDs are used where nothing else is said: \"auto\", \"none\", or a board's name.",
                &[],
            ),
            key(
                "status",
                Words("the board's"),
                "\"ACT\"",
                "The LED of the whole: a name in /sys/class/leds, or { gpio = \"gpiochip0\", line = 17 }.",
                &[],
            ),
            key(
                "uplinks",
                Words("the board's"),
                "{ cable = \"green:wan\" }",
                "The LEDs of single uplinks.",
                &[],
            ),
        ],
    },
    Section {
        title: "[time]",
        called: "[time]",
        about: "Where people live.",
        around: "[[uplink]]\nname = \"cable\"\ninterface = \"eth1\"\n[time]\n@",
        joint: "\n",
        keys: &[key(
            "zone",
            Words("the box's"),
            "\"Europe/Berlin\"",
            "The time zone, by name or as a rule such as \"CET-1CEST,M3.5.0,M10.5.0/3\".",
            &[],
        )],
    },
    Section {
        title: "[state]",
        called: "[state]",
        about: "What outlives a reboot.",
        around: "[[uplink]]\nname = \"cable\"\ninterface = \"eth1\"\n[state]\n@",
        joint: "\n",
        keys: &[
            key(
                "dir",
                Value("\"/var/lib/sparelink\""),
                "\"/srv/sparelink\"",
                "Its directory.",
                &[],
            ),
            key(
                "history",
                Value("\"disk\""),
                "\"ram\"",
                "\"disk\", or \"ram\" to spare the flash.",
                &[],
            ),
        ],
    },
    Section {
        title: "[run]",
        called: "[run]",
        about: "What outlives a restart.",
        around: "[[uplink]]\nname = \"cable\"\ninterface = \"eth1\"\n[run]\n@",
        joint: "\n",
        keys: &[key(
            "dir",
            Value("\"/run/sparelink\""),
            "\"/run/other\"",
            "Its directory, with the agent's socket.",
            &[],
        )],
    },
];

/// The least of a file.
pub(super) const LEAST: &str = CABLE;
