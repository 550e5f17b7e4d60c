//! Everything the kernel has, asked for at one moment.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};
use nix::errno::Errno;
use tokio::time::Instant;

use super::addresses::{self, Taken};
use super::decode::{self, RawRoute};
use super::family;
use super::frame::Frame;
use super::hardware::Devices;
use super::kept::{Kept, is_worth_reading};
use super::message::{LinkMessage, Message};
use super::rules;
use super::talk::{Error, Talk};
use crate::engine::dataplane::Route;
use crate::engine::kernel::view::{Address, Hardware, KernelChange, KernelView, Link};
use crate::units::{Family, IfIndex, TableId};

/// Links and usable addresses, sorted, and rules of others. Routes are asked for by themselves, see [`kept`].
pub(super) async fn view(talk: &mut Talk, devices: &mut Devices) -> Result<KernelView, Error> {
    let mut links = links(talk).await?;
    devices.keep(|index| links.contains_key(&index));
    for link in links.values_mut() {
        let known = devices.hardware(&link.name, link.index);
        link.hardware = Hardware { other_names: link.hardware.other_names.clone(), ..known };
    }
    let addresses = own(talk).await?;
    let rules = rules::that_matter(talk).await?;
    Ok(KernelView { links, addresses, rules, ..KernelView::default() })
}

async fn links(talk: &mut Talk) -> Result<BTreeMap<IfIndex, Link>, Error> {
    // One message after the other: all at once, those of a thousand interfaces are megabytes.
    let take = |links: &mut BTreeMap<IfIndex, Link>, frame: Frame<'_>| {
        if let Some(Message::NewLink(message)) = Message::of(frame) {
            links.extend(decode::link(&message).map(|link| (link.index, link)));
        }
    };
    talk.dump_into(&Message::GetLink(LinkMessage::all()), take).await
}

async fn own(talk: &mut Talk) -> Result<Vec<Address>, Error> {
    let take = |view: &mut KernelView, frame: Frame<'_>| {
        let Some(Message::NewAddress(message)) = Message::of(frame) else { return };
        let Some((address, true)) = decode::address(&message) else { return };
        let Taken::In(out) = addresses::take(&view.addresses, &address) else { return };
        out.iter().for_each(|out| view.apply(&KernelChange::AddressGone(*out)));
        view.apply(&KernelChange::Address(address));
    };
    let view = talk.dump_into(&Message::GetAddress(AddressMessage::default()), take).await?;
    Ok(view.addresses)
}

/// Other people's routes, as far as they can matter.
pub(super) async fn kept(talk: &mut Talk) -> Result<Kept, Error> {
    let mut kept = Kept::default();
    for family in Family::BOTH {
        let take = move |kept: &mut Kept, frame: Frame<'_>| {
            let route = worth_reading(frame, family);
            route.iter().flat_map(RawRoute::foreign).for_each(|route| _ = kept.take(route));
        };
        kept.join(talk.dump_into(&routes_of(family, None), take).await?);
    }
    Ok(kept)
}

/// What is read of a route message of this family. A kernel without IPv6 answers with the routes of
/// every family it has.
fn worth_reading(frame: Frame<'_>, family: Family) -> Option<RawRoute> {
    let Message::NewRoute(message) = is_worth_reading(frame.body).then(|| Message::of(frame))??
    else {
        return None;
    };
    decode::route(&message).filter(|route| route.family == family)
}

fn routes_of(family: Family, table: Option<TableId>) -> Message {
    let mut question = RouteMessage::default();
    question.header.address_family = family::of(family);
    question.attributes.extend(table.map(|table| RouteAttribute::Table(table.0)));
    Message::GetRoute(question)
}

/// The routes of ours, in the kernel of others.
#[derive(Debug, Default)]
pub(super) struct Ours {
    /// When everything was last looked through.
    whole_at: Option<Instant>,
    /// This many routes of others were passed over then.
    others: usize,
}

/// To look through more than this takes longer than a change should wait …
const MANY: usize = 1000;
/// … so the whole is looked through this often; only then something of ours outside our own tables is
/// found. A little less than the engine's audits are apart.
const WHOLE_EVERY: Duration = Duration::from_secs(25);

/// Routes of ours, and how many of others were passed over.
#[derive(Default)]
struct Found {
    ours: BTreeSet<Route>,
    others: usize,
}

/// How thoroughly to look for what is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// In our own tables: something is to be changed, and does not wait.
    Quick,
    /// Through all routes, unless there are many and it was done just now.
    Thorough,
}

impl Ours {
    /// Every route of ours of both families; where only our own tables are looked into, these.
    pub(super) async fn look(
        &mut self,
        talk: &mut Talk,
        tables: &BTreeSet<TableId>,
        look: Look,
    ) -> Result<BTreeSet<Route>, Error> {
        let whole = self.whole_at.is_none_or(|at| {
            let due = self.others <= MANY || at.elapsed() >= WHOLE_EVERY;
            look == Look::Thorough && due
        });
        let tables: Vec<Option<TableId>> =
            if whole { vec![None] } else { tables.iter().copied().map(Some).collect() };
        let mut found = Found::default();
        for family in Family::BOTH {
            let take = move |found: &mut Found, frame: Frame<'_>| match worth_reading(frame, family)
                .and_then(|route| route.ours())
            {
                Some(route) => _ = found.ours.insert(route),
                None => found.others += 1,
            };
            for table in &tables {
                let part = match talk.dump_into(&routes_of(family, *table), take).await {
                    // There is no such table yet.
                    Err(error) if error.errno() == Some(Errno::ENOENT) => Found::default(),
                    part => part?,
                };
                found.ours.extend(part.ours);
                found.others += part.others;
            }
        }
        if whole {
            self.others = found.others;
            self.whole_at = Some(Instant::now());
        }
        Ok(found.ours)
    }
}

/// Which interface the kernel would send a packet out of, were it marked so.
pub(super) async fn lookup(talk: &mut Talk, to: IpAddr, mark: u32) -> Result<IfIndex, Error> {
    let mut question = RouteMessage::default();
    question.header.address_family = family::of(Family::of(&to));
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
