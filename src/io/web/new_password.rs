//! A password set on the page: by who knows the one that holds, or the code that was printed on the box.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::access::Access;
use super::ask::{Ask, Asks, ask};
use super::login::{Tried, try_secret};
use super::password::{self, Stored};
use super::problem::{malformed_login, problem, with_hint};
use super::via::{Scheme, Via};
use crate::engine::events::causes::Deed;

/// What helps where there is no code.
const NO_CODE: &str = "on the box, type: sudo sparelink passwd --code";

/// The new one, and how the person shows who they are: one of the two.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct New {
    password: String,
    /// The one that holds.
    current: Option<String>,
    /// As printed by `sparelink passwd --code`.
    code: Option<String>,
}

pub(super) async fn set(
    State(access): State<Access>,
    State(asks): Asks,
    Extension(via): Extension<Via>,
    Extension(scheme): Extension<Scheme>,
    body: Result<Json<New>, JsonRejection>,
) -> Response {
    let Json(New { password, current, code }) = match body {
        Ok(body) => body,
        Err(rejection) => return malformed_login(&rejection),
    };
    let Via::Page { peer, .. } = via else {
        return problem(StatusCode::CONFLICT, "on the box, type: sparelink passwd");
    };
    if let Err(unfit) = password::check(&password) {
        return problem(StatusCode::UNPROCESSABLE_ENTITY, &unfit.to_string());
    }
    let file = access.0.file.clone();
    let (kept, shown, wrong) = match (current, code) {
        (Some(current), None) => (access.stored(), current, "the present password is not right"),
        (None, Some(code)) => {
            let kept = Stored::read(&password::code_file(&file));
            (kept, password::plain_code(&code), "the code is not right")
        }
        (None, None) | (Some(_), Some(_)) => {
            let words = "give either the present password or the code";
            return problem(StatusCode::UNPROCESSABLE_ENTITY, words);
        }
    };
    let Ok(Some(kept)) = kept else {
        let words = "there is no code, or it has been used";
        return with_hint(StatusCode::CONFLICT, words, Some(NO_CODE.to_owned()));
    };
    match try_secret(&access, peer, kept, shown, wrong).await {
        Tried::Right => {}
        Tried::Refused(response) => return response,
    }
    let set = tokio::task::spawn_blocking(move || {
        password::set(&file, &password, None)?;
        password::use_code(&file)
    });
    if let Ok(Err(error)) = set.await {
        let why = std::error::Error::source(&error).map(ToString::to_string);
        tracing::warn!(%error, why, "the password is not set");
        let words = "the password cannot be written; it is as before";
        let hint = "on the box, type: sudo sparelink passwd".to_owned();
        return with_hint(StatusCode::INTERNAL_SERVER_ERROR, words, Some(hint));
    }
    let by = peer.to_canonical().to_string();
    // The history is told; whether or not it has time, the password is set.
    drop(ask(&asks, |answer| Ask::Settings(Deed::Password { by }, answer)).await);
    match access.stored() {
        Ok(Some(stored)) => access.welcome(peer, scheme, stored.line()),
        Ok(None) | Err(_) => problem(StatusCode::CONFLICT, "the password was changed meanwhile"),
    }
}
