//! The source address of what the box sends by an uplink.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::UplinkConfig;
use crate::engine::kernel::view::{Address, ForeignRoute, KernelView, Link};
use crate::units::Family;

/// A source address, and whether it has to be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) addr: IpAddr,
    /// The same, where the kernel would not choose it by itself.
    pub(super) named: Option<IpAddr>,
}

/// The source in one family. `learned`: the default route of somebody else. In this order: what that route
/// asks for; the link's own address; of a prefix that the provider delegates.
pub(super) fn source(
    config: &UplinkConfig,
    link: &Link,
    view: &KernelView,
    learned: Option<&ForeignRoute>,
    family: Family,
) -> Option<Source> {
    let gateway = config.gateway.get(family).or_else(|| learned.and_then(|route| route.gateway));
    let of_family = |a: &&Address| a.global && Family::of(&a.net.addr()) == family;
    let of_the_box = || view.addresses.iter().filter(of_family);
    let own = || of_the_box().filter(|a| a.index == link.index);
    if let Some(wish) = learned.and_then(|route| route.prefsrc)
        && of_the_box().any(|a| a.net.addr() == wish)
    {
        let only = own().count() == 1 && own().all(|a| a.net.addr() == wish);
        return Some(Source { addr: wish, named: (!only).then_some(wish) });
    }
    let stranger = |a: &Address| gateway.is_some_and(|gateway| !reaches(a, gateway));
    let best = own().min_by_key(|a| (a.deprecated, stranger(a), a.net));
    if let Some(best) = best {
        return Some(Source { addr: best.net.addr(), named: None });
    }
    let has_a_way = gateway.is_some() || learned.is_some();
    let lent = of_the_box().filter(|_| has_a_way).filter(|a| a.index != link.index);
    let lent = lent.filter_map(|a| Some((claim(config, link, view, a)?, a.deprecated, a.net)));
    let addr = lent.min()?.2.addr();
    Some(Source { addr, named: Some(addr) })
}

/// Whether an address has a subnet, or a point-to-point link, in common with a gateway.
fn reaches(address: &Address, gateway: IpAddr) -> bool {
    address.net.contains(&gateway) || address.peer == Some(gateway)
}

/// How well it is known that an address comes from a prefix that an uplink's provider delegates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Claim {
    /// The configuration or a source-specific default route says so.
    Said,
    /// Nobody says that it comes from somewhere else. If it does, no answer comes by this uplink, and
    /// it is not proven.
    Open,
}

/// Many providers give a router no address but a link-local one, and a prefix for its LAN (RFC 7084 §4.2,
/// WAA-7). `None`: the address is another uplink's, or no provider's at all.
fn claim(
    config: &UplinkConfig,
    link: &Link,
    view: &KernelView,
    address: &Address,
) -> Option<Claim> {
    let IpAddr::V6(addr) = address.net.addr() else { return None };
    // Global unicast, by IANA's allocation (RFC 4291 §2.4).
    if addr.segments()[0] >> 13 != 1 {
        return None;
    }
    let defaults = || view.routes.iter().filter(|r| r.is_default() && r.family() == Family::V6);
    let from = |route: &ForeignRoute| {
        let covers = |src: IpNet| src.prefix_len() > 0 && src.contains(&address.net.addr());
        route.src.is_some_and(covers)
    };
    let here = |route: &&ForeignRoute| route.dev == link.index;
    let said = config.prefixes6.iter().any(|net| net.contains(&addr));
    if said || defaults().filter(here).any(from) {
        return Some(Claim::Said);
    }
    let others = || defaults().filter(|route| route.dev != link.index);
    let theirs = others().any(|route| route.dev == address.index || from(route));
    (!theirs).then_some(Claim::Open)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::kernel::view::RouteKind;
    use crate::units::{IfIndex, Metric, TableId};

    fn address(index: u32, net: &str) -> Address {
        let (index, net) = (IfIndex(index), net.parse().unwrap());
        Address { index, net, peer: None, global: true, deprecated: false }
    }

    fn default_route(dev: u32, gateway: &str) -> ForeignRoute {
        let gateway: IpAddr = gateway.parse().unwrap();
        ForeignRoute {
            table: TableId::MAIN,
            dst: if gateway.is_ipv4() { "0.0.0.0/0" } else { "::/0" }.parse().unwrap(),
            src: None,
            gateway: Some(gateway),
            dev: IfIndex(dev),
            metric: Metric(100),
            protocol: 16,
            onlink: false,
            mtu: None,
            prefsrc: None,
            kind: RouteKind::Unicast,
        }
    }

    /// The source on interface 2, and whether it is named.
    fn chosen(view: &KernelView, prefixes6: &[&str], family: Family) -> Option<(String, bool)> {
        let text = "[[uplink]]\nname = \"cable\"\ninterface = \"wan0\"\n";
        let mut config = crate::config::parse(text, "test").unwrap().uplinks.remove(0);
        config.prefixes6 = prefixes6.iter().map(|net| net.parse().unwrap()).collect();
        let link = Link::wired(IfIndex(2), "wan0");
        let learned = view.routes.iter().find(|r| r.dev == link.index && r.family() == family);
        let source = source(&config, &link, view, learned, family)?;
        Some((source.addr.to_string(), source.named.is_some()))
    }

    fn some(addr: &str, named: bool) -> Option<(String, bool)> {
        Some((addr.to_owned(), named))
    }

    #[test]
    fn the_route_says_which_of_several() {
        let addresses = vec![address(2, "192.168.10.5/24"), address(2, "192.168.10.100/24")];
        let routes = vec![default_route(2, "192.168.10.1")];
        let mut view = KernelView { addresses, routes, ..KernelView::default() };
        assert_eq!(chosen(&view, &[], Family::V4), some("192.168.10.5", false));
        view.routes[0].prefsrc = Some("192.168.10.100".parse().unwrap());
        assert_eq!(chosen(&view, &[], Family::V4), some("192.168.10.100", true));
        view.addresses.remove(0);
        assert_eq!(chosen(&view, &[], Family::V4), some("192.168.10.100", false), "the only one");
        // A public address that is not on the link.
        view.addresses.push(address(1, "198.51.100.7/32"));
        view.routes[0].prefsrc = Some("198.51.100.7".parse().unwrap());
        assert_eq!(chosen(&view, &[], Family::V4), some("198.51.100.7", true));
        view.routes[0].prefsrc = Some("198.51.100.8".parse().unwrap());
        assert_eq!(chosen(&view, &[], Family::V4), some("192.168.10.100", false), "nobody's");
    }

    #[test]
    fn a_line_without_an_address_of_its_own_has_one_of_its_prefix() {
        let addresses = vec![
            address(3, "2001:db8:2::100/64"),
            address(4, "2001:db8:a0:1::1/64"),
            address(4, "2001:db8:b0:1::1/64"),
            address(4, "fd77::1/64"),
        ];
        let mut view = KernelView { addresses, ..KernelView::default() };
        let v6 = |view: &KernelView, prefixes6: &[&str]| chosen(view, prefixes6, Family::V6);
        assert_eq!(v6(&view, &[]), None, "without a way out it has none");
        view.routes = vec![default_route(2, "fe80::1"), default_route(3, "fe80::1")];
        assert_eq!(v6(&view, &[]), some("2001:db8:a0:1::1", true));
        assert_eq!(v6(&view, &["2001:db8:b0::/48"]), some("2001:db8:b0:1::1", true));
        view.routes[1].src = Some("2001:db8:a0::/48".parse().unwrap());
        assert_eq!(v6(&view, &[]), some("2001:db8:b0:1::1", true), "the other one's");
        view.routes[0].src = Some("2001:db8:a0::/48".parse().unwrap());
        assert_eq!(v6(&view, &[]), some("2001:db8:a0:1::1", true), "both say so");
        view.addresses.push(address(2, "2001:db8:1::5/64"));
        assert_eq!(v6(&view, &[]), some("2001:db8:1::5", false), "its own comes first");
        view.addresses = vec![address(4, "fd77::1/64")];
        assert_eq!(v6(&view, &[]), None, "a local one leads nowhere");
    }
}
