//! Routes of `main` that lead beyond an uplink's link, and would take traffic past the choice.
//!
//! A DHCP server or a router advertisement can hand out more than a default route: with
//! `0.0.0.0/1` and `128.0.0.0/1` (RFC 3442, RFC 4191) a spare would carry everything, because `main`
//! is looked into before the choice and only its default routes are passed over. Left alone are
//! subnets that are on the link, networks that are not the Internet's, and routes to a single host:
//! they are somebody's decision about that host, such as a tunnel's about its far end.

use ipnet::IpNet;

use crate::engine::kernel::view::{ForeignRoute, KernelView};
use crate::units::{IfIndex, TableId};

/// A subnet is not wider than this: IANA gives away no more.
const WIDEST: [u8; 2] = [8, 16];

/// Where these networks lie nobody finds the Internet: private, shared and link-local addresses,
/// multicast (RFC 6890).
const ELSEWHERE: [&str; 9] = [
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "224.0.0.0/4",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
];

/// The prefixes that `main` leads over an interface although they are the Internet's, in order.
#[must_use]
pub fn detours(dev: IfIndex, near: &[IpNet], view: &KernelView) -> Vec<IpNet> {
    let on_link = |route: &ForeignRoute| {
        let widest = WIDEST[usize::from(route.dst.addr().is_ipv6())];
        route.gateway.is_none() && route.dst.prefix_len() >= widest && near.contains(&route.dst)
    };
    let all = view.routes.iter().filter(|r| r.dev == dev && r.table == TableId::MAIN);
    let through = all.filter(|r| (1..r.dst.max_prefix_len()).contains(&r.dst.prefix_len()));
    let mut found: Vec<IpNet> =
        through.filter(|r| !on_link(r) && !is_elsewhere(&r.dst)).map(|r| r.dst).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Whether a network is no part of the Internet.
#[must_use]
pub fn is_elsewhere(net: &IpNet) -> bool {
    ELSEWHERE.iter().filter_map(|net| net.parse::<IpNet>().ok()).any(|other| other.contains(net))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::kernel::view::RouteKind;
    use crate::units::Metric;

    #[test]
    fn only_what_takes_traffic_past_the_choice_is_a_detour() {
        let near: Vec<IpNet> =
            ["198.51.100.0/24", "0.0.0.0/1", "2001:db8:1::/64"].map(|n| n.parse().unwrap()).into();
        let cases = [
            // Destination, gateway, whether it is one.
            ("0.0.0.0/0", Some("192.168.11.1"), false),
            ("128.0.0.0/1", Some("192.168.11.1"), true),
            ("0.0.0.0/1", None, true),
            ("64.0.0.0/2", None, true),
            ("8.8.8.0/24", Some("192.168.11.1"), true),
            ("8.8.8.8/32", Some("192.168.11.1"), false),
            ("198.51.100.0/24", None, false),
            ("198.51.100.0/24", Some("192.168.11.1"), true),
            ("192.168.100.1/32", None, false),
            ("10.20.0.0/16", Some("192.168.11.1"), false),
            ("2000::/3", Some("fe80::1"), true),
            ("2001:db8:1::/64", None, false),
            ("fd00::/8", Some("fe80::1"), false),
        ];
        for (dst, gateway, is) in cases {
            let route = ForeignRoute {
                table: TableId::MAIN,
                dst: dst.parse().unwrap(),
                src: None,
                gateway: gateway.map(|gateway| gateway.parse().unwrap()),
                dev: IfIndex(3),
                metric: Metric(0),
                protocol: 16,
                onlink: false,
                mtu: None,
                prefsrc: None,
                kind: RouteKind::Unicast,
            };
            let mut view = KernelView::default();
            view.routes.push(route);
            assert_eq!(!detours(IfIndex(3), &near, &view).is_empty(), is, "{dst} {gateway:?}");
            assert_eq!(detours(IfIndex(2), &near, &view), [], "by another interface");
            view.routes[0].table = TableId(100);
            assert_eq!(detours(IfIndex(3), &near, &view), [], "in another table");
        }
    }
}
