//! rtnetlink messages as the engine's values. Pure functions.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the crate's enums are open, and most of what they name does not concern us"
)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::LinkFlags;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteMetric, RouteNextHopFlags, RouteType, RouteVia,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleFlags, RuleMessage, RuleUidRange};
use nix::libc;

use super::attrs::Attributes;
use super::message::LinkMessage;
use crate::engine::dataplane::{Route, Rule, RuleAction as Then};
use crate::engine::kernel::rule::{ForeignRule, Selector};
use crate::engine::kernel::view::{Address, ForeignRoute, Hardware, Link, LinkKind, RouteKind};
use crate::units::{Family, Fwmark, IfIndex, IfName, Metric, PROTOCOL, RulePriority, TableId};

/// `RTNH_F_ONLINK`, which also stands in the flags of a route with one next hop.
const ONLINK: u32 = RouteNextHopFlags::Onlink.bits() as u32;

/// More names of one link are nobody's.
const MOST_NAMES: usize = 8;

/// A link, without its hardware; `None` for messages that only look like it: a bridge speaks about
/// its ports with the same message types, and its `RTM_DELLINK` means that a port left the bridge.
pub(super) fn link(message: &LinkMessage) -> Option<Link> {
    if AddressFamily::from(message.family) != AddressFamily::Unspec {
        return None;
    }
    let attributes = message.attributes();
    let mac = attributes.get(libc::IFLA_ADDRESS);
    let mac = mac.and_then(|bytes| <[u8; 6]>::try_from(bytes).ok());
    let flags = LinkFlags::from_bits_retain(message.flags);
    let loopback = flags.contains(LinkFlags::Loopback);
    Some(Link {
        index: IfIndex(message.index),
        name: IfName::new(attributes.text(libc::IFLA_IFNAME)?)?,
        up: flags.contains(LinkFlags::Up),
        carrier: flags.contains(LinkFlags::LowerUp),
        point_to_point: flags.intersects(LinkFlags::Pointopoint | LinkFlags::Noarp) && !loopback,
        loopback,
        mtu: attributes.ne32(libc::IFLA_MTU).unwrap_or(0),
        mac: mac.filter(|m| *m != [0; 6]),
        hardware: Hardware { other_names: other_names(attributes), ..Hardware::default() },
        master: attributes.ne32(libc::IFLA_MASTER).map(IfIndex),
        parent: parent(attributes),
        kind: match made_by(attributes) {
            Some("macvlan" | "macvtap") => LinkKind::Macvlan,
            Some("vrf") => LinkKind::Vrf,
            Some(
                "gre" | "gretap" | "ip6gre" | "ip6tnl" | "ipip" | "sit" | "tun" | "vti" | "vti6"
                | "wireguard" | "xfrm",
            ) => LinkKind::Tunnel,
            _ => LinkKind::Other,
        },
    })
}

/// What made a link: `IFLA_INFO_KIND` in `IFLA_LINKINFO` (linux/if_link.h).
fn made_by(attributes: Attributes<'_>) -> Option<&str> {
    attributes.nested(libc::IFLA_LINKINFO).text(libc::IFLA_INFO_KIND)
}

/// What a link rides on. Other kinds name something else there: a veth its other end, a tunnel where its
/// packets leave.
fn parent(attributes: Attributes<'_>) -> Option<IfIndex> {
    let rides = matches!(made_by(attributes)?, "vlan" | "macvlan" | "macvtap" | "ipvlan");
    // A parent in another namespace has a number of there.
    let elsewhere = attributes.get(libc::IFLA_LINK_NETNSID).is_some();
    attributes.ne32(libc::IFLA_LINK).filter(|_| rides && !elsewhere).map(IfIndex)
}

/// The names that a link has besides its own (`IFLA_PROP_LIST` in linux/if_link.h), as far as they can be
/// written in the configuration: the kernel takes longer ones, too.
fn other_names(attributes: Attributes<'_>) -> Vec<IfName> {
    let of_list = attributes.nested(libc::IFLA_PROP_LIST);
    let names = of_list.filter(|(kind, _)| *kind == libc::IFLA_ALT_IFNAME);
    let text =
        |bytes: &[u8]| IfName::new(std::str::from_utf8(bytes.split(|b| *b == 0).next()?).ok()?);
    names.filter_map(|(_, bytes)| text(bytes)).take(MOST_NAMES).collect()
}

/// Bytes received and sent by a link since it was made: the third and fourth number of its
/// `struct rtnl_link_stats64` (linux/if_link.h).
pub(super) fn bytes(message: &LinkMessage) -> Option<(u64, u64)> {
    let stats = message.attributes().get(libc::IFLA_STATS64)?;
    let number = |at: usize| Some(u64::from_ne_bytes(*stats.get(at * 8..)?.first_chunk()?));
    Some((number(2)?, number(3)?))
}

/// An address, and whether it can be used: neither being checked for duplicates nor found to be one.
pub(super) fn address(message: &AddressMessage) -> Option<(Address, bool)> {
    let header = &message.header;
    let mut flags = AddressFlags::from_bits_retain(u32::from(header.flags.bits()));
    let (mut local, mut other) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(addr) => local = Some(*addr),
            AddressAttribute::Address(addr) => other = Some(*addr),
            AddressAttribute::Flags(all) => flags = *all,
            _ => {}
        }
    }
    let own = local.or(other)?;
    let tentative =
        flags.contains(AddressFlags::Tentative) && !flags.contains(AddressFlags::Optimistic);
    let address = Address {
        index: IfIndex(header.index),
        net: IpNet::new(own, header.prefix_len).ok()?,
        peer: other.filter(|addr| *addr != own),
        // What a device gives itself when no DHCP server answers (RFC 3927) leads nowhere, whatever the
        // scope that a program gave it.
        global: header.scope == AddressScope::Universe && !is_link_local(own),
        deprecated: flags.contains(AddressFlags::Deprecated),
    };
    Some((address, !tentative && !flags.contains(AddressFlags::Dadfailed)))
}

fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V4(ip) if ip.is_link_local())
}

/// A route as the kernel tells it: one destination, any number of next hops.
#[derive(Debug)]
pub(super) struct RawRoute {
    pub(super) family: Family,
    pub(super) table: TableId,
    pub(super) dst: IpNet,
    pub(super) src: Option<IpNet>,
    pub(super) metric: Metric,
    pub(super) protocol: u8,
    pub(super) prefsrc: Option<IpAddr>,
    /// `None`: neither ours nor others' routes are of that kind (`local`, `throw` …).
    pub(super) kind: Option<RouteKind>,
    pub(super) mtu: Option<u32>,
    pub(super) hops: Vec<Hop>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Hop {
    via: Option<IpAddr>,
    dev: IfIndex,
    onlink: bool,
}

/// No next hop at all.
const NOWHERE: Hop = Hop { via: None, dev: IfIndex(0), onlink: false };

/// `RT_TABLE_LOCAL`: the box's own addresses, kept by the kernel.
const LOCAL: TableId = TableId(255);

impl RawRoute {
    /// Whether it belongs to sparelink: by its protocol number wherever it stands, and by its
    /// table whoever put it there.
    pub(super) fn is_ours(&self) -> bool {
        self.protocol == PROTOCOL || self.table.is_ours()
    }

    fn is_default(&self) -> bool {
        self.dst.prefix_len() == 0
    }

    /// Somebody else's routes that it stands for, one for each next hop; of those that reject only
    /// a default, which has none.
    pub(super) fn foreign(&self) -> impl Iterator<Item = ForeignRoute> {
        let foreign = !self.is_ours() && self.table != LOCAL;
        let kind = self.kind.filter(|_| foreign);
        let rejects = kind == Some(RouteKind::Rejects);
        let hops = if rejects { &[NOWHERE][..self.is_default().into()] } else { &self.hops };
        kind.into_iter().flat_map(move |kind| hops.iter().map(move |hop| (kind, hop))).map(
            |(kind, hop)| ForeignRoute {
                table: self.table,
                dst: self.dst,
                src: self.src,
                gateway: hop.via,
                dev: hop.dev,
                metric: self.metric,
                protocol: self.protocol,
                onlink: hop.onlink,
                mtu: self.mtu,
                prefsrc: self.prefsrc,
                kind,
            },
        )
    }

    /// The route of ours that it is. What we would never write (several next hops, or none) gets
    /// the interface 0, so that it equals nothing desired and is replaced or removed as a whole.
    pub(super) fn ours(&self) -> Option<Route> {
        let hop = match self.hops.as_slice() {
            [only] if self.kind == Some(RouteKind::Unicast) => *only,
            _ => NOWHERE,
        };
        self.is_ours().then_some(Route {
            family: self.family,
            table: self.table,
            metric: self.metric,
            dst: self.dst,
            via: hop.via,
            dev: hop.dev,
            onlink: hop.onlink,
            mtu: self.mtu,
            prefsrc: self.prefsrc,
        })
    }
}

/// Takes a route message apart; `None` if it is neither IPv4 nor IPv6, or nonsense.
pub(super) fn route(message: &RouteMessage) -> Option<RawRoute> {
    let header = &message.header;
    let family = family(header.address_family)?;
    let any: IpAddr = match family {
        Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
        Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
    };
    let mut raw = RawRoute {
        family,
        table: TableId(u32::from(header.table)),
        dst: IpNet::new(any, header.destination_prefix_length).ok()?,
        src: None,
        metric: Metric(0),
        protocol: header.protocol.into(),
        prefsrc: None,
        kind: kind(header.kind),
        mtu: None,
        hops: Vec::new(),
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(table) => raw.table = TableId(*table),
            RouteAttribute::Priority(metric) => raw.metric = Metric(*metric),
            RouteAttribute::Destination(dst) => {
                raw.dst = IpNet::new(ip(dst)?, header.destination_prefix_length).ok()?;
            }
            RouteAttribute::Source(src) => {
                raw.src = IpNet::new(ip(src)?, header.source_prefix_length).ok();
            }
            RouteAttribute::PrefSource(addr) => raw.prefsrc = ip(addr),
            RouteAttribute::Metrics(metrics) => {
                raw.mtu = metrics
                    .iter()
                    .find_map(|m| if let RouteMetric::Mtu(mtu) = m { Some(*mtu) } else { None });
            }
            RouteAttribute::MultiPath(hops) => {
                let hops = hops.iter().map(|h| {
                    let onlink = h.flags.contains(RouteNextHopFlags::Onlink);
                    let dev = Some(h.interface_index);
                    Hop { onlink, ..hop(&h.attributes, dev) }
                });
                raw.hops = hops.collect();
            }
            _ => {}
        }
    }
    if raw.hops.is_empty() {
        let onlink = header.flags.bits() & ONLINK != 0;
        let only = Hop { onlink, ..hop(&message.attributes, None) };
        raw.hops.extend((only.dev != IfIndex(0)).then_some(only));
    }
    Some(raw)
}

fn kind(kind: RouteType) -> Option<RouteKind> {
    match kind {
        RouteType::Unicast => Some(RouteKind::Unicast),
        RouteType::Unreachable | RouteType::Prohibit | RouteType::BlackHole => {
            Some(RouteKind::Rejects)
        }
        _ => None,
    }
}

/// A next hop without its flags.
fn hop(attributes: &[RouteAttribute], dev: Option<u32>) -> Hop {
    let mut hop = Hop { via: None, dev: IfIndex(dev.unwrap_or(0)), onlink: false };
    for attribute in attributes {
        match attribute {
            RouteAttribute::Gateway(gateway) => hop.via = ip(gateway),
            RouteAttribute::Via(RouteVia::Inet(gateway)) => hop.via = Some((*gateway).into()),
            RouteAttribute::Via(RouteVia::Inet6(gateway)) => hop.via = Some((*gateway).into()),
            RouteAttribute::Oif(index) if dev.is_none() => hop.dev = IfIndex(*index),
            _ => {}
        }
    }
    hop
}

/// The outgoing interface of a route that was looked up.
pub(super) fn route_device(message: &RouteMessage) -> Option<IfIndex> {
    route(message)?.hops.first().map(|hop| hop.dev)
}

/// Who made a rule (`FRA_PROTOCOL`) and at which priority it stands.
pub(super) fn rule_owner(message: &RuleMessage) -> (u8, RulePriority) {
    let (mut protocol, mut priority) = (0, RulePriority(0));
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Protocol(number) => protocol = u8::from(*number),
            RuleAttribute::Priority(number) => priority = RulePriority(*number),
            _ => {}
        }
    }
    (protocol, priority)
}

/// A rule of ours; `None` if it is somebody else's.
pub(super) fn rule(message: &RuleMessage) -> Option<Rule> {
    let (protocol, priority) = rule_owner(message);
    let (selector, _) = selector(message);
    let then = match message.header.action {
        RuleAction::Prohibit => Then::Prohibit,
        RuleAction::Goto => Then::GoTo(goes_to(message)),
        _ => Then::LookUp(rule_table(message)),
    };
    (protocol == PROTOCOL).then_some(Rule {
        family: family(message.header.family)?,
        priority,
        selector,
        then,
        suppress_prefixlength: suppressed(message),
    })
}

/// A rule of somebody else; the kernel's own first one, which looks up the box's own addresses, does
/// not count.
pub(super) fn foreign_rule(message: &RuleMessage) -> Option<ForeignRule> {
    let (protocol, priority) = rule_owner(message);
    let ours = protocol == PROTOCOL || priority == RulePriority(0);
    let (selector, narrower) = selector(message);
    let to_table = message.header.action == RuleAction::ToTable;
    (!ours).then_some(ForeignRule {
        family: family(message.header.family)?,
        priority,
        selector,
        narrower,
        table: to_table.then(|| rule_table(message)),
        suppress_prefixlength: suppressed(message),
    })
}

/// A table above 255 stands in an attribute, and 252 in the header.
fn rule_table(message: &RuleMessage) -> TableId {
    let of = |attribute: &RuleAttribute| match attribute {
        RuleAttribute::Table(table) => Some(TableId(*table)),
        _ => None,
    };
    let header = TableId(u32::from(message.header.table));
    message.attributes.iter().find_map(of).unwrap_or(header)
}

/// Where a rule goes on; one that goes nowhere stands at 0.
fn goes_to(message: &RuleMessage) -> RulePriority {
    let of = |attribute: &RuleAttribute| match attribute {
        RuleAttribute::Goto(priority) => Some(RulePriority(*priority)),
        _ => None,
    };
    message.attributes.iter().find_map(of).unwrap_or(RulePriority(0))
}

/// The kernel reports -1 where nothing is suppressed.
fn suppressed(message: &RuleMessage) -> Option<u32> {
    let of = |attribute: &RuleAttribute| match attribute {
        RuleAttribute::SuppressPrefixLen(length) => Some(*length),
        _ => None,
    };
    message.attributes.iter().find_map(of).filter(|length| *length != u32::MAX)
}

/// Whom a rule concerns, and whether there are conditions beside.
fn selector(message: &RuleMessage) -> (Selector, bool) {
    let header = &message.header;
    let mut selector = Selector {
        inverted: header.flags.contains(RuleFlags::Invert),
        tos: header.tos,
        ..Selector::default()
    };
    let (mut mark, mut mask, mut narrower) = (None, None, false);
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Source(addr) => selector.src = IpNet::new(*addr, header.src_len).ok(),
            RuleAttribute::Destination(addr) => {
                selector.dst = IpNet::new(*addr, header.dst_len).ok();
            }
            RuleAttribute::FwMark(value) => mark = Some(*value),
            RuleAttribute::FwMask(value) => mask = Some(*value),
            // A name that no interface can have fits none.
            RuleAttribute::Iifname(name) => {
                selector.iif = IfName::new(name);
                narrower |= selector.iif.is_none();
            }
            RuleAttribute::Oifname(name) => {
                selector.oif = IfName::new(name);
                narrower |= selector.oif.is_none();
            }
            RuleAttribute::UidRange(RuleUidRange { start, end }) => {
                selector.uids = Some((*start, *end));
            }
            RuleAttribute::IpProtocol(number) => selector.ip_proto = Some((*number).into()),
            RuleAttribute::SourcePortRange(range) => {
                selector.sports = Some((range.start, range.end));
            }
            RuleAttribute::DestinationPortRange(range) => {
                selector.dports = Some((range.start, range.end));
            }
            RuleAttribute::TunId(_)
            | RuleAttribute::L3MDev(_)
            | RuleAttribute::Realm(_)
            | RuleAttribute::SuppressIfGroup(_) => narrower = true,
            _ => {}
        }
    }
    selector.fwmark = match (mark, mask) {
        (None | Some(0), None | Some(0)) => None,
        (value, mask) => Some(Fwmark { value: value.unwrap_or(0), mask: mask.unwrap_or(u32::MAX) }),
    };
    (selector, narrower)
}

pub(super) fn family(family: AddressFamily) -> Option<Family> {
    match family {
        AddressFamily::Inet => Some(Family::V4),
        AddressFamily::Inet6 => Some(Family::V6),
        _ => None,
    }
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(addr) => Some((*addr).into()),
        RouteAddress::Inet6(addr) => Some((*addr).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::address::AddressHeader;

    use super::*;
    use crate::io::netlink::attrs::Attrs;

    #[test]
    fn a_link_has_other_names_as_far_as_they_can_be_written() {
        let list = Attrs::new()
            .text(libc::IFLA_ALT_IFNAME, "cable0")
            .text(libc::IFLA_ALT_IFNAME, "enx001122334455")
            .text(libc::IFLA_ALT_IFNAME, "a-name-that-is-longer-than-any-device-has")
            .text(libc::IFLA_ALT_IFNAME, "");
        let all = Attrs::new().text(libc::IFLA_IFNAME, "eth1").nest(libc::IFLA_PROP_LIST, &list);
        let names = other_names(Attributes(all.as_bytes()));
        assert_eq!(
            names.iter().map(IfName::as_str).collect::<Vec<_>>(),
            ["cable0", "enx001122334455"]
        );
        assert_eq!(other_names(Attributes(b"\x05")), []);
    }

    #[test]
    fn what_a_device_gave_itself_is_no_global_address() {
        let is_global = |ip: &str| {
            let mut message = AddressMessage::default();
            message.header = AddressHeader {
                index: 2,
                prefix_len: 16,
                scope: AddressScope::Universe,
                ..Default::default()
            };
            message.attributes.push(AddressAttribute::Local(ip.parse().unwrap()));
            address(&message).unwrap().0.global
        };
        assert!(is_global("192.168.1.2") && is_global("2001:db8::1") && is_global("169.253.0.1"));
        assert!(!is_global("169.254.7.8"));
    }
}
