//! Everything the kernel has, asked for at one moment.

use std::collections::BTreeMap;
use std::net::IpAddr;

use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};
use netlink_packet_route::rule::RuleMessage;

use super::decode;
use super::hardware::Devices;
use super::message::{LinkMessage, Message};
use super::talk::{Error, Talk};
use crate::engine::dataplane::Rule;
use crate::engine::kernel::view::{Address, Hardware, KernelView, Link};
use crate::units::{Family, Gather as _, IfIndex};

/// Links, usable addresses and other people's routes, each sorted.
pub(super) async fn view(talk: &mut Talk, devices: &mut Devices) -> Result<KernelView, Error> {
    let mut links = links(talk).await?;
    devices.keep(|index| links.contains_key(&index));
    for link in links.values_mut() {
        let known = devices.hardware(&link.name, link.index);
        link.hardware = Hardware { other_names: link.hardware.other_names.clone(), ..known };
    }
    let addresses = addresses(talk).await?;
    let mut foreign: Vec<_> =
        routes(talk).await?.iter().flat_map(decode::RawRoute::foreign).collect();
    foreign.sort_unstable();
    foreign.dedup();
    Ok(KernelView { links, addresses, routes: foreign })
}

async fn links(talk: &mut Talk) -> Result<BTreeMap<IfIndex, Link>, Error> {
    let answer = talk.dump(&Message::GetLink(LinkMessage::all())).await?;
    let links = answer.iter().filter_map(|message| {
        if let Message::NewLink(message) = message { decode::link(message) } else { None }
    });
    Ok(links.map(|link| (link.index, link)).gather())
}

async fn addresses(talk: &mut Talk) -> Result<Vec<Address>, Error> {
    let answer = talk.dump(&Message::GetAddress(AddressMessage::default())).await?;
    let all = answer.iter().filter_map(|message| {
        if let Message::NewAddress(message) = message { decode::address(message) } else { None }
    });
    let mut usable: Vec<_> =
        all.filter(|(_, usable)| *usable).map(|(address, _)| address).collect();
    usable.sort_unstable();
    Ok(usable)
}

/// Every route of both families, whoever made it.
pub(super) async fn routes(talk: &mut Talk) -> Result<Vec<decode::RawRoute>, Error> {
    let mut routes = Vec::new();
    for family in Family::BOTH {
        let mut question = RouteMessage::default();
        question.header.address_family = address_family(family);
        let answer = talk.dump(&Message::GetRoute(question)).await?;
        let all = answer.iter().filter_map(|message| {
            if let Message::NewRoute(message) = message { decode::route(message) } else { None }
        });
        // A kernel without IPv6 answers with the routes of every family it has.
        routes.extend(all.filter(|route| route.family == family));
    }
    Ok(routes)
}

/// Every rule of ours, of both families.
pub(super) async fn rules(talk: &mut Talk) -> Result<Vec<Rule>, Error> {
    let mut rules = Vec::new();
    for family in Family::BOTH {
        let mut question = RuleMessage::default();
        question.header.family = address_family(family);
        let answer = talk.dump(&Message::GetRule(question)).await?;
        let ours = answer.iter().filter_map(|message| {
            if let Message::NewRule(message) = message { decode::rule(message) } else { None }
        });
        rules.extend(ours.filter(|rule| rule.family == family));
    }
    Ok(rules)
}

/// Which interface the kernel would send a packet out of, were it marked so.
pub(super) async fn lookup(talk: &mut Talk, to: IpAddr, mark: u32) -> Result<IfIndex, Error> {
    let mut question = RouteMessage::default();
    question.header.address_family = address_family(Family::of(&to));
    question.header.destination_prefix_length = if to.is_ipv4() { 32 } else { 128 };
    question.attributes.push(RouteAttribute::Destination(RouteAddress::from(to)));
    question.attributes.push(RouteAttribute::Mark(mark));
    let answer = talk.get(&Message::GetRoute(question)).await?;
    let Message::NewRoute(message) = answer else {
        return Err(Error::Strange);
    };
    decode::route_device(&message).ok_or(Error::Strange)
}

/// Bytes received and sent by one interface since it was made (`IFLA_STATS64`).
pub(super) async fn stats(talk: &mut Talk, index: IfIndex) -> Result<(u64, u64), Error> {
    let question = Message::GetLink(LinkMessage::of(index.0));
    let Message::NewLink(message) = talk.get(&question).await? else {
        return Err(Error::Strange);
    };
    decode::bytes(&message).ok_or(Error::Strange)
}

pub(super) fn address_family(family: Family) -> AddressFamily {
    match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    }
}
