//! Server-sent events: who watches hears what is new as it happens.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, broadcast, watch};

use super::access::Access;
use super::ask::Asks;
use super::changes::changes;
use super::feed::{Told, frame, framed};
use super::json;
use super::problem::{busy, problem};
use super::site::Site;
use super::via::Via;

/// A browser that lost its stream asks for another after this long, in milliseconds.
const RETRY: u32 = 1000;

/// With this query a reader is told the state once, and then what changed in it.
const CHANGES: &str = "changes";

/// How a reader is told the state.
enum Wanted {
    /// All of it each time.
    Whole,
    /// What differs from this, which it was told last.
    Changes(Arc<Value>),
}

impl Wanted {
    /// What to tell.
    fn event(&mut self, told: Told) -> Bytes {
        match self {
            Self::Whole => told.event,
            Self::Changes(last) => {
                // Also when there are none: a stream that says nothing is taken for a broken one.
                let event = frame("changes", &changes(last, &told.document));
                *last = told.document;
                event
            }
        }
    }
}

/// What one stream hangs on.
struct Listener {
    wanted: Wanted,
    states: watch::Receiver<Told>,
    entries: broadcast::Receiver<Arc<str>>,
    access: Access,
    _slot: OwnedSemaphorePermit,
}

impl Listener {
    /// What comes next; `None`: the stream ends.
    async fn next(&mut self) -> Option<Bytes> {
        tokio::select! {
            biased;
            entry = self.entries.recv() => Some(framed("entry", &entry.ok()?)),
            changed = self.states.changed() => {
                changed.ok()?;
                // Somebody may set a password while they watch; the state after this one says so.
                self.access.look();
                let told = self.states.borrow_and_update().clone();
                Some(self.wanted.event(told))
            }
        }
    }
}

pub(super) async fn events(
    State(site): State<Site>,
    State(asks): Asks,
    Extension(via): Extension<Via>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let Ok(slot) = site.streams.clone().try_acquire_owned() else {
        let words = "too many pages are open; close one";
        return problem(StatusCode::SERVICE_UNAVAILABLE, words);
    };
    let states = site.feed.states.subscribe();
    let (entries, access) = (site.feed.entries.subscribe(), site.access);
    let feed = site.feed;
    let mut listener = Listener { wanted: Wanted::Whole, states, entries, access, _slot: slot };
    let Some(snapshot) = feed.latest.get(&asks).await else {
        return busy();
    };
    let login = listener.access.state(via, &headers);
    let status = json::Status::new(&snapshot, login, feed.settings());
    if query.is_some_and(|query| query == CHANGES) {
        let document = serde_json::to_value(&status).unwrap_or_default();
        listener.wanted = Wanted::Changes(Arc::new(document));
    }
    let first = frame("status", &status);
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
