//! Loss of a line, measured side by side with the others.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::health::quality::{SAMPLE_EVERY, SAMPLE_FOR, Sample};
use crate::time::Instant;

/// A measurement under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sampling {
    next: Instant,
    until: Instant,
    sample: Sample,
}

/// What is due in a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Question,
    Result(Sample),
}

/// Answers to the last questions are waited for this long.
const PATIENCE: Duration = Duration::from_secs(1);

impl Sampling {
    pub(super) fn begin(now: Instant) -> Self {
        Self { next: now, until: now + SAMPLE_FOR, sample: Sample::default() }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.next.min(self.until)
    }

    pub(super) const fn answered(&mut self) {
        self.sample.answered += 1;
    }

    pub(super) fn tick(&mut self, now: Instant) -> Due {
        if self.until <= now {
            return Due::Result(self.sample);
        }
        if self.next > now {
            return Due::Nothing;
        }
        // The last ones would have no time to be answered.
        if self.until.since(now) <= PATIENCE {
            self.next = self.until;
            return Due::Nothing;
        }
        // From now, not from when it was due: after a stall there is nothing to catch up with.
        self.next = now + SAMPLE_EVERY;
        self.sample.asked += 1;
        Due::Question
    }
}
