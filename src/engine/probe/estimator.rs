//! Round-trip time and loss of one line: three numbers from one array.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::units::{LossPercent, Rtt};

/// Smoothed round-trip time and its variation (RFC 6298 §2: alpha 1/8, beta 1/4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RttEstimator {
    smoothed: Option<Duration>,
    variation: Duration,
}

impl RttEstimator {
    /// Takes one measurement.
    pub fn sample(&mut self, rtt: Rtt) {
        match self.smoothed {
            None => {
                self.smoothed = Some(rtt.0);
                self.variation = rtt.0 / 2;
            }
            Some(smoothed) => {
                let deviation = smoothed.abs_diff(rtt.0);
                self.variation = (self.variation * 3 + deviation) / 4;
                self.smoothed = Some((smoothed * 7 + rtt.0) / 8);
            }
        }
    }

    /// The smoothed round-trip time.
    #[must_use]
    pub fn rtt(&self) -> Option<Rtt> {
        self.smoothed.map(Rtt)
    }

    /// The mean deviation, which people call jitter.
    #[must_use]
    pub fn jitter(&self) -> Option<Rtt> {
        self.smoothed.map(|_| Rtt(self.variation))
    }

    /// When an answer is late: SRTT + 4·RTTVAR. A second before the first sample (RFC 6298 §2.1).
    #[must_use]
    pub fn late_after(&self) -> Duration {
        self.smoothed.map_or(Duration::from_secs(1), |smoothed| smoothed + self.variation * 4)
    }
}

/// The fate of the last probes. Late answers are slow, not lost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LossWindow {
    answered: VecDeque<bool>,
}

impl LossWindow {
    /// How many probes are looked at: at one a second, the last half minute.
    pub const SIZE: usize = 30;

    /// Takes the fate of one probe.
    pub fn sample(&mut self, answered: bool) {
        if self.answered.len() == Self::SIZE {
            self.answered.pop_front();
        }
        self.answered.push_back(answered);
    }

    /// An answer came after its probe had been given up: one loss fewer.
    pub fn answered_late(&mut self) {
        if let Some(lost) = self.answered.iter_mut().rev().find(|answered| !**answered) {
            *lost = true;
        }
    }

    /// Forgets everything; the line is another one now.
    pub fn clear(&mut self) {
        self.answered.clear();
    }

    /// The loss so far, of at least one probe.
    #[must_use]
    pub fn percent(&self) -> Option<LossPercent> {
        let lost = self.answered.iter().filter(|answered| !**answered).count();
        let all = self.answered.len();
        (all > 0).then(|| LossPercent(lost as f32 * 100.0 / all as f32))
    }

    /// The loss, once the window is full enough to judge by.
    #[must_use]
    pub fn verdict(&self) -> Option<LossPercent> {
        if self.answered.len() < Self::SIZE { None } else { self.percent() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimator_follows_rfc_6298() {
        let mut e = RttEstimator::default();
        assert_eq!(e.late_after(), Duration::from_secs(1));
        e.sample(Rtt(Duration::from_millis(20)));
        assert_eq!(e.late_after(), Duration::from_millis(60), "SRTT 20 + 4 * 10");
        e.sample(Rtt(Duration::from_millis(28)));
        assert_eq!(e.rtt().unwrap().0, Duration::from_millis(21));
        assert_eq!(e.jitter().unwrap().0, Duration::from_micros(9500));
    }

    #[test]
    fn loss_is_judged_over_thirty_probes() {
        let mut w = LossWindow::default();
        assert_eq!(w.percent(), None);
        for n in 0..LossWindow::SIZE {
            assert_eq!(w.verdict(), None);
            w.sample(n % 5 != 0);
        }
        assert_eq!(w.verdict(), Some(LossPercent(20.0)));
        w.answered_late();
        assert!(w.verdict().unwrap().0 < 20.0);
    }
}
