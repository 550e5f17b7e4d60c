//! Who is told: facts become messages, of which a person reads few. A move and the way back are one story, both
//! IP versions are told together, what ends by itself soon is not told at all, and what follows from something
//! that was told is not told beside it.

use serde::{Deserialize, Serialize};

use crate::time::{Instant, Utc};
use crate::units::Severity;

pub mod queue;
pub mod tale;
pub mod teller;

use tale::Tale;

/// One message, as typed as what it tells: the words are made for whoever sends it, who knows what time it is
/// where people live.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Rises by one with each since the state of the box was first kept.
    pub number: u64,
    /// The number of the message with which its story began.
    pub story: u64,
    pub severity: Severity,
    /// When it happened, which may be long before anybody can be told.
    pub at: Instant,
    pub utc: Option<Utc>,
    /// The uplink it is about, if it is about one.
    pub uplink: Option<String>,
    pub tale: Tale,
}

impl Message {
    /// Whether it sums up a time without Internet, and so goes before what waited for its end.
    #[must_use]
    pub const fn is_digest(&self) -> bool {
        matches!(self.tale, Tale::Outage { .. })
    }
}

/// How it stands with a channel, as people are shown it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelState {
    /// By which commands call it.
    pub name: String,
    /// What it is, in words, without anything secret.
    pub to: String,
    /// Messages that wait.
    pub waiting: usize,
    /// When the last one was delivered since the agent began.
    pub last: Option<Utc>,
    /// Why the last try failed, if none has passed since.
    pub failing: Option<String>,
}

/// How the test of a channel went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tested {
    /// What it is, in words.
    pub channel: String,
    /// How long it took, or why it failed.
    pub result: Result<std::time::Duration, String>,
}

/// What the teller has to know of the state when something is to be told.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct Look {
    /// The uplink in use.
    pub(in crate::engine) active: Option<String>,
    /// Whether what it carries costs money.
    pub(in crate::engine) metered: bool,
    /// The first of the chain, and what is wrong with it while it cannot take the traffic.
    pub(in crate::engine) first: Option<(String, Option<crate::engine::events::causes::Trouble>)>,
    /// What could take over.
    pub(in crate::engine) spares: Vec<String>,
    /// How long people had no answer at the latest move, as far as it is known.
    pub(in crate::engine) felt: Option<std::time::Duration>,
}
