//! Round-trip time and loss of one line: three numbers from one array.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Heard;
use crate::units::{LossPercent, Rtt};

/// Smoothed round-trip time and its variation (RFC 6298 §2: alpha 1/8, beta 1/4), bounded by what
/// the last measurements were: one outlier is forgotten when it is ten measurements old.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RttEstimator {
    smoothed: Option<Duration>,
    variation: Duration,
    /// The last measurements, oldest first.
    recent: VecDeque<Duration>,
}

/// Measurements after which an outlier is forgotten.
const MEMORY: usize = 10;

impl RttEstimator {
    pub fn sample(&mut self, rtt: Rtt) {
        // The first answers wait until the gateway's link-layer address is known (ARP, RFC 4861 §7.2),
        // up to a second each: the first one that did not wait shows what the line is like.
        let waited = |smoothed| self.recent.len() < MEMORY && rtt.0 < smoothed / 2;
        match self.smoothed {
            Some(smoothed) if !waited(smoothed) => {
                let deviation = smoothed.abs_diff(rtt.0);
                self.variation = (self.variation * 3 + deviation) / 4;
                self.smoothed = Some((smoothed * 7 + rtt.0) / 8);
            }
            Some(_) | None => {
                self.recent.clear();
                self.smoothed = Some(rtt.0);
                self.variation = rtt.0 / 2;
            }
        }
        self.remember(rtt.0);
    }

    fn remember(&mut self, rtt: Duration) {
        if self.recent.len() == MEMORY {
            self.recent.pop_front();
        }
        self.recent.push_back(rtt);
        let (least, most) = (self.recent.iter().min(), self.recent.iter().max());
        if let (MEMORY, Some(least), Some(most)) = (self.recent.len(), least, most) {
            self.smoothed = self.smoothed.map(|smoothed| smoothed.clamp(*least, *most));
            self.variation = self.variation.min(*most - *least);
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
    pub fn sample(&mut self, heard: Heard) {
        if self.answered.len() == Self::SIZE {
            self.answered.pop_front();
        }
        self.answered.push_back(heard == Heard::Answer);
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
    fn first_answers_that_waited_for_neighbours_are_forgotten_at_once() {
        let mut e = RttEstimator::default();
        for ms in [936, 836, 736, 36] {
            e.sample(Rtt(Duration::from_millis(ms)));
        }
        let quick = Rtt(Duration::from_micros(300));
        for _ in 0..3 {
            e.sample(quick);
        }
        assert_eq!(e.rtt(), Some(quick));
        assert!(e.late_after() < Duration::from_millis(2), "{:?}", e.late_after());
    }

    #[test]
    fn an_outlier_is_forgotten_within_ten_measurements() {
        let mut e = RttEstimator::default();
        let usual = Rtt(Duration::from_millis(8));
        for _ in 0..20 {
            e.sample(usual);
        }
        e.sample(Rtt(Duration::from_secs(3)));
        assert!(e.late_after() > Duration::from_secs(1), "control: it is taken");
        for _ in 0..10 {
            e.sample(usual);
        }
        assert_eq!(e.late_after(), usual.0);
    }

    #[test]
    fn loss_is_judged_over_thirty_probes() {
        let mut w = LossWindow::default();
        assert_eq!(w.percent(), None);
        for n in 0..LossWindow::SIZE {
            assert_eq!(w.verdict(), None);
            w.sample(if n % 5 == 0 { Heard::Silence } else { Heard::Answer });
        }
        assert_eq!(w.verdict(), Some(LossPercent(20.0)));
        w.answered_late();
        assert!(w.verdict().unwrap().0 < 20.0);
    }
}
