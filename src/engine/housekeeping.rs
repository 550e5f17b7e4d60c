//! What is done by the hour and by the day, what is counted along the way, and the news about spares.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Engine;
use super::dataplane::drift::Kind;
use super::event::Fact;
use super::uplink::Uplink;
use crate::time::{Instant, Now};
use crate::units::UplinkId;

/// The longest delay of the loop is told for spans of this length.
const DELAY_SPAN: Duration = Duration::from_secs(10);
/// Learned windows move once an hour.
const LEARN_EVERY: Duration = Duration::from_secs(3600);
/// What was learned is first saved so soon after the start: a disk that cannot be written is known by then.
const SAVE_FIRST: Duration = Duration::from_secs(60);
/// Later it is saved once a day.
const SAVE_EVERY: Duration = Duration::from_secs(86_400);
/// "No spare left" is said when it has been true for so long.
const SPARELESS_FOR: Duration = Duration::from_secs(10);
/// After the start, spares get so long to prove themselves before their absence is news.
const SETTLE_FOR: Duration = Duration::from_secs(30);

/// Timers of the house, and what was last said about spares.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Housekeeping {
    learn_at: Instant,
    pub(super) learned_until: Instant,
    save_at: Instant,
    /// Since when no spare has been ready, and whether that has been said.
    spareless: Option<(Instant, bool)>,
    pub(super) repairs: u64,
    /// The same by what had been changed.
    pub(super) repairs_of: BTreeMap<Kind, u64>,
    /// The longest delay of the loop since `delays_since`, and in the span before that.
    delays: (Duration, Duration),
    delays_since: Instant,
}

impl Housekeeping {
    pub(super) fn born(birth: Instant) -> Self {
        Self {
            learn_at: birth + LEARN_EVERY,
            learned_until: birth,
            save_at: birth + SAVE_FIRST,
            ..Self::default()
        }
    }

    /// When something is due.
    pub(super) fn deadline(&self) -> Instant {
        let spareless = self.spareless.filter(|(_, said)| !said).map(|(at, _)| at + SPARELESS_FOR);
        let house = self.learn_at.min(self.save_at);
        spareless.map_or(house, |at| house.min(at))
    }

    pub(super) fn book_delay(&mut self, delay: Duration, now: Instant) {
        if now.since(self.delays_since) >= DELAY_SPAN {
            self.delays = (Duration::ZERO, self.delays.0);
            self.delays_since = now;
        }
        self.delays.0 = self.delays.0.max(delay);
    }

    /// The longest delay of the last ten to twenty seconds.
    pub(super) fn longest_delay(&self) -> Duration {
        self.delays.0.max(self.delays.1)
    }
}

impl Engine {
    /// What is done by the hour and by the day, and the news about spares.
    pub(super) fn keep_house(&mut self, now: Now) {
        if self.housekeeping.learn_at <= now.mono {
            self.housekeeping.learn_at = now.mono + LEARN_EVERY;
            self.learn(now);
        }
        if self.housekeeping.save_at <= now.mono {
            self.housekeeping.save_at = now.mono + SAVE_EVERY;
            self.save(now);
        }
        self.watch_spares(now);
    }

    /// Losing the last spare is news even while everything works.
    fn watch_spares(&mut self, now: Now) {
        let Some(started) = self.started else { return };
        let carrying = self.household.active;
        let works = |id: Option<UplinkId>| {
            id.and_then(|id| self.uplinks.get(&id)).is_some_and(Uplink::is_ready)
        };
        let settled = now.mono.since(started) >= SETTLE_FOR;
        if self.chain.len() < 2 || !settled || !(works(carrying.v4) || works(carrying.v6)) {
            // There is worse news than a missing spare now; what was not said yet is not due.
            self.housekeeping.spareless.take_if(|(_, said)| !*said);
            return;
        }
        let is_spare =
            |u: &&Uplink| u.is_ready() && Some(u.id) != carrying.v4 && Some(u.id) != carrying.v6;
        let spare = self.uplinks.values().find(is_spare).map(|u| u.config.name.clone());
        match (spare, self.housekeeping.spareless) {
            (None, None) => self.housekeeping.spareless = Some((now.mono, false)),
            (None, Some((since, false))) if now.mono.since(since) >= SPARELESS_FOR => {
                self.housekeeping.spareless = Some((since, true));
                self.record(Fact::NoSpareLeft, now);
            }
            (Some(uplink), Some((_, said))) => {
                self.housekeeping.spareless = None;
                if said {
                    self.record(Fact::SpareBack { uplink }, now);
                }
            }
            (None, Some(_)) | (Some(_), None) => {}
        }
    }
}
