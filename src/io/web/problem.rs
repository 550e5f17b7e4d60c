//! What is said to a request that is not fulfilled, as RFC 9457 has it: one plain sentence.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

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

/// A problem without a hint.
pub(super) fn problem(status: StatusCode, detail: &str) -> Response {
    with_hint(status, detail, None)
}

/// A problem, and what may help.
pub(super) fn with_hint(status: StatusCode, detail: &str, hint: Option<String>) -> Response {
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

/// The loop has no time, which a person is told rather than kept waiting.
pub(super) fn busy() -> Response {
    problem(StatusCode::SERVICE_UNAVAILABLE, "the agent is busy; try again")
}

/// A body that is longer than any that makes sense.
pub(super) fn too_long() -> Response {
    problem(StatusCode::PAYLOAD_TOO_LARGE, "this body is longer than 16 kB")
}

/// What is wrong with a body.
pub(super) fn malformed(rejection: &JsonRejection) -> Response {
    let text = rejection.body_text();
    let why = text.split_once(": ").map_or(&*text, |(_, why)| why);
    misread(rejection, &format!(": {why}"), "{\"uplink\": \"cable\"}")
}

/// What is wrong with a login. It does not say why: that may repeat the password.
pub(super) fn malformed_login(rejection: &JsonRejection) -> Response {
    misread(rejection, "", "{\"password\": \"…\"}")
}

fn misread(rejection: &JsonRejection, why: &str, example: &str) -> Response {
    let status = rejection.status();
    let example = Some(format!("for example {example}"));
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => too_long(),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            problem(status, "the body must be JSON, with Content-Type: application/json")
        }
        StatusCode::UNPROCESSABLE_ENTITY => {
            with_hint(status, &format!("this is not what belongs here{why}"), example)
        }
        _ => with_hint(status, "this is not JSON", example),
    }
}
