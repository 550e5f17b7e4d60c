//! When others' firewalls are looked at, and what they close to the LAN.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::kernel::firewall::Way;
use crate::time::Instant;
use crate::units::{Family, IfIndex, PerFamily};

/// They are looked at this often although nobody says that they have changed …
const EVERY: Duration = Duration::from_secs(30);
/// … and at most this often although somebody changes them all the time.
const PAUSE: Duration = Duration::from_secs(1);
/// A firewall that is being loaded closes everything for a moment: it counts when nobody has changed anything
/// for so long …
const SETTLES: Duration = Duration::from_secs(2);
/// … or, where somebody never stops, when it was closed at every look for so long.
const LASTS: Duration = Duration::from_secs(10);
/// An answer that takes longer is not waited for.
const LOST: Duration = Duration::from_secs(60);

/// When others' firewalls are looked at, and what they close to the LAN.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::engine) struct Firewalls {
    /// The ways that were last asked about.
    pub(in crate::engine) ways: Vec<Way>,
    /// When the last question was put.
    last: Option<Instant>,
    /// It has not been answered yet.
    waiting: bool,
    /// Something has changed since.
    again: bool,
    /// When somebody last changed a firewall.
    touched: Option<Instant>,
    /// Interfaces that are closed in a family: by which firewall, and since when.
    closed: PerFamily<BTreeMap<IfIndex, Closed>>,
}

/// What closes an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Closed {
    by: String,
    since: Instant,
    /// It has lasted.
    settled: bool,
}

impl Firewalls {
    /// Something that it depends on has changed: look again soon.
    pub(in crate::engine) fn look(&mut self) {
        self.again = true;
    }

    /// Somebody has changed a firewall.
    pub(in crate::engine) fn touched(&mut self, now: Instant) {
        self.touched = Some(now);
        self.look();
    }

    /// When the next question is due.
    pub(in crate::engine) fn deadline(&self) -> Instant {
        let Some(last) = self.last else {
            return Instant::default();
        };
        let mut all = [&self.closed.v4, &self.closed.v6].into_iter().flat_map(BTreeMap::values);
        if self.waiting {
            last + LOST
        } else if self.again || all.any(|closed| !closed.settled) {
            last + PAUSE
        } else {
            last + EVERY
        }
    }

    /// A question is put.
    pub(in crate::engine) fn asked(&mut self, now: Instant) {
        (self.last, self.waiting, self.again) = (Some(now), true, false);
    }

    /// Takes the answer; returns whether anything has settled, or is over.
    pub(in crate::engine) fn seen(
        &mut self,
        closed: &PerFamily<BTreeMap<IfIndex, String>>,
        now: Instant,
    ) -> bool {
        self.waiting = false;
        let before = self.settled();
        let quiet = self.touched.is_none_or(|touched| now.since(touched) >= SETTLES);
        for family in Family::BOTH {
            let of = |(index, by): (&IfIndex, &String)| {
                let known = self.closed.get(family).get(index);
                let since = known.map_or(now, |known| known.since);
                let lasts = if quiet { SETTLES } else { LASTS };
                // What has settled stays so while it is closed, though somebody goes on.
                let settled = known.is_some_and(|known| known.settled) || now.since(since) >= lasts;
                (*index, Closed { by: by.clone(), since, settled })
            };
            let closed = closed.get(family).iter().map(of).collect();
            *self.closed.get_mut(family) = closed;
        }
        self.settled() != before
    }

    /// What closes an interface in a family, if it has lasted.
    pub(in crate::engine) fn closed(&self, index: IfIndex, family: Family) -> Option<&str> {
        let closed = self.closed.get(family).get(&index)?;
        closed.settled.then_some(closed.by.as_str())
    }

    fn settled(&self) -> Vec<(Family, IfIndex, String)> {
        let of = |family: Family| {
            let all = self.closed.get(family).iter().filter(|(_, closed)| closed.settled);
            all.map(move |(index, closed)| (family, *index, closed.by.clone()))
        };
        Family::BOTH.into_iter().flat_map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    fn closed(by: &str) -> PerFamily<BTreeMap<IfIndex, String>> {
        PerFamily { v4: [(IfIndex(2), by.to_owned())].into(), v6: BTreeMap::new() }
    }

    #[test]
    fn what_lasts_counts_and_ends_at_once() {
        let mut firewalls = Firewalls::default();
        assert_eq!(firewalls.deadline(), Instant::default(), "at the start at once");
        firewalls.asked(at(100));
        assert!(!firewalls.seen(&closed("ip filter"), at(110)));
        assert_eq!(firewalls.deadline(), at(1_100), "one look is not enough");
        firewalls.asked(at(1_100));
        assert!(!firewalls.seen(&closed("ip filter"), at(1_110)));
        assert_eq!(firewalls.closed(IfIndex(2), Family::V4), None);
        firewalls.asked(at(2_100));
        assert!(firewalls.seen(&closed("ip filter"), at(2_110)));
        assert_eq!(firewalls.closed(IfIndex(2), Family::V4), Some("ip filter"));
        assert_eq!(firewalls.closed(IfIndex(2), Family::V6), None);
        assert_eq!(firewalls.deadline(), at(32_100));
        firewalls.touched(at(2_200));
        assert_eq!(firewalls.deadline(), at(3_100));
        firewalls.asked(at(3_100));
        firewalls.look();
        assert_eq!(firewalls.deadline(), at(63_100), "one question at a time");
        assert!(firewalls.seen(&PerFamily::default(), at(3_110)));
        assert_eq!(firewalls.deadline(), at(4_100), "it was touched meanwhile");
    }

    #[test]
    fn one_that_is_never_left_alone_counts_later() {
        let mut firewalls = Firewalls::default();
        let settles = (0..20).find(|s| {
            firewalls.touched(at(s * 1_000));
            firewalls.asked(at(s * 1_000));
            firewalls.seen(&closed("ip filter"), at(s * 1_000 + 10))
        });
        assert_eq!(settles, Some(10));
    }
}
