//! What the dataplane depends on, as values: read by the plan of routes and rules and by the ruleset.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::{IpNet, Ipv6Net};

use crate::engine::kernel::egress::Egress;
use crate::engine::kernel::rule::ForeignRule;
use crate::engine::kernel::view::{Address, ForeignRoute};
use crate::units::{Family, IfIndex, IfName, PerFamily, TableId, UplinkId};

/// Everything the dataplane depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The uplinks of the configuration, in no particular order.
    pub uplinks: Vec<Uplink>,
    /// The uplinks of each family in the order in which the kernel should try them: the active one,
    /// then the ready spares.
    pub order: PerFamily<Vec<UplinkId>>,
    /// The default route of `main` where it is somebody's who is no uplink: it is followed.
    pub heeded: PerFamily<Option<ForeignRoute>>,
    /// Rules of others that send packets to `main`; these follow the active uplink.
    pub to_main: Vec<ForeignRule>,
    /// Hosts to which `main` has a route by an uplink; they follow the active one.
    pub hosts: BTreeSet<IpNet>,
    /// What of `main` is passed over; `None`: nothing but its default routes.
    pub narrowed: PerFamily<Option<Narrowed>>,
    /// Families without a living uplink: new LAN flows are refused at once.
    pub refused: PerFamily<bool>,
    /// Uplinks on which stale TCP connections are reset.
    pub reset_on: BTreeSet<UplinkId>,
    /// The LAN, if this box forwards for one.
    pub lan: Option<Lan>,
    /// TCP ports of the page, closed towards uplinks.
    pub page_ports: BTreeSet<u16>,
    /// Whole packet marks by which somebody else's policy rules choose a way: packets with one of them are
    /// not pinned.
    pub claimed_marks: BTreeSet<u32>,
}

/// `main` without what leads over uplinks past the choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Narrowed {
    /// Prefixes this long or shorter are passed over there.
    pub prefix_len: u8,
    /// Those of them that are others' decision.
    pub kept: Vec<ForeignRoute>,
}

impl Narrowed {
    /// For routes of one family; `detours` are those that an uplink has and that do not count.
    #[must_use]
    pub fn new(
        detours: &BTreeSet<(IfIndex, IpNet)>,
        routes: &[ForeignRoute],
        family: Family,
    ) -> Option<Self> {
        let of_family = detours.iter().filter(|(_, net)| Family::of(&net.addr()) == family);
        let prefix_len = of_family.map(|(_, net)| net.prefix_len()).max()?;
        let covered = |r: &&ForeignRoute| {
            r.table == TableId::MAIN
                && r.family() == family
                && (1..=prefix_len).contains(&r.dst.prefix_len())
                && !detours.contains(&(r.dev, r.dst))
        };
        let mut kept: Vec<ForeignRoute> = routes.iter().filter(covered).copied().collect();
        // Of several to one network the first counts.
        kept.sort_unstable_by_key(|r| (r.dst, r.metric, r.dev));
        kept.dedup_by_key(|r| r.dst);
        Some(Self { prefix_len, kept })
    }
}

/// One uplink, as far as the dataplane cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uplink {
    pub id: UplinkId,
    /// Its interface now, if there is one.
    pub dev: Option<(IfIndex, IfName)>,
    /// Its egress by family: now, or the last one as long as the kernel can hold it.
    pub egress: PerFamily<Option<Egress>>,
    /// What is on this side of the Internet: subnets on the link, next hops, pages of modems.
    pub near: Vec<IpNet>,
    /// Public subnets that its provider routes to the box (`prefixes`).
    pub routed: Vec<IpNet>,
    /// IPv6 sources that need no masquerade here.
    pub own6: Vec<Ipv6Net>,
    /// IPv6 sources that are known to be another uplink's, even if they lie in `own6`.
    pub others6: Vec<Ipv6Net>,
    /// Largest packet that its interface takes, in bytes; 0 if not known.
    pub mtu: u32,
    /// The box's own addresses here.
    pub addresses: Vec<IpAddr>,
    /// For whom its interface answers on the wire.
    pub answers: Answers,
    /// What its interface rides on, where it is a second hardware address there (macvlan), and for whom
    /// that answers.
    pub parent: Option<(IfName, Answers)>,
}

/// For which addresses of the box an interface answers on the wire (ARP).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answers {
    /// For its own alone: where two interfaces hear the same question, the right one answers.
    #[default]
    Own,
    /// For every one of the box.
    Any,
}

impl Answers {
    /// For an interface with these addresses, from which packets leave with that source.
    #[must_use]
    pub fn of(addresses: &[Address], source: Option<IpAddr>) -> Self {
        // An address elsewhere on the box that packets bear may have to be answered for here, too. And of one
        // that names its other end the kernel does not find that it is here (`confirm_addr_indev`).
        let far = source.is_some_and(|source| addresses.iter().all(|a| a.net.addr() != source));
        let pointed = addresses.iter().any(|a| a.net.addr().is_ipv4() && a.peer.is_some());
        if far || pointed { Self::Any } else { Self::Own }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lan {
    /// Its subnets that no uplink has: whoever claims to be in one of them does not come in by an
    /// uplink.
    pub nets: Vec<IpNet>,
    /// Drop new flows from uplinks to the LAN unless they are port forwards.
    pub guard: bool,
    /// Its subnets that an uplink has, too, and the LAN's interface of each.
    pub disputed: BTreeMap<IpNet, IfIndex>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_answers_for_its_own_where_the_kernel_can_tell() {
        let address = |net: &str, peer: Option<&str>| Address {
            index: IfIndex(2),
            net: net.parse().unwrap(),
            peer: peer.map(|peer| peer.parse().unwrap()),
            global: true,
            deprecated: false,
        };
        let plain = [address("192.168.1.2/24", None), address("fe80::2/64", None)];
        let source = |text: &str| Some(text.parse().unwrap());
        assert_eq!(Answers::of(&plain, source("192.168.1.2")), Answers::Own);
        assert_eq!(Answers::of(&plain, None), Answers::Own);
        assert_eq!(Answers::of(&plain, source("198.51.100.7")), Answers::Any, "it is elsewhere");
        let pointed = [address("10.1.2.3/32", Some("10.64.0.1"))];
        assert_eq!(Answers::of(&pointed, source("10.1.2.3")), Answers::Any);
        let pointed = [address("2001:db8::1/128", Some("2001:db8::2"))];
        assert_eq!(Answers::of(&pointed, source("2001:db8::1")), Answers::Own, "no ARP in IPv6");
    }
}
