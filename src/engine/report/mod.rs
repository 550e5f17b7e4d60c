//! What the history adds up to: outages of the home and of each uplink, whose fault they were, and what people felt.
//!
//! ```text
//! entries and marks ──► placed ──► runs      when the agent ran, on one scale of time
//!                          └─────► service   how each uplink served meanwhile ──► incidents
//!                          └─────► home      when nothing worked, and what was felt
//! ```
//! Within a boot of the box times are those of its monotonic clock; boots are set beside each other by what the wall clock
//! said last in each. A stretch in which the agent did not run is counted apart: nobody knows how a line was then.

pub mod cause;
pub mod document;
mod home;
mod placed;
mod runs;
mod service;
pub mod sum;

pub use home::Outage;
pub use placed::Mark;
pub use runs::{Away, Why};
pub use service::{Company, Incident};
pub use sum::{Ask, HomeSum, Report, UplinkSum, report};

use serde_json::{Map, Value};

use super::events::entry::Entry;

/// Milliseconds since 1970.
type Ms = u64;

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

/// What an entry says beside its sentence.
fn args(entry: &Entry) -> Map<String, Value> {
    serde_json::from_str(entry.args.get()).unwrap_or_default()
}

/// A time that an entry tells.
fn ms(args: &Map<String, Value>, key: &str) -> Option<u64> {
    args.get(key)?.as_f64().filter(|ms| *ms >= 0.0).map(|ms| ms.round() as u64)
}
