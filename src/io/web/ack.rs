//! "I have seen it": by the page's button, the command line, or the link in a message.
//!
//! The link's token is the login: whoever got the message may say so, and nothing else. Opening it only asks, as
//! mail programs open links by themselves; saying it is one POST, which a button in a notification sends, too.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::ask::{Ask, Asks, ask};
use super::notice;
use super::problem::{busy, malformed, problem};
use super::site::Done;
use super::via::Via;
use crate::engine::events::entry::plain;
use crate::engine::events::words::capital;
use crate::engine::notify::alarm::By;
use crate::engine::notify::{Acknowledge, Acknowledged};
use crate::io::sys::clock_time;

/// Below this are the links. What comes there needs no header that only the page can send.
pub(super) const LINKS: &str = "/ack/";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// The page's button and the command line: all that is critical has been seen.
pub(super) async fn all(
    State(asks): Asks,
    Extension(via): Extension<Via>,
    body: Result<Json<Nothing>, JsonRejection>,
) -> Response {
    if let Err(rejection) = body {
        return malformed(&rejection);
    }
    let by = match via {
        Via::Socket => By::CommandLine,
        Via::Page { .. } => By::Page,
    };
    match tell(asks, Acknowledge::All(by)).await {
        Some(done) => say(&done),
        None => busy(),
    }
}

/// The link is opened: nothing happens before the button is pressed.
pub(super) async fn look(State(asks): Asks, Path(token): Path<String>) -> Response {
    match tell(asks, Acknowledge::Look(token)).await {
        Some(Acknowledged::Open { title }) => {
            let form = "<form method=\"post\"><button>I have seen it</button></form>";
            page(StatusCode::OK, &format!("{}.", plain(&title)), form)
        }
        Some(other) => page(status(&other), &words(&other), ""),
        None => busy(),
    }
}

/// The button is pressed, on the page behind the link or in a notification.
pub(super) async fn one(
    State(asks): Asks,
    Path(token): Path<String>,
    headers: HeaderMap,
) -> Response {
    let by_browser = notice::is_for_a_person(&headers);
    match tell(asks, Acknowledge::One(token)).await {
        Some(done) if by_browser => page(status(&done), &words(&done), ""),
        Some(done) => say(&done),
        None => busy(),
    }
}

async fn tell(asks: mpsc::Sender<Ask>, what: Acknowledge) -> Option<Acknowledged> {
    ask(&asks, |answer| Ask::Acknowledge(what, answer)).await?.await.ok()
}

fn say(done: &Acknowledged) -> Response {
    match status(done) {
        StatusCode::OK => Json(Done { message: words(done) }).into_response(),
        refused => problem(refused, &words(done)),
    }
}

const fn status(done: &Acknowledged) -> StatusCode {
    match done {
        Acknowledged::Open { .. } | Acknowledged::Now { .. } | Acknowledged::Before { .. } => {
            StatusCode::OK
        }
        Acknowledged::Unknown => StatusCode::NOT_FOUND,
        Acknowledged::Old { .. } => StatusCode::GONE,
        Acknowledged::Nothing => StatusCode::CONFLICT,
    }
}

fn words(done: &Acknowledged) -> String {
    plain(&done.words(&clock_time))
}

/// A page of one sentence, and what follows it as HTML.
fn page(status: StatusCode, sentence: &str, rest: &str) -> Response {
    notice::page(status, &capital(sentence), rest, ("/", "How it stands now"))
}
