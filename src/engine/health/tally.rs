//! What is counted of a line for people; nothing is decided by it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

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
    /// A base probe was answered.
    pub(in crate::engine::health) const fn answered(&mut self) {
        self.answered += 1;
    }

    /// It was not answered in time.
    pub(in crate::engine::health) const fn lost(&mut self) {
        self.lost += 1;
    }

    /// One that had been booked as lost was answered after all.
    pub(in crate::engine::health) const fn answered_late(&mut self) {
        self.answered += 1;
        self.lost = self.lost.saturating_sub(1);
    }

    pub(in crate::engine::health) fn time(&mut self, rtt: Rtt) {
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
pub(in crate::engine::health) const NAMES_EVERY: Duration = Duration::from_secs(30);
/// … and pages this often.
pub(in crate::engine::health) const PAGES_EVERY: Duration = Duration::from_secs(300);
/// A spare whose packets cost is checked above ICMP this often.
pub(in crate::engine::health) const METERED_SPARE: Duration = Duration::from_secs(3600);
