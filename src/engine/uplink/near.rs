//! What is on this side of the Internet: an answer from there says nothing of the line.
//!
//! Beside the subnets of an interface these are the other end of a point-to-point address, every next hop,
//! and what `main` reaches on the link without one. A gateway need not be in the subnet: with a host
//! route to it, with `onlink`, or in another IPv6 prefix it is just as near.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::UplinkConfig;
use crate::engine::kernel::view::{ForeignRoute, KernelView, Link, RouteKind};
use crate::units::{Family, TableId};

/// The subnets of an interface, in order.
pub(super) fn subnets_on(link: &Link, view: &KernelView) -> Vec<IpNet> {
    let own = view.addresses.iter().filter(|a| a.index == link.index);
    in_order(own.map(|a| a.net.trunc()))
}

/// What is near beside its subnets, in order. `detours`: what `main` leads over it although it is
/// the Internet's.
pub(super) fn beside_subnets(
    config: &UplinkConfig,
    link: &Link,
    view: &KernelView,
    detours: &[IpNet],
) -> Vec<IpNet> {
    let own = view.addresses.iter().filter(|a| a.index == link.index);
    let peers = own.filter_map(|a| Some(IpNet::new(a.peer?, a.net.prefix_len()).ok()?.trunc()));
    let configured = Family::BOTH.into_iter().filter_map(|family| *config.gateway.get(family));
    let routes = || view.routes.iter().filter(|r| r.dev == link.index);
    let learned = routes().filter_map(|route| route.gateway);
    let gateways = configured.chain(learned).map(IpNet::from);
    let reached = routes().filter(|r| is_on_the_link(r, link)).map(|r| r.dst);
    let all = peers.chain(gateways).chain(reached.filter(|net| !detours.contains(net)));
    in_order(all.filter(|net| !is_link_local(net.addr())))
}

/// Whether a route says that its destination is on the link. Where there is no link layer no route
/// has a next hop, and that says nothing.
fn is_on_the_link(route: &ForeignRoute, link: &Link) -> bool {
    route.gateway.is_none()
        && route.table == TableId::MAIN
        && route.kind == RouteKind::Unicast
        && route.dst.prefix_len() > 0
        && !link.point_to_point
}

/// Link-local IPv6 addresses are near everywhere.
fn is_link_local(addr: IpAddr) -> bool {
    matches!(addr, IpAddr::V6(addr) if addr.is_unicast_link_local())
}

fn in_order(nets: impl Iterator<Item = IpNet>) -> Vec<IpNet> {
    let mut nets: Vec<IpNet> = nets.collect();
    nets.sort_unstable();
    nets.dedup();
    nets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::kernel::view::Address;
    use crate::units::{IfIndex, Metric};

    fn route(dst: &str, gateway: Option<&str>) -> ForeignRoute {
        ForeignRoute {
            table: TableId::MAIN,
            dst: dst.parse().unwrap(),
            src: None,
            gateway: gateway.map(|gateway| gateway.parse().unwrap()),
            dev: IfIndex(3),
            metric: Metric(0),
            protocol: 4,
            onlink: false,
            mtu: None,
            prefsrc: None,
            kind: RouteKind::Unicast,
        }
    }

    fn near(view: &KernelView, link: &Link) -> Vec<String> {
        let text = "[[uplink]]\nname = \"cable\"\ninterface = \"wan0\"\ngateway = \"10.9.9.9\"\n";
        let config = crate::config::parse(text, "test").unwrap().uplinks.remove(0);
        let detours = ["64.0.0.0/2".parse().unwrap()];
        beside_subnets(&config, link, view, &detours).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn next_hops_and_what_needs_none_are_near() {
        let link = Link::wired(IfIndex(3), "wan0");
        let routes = vec![
            route("0.0.0.0/0", Some("192.168.10.1")),
            route("192.168.10.1/32", None),
            route("192.168.100.1/32", None),
            route("203.0.113.9/32", Some("192.168.10.254")),
            route("64.0.0.0/2", None),
            route("::/0", Some("fe80::1")),
            route("::/0", Some("2001:db8:99::1")),
            ForeignRoute { dev: IfIndex(4), ..route("192.168.101.1/32", None) },
            ForeignRoute { table: TableId(100), ..route("192.168.102.1/32", None) },
            ForeignRoute { kind: RouteKind::Rejects, ..route("0.0.0.0/0", None) },
        ];
        let view = KernelView { routes, ..KernelView::default() };
        let expected = [
            "10.9.9.9/32",
            "192.168.10.1/32",
            "192.168.10.254/32",
            "192.168.100.1/32",
            "2001:db8:99::1/128",
        ];
        assert_eq!(near(&view, &link), expected);
        let line = Link { point_to_point: true, ..link };
        let without = ["10.9.9.9/32", "192.168.10.1/32", "192.168.10.254/32", "2001:db8:99::1/128"];
        assert_eq!(near(&view, &line), without, "no route has a next hop there");
    }

    #[test]
    fn the_other_end_is_near() {
        let mut view = KernelView::default();
        for (own, peer) in [("10.1.2.3/32", "10.64.0.1"), ("10.5.0.9/24", "10.6.0.1")] {
            view.addresses.push(Address {
                index: IfIndex(3),
                net: own.parse().unwrap(),
                peer: Some(peer.parse().unwrap()),
                global: true,
                deprecated: false,
            });
        }
        let link = Link::wired(IfIndex(3), "wan0");
        assert_eq!(near(&view, &link), ["10.6.0.0/24", "10.9.9.9/32", "10.64.0.1/32"]);
    }
}
