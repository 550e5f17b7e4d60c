//! Stretches of time, and what entries say of time.

use serde_json::{Map, Value};

use crate::engine::events::entry::Entry;

/// Milliseconds since 1970.
pub(super) type Ms = u64;

/// A stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// In milliseconds since 1970.
    pub from: u64,
    /// The same; not part of it.
    pub to: u64,
}

impl Span {
    /// How long it is, in milliseconds.
    #[must_use]
    pub const fn ms(self) -> u64 {
        self.to.saturating_sub(self.from)
    }

    /// What of it lies in another one.
    #[must_use]
    pub fn within(self, other: Self) -> Self {
        let from = self.from.clamp(other.from, other.to.max(other.from));
        Self { from, to: self.to.clamp(from, other.to.max(from)) }
    }
}

/// How a stretch of time ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Seen,
    /// The agent did not run then.
    Unseen,
    /// It has not.
    GoesOn,
}

/// What an entry says beside its sentence.
pub(super) fn args(entry: &Entry) -> Map<String, Value> {
    serde_json::from_str(entry.args.get()).unwrap_or_default()
}

/// A time that an entry tells.
pub(super) fn ms(args: &Map<String, Value>, key: &str) -> Option<u64> {
    args.get(key)?.as_f64().filter(|ms| *ms >= 0.0).map(|ms| ms.round() as u64)
}
