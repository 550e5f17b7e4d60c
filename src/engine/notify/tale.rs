//! What a message tells, and its words: a title, one line, and what next. Log and page say the same of the same
//! facts; a message has the times, as whoever reads it later does not see them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::events::causes::{Cause, Trouble};
use crate::engine::events::facts::{Fact, SwitchKind};
use crate::engine::events::words::{capital, row};
use crate::time::{Instant, human};
use crate::units::Family;

/// What a message tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "tale")]
pub enum Tale {
    /// Traffic moved away from the first uplink, or further down or up the chain.
    Moved {
        from: Option<String>,
        to: String,
        kind: SwitchKind,
        cause: Cause,
        /// Only this IP version.
        family: Option<Family>,
        /// How long people had no answer.
        felt: Option<Duration>,
        /// What is left to fall back on.
        spares: Vec<String>,
    },
    /// Traffic is back on the first uplink.
    Returned {
        from: Option<String>,
        to: String,
        /// How long it was elsewhere, if that began while the agent ran.
        away: Option<Duration>,
        /// What is left to fall back on.
        spares: Vec<String>,
    },
    /// Nothing works.
    NoInternet {
        /// The uplink on which traffic stays.
        stays_on: Option<String>,
    },
    /// Nothing worked for a while, and now something does.
    Outage {
        /// When it began.
        from: Instant,
        /// The uplink that carries the traffic now.
        uplink: String,
        /// How long nobody had an answer.
        gap: Option<Duration>,
        /// What is left to fall back on.
        spares: Vec<String>,
    },
    /// Nothing is left to fall back on.
    NoSpare { active: Option<String>, others: Vec<(String, Trouble)> },
    /// Something is again.
    SpareAgain { uplink: String },
    /// There has been nothing to fall back on for long.
    StillNoSpare { since: Instant },
    /// The first uplink has not been able to carry traffic for a while.
    FirstDown { uplink: String, trouble: Trouble, since: Instant, on: Option<String> },
    /// What is used costs money, and has been used for long.
    StillMetered { uplink: String, since: Instant },
    /// What the log says, too.
    Plain { fact: Fact },
    /// Somebody asked for it.
    Test,
}

/// The words of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    pub title: String,
    pub text: String,
    /// What happens next, or what to do; may be empty.
    pub next: String,
}

fn words(title: impl Into<String>, text: impl Into<String>, next: impl Into<String>) -> Words {
    Words { title: title.into(), text: text.into(), next: next.into() }
}

/// `phone` or `phone and mifi`, or that there is nothing.
fn left(spares: &[String]) -> String {
    row(spares.to_vec()).map_or_else(
        || "Nothing is left to fall back on.".to_owned(),
        |spares| format!("Left to fall back on: {spares}."),
    )
}

impl Tale {
    /// One word for it, for programs.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Moved { .. } => "switched",
            Self::Returned { .. } => "returned",
            Self::NoInternet { .. } => "no-internet",
            Self::Outage { .. } => "internet-back",
            Self::NoSpare { .. } | Self::StillNoSpare { .. } => "no-spare",
            Self::SpareAgain { .. } => "spare-ready",
            Self::FirstDown { .. } => "uplink-down",
            Self::StillMetered { .. } => "still-metered",
            Self::Plain { fact } => fact.code().word(),
            Self::Test => "test",
        }
    }

    /// Of which uplinks people may have written what belongs to it; `None`: of any.
    #[must_use]
    pub fn about(&self) -> Option<Vec<&str>> {
        Some(match self {
            Self::NoInternet { .. } | Self::Outage { .. } => return None,
            Self::Moved {
                cause: Cause::Failed { uplink, .. } | Cause::Paused { uplink }, ..
            }
            | Self::FirstDown { uplink, .. } => vec![uplink],
            Self::Moved { from, .. } => from.as_deref().into_iter().collect(),
            Self::NoSpare { others, .. } => others.iter().map(|(name, _)| name.as_str()).collect(),
            Self::Plain { fact } => fact.uplink().into_iter().collect(),
            Self::Returned { .. }
            | Self::SpareAgain { .. }
            | Self::StillNoSpare { .. }
            | Self::StillMetered { .. }
            | Self::Test => Vec::new(),
        })
    }

    /// Its words. `at` is when it happened; `clock` says a time as people read it off their clocks.
    #[must_use]
    pub fn words(&self, at: Instant, clock: &dyn Fn(Instant) -> String) -> Words {
        match self {
            Self::Moved { to, cause, family, felt, spares, .. } => {
                let only = family.map_or_else(String::new, |family| format!(" for {family}"));
                let felt = felt
                    .map_or_else(String::new, |felt| format!(" {} without Internet.", human(felt)));
                let why = capital(&cause.to_string());
                words(
                    format!("On {to}{only} since {}", clock(at)),
                    format!("{why}.{felt}"),
                    left(spares),
                )
            }
            Self::Returned { from, to, away, spares } => {
                let text = match (away, from) {
                    (Some(away), Some(from)) => format!("{} on {from}.", human(*away)),
                    _ => format!("{} carries the traffic again.", capital(to)),
                };
                words(format!("Back on {to} since {}", clock(at)), text, left(spares))
            }
            Self::NoInternet { stays_on } => {
                let stays = stays_on.as_ref();
                let on =
                    stays.map_or_else(String::new, |name| format!("; traffic stays on {name}"));
                let text = format!("No uplink works{on}.");
                let next = "Each is tried again every second; the first that answers is used.";
                words(format!("No Internet since {}", clock(at)), text, next)
            }
            Self::Outage { from, uplink, gap, spares } => {
                let gap = gap.unwrap_or_else(|| at.since(*from));
                let (began, ended) = (clock(*from), clock(at));
                let title = if began == ended {
                    format!("No Internet at {began}")
                } else {
                    format!("No Internet {began}–{ended}")
                };
                let text =
                    format!("{} without Internet. {} took over.", human(gap), capital(uplink));
                words(title, text, left(spares))
            }
            Self::NoSpare { .. }
            | Self::SpareAgain { .. }
            | Self::StillNoSpare { .. }
            | Self::FirstDown { .. }
            | Self::StillMetered { .. } => self.words_of_a_state(clock),
            Self::Plain { fact } => {
                let title = fact.uplink().map_or_else(|| "sparelink".to_owned(), capital);
                words(title, format!("{}.", capital(&fact.to_string())), "")
            }
            Self::Test => words("Test of sparelink", "This channel works.", ""),
        }
    }

    /// The words of what lasts.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others are in the function before")]
    fn words_of_a_state(&self, clock: &dyn Fn(Instant) -> String) -> Words {
        match self {
            Self::NoSpare { active, others } => {
                let works =
                    active.as_ref().map_or_else(String::new, |a| format!("{} works. ", capital(a)));
                let why: Vec<String> = others
                    .iter()
                    .map(|(name, trouble)| format!("{} {trouble}.", capital(name)))
                    .collect();
                let next = active.as_ref().map_or_else(String::new, |active| {
                    format!("If {active} fails, there is no Internet.")
                });
                words("No spare left", works + &why.join(" "), next)
            }
            Self::SpareAgain { uplink } => {
                words("A spare again", format!("{} is ready to take over.", capital(uplink)), "")
            }
            Self::StillNoSpare { since } => {
                let text =
                    format!("There has been nothing to fall back on since {}.", clock(*since));
                words("Still no spare left", text, "This is said once.")
            }
            Self::FirstDown { uplink, trouble, since, on } => {
                let on = on.as_ref().map_or_else(String::new, |on| format!(" Traffic is on {on}."));
                let text = format!("{} {trouble}.{on}", capital(uplink));
                let next = format!("Tell the provider. Traffic returns when {uplink} is stable.");
                words(format!("{} down since {}", capital(uplink), clock(*since)), text, next)
            }
            Self::StillMetered { uplink, since } => {
                let text = format!(
                    "{} has carried the traffic since {}, and it is metered.",
                    capital(uplink),
                    clock(*since)
                );
                words(format!("Still on {uplink}"), text, "This is said once.")
            }
            _ => words("", "", ""),
        }
    }
}
