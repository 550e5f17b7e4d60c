//! The thread that tells people: what waits, what is on its way, and what comes next.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::answers::Answers;
use super::asks::{Ask, ToLoop, Wants, lock};
use super::beating::Beating;
use super::delivery::{deliver, kept, test_message};
use super::outbox::{self, Ending, Kept, Outbox};
use super::sessions::Sessions;
use crate::config::{NotifyConfig, Service};
use crate::engine::notify::queue::{Entry, Failure, Queue};
use crate::engine::notify::teller::Known;
use crate::engine::notify::{ChannelState, Message, Shown, Tested};
use crate::io::client::{Addresses, Reach};
use crate::io::{clock, disk, sys};
use crate::time::{Instant, Now, Utc};
use crate::units::Severity;

/// Below the state directory.
pub(super) const DIR: &str = "messages";
/// Where the servers' addresses are remembered, below that.
const ADDRESSES: &str = "addresses.json";
const MOST_ADDRESSES: u64 = 64 * 1024;
/// Names are looked up again so often, so that their addresses are known when no name resolves.
const LOOK_UP: Duration = Duration::from_secs(3600);
/// Where no uplink works for all that the agent knows, the Internet is tried all the same after so long.
const TRIED_ANYWAY: Duration = Duration::from_secs(30 * 60);
/// A disk that did not take something is tried again so often.
const TRY_DISK: Duration = Duration::from_secs(60);

/// One channel.
pub(super) struct Channel {
    pub(super) config: NotifyConfig,
    pub(super) queue: Queue,
    last: Option<Utc>,
}

/// How a delivery ended.
struct Done {
    channel: String,
    id: String,
    /// With the service's receipt, if it gives one.
    result: Result<Option<String>, Failure>,
}

/// All that the thread has.
pub(super) struct Office {
    pub(super) state_dir: PathBuf,
    pub(super) outbox: Outbox,
    pub(super) addresses: Addresses,
    known: BTreeMap<String, Vec<IpAddr>>,
    /// The status document that came with the latest message.
    pub(super) state: Value,
    pub(super) channels: BTreeMap<String, Channel>,
    sending: JoinSet<Done>,
    beating: Beating,
    pub(super) answers: Answers,
    pub(super) sessions: Sessions,
    pub(super) to_loop: ToLoop,
    disk_failed: bool,
    /// When it is tried again.
    try_disk_at: Instant,
    look_up_at: Instant,
}

impl Office {
    pub(super) fn new(
        channels: Vec<NotifyConfig>,
        state_dir: PathBuf,
        outbox: Outbox,
        to_loop: ToLoop,
    ) -> Self {
        let file = state_dir.join(DIR).join(ADDRESSES);
        let known = disk::read_own(&file, MOST_ADDRESSES).ok().flatten();
        let known = known.and_then(|text| serde_json::from_slice(&text).ok());
        let known: BTreeMap<_, _> = known.unwrap_or_default();
        let mut this = Self {
            sessions: Sessions::new(state_dir.clone()),
            state_dir,
            outbox,
            addresses: Addresses::new(known.clone()),
            known,
            state: Value::Null,
            channels: BTreeMap::new(),
            sending: JoinSet::new(),
            beating: Beating::default(),
            answers: Answers::default(),
            to_loop,
            disk_failed: false,
            try_disk_at: Instant::ZERO,
            look_up_at: clock::now().mono,
        };
        this.configure(channels);
        this
    }

    pub(super) async fn work(&mut self, mut asked: mpsc::Receiver<Ask>) {
        loop {
            self.escalate();
            self.ask_for_answers();
            self.send();
            self.show();
            let due = self.due();
            tokio::select! {
                ask = asked.recv() => match ask {
                    None => break,
                    Some(Ask::Tell(messages, known, state)) => {
                        self.state = state;
                        self.tell(messages, *known);
                    }
                    Some(Ask::Configure(channels)) => self.configure(channels),
                    Some(Ask::Test(channel, state, reply)) => {
                        self.state = state;
                        self.test(channel, reply);
                    }
                    Some(Ask::State(state)) => {
                        self.sessions.state(&state);
                        self.state = state;
                    }
                    Some(Ask::Beat(config, signs, state)) => {
                        self.beating.give(&config, signs, &state, &self.addresses);
                    }
                    Some(Ask::Acknowledge(what, reply)) => {
                        let done = self.acknowledge(&what);
                        self.show();
                        drop(reply.send(done));
                    }
                },
                Some(done) = self.sending.join_next() => match done {
                    Ok(done) => self.done(done),
                    // No task of ours is cancelled, and one that panics has told so.
                    Err(error) => tracing::debug!(%error, "a channel's task"),
                },
                () = self.beating.ended() => {}
                answer = self.answers.next() => self.answered(answer),
                (channel, news) = self.sessions.next() => self.hear(&channel, news),
                () = clock::sleep_until(due) => {}
            }
        }
        self.sessions.end().await;
    }

    /// When there is something to do although nothing happens.
    fn due(&self) -> Instant {
        let (now, minute) = (clock::now().mono, minute_of_day());
        let queues = self.channels.values().filter_map(|c| c.queue.deadline(now, minute));
        let disk = self.outbox.is_behind().then_some(self.try_disk_at);
        let alarms = self.escalates_at().into_iter().chain(self.asks_at());
        queues.chain([self.look_up_at]).chain(disk).chain(alarms).min().unwrap_or(now)
    }

    fn configure(&mut self, channels: Vec<NotifyConfig>) {
        let now = clock::now();
        let mut new = BTreeMap::new();
        for config in channels {
            let channel = match self.channels.remove(&config.name) {
                Some(old) if old.config == config => old,
                old => {
                    // How long ago each was sent is known as far as the clock is.
                    let ages = self.outbox.sent(&config.name).filter_map(|at| {
                        Some(Duration::from_millis(now.utc?.0.checked_sub(at.0)?))
                    });
                    let queue = Queue::new(&config.to, config.quiet);
                    let mut queue = queue.having_sent(ages, now.mono);
                    if let Some(old) = old.filter(|old| old.config.to.word() == config.to.word()) {
                        queue = queue.after(&old.queue);
                    }
                    for message in self.outbox.waiting(&config.name) {
                        drop(queue.push(entry(message, now), now.mono));
                    }
                    Channel { config, queue, last: None }
                }
            };
            new.insert(channel.config.name.clone(), channel);
        }
        self.channels = new;
        self.look_up_at = now.mono;
        let configs = self.channels.values().map(|channel| &channel.config);
        self.sessions.configure(configs, &self.addresses);
        self.to_loop.watched.store(!self.sessions.is_empty(), Ordering::Relaxed);
    }

    fn tell(&mut self, messages: Vec<Message>, known: Known) {
        let now = clock::now();
        let told = self.channels.iter().filter(|(_, c)| c.config.escalation.is_none());
        let mins: BTreeMap<String, Severity> =
            told.map(|(name, c)| (name.clone(), c.config.min)).collect();
        let boot = clock::boot();
        let new = |message| {
            let message: &Message = message;
            Kept { to: outbox::wanted(&mins, message.severity), ..kept(message, &boot, now) }
        };
        let mut kept: Vec<Kept> = messages.iter().map(new).collect();
        for message in &mut kept {
            self.raise(message, now);
        }
        let result = self.outbox.told(known, kept.clone());
        self.kept_on_disk(result);
        for message in kept {
            for name in &message.to {
                let Some(channel) = self.channels.get_mut(name) else { continue };
                let surplus = channel.queue.push(entry(&message, now), now.mono);
                if let Some(surplus) = surplus {
                    let result = self.outbox.done(name, &surplus.id, (Ending::GivenUp, None));
                    self.kept_on_disk(result);
                }
            }
        }
    }

    /// Says once that the disk does not take messages, and once that it does again.
    pub(super) fn kept_on_disk(&mut self, result: io::Result<()>) {
        if result.is_err() {
            self.try_disk_at = clock::now().mono + TRY_DISK;
        }
        match result {
            Ok(()) if std::mem::take(&mut self.disk_failed) => {
                tracing::info!("messages: kept on disk again");
            }
            Ok(()) => {}
            Err(error) if !std::mem::replace(&mut self.disk_failed, true) => {
                tracing::warn!("messages: kept in RAM only, until that can be written: {error}");
            }
            Err(error) => tracing::debug!(%error, "messages: still in RAM only"),
        }
    }

    /// Starts what may be sent now.
    fn send(&mut self) {
        let (now, minute) = (clock::now().mono, minute_of_day());
        if self.look_up_at <= now {
            self.look_up_at = now + LOOK_UP;
            self.look_up();
        }
        if self.outbox.is_behind() && self.try_disk_at <= now {
            let result = self.outbox.write_all();
            self.kept_on_disk(result);
        }
        self.remember_addresses();
        let mut given_up = Vec::new();
        let dark = self.outbox.known().dark_since();
        let hopeless = dark.is_some_and(|since| now.since(since) < TRIED_ANYWAY);
        let reach = if hopeless { Reach::Lan } else { Reach::Everywhere };
        let invitations = self.invitations();
        for (name, channel) in &mut self.channels {
            let gone = channel.queue.expire(now).into_iter();
            let gone = gone.chain(channel.queue.withhold(now, minute));
            given_up.extend(gone.map(|e| (name.clone(), e.id)));
            let Some(next) = channel.queue.next(now, minute) else { continue };
            let Some(mut message) = self.outbox.get(&next.id).cloned() else {
                // So many messages wait that it had to go.
                channel.queue.forget(&next.id);
                continue;
            };
            if let Some(invitation) = invitations.get(&message.story) {
                invitation.invite(&mut message);
            }
            message.withheld = channel.queue.withheld();
            let (name, config) = (name.clone(), channel.config.clone());
            let dir = self.state_dir.clone();
            let (addresses, state) = (self.addresses.clone(), self.state.clone());
            self.sending.spawn(async move {
                let result = deliver(&config, &dir, &message, &state, &addresses, reach).await;
                Done { channel: name, id: message.id, result }
            });
        }
        for (name, id) in given_up {
            let result = self.outbox.done(&name, &id, (Ending::GivenUp, None));
            self.kept_on_disk(result);
        }
    }

    fn done(&mut self, done: Done) {
        let now = clock::now();
        let Some(channel) = self.channels.get_mut(&done.channel) else { return };
        match done.result {
            Ok(receipt) => {
                channel.queue.delivered(&done.id, now.mono);
                channel.last = now.utc;
                self.can_be_asked(&done.channel, &done.id, receipt);
                let result =
                    self.outbox.done(&done.channel, &done.id, (Ending::Delivered, now.utc));
                self.kept_on_disk(result);
            }
            // Whatever a hook does wrong it would do wrong again, and the others twice.
            Err(failure) if matches!(channel.config.to, Service::Hooks { .. }) => {
                tracing::warn!("{}: {}", channel.config.to, failure.why);
                channel.queue.delivered(&done.id, now.mono);
                channel.queue.failing = Some(failure);
                channel.last = now.utc;
                let result =
                    self.outbox.done(&done.channel, &done.id, (Ending::Delivered, now.utc));
                self.kept_on_disk(result);
            }
            Err(failure) => {
                let news = channel.queue.failing.as_ref() != Some(&failure);
                if news {
                    tracing::warn!("{}: {}", channel.config.to, failure.why);
                }
                let may_have = now.utc.filter(|_| failure.unknown);
                if let Some(at) = may_have {
                    let result = self.outbox.spent(&done.channel, at);
                    self.kept_on_disk(result);
                }
                let Some(channel) = self.channels.get_mut(&done.channel) else { return };
                if channel.queue.failed(&done.id, failure, now.mono) {
                    let result = self.outbox.done(&done.channel, &done.id, (Ending::GivenUp, None));
                    self.kept_on_disk(result);
                }
            }
        }
    }

    /// Asks for every server's addresses, which are remembered.
    fn look_up(&self) {
        let servers: Vec<_> =
            self.channels.values().filter_map(|c| c.config.to.server().cloned()).collect();
        let addresses = self.addresses.clone();
        tokio::spawn(async move {
            for server in servers {
                drop(addresses.of(&server).await);
            }
        });
    }

    fn remember_addresses(&mut self) {
        let all = self.addresses.all();
        let waits = self.disk_failed && clock::now().mono < self.try_disk_at;
        if all == self.known || waits {
            return;
        }
        let file = self.state_dir.join(DIR).join(ADDRESSES);
        let written = || disk::replace_below(&file, &serde_json::to_vec(&all)?);
        let result = written();
        if result.is_ok() {
            self.known = all;
        }
        self.kept_on_disk(result);
    }

    pub(super) fn test(&self, channel: Option<String>, reply: oneshot::Sender<Vec<Tested>>) {
        let chosen = self
            .channels
            .values()
            .filter(|c| channel.as_ref().is_none_or(|name| *name == c.config.name));
        let tests: Vec<_> = chosen
            .map(|c| {
                let (config, dir) = (c.config.clone(), self.state_dir.clone());
                let (addresses, state) = (self.addresses.clone(), self.state.clone());
                async move {
                    let now = clock::now();
                    let test = test_message(&config.name, now);
                    let reach = Reach::Everywhere;
                    let result = deliver(&config, &dir, &test, &state, &addresses, reach).await;
                    let took = clock::now().mono.since(now.mono);
                    let result = result.map(|_| took).map_err(|failure| failure.why);
                    Tested { channel: config.to.to_string(), result }
                }
            })
            .collect();
        tokio::spawn(async move {
            drop(reply.send(futures_util::future::join_all(tests).await));
        });
    }

    fn show(&self) {
        let state = |c: &Channel| ChannelState {
            name: c.config.name.clone(),
            to: c.config.to.to_string(),
            waiting: c.queue.len(),
            last: c.last,
            failing: match &c.queue.failing {
                Some(failure) => Some(failure.why.clone()),
                None => self.sessions.failing(&c.config.name),
            },
            escalation: c.config.escalation.as_ref().map(|escalation| escalation.after),
        };
        let channels = self.channels.values().map(state).collect();
        let now = Shown { channels, alarm: self.alarm(), heartbeats: self.beating.shown() };
        let before = std::mem::replace(&mut *lock(&self.to_loop.shown), now.clone());
        if before != now {
            drop(self.to_loop.wishes.try_send(Wants::Look));
        }
    }
}

/// The minute of the day where people live, if the clock is set.
fn minute_of_day() -> Option<u16> {
    let at = sys::local_time(clock::now().utc?.0 / 1000)?;
    Some(u16::from(at.hour) * 60 + u16::from(at.minute))
}

/// A message in a queue. It grows old by the wall clock where that is known, over restarts and reboots too.
pub(super) fn entry(message: &Kept, now: Now) -> Entry {
    let (id, severity, digest) = (message.id.clone(), message.severity, message.digest);
    let age = message.at.as_deref().and_then(Utc::parse).zip(now.utc);
    let age = age.map_or(0, |(at, utc)| utc.0.saturating_sub(at.0));
    Entry { id, severity, made: now.mono - Duration::from_millis(age), digest }
}
