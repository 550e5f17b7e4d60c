//! What the dataplane depends on, as values: read by the plan of routes and rules and by the ruleset.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::{IpNet, Ipv6Net};

use crate::engine::kernel::egress::Egress;
use crate::engine::kernel::rule::ForeignRule;
use crate::engine::kernel::view::ForeignRoute;
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
    /// IPv6 sources that need no masquerade here.
    pub own6: Vec<Ipv6Net>,
    /// IPv6 sources that are known to be another uplink's, even if they lie in `own6`.
    pub others6: Vec<Ipv6Net>,
    /// Largest packet that its interface takes, in bytes; 0 if not known.
    pub mtu: u32,
    /// The box's own addresses here.
    pub addresses: Vec<IpAddr>,
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
