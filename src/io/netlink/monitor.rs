//! Watches links, addresses, routes, rules and nftables as the kernel changes them.
//!
//! Of routes only those are told that can matter, see [`Kept`]: the kernel does not even
//! wake us for the others.
//!
//! The monitor keeps its own copy of the view, for three things that the kernel's messages do not
//! say: what a replaced route replaced, what went silently (IPv4 routes of a link that was taken
//! down or of an address that was removed), and whether a message changes anything at all.

use std::future::poll_fn;
use std::io;
use std::mem;
use std::task::Poll;
use std::time::Duration;

use netlink_packet_core::NLM_F_REPLACE;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::route::RouteMessage;
use netlink_packet_route::rule::RuleMessage;
use netlink_sys::{AsyncSocket, TokioSocket};
use nix::errno::Errno;
use nix::libc;
use socket2::SockRef;
use tokio::time::Instant;

use super::frame::{Frame, Frames};
use super::hardware::Devices;
use super::kept::{Kept, Taken};
use super::message::{LinkMessage, Message};
use super::notices::{Firewall, concerns_our_table, is_flowtable, is_rule};
use super::talk::{DATAGRAM, Error, Talk};
use super::{addresses, decode, dump, kept, rules, subscribe};
use crate::engine::kernel::view::{
    ForeignRoute, Hardware, KernelChange, KernelView, Touched, same_route,
};
use crate::units::PROTOCOL;

/// After so long without a message the kernel has finished what it was doing, and a dump shows it.
/// A link that goes down is announced before its routes are flushed.
const QUIET: Duration = Duration::from_millis(20);

/// If it never gets quiet, the dump is made nevertheless.
const QUIET_AT_MOST: Duration = Duration::from_millis(500);

/// After a dump failed (out of memory; nothing else is known to do it).
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// This many datagrams are read before the changes among them are handed out …
const DRAIN: usize = 512;
/// … and this many changes at a time.
const AT_ONCE: usize = 256;

/// Where a route is gone and others of its interface had been left out, one of those may matter now. They
/// are looked for after this.
const REFILL: Duration = Duration::from_secs(2);

/// `RTM_NEWNEXTHOP` and `RTM_DELNEXTHOP` (linux/rtnetlink.h).
const NEW_NEXTHOP: u16 = 104;
const DEL_NEXTHOP: u16 = 105;

/// What the monitor has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// These things changed, in this order.
    Changes(Vec<KernelChange>),
    /// Messages were lost, or the kernel changes things without saying so: this is all there is.
    View(KernelView),
}

/// Subscriptions to the kernel's messages.
pub struct Monitor {
    routes: TokioSocket,
    /// Without nftables in the kernel, or without the permission to listen, there is none.
    nftables: Option<TokioSocket>,
    talk: Talk,
    buffer: Vec<u8>,
    /// But for its routes.
    mirror: KernelView,
    kept: Kept,
    devices: Devices,
    pending: Vec<KernelChange>,
    resync: Option<Resync>,
    refill_at: Option<Instant>,
    /// Rules of others changed, and are read again then.
    rules_at: Option<Instant>,
    /// When it is told that somebody's firewall has changed.
    firewall: Firewall,
}

/// Which subscription a message came by.
#[derive(Clone, Copy)]
enum Source {
    Routes,
    Nftables,
}

/// A dump that is due.
#[derive(Clone, Copy)]
struct Resync {
    since: Instant,
    /// Messages were lost, so that those still queued tell a story with holes.
    lost: bool,
}

impl Monitor {
    /// Subscribes, then asks for everything there is.
    ///
    /// # Errors
    ///
    /// When the kernel refuses either.
    pub async fn open() -> Result<(Self, KernelView), Error> {
        Self::open_with_buffer(subscribe::RCVBUF).await
    }

    /// The same with a receive buffer of this many bytes, to see it overflow.
    ///
    /// # Errors
    ///
    /// When the kernel refuses either.
    pub async fn open_with_buffer(bytes: usize) -> Result<(Self, KernelView), Error> {
        let routes = subscribe::routes(bytes).map_err(Error::Open)?;
        let nftables = subscribe::nftables(bytes)
            .inspect_err(|error| tracing::debug!(%error, "nftables cannot be watched"))
            .ok();
        // Without it the messages are passed over one by one.
        if let Err(error) = SockRef::from(routes.socket_ref()).attach_filter(&kept::filter()) {
            tracing::debug!(%error, "the kernel tells of every route");
        }
        let mut this = Self {
            routes,
            nftables,
            talk: Talk::open()?,
            buffer: Vec::with_capacity(DATAGRAM),
            mirror: KernelView::default(),
            kept: Kept::default(),
            devices: Devices::default(),
            pending: Vec::new(),
            resync: None,
            refill_at: None,
            rules_at: None,
            firewall: Firewall::default(),
        };
        let view = this.look().await?;
        Ok((this, view))
    }

    async fn look(&mut self) -> Result<KernelView, Error> {
        let mirror = dump::view(&mut self.talk, &mut self.devices).await?;
        self.kept = dump::kept(&mut self.talk).await?;
        self.mirror = mirror;
        Ok(KernelView { routes: self.kept.to_vec(), ..self.mirror.clone() })
    }

    /// Waits for the next thing to tell. May be dropped while it waits: nothing is lost.
    pub async fn next(&mut self) -> Event {
        loop {
            if !self.pending.is_empty() {
                let rest = self.pending.split_off(self.pending.len().min(AT_ONCE));
                return Event::Changes(mem::replace(&mut self.pending, rest));
            }
            let Some(resync) = self.resync else {
                match [self.refill_at, self.rules_at, self.firewall.due()]
                    .into_iter()
                    .flatten()
                    .min()
                {
                    None => self.receive().await,
                    Some(at) if at <= Instant::now() => self.look_closer(at).await,
                    Some(at) => drop(tokio::time::timeout_at(at, self.receive()).await),
                }
                continue;
            };
            let quiet = QUIET.min(QUIET_AT_MOST.saturating_sub(resync.since.elapsed()));
            if tokio::time::timeout(quiet, self.receive()).await.is_ok() && !quiet.is_zero() {
                continue;
            }
            match self.look().await {
                Ok(view) => {
                    self.resync = None;
                    self.refill_at = None;
                    self.rules_at = None;
                    return Event::View(view);
                }
                Err(error) => {
                    tracing::warn!(%error, "the kernel's state could not be read");
                    tokio::time::sleep(TRY_AGAIN).await;
                }
            }
        }
    }

    /// Makes the next event a view.
    pub fn resync(&mut self) {
        self.due();
    }

    /// Does what was put off until then.
    async fn look_closer(&mut self, at: Instant) {
        self.tell_of_firewall();
        if self.refill_at == Some(at) {
            self.due();
        }
        if self.rules_at != Some(at) {
            return;
        }
        match rules::that_matter(&mut self.talk).await {
            Ok(rules) => {
                self.rules_at = None;
                self.note(KernelChange::Rules(rules));
            }
            Err(error) => {
                tracing::warn!(%error, "the rules of others could not be read");
                self.rules_at = Some(Instant::now() + TRY_AGAIN);
            }
        }
    }

    fn due(&mut self) {
        self.resync.get_or_insert(Resync { since: Instant::now(), lost: false });
    }

    /// Waits for messages and takes in what is queued by then. Between the first datagram's
    /// arrival and its being taken in there is no point at which this could be dropped.
    async fn receive(&mut self) {
        let Self { routes, nftables, buffer, .. } = self;
        buffer.clear();
        let (source, result) = poll_fn(|cx| {
            if let Poll::Ready(result) = routes.poll_recv(cx, buffer) {
                return Poll::Ready((Source::Routes, result));
            }
            match nftables.as_ref().map(|socket| socket.poll_recv(cx, buffer)) {
                Some(Poll::Ready(result)) => Poll::Ready((Source::Nftables, result)),
                Some(Poll::Pending) | None => Poll::Pending,
            }
        })
        .await;
        self.take(source, result);
        for _ in 0..DRAIN {
            self.buffer.clear();
            let socket = match source {
                Source::Routes => Some(&self.routes),
                Source::Nftables => self.nftables.as_ref(),
            };
            let Some(socket) = socket else { return };
            match socket.socket_ref().recv(&mut self.buffer, 0) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                result => self.take(source, result.map(|_| ())),
            }
        }
    }

    fn take(&mut self, source: Source, result: io::Result<()>) {
        let buffer = mem::take(&mut self.buffer);
        match (source, result) {
            (Source::Nftables, Ok(())) => {
                if Frames(&buffer).any(|m| concerns_our_table(m.body) || is_flowtable(m.kind)) {
                    self.touched(Touched::Nftables);
                }
                if Frames(&buffer).any(|m| is_rule(m.kind) && !concerns_our_table(m.body)) {
                    self.firewall.changed(Instant::now());
                    self.tell_of_firewall();
                }
            }
            (Source::Routes, Ok(())) => Frames(&buffer).for_each(|message| {
                if message.kind == libc::RTM_NEWNETCONF {
                    self.touched(Touched::Sysctls);
                } else if changes_routes_silently(&message) {
                    self.due();
                } else {
                    self.route_message(message);
                }
            }),
            (Source::Nftables, Err(_)) => self.touched(Touched::Nftables),
            (Source::Routes, Err(error)) => {
                if error.raw_os_error() != Some(Errno::ENOBUFS as i32) {
                    tracing::warn!(%error, "the netlink subscription failed");
                }
                self.due();
                self.resync.iter_mut().for_each(|resync| resync.lost = true);
                self.touched(Touched::Routes);
                self.touched(Touched::Rules);
            }
        }
        self.buffer = buffer;
    }

    fn route_message(&mut self, frame: Frame<'_>) {
        let about_a_route = matches!(frame.kind, libc::RTM_NEWROUTE | libc::RTM_DELROUTE);
        if about_a_route && !kept::is_worth_reading(frame.body) {
            return;
        }
        let Some(inner) = Message::of(frame) else {
            return;
        };
        match inner {
            Message::NewLink(m) => self.new_link(&m),
            Message::DelLink(m) => self.del_link(&m),
            Message::NewAddress(m) => self.new_address(&m),
            Message::DelAddress(m) => self.del_address(&m),
            Message::NewRoute(m) => self.new_route(&m, frame.flags),
            Message::DelRoute(m) => self.del_route(&m),
            Message::NewRule(m) | Message::DelRule(m) => self.rule(&m),
            // Questions are for the kernel.
            Message::GetLink(_)
            | Message::GetAddress(_)
            | Message::GetRoute(_)
            | Message::GetRule(_) => {}
        }
    }

    fn new_link(&mut self, message: &LinkMessage) {
        let Some(mut link) = decode::link(message) else {
            return;
        };
        let known = self.devices.hardware(&link.name, link.index);
        link.hardware = Hardware { other_names: link.hardware.other_names.clone(), ..known };
        let before = self.mirror.links.get(&link.index);
        if before.is_some_and(|before| before.up != link.up) {
            self.due();
        }
        self.note(KernelChange::Link(link));
    }

    fn del_link(&mut self, message: &LinkMessage) {
        let Some(link) = decode::link(message) else {
            return;
        };
        self.devices.forget(link.index);
        self.note(KernelChange::LinkGone(link.index));
    }

    fn new_address(&mut self, message: &AddressMessage) {
        let Some((address, usable)) = decode::address(message) else {
            return;
        };
        self.note(if usable {
            KernelChange::Address(address)
        } else {
            KernelChange::AddressGone(address)
        });
    }

    fn del_address(&mut self, message: &AddressMessage) {
        let Some((address, _)) = decode::address(message) else {
            return;
        };
        // Routes that preferred it as their source went with it, without a word.
        self.due();
        self.note(KernelChange::AddressGone(address));
    }

    /// `flags` are those of the message's header (`NLM_F_*`).
    fn new_route(&mut self, message: &RouteMessage, flags: u16) {
        let Some(route) = decode::route(message) else {
            return;
        };
        if route.is_ours() {
            return self.touched(Touched::Routes);
        }
        let new: Vec<_> = route.foreign().collect();
        let replaces = flags & NLM_F_REPLACE != 0;
        if let Some(first) = new.first().filter(|_| replaces).copied() {
            let of_the_same_key = self.kept.beside(&first).filter(|old| {
                old.metric == route.metric && !new.iter().any(|new| same_route(old, new))
            });
            let old: Vec<ForeignRoute> = of_the_same_key.copied().collect();
            // Of several with one key the kernel replaces one, and does not say which.
            if old.len() > 1 {
                self.due();
            }
            old.into_iter().for_each(|old| self.note(KernelChange::RouteGone(old)));
        }
        new.into_iter().for_each(|new| self.note(KernelChange::Route(new)));
    }

    fn del_route(&mut self, message: &RouteMessage) {
        let Some(route) = decode::route(message) else {
            return;
        };
        if route.is_ours() {
            return self.touched(Touched::Routes);
        }
        let gone: Vec<_> = route.foreign().collect();
        gone.into_iter().for_each(|gone| self.note(KernelChange::RouteGone(gone)));
    }

    fn rule(&mut self, message: &RuleMessage) {
        let (protocol, _) = decode::rule_owner(message);
        if protocol == PROTOCOL {
            return self.touched(Touched::Rules);
        }
        self.rules_at.get_or_insert_with(|| Instant::now() + rules::SETTLE);
    }

    fn touched(&mut self, what: Touched) {
        let change = KernelChange::Ours(what);
        if !self.pending.contains(&change) {
            self.pending.push(change);
        }
    }

    /// Tells that somebody's firewall has changed, when it is time.
    fn tell_of_firewall(&mut self) {
        if self.firewall.is_to_be_told(Instant::now()) {
            self.pending.push(KernelChange::Firewall);
        }
    }

    /// Hands a change out if it is one.
    fn note(&mut self, change: KernelChange) {
        if self.resync.is_some_and(|resync| resync.lost) || !self.is_news(&change) {
            return;
        }
        self.mirror.apply(&change);
        self.pending.push(change);
    }

    /// Whether a change changes anything; routes are taken in at once.
    fn is_news(&mut self, change: &KernelChange) -> bool {
        let mirror = &self.mirror;
        match change {
            KernelChange::Link(link) => mirror.links.get(&link.index) != Some(link),
            KernelChange::LinkGone(index) => {
                self.kept.lose_device(*index);
                mirror.links.contains_key(index)
            }
            KernelChange::Address(address) => {
                if mirror.addresses.binary_search(address).is_ok() {
                    return false;
                }
                let addresses::Taken::In(out) = addresses::take(&mirror.addresses, address) else {
                    return false;
                };
                if let Some(gone) = out.map(KernelChange::AddressGone) {
                    self.mirror.apply(&gone);
                    self.pending.push(gone);
                }
                true
            }
            KernelChange::AddressGone(gone) => mirror.has_address(gone),
            KernelChange::Route(route) => match self.kept.take(*route) {
                Taken::No => false,
                Taken::Kept(out) => {
                    self.pending.extend(out.map(KernelChange::RouteGone));
                    true
                }
            },
            KernelChange::RouteGone(gone) => {
                let was_there = self.kept.lose(gone);
                if was_there && self.kept.has_room_for_more(gone.dev, gone.family()) {
                    self.refill_at.get_or_insert_with(|| Instant::now() + REFILL);
                }
                was_there
            }
            KernelChange::Rules(rules) => mirror.rules != *rules,
            KernelChange::Ours(_) | KernelChange::Firewall => true,
        }
    }
}

impl std::fmt::Debug for Monitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Monitor").field("pending", &self.pending).finish_non_exhaustive()
    }
}

/// Whether a next hop that is an object of its own is gone, or another: what becomes of the routes that
/// name it is not told.
fn changes_routes_silently(message: &Frame<'_>) -> bool {
    let replaced = message.flags & NLM_F_REPLACE != 0;
    message.kind == DEL_NEXTHOP || (message.kind == NEW_NEXTHOP && replaced)
}
