//! The routes.

use std::time::Duration;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Extension, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::access::Access;
use super::ask::{Ask, Asks, ask};
use super::days::DaysOf;
use super::feed::Feed;
use super::problem::{busy, malformed, problem, with_hint};
#[cfg(feature = "settings")]
use super::settings;
use super::site::{Done, MAX_BODY, Site};
use super::via::Via;
use super::{ack, assets, events, guard, history, json, login, metrics, new_password, notice};
use crate::config::nearest;
use crate::engine::events::entry::plain;
use crate::engine::events::note::Note;
use crate::engine::input::Command;
use crate::engine::output::Refusal;
use crate::io::clock;

/// The longest time for which a person can ask for something, in seconds.
const A_YEAR: u64 = 365 * 86_400;

/// The history of months is read within this even on a slow card.
const RECKONED: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Switch {
    uplink: String,
    for_s: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pause {
    uplink: String,
    for_s: Option<u64>,
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    uplink: String,
}

/// Either of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    uplink: String,
    /// The note; an empty one takes away what there is.
    text: Option<String>,
    /// The provider was told that it is down.
    #[serde(default)]
    reported: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LedTest {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChannelTest {
    channel: Option<String>,
}

pub(super) fn router(site: Site) -> Router {
    let changes = Router::new()
        .route("/api/v1/switch", post(switch))
        .route("/api/v1/pause", post(pause))
        .route("/api/v1/resume", post(resume))
        .route("/api/v1/probe", post(probe))
        .route("/api/v1/note", post(note))
        .route("/api/v1/reload", post(reload))
        .route("/api/v1/led_test", post(led_test))
        .route("/api/v1/notify/test", post(test_channel))
        .route("/api/v1/notify/ack", post(ack::all));
    #[cfg(feature = "settings")]
    let changes = changes
        .route("/api/v1/settings", get(settings::show))
        .route("/api/v1/settings", post(settings::change))
        .route("/api/v1/settings/keep", post(settings::keep))
        .route("/api/v1/settings/undo", post(settings::undo));
    let changes = changes
        .route_layer(axum::middleware::from_fn_with_state(site.access.clone(), guard::known));
    Router::new()
        .route("/api/v1/status", get(status))
        .route("/api/v1/history", get(history))
        .route("/api/v1/timeline", get(timeline))
        .route("/api/v1/days", get(days))
        .route("/api/v1/events", get(events::events))
        .route("/metrics", get(metrics::metrics))
        .route("/api/v1/login", post(login::login))
        .route("/api/v1/logout", post(login::logout))
        .route("/api/v1/password", post(new_password::set))
        .route("/ack/{token}", get(ack::look))
        .route("/ack/{token}", post(ack::one))
        .merge(changes)
        .merge(assets::routes())
        .fallback(nowhere)
        .method_not_allowed_fallback(|| async {
            problem(StatusCode::METHOD_NOT_ALLOWED, "this address does not take that method")
        })
        .layer(axum::middleware::from_fn_with_state(site.config.clone(), guard::guard))
        .layer(axum::extract::DefaultBodyLimit::max(MAX_BODY))
        .with_state(site)
}

/// What nothing is at, for a person as a page.
async fn nowhere(headers: HeaderMap) -> Response {
    let status = StatusCode::NOT_FOUND;
    if notice::is_for_a_person(&headers) {
        return notice::page(status, "There is nothing here.", "", ("/", "How it stands now"));
    }
    problem(status, "there is nothing here")
}

async fn status(
    State(asks): Asks,
    State(feed): State<Feed>,
    State(access): State<Access>,
    Extension(via): Extension<Via>,
    headers: HeaderMap,
) -> Response {
    match feed.latest.get(&asks).await {
        Some(snapshot) => {
            let login = access.state(via, &headers);
            Json(json::Status::new(&snapshot, login, feed.settings())).into_response()
        }
        None => busy(),
    }
}

async fn history(State(asks): Asks, RawQuery(query): RawQuery) -> Response {
    let wanted = match history::wanted(query.as_deref().unwrap_or_default()) {
        Ok(wanted) => wanted,
        Err(words) => return problem(StatusCode::UNPROCESSABLE_ENTITY, &words),
    };
    match ask(&asks, |answer| Ask::History(wanted, answer)).await {
        Some(entries) => Json(entries).into_response(),
        None => busy(),
    }
}

async fn timeline(State(asks): Asks) -> Response {
    match ask(&asks, Ask::Timeline).await {
        Some(view) => Json(json::Timeline::from(view)).into_response(),
        None => busy(),
    }
}

async fn days(State(asks): Asks) -> Response {
    let Some(reckoned) = ask(&asks, Ask::Days).await else { return busy() };
    match tokio::time::timeout(RECKONED, reckoned).await {
        Ok(Ok(view)) => Json(DaysOf::from(view)).into_response(),
        // So many ask, or the box does not know what day it is.
        Ok(Err(_)) | Err(_) => busy(),
    }
}

async fn switch(State(asks): Asks, body: Result<Json<Switch>, JsonRejection>) -> Response {
    let Json(Switch { uplink, for_s }) = match body {
        Ok(body) => body,
        Err(rejection) => return malformed(&rejection),
    };
    if uplink == "auto" {
        return carry_out(&asks, Command::SwitchAuto).await;
    }
    match lasting(for_s) {
        Some(lasts) => carry_out(&asks, Command::Switch { uplink, lasts }).await,
        None => too_long_a_time(),
    }
}

async fn pause(State(asks): Asks, body: Result<Json<Pause>, JsonRejection>) -> Response {
    let Json(Pause { uplink, for_s, reason }) = match body {
        Ok(body) => body,
        Err(rejection) => return malformed(&rejection),
    };
    let reason = reason.map(|reason| plain(&reason)).filter(|reason| !reason.is_empty());
    match lasting(for_s) {
        Some(lasts) => carry_out(&asks, Command::Pause { uplink, lasts, reason }).await,
        None => too_long_a_time(),
    }
}

async fn resume(State(asks): Asks, body: Result<Json<Named>, JsonRejection>) -> Response {
    match body {
        Ok(Json(Named { uplink })) => carry_out(&asks, Command::Resume { uplink }).await,
        Err(rejection) => malformed(&rejection),
    }
}

async fn probe(State(asks): Asks, body: Result<Json<Named>, JsonRejection>) -> Response {
    match body {
        Ok(Json(Named { uplink })) => carry_out(&asks, Command::Probe { uplink }).await,
        Err(rejection) => malformed(&rejection),
    }
}

async fn note(State(asks): Asks, body: Result<Json<Said>, JsonRejection>) -> Response {
    let Json(Said { uplink, text, reported }) = match body {
        Ok(body) => body,
        Err(rejection) => return malformed(&rejection),
    };
    match (text, reported) {
        (None, true) => carry_out(&asks, Command::Reported { uplink }).await,
        (Some(text), false) => match Note::read(&text, clock::now().utc, clock::today()) {
            Ok(note) => carry_out(&asks, Command::Note { uplink, note }).await,
            Err(unfit) => problem(StatusCode::UNPROCESSABLE_ENTITY, &unfit.to_string()),
        },
        (None, false) | (Some(_), true) => {
            let words = "give either text or reported";
            problem(StatusCode::UNPROCESSABLE_ENTITY, words)
        }
    }
}

async fn led_test(State(asks): Asks, body: Result<Json<LedTest>, JsonRejection>) -> Response {
    match body {
        Ok(Json(LedTest {})) => carry_out(&asks, Command::LedTest).await,
        Err(rejection) => malformed(&rejection),
    }
}

async fn test_channel(
    State(asks): Asks,
    State(feed): State<Feed>,
    body: Result<Json<ChannelTest>, JsonRejection>,
) -> Response {
    let Json(ChannelTest { channel }) = match body {
        Ok(body) => body,
        Err(rejection) => return malformed(&rejection),
    };
    let Some(snapshot) = feed.latest.get(&asks).await else { return busy() };
    let names: Vec<&str> = snapshot.messages.channels.iter().map(|c| c.name.as_str()).collect();
    if names.is_empty() {
        let hint = Some("add a [[notify]] section to the configuration".to_owned());
        return with_hint(StatusCode::CONFLICT, "there is no channel to test", hint);
    }
    if let Some(unknown) = channel.as_deref().filter(|name| !names.contains(name)) {
        let near = nearest(unknown, names.iter().copied());
        let meant = near.map(|near| format!("did you mean {near}? ")).unwrap_or_default();
        let hint = format!("{meant}the channels are {}", names.join(", "));
        return with_hint(StatusCode::NOT_FOUND, "there is no channel of that name", Some(hint));
    }
    let Some(tested) = ask(&asks, |answer| Ask::TestChannel(channel, answer)).await else {
        return busy();
    };
    match tested.await {
        Ok(tests) => Json(json::Tests::from(tests)).into_response(),
        Err(_) => busy(),
    }
}

async fn reload(State(asks): Asks) -> Response {
    match ask(&asks, Ask::Reload).await {
        Some(Ok(message)) => Json(Done { message }).into_response(),
        Some(Err(mistakes)) => problem(StatusCode::UNPROCESSABLE_ENTITY, &mistakes),
        None => busy(),
    }
}

/// Which uplink a command is about.
fn uplink_of(command: &Command) -> Option<&str> {
    match command {
        Command::Switch { uplink, .. }
        | Command::Pause { uplink, .. }
        | Command::Resume { uplink }
        | Command::Note { uplink, .. }
        | Command::Reported { uplink }
        | Command::Probe { uplink } => Some(uplink),
        Command::SwitchAuto | Command::LedTest => None,
    }
}

async fn carry_out(asks: &mpsc::Sender<Ask>, command: Command) -> Response {
    let asked_for = uplink_of(&command).map(str::to_owned);
    match ask(asks, |answer| Ask::Command(command, answer)).await {
        Some(Ok(message)) => Json(Done { message }).into_response(),
        Some(Err(Refusal::NotNow(why))) => problem(StatusCode::CONFLICT, &why),
        Some(Err(Refusal::UnknownUplink(names))) => {
            let near = asked_for
                .as_deref()
                .and_then(|name| nearest(name, names.iter().map(String::as_str)));
            let meant = near.map(|near| format!("did you mean {near}? ")).unwrap_or_default();
            let hint = format!("{meant}the uplinks are {}", names.join(", "));
            with_hint(StatusCode::NOT_FOUND, "there is no uplink of that name", Some(hint))
        }
        None => busy(),
    }
}

/// For how long, if a limit is given; `None`: that is no time at all, or too long.
fn lasting(for_s: Option<u64>) -> Option<Option<Duration>> {
    let fits = for_s.is_none_or(|seconds| (1..=A_YEAR).contains(&seconds));
    fits.then(|| for_s.map(Duration::from_secs))
}

fn too_long_a_time() -> Response {
    let words = "for_s must be between 1 second and a year (31536000)";
    problem(StatusCode::UNPROCESSABLE_ENTITY, words)
}
