//! Who may change things: the password's file, sessions, tries.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::header;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use tokio::sync::Semaphore;

use super::json;
use super::password::{Error, Stored};
use super::problem::with_hint;
use super::sessions::{Sessions, Token};
use super::tries::Tries;
use super::via::Via;
use crate::io::clock;
use crate::time::Instant;

pub(super) const COOKIE: &str = "sparelink";
/// Tokens that one request may show; a browser shows one.
pub(super) const MOST_SHOWN: usize = 4;
/// What helps where no password has been set.
pub(super) const UNSET: &str = "no password has been set";
pub(super) const SET_ONE: &str = "on the box, type: sparelink passwd";

/// What login stands on.
#[derive(Clone, Debug)]
pub(super) struct Access(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) file: PathBuf,
    pub(super) known: Mutex<Known>,
    /// One try at a time: each takes memory and most of a core.
    pub(super) one: Arc<Semaphore>,
    /// There is a password, when last looked.
    pub(super) set: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) sessions: Sessions,
    pub(super) tries: Tries,
}

impl Access {
    /// With the password of this file; `set` tells others whether there is one.
    pub(super) fn new(file: PathBuf, set: Arc<AtomicBool>) -> Self {
        let one = Arc::new(Semaphore::new(1));
        let this = Self(Arc::new(Inner { file, known: Mutex::default(), one, set }));
        this.look();
        this
    }

    /// Looks whether there is a password.
    pub(super) fn look(&self) {
        drop(self.stored());
    }

    /// What the file says now: it may have been changed at any moment, by another program.
    pub(super) fn stored(&self) -> Result<Option<Stored>, Error> {
        let stored = Stored::read(&self.0.file);
        self.0.set.store(!matches!(stored, Ok(None)), Ordering::Relaxed);
        stored
    }

    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request comes from somebody who may change things.
    pub(super) fn is_in(&self, via: Via, headers: &HeaderMap, now: Instant) -> bool {
        if via == Via::Socket {
            return true;
        }
        let shown = tokens(headers);
        if shown.is_empty() {
            return false;
        }
        // What cannot be read for the moment ends no session, and lets nobody in.
        let Ok(password) = self.stored() else { return false };
        let password = password.as_ref().map(Stored::line);
        self.known().sessions.knows(&shown, password, now)
    }

    /// How login stands, for whoever asks.
    pub(super) fn state(&self, via: Via, headers: &HeaderMap) -> json::Login {
        self.look();
        let inside = self.is_in(via, headers, clock::now().mono);
        json::Login { needed: true, set: self.0.set.load(Ordering::Relaxed), inside: Some(inside) }
    }

    /// Why a change was refused to somebody without a session.
    pub(super) fn refusal(&self) -> Response {
        let unset = matches!(self.stored(), Ok(None));
        let hint = if unset { format!("{UNSET}; {SET_ONE}") } else { "log in first".to_owned() };
        with_hint(StatusCode::UNAUTHORIZED, "changing things needs a login", Some(hint))
    }
}

/// What a request shows of ours among its cookies (RFC 6265, 4.2.1).
pub(super) fn tokens(headers: &HeaderMap) -> Vec<Token> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = all.flat_map(|list| list.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let ours = pairs.filter(|(name, _)| *name == COOKIE);
    ours.filter_map(|(_, token)| Token::parse(token)).take(MOST_SHOWN).collect()
}
