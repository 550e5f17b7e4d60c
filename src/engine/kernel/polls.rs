//! When the evidence counters are read.

use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;

use crate::time::Instant;

/// When the evidence counters are read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::engine) struct Polls {
    pub(in crate::engine) next: Instant,
    pub(in crate::engine) bytes_at: Instant,
    /// When flows were last counted.
    pub(in crate::engine) flows_at: Option<Instant>,
    /// The kernel can track no more connections: new ones fail whatever the lines are like.
    pub(in crate::engine) full: bool,
    /// A question that has not been answered yet.
    pub(in crate::engine) asked: Option<Instant>,
}

/// While somebody is suspected, or a switch waits for its first answer.
pub(in crate::engine) const POLL_SUSPECTED: Duration = Duration::from_millis(50);
/// While traffic flows: the last sign of life must be known to a tenth of a second.
pub(in crate::engine) const POLL_BUSY: Duration = Duration::from_millis(100);
pub(in crate::engine) const POLL_IDLE: Duration = Duration::from_secs(1);
/// Byte counts are for people.
pub(in crate::engine) const BYTES_EVERY: Duration = Duration::from_secs(5);
/// An answer that takes longer is not waited for.
pub(in crate::engine) const POLL_LOST: Duration = Duration::from_secs(2);

impl Polls {
    /// Takes how many connections are tracked, and how many can be. A table that was full has to have
    /// some room before it counts as well again.
    pub(in crate::engine) fn track(&mut self, (count, most): (u64, u64)) {
        let room = most.saturating_sub(count);
        self.full = most > 0 && (room == 0 || (self.full && room < most / 20));
    }

    pub(in crate::engine) fn deadline(&self) -> Instant {
        self.asked.map_or(self.next, |asked| asked + POLL_LOST)
    }
}
