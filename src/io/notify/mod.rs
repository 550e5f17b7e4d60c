//! Tells people: messages are kept on disk, then sent by each channel in its own time. A thread of its own does
//! it, with a task for whatever a channel does at the moment: neither the loop nor another channel waits.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::config::{HeartbeatConfig, NotifyConfig, Service};
use crate::engine::notify::heartbeat::Heartbeat;
use crate::engine::notify::queue::{Entry, Failure, Queue};
use crate::engine::notify::teller::Known;
use crate::engine::notify::{Acknowledge, Acknowledged, ChannelState, Message, Shown, Tested};
use crate::io::{clock, disk, sys};
use crate::time::{Instant, Now, Utc};
use crate::units::Severity;

mod alarms;
mod beating;
mod delivery;
mod exec;
mod hilink;
mod hooks;
mod mail;
mod mqtt;
mod outbox;
mod post;
mod secrets;
mod services;
mod sms;
mod tls;

use beating::Beating;
use delivery::{deliver, kept, test_message};
pub use hooks::add_hooks;
use outbox::{Ending, Kept, Outbox};
use post::{Addresses, Reach};

/// Below the state directory.
const DIR: &str = "messages";
/// Where the servers' addresses are remembered, below that.
const ADDRESSES: &str = "addresses.json";
const MOST_ADDRESSES: u64 = 64 * 1024;
/// Names are looked up again so often, so that their addresses are known when no name resolves.
const LOOK_UP: Duration = Duration::from_secs(3600);
/// Where no uplink works for all that the agent knows, the Internet is tried all the same after so long.
const TRIED_ANYWAY: Duration = Duration::from_secs(30 * 60);
/// At the end the disk is waited for so long.
const LAST: Duration = Duration::from_secs(10);
/// A disk that did not take something is tried again so often.
const TRY_DISK: Duration = Duration::from_secs(60);
/// Messages that the loop may hand over before the thread takes them.
const QUEUE: usize = 256;

/// What is asked of the thread.
enum Ask {
    /// Messages, what has been told with them, and the status document.
    Tell(Vec<Message>, Box<Known>, Value),
    Configure(Vec<NotifyConfig>),
    Test(Option<String>, Value, oneshot::Sender<Vec<Tested>>),
    Acknowledge(Acknowledge, oneshot::Sender<Acknowledged>),
    /// Signs of life, with the status document as it is now.
    Beat(Box<HeartbeatConfig>, Vec<Heartbeat>, Value),
}

/// The way to the thread.
#[derive(Debug)]
pub struct Notifier {
    asks: mpsc::Sender<Ask>,
    /// Told when the thread has kept everything and ends.
    ended: oneshot::Receiver<()>,
    shown: Arc<Mutex<Shown>>,
}

impl Notifier {
    /// Takes up what waits, and starts the thread. What people had been told comes back with it.
    ///
    /// # Errors
    ///
    /// When the kernel gives no thread.
    pub fn start(channels: Vec<NotifyConfig>, state_dir: PathBuf) -> io::Result<(Self, Known)> {
        let outbox = Outbox::open(&state_dir.join(DIR), clock::boot());
        let known = outbox.known().clone();
        let (asks, asked) = mpsc::channel(QUEUE);
        let shown = Arc::new(Mutex::new(Shown::default()));
        let mut office = Office::new(channels, state_dir, outbox, shown.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (ends, ended) = oneshot::channel();
        std::thread::Builder::new().name("messages".to_owned()).spawn(move || {
            runtime.block_on(office.work(asked));
            let _ = ends.send(());
            // A look-up or a program that hangs is not waited for.
            runtime.shutdown_background();
        })?;
        Ok((Self { asks, ended, shown }, known))
    }

    /// Waits until what was handed over is kept, but not for ever.
    pub async fn end(self) {
        drop(self.asks);
        if tokio::time::timeout(LAST, self.ended).await.is_err() {
            tracing::warn!("the disk does not answer; messages of the last moments may be lost");
        }
    }

    /// Keeps messages and has them sent, with the status document as it is now.
    pub fn tell(&self, messages: Vec<Message>, known: Box<Known>, state: Value) {
        if self.asks.try_send(Ask::Tell(messages, known, state)).is_err() {
            tracing::warn!("the disk is so slow that a message is lost");
        }
    }

    /// Gives signs of life. One that is still on its way is not overtaken.
    pub fn beat(&self, config: HeartbeatConfig, signs: Vec<Heartbeat>, state: Value) {
        drop(self.asks.try_send(Ask::Beat(Box::new(config), signs, state)));
    }

    /// Other channels are in force.
    pub fn configure(&self, channels: Vec<NotifyConfig>) {
        drop(self.asks.try_send(Ask::Configure(channels)));
    }

    /// Sends a test to a channel or to all.
    pub fn test(&self, channel: Option<String>, state: Value) -> oneshot::Receiver<Vec<Tested>> {
        let (reply, tested) = oneshot::channel();
        drop(self.asks.try_send(Ask::Test(channel, state, reply)));
        tested
    }

    /// Somebody says that they have seen what is critical.
    pub fn acknowledge(&self, what: Acknowledge) -> oneshot::Receiver<Acknowledged> {
        let (reply, done) = oneshot::channel();
        drop(self.asks.try_send(Ask::Acknowledge(what, reply)));
        done
    }

    /// How it stands with each channel, and with what is critical.
    #[must_use]
    pub fn shown(&self) -> Shown {
        lock(&self.shown).clone()
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One channel.
struct Channel {
    config: NotifyConfig,
    queue: Queue,
    last: Option<Utc>,
}

/// How a delivery ended.
struct Done {
    channel: String,
    id: String,
    result: Result<(), Failure>,
}

/// All that the thread has.
struct Office {
    state_dir: PathBuf,
    outbox: Outbox,
    addresses: Addresses,
    known: BTreeMap<String, Vec<IpAddr>>,
    /// The status document that came with the latest message.
    state: Value,
    channels: BTreeMap<String, Channel>,
    sending: JoinSet<Done>,
    beating: Beating,
    shown: Arc<Mutex<Shown>>,
    disk_failed: bool,
    /// When it is tried again.
    try_disk_at: Instant,
    look_up_at: Instant,
}

impl Office {
    fn new(
        channels: Vec<NotifyConfig>,
        state_dir: PathBuf,
        outbox: Outbox,
        shown: Arc<Mutex<Shown>>,
    ) -> Self {
        let file = state_dir.join(DIR).join(ADDRESSES);
        let known = disk::read_own(&file, MOST_ADDRESSES).ok().flatten();
        let known = known.and_then(|text| serde_json::from_slice(&text).ok());
        let known: BTreeMap<_, _> = known.unwrap_or_default();
        let mut this = Self {
            state_dir,
            outbox,
            addresses: Addresses::new(known.clone()),
            known,
            state: Value::Null,
            channels: BTreeMap::new(),
            sending: JoinSet::new(),
            beating: Beating::default(),
            shown,
            disk_failed: false,
            try_disk_at: Instant::ZERO,
            look_up_at: clock::now().mono,
        };
        this.configure(channels);
        this
    }

    async fn work(&mut self, mut asked: mpsc::Receiver<Ask>) {
        loop {
            self.escalate();
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
                () = clock::sleep_until(due) => {}
            }
        }
    }

    /// When there is something to do although nothing happens.
    fn due(&self) -> Instant {
        let (now, minute) = (clock::now().mono, minute_of_day());
        let queues = self.channels.values().filter_map(|c| c.queue.deadline(now, minute));
        let disk = self.outbox.is_behind().then_some(self.try_disk_at);
        let next = self.escalates_at();
        queues.chain([self.look_up_at]).chain(disk).chain(next).min().unwrap_or(now)
    }

    fn configure(&mut self, channels: Vec<NotifyConfig>) {
        let now = clock::now();
        let mut new = BTreeMap::new();
        for config in channels {
            let channel = match self.channels.remove(&config.name) {
                Some(old) if old.config == config => old,
                old => {
                    let mut queue = Queue::new(&config.to, config.quiet);
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
                    let result = self.outbox.done(name, &surplus.id, Ending::GivenUp);
                    self.kept_on_disk(result);
                }
            }
        }
    }

    /// Says once that the disk does not take messages, and once that it does again.
    fn kept_on_disk(&mut self, result: io::Result<()>) {
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
        let links = self.links();
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
            message.ack = links.get(&message.story).cloned().filter(|_| !message.digest);
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
            let result = self.outbox.done(&name, &id, Ending::GivenUp);
            self.kept_on_disk(result);
        }
    }

    fn done(&mut self, done: Done) {
        let now = clock::now();
        let Some(channel) = self.channels.get_mut(&done.channel) else { return };
        match done.result {
            Ok(()) => {
                channel.queue.delivered(&done.id, now.mono);
                channel.last = now.utc;
                let result = self.outbox.done(&done.channel, &done.id, Ending::Delivered);
                self.kept_on_disk(result);
            }
            // Whatever a hook does wrong it would do wrong again, and the others twice.
            Err(failure) if matches!(channel.config.to, Service::Hooks { .. }) => {
                tracing::warn!("{}: {}", channel.config.to, failure.why);
                channel.queue.delivered(&done.id, now.mono);
                channel.queue.failing = Some(failure);
                channel.last = now.utc;
                let result = self.outbox.done(&done.channel, &done.id, Ending::Delivered);
                self.kept_on_disk(result);
            }
            Err(failure) => {
                let news = channel.queue.failing.as_ref() != Some(&failure);
                if news {
                    tracing::warn!("{}: {}", channel.config.to, failure.why);
                }
                if channel.queue.failed(&done.id, failure, now.mono) {
                    let result = self.outbox.done(&done.channel, &done.id, Ending::GivenUp);
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
        if all != self.known {
            let file = self.state_dir.join(DIR).join(ADDRESSES);
            if let Ok(text) = serde_json::to_vec(&all) {
                let result = disk::replace(&file, &text);
                self.kept_on_disk(result);
            }
            self.known = all;
        }
    }

    fn test(&self, channel: Option<String>, reply: oneshot::Sender<Vec<Tested>>) {
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
                    let result = result.map(|()| took).map_err(|failure| failure.why);
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
            failing: c.queue.failing.as_ref().map(|failure| failure.why.clone()),
            escalation: c.config.escalation.as_ref().map(|escalation| escalation.after),
        };
        let channels = self.channels.values().map(state).collect();
        *lock(&self.shown) =
            Shown { channels, alarm: self.alarm(), heartbeats: self.beating.shown() };
    }
}

/// The minute of the day where people live, if the clock is set.
fn minute_of_day() -> Option<u16> {
    let at = sys::local_time(clock::now().utc?.0 / 1000)?;
    Some(u16::from(at.hour) * 60 + u16::from(at.minute))
}

/// A message in a queue. It grows old by the wall clock where that is known, over restarts and reboots too.
fn entry(message: &Kept, now: Now) -> Entry {
    let (id, severity, digest) = (message.id.clone(), message.severity, message.digest);
    let age = message.at.as_deref().and_then(Utc::parse).zip(now.utc);
    let age = age.map_or(0, |(at, utc)| utc.0.saturating_sub(at.0));
    Entry { id, severity, made: now.mono - Duration::from_millis(age), digest }
}
