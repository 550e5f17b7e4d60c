//! What is done by the hour and by the day, what is counted along the way, and the news about spares.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;

use crate::engine::events::undone::Kind;
use crate::time::Instant;

/// The longest delay of the loop is told for spans of this length.
pub(in crate::engine) const DELAY_SPAN: Duration = Duration::from_secs(10);
/// Learned windows move once an hour.
pub(in crate::engine) const LEARN_EVERY: Duration = Duration::from_secs(3600);
/// What was learned is first saved so soon after the start: a disk that cannot be written is known by then.
pub(in crate::engine) const SAVE_FIRST: Duration = Duration::from_secs(60);
/// Later it is saved once a day.
pub(in crate::engine) const SAVE_EVERY: Duration = Duration::from_secs(86_400);
/// "No spare left" is said when it has been true for so long.
pub(in crate::engine) const SPARELESS_FOR: Duration = Duration::from_secs(10);
/// After the start, spares get so long to prove themselves before their absence is news.
pub(in crate::engine) const SETTLE_FOR: Duration = Duration::from_secs(30);

/// Timers of the house, and what was last said about spares.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::engine) struct Housekeeping {
    pub(in crate::engine) learn_at: Instant,
    pub(in crate::engine) learned_until: Instant,
    pub(in crate::engine) save_at: Instant,
    /// Since when no spare has been ready, and whether that has been said.
    pub(in crate::engine) spareless: Option<(Instant, bool)>,
    /// The start was long enough ago when spares were last looked at.
    #[serde(default)]
    pub(in crate::engine) settled: bool,
    pub(in crate::engine) repairs: u64,
    /// The same by what had been changed.
    pub(in crate::engine) repairs_of: BTreeMap<Kind, u64>,
    /// The longest delay of the loop since `delays_since`, and in the span before that.
    pub(in crate::engine) delays: (Duration, Duration),
    pub(in crate::engine) delays_since: Instant,
}

impl Housekeeping {
    pub(in crate::engine) fn born(birth: Instant) -> Self {
        Self {
            learn_at: birth + LEARN_EVERY,
            learned_until: birth,
            save_at: birth + SAVE_FIRST,
            ..Self::default()
        }
    }

    /// When something is due.
    pub(in crate::engine) fn deadline(&self) -> Instant {
        let house = self.learn_at.min(self.save_at);
        self.spareless_at().map_or(house, |at| house.min(at))
    }

    /// When it is to be said that no spare is left.
    pub(in crate::engine) fn spareless_at(&self) -> Option<Instant> {
        self.spareless.filter(|(_, said)| !said).map(|(at, _)| at + SPARELESS_FOR)
    }

    pub(in crate::engine) fn book_delay(&mut self, delay: Duration, now: Instant) {
        if now.since(self.delays_since) >= DELAY_SPAN {
            self.delays = (Duration::ZERO, self.delays.0);
            self.delays_since = now;
        }
        self.delays.0 = self.delays.0.max(delay);
    }

    /// The longest delay of the last ten to twenty seconds.
    pub(in crate::engine) fn longest_delay(&self) -> Duration {
        self.delays.0.max(self.delays.1)
    }
}
