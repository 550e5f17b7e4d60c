//! Server-sent events: who watches hears what is new as it happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::{Body, Bytes};
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, broadcast, watch};

use super::api::{Asks, Site, ask};
use super::guard::Via;
use super::login::Access;
use super::problem::{busy, problem};
use super::{Ask, json};
use crate::engine::events::facts::Event;
use crate::engine::status::snapshot::Snapshot;

/// Streams at a time: phones and screens of a large household.
pub(super) const STREAMS: usize = 32;
/// News that may wait for a slow reader; one that falls further behind is let go and comes back.
const BACKLOG: usize = 64;
/// A browser that lost its stream asks for another after so long, in milliseconds.
const RETRY: u32 = 1000;

/// Where those who watch hear what is new. Of the state a slow reader gets only the latest.
#[derive(Clone, Debug)]
pub struct Feed {
    states: watch::Sender<Bytes>,
    entries: broadcast::Sender<Bytes>,
    /// There is a password for the page.
    has_password: Arc<AtomicBool>,
}

impl Default for Feed {
    fn default() -> Self {
        let (states, entries) = (watch::Sender::new(Bytes::new()), broadcast::Sender::new(BACKLOG));
        Self { states, entries, has_password: Arc::default() }
    }
}

impl Feed {
    /// Whether anybody watches. If not, nothing need be worked out.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.states.receiver_count() > 0
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
    pub fn entry(&self, event: &Event) {
        if self.entries.receiver_count() > 0 {
            // Whoever listened may have gone.
            drop(self.entries.send(frame("entry", &json::Entry::from(event))));
        }
    }
}

/// One event as it goes over the wire. JSON has no line breaks, so that one `data` line is enough.
fn frame(name: &str, data: &impl Serialize) -> Bytes {
    let json = serde_json::to_string(data).unwrap_or_default();
    Bytes::from(format!("event: {name}\ndata: {json}\n\n"))
}

/// What one stream hangs on.
struct Listener {
    states: watch::Receiver<Bytes>,
    entries: broadcast::Receiver<Bytes>,
    access: Access,
    _seat: OwnedSemaphorePermit,
}

impl Listener {
    /// What comes next; `None`: the stream ends.
    async fn next(&mut self) -> Option<Bytes> {
        tokio::select! {
            biased;
            entry = self.entries.recv() => entry.ok(),
            changed = self.states.changed() => {
                changed.ok()?;
                // Somebody may set a password while they watch; the state after this one says so.
                self.access.look();
                Some(self.states.borrow_and_update().clone())
            }
        }
    }
}

/// `GET /api/v1/events`.
pub(super) async fn events(
    State(site): State<Site>,
    State(asks): Asks,
    Extension(via): Extension<Via>,
    headers: HeaderMap,
) -> Response {
    let Ok(seat) = site.streams.clone().try_acquire_owned() else {
        let words = "too many pages are open; close one";
        return problem(StatusCode::SERVICE_UNAVAILABLE, words);
    };
    let states = site.feed.states.subscribe();
    let (entries, access) = (site.feed.entries.subscribe(), site.access);
    let listener = Listener { states, entries, access, _seat: seat };
    let Some(snapshot) = ask(&asks, Ask::Status).await else {
        return busy();
    };
    let login = listener.access.state(via, &headers);
    let first = frame("status", &json::Status::new(&snapshot, login));
    let first = Bytes::from([format!("retry: {RETRY}\n\n").as_bytes(), &first].concat());
    let all = stream::unfold((Some(first), listener), |(first, mut listener)| async move {
        let bytes = match first {
            Some(first) => first,
            None => listener.next().await?,
        };
        Some((Ok::<_, std::convert::Infallible>(bytes), (None, listener)))
    });
    let kind = [(header::CONTENT_TYPE, "text/event-stream")];
    (kind, Body::from_stream(all)).into_response()
}
