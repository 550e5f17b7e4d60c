//! Server-sent events: who watches hears what is new as it happens.

use axum::body::{Body, Bytes};
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, broadcast, watch};

use super::access::Access;
use super::ask::Asks;
use super::feed::frame;
use super::json;
use super::problem::{busy, problem};
use super::site::Site;
use super::via::Via;

/// A browser that lost its stream asks for another after this long, in milliseconds.
const RETRY: u32 = 1000;

/// What one stream hangs on.
struct Listener {
    states: watch::Receiver<Bytes>,
    entries: broadcast::Receiver<Bytes>,
    access: Access,
    _slot: OwnedSemaphorePermit,
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

pub(super) async fn events(
    State(site): State<Site>,
    State(asks): Asks,
    Extension(via): Extension<Via>,
    headers: HeaderMap,
) -> Response {
    let Ok(slot) = site.streams.clone().try_acquire_owned() else {
        let words = "too many pages are open; close one";
        return problem(StatusCode::SERVICE_UNAVAILABLE, words);
    };
    let states = site.feed.states.subscribe();
    let (entries, access) = (site.feed.entries.subscribe(), site.access);
    let latest = site.feed.latest;
    let listener = Listener { states, entries, access, _slot: slot };
    let Some(snapshot) = latest.get(&asks).await else {
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
