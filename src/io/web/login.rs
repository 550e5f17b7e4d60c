//! Login: the password once, then a cookie.

use std::net::IpAddr;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Extension, State};
use axum::http::header::{self, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::access::{Access, COOKIE, SET_ONE, UNSET, tokens};
use super::password::Stored;
use super::problem::{busy, malformed_login, problem, with_hint};
use super::sessions::{LONGEST, Token};
use super::site::Done;
use super::tries::pause;
use super::via::{Scheme, Via};
use crate::io::clock;

/// A try must have been looked at within this long, the wait for those before it included.
const PATIENCE: Duration = Duration::from_secs(8);
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Password {
    password: String,
}

pub(super) async fn login(
    State(access): State<Access>,
    Extension(via): Extension<Via>,
    Extension(scheme): Extension<Scheme>,
    body: Result<Json<Password>, JsonRejection>,
) -> Response {
    let Json(Password { password }) = match body {
        Ok(body) => body,
        Err(rejection) => return malformed_login(&rejection),
    };
    let Via::Page { peer, .. } = via else {
        return problem(StatusCode::CONFLICT, "the socket needs no login");
    };
    let stored = match access.stored() {
        Ok(Some(stored)) => stored,
        Ok(None) => return with_hint(StatusCode::CONFLICT, UNSET, Some(SET_ONE.to_owned())),
        Err(error) => {
            let why = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(%error, why, "no login is possible");
            let words = "the password on the box cannot be read, so no login is possible";
            let hint = "set it again: sparelink passwd".to_owned();
            return with_hint(StatusCode::INTERNAL_SERVER_ERROR, words, Some(hint));
        }
    };
    let line = stored.line().to_owned();
    match try_secret(&access, peer, stored, password, "the password is not right").await {
        Tried::Right => access.welcome(peer, scheme, &line),
        Tried::Refused(response) => response,
    }
}

/// What came of a try.
pub(super) enum Tried {
    Right,
    Refused(Response),
}

/// Whether somebody knows a secret. Who does not waits longer each time; `wrong` is what they are told.
pub(super) async fn try_secret(
    access: &Access,
    peer: IpAddr,
    stored: Stored,
    shown: String,
    wrong: &str,
) -> Tried {
    let admitted = access.known().tries.admit(peer, clock::now().mono);
    let failures = match admitted {
        Ok(failures) => failures,
        Err(wait) => return Tried::Refused(too_soon(wait)),
    };
    match tokio::time::timeout(PATIENCE, is_right(access, stored, shown)).await {
        Ok(Some(true)) => Tried::Right,
        Ok(Some(false)) => {
            access.known().tries.refuse(peer, clock::now().mono);
            if failures >= 4 && failures.is_power_of_two() {
                tracing::warn!(%peer, failures, "wrong passwords for the page");
            }
            let hint = format!("try again in {}", span(pause(failures)));
            Tried::Refused(with_hint(StatusCode::UNAUTHORIZED, wrong, Some(hint)))
        }
        Ok(None) | Err(_) => Tried::Refused(busy()),
    }
}

/// Whether it is the password, found out on a thread of its own. `None`: it could not be.
async fn is_right(access: &Access, stored: Stored, password: String) -> Option<bool> {
    let turn = access.0.one.clone().acquire_owned().await.ok()?;
    let work = tokio::task::spawn_blocking(move || {
        // Until it is done, whether or not somebody still waits for it.
        let _turn = turn;
        stored.is(&password)
    });
    work.await.ok()
}

pub(super) async fn logout(
    State(access): State<Access>,
    Extension(scheme): Extension<Scheme>,
    headers: HeaderMap,
) -> Response {
    access.known().sessions.end(&tokens(&headers));
    let gone = cookie("", Duration::ZERO, scheme);
    (gone, Json(Done { message: "logged out".to_owned() })).into_response()
}

impl Access {
    /// Begins a session.
    pub(super) fn welcome(&self, peer: IpAddr, scheme: Scheme, password: &str) -> Response {
        let Ok(random) = clock::random() else {
            let words = "the box has no random numbers, so no login is possible";
            return problem(StatusCode::INTERNAL_SERVER_ERROR, words);
        };
        let token = Token::new(random);
        let shown = cookie(&token.text(), LONGEST, scheme);
        let mut known = self.known();
        known.tries.forgive(peer);
        known.sessions.begin(token, password, clock::now().mono);
        tracing::info!(%peer, "login to the page");
        (shown, Json(Done { message: "logged in".to_owned() })).into_response()
    }
}

/// The cookie: for this host's own requests only, out of the reach of scripts, and where it was given encrypted never
/// sent otherwise.
fn cookie(token: &str, lasts: Duration, scheme: Scheme) -> [(header::HeaderName, String); 1] {
    let seconds = lasts.as_secs();
    let secure = match scheme {
        Scheme::Http => "",
        Scheme::Https => "; Secure",
    };
    let text =
        format!("{COOKIE}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    [(header::SET_COOKIE, text)]
}

fn too_soon(wait: Duration) -> Response {
    let words = format!("too many tries; wait {}", span(wait));
    let mut response = problem(StatusCode::TOO_MANY_REQUESTS, &words);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds(wait)));
    response
}

/// Whole ones: never shorter than it is, and never none.
fn seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

fn span(wait: Duration) -> String {
    match seconds(wait) {
        1 => "a second".to_owned(),
        seconds @ ..120 => format!("{seconds} seconds"),
        seconds => format!("{} minutes", seconds.div_ceil(60)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::access::MOST_SHOWN;
    use super::*;

    #[test]
    fn our_cookie_is_found_among_others() {
        let ours = "a1".repeat(32);
        let found = |lines: &[String]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::COOKIE, line.parse().unwrap());
            }
            tokens(&headers).len()
        };
        for (lines, number) in [
            (vec![format!("sparelink={ours}")], 1),
            (vec![format!("sysauth=x; sparelink={ours}; y=z")], 1),
            (vec!["sysauth=x".to_owned(), format!("sparelink={ours}")], 1),
            (vec![format!("sparelink=old; sparelink={ours}")], 1),
            (vec![format!("sparelink={ours}; ").repeat(100)], MOST_SHOWN),
            (vec![], 0),
            (vec!["sparelink=".to_owned()], 0),
            (vec![format!("Sparelink={ours}")], 0),
            (vec![format!("xsparelink={ours}")], 0),
            (vec![format!("sparelink=\"{ours}\"")], 0),
            (vec![ours], 0),
        ] {
            assert_eq!(found(&lines), number, "{lines:?}");
        }
    }

    #[test]
    fn a_wait_is_told_in_words_and_in_seconds() {
        for (milliseconds, seconds, words) in [
            (1, "1", "too many tries; wait a second"),
            (1500, "2", "too many tries; wait 2 seconds"),
            (64_000, "64", "too many tries; wait 64 seconds"),
            (512_000, "512", "too many tries; wait 9 minutes"),
            (900_000, "900", "too many tries; wait 15 minutes"),
        ] {
            let response = too_soon(Duration::from_millis(milliseconds));
            assert_eq!(response.headers()[header::RETRY_AFTER], seconds, "{words}");
            assert_eq!(response.status(), 429);
        }
    }
}
