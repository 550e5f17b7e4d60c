//! What a profile of NetworkManager says: what it is for, and whether it leads out.

use std::net::IpAddr;

use ipnet::IpNet;

use super::keyfile::Keyfile;
use super::said::{File, device, is_somebody};
use crate::engine::doctor::proposal::nature::Nature;
use crate::units::IfName;

/// The address that NetworkManager gives to the first interface that it shares a line by (nm-device.c).
const SHARED: &str = "10.42.0.1/24";

/// A profile.
#[derive(Debug)]
pub(super) struct Profile<'f> {
    pub(super) file: &'f File,
    pub(super) keys: Keyfile,
}

/// What a profile is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Uplink,
    /// Others get to the Internet by it; the box has this address there.
    Lan(IpNet),
    /// It is none, and why.
    Neither(String),
}

impl Profile<'_> {
    /// What people call it.
    pub(super) fn id(&self) -> &str {
        self.keys.get("connection", "id").unwrap_or_default()
    }

    pub(super) fn uuid(&self) -> Option<&str> {
        self.keys.get("connection", "uuid")
    }

    /// Its type, by the newer of its names.
    pub(super) fn kind(&self) -> &str {
        match self.keys.get("connection", "type").unwrap_or_default() {
            "802-3-ethernet" => "ethernet",
            "802-11-wireless" => "wifi",
            other => other,
        }
    }

    /// What its device is; `None`: it leads to no provider by itself.
    pub(super) fn nature(&self) -> Option<Nature> {
        match self.kind() {
            "ethernet" | "bridge" | "bond" | "team" | "vlan" | "macvlan" | "veth" => {
                Some(Nature::Ethernet)
            }
            "wifi" => Some(Nature::Wifi),
            "gsm" | "cdma" => Some(Nature::Modem),
            "bluetooth" => Some(Nature::Phone),
            "pppoe" => Some(Nature::Ppp),
            _ => None,
        }
    }

    /// The interface that it names. A modem's is that by which it is told what to do, not that of its traffic.
    pub(super) fn interface(&self) -> Option<IfName> {
        let name = self.keys.get("connection", "interface-name")?;
        let is_traffics = self.nature() != Some(Nature::Modem) || name.starts_with("wwan");
        device(name).filter(|_| is_traffics)
    }

    /// The hardware address of the device that it is for.
    pub(super) fn mac(&self) -> Option<[u8; 6]> {
        let text = self.keys.get(self.kind(), "mac-address")?;
        let byte = |text: &str| {
            let plain = text.len() == 2 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
            u8::from_str_radix(text, 16).ok().filter(|_| plain)
        };
        let mac: [u8; 6] =
            text.split(':').map(byte).collect::<Option<Vec<u8>>>()?.try_into().ok()?;
        // One of a group, or of nobody, finds no device.
        (mac[0] & 1 == 0 && mac != [0; 6]).then_some(mac)
    }

    /// Of its default route by IPv4; where it says none, what NetworkManager takes for such a device
    /// (`nm_device_get_route_metric_default`).
    pub(super) fn metric(&self) -> i64 {
        let said = self.keys.number("ipv4", "route-metric").filter(|metric| *metric >= 0);
        said.unwrap_or(match self.kind() {
            "bond" => 300,
            "team" => 350,
            "vlan" => 400,
            "macvlan" => 410,
            "bridge" => 425,
            "pppoe" => 460,
            "wifi" => 600,
            "gsm" | "cdma" => 700,
            "bluetooth" => 750,
            _ => 100,
        })
    }

    /// The higher the sooner it is started, where several fit a device.
    pub(super) fn priority(&self) -> i64 {
        self.keys.number("connection", "autoconnect-priority").unwrap_or(0)
    }

    /// Whether NetworkManager starts it without a person.
    pub(super) fn starts_itself(&self) -> bool {
        self.keys.flag("connection", "autoconnect") != Some(false)
    }

    /// Whether traffic costs (NMMetered: 1 yes, 2 no).
    pub(super) fn metered(&self) -> Option<bool> {
        match self.keys.get("connection", "metered")? {
            "1" | "yes" | "true" => Some(true),
            "2" | "no" | "false" => Some(false),
            _ => None,
        }
    }

    /// Name servers that count instead of those of a lease.
    pub(super) fn resolvers(&self) -> Vec<IpAddr> {
        let own = |group| {
            let leased = self.method(group) == "auto"
                && self.keys.flag(group, "ignore-auto-dns") != Some(true);
            self.keys.list(group, "dns").filter(move |_| !leased)
        };
        let words = own("ipv4").chain(own("ipv6"));
        let mut found: Vec<IpAddr> = Vec::new();
        for at in words.filter_map(|word| word.parse().ok()).filter(|at| is_somebody(*at)) {
            if !found.contains(&at) {
                found.push(at);
            }
        }
        found
    }

    /// What it is.
    pub(super) fn role(&self) -> Role {
        let kind = self.kind();
        let neither = |why: &str| Role::Neither(why.to_owned());
        let port = ["controller", "master"].iter().find_map(|key| self.keys.get("connection", key));
        if matches!(kind, "vpn" | "wireguard" | "tun" | "ip-tunnel" | "vxlan" | "macsec") {
            neither("it is a tunnel; what carries it is an uplink")
        } else if self.nature().is_none() {
            neither("a connection of this type leads to no provider")
        } else if port.is_some() {
            neither("its device is a part of another one, which counts")
        } else if self.method("ipv4") == "shared" {
            Role::Lan(self.own_address())
        } else if kind == "wifi"
            && self.keys.get("wifi", "mode").is_some_and(|mode| mode != "infrastructure")
        {
            neither("an access point is no way out")
        } else if self.leads_out("ipv4") {
            Role::Uplink
        } else if self.keys.flag("ipv4", "never-default") == Some(true) {
            neither("it says never-default, so it is no uplink")
        } else if self.method("ipv4") == "disabled" && self.leads_out("ipv6") {
            Role::Uplink
        } else {
            neither("it has no gateway, so it is no uplink")
        }
    }

    /// How an IP version gets its address.
    fn method(&self, group: &str) -> &str {
        self.keys.get(group, "method").unwrap_or("auto")
    }

    fn leads_out(&self, group: &str) -> bool {
        let given = self.keys.get(group, "gateway").is_some()
            || self.addresses(group).any(|address| address.contains(','));
        self.keys.flag(group, "never-default") != Some(true)
            && match self.method(group) {
                "auto" | "dhcp" => true,
                "manual" => given,
                _ => false,
            }
    }

    /// `address1`, and older files' `addresses1`, with the gateway behind a comma.
    fn addresses(&self, group: &str) -> impl Iterator<Item = &str> {
        let keys = ["address", "address1", "addresses", "addresses1"];
        keys.into_iter().filter_map(move |key| self.keys.get(group, key))
    }

    fn own_address(&self) -> IpNet {
        let said = self.addresses("ipv4").next().and_then(|text| {
            let first = text.split([',', ';']).next()?;
            first.trim().parse().ok()
        });
        let usual = || SHARED.parse().ok();
        said.or_else(usual).unwrap_or_default()
    }
}
