//! What the history adds up to: outages of the home and of each uplink, whose fault they were, and what people felt.
//!
//! ```text
//! entries and marks ──► placed ──► runs      when the agent ran, on one scale of time
//!                          └─────► service   how each uplink served meanwhile ──► incidents
//!                          └─────► home      when nothing worked, and what was felt
//! incidents ──► losses ──► compensation      what a provider may owe for it
//! ```
//! Within a boot of the box times are those of its monotonic clock; boots are set beside each other by what the wall clock
//! said last in each. A stretch in which the agent did not run is counted apart: nobody knows how a line was then.

pub mod cause;
pub mod compensation;
pub mod days;
pub mod document;
mod home;
pub mod lanes;
mod placed;
mod runs;
mod service;
mod settle;
mod span;
pub mod sum;
mod terms;
mod total_loss;

pub use home::Outage;
pub use placed::Mark;
pub use runs::{Away, Why};
pub use service::{Company, Incident};
pub use settle::settle;
pub use span::{End, Span};
pub use sum::{Ask, HomeSum, Report, UplinkSum, report};
pub use terms::{Owed, Written};
pub use total_loss::TotalLoss;
