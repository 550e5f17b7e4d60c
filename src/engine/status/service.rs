//! Whether each uplink leads to the Internet, and since when, as the history keeps it: outages are reckoned from this.
//!
//! ```text
//!            works in every IP version that it has
//!   unknown ───────────────────────────────────────► works ◄──┐
//!      │     fails in one of them, or in all                  │
//!      └──────────────────────────────────────────► fails ────┘
//!                                      ▲     │ in another one, too, or for another reason
//!                                      └─────┘
//! ```
//! An IP version that an uplink never had is missing, which is no fault; one that it has lost is.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::events::facts::Fact;
use crate::engine::health::Condition;
use crate::time::Instant;
use crate::units::{Family, PerFamily, UplinkId};

/// How one line serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::engine) enum Service {
    /// Nobody knows yet.
    #[default]
    Unknown,
    Works,
    Fails(Condition),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    service: Service,
    since: Instant,
    /// It has worked since the agent began.
    worked: bool,
}

/// What was said of an uplink last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Said {
    Works,
    Fails { only: Option<Family>, condition: Condition },
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Uplink {
    lines: PerFamily<Record>,
    /// When a line was lost, and when it was back, by its answers.
    turned: PerFamily<(Instant, Instant)>,
    said: Option<Said>,
}

/// All uplinks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Services {
    of: BTreeMap<UplinkId, Uplink>,
}

impl Services {
    /// A line was lost then, by its answers.
    pub(in crate::engine) fn lost(&mut self, id: UplinkId, family: Family, at: Instant) {
        self.of.entry(id).or_default().turned.get_mut(family).0 = at;
    }

    /// A line was back then, by its answers.
    pub(in crate::engine) fn back(&mut self, id: UplinkId, family: Family, at: Instant) {
        self.of.entry(id).or_default().turned.get_mut(family).1 = at;
    }

    /// When a line was last lost, and when it was back.
    pub(in crate::engine) fn turned(&self, id: UplinkId, family: Family) -> (Instant, Instant) {
        self.of.get(&id).map_or_else(Default::default, |u| *u.turned.get(family))
    }

    /// How a line served until now.
    pub(in crate::engine) fn service(&self, id: UplinkId, family: Family) -> Service {
        self.of.get(&id).map_or(Service::Unknown, |u| u.lines.get(family).service)
    }

    /// Whether a line has worked since the agent began.
    pub(in crate::engine) fn worked(&self, id: UplinkId, family: Family) -> bool {
        self.of.get(&id).is_some_and(|u| u.lines.get(family).worked)
    }

    /// How a line serves now, and since when if that is another way than before.
    pub(in crate::engine) fn note(
        &mut self,
        id: UplinkId,
        family: Family,
        service: Service,
        since: Instant,
    ) {
        let record = self.of.entry(id).or_default().lines.get_mut(family);
        let kind = |service| std::mem::discriminant(&service);
        if kind(record.service) != kind(service) {
            record.since = since;
        }
        record.service = service;
        record.worked |= service == Service::Works;
    }

    /// What there is to say of an uplink, if it is news.
    pub(in crate::engine) fn news(
        &mut self,
        id: UplinkId,
        name: &str,
        now: Instant,
    ) -> Option<Fact> {
        let u = self.of.get_mut(&id)?;
        let (said, since) = u.whole()?;
        let before = u.said.replace(said);
        if before == Some(said) {
            return None;
        }
        // The reason changed now, whenever the failure began.
        let only = |said| if let Some(Said::Fails { only, .. }) = said { Some(only) } else { None };
        let same = only(before).is_some() && only(before) == only(Some(said));
        let (uplink, lasts) =
            (name.to_owned(), if same { Duration::ZERO } else { now.since(since) });
        Some(match said {
            Said::Works => Fact::Works { uplink, lasts },
            Said::Fails { only, condition } => Fact::Fails { uplink, only, condition, lasts },
        })
    }

    /// Forgets those that are no more.
    pub(in crate::engine) fn keep(&mut self, chain: &[UplinkId]) {
        self.of.retain(|id, _| chain.contains(id));
    }
}

impl Uplink {
    /// How it serves as a whole, and since when; `None`: that is open yet.
    fn whole(&self) -> Option<(Said, Instant)> {
        let any_worked = self.lines.iter().any(|(_, line)| line.worked);
        let counts = |line: &Record| line.worked || !any_worked;
        let known = |line: &Record| line.service != Service::Unknown;
        let lines = || self.lines.iter().filter(|(_, line)| counts(line) && known(line));
        let failing = lines().filter_map(|(family, line)| match line.service {
            Service::Fails(condition) => Some((family, condition, line.since)),
            Service::Unknown | Service::Works => None,
        });
        let failing: Vec<_> = failing.collect();
        let working = lines().filter(|(_, line)| line.service == Service::Works);
        let works_since = working.map(|(_, line)| line.since).max();
        match (failing.as_slice(), works_since) {
            ([], None) => None,
            ([], Some(since)) => Some((Said::Works, since)),
            // Since the one failed, or the other was back.
            ([(family, condition, since), ..], Some(works)) => {
                let said = Said::Fails { only: Some(*family), condition: *condition };
                Some((said, (*since).max(works)))
            }
            // IPv4 speaks for the whole.
            ([(_, condition, _), ..], None) => {
                let since = failing.iter().map(|(_, _, since)| *since).max()?;
                Some((Said::Fails { only: None, condition: *condition }, since))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: Family = Family::V4;
    const V6: Family = Family::V6;

    fn at(s: u64) -> Instant {
        Instant::from_micros(s * 1_000_000)
    }

    fn id() -> UplinkId {
        UplinkId::new(1).unwrap()
    }

    fn fails(only: Option<Family>, condition: Condition, lasts: u64) -> Option<Fact> {
        let (uplink, lasts) = ("cable".to_owned(), Duration::from_secs(lasts));
        Some(Fact::Fails { uplink, only, condition, lasts })
    }

    fn works(lasts: u64) -> Option<Fact> {
        Some(Fact::Works { uplink: "cable".to_owned(), lasts: Duration::from_secs(lasts) })
    }

    #[test]
    fn one_ip_version_the_other_and_another_reason_are_news_and_nothing_else_is() {
        use Condition::{BeyondModem, NoCarrier};
        let mut all = Services::default();
        let mut look = |family, service, since, now| {
            all.note(id(), family, service, at(since));
            all.news(id(), "cable", at(now))
        };
        assert_eq!(look(V4, Service::Unknown, 0, 1), None);
        assert_eq!(look(V4, Service::Works, 2, 3), works(1));
        assert_eq!(look(V6, Service::Fails(BeyondModem), 1, 4), None, "one that it never had");
        assert_eq!(look(V6, Service::Works, 5, 7), None);
        let dead = Service::Fails(BeyondModem);
        assert_eq!(look(V6, dead, 10, 12), fails(Some(V6), BeyondModem, 2));
        assert_eq!(look(V6, dead, 13, 13), None);
        assert_eq!(look(V4, dead, 11, 13), fails(None, BeyondModem, 2));
        let pulled = Service::Fails(NoCarrier);
        assert_eq!(look(V4, pulled, 20, 20), fails(None, NoCarrier, 0));
        assert_eq!(look(V6, pulled, 20, 20), None);
        assert_eq!(look(V4, Service::Works, 30, 33), fails(Some(V6), NoCarrier, 3));
        assert_eq!(look(V6, Service::Works, 31, 34), works(3));
    }

    #[test]
    fn an_uplink_that_never_worked_fails_as_a_whole() {
        let mut all = Services::default();
        all.note(id(), V4, Service::Fails(Condition::Absent), at(1));
        assert_eq!(all.news(id(), "cable", at(1)), fails(None, Condition::Absent, 0));
        all.note(id(), V6, Service::Works, at(5));
        assert_eq!(all.news(id(), "cable", at(5)), works(0), "it has IPv6 only");
        all.keep(&[]);
        assert_eq!(all.news(id(), "cable", at(9)), None);
    }
}
