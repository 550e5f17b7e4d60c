//! Who is told: facts become messages, of which a person reads few. A move and the way back are one story, both
//! IP versions are told together, what ends by itself soon is not told at all, and what follows from something
//! that was told is not told beside it.

use serde::{Deserialize, Serialize};

use crate::engine::events::note::Note;
use crate::time::{Instant, Utc};
use crate::units::Severity;

pub mod alarm;
pub mod heartbeat;
pub mod queue;
pub mod tale;
pub mod teller;

use alarm::{By, Seen};
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
    /// What people wrote about the uplinks that it is about.
    #[serde(default)]
    pub notes: Vec<(String, Note)>,
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
    /// It is told only what nobody has seen so long after it happened.
    pub escalation: Option<std::time::Duration>,
}

/// Something critical that a person should see, as people are shown it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlarmState {
    pub title: String,
    pub at: Option<Utc>,
    pub seen: Option<Seen>,
    /// Who is told next, in words, and when: if nobody says that they have seen it.
    pub next: Option<(String, Instant)>,
}

/// How it stands with a sign of life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeartbeatState {
    /// Of which uplink; `None`: of the house.
    pub uplink: Option<String>,
    /// When the last one arrived since the agent began.
    pub last: Option<Utc>,
    /// Why the last one did not arrive, if so.
    pub failing: Option<String>,
}

/// All that people are shown of messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    pub channels: Vec<ChannelState>,
    /// The latest of what was critical, until it is over.
    pub alarm: Option<AlarmState>,
    /// The signs of life that have been given.
    pub heartbeats: Vec<HeartbeatState>,
}

/// How somebody says that they have seen what is critical.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acknowledge {
    /// All there is.
    All(By),
    /// That of which a message gave them the token.
    One(String),
    /// Only tell what the token is of.
    Look(String),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acknowledged {
    /// It is of this, and nobody has seen it yet.
    Open { title: String },
    /// It is seen now.
    Now { title: String, over: bool },
    /// It was before.
    Before { title: String, seen: Seen },
    /// No message has had that token.
    Unknown,
    /// The token is older than a day.
    Old { title: String },
    /// There is nothing that anybody should have seen.
    Nothing,
}

impl Acknowledged {
    /// For whoever said it. `clock` says a time as people read it off their clocks, if it can.
    #[must_use]
    pub fn words(&self, clock: &dyn Fn(Utc) -> Option<String>) -> String {
        match self {
            Self::Open { title } => format!("nobody has acknowledged yet: {title}"),
            Self::Now { title, over: false } => {
                format!("acknowledged: {title}; nobody else is told")
            }
            Self::Now { title, over: true } => format!("acknowledged: {title}; it is over already"),
            Self::Before { title, seen } => {
                let at = seen.at.and_then(clock).map_or_else(String::new, |at| format!(" at {at}"));
                format!("it has been acknowledged already{at} {}: {title}", seen.by.word())
            }
            Self::Unknown => "no message of this box has this link".to_owned(),
            Self::Old { title } => {
                format!("this link was good for a day, which is over: {title}")
            }
            Self::Nothing => "there is nothing to acknowledge".to_owned(),
        }
    }
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
