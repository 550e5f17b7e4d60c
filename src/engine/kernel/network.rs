//! What a network manager says of its networks: OpenWrt's netifd, which knows more than it puts into the kernel.
//!
//! Of several networks without a metric of their own it gives the kernel one default route; it alone knows the gateways of the
//! others, and whose a delegated prefix is.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::Ipv6Net;
use serde::{Deserialize, Serialize};

use crate::units::{Family, IfName, PerFamily};

/// Networks by the names that the manager's configuration gives them: `wan`, `wan6`.
pub type Networks = BTreeMap<String, Network>;

/// One network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// How far it is set up.
    pub stage: Stage,
    /// The interface that its packets leave by, while it is up: `pppoe-wan`.
    pub device: Option<IfName>,
    /// The interface below that: `eth1`.
    pub below: Option<IfName>,
    /// Next hops of its default routes, those that are not in the kernel among them.
    pub gateways: PerFamily<Option<IpAddr>>,
    /// Prefixes that its provider has delegated to this box.
    pub prefixes6: Vec<Ipv6Net>,
    /// The resolvers for its packets: those in use, else those that its provider names.
    pub resolvers: Vec<IpAddr>,
}

/// How far a network is set up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    Up,
    /// It waits for an answer: of a DHCP server, of a provider's dial-in.
    #[default]
    Pending,
    /// The same, after it was up: it is being set up again.
    Again,
    /// Somebody has switched it off, or it does not begin by itself.
    SwitchedOff,
    /// There is no such device.
    NoDevice,
    /// It is not up, for a reason that the manager has a word for.
    Failed(String),
}

/// How far the network of that name is, or else those on this interface; `None`: nobody says.
#[must_use]
pub fn stage<'a>(
    networks: &'a Networks,
    name: Option<&str>,
    device: Option<&IfName>,
) -> Option<&'a Stage> {
    if let Some(name) = name {
        return networks.get(name).map(|network| &network.stage);
    }
    let device = device?;
    let here =
        |n: &&Network| [&n.device, &n.below].into_iter().flatten().any(|name| name == device);
    let stages = networks.values().filter(here).map(|network| &network.stage);
    // Of `wan` and `wan6` one is enough.
    stages.min_by_key(|stage| **stage != Stage::Up)
}

/// What the manager says, with what was known before: one that was up and waits is being set up again.
pub fn remember(networks: &mut Networks, before: &Networks) {
    for (name, network) in networks {
        let was = before.get(name).map(|before| &before.stage);
        if network.stage == Stage::Pending && matches!(was, Some(Stage::Up | Stage::Again)) {
            network.stage = Stage::Again;
        }
    }
}

/// What keeps a network from being up, as the end of a sentence that begins with its name; `None`: nothing is known to.
#[must_use]
pub fn hindrance(stage: &Stage) -> Option<String> {
    let code = match stage {
        Stage::Failed(code) => code,
        Stage::Again => return Some("is being set up again, and waits for an address".to_owned()),
        Stage::Up | Stage::Pending | Stage::SwitchedOff | Stage::NoDevice => return None,
    };
    // The codes are those of netifd's protocol handlers; those of a dial-in that say whose fault it is are few.
    let code: String = code.chars().filter(|c| c.is_ascii_graphic()).take(40).collect();
    Some(match code.as_str() {
        "AUTH_FAILED" | "AUTH_TOPEER_FAILED" => {
            format!("is refused by its provider, by name or password ({code})")
        }
        "PIN_FAILED" | "SIM_FAILED" => format!("does not get past its SIM ({code})"),
        _ => format!("cannot be set up by netifd ({code})"),
    })
}

/// What each interface is called by the manager. Of several networks on one the first that leads out by IPv4 counts, else
/// the first: `wan` of `wan` and `wan6`.
#[must_use]
pub fn by_device(networks: &Networks) -> BTreeMap<IfName, String> {
    let mut names = BTreeMap::new();
    for leads_out in [true, false] {
        for (name, network) in networks {
            if let Some(device) = &network.device
                && network.gateways.v4.is_some() == leads_out
            {
                names.entry(device.clone()).or_insert_with(|| name.clone());
            }
        }
    }
    names
}

/// What is known of the networks on one interface: the gateway in one family.
#[must_use]
pub fn gateway(networks: &Networks, device: &IfName, family: Family) -> Option<IpAddr> {
    on(networks, device).find_map(|network| *network.gateways.get(family))
}

/// What gives an uplink a default route of its own where netifd does not say what it knows, as commands: of several networks
/// with one metric it gives the kernel one route. `place` is the uplink's in the chain, from 0.
#[must_use]
pub fn own_metric(network: Option<&str>, place: usize) -> String {
    let network = network.unwrap_or("NAME");
    let metric = (place + 1) * 10;
    format!("uci set network.{network}.metric={metric}; uci commit network; service network reload")
}

/// The prefixes that are delegated to networks on this interface.
pub fn prefixes<'a>(
    networks: &'a Networks,
    device: &'a IfName,
) -> impl Iterator<Item = Ipv6Net> + 'a {
    on(networks, device).flat_map(|network| &network.prefixes6).copied()
}

/// The resolvers of the networks on this interface.
pub fn resolvers<'a>(
    networks: &'a Networks,
    device: &'a IfName,
) -> impl Iterator<Item = IpAddr> + 'a {
    on(networks, device).flat_map(|network| &network.resolvers).copied()
}

/// The networks on an interface: `wan` and `wan6` share one.
fn on<'a>(networks: &'a Networks, device: &'a IfName) -> impl Iterator<Item = &'a Network> + 'a {
    networks.values().filter(move |network| network.device.as_ref() == Some(device))
}
