//! Quality: a line that loses many packets is not dead, but another may be better.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Instant;
use crate::units::LossPercent;

/// Whether a line is good enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    /// Loss is below the bar.
    #[default]
    Good,
    /// Loss was above the bar; `calm_since` is when it last fell to the bar of return.
    Degraded {
        since: Instant,
        /// Since when loss has been low again.
        calm_since: Option<Instant>,
    },
}

/// Loss that makes a line degraded, in percent of 30 probes.
pub const DEGRADED: f32 = 20.0;
/// Loss at which it begins to be trusted again …
pub const CALM: f32 = 5.0;
/// … if it stays there for so long.
pub const CALM_FOR: Duration = Duration::from_secs(120);
/// Another uplink must be better by so many points.
pub const BETTER_BY: f32 = 10.0;
/// Active and spares are sampled side by side for so long …
pub const SAMPLE_FOR: Duration = Duration::from_secs(15);
pub const SAMPLE_EVERY: Duration = Duration::from_millis(250);
/// If no uplink was better, look again after so long.
pub const SAMPLE_AGAIN: Duration = Duration::from_secs(60);

impl Quality {
    /// Takes the loss as it is now; returns whether the quality changed.
    pub fn judge(&mut self, loss: LossPercent, now: Instant) -> bool {
        match self {
            Self::Good if loss.0 >= DEGRADED => {
                *self = Self::Degraded { since: now, calm_since: None };
                true
            }
            Self::Good => false,
            Self::Degraded { calm_since, .. } => {
                if loss.0 > CALM {
                    *calm_since = None;
                    return false;
                }
                let calm = *calm_since.get_or_insert(now);
                if now.since(calm) < CALM_FOR {
                    return false;
                }
                *self = Self::Good;
                true
            }
        }
    }

    /// Whether it is degraded.
    #[must_use]
    pub const fn is_degraded(&self) -> bool {
        matches!(self, Self::Degraded { .. })
    }
}

/// Side-by-side loss measurement of one line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Probes whose fate is known.
    pub asked: u32,
    /// Those that were answered.
    pub answered: u32,
}

impl Sample {
    /// The loss, of at least twenty probes.
    #[must_use]
    pub fn loss(&self) -> Option<LossPercent> {
        let lost = self.asked.saturating_sub(self.answered);
        (self.asked >= 20).then(|| LossPercent(lost as f32 * 100.0 / self.asked as f32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaving_is_easier_than_returning() {
        let at = |s: u64| Instant::from_micros(s * 1_000_000);
        let mut q = Quality::Good;
        assert!(!q.judge(LossPercent(19.9), at(0)));
        assert!(q.judge(LossPercent(20.0), at(1)));
        assert!(!q.judge(LossPercent(10.0), at(2)), "neither bad nor calm");
        assert!(!q.judge(LossPercent(5.0), at(10)));
        assert!(!q.judge(LossPercent(5.1), at(100)), "calm starts again");
        assert!(!q.judge(LossPercent(0.0), at(101)));
        assert!(!q.judge(LossPercent(0.0), at(220)));
        assert!(q.judge(LossPercent(0.0), at(221)));
        assert_eq!(q, Quality::Good);
    }
}
