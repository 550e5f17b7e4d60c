//! What is new, for every browser that watches.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Bytes;
use serde::Serialize;
use tokio::sync::{broadcast, watch};

use super::json;
use super::latest::Latest;
use crate::engine::events::entry::Entry;
use crate::engine::status::snapshot::Snapshot;

/// News that may wait for a slow reader; one that falls further behind is let go and comes back.
const BACKLOG: usize = 64;

/// Where those who watch hear what is new. Of the state a slow reader gets only the latest.
#[derive(Clone, Debug)]
pub struct Feed {
    pub(super) states: watch::Sender<Bytes>,
    pub(super) entries: broadcast::Sender<Bytes>,
    /// What those who ask are told.
    pub(super) latest: Latest,
    /// There is a password for the page.
    has_password: Arc<AtomicBool>,
}

impl Default for Feed {
    fn default() -> Self {
        let (states, entries) = (watch::Sender::new(Bytes::new()), broadcast::Sender::new(BACKLOG));
        Self { states, entries, latest: Latest::default(), has_password: Arc::default() }
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
        self.states.send_replace(frame("status", &json::Status::new(snapshot, login)));
    }

    /// Where it is noted whether there is a password for the page.
    pub(super) fn has_password(&self) -> Arc<AtomicBool> {
        self.has_password.clone()
    }

    /// Something happened.
    pub fn entry(&self, entry: &Entry) {
        if self.entries.receiver_count() > 0 {
            // Whoever listened may have gone.
            drop(self.entries.send(frame("entry", entry)));
        }
    }
}

/// One event as it goes over the wire. JSON has no line breaks, so that one `data` line is enough.
pub(super) fn frame(name: &str, data: &impl Serialize) -> Bytes {
    let json = serde_json::to_string(data).unwrap_or_default();
    Bytes::from(format!("event: {name}\ndata: {json}\n\n"))
}
