//! Why things happen: what moved the traffic, what a person did, what is wrong with an uplink.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::health::Condition;
use crate::units::Family;

/// Why traffic moved, or people had no answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A person chose the new uplink.
    Chosen,
    /// A person's choice has ended.
    Released,
    /// A person took the new uplink back into use.
    Resumed,
    /// A person paused the old uplink.
    Paused { uplink: String },
    /// It is the first of the chain that works.
    FirstThatWorks,
    /// It has been up for its hold.
    Stable {
        /// How long that is.
        hold: Duration,
    },
    /// The old uplink failed.
    Failed { uplink: String, condition: Condition },
}

/// What a story is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All that people use.
    Whole,
    /// This IP version; the other one still works where it is.
    Family,
}

/// What a person did, or what came to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// An uplink was chosen.
    Choose {
        uplink: String,
        /// For how long; `None`: until the choice is ended.
        lasts: Option<Duration>,
        /// Why traffic does not move there yet; `None`: it does.
        trouble: Option<Trouble>,
    },
    /// The choice was ended.
    Automatic {
        /// The uplink that was chosen, if one was.
        chosen: Option<String>,
    },
    /// The time of the choice is over.
    ChoiceOver,
    /// An uplink was paused.
    Pause {
        uplink: String,
        /// For how long; `None`: until it is resumed.
        lasts: Option<Duration>,
        /// Another uplink that traffic may move to.
        instead: Option<String>,
    },
    /// It was taken back into use.
    Resume { uplink: String },
    /// The time of the pause is over.
    PauseOver { uplink: String },
    /// The LEDs were tested.
    TestLeds {
        /// Which, as people call them.
        leds: Vec<String>,
        lasts: Duration,
    },
    /// Settings were changed on the page, on trial.
    Set {
        /// By whom: an address.
        by: String,
        /// What, in words.
        changes: Vec<String>,
        /// Without a confirmation they are undone after so long.
        within: Duration,
    },
    /// What was on trial stays.
    Keep {
        /// Who said so; `None`: somebody on the box ended the trial, one way or the other.
        by: Option<String>,
    },
    /// What was on trial is undone.
    Undo { why: Undoing },
    /// The password of the page was set on the page.
    Password {
        /// By whom: an address.
        by: String,
    },
}

/// Why what was on trial is undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undoing {
    /// Somebody said so.
    Asked { by: String },
    /// Nobody confirmed it in time.
    Unconfirmed,
    /// It is over, and somebody edited the file meanwhile, which counts as it is.
    Edited,
}

/// Whether a move begins a story or belongs to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// It begins a story.
    Opens,
    /// It belongs to one that has been told of.
    Joins,
}

/// Why an uplink can not take the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// A person paused it.
    Paused,
    /// It is being tested; nothing speaks against it so far.
    Testing,
    /// This is wrong with it.
    Condition(Condition),
    /// This is wrong with it in one family; the other works.
    Only(Family, Condition),
}

impl Trouble {
    /// The word in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::Testing => "testing",
            Self::Condition(condition) | Self::Only(_, condition) => condition.word(),
        }
    }
}

impl Cause {
    /// The word in JSON.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Chosen => "chosen",
            Self::Released => "released",
            Self::Resumed => "resumed",
            Self::Paused { .. } => "paused",
            Self::FirstThatWorks => "first_that_works",
            Self::Stable { .. } => "stable",
            Self::Failed { condition, .. } => condition.word(),
        }
    }
}

impl Deed {
    /// The word in JSON.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Choose { .. } => "choose",
            Self::Automatic { .. } => "automatic",
            Self::ChoiceOver => "choice_over",
            Self::Pause { .. } => "pause",
            Self::Resume { .. } => "resume",
            Self::PauseOver { .. } => "pause_over",
            Self::TestLeds { .. } => "test_leds",
            Self::Set { .. } => "set",
            Self::Keep { .. } => "keep",
            Self::Undo { .. } => "undo",
            Self::Password { .. } => "password",
        }
    }

    /// The uplink it is about, if it is about one.
    #[must_use]
    pub fn uplink(&self) -> Option<&str> {
        match self {
            Self::Choose { uplink, .. }
            | Self::Pause { uplink, .. }
            | Self::Resume { uplink }
            | Self::PauseOver { uplink } => Some(uplink),
            Self::Automatic { chosen } => chosen.as_deref(),
            Self::ChoiceOver
            | Self::TestLeds { .. }
            | Self::Set { .. }
            | Self::Keep { .. }
            | Self::Undo { .. }
            | Self::Password { .. } => None,
        }
    }
}
