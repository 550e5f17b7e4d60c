//! Settings on the page: shown, tried, and kept or undone. The file stays the truth; what is tried is in force at
//! once, and undone unless somebody confirms it.
//!
//! Nothing here waits for a disk on the agent's own thread: files are read and written on threads for that, and the
//! loop only hears that there is something to read.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::access::Access;
use super::problem::{busy, malformed, with_hint};
use super::site::Done;
use super::via::Via;
use crate::config::settings::{Line, Settings};
use crate::engine::events::causes::Undoing;
use crate::io::clock;

pub(super) mod desk;
mod store;

use desk::{Desk, WITHIN};
use store::{Asked, Refused, Tried};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

#[derive(Serialize)]
struct Shown {
    file: String,
    revision: String,
    settings: Settings,
    /// The LEDs that this box has, by name.
    leds: Vec<String>,
}

#[derive(Serialize)]
struct Changed {
    message: String,
    changes: Vec<String>,
    difference: Vec<Line>,
    /// Within so long it has to be confirmed; nothing was changed: no time.
    confirm_within_s: Option<u64>,
}

/// What can be set, for who may.
pub(super) async fn show(
    State(desk): State<Desk>,
    State(access): State<Access>,
    Extension(via): Extension<Via>,
    headers: HeaderMap,
) -> Response {
    if !access.is_in(via, &headers, clock::now().mono) {
        return access.refusal();
    }
    let read = desk.aside(|store| {
        let read = store.read()?;
        let settings = Settings::of(&read.config);
        let leds = store::led_names();
        Ok(Shown { file: store.name(), revision: read.revision, settings, leds })
    });
    read.await.map_or_else(told, |shown| Json(shown).into_response())
}

/// Tries what is wanted, or shows what would differ.
pub(super) async fn change(
    State(desk): State<Desk>,
    Extension(via): Extension<Via>,
    body: Result<Json<Asked>, JsonRejection>,
) -> Response {
    let Json(asked) = match body {
        Ok(body) => body,
        Err(rejection) => return malformed(&rejection),
    };
    let preview = asked.preview;
    let tried = if preview {
        desk.aside(move |store| store.preview(&asked)).await
    } else {
        // Whoever asked may be gone before it is done; it is done all the same.
        let work = tokio::spawn(desk.try_on(asked, who(via)));
        work.await.unwrap_or(Err(Refused::Busy))
    };
    let tried = match tried {
        Ok(tried) => tried,
        Err(refused) => return told(refused),
    };
    let within = WITHIN.as_secs();
    let (message, confirm_within_s) = match (tried.changes.is_empty(), preview) {
        (true, _) => ("nothing would be different".to_owned(), None),
        (false, true) => ("this would change".to_owned(), None),
        (false, false) => (format!("in force; confirm it within {within} s"), Some(within)),
    };
    let Tried { changes, difference } = tried;
    Json(Changed { message, changes, difference, confirm_within_s }).into_response()
}

/// What was tried stays.
pub(super) async fn keep(
    State(desk): State<Desk>,
    Extension(via): Extension<Via>,
    body: Result<Json<Nothing>, JsonRejection>,
) -> Response {
    end(body, desk.keep(who(via)), "the new settings stay").await
}

/// What was tried is undone.
pub(super) async fn undo(
    State(desk): State<Desk>,
    Extension(via): Extension<Via>,
    body: Result<Json<Nothing>, JsonRejection>,
) -> Response {
    let asked = Undoing::Asked { by: who(via) };
    end(body, desk.undo(asked, Duration::ZERO), "undone: everything is as before").await
}

/// Ends a trial, whether or not whoever asked still waits.
async fn end(
    body: Result<Json<Nothing>, JsonRejection>,
    work: impl Future<Output = Result<(), Refused>> + Send + 'static,
    message: &str,
) -> Response {
    if let Err(rejection) = body {
        return malformed(&rejection);
    }
    let done = tokio::spawn(work).await.unwrap_or(Err(Refused::Busy));
    done.map_or_else(told, |()| Json(Done { message: message.to_owned() }).into_response())
}

/// For the history: an address is all that is known of people at the page.
pub(super) fn who(via: Via) -> String {
    match via {
        Via::Socket => "somebody on the box".to_owned(),
        Via::Page { peer, .. } => peer.to_canonical().to_string(),
    }
}

/// Why nothing was changed.
fn told(refused: Refused) -> Response {
    if refused == Refused::Busy {
        return busy();
    }
    let (status, hint) = match &refused {
        Refused::NoFile
        | Refused::Stale
        | Refused::OnTrial
        | Refused::Nothing
        | Refused::OfSetup => (StatusCode::CONFLICT, refused.hint()),
        Refused::Unfit { .. } | Refused::Agent(_) => {
            (StatusCode::UNPROCESSABLE_ENTITY, refused.hint())
        }
        Refused::Disk { .. } | Refused::Busy => (StatusCode::INTERNAL_SERVER_ERROR, refused.hint()),
    };
    with_hint(status, &refused.to_string(), hint)
}
