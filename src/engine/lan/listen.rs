//! Where the page is to be found: at the LAN's own addresses, whatever they are now, and at each of them from
//! all of the LAN: a bookmark made in one VLAN is opened in another.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::net::SocketAddrV6;

use serde::Deserialize;
use serde::Serialize;

use crate::config::{LanConfig, Listen};
use crate::engine::kernel::view::{Address, KernelView};
use crate::units::{Gather as _, IfIndex, IfName};

/// One address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    pub addr: SocketAddr,
    /// Only what comes in by this interface is answered, even before the packet filter stands. One
    /// that comes back under the same name is another one. `None`: a person wrote the address
    /// down, or it is the box's own loopback.
    pub dev: Option<(IfIndex, IfName)>,
}

impl Place {
    /// Its address is good on one link only, and has to be typed with the interface's name.
    #[must_use]
    pub const fn is_link_local(&self) -> bool {
        match self.addr {
            SocketAddr::V4(_) => false,
            SocketAddr::V6(addr) => addr.ip().is_unicast_link_local(),
        }
    }
}

/// More addresses than this are nobody's LAN.
pub(in crate::engine) const MOST: usize = 64;

/// The places that the configuration asks for, on the box as it is. `uplinks` are interfaces that
/// the page is never on, even if they bear a LAN interface's name.
pub(in crate::engine) fn places(
    listen: &[Listen],
    lan: Option<&LanConfig>,
    view: &KernelView,
    uplinks: &[IfIndex],
) -> BTreeSet<Place> {
    let mut all = BTreeSet::new();
    let mut from_elsewhere = BTreeSet::new();
    for entry in listen {
        match (entry, lan) {
            (Listen::Addr(addr), _) => {
                all.insert(Place { addr: *addr, dev: None });
            }
            (Listen::Lan(port), None) => {
                let own = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
                all.extend(own.map(|ip| Place { addr: SocketAddr::new(ip, *port), dev: None }));
            }
            (Listen::Lan(port), Some(lan)) => {
                let found = view.addresses.iter().filter(|a| !uplinks.contains(&a.index));
                let own: Vec<Place> =
                    found.filter_map(|address| place(address, *port, lan, view)).collect();
                let lans = view.links.values().filter(|link| {
                    lan.interfaces.contains(&link.name) && !uplinks.contains(&link.index)
                });
                for link in lans {
                    // An address of one link alone means nothing on another.
                    let whole = own.iter().filter(|place| !is_of_one_link(&place.addr));
                    let dev = Some((link.index, link.name.clone()));
                    from_elsewhere
                        .extend(whole.map(|place| Place { addr: place.addr, dev: dev.clone() }));
                }
                all.extend(own);
            }
        }
    }
    let mut all: BTreeSet<Place> = all.into_iter().take(MOST).gather();
    for place in from_elsewhere {
        if all.len() < MOST {
            all.insert(place);
        }
    }
    all
}

fn is_of_one_link(addr: &SocketAddr) -> bool {
    matches!(addr.ip(), IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// The place at an address, if it is one of the LAN's.
pub(in crate::engine) fn place(
    address: &Address,
    port: u16,
    lan: &LanConfig,
    view: &KernelView,
) -> Option<Place> {
    let dev = &view.links.get(&address.index)?.name;
    let addr = match address.net.addr() {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            SocketAddrV6::new(v6, port, 0, address.index.0).into()
        }
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => SocketAddr::new(ip, port),
    };
    lan.interfaces.contains(dev).then(|| Place { addr, dev: Some((address.index, dev.clone())) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::kernel::view::Link;

    fn view() -> KernelView {
        let mut view = KernelView::default();
        for (index, name) in [(2, "wan0"), (3, "br-lan"), (4, "guest")] {
            let link = Link::wired(IfIndex(index), name);
            view.links.insert(link.index, link);
        }
        for (index, net) in [
            (2, "198.51.100.7/24"),
            (3, "192.168.1.1/24"),
            (3, "fd00::1/64"),
            (3, "fe80::1/64"),
            (4, "10.9.0.1/24"),
        ] {
            let net = net.parse().unwrap();
            let (index, peer) = (IfIndex(index), None);
            view.addresses.push(Address { index, net, peer, global: true, deprecated: false });
        }
        view
    }

    fn shown(listen: &[Listen], lan: Option<&[&str]>, uplinks: &[u32]) -> Vec<String> {
        let interfaces = |names: &[&str]| names.iter().map(|n| IfName::new(n).unwrap()).collect();
        let lan = lan.map(|names| LanConfig {
            interfaces: interfaces(names),
            guard: true,
            announce: true,
        });
        let uplinks: Vec<IfIndex> = uplinks.iter().map(|index| IfIndex(*index)).collect();
        let text = |place: Place| match place.dev {
            Some((_, dev)) => format!("{} on {dev}", place.addr),
            None => place.addr.to_string(),
        };
        places(listen, lan.as_ref(), &view(), &uplinks).into_iter().map(text).collect()
    }

    #[test]
    fn the_lan_is_its_interfaces_own_addresses() {
        let listen = [Listen::Lan(8300)];
        assert_eq!(
            shown(&listen, Some(&["br-lan", "guest"]), &[2]),
            [
                "10.9.0.1:8300 on br-lan",
                "10.9.0.1:8300 on guest",
                "192.168.1.1:8300 on br-lan",
                "192.168.1.1:8300 on guest",
                "[fd00::1]:8300 on br-lan",
                "[fd00::1]:8300 on guest",
                "[fe80::1%3]:8300 on br-lan"
            ]
        );
        assert_eq!(shown(&listen, Some(&["guest", "gone"]), &[2]), ["10.9.0.1:8300 on guest"]);
        assert_eq!(shown(&listen, Some(&["wan0", "guest"]), &[2]), ["10.9.0.1:8300 on guest"]);
    }

    #[test]
    fn without_a_lan_it_is_the_box_itself() {
        let listen = [Listen::Lan(8300), Listen::Addr("10.9.0.1:80".parse().unwrap())];
        assert_eq!(shown(&listen, None, &[]), ["10.9.0.1:80", "127.0.0.1:8300", "[::1]:8300"]);
        assert_eq!(shown(&[], Some(&["br-lan"]), &[]), [""; 0]);
    }
}
