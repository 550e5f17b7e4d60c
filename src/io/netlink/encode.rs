//! The engine's routes and rules as rtnetlink messages. Pure functions.

use std::net::IpAddr;

use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteMetric, RouteNextHopFlags,
    RouteProtocol, RouteScope, RouteType, RouteVia,
};
use netlink_packet_route::rule::{
    RuleAction, RuleAttribute, RuleFlags, RuleMessage, RulePortRange, RuleUidRange,
};

use super::family;
use super::message::Message;
use crate::engine::dataplane::{Route, Rule, RuleAction as Then};
use crate::engine::kernel::rule::Selector;
use crate::units::{Family, IfIndex, IfName, PROTOCOL};

/// A route of ours to be added or to replace its namesake.
pub(super) fn add_route(route: &Route) -> RouteMessage {
    let mut message = route_message(route);
    message.header.protocol = RouteProtocol::Other(PROTOCOL);
    message.header.kind = RouteType::Unicast;
    // A destination on the link itself has the link's scope (ip-route(8)).
    let on_link = route.via.is_none() && route.family == Family::V4;
    message.header.scope = if on_link { RouteScope::Link } else { RouteScope::Universe };
    if route.onlink {
        message.header.flags |=
            RouteFlags::from_bits_retain(u32::from(RouteNextHopFlags::Onlink.bits()));
    }
    let mtu = route.mtu.map(|mtu| RouteAttribute::Metrics(vec![RouteMetric::Mtu(mtu)]));
    message.attributes.extend(mtu);
    let source = route.prefsrc.map(|source| RouteAttribute::PrefSource(RouteAddress::from(source)));
    message.attributes.extend(source);
    message
}

/// The order to remove a route of ours.
pub(super) fn del_route(route: &Route) -> Message {
    let mut message = route_message(route);
    // Elsewhere only our own are ours; in our tables everything is.
    if !route.table.is_ours() {
        message.header.protocol = RouteProtocol::Other(PROTOCOL);
    }
    message.header.scope = RouteScope::NoWhere;
    Message::DelRoute(message)
}

/// What names a route. The table stands in an attribute: its number does not fit the header.
fn route_message(route: &Route) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family::of(route.family);
    message.header.destination_prefix_length = route.dst.prefix_len();
    let attributes = &mut message.attributes;
    attributes.push(RouteAttribute::Table(route.table.0));
    attributes.push(RouteAttribute::Priority(route.metric.0));
    if route.dst.prefix_len() > 0 {
        attributes.push(RouteAttribute::Destination(RouteAddress::from(route.dst.network())));
    }
    if route.dev != IfIndex(0) {
        attributes.push(RouteAttribute::Oif(route.dev.0));
    }
    attributes.extend(route.via.map(|via| match (route.family, via) {
        // An IPv4 route by way of an IPv6 neighbour (RFC 5549).
        (Family::V4, IpAddr::V6(via)) => RouteAttribute::Via(RouteVia::Inet6(via)),
        _ => RouteAttribute::Gateway(RouteAddress::from(via)),
    }));
    message
}

/// A rule of ours, to be added or removed.
pub(super) fn rule_message(rule: &Rule) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = family::of(rule.family);
    match rule.then {
        Then::LookUp(table) => {
            message.header.action = RuleAction::ToTable;
            message.attributes.push(RuleAttribute::Table(table.0));
        }
        Then::GoTo(priority) => {
            message.header.action = RuleAction::Goto;
            message.attributes.push(RuleAttribute::Goto(priority.0));
        }
        Then::Prohibit => message.header.action = RuleAction::Prohibit,
    }
    let attributes = &mut message.attributes;
    attributes.push(RuleAttribute::Priority(rule.priority.0));
    attributes.push(RuleAttribute::Protocol(RouteProtocol::Other(PROTOCOL)));
    attributes.extend(rule.suppress_prefixlength.map(RuleAttribute::SuppressPrefixLen));
    select(&rule.selector, &mut message);
    message
}

/// Whom a rule concerns.
fn select(selector: &Selector, message: &mut RuleMessage) {
    if selector.inverted {
        message.header.flags = RuleFlags::Invert;
    }
    message.header.tos = selector.tos;
    let attributes = &mut message.attributes;
    if let Some(net) = selector.src {
        message.header.src_len = net.prefix_len();
        attributes.push(RuleAttribute::Source(net.addr()));
    }
    if let Some(net) = selector.dst {
        message.header.dst_len = net.prefix_len();
        attributes.push(RuleAttribute::Destination(net.addr()));
    }
    if let Some(mark) = selector.fwmark {
        attributes.push(RuleAttribute::FwMark(mark.value));
        attributes.push(RuleAttribute::FwMask(mark.mask));
    }
    let name = |dev: &IfName| dev.as_str().to_owned();
    attributes.extend(selector.iif.as_ref().map(name).map(RuleAttribute::Iifname));
    attributes.extend(selector.oif.as_ref().map(name).map(RuleAttribute::Oifname));
    attributes.extend(
        selector.uids.map(|(start, end)| RuleAttribute::UidRange(RuleUidRange { start, end })),
    );
    attributes.extend(selector.ip_proto.map(|n| RuleAttribute::IpProtocol(n.into())));
    let range = |(start, end)| RulePortRange { start, end };
    attributes.extend(selector.sports.map(range).map(RuleAttribute::SourcePortRange));
    attributes.extend(selector.dports.map(range).map(RuleAttribute::DestinationPortRange));
}
