//! What the loop and the thread say to each other.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use crate::config::{HeartbeatConfig, NotifyConfig};
use crate::engine::input::Command;
use crate::engine::notify::heartbeat::Heartbeat;
use crate::engine::notify::teller::Known;
use crate::engine::notify::{Acknowledge, Acknowledged, Message, Shown, Tested};
use crate::engine::output::Refusal;

/// What is asked of the thread.
pub(super) enum Ask {
    /// Messages, what has been told with them, and the status document.
    Tell(Vec<Message>, Box<Known>, Value),
    Configure(Vec<NotifyConfig>),
    /// The status document, for those who watch.
    State(Value),
    Test(Option<String>, Value, oneshot::Sender<Vec<Tested>>),
    Acknowledge(Acknowledge, oneshot::Sender<Acknowledged>),
    /// Signs of life, with the status document as it is now.
    Beat(Box<HeartbeatConfig>, Vec<Heartbeat>, Value),
}

/// What the thread wants of the loop.
#[derive(Debug)]
pub enum Wants {
    /// Somebody who may says what the box is to do.
    Command(Command, oneshot::Sender<Result<String, Refusal>>),
    /// What is shown of messages is another than it was.
    Look,
}

/// What the loop sees of the thread.
pub(super) struct ToLoop {
    pub(super) shown: Arc<Mutex<Shown>>,
    pub(super) watched: Arc<AtomicBool>,
    pub(super) wishes: mpsc::Sender<Wants>,
}

pub(super) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
