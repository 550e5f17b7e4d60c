//! The routes.

use std::time::Duration;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::{Ask, json};
use crate::engine::message::{Command, Refusal};

/// A problem, as RFC 9457 has it.
#[derive(Debug, Serialize)]
struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

#[derive(Serialize)]
struct Done {
    message: String,
}

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
struct Resume {
    uplink: String,
}

type Asks = State<mpsc::Sender<Ask>>;

/// All routes, answered through `asks`.
pub(super) fn router(asks: mpsc::Sender<Ask>) -> Router {
    Router::new()
        .route("/api/v1/status", get(status))
        .route("/api/v1/history", get(history))
        .route("/api/v1/switch", post(switch))
        .route("/api/v1/pause", post(pause))
        .route("/api/v1/resume", post(resume))
        .route("/api/v1/reload", post(reload))
        .fallback(|| async { problem(StatusCode::NOT_FOUND, "there is nothing here", None) })
        .method_not_allowed_fallback(|| async {
            problem(StatusCode::METHOD_NOT_ALLOWED, "this address does not take that method", None)
        })
        .layer(axum::middleware::from_fn(only_local))
        .layer(axum::extract::DefaultBodyLimit::max(16 * 1024))
        .with_state(asks)
}

/// The socket is for `localhost`: a browser that was lured here names another host.
async fn only_local(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST);
    if host.is_some_and(|host| host == "localhost") {
        next.run(request).await
    } else {
        problem(StatusCode::MISDIRECTED_REQUEST, "this socket answers for localhost only", None)
    }
}

async fn status(State(asks): Asks) -> Response {
    match ask(&asks, Ask::Status).await {
        Some(snapshot) => Json(json::Status::from(snapshot)).into_response(),
        None => busy(),
    }
}

async fn history(State(asks): Asks) -> Response {
    match ask(&asks, Ask::History).await {
        Some(events) => {
            Json(events.iter().map(json::Entry::from).collect::<Vec<_>>()).into_response()
        }
        None => busy(),
    }
}

async fn switch(State(asks): Asks, body: Result<Json<Switch>, JsonRejection>) -> Response {
    let Json(Switch { uplink, for_s }) = match body {
        Ok(body) => body,
        Err(rejection) => return malformed(&rejection),
    };
    let command = if uplink == "auto" {
        Command::SwitchAuto
    } else {
        Command::Switch { uplink, lasts: for_s.map(Duration::from_secs) }
    };
    carry_out(&asks, command).await
}

async fn pause(State(asks): Asks, body: Result<Json<Pause>, JsonRejection>) -> Response {
    match body {
        Ok(Json(Pause { uplink, for_s, reason })) => {
            let lasts = for_s.map(Duration::from_secs);
            carry_out(&asks, Command::Pause { uplink, lasts, reason }).await
        }
        Err(rejection) => malformed(&rejection),
    }
}

async fn resume(State(asks): Asks, body: Result<Json<Resume>, JsonRejection>) -> Response {
    match body {
        Ok(Json(Resume { uplink })) => carry_out(&asks, Command::Resume { uplink }).await,
        Err(rejection) => malformed(&rejection),
    }
}

async fn reload(State(asks): Asks) -> Response {
    match ask(&asks, Ask::Reload).await {
        Some(Ok(message)) => Json(Done { message }).into_response(),
        Some(Err(mistakes)) => problem(StatusCode::UNPROCESSABLE_ENTITY, &mistakes, None),
        None => busy(),
    }
}

async fn carry_out(asks: &mpsc::Sender<Ask>, command: Command) -> Response {
    match ask(asks, |answer| Ask::Command(command, answer)).await {
        Some(Ok(message)) => Json(Done { message }).into_response(),
        Some(Err(Refusal::NotNow(why))) => problem(StatusCode::CONFLICT, &why, None),
        Some(Err(Refusal::UnknownUplink(names))) => {
            let hint = format!("the uplinks are {}", names.join(", "));
            problem(StatusCode::NOT_FOUND, "there is no uplink of that name", Some(hint))
        }
        None => busy(),
    }
}

/// Asks the loop; `None` if it has no time, which a person is told rather than kept waiting.
async fn ask<T>(
    asks: &mpsc::Sender<Ask>,
    question: impl FnOnce(oneshot::Sender<T>) -> Ask,
) -> Option<T> {
    let (answer, answered) = oneshot::channel();
    asks.try_send(question(answer)).ok()?;
    tokio::time::timeout(Duration::from_secs(3), answered).await.ok()?.ok()
}

fn busy() -> Response {
    problem(StatusCode::SERVICE_UNAVAILABLE, "the agent is busy; try again", None)
}

fn malformed(rejection: &JsonRejection) -> Response {
    problem(rejection.status(), &rejection.body_text(), None)
}

fn problem(status: StatusCode, detail: &str, hint: Option<String>) -> Response {
    let body = Problem {
        kind: "about:blank",
        title: status.canonical_reason().unwrap_or("problem"),
        status: status.as_u16(),
        detail: detail.to_owned(),
        hint,
    };
    let kind = [(header::CONTENT_TYPE, "application/problem+json")];
    (status, kind, Json(body)).into_response()
}
