//! What is new, for every browser that watches.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
#[cfg(feature = "settings")]
use std::time::Duration;

use axum::body::Bytes;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{broadcast, mpsc, watch};

use super::ask::Ask;
use super::json;
use super::latest::Latest;
use crate::engine::events::entry::Entry;
use crate::engine::status::snapshot::Snapshot;
use crate::io::clock;
use crate::io::trial::By;
use crate::time::Instant;

/// News that may wait for a slow reader; one that falls further behind is let go and comes back.
const BACKLOG: usize = 64;

/// Where those who watch hear what is new. Of the state a slow reader gets only the latest.
#[derive(Clone, Debug)]
pub struct Feed {
    pub(super) states: watch::Sender<Told>,
    /// As JSON.
    pub(super) entries: broadcast::Sender<Arc<str>>,
    /// What those who ask are told.
    pub(super) latest: Latest,
    /// There is a password for the page.
    has_password: Arc<AtomicBool>,
    /// What is on trial, for everybody to see: who tries it, and until when.
    trial: Arc<Mutex<Option<Trial>>>,
}

/// Who tries something, and until when; no time: it began before this boot.
type Trial = (By, Option<Instant>);

/// The state as it is told to all.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// As an event, for those who want all of it each time.
    pub(super) event: Bytes,
    /// For those who want what changed.
    pub(super) document: Arc<Value>,
}

impl Default for Feed {
    fn default() -> Self {
        let (states, entries) = (watch::Sender::default(), broadcast::Sender::new(BACKLOG));
        Self {
            states,
            entries,
            latest: Latest::default(),
            has_password: Arc::default(),
            trial: Arc::default(),
        }
    }
}

impl Feed {
    /// Whether anybody watches. If not, nothing need be worked out.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.states.receiver_count() > 0
    }

    /// Something happened, so that those who ask are to be told again how things are.
    pub fn outdate(&self) {
        self.latest.outdate();
    }

    /// The state is another one now.
    pub fn state(&self, snapshot: &Snapshot) {
        let set = self.has_password.load(Ordering::Relaxed);
        let login = json::Login { needed: true, set, inside: None };
        let status = json::Status::new(snapshot, login, self.settings());
        let document = Arc::new(serde_json::to_value(&status).unwrap_or_default());
        self.states.send_replace(Told { event: frame("status", &status), document });
    }

    /// Where it is noted whether there is a password for the page.
    pub(super) fn has_password(&self) -> Arc<AtomicBool> {
        self.has_password.clone()
    }

    /// Something is on trial, for so long; `None`: nothing is.
    #[cfg(feature = "settings")]
    pub(super) fn trial(&self, trial: Option<(By, Option<Duration>)>) {
        let now = clock::now().mono;
        let trial = trial.map(|(by, left)| (by, left.map(|left| now + left)));
        *self.trial.lock().unwrap_or_else(PoisonError::into_inner) = trial;
        self.outdate();
    }

    /// What is on trial, as it is told.
    pub(super) fn settings(&self) -> json::SettingsOf {
        let trial = self.trial.lock().unwrap_or_else(PoisonError::into_inner).clone();
        json::SettingsOf::new(trial, clock::now().mono)
    }

    /// What happens from now on as JSON, for who listens without a browser.
    #[must_use]
    pub fn listen(&self) -> broadcast::Receiver<Arc<str>> {
        self.entries.subscribe()
    }

    /// How things are, for who asks without a browser; `None` if the loop has no time.
    pub async fn status(&self, asks: &mpsc::Sender<Ask>) -> Option<Value> {
        self.latest.get(asks).await.map(|snapshot| json::document(&snapshot))
    }

    /// Something happened.
    pub fn entry(&self, entry: &Entry) {
        if self.entries.receiver_count() > 0 {
            let entry = serde_json::to_string(entry).unwrap_or_default();
            // Whoever listened may have gone.
            drop(self.entries.send(Arc::from(entry)));
        }
    }
}

/// One event as it goes over the wire. JSON has no line breaks, so that one `data` line is enough.
pub(super) fn frame(name: &str, data: &impl Serialize) -> Bytes {
    framed(name, &serde_json::to_string(data).unwrap_or_default())
}

/// The same of what is JSON already.
pub(super) fn framed(name: &str, json: &str) -> Bytes {
    Bytes::from(format!("event: {name}\ndata: {json}\n\n"))
}
