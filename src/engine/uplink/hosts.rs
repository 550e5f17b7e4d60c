//! Host routes of `main` by an uplink's gateway to a machine in the Internet: a tunnel's far end, as
//! OpenVPN, NetworkManager and netifd put them there. They were meant for the line that was best then.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::UplinkConfig;
use crate::engine::kernel::view::{ForeignRoute, KernelView, RouteKind};
use crate::engine::uplink::attachment::Attachment;
use crate::engine::uplink::detours::is_elsewhere;
use crate::units::{Family, TableId};

/// So many follow in one family: each is a rule that every packet is held against.
const AT_MOST: usize = 16;

/// What is known of an uplink whose routes are looked at.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    pub attachment: &'a Attachment,
    /// What the configuration says of it.
    pub config: &'a UplinkConfig,
    /// Its own resolvers, configured or learned.
    pub resolvers: &'a [IpAddr],
}

/// The hosts to which `main` has a route by an uplink and that follow the active one.
#[must_use]
pub fn hosts<'a>(uplinks: impl Iterator<Item = Owner<'a>>, view: &KernelView) -> BTreeSet<IpNet> {
    let mut hosts = BTreeSet::new();
    for owner in uplinks {
        let of_it = view.routes.iter().filter(|route| owner.follows(route));
        hosts.extend(of_it.map(|route| route.dst));
    }
    let mut few = BTreeSet::new();
    for family in Family::BOTH {
        let of_family = hosts.iter().filter(|host| Family::of(&host.addr()) == family);
        few.extend(of_family.take(AT_MOST).copied());
    }
    few
}

impl Owner<'_> {
    /// Whether a route leads by the uplink's own gateway to one host that is not the uplink's.
    fn follows(&self, route: &ForeignRoute) -> bool {
        let host = route.dst.addr();
        let Some(egress) = self.attachment.dormant.get(route.family()).as_ref() else {
            return false;
        };
        let by_its_gateway = route.dev == egress.index && route.gateway == egress.gateway;
        let is_a_host = route.dst.prefix_len() == route.dst.max_prefix_len();
        let own = self.attachment.near.iter().any(|net| net.contains(&host))
            || self.resolvers.contains(&host)
            || self.config.keep_routes.contains(&host);
        route.table == TableId::MAIN
            && route.kind == RouteKind::Unicast
            && is_a_host
            && by_its_gateway
            && !is_elsewhere(&route.dst)
            && !own
    }
}

/// The addresses of those that are in one and not in the other.
#[must_use]
pub fn new(now: &BTreeSet<IpNet>, before: &BTreeSet<IpNet>) -> Vec<IpAddr> {
    now.difference(before).map(IpNet::addr).collect()
}
