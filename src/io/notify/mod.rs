//! Tells people: messages are kept on disk, then sent by each channel in its own time. A thread of its own does
//! it, with a task for whatever a channel does at the moment: neither the loop nor another channel waits.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use crate::config::{HeartbeatConfig, NotifyConfig};
use crate::engine::notify::heartbeat::Heartbeat;
use crate::engine::notify::teller::Known;
use crate::engine::notify::{Acknowledge, Acknowledged, Message, Shown, Tested};
use crate::io::clock;

mod alarms;
mod answers;
mod asking;
mod asks;
mod beating;
mod delivery;
mod exec;
mod hearing;
mod hilink;
mod hooks;
mod mail;
mod modem;
mod mqtt;
mod office;
mod outbox;
mod post;
mod services;
mod sessions;
mod sms;

pub use asks::Wants;
use asks::{Ask, ToLoop, lock};
pub use hooks::add_hooks;
use office::{DIR, Office};
use outbox::Outbox;

/// At the end the disk is waited for so long.
const LAST: Duration = Duration::from_secs(10);
/// Messages that the loop may hand over before the thread takes them.
const QUEUE: usize = 256;

/// The way to the thread.
#[derive(Debug)]
pub struct Notifier {
    asks: mpsc::Sender<Ask>,
    /// Somebody is to be told whenever the status changes.
    watched: Arc<AtomicBool>,
    /// Told when the thread has kept everything and ends.
    ended: oneshot::Receiver<()>,
    shown: Arc<Mutex<Shown>>,
}

impl Notifier {
    /// Takes up what waits, and starts the thread. With it come back what it wants of the loop, and what people had
    /// been told.
    ///
    /// # Errors
    ///
    /// When the kernel gives no thread.
    pub fn start(
        channels: Vec<NotifyConfig>,
        state_dir: PathBuf,
    ) -> io::Result<(Self, mpsc::Receiver<Wants>, Known)> {
        let outbox = Outbox::open(&state_dir.join(DIR), clock::boot());
        let known = outbox.known().clone();
        let (asks, asked) = mpsc::channel(QUEUE);
        let (wishes, wants) = mpsc::channel(QUEUE);
        let (shown, watched) = (Arc::default(), Arc::default());
        let to_loop = ToLoop { shown: Arc::clone(&shown), watched: Arc::clone(&watched), wishes };
        let mut office = Office::new(channels, state_dir, outbox, to_loop);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (ends, ended) = oneshot::channel();
        super::thread::named("messages").spawn(move || {
            runtime.block_on(office.work(asked));
            let _ = ends.send(());
            // A look-up or a program that hangs is not waited for.
            runtime.shutdown_background();
        })?;
        Ok((Self { asks, watched, ended, shown }, wants, known))
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

    /// Whether somebody is to be told whenever the status changes.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Relaxed)
    }

    /// The status document is this now.
    pub fn state(&self, state: Value) {
        drop(self.asks.try_send(Ask::State(state)));
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
