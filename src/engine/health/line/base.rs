//! The questions that are asked all the time: when the next one is due, and of which target.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::witnesses::Witnesses;
use crate::time::Instant;

/// Which question is next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Base {
    at: Instant,
    last: Instant,
    turn: usize,
    /// How many base probes each target has missed in a row.
    misses: BTreeMap<IpAddr, u32>,
}

/// Which targets are asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pick<'a> {
    /// Every one: the line may be dead.
    Any,
    /// Those that are at fault themselves, and those that the modem answers by all that these saw, only when
    /// there is no other.
    Fit(&'a Witnesses),
}

/// A target that missed this many base probes in a row, on a line that is up, is set aside …
const FAULT: u32 = 4;
/// … but for a chance on every sixteenth round.
const CHANCE: usize = 16;
/// Every fourth question may go by another method.
const OTHERWISE: usize = 4;

impl Base {
    pub(super) fn begin(now: Instant) -> Self {
        Self { at: now, ..Self::default() }
    }

    pub(super) const fn deadline(&self) -> Instant {
        self.at
    }

    /// The next one is asked then.
    pub(super) const fn wait(&mut self, until: Instant) {
        self.at = until;
    }

    /// The next one is asked then, if it is not asked before.
    pub(super) fn hurry(&mut self, at: Instant) {
        self.at = self.at.min(at);
    }

    /// The next one is asked this long after the last one, if it is not asked before.
    pub(super) fn hurry_after_last(&mut self, pause: Duration) {
        self.hurry(self.last + pause);
    }

    /// One is asked now, and the next one then.
    pub(super) const fn asked(&mut self, now: Instant, next: Instant) {
        (self.last, self.at) = (now, next);
    }

    /// A target answered.
    pub(super) fn answered(&mut self, target: IpAddr) {
        self.misses.remove(&target);
    }

    /// A target did not answer in time.
    pub(super) fn missed(&mut self, target: IpAddr) {
        *self.misses.entry(target).or_default() += 1;
    }

    /// The next target in turn.
    pub(super) fn target(&mut self, targets: &[IpAddr], pick: Pick<'_>) -> Option<IpAddr> {
        for _ in 0..targets.len() {
            self.turn = self.turn.wrapping_add(1);
            let target = targets[self.turn % targets.len()];
            let chance = (self.turn / targets.len()).is_multiple_of(CHANCE);
            let is_fit = match pick {
                Pick::Any => true,
                Pick::Fit(witnesses) => {
                    !self.is_at_fault(target) && !witnesses.is_near(target, targets)
                }
            };
            if is_fit || chance {
                return Some(target);
            }
        }
        targets.get(self.turn % targets.len().max(1)).copied()
    }

    fn is_at_fault(&self, target: IpAddr) -> bool {
        self.misses.get(&target).is_some_and(|misses| *misses >= FAULT)
    }

    /// Whether the question to the last target is one that may go by another method, and how many were.
    pub(super) fn otherwise(&self) -> Option<usize> {
        self.turn.is_multiple_of(OTHERWISE).then_some(self.turn / OTHERWISE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    #[test]
    fn the_next_question_may_be_hurried_but_not_put_off_by_it() {
        let mut base = Base::begin(at(0));
        base.asked(at(0), at(1000));
        base.hurry(at(2000));
        assert_eq!(base.deadline(), at(1000));
        base.hurry_after_last(Duration::from_millis(250));
        assert_eq!(base.deadline(), at(250));
        base.wait(at(5000));
        assert_eq!(base.deadline(), at(5000));
    }

    #[test]
    fn a_target_at_fault_is_set_aside_but_for_a_chance() {
        let [a, b] = ["1.1.1.1", "8.8.8.8"].map(|ip| ip.parse().unwrap());
        let (mut base, witnesses) = (Base::default(), Witnesses::default());
        let round = |base: &mut Base| {
            let asked = (0..32).map(|_| base.target(&[a, b], Pick::Fit(&witnesses)));
            asked.filter(|asked| *asked == Some(b)).count()
        };
        assert_eq!(round(&mut base), 16, "in turn");
        (1..FAULT).for_each(|_| base.missed(b));
        assert_eq!(round(&mut base), 16, "not yet");
        base.missed(b);
        assert!((1..=2).contains(&round(&mut base)), "a chance now and then");
        let any = (0..32).map(|_| base.target(&[a, b], Pick::Any));
        assert_eq!(any.filter(|asked| *asked == Some(b)).count(), 16, "the line may be dead");
        base.answered(b);
        assert_eq!(round(&mut base), 16, "it answers again");
        assert_eq!(base.target(&[], Pick::Any), None);
    }
}
