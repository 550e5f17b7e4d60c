//! What is counted and told for people only; nothing is decided by it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::trial::Trial;
use super::{Line, Surroundings};
use crate::engine::health::suspicion::{Duty, Profile};
use crate::engine::health::{Condition, Health};
use crate::time::Instant;
use crate::units::{LossPercent, Rtt};

/// The base probes of a line since somebody last asked; nothing is decided by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    pub answered: u32,
    /// Not answered in time.
    pub lost: u32,
    /// Round-trip times of everything that was answered: how many, and their sum.
    pub timed: u32,
    pub sum: Duration,
}

impl Tally {
    /// Books the fate of a base probe; `late`: it had been booked as lost.
    pub(super) const fn count(&mut self, answered: bool, late: bool) {
        if answered {
            self.answered += 1;
            self.lost = self.lost.saturating_sub(late as u32);
        } else if !late {
            self.lost += 1;
        }
    }

    pub(super) fn time(&mut self, rtt: Rtt) {
        self.timed += 1;
        self.sum += rtt.0;
    }

    /// The mean round-trip time.
    #[must_use]
    pub fn rtt(&self) -> Option<Rtt> {
        (self.timed > 0).then(|| Rtt(self.sum / self.timed))
    }

    /// Loss, in percent.
    #[must_use]
    pub fn loss_percent(&self) -> Option<f32> {
        let all = self.answered + self.lost;
        (all > 0).then(|| 100.0 * self.lost as f32 / all as f32)
    }
}

/// Figures for people; `None`: not measured, or not of now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    pub rtt: Option<Rtt>,
    /// Mean deviation of it.
    pub jitter: Option<Rtt>,
    /// Loss of the last probes.
    pub loss: Option<LossPercent>,
}

/// How often a line is asked at rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    /// From one base probe to the next.
    pub base: Duration,
    /// From one question for a name to the next.
    pub names: Duration,
    /// From one look at every page to the next.
    pub pages: Duration,
}

/// Names are asked for this often on a line in use where nothing is in doubt …
pub(super) const NAMES_EVERY: Duration = Duration::from_secs(30);
/// … and pages this often.
pub(super) const PAGES_EVERY: Duration = Duration::from_secs(300);
/// A spare whose packets cost is checked above ICMP this often.
pub(super) const METERED_SPARE: Duration = Duration::from_secs(3600);

impl Line {
    /// What was counted since it was last taken.
    #[must_use]
    pub const fn tally(&self) -> Tally {
        self.tally
    }

    /// Takes what was counted.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// The condition, for people.
    #[must_use]
    pub fn condition(&self, s: &Surroundings<'_>) -> Condition {
        match self.health {
            Health::Down { condition, .. } => condition,
            Health::Unknown => Condition::Ok,
            Health::Up { .. } | Health::Failing { .. } | Health::Recovering { .. } => {
                let found = self.obstacle(s).filter(|c| *c != Condition::Ok);
                let loss =
                    if self.quality.is_degraded() { Condition::Degraded } else { Condition::Ok };
                let silent = self.proof.own_are_silent(s.plan);
                let names = if silent { Condition::ResolversSilent } else { Condition::Ok };
                found.unwrap_or(loss.max(names))
            }
        }
    }

    /// When it last passed every check.
    #[must_use]
    pub fn proven(&self) -> Option<Instant> {
        self.proven_at.max(self.proof.passed())
    }

    /// Round-trip time, jitter and loss, as far as they are those of a line that answers now.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let measured = match self.health {
            Health::Up { .. } | Health::Failing { .. } => true,
            Health::Recovering { .. } => self.trial.as_ref().is_some_and(Trial::is_answered),
            Health::Unknown | Health::Down { .. } => false,
        };
        let lines = || (self.rtt.rtt(), self.rtt.jitter(), self.loss.percent());
        let (rtt, jitter, loss) = if measured { lines() } else { (None, None, None) };
        Figures { rtt, jitter, loss }
    }

    /// How often it is asked while nothing happens on it.
    #[must_use]
    pub fn rest(s: &Surroundings<'_>) -> Rest {
        let slower = Self::slower(s);
        let (names, pages) = match s.duty {
            Duty::MeteredSpare => (METERED_SPARE, METERED_SPARE),
            Duty::Active | Duty::Spare => (NAMES_EVERY * slower, PAGES_EVERY * slower),
        };
        Rest { base: Profile::of(s.kind, s.duty).idle, names, pages }
    }

    /// By how much the checks above ICMP are rarer than on the line in use.
    pub(super) const fn slower(s: &Surroundings<'_>) -> u32 {
        let duty = if matches!(s.duty, Duty::Active) { 1 } else { 2 };
        let saving = if s.metered && !s.desperate { 3 } else { 1 };
        duty * saving
    }
}
