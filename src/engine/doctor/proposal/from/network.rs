//! Which device of the kernel an interface of OpenWrt's netifd is (`/etc/config/network`).

use super::said::device as usable;
use crate::config::uci::{Document, Section};
use crate::engine::doctor::proposal::nature::Nature;
use crate::units::IfName;

/// What carries the traffic of an interface of netifd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Carrier {
    pub(super) device: IfName,
    pub(super) nature: Nature,
    /// Of its routes; netifd's default is 0.
    pub(super) metric: u32,
}

/// How far interfaces may stand for each other (`@wan`).
const MOST_ALIASES: usize = 4;
/// Protocols that are sessions over something else, and yet a provider's line, with devices that are named after them.
const SESSIONS: [&str; 4] = ["pppoe", "pppoa", "pptp", "l2tp"];
/// Protocols of modems whose device is not in the file.
const MODEMS: [&str; 4] = ["qmi", "mbim", "ncm", "modemmanager"];
/// Protocols of tunnels, which need an uplink themselves.
const TUNNELS: [&str; 12] = [
    "wireguard",
    "openvpn",
    "6in4",
    "6to4",
    "6rd",
    "gre",
    "gretap",
    "ipip",
    "vti",
    "vxlan",
    "sstp",
    "wgclient",
];

/// The device of an interface.
///
/// # Errors
/// Why there is none, in words.
pub(super) fn carrier(network: &Document, name: &str) -> Result<Carrier, String> {
    let mut name = name;
    for _ in 0..MOST_ALIASES {
        let section = network.named("interface", name);
        let section = section.ok_or("/etc/config/network has no such interface")?;
        let proto = section.option("proto").unwrap_or("none");
        if TUNNELS.contains(&proto) {
            return Err("it is a tunnel; what carries it is an uplink".to_owned());
        }
        let first = device_option(section);
        if let Some(other) = first.and_then(|device| device.strip_prefix('@')) {
            name = other;
            continue;
        }
        let text = device(section, proto, first)?;
        let no_name = || "its device has a name that no interface can have".to_owned();
        let nature = match proto {
            "pppoe" | "pppoa" | "pptp" | "l2tp" => Nature::Ppp,
            "3g" => Nature::Modem,
            proto if MODEMS.contains(&proto) => Nature::Modem,
            _ => Nature::Ethernet,
        };
        let metric = section.option("metric").and_then(|metric| metric.parse().ok());
        let device = usable(&text).ok_or_else(no_name)?;
        return Ok(Carrier { device, nature, metric: metric.unwrap_or(0) });
    }
    Err("its device is that of another interface, which is that of another, and so on".to_owned())
}

/// The first device that is named; older files say `ifname`.
fn device_option(section: &Section) -> Option<&str> {
    let named = ["device", "ifname"].into_iter().find_map(|key| section.list(key).next());
    named.and_then(|devices| devices.split_whitespace().next())
}

/// The name of the device, by the rules of netifd and its protocol handlers.
fn device(section: &Section, proto: &str, named: Option<&str>) -> Result<String, String> {
    let name = section.name();
    if SESSIONS.contains(&proto) || proto == "3g" {
        return Ok(format!("{proto}-{name}"));
    }
    if MODEMS.contains(&proto) {
        // `/dev/cdc-wdm0` is what the modem is told by; its traffic has a device of the same number.
        let number = named.and_then(|path| path.rsplit_once("cdc-wdm")).map_or("0", |(_, n)| n);
        return Ok(format!("wwan{number}"));
    }
    if section.option("type") == Some("bridge") {
        return Ok(format!("br-{name}"));
    }
    let none =
        "/etc/config/network names no device for it (a Wi-Fi client?); add an [[uplink]] by hand";
    named.map(str::to_owned).ok_or_else(|| none.to_owned())
}
