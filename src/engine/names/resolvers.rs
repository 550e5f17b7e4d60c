//! Whose resolvers the box should ask now: those of the uplink in use, then public ones.
//!
//! A provider answers its own customers only, so that its resolvers are of use while traffic goes by its
//! line and of none afterwards.

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;
use std::net::IpAddr;

use serde::Deserialize;
use serde::Serialize;

use crate::engine::kernel::network;
use crate::engine::kernel::view::KernelView;
use crate::engine::uplink::Uplink;
use crate::units::{Family, IfIndex, IfName};

/// Resolvers as the system names them, in the order in which it would ask them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// By the number of the interface they were learned on.
    pub by_index: BTreeMap<IfIndex, Vec<IpAddr>>,
    /// By the name of the interface, which the program that learned them may have added to
    /// (`eth1.dhcp`), or by what OpenWrt's network configuration calls it (`wan`).
    pub by_name: BTreeMap<String, Vec<IpAddr>>,
}

/// The resolvers to ask now, as in `resolv.conf(5)`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolvers {
    /// The uplinks in use, for people.
    pub uplinks: Vec<String>,
    /// Some of them are public because the uplink's own do not answer.
    pub own_are_silent: bool,
    pub list: Vec<Nameserver>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nameserver {
    pub address: IpAddr,
    /// The interface behind which a link-local address is meant (RFC 4007).
    pub scope: Option<IfName>,
}

/// glibc and musl read so many (`MAXNS` in resolv.h) and pass over the rest.
pub(in crate::engine) const MOST: usize = 3;
/// Of an uplink's own, so that a public one is among those that are read.
pub(in crate::engine) const OWN: usize = 2;
/// Resolvers of one family that are learned for an uplink; none names more than three.
pub(in crate::engine) const LEARNED: usize = 4;

impl Resolvers {
    /// The file for those who resolve names on this box.
    #[must_use]
    pub fn text(&self) -> String {
        let whose = self.uplinks.join(" and ");
        let order = match self.own_are_silent {
            false => "its own resolvers if they are known, then public ones",
            true => "public resolvers, for its own do not answer",
        };
        let mut text = format!(
            "# Written by sparelink, again whenever another uplink is used.\n# For {whose}: {order}.\n"
        );
        for nameserver in &self.list {
            let _ = writeln!(text, "nameserver {nameserver}");
        }
        // The default of 5 s makes people wait for a resolver that has just died. musl counts it for
        // all attempts together, and a loaded mobile line needs 2 s for one.
        text.push_str("options timeout:3 attempts:2\n");
        text
    }
}

impl fmt::Display for Nameserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.scope {
            None => write!(f, "{}", self.address),
            Some(scope) => write!(f, "{}%{scope}", self.address),
        }
    }
}

impl Named {
    /// Those that belong to the uplink of that name on that interface.
    fn of<'a>(
        &'a self,
        uplink: &'a str,
        link: &'a (IfIndex, IfName),
        view: &'a KernelView,
    ) -> impl Iterator<Item = IpAddr> + 'a {
        let (index, interface) = link;
        let by_index = self.by_index.get(index).into_iter().flatten();
        let fits = move |key: &str| match owner(key, view) {
            Some(owner) => owner == interface.as_str(),
            None => is_called(key, uplink, interface.as_str()),
        };
        let by_name =
            self.by_name.iter().filter(move |(key, _)| fits(key)).flat_map(|(_, ips)| ips);
        by_index.chain(by_name).copied()
    }
}

/// The interface that a name begins with: `eth1` of `eth1.dhcp`, but `eth1.7` if there is one.
pub(in crate::engine) fn owner<'a>(key: &'a str, view: &KernelView) -> Option<&'a str> {
    let exists = |name: &str| view.links.values().any(|link| link.name.as_str() == name);
    let ends = key.rmatch_indices('.').map(|(at, _)| at);
    let mut names = std::iter::once(key.len()).chain(ends).map(|end| &key[..end]);
    names.find(|name| exists(name))
}

/// Whether OpenWrt's name for a network is this uplink's: the uplink's own name, or the end of
/// `pppoe-wan`; what it adds for the second family (`wan6`, `wan_6`, `wan_4`) aside.
pub(in crate::engine) fn is_called(key: &str, uplink: &str, interface: &str) -> bool {
    let tunnel = interface.split_once('-').map(|(_, name)| name);
    let same = |key: &str| key == uplink || Some(key) == tunnel;
    let plain = key.strip_suffix("_6").or_else(|| key.strip_suffix("_4"));
    same(key) || plain.or_else(|| key.strip_suffix('6')).is_some_and(same)
}

/// The resolvers of an uplink: for each family those that the configuration names, else those that
/// the system has learned.
pub(in crate::engine) fn own(uplink: &Uplink, named: &Named, view: &KernelView) -> Vec<IpAddr> {
    let mut own = uplink.config.resolvers.clone();
    let configured = |ip: &IpAddr| {
        uplink.config.resolvers.iter().any(|other| Family::of(other) == Family::of(ip))
    };
    let Some(link) = &uplink.attachment.link else {
        return own;
    };
    let mut left = [LEARNED; 2];
    let told = network::resolvers(&view.networks, &link.1);
    for ip in named.of(&uplink.config.name, link, view).chain(told) {
        let room = &mut left[usize::from(ip.is_ipv6())];
        if *room > 0 && !configured(&ip) && !own.contains(&ip) && is_learnable(ip, uplink, view) {
            *room -= 1;
            own.push(ip);
        }
    }
    own
}

/// Whether an address can be a resolver of this uplink: no stub on the box itself, and nobody on
/// another of its networks (a filter in the LAN, say), whom no probe by this uplink would find.
pub(in crate::engine) fn is_learnable(ip: IpAddr, uplink: &Uplink, view: &KernelView) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    let nobody = ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() || broadcast;
    let box_itself = view.addresses.iter().any(|a| a.net.addr() == ip);
    let index = uplink.attachment.link.as_ref().map(|link| link.0);
    let elsewhere = view.addresses.iter().any(|a| {
        Some(a.index) != index && a.net.prefix_len() > 0 && a.net.contains(&ip) && !is_scoped(ip)
    });
    let near = uplink.attachment.near.iter().any(|net| net.contains(&ip));
    !nobody && !box_itself && (near || !elsewhere)
}

/// A link-local address says nothing without its interface.
pub(in crate::engine) const fn is_scoped(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// A target that cannot be a public resolver: somebody's own machine.
pub(in crate::engine) const fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local() || ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_loopback(),
    }
}
