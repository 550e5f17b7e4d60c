//! The configuration as the rest of the program sees it: complete, checked, with defaults filled in.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::{IpNet, Ipv6Net};
use serde::{Deserialize, Serialize};

use super::channels::{HeartbeatConfig, NotifyConfig};
use super::contract::Provider;
use super::names::DdnsConfig;
use crate::units::{Family, IfName, PerFamily};

/// The run directory if neither flag nor configuration names another.
pub const RUN_DIR: &str = "/run/sparelink";

/// The state directory if the configuration does not name another.
pub const STATE_DIR: &str = "/var/lib/sparelink";

/// The page's port, where nothing else is said.
pub const PAGE_PORT: u16 = 8300;

/// Who is asked whether the Internet is there, where nothing else is said: of three operators.
pub const TARGETS: [Ipv4Addr; 3] =
    [Ipv4Addr::new(1, 1, 1, 1), Ipv4Addr::new(8, 8, 8, 8), Ipv4Addr::new(9, 9, 9, 9)];
/// The same by IPv6.
pub const TARGETS6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0x2606, 0x4700, 0x4700, 0, 0, 0, 0, 0x1111),
    Ipv6Addr::new(0x2001, 0x4860, 0x4860, 0, 0, 0, 0, 0x8888),
    Ipv6Addr::new(0x2620, 0xfe, 0, 0, 0, 0, 0, 0xfe),
];

/// Everything a configuration file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// The chain: order is priority.
    pub uplinks: Vec<UplinkConfig>,
    /// The LAN, if this box forwards for one.
    pub lan: Option<LanConfig>,
    /// How uplinks are probed.
    pub probe: ProbeConfig,
    /// When to climb back.
    pub failback: FailbackConfig,
    /// Where the page listens.
    pub web: WebConfig,
    /// Which LEDs show what.
    #[serde(default)]
    pub leds: LedsConfig,
    /// Who is told what happens, in the order of the file.
    #[serde(default)]
    pub notify: Vec<NotifyConfig>,
    /// The sign of life for a service outside.
    #[serde(default)]
    pub heartbeat: Option<HeartbeatConfig>,
    /// The zone of the times that people are told (`[time] zone`); `None`: that of the box.
    #[serde(default)]
    pub zone: Option<String>,
    /// Names that are kept up to date, in the order of the file.
    #[serde(default)]
    pub ddns: Vec<DdnsConfig>,
    /// What outlives a reboot (`[state] dir`).
    pub state_dir: PathBuf,
    /// Where the history is kept (`[state] history`).
    #[serde(default)]
    pub history: HistoryOn,
    /// What outlives a restart (`[run] dir`).
    pub run_dir: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UplinkConfig {
    /// What people call it.
    pub name: String,
    /// Which interface it is.
    pub device: DeviceMatch,
    /// What kind of line it is; sets the probing profile.
    pub kind: Kind,
    /// Whether traffic on it costs money or quota.
    pub metered: bool,
    /// A gateway that is not learned but given (`gateway`, `gateway6`).
    pub gateway: PerFamily<Option<IpAddr>>,
    /// Its own DNS resolvers; empty: learned, else the targets are asked.
    pub resolvers: Vec<IpAddr>,
    /// Public subnets that the provider routes to this box: no masquerade, and no guard in front of them.
    #[serde(default)]
    pub prefixes: Vec<IpNet>,
    /// IPv6 prefixes that are routed to this uplink and need no masquerade.
    pub prefixes6: Vec<Ipv6Net>,
    /// Hosts to which `main` has a route by it that stays on it (`keep_routes`).
    #[serde(default)]
    pub keep_routes: Vec<IpAddr>,
    /// What happens to flows on it when a better uplink returns.
    pub on_return: OnReturn,
    /// Fixes the detection window of this uplink.
    pub window: Option<Duration>,
    /// Whom to call when it is down.
    #[serde(default)]
    pub provider: Option<Provider>,
}

/// How an uplink's interface is recognised. All given fields must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceMatch {
    pub interface: Option<IfName>,
    /// The USB port path as in sysfs, for example `1-1.3`.
    pub usb_path: Option<String>,
    /// The kernel driver, for example `cdc_ether`.
    pub driver: Option<String>,
    pub mac: Option<[u8; 6]>,
    /// The Wi-Fi network that it is associated with.
    pub ssid: Option<String>,
    /// Whatever interface OpenWrt's netifd uses for the network of this name: `wan`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
}

/// The kind of line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Cable, fibre, DSL by Ethernet.
    #[default]
    Wired,
    /// A wireless network with a good line behind it.
    Wifi,
    /// A mobile network: MiFi, phone, modem.
    Cellular,
}

/// `history`: where what happened is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HistoryOn {
    /// In the state directory, over restarts and reboots.
    #[default]
    Disk,
    /// Only as long as the agent runs; the flash is spared.
    Ram,
}

/// `on_return`: what happens to flows on a backup when traffic climbs back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnReturn {
    /// They finish where they began, however long it takes.
    Drain,
    /// They may finish for that long, then they are moved.
    DrainFor(Duration),
    /// They are moved at once.
    Cut,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LanConfig {
    pub interfaces: Vec<IfName>,
    /// Whether new flows from an uplink to the LAN are dropped unless port-forwarded.
    pub guard: bool,
    /// Whether a dead uplink's IPv6 prefix is deprecated to the LAN by router advertisements.
    pub announce: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeConfig {
    /// Whom to ask, by literal address, best three operators (`targets`, `targets6`).
    pub targets: PerFamily<Vec<IpAddr>>,
    /// The name asked through each uplink's resolvers; `None`: this proof is off.
    pub dns: Option<String>,
    /// Plain-HTTP checks, any one of which passes; empty: this proof is off.
    pub http: Vec<HttpCheck>,
    /// Fixes the detection window of every uplink.
    pub window: Option<Duration>,
}

impl ProbeConfig {
    /// The targets of one family.
    #[must_use]
    pub fn targets(&self, family: Family) -> &[IpAddr] {
        self.targets.get(family)
    }
}

/// One plain-HTTP check: this URL must answer exactly so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpCheck {
    /// The host of the URL, a name or an address.
    pub host: String,
    /// The port of the URL.
    pub port: u16,
    /// Path and query of the URL.
    pub path: String,
    /// What the answer must be.
    pub expect: HttpExpect,
}

/// What a plain-HTTP check must answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HttpExpect {
    Status(u16),
    /// Status 200 and exactly this body, white space at its ends aside.
    Body(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailbackConfig {
    /// How long a better uplink must have been good before traffic climbs back.
    pub hold: Duration,
    /// The longest hold, however often the uplink was left in the last hour.
    pub hold_max: Duration,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebConfig {
    /// Where the page listens; empty: nowhere.
    pub listen: Vec<Listen>,
    /// What browsers may call the box besides its short host name, in lower case without a final dot.
    #[serde(default)]
    pub names: Vec<String>,
    /// Reverse proxies that are believed whom they speak for.
    #[serde(default)]
    pub trusted_proxy: Vec<IpAddr>,
}

/// One entry of `[web] listen`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Listen {
    /// `lan:PORT`: the LAN interfaces' own addresses.
    Lan(u16),
    Addr(std::net::SocketAddr),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedsConfig {
    /// Whose LEDs are used where nothing else is said.
    pub board: BoardChoice,
    /// Shows how the whole stands.
    pub status: Option<Led>,
    /// Show how single uplinks stand, by the uplink's name.
    pub uplinks: BTreeMap<String, Led>,
}

/// `[leds] board`: the board whose LEDs are used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BoardChoice {
    /// The one that the device tree names.
    #[default]
    Auto,
    /// None: only the LEDs that the configuration names, if any.
    None,
    /// The one with this name.
    Named(String),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Led {
    /// The first of these names that there is below `/sys/class/leds`.
    Class(Vec<String>),
    /// A GPIO line that nobody else drives.
    Line {
        /// The chip's name below `/dev`.
        chip: String,
        /// The line's number on it.
        line: u32,
        /// The LED is on while the line is low.
        active_low: bool,
    },
}

impl fmt::Display for Led {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Class(names) => f.write_str(&names.join(" or ")),
            Self::Line { chip, line, .. } => write!(f, "{chip} line {line}"),
        }
    }
}
