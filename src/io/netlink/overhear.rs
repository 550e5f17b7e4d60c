//! Reads any bytes as if the kernel had sent them, for those who look whether some do harm. Each function tells how
//! much of them was understood.

use netlink_packet_route::rule::RuleMessage;
use nix::errno::Errno;

use super::conntrack::Entry;
use super::frame::{Frame, Frames, Part};
use super::kept::{Kept, is_worth_reading};
use super::message::Message;
use super::nfnl::{self, Attributes, Attrs};
use super::{addresses, decode, nft, notices, sock_diag, way, wifi};
use crate::engine::kernel::view::{KernelChange, KernelView};

pub use nft::overhear::{keys, rulesets};

/// What the monitor and the dumps read of rtnetlink, and what its neighbours are told: of sockets, of ways, of Wi-Fi.
#[must_use]
pub fn rtnetlink(bytes: &[u8]) -> usize {
    let mut known = Known::default();
    Frames(bytes).map(|frame| known.hear(frame)).sum()
}

/// What netfilter says of a refusal, and what its messages are about.
#[must_use]
pub fn refusals(bytes: &[u8]) -> usize {
    let attrs = Attrs::new().nest(4, &Attrs::new().nest(1, &Attrs::new().text(1, "masq")));
    let object = "rule 1".to_owned();
    let message = nfnl::Message { kind: 0x0a06, flags: 0, family: 1, version: 0, attrs, object };
    let mut read = 0;
    for frame in Frames(bytes) {
        let errno = match frame.part() {
            Part::End(errno) => errno.unwrap_or(Errno::ENOENT),
            Part::Content | Part::Noop => Errno::ENOENT,
        };
        read += usize::from(!nfnl::refusal(&message, errno, &frame).to_string().is_empty());
        read += usize::from(notices::is_rule(frame.kind) || notices::is_flowtable(frame.kind));
        read += usize::from(notices::concerns_our_table(frame.body));
    }
    read
}

/// What is read of the list of connections.
#[must_use]
pub fn conntrack(bytes: &[u8]) -> usize {
    let one = |frame: Frame<'_>| {
        let entry = Entry(nfnl::attributes(&frame));
        let counted = entry.bytes().count_ones() + entry.mark().count_ones();
        let told = [entry.identity().is_some(), entry.is_unanswered(), counted > 0];
        told.into_iter().map(usize::from).sum::<usize>() + usize::from(entry.flow().is_some())
    };
    Frames(bytes).map(one).sum()
}

/// What has been heard so far.
#[derive(Default)]
struct Known {
    view: KernelView,
    kept: Kept,
}

impl Known {
    fn hear(&mut self, frame: Frame<'_>) -> usize {
        let (words, offset) = frame.extended();
        let beside = [
            words.is_some() && offset.is_some(),
            wifi::ssid(frame.body).is_some(),
            wifi::joined(frame.body).is_some(),
            way::way(frame.body).is_some(),
            !sock_diag::is_at_rest(frame.body),
            sock_diag::cookie(frame.body).is_some(),
            Attributes(frame.body).count() > 0,
        ];
        let beside = usize::from(beside.contains(&true) && frame.is_ack());
        let Some(message) = Message::of(frame) else { return beside };
        beside + usize::from(self.take(message, frame.body).is_some())
    }

    /// As the monitor does it; `None` where a message says nothing.
    fn take(&mut self, message: Message, body: &[u8]) -> Option<()> {
        match message {
            Message::NewLink(m) => {
                decode::bytes(&m);
                self.view.apply(&KernelChange::Link(decode::link(&m)?));
            }
            Message::DelLink(m) => {
                let index = decode::link(&m)?.index;
                self.kept.lose_device(index);
                self.view.apply(&KernelChange::LinkGone(index));
            }
            Message::NewAddress(m) => {
                let (address, _) = decode::address(&m)?;
                if let addresses::Taken::In(out) = addresses::take(&self.view.addresses, &address) {
                    out.iter().for_each(|out| self.view.apply(&KernelChange::AddressGone(*out)));
                    self.view.apply(&KernelChange::Address(address));
                }
            }
            Message::DelAddress(m) => {
                self.view.apply(&KernelChange::AddressGone(decode::address(&m)?.0));
            }
            Message::NewRoute(m) => {
                let route = decode::route(&m)?;
                route.ours();
                decode::route_device(&m);
                for route in route.foreign().filter(|_| is_worth_reading(body)) {
                    self.kept.take(route);
                    self.kept.beside(&route).count();
                }
            }
            Message::DelRoute(m) => {
                let route = decode::route(&m)?;
                route.foreign().for_each(|gone| _ = self.kept.lose(&gone));
            }
            Message::NewRule(m) | Message::DelRule(m) => return rule(&m),
            Message::GetLink(_)
            | Message::GetAddress(_)
            | Message::GetRoute(_)
            | Message::GetRule(_) => return None,
        }
        Some(())
    }
}

fn rule(message: &RuleMessage) -> Option<()> {
    decode::rule_owner(message);
    let ours = decode::rule(message).map(|_| ());
    ours.or_else(|| decode::foreign_rule(message).map(|_| ()))
}
