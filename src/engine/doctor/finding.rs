//! What a person should know, and what to do about it.

use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// It stands in the way.
    Wrong,
    Note,
}

/// Something that a person should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    pub what: String,
    /// What it means for this box.
    pub why: String,
    /// What to do about it: commands or lines for a file; empty if nothing needs doing.
    pub mend: String,
}

impl Finding {
    pub(super) fn wrong(
        what: impl Into<String>,
        why: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self { level: Level::Wrong, what: what.into(), why: why.into(), mend: mend.into() }
    }

    pub(super) fn note(
        what: impl Into<String>,
        why: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self { level: Level::Note, ..Self::wrong(what, why, mend) }
    }
}

/// `a, b and c`.
pub(super) fn listed(all: &[String]) -> String {
    match all {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}
