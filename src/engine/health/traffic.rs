//! Return traffic as evidence: packets that came back from beyond the uplink are life.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Instant;

/// What the evidence counters of one line said so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    inward: Option<u64>,
    outward: Option<u64>,
    polled: Option<Instant>,
    last_inward: Option<Instant>,
    moved: Option<Instant>,
    asked: Option<Instant>,
}

/// What one look at the counters showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Something came back.
    Life,
    /// Something went out; nothing came back since that instant.
    OneSided(Instant),
    /// Neither.
    Quiet,
}

/// Traffic that stopped for so long has ended; the counters need no close watch.
const BUSY: Duration = Duration::from_secs(2);

impl Traffic {
    /// Takes the counters as they are now. A counter that went back was made anew: no evidence.
    pub fn look(&mut self, inward: u64, outward: u64, now: Instant) -> Evidence {
        let before = self.polled.replace(now).unwrap_or(now);
        let came = self.inward.replace(inward).is_some_and(|old| inward > old);
        let went = self
            .outward
            .replace(outward)
            .is_some_and(|old| outward > old);
        if came || went {
            self.moved = Some(now);
        }
        if came {
            self.asked = None;
            self.last_inward = Some(now);
            return Evidence::Life;
        }
        if went {
            return Evidence::OneSided(*self.asked.get_or_insert(before));
        }
        self.asked.map_or(Evidence::Quiet, Evidence::OneSided)
    }

    /// Whether packets moved lately.
    #[must_use]
    pub fn is_busy(&self, now: Instant) -> bool {
        self.moved.is_some_and(|moved| now.since(moved) < BUSY)
    }

    /// Since when traffic goes out and nothing comes back; forgotten when the traffic ends.
    #[must_use]
    pub fn one_sided_since(&self, now: Instant) -> Option<Instant> {
        self.asked.filter(|_| self.is_busy(now))
    }

    /// When something last came back.
    #[must_use]
    pub const fn last_inward(&self) -> Option<Instant> {
        self.last_inward
    }

    /// Forgets what was asked: a verdict or a new link has dealt with it.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_growth_is_evidence() {
        let at = |ms: u64| Instant::from_micros(ms * 1000);
        let mut t = Traffic::default();
        assert_eq!(
            t.look(100, 100, at(0)),
            Evidence::Quiet,
            "the first look shows no growth"
        );
        assert_eq!(t.look(101, 101, at(100)), Evidence::Life);
        assert_eq!(t.look(101, 105, at(200)), Evidence::OneSided(at(100)));
        assert_eq!(
            t.look(101, 109, at(300)),
            Evidence::OneSided(at(100)),
            "since the first"
        );
        assert_eq!(t.one_sided_since(at(350)), Some(at(100)));
        assert_eq!(t.look(102, 110, at(400)), Evidence::Life);
        assert_eq!(t.one_sided_since(at(450)), None);
        assert_eq!(t.look(0, 0, at(500)), Evidence::Quiet, "a table made anew");
        assert!(!t.is_busy(at(2400)));
    }
}
