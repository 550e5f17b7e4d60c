//! netifd's own account of its networks, as `network.interface dump` gives it.

use std::net::IpAddr;

use ipnet::Ipv6Net;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::engine::kernel::network::{Network, Networks, Stage};
use crate::units::{Family, IfName, PerFamily};

#[derive(Debug, Deserialize)]
struct Dump {
    interface: Vec<Interface>,
}

#[derive(Debug, Deserialize)]
#[serde(default)]
struct Interface {
    interface: String,
    up: bool,
    pending: bool,
    available: bool,
    autostart: bool,
    l3_device: Option<IfName>,
    device: Option<IfName>,
    route: Vec<Route>,
    #[serde(rename = "ipv6-prefix")]
    prefixes: Vec<Prefix>,
    #[serde(rename = "dns-server")]
    resolvers: Vec<IpAddr>,
    inactive: Inactive,
    errors: Vec<Problem>,
}

impl Default for Interface {
    fn default() -> Self {
        Self {
            interface: String::new(),
            up: false,
            pending: false,
            // Only said to be otherwise.
            available: true,
            autostart: true,
            l3_device: None,
            device: None,
            route: Vec::new(),
            prefixes: Vec::new(),
            resolvers: Vec::new(),
            inactive: Inactive::default(),
            errors: Vec::new(),
        }
    }
}

/// What it knows and does not use: `defaultroute 0`, `peerdns 0`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Inactive {
    route: Vec<Route>,
    #[serde(rename = "dns-server")]
    resolvers: Vec<IpAddr>,
}

#[derive(Debug, Deserialize)]
struct Route {
    target: IpAddr,
    mask: u8,
    nexthop: Option<IpAddr>,
}

#[derive(Debug, Deserialize)]
struct Prefix {
    address: std::net::Ipv6Addr,
    mask: u8,
}

#[derive(Debug, Deserialize)]
struct Problem {
    code: String,
}

/// The networks of a dump.
///
/// # Errors
///
/// When it is no dump.
pub(super) fn networks(dump: Map<String, Value>) -> Result<Networks, serde_json::Error> {
    let dump: Dump = serde_json::from_value(Value::Object(dump))?;
    let named = dump.interface.into_iter().map(|interface| {
        let name = interface.interface.clone();
        (name, network(interface))
    });
    Ok(named.collect())
}

fn network(interface: Interface) -> Network {
    let stage = stage(&interface);
    let Interface { l3_device, device, route, prefixes, resolvers, inactive, .. } = interface;
    let gateway = |family| {
        // Those in use before those that are not.
        let all = route.iter().chain(&inactive.route);
        let mut hops = all.filter(|route| route.mask == 0).filter_map(|route| {
            let hop = route.nexthop.filter(|hop| !hop.is_unspecified())?;
            (Family::of(&route.target) == family).then_some(hop)
        });
        hops.next()
    };
    let prefix = |p: &Prefix| Ipv6Net::new(p.address, p.mask).ok().map(|net| net.trunc());
    Network {
        stage,
        gateways: PerFamily { v4: gateway(Family::V4), v6: gateway(Family::V6) },
        prefixes6: prefixes.iter().filter_map(prefix).collect(),
        resolvers: if resolvers.is_empty() { inactive.resolvers } else { resolvers },
        device: l3_device,
        below: device,
    }
}

fn stage(interface: &Interface) -> Stage {
    match interface {
        Interface { up: true, .. } => Stage::Up,
        Interface { available: false, .. } => Stage::NoDevice,
        Interface { pending: false, autostart: false, .. } => Stage::SwitchedOff,
        Interface { errors, .. } => match errors.first() {
            Some(problem) => Stage::Failed(problem.code.clone()),
            None => Stage::Pending,
        },
    }
}
