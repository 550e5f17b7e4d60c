//! How it stands with a name, for people.

use std::net::IpAddr;
use std::time::Duration;

use crate::time::{Instant, Utc};
use crate::units::PerFamily;

/// How it stands with a name, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameState {
    pub name: String,
    /// The uplink whose name it is; `None`: it follows the traffic.
    pub uplink: Option<String>,
    /// What it says, as far as is known.
    pub says: PerFamily<Option<IpAddr>>,
    /// Whose addresses those are that it should say.
    pub of: PerFamily<Option<String>>,
    pub state: State,
    /// All of it in one line.
    pub text: String,
    pub written: Option<Utc>,
    pub seen_after: Option<Duration>,
    /// When it is written, or tried again.
    pub next: Option<Instant>,
    pub failing: Option<String>,
}

impl NameState {
    /// Whether it says what it should.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.state == State::Right
    }
}

/// How it stands with a name, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It says what it should.
    Right,
    /// It will be written.
    Waiting,
    /// It could not be written, and is tried again.
    Failing,
    /// It was refused, and is not tried again soon.
    Refused,
    /// Nobody would get in by any address.
    NoAddress,
}

impl State {
    /// The word in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Waiting => "waiting",
            Self::Failing => "failing",
            Self::Refused => "refused",
            Self::NoAddress => "no_address",
        }
    }
}
