//! What is counted and told for people only; nothing is decided by it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Line, Surroundings};
use crate::engine::health::{Condition, Health};
use crate::time::Instant;
use crate::units::Rtt;

/// The base probes of a line since somebody last asked; nothing is decided by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Answered.
    pub answered: u32,
    /// Not answered in time.
    pub lost: u32,
    /// Round-trip times of everything that was answered: how many, and their sum.
    pub timed: u32,
    /// Their sum.
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

    /// The time between base probes as it is now, if nothing is suspected.
    #[must_use]
    pub fn pace(&self, s: &Surroundings<'_>) -> Duration {
        self.base_interval(s)
    }
}
