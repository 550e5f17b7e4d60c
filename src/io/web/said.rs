//! What people said of an uplink, as the API shows it: who provides it, notes, what was reported.

use serde::Serialize;

use crate::config::Provider;
use crate::engine::events::entry::plain;
use crate::engine::events::note::{Note, Reported, countdown};
use crate::io::clock;
use crate::time::Now;

/// Who is shown it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// Somebody who may change things.
    Known,
    Anybody,
}

/// Whom to call.
#[derive(Debug, Serialize)]
pub(super) struct ProviderOf {
    name: String,
    phone: Option<String>,
    /// The customer's number; only for those who may change things.
    account: Option<String>,
    country: Option<String>,
    monthly: Option<String>,
    reported: Option<String>,
}

impl ProviderOf {
    pub(super) fn new(provider: &Provider, reader: Reader) -> Self {
        let account = provider.account.as_ref().filter(|_| reader == Reader::Known);
        Self {
            name: plain(&provider.name),
            phone: provider.phone.as_deref().map(plain),
            account: account.map(|account| plain(account.reveal())),
            country: provider.country.map(|country| country.to_string()),
            monthly: provider.monthly.as_ref().map(ToString::to_string),
            reported: provider.reported.map(|day| day.to_string()),
        }
    }
}

/// A note, and how far the day is that it speaks of.
#[derive(Debug, Serialize)]
pub(super) struct NoteOf {
    text: String,
    at: Option<String>,
    due: Option<String>,
    due_in_days: Option<i64>,
    /// The same in words, such as `in 3 days`.
    countdown: Option<String>,
}

impl NoteOf {
    pub(super) fn new(note: &Note, now: Now) -> Self {
        let today = now.utc.and_then(clock::local_day);
        let both = note.due.zip(today);
        Self {
            text: plain(&note.text),
            at: note.at.map(|at| at.to_string()),
            due: note.due.map(|due| due.to_string()),
            due_in_days: both.map(|(due, today)| due.since(today)),
            countdown: both.map(|(due, today)| countdown(due, today)),
        }
    }
}

/// When the provider was told; `null` where the box did not know the time.
#[derive(Debug, Serialize)]
pub(super) struct ReportedOf {
    at: Option<String>,
}

impl From<Reported> for ReportedOf {
    fn from(reported: Reported) -> Self {
        Self { at: reported.at.map(|at| at.to_string()) }
    }
}
