//! The quick burst that proves a line that comes up.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Instant;

/// A trial under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Trial {
    next: Instant,
    pause: Duration,
    asked: u32,
    answers: u32,
    targets: BTreeSet<IpAddr>,
}

/// A question of a trial that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    /// Its number in the trial, from 1.
    pub(super) number: u32,
    /// It goes by another method than usual, and how often that was tried: nothing has been answered yet, and
    /// the operator may drop ICMP.
    pub(super) otherwise: Option<usize>,
}

const TICK: Duration = Duration::from_millis(100);
/// A proof needs this many answers …
const ANSWERS: u32 = 10;
/// … from this many targets.
const TARGETS: usize = 2;
/// A trial without an answer for this long has failed.
const GIVE_UP: Duration = Duration::from_secs(3);
/// This many questions go unanswered before another method is tried.
const PATIENT: u32 = 5;

impl Trial {
    pub(super) fn begin(now: Instant) -> Self {
        Self { next: now, ..Self::default() }
    }

    pub(super) const fn deadline(&self) -> Instant {
        self.next
    }

    /// The next question is asked at once.
    pub(super) const fn hurry(&mut self, now: Instant) {
        self.next = now;
    }

    pub(super) fn answered(&mut self, target: IpAddr) {
        self.answers += 1;
        self.targets.insert(target);
    }

    /// Whether anything was answered.
    pub(super) const fn is_answered(&self) -> bool {
        self.answers > 0
    }

    /// Whether enough was answered, of a line with this many targets.
    pub(super) fn is_complete(&self, targets: usize) -> bool {
        self.answers >= ANSWERS && self.targets.len() >= TARGETS.min(targets)
    }

    /// Whether it has failed on a line that last answered then.
    pub(super) fn has_failed(&self, heard: Instant, now: Instant) -> bool {
        now.since(heard) >= GIVE_UP + self.pause
    }

    /// The next question, if it is due. Where answers are plenty, and only a check above stands against the
    /// line, it is asked on as `slowly` as this.
    pub(super) fn tick(&mut self, slowly: Duration, now: Instant) -> Turn {
        let plenty = self.answers >= ANSWERS * 2;
        self.pause = if plenty { slowly } else { TICK };
        self.next = now + self.pause;
        self.asked += 1;
        let number = self.asked;
        let otherwise = self.answers == 0 && number > PATIENT && number.is_multiple_of(2);
        let times = usize::try_from(number / 2).unwrap_or_default();
        Turn { number, otherwise: otherwise.then_some(times) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_wants_answers_from_two_targets_and_slows_down_when_it_has_plenty() {
        let at = |ms: u64| Instant::from_micros(ms * 1000);
        let [a, b] = ["1.1.1.1", "8.8.8.8"].map(|ip| ip.parse().unwrap());
        let mut trial = Trial::begin(at(0));
        for n in 1..=8 {
            let turn = trial.tick(Duration::from_secs(5), at(0));
            let otherwise = (n == 6 || n == 8).then_some(n / 2);
            assert_eq!((turn.number as usize, turn.otherwise), (n, otherwise));
        }
        assert_eq!(trial.deadline(), at(100));
        assert!(trial.has_failed(at(0), at(3_100)) && !trial.has_failed(at(0), at(3_000)));
        (0..12).for_each(|_| trial.answered(a));
        assert!(!trial.is_complete(2) && trial.is_complete(1));
        (0..12).for_each(|_| trial.answered(b));
        assert!(trial.is_complete(2));
        trial.tick(Duration::from_secs(5), at(100));
        assert_eq!(trial.deadline(), at(5_100));
    }
}
