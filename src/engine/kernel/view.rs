//! What netlink told us about the box, as plain values: links, addresses, other people's routes and rules.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::engine::kernel::network::Networks;
use crate::engine::kernel::rule::ForeignRule;
use crate::units::{Family, IfIndex, IfName, Metric, TableId};

/// A network interface (`RTM_NEWLINK`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its index; never reused for the same state.
    pub index: IfIndex,
    pub name: IfName,
    pub up: bool,
    /// A cable with somebody at the other end (`IFF_LOWER_UP`).
    pub carrier: bool,
    /// No link layer, so no gateway is needed (`IFF_POINTOPOINT` or no ARP).
    pub point_to_point: bool,
    pub loopback: bool,
    /// Largest packet, in bytes (`IFLA_MTU`).
    pub mtu: u32,
    /// The link-layer address, if it has a 48-bit one.
    pub mac: Option<[u8; 6]>,
    /// Where it is plugged in, from sysfs.
    pub hardware: Hardware,
    /// What it is a part of: a bridge, a bond, a VRF (`IFLA_MASTER`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master: Option<IfIndex>,
    /// What it rides on, where it is a VLAN or a macvlan (`IFLA_LINK`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<IfIndex>,
    /// What made it.
    #[serde(default, skip_serializing_if = "LinkKind::is_other")]
    pub kind: LinkKind,
}

/// What made a link (`IFLA_INFO_KIND`), as far as it matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkKind {
    /// A driver, or a kind that nothing depends on.
    #[default]
    Other,
    /// A second hardware address on its parent.
    Macvlan,
    /// A routing domain of its own, with its own table.
    Vrf,
    /// Packets within packets, or a program's end: another device carries what leaves by it.
    Tunnel,
}

impl LinkKind {
    /// Whether nothing depends on it.
    #[must_use]
    pub fn is_other(&self) -> bool {
        *self == Self::Other
    }
}

#[cfg(test)]
impl Link {
    /// A plain Ethernet device with a cable in it.
    pub(crate) fn wired(index: IfIndex, name: &str) -> Self {
        Self {
            index,
            name: IfName::new(name).unwrap(),
            up: true,
            carrier: true,
            point_to_point: false,
            loopback: false,
            mtu: 1500,
            mac: None,
            hardware: Hardware::default(),
            master: None,
            parent: None,
            kind: LinkKind::Other,
        }
    }
}

/// What sysfs and nl80211 say about a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hardware {
    /// USB port path, for example `1-1.3`.
    pub usb_path: Option<String>,
    pub driver: Option<String>,
    /// The Wi-Fi network it is associated with.
    pub ssid: Option<String>,
    /// Names that it has besides its own (`ip link property add dev eth1 altname cable0`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_names: Vec<IfName>,
}

/// An address on an interface (`RTM_NEWADDR`), usable: neither tentative nor failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Address {
    pub index: IfIndex,
    /// The box's own address with the prefix length of its subnet (`IFA_LOCAL`).
    pub net: IpNet,
    /// The other end of a point-to-point link (`IFA_ADDRESS` where it differs).
    pub peer: Option<IpAddr>,
    /// Global scope (`RT_SCOPE_UNIVERSE`); link-local ones are not.
    pub global: bool,
    /// Past its preferred lifetime (`IFA_F_DEPRECATED`).
    pub deprecated: bool,
}

/// What a route does with a packet (`rtm_type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteKind {
    /// Sends it on.
    #[default]
    Unicast,
    /// Ends the look-up with an error, or drops it: `unreachable`, `prohibit`, `blackhole`.
    Rejects,
}

/// A route that is not ours (`RTM_NEWROUTE`), with one next hop, or none where it rejects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ForeignRoute {
    /// The table it stands in.
    pub table: TableId,
    /// Where it leads; `0.0.0.0/0` or `::/0` is a default route.
    pub dst: IpNet,
    /// The source prefix of a source-specific route.
    pub src: Option<IpNet>,
    /// The next hop; `None` on the link itself.
    pub gateway: Option<IpAddr>,
    pub dev: IfIndex,
    pub metric: Metric,
    /// Who put it there (`rtm_protocol`: 2 kernel, 3 boot, 4 static, 9 ra, 16 dhcp …).
    pub protocol: u8,
    /// The next hop is declared to be on the link (`RTNH_F_ONLINK`).
    pub onlink: bool,
    /// `RTAX_MTU`, if the route has one.
    pub mtu: Option<u32>,
    /// The source address that it asks for where a packet has none (`RTA_PREFSRC`).
    #[serde(default)]
    pub prefsrc: Option<IpAddr>,
    /// What it does. Only default routes are told where they reject.
    #[serde(default)]
    pub kind: RouteKind,
}

impl ForeignRoute {
    #[must_use]
    pub const fn family(&self) -> Family {
        match self.dst {
            IpNet::V4(_) => Family::V4,
            IpNet::V6(_) => Family::V6,
        }
    }

    /// Whether it leads everything somewhere: a default route that sends packets on.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.dst.prefix_len() == 0 && self.kind == RouteKind::Unicast
    }
}

/// One change that netlink reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KernelChange {
    /// A link is there, or is different now.
    Link(Link),
    /// A link is gone, with everything on it.
    LinkGone(IfIndex),
    /// An address is there.
    Address(Address),
    /// An address is gone.
    AddressGone(Address),
    /// A foreign route is there.
    Route(ForeignRoute),
    /// A foreign route is gone.
    RouteGone(ForeignRoute),
    /// The rules of others are these now.
    Rules(Vec<ForeignRule>),
    /// One of our own objects was changed, by us or by somebody: look again.
    Ours(Touched),
    /// Somebody changed rules of a firewall that are not ours.
    Firewall,
}

/// Which kind of object of ours was touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Touched {
    /// A route in one of our tables.
    Routes,
    /// A rule of ours.
    Rules,
    Nftables,
    /// Forwarding, reverse-path filtering or what links without carrier mean.
    Sysctls,
}

/// All links, addresses and foreign routes at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelView {
    pub links: BTreeMap<IfIndex, Link>,
    /// Usable addresses, in order; of each interface and family so many at most.
    pub addresses: Vec<Address>,
    /// Routes that are not ours and that can matter, in order: default routes of any table, and the
    /// widest of `main`. Of each interface there are so many at most, however many the kernel has.
    pub routes: Vec<ForeignRoute>,
    /// Rules that are not ours and that lead to a table, in the order in which they are looked at; so
    /// many at most.
    #[serde(default)]
    pub rules: Vec<ForeignRule>,
    /// What a network manager says besides; netlink knows nothing of it.
    #[serde(default, skip_serializing_if = "Networks::is_empty")]
    pub networks: Networks,
    /// There should be one that says more, netifd, and it does not answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub netifd_is_silent: bool,
}

impl KernelView {
    /// Whether that address, or what the kernel takes for the same, is there.
    #[must_use]
    pub fn has_address(&self, address: &Address) -> bool {
        self.addresses.binary_search_by_key(&address_key(address), address_key).is_ok()
    }

    /// Brings the view up to date with one change.
    pub fn apply(&mut self, change: &KernelChange) {
        match change {
            KernelChange::Link(link) => {
                self.links.insert(link.index, link.clone());
            }
            KernelChange::LinkGone(index) => {
                self.links.remove(index);
                self.addresses.retain(|a| a.index != *index);
                self.routes.retain(|r| r.dev != *index);
            }
            KernelChange::Address(address) => put(&mut self.addresses, *address, address_key),
            KernelChange::AddressGone(address) => take(&mut self.addresses, address, address_key),
            KernelChange::Route(route) => put(&mut self.routes, *route, route_key),
            KernelChange::RouteGone(route) => take(&mut self.routes, route, route_key),
            KernelChange::Rules(rules) => self.rules.clone_from(rules),
            KernelChange::Ours(_) | KernelChange::Firewall => {}
        }
    }
}

/// Puts a value where it belongs in an ordered list, in the place of the one with its key.
fn put<T, K: Ord>(list: &mut Vec<T>, value: T, key: impl Fn(&T) -> K) {
    match list.binary_search_by_key(&key(&value), key) {
        Ok(at) => list[at] = value,
        Err(at) => list.insert(at, value),
    }
}

/// Takes the value with that key out of an ordered list.
fn take<T, K: Ord>(list: &mut Vec<T>, like: &T, key: impl Fn(&T) -> K) {
    if let Ok(at) = list.binary_search_by_key(&key(like), key) {
        list.remove(at);
    }
}

/// By what the kernel tells addresses apart, in their order.
const fn address_key(address: &Address) -> (IfIndex, IpNet) {
    (address.index, address.net)
}

/// By what the kernel tells routes apart, in their order.
fn route_key(route: &ForeignRoute) -> impl Ord + use<> {
    (route.table, route.dst, route.src, route.gateway, route.dev, route.metric)
}

/// Whether two routes are one to the kernel.
#[must_use]
pub fn same_route(a: &ForeignRoute, b: &ForeignRoute) -> bool {
    route_key(a) == route_key(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The route to `dst` by interface 2, of this protocol.
    fn route(dst: u32, protocol: u8) -> ForeignRoute {
        let dst = ipnet::Ipv4Net::new(dst.into(), 24).unwrap();
        ForeignRoute {
            table: TableId::MAIN,
            dst: dst.into(),
            src: None,
            gateway: None,
            dev: IfIndex(2),
            metric: Metric(0),
            protocol,
            onlink: false,
            mtu: None,
            prefsrc: None,
            kind: RouteKind::Unicast,
        }
    }

    #[test]
    fn routes_come_and_go_in_order() {
        let mut view = KernelView::default();
        for n in [5, 1, 3, 1] {
            view.apply(&KernelChange::Route(route(n << 8, 9)));
        }
        view.apply(&KernelChange::Route(route(3 << 8, 4)));
        assert_eq!(view.routes, [route(1 << 8, 9), route(3 << 8, 4), route(5 << 8, 9)]);
        view.apply(&KernelChange::RouteGone(route(3 << 8, 9)));
        view.apply(&KernelChange::RouteGone(route(4 << 8, 9)));
        assert_eq!(view.routes, [route(1 << 8, 9), route(5 << 8, 9)]);
    }

    #[test]
    fn an_address_that_changes_is_the_same_address() {
        let mut view = KernelView::default();
        let address = |net: &str, deprecated| Address {
            index: IfIndex(2),
            net: net.parse().unwrap(),
            peer: None,
            global: true,
            deprecated,
        };
        for address in [address("10.0.0.2/8", false), address("10.0.0.1/8", false)] {
            view.apply(&KernelChange::Address(address));
        }
        view.apply(&KernelChange::Address(address("10.0.0.2/8", true)));
        assert_eq!(view.addresses, [address("10.0.0.1/8", false), address("10.0.0.2/8", true)]);
        view.apply(&KernelChange::AddressGone(address("10.0.0.2/8", false)));
        assert_eq!(view.addresses, [address("10.0.0.1/8", false)]);
    }
}
