//! What becomes of the flows on an uplink that gets no new ones.
//!
//! While it lives they finish where they began (drain), for as long as `on_return` says. When it is
//! dead, or their time is up, they are flushed, so that they begin anew over the active uplink. Those
//! that never had an answer are flushed with the switch itself: they have nothing to lose by a wrong
//! verdict. Afterwards somebody looks whether any is left.

use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;

use crate::engine::kernel::flow::{FlowCount, FlushScope};
use crate::time::Instant;

/// The flows that an uplink still has in one family, although new ones go elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Leftover {
    /// Since when it gets no new ones.
    pub(in crate::engine) since: Instant,
    pub(in crate::engine) fate: Fate,
    /// Those without an answer are to be flushed as soon as the route has moved.
    pub(in crate::engine) unanswered: bool,
    /// When they are counted next, in order.
    pub(in crate::engine) looks: Vec<Instant>,
    /// A count for such a look is under way.
    pub(in crate::engine) looking: bool,
    pub(in crate::engine) seen: Option<FlowCount>,
    /// It has been said that some are left.
    pub(in crate::engine) told: bool,
}

/// What is to become of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::engine) enum Fate {
    /// They finish where they are; until then, if there is a limit.
    Drain(Option<Instant>),
    /// The uplink is dead if it stays silent until then: a wrong verdict costs no flow.
    FlushIfSilent(Instant),
    /// It is dead beyond doubt, or their time is up: as soon as the route has moved.
    Flush,
    Flushed,
}

/// Looks, counted from when the uplink was left or its flows were flushed.
pub(in crate::engine) const LOOKS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];
/// While flows drain they are counted this often, to know when the last one is gone.
pub(in crate::engine) const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// Flows are counted for people at most this often: a dump of a large table is not for free.
pub(in crate::engine) const COUNT_EVERY: Duration = Duration::from_secs(10);
/// Where flows are cut although their uplink lives: what is on the way when new ones go elsewhere may arrive.
pub(in crate::engine) const ON_THE_WAY: Duration = Duration::from_secs(1);
/// Stale connections are reset for so long after flows were flushed.
pub(in crate::engine) const ARMED_FOR: Duration = Duration::from_secs(3600);

impl Fate {
    /// Whether connections will be cut off, so that their clients have to be told.
    pub(in crate::engine) const fn cuts(self) -> bool {
        matches!(self, Self::Flush | Self::FlushIfSilent(_))
    }
}

impl Leftover {
    pub(in crate::engine) fn new(since: Instant, fate: Fate) -> Self {
        let looks = LOOKS.map(|after| since + after).to_vec();
        let unanswered = matches!(fate, Fate::FlushIfSilent(_));
        Self { since, fate, unanswered, looks, looking: false, seen: None, told: false }
    }

    /// When something is next due. What waits for the kernel comes with the kernel's answer.
    pub(in crate::engine) fn deadline(&self) -> Option<Instant> {
        let fate = match self.fate {
            Fate::Drain(until) => until,
            Fate::FlushIfSilent(until) => Some(until),
            Fate::Flush | Fate::Flushed => None,
        };
        [fate, self.looks.first().copied()].into_iter().flatten().min()
    }

    /// Which flows are to be flushed now that the route has moved.
    pub(in crate::engine) fn take_flush(&mut self, now: Instant) -> Option<FlushScope> {
        let unanswered = std::mem::take(&mut self.unanswered);
        match self.fate {
            Fate::Flush => {
                self.fate = Fate::Flushed;
                self.looks = LOOKS.map(|after| now + after).to_vec();
                self.since = now;
                Some(FlushScope::All)
            }
            Fate::FlushIfSilent(_) if unanswered => Some(FlushScope::Unanswered),
            Fate::Drain(_) | Fate::FlushIfSilent(_) | Fate::Flushed => None,
        }
    }

    /// Takes the next look off the list if its time has come.
    pub(in crate::engine) fn take_look(&mut self, now: Instant) -> bool {
        let due = self.looks.iter().take_while(|at| **at <= now).count();
        self.looks.drain(..due);
        self.looking |= due > 0;
        due > 0
    }
}
