//! A line that is asked whether it could take over, while the one in use is suspected.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Instant;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Candidacy {
    since: Instant,
    next: Instant,
    ticks: u32,
}

/// The first ticks follow each other quickly …
const QUICK: (u32, Duration) = (3, Duration::from_millis(100));
/// … and then a little more slowly, until the decision is made.
const SLOW: Duration = Duration::from_millis(250);

impl Candidacy {
    pub(super) const fn begin(now: Instant) -> Self {
        Self { since: now, next: now, ticks: 0 }
    }

    pub(super) const fn deadline(&self) -> Instant {
        self.next
    }

    /// Whether a line that last answered then has answered as a candidate.
    pub(super) fn is_confirmed(&self, heard: Option<Instant>) -> bool {
        heard.is_some_and(|heard| heard >= self.since)
    }

    /// The number of the tick that is due, from 1; `None`: none is.
    pub(super) fn tick(&mut self, now: Instant) -> Option<u32> {
        if self.next > now {
            return None;
        }
        self.ticks += 1;
        let pause = if self.ticks <= QUICK.0 { QUICK.1 } else { SLOW };
        self.next = now + pause;
        Some(self.ticks)
    }
}
