//! What netlink told us about the box, as plain values: links, addresses and other people's routes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::units::{Family, IfIndex, IfName, Metric, TableId};

/// A network interface (`RTM_NEWLINK`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its index; never reused for the same state.
    pub index: IfIndex,
    /// Its name now.
    pub name: IfName,
    /// Administratively up (`IFF_UP`).
    pub up: bool,
    /// A cable with somebody at the other end (`IFF_LOWER_UP`).
    pub carrier: bool,
    /// No link layer, so no gateway is needed (`IFF_POINTOPOINT` or no ARP).
    pub point_to_point: bool,
    /// The loopback device.
    pub loopback: bool,
    /// Largest packet, in bytes (`IFLA_MTU`).
    pub mtu: u32,
    /// The link-layer address, if it has a 48-bit one.
    pub mac: Option<[u8; 6]>,
    /// Where it is plugged in, from sysfs.
    pub hardware: Hardware,
}

/// What sysfs and nl80211 say about a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hardware {
    /// USB port path, for example `1-1.3`.
    pub usb_path: Option<String>,
    /// Kernel driver.
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
    /// The interface.
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

/// A unicast route that is not ours (`RTM_NEWROUTE`), with one next hop.
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
    /// The outgoing interface.
    pub dev: IfIndex,
    /// Its metric.
    pub metric: Metric,
    /// Who put it there (`rtm_protocol`: 2 kernel, 3 boot, 4 static, 9 ra, 16 dhcp …).
    pub protocol: u8,
    /// The next hop is declared to be on the link (`RTNH_F_ONLINK`).
    pub onlink: bool,
    /// `RTAX_MTU`, if the route has one.
    pub mtu: Option<u32>,
}

impl ForeignRoute {
    /// The IP version.
    #[must_use]
    pub const fn family(&self) -> Family {
        match self.dst {
            IpNet::V4(_) => Family::V4,
            IpNet::V6(_) => Family::V6,
        }
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
    /// One of our own objects was changed, by us or by somebody: look again.
    Ours(Touched),
}

/// Which kind of object of ours was touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Touched {
    /// A route in one of our tables.
    Routes,
    /// A rule of ours, or one that may stand before ours.
    Rules,
    /// Something in nftables.
    Nftables,
    /// Forwarding, reverse-path filtering or what links without carrier mean.
    Sysctls,
}

/// All links, addresses and foreign routes at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelView {
    /// Links by index.
    pub links: BTreeMap<IfIndex, Link>,
    /// Usable addresses.
    pub addresses: Vec<Address>,
    /// Routes that are not ours, in `main` and elsewhere outside our tables.
    pub routes: Vec<ForeignRoute>,
}

impl KernelView {
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
            KernelChange::Address(address) => {
                self.addresses.retain(|a| !same_address(a, address));
                self.addresses.push(*address);
            }
            KernelChange::AddressGone(address) => {
                self.addresses.retain(|a| !same_address(a, address));
            }
            KernelChange::Route(route) => {
                self.routes.retain(|r| !same_route(r, route));
                self.routes.push(*route);
            }
            KernelChange::RouteGone(route) => {
                self.routes.retain(|r| !same_route(r, route));
            }
            KernelChange::Ours(_) => {}
        }
    }
}

/// Whether two addresses are one to the kernel: the same on the same interface.
#[must_use]
pub fn same_address(a: &Address, b: &Address) -> bool {
    (a.index, a.net) == (b.index, b.net)
}

/// Whether two routes are one to the kernel.
#[must_use]
pub fn same_route(a: &ForeignRoute, b: &ForeignRoute) -> bool {
    (a.table, a.dst, a.src, a.metric, a.dev, a.gateway)
        == (b.table, b.dst, b.src, b.metric, b.dev, b.gateway)
}
