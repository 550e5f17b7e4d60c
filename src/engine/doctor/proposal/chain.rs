//! Which devices are uplinks, and in which order.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use super::facts::Seen;
use super::nature::Nature;
use crate::config::Kind;
use crate::engine::kernel::view::{ForeignRoute, Link};
use crate::units::{Family, IfName, Metric, TableId, UplinkId};

/// What NetworkManager adds to a metric, see [`best_default`].
const PENALTY: u32 = 20_000;

/// A device that leads to the Internet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uplink {
    pub name: String,
    pub interface: IfName,
    /// The USB adapter's own address, where its name (`eth1`) may be another one's tomorrow.
    pub mac: Option<[u8; 6]>,
    pub nature: Nature,
    /// Its lease says that traffic costs, or it is a mobile line.
    pub metered: bool,
    /// Of the best default route that `main` has, or had, by it.
    pub metric: Metric,
    /// Its own address, IPv4's if it has one.
    pub address: Option<IpAddr>,
    /// Its next hop by IPv4.
    pub gateway: Option<IpAddr>,
    /// From where it can be reached by IPv4; `None`: it has no such address.
    pub reach: Option<Reach>,
    /// Its own name servers, where a configuration says them.
    pub resolvers: Vec<IpAddr>,
    pub origin: Origin,
}

/// How an uplink came into a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was found on the box.
    Found,
    /// Another program's configuration names it, and it is there.
    Named,
    /// The same, and it is not there now.
    Absent,
}

/// From where a line can be reached, by its own IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    Public,
    /// Private (RFC 1918), or shared by the provider's customers (RFC 6598).
    BehindNat,
}

impl Reach {
    fn of(address: Ipv4Addr) -> Self {
        let [a, b, ..] = address.octets();
        let shared = a == 100 && (64..128).contains(&b);
        if address.is_private() || shared { Self::BehindNat } else { Self::Public }
    }
}

/// A device that is no uplink, or not yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    pub interface: IfName,
    pub why: Why,
}

/// Why a device is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// A tunnel has a default route; what carries it is an uplink.
    Tunnel,
    /// It leads to the same router as another uplink, and dies with it.
    SameLine(IfName),
    /// There is no room for more.
    Surplus,
    /// Nobody at the other end of the cable.
    NoCarrier,
    /// A cable, and nobody who gave it an address.
    NoAddress,
    /// The configuration that is followed does not name it.
    NotNamed,
}

/// The uplinks of a box, in the order of their metrics, and what is none. What was one stays one, by its name, as long as
/// there is room.
#[must_use]
pub(super) fn uplinks(seen: &Seen, before: &[Uplink]) -> (Vec<Uplink>, Vec<Skipped>) {
    let mut skipped = Vec::new();
    let mut found: Vec<Uplink> = Vec::new();
    for link in seen.view.links.values().filter(|link| !link.loopback) {
        let Some((metric, gateway)) = best_default(seen, link) else { continue };
        let Some(nature) = Nature::of(link, &seen.device(link)) else {
            skipped.push(Skipped { interface: link.name.clone(), why: Why::Tunnel });
            continue;
        };
        found.push(described(seen, link, nature, metric, gateway));
    }
    found.sort_by_key(|uplink| (uplink.metric, uplink.nature));
    drop_same_lines(seen, &mut found, &mut skipped);
    let same = |old: &Uplink, new: &Uplink| {
        new.interface == old.interface || (old.mac.is_some() && new.mac == old.mac)
    };
    let gone = before
        .iter()
        .filter(|old| !found.iter().any(|new| same(old, new)) && waits(seen, &old.interface));
    let gone: Vec<Uplink> = gone.cloned().collect();
    found.extend(gone);
    found.sort_by_key(|uplink| (uplink.metric, uplink.nature));
    leave_room(seen, &mut found, &mut skipped);
    skipped.extend(idle(seen, &found));
    (found, skipped)
}

/// Whether a device that was an uplink may be one again: it is gone, or unplugged, or has no address. One that has an
/// address and no default route is something else now, a LAN for example.
fn waits(seen: &Seen, name: &IfName) -> bool {
    let Some(link) = seen.view.links.values().find(|link| link.name == *name) else { return true };
    let addressed = seen.view.addresses.iter().any(|a| a.index == link.index && a.global);
    !link.up || !link.carrier || !addressed
}

/// As people would order them: what costs nothing first, then by what is steadier, then as the system has them; with names
/// that they would give.
#[must_use]
pub(super) fn ordered_for_people(mut uplinks: Vec<Uplink>) -> Vec<Uplink> {
    uplinks.sort_by_key(|uplink| {
        (uplink.nature.kind() == Kind::Cellular, uplink.metered, uplink.nature, uplink.metric)
    });
    let mut taken = BTreeSet::new();
    for uplink in &mut uplinks {
        let plain = uplink.nature.name();
        let numbered = (2..).map(|n| format!("{plain}{n}"));
        let mut names = std::iter::once(plain.to_owned()).chain(numbered);
        uplink.name = names.find(|name| taken.insert(name.clone())).unwrap_or_default();
    }
    uplinks
}

/// A private network that is forwarded for: an advertisement that some router sends into it makes it no way out.
fn is_lan(seen: &Seen, link: &Link) -> bool {
    let private = |net: &IpNet| matches!(net.addr(), IpAddr::V4(at) if at.is_private());
    let mut addresses = seen.view.addresses.iter().filter(|a| a.index == link.index && a.global);
    seen.forwards.contains(&link.name) && addresses.any(|a| private(&a.net))
}

/// The metric of the best default route of `main` by a link, and its IPv4 gateway.
fn best_default(seen: &Seen, link: &Link) -> Option<(Metric, Option<IpAddr>)> {
    let leads = |route: &&ForeignRoute| {
        route.table == TableId::MAIN
            && route.dev == link.index
            && route.is_default()
            && route.src.is_none()
    };
    let routes = || seen.view.routes.iter().filter(leads);
    let metric =
        |family| routes().filter(|route| route.family() == family).map(|route| route.metric).min();
    let only_v6 = metric(Family::V4).is_none();
    if only_v6 && is_lan(seen, link) {
        return None;
    }
    // IPv6 counts in other steps (a router advertisement's route has 1024), so that IPv4's word is the first.
    let metric = metric(Family::V4).or_else(|| metric(Family::V6))?;
    // NetworkManager adds so much while its own check of a connection fails (nm-device.c).
    let metric = Metric(if metric.0 >= PENALTY { metric.0 - PENALTY } else { metric.0 });
    let gateway = routes().filter(|route| route.family() == Family::V4);
    Some((metric, gateway.min_by_key(|route| route.metric).and_then(|route| route.gateway)))
}

fn described(
    seen: &Seen,
    link: &Link,
    nature: Nature,
    metric: Metric,
    gateway: Option<IpAddr>,
) -> Uplink {
    // `eth1` and `usb0` are given to whoever comes first; `enx…` and `enp1s0u1` are not.
    let counted = ["eth", "usb"].iter().any(|word| link.name.as_str().starts_with(word));
    let adapter = link.hardware.usb_path.is_some() && nature == Nature::Ethernet;
    Uplink {
        name: link.name.to_string(),
        interface: link.name.clone(),
        mac: link.mac.filter(|_| adapter && counted),
        nature,
        metered: seen.device(link).metered || nature.kind() == Kind::Cellular,
        metric,
        address: address(seen, link),
        gateway,
        reach: reach(seen, link),
        resolvers: Vec::new(),
        origin: Origin::Found,
    }
}

/// What is known of a link that is an uplink by somebody's word, whether it has a default route or not.
#[must_use]
pub(super) fn describe(seen: &Seen, link: &Link, nature: Nature) -> Uplink {
    let (metric, gateway) = best_default(seen, link).unwrap_or((Metric(0), None));
    described(seen, link, nature, metric, gateway)
}

/// The address that people know a link by.
fn address(seen: &Seen, link: &Link) -> Option<IpAddr> {
    let own = seen.view.addresses.iter().filter(|a| a.index == link.index && a.global);
    own.map(|a| a.net.addr()).min_by_key(IpAddr::is_ipv6)
}

/// From where a link can be reached; the best of its addresses counts.
fn reach(seen: &Seen, link: &Link) -> Option<Reach> {
    let addresses = seen.view.addresses.iter().filter(|a| a.index == link.index && a.global);
    let reaches = addresses.filter_map(|a| match a.net.addr() {
        IpAddr::V4(address) => Some(Reach::of(address)),
        IpAddr::V6(_) => None,
    });
    reaches.min()
}

/// Takes out what leads to the same router as one before it: a second cable to it is no spare.
fn drop_same_lines(seen: &Seen, found: &mut Vec<Uplink>, skipped: &mut Vec<Skipped>) {
    let router = |uplink: &Uplink| {
        let mac = seen.devices.get(&uplink.interface)?.gateway_mac?;
        Some((uplink.gateway?, mac))
    };
    let mut kept: Vec<Uplink> = Vec::new();
    for uplink in found.drain(..) {
        let own = router(&uplink);
        // Mobile routers of one make may have one address, and even one hardware address.
        let apart = |other: &Uplink| {
            let cellular = |one: &Uplink| one.nature.kind() == Kind::Cellular;
            cellular(other) || cellular(&uplink)
        };
        let twin = kept.iter().find(|other| own.is_some() && router(other) == own && !apart(other));
        match twin {
            Some(twin) => skipped.push(Skipped {
                interface: uplink.interface,
                why: Why::SameLine(twin.interface.clone()),
            }),
            None => kept.push(uplink),
        }
    }
    *found = kept;
}

/// Takes out what there is no room for: first what is not there any more, then the last.
fn leave_room(seen: &Seen, found: &mut Vec<Uplink>, skipped: &mut Vec<Skipped>) {
    let there = |uplink: &Uplink| seen.view.links.values().any(|l| l.name == uplink.interface);
    while found.len() > usize::from(UplinkId::MAX) {
        let gone = found.iter().rposition(|uplink| !there(uplink));
        let out = found.remove(gone.unwrap_or(found.len() - 1));
        if gone.is_none() {
            skipped.push(Skipped { interface: out.interface, why: Why::Surplus });
        }
    }
}

/// Hardware that could be an uplink and has no default route; a LAN's devices have addresses.
fn idle(seen: &Seen, found: &[Uplink]) -> Vec<Skipped> {
    let is_hardware = |link: &&Link| link.hardware.driver.is_some() && link.master.is_none();
    let known = |link: &Link| found.iter().any(|uplink| uplink.interface == link.name);
    let addressed = |link: &Link| {
        let mut addresses = seen.view.addresses.iter();
        addresses.any(|a| a.index == link.index && a.global)
    };
    let links = seen.view.links.values().filter(|link| !link.loopback).filter(is_hardware);
    let idle = links.filter(|link| !known(link) && !addressed(link));
    idle.map(|link| Skipped {
        interface: link.name.clone(),
        why: if link.carrier { Why::NoAddress } else { Why::NoCarrier },
    })
    .collect()
}
