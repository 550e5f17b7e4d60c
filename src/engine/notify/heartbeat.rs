//! When the box gives a sign of life, and by which uplinks.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::probe::Path;
use crate::time::Instant;
use crate::units::UplinkId;

/// By an uplink that costs money not more often: with TLS a sign is 6 kB.
const METERED: Duration = Duration::from_secs(15 * 60);

/// A sign of life.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Of this uplink, and through it; `None`: of the house, by whatever way packets go.
    pub uplink: Option<(String, Vec<Path>)>,
}

/// Whether an uplink is proven to lead to the Internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Works {
    Yes,
    NotYet,
}

/// When the next are due.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::engine) struct Heartbeats {
    /// The next of the house.
    next: Option<Instant>,
    /// There has been one. The first does not wait once an uplink is proven.
    given: bool,
    /// When each uplink gave its last.
    last: BTreeMap<UplinkId, Instant>,
}

impl Heartbeats {
    /// Whether the house's is due; it counts as given then. `works`: an uplink is proven.
    pub(in crate::engine) fn take(&mut self, every: Duration, works: Works, now: Instant) -> bool {
        let first = !self.given && works == Works::Yes;
        let next = *self.next.get_or_insert(now + every);
        let due = first || next <= now;
        if due {
            (self.next, self.given) = (Some(now + every), true);
        }
        due
    }

    /// Whether an uplink's is due as well; it counts as given then. Those that cost money give theirs seldom.
    pub(in crate::engine) fn take_of(
        &mut self,
        uplink: UplinkId,
        costs: Option<Duration>,
        now: Instant,
    ) -> bool {
        let pause = costs.unwrap_or_default();
        let due = self.last.get(&uplink).is_none_or(|last| now.since(*last) >= pause);
        if due {
            self.last.insert(uplink, now);
        }
        due
    }

    /// It begins anew: another configuration is in force.
    pub(in crate::engine) fn reset(&mut self) {
        *self = Self::default();
    }

    pub(in crate::engine) const fn deadline(&self) -> Option<Instant> {
        self.next
    }
}

/// How long an uplink that costs money stays silent at least.
pub(in crate::engine) fn pause(every: Duration) -> Duration {
    // A wake-up that comes a little early is not left out.
    METERED.max(every) - every / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn what_costs_money_is_heard_of_seldom() {
        let every = Duration::from_secs(60);
        let (mut beats, mut house, mut cable, mut phone) = (Heartbeats::default(), 0, 0, 0);
        let id = |n| UplinkId::new(n).unwrap();
        for second in 0..3600 {
            if beats.take(every, Works::Yes, at(second)) {
                house += 1;
                cable += u32::from(beats.take_of(id(1), None, at(second)));
                phone += u32::from(beats.take_of(id(2), Some(pause(every)), at(second)));
            }
        }
        assert_eq!((house, cable, phone), (60, 60, 4));
        assert_eq!(beats.deadline(), Some(at(3600)));
        beats.reset();
        assert!(!beats.take(every, Works::NotYet, at(3599)), "there is nothing to say yet");
        assert!(beats.take(every, Works::Yes, at(3600)), "at once");
        beats.reset();
        assert!(!beats.take(every, Works::NotYet, at(3600)));
        assert!(beats.take(every, Works::NotYet, at(3660)), "that nothing works is news, too");
    }
}
