//! What people are told of a line; nothing is decided by it.

use super::trial::Trial;
use super::{Context, Line, Pattern};
use crate::engine::health::suspicion::{Duty, Profile};
use crate::engine::health::{Condition, Health};
use crate::time::Instant;

use crate::engine::health::tally::{Figures, METERED_SPARE, NAMES_EVERY, PAGES_EVERY, Rest, Tally};

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
    pub fn condition(&self, s: &Context<'_>) -> Condition {
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

    /// Short silences that keep coming, if they do.
    #[must_use]
    pub fn pattern(&self, now: Instant) -> Option<Pattern> {
        self.hiccups.pattern(now)
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
    pub fn rest(s: &Context<'_>) -> Rest {
        let slower = Self::slower(s);
        let (names, pages) = match s.duty {
            Duty::MeteredSpare => (METERED_SPARE, METERED_SPARE),
            Duty::Active | Duty::Spare => (NAMES_EVERY * slower, PAGES_EVERY * slower),
        };
        Rest { base: Profile::of(s.kind, s.duty).idle, names, pages }
    }

    /// By how much the checks above ICMP are rarer than on the line in use.
    pub(super) const fn slower(s: &Context<'_>) -> u32 {
        let duty = if matches!(s.duty, Duty::Active) { 1 } else { 2 };
        let saving = if s.metered && !s.desperate { 3 } else { 1 };
        duty * saving
    }
}
