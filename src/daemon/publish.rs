//! When those who watch are told how things are: at once when something happened, but not too often,
//! and now and then in any case. Nothing is worked out while nobody watches.

use std::collections::VecDeque;
use std::time::Duration;

use crate::engine::status::snapshot::Snapshot;
use crate::time::Instant;

/// After something happened: at once, but for what happens in the same breath …
const BREATH: Duration = Duration::from_millis(40);
/// … and for this bound.
const MOST_A_SECOND: usize = 5;
/// What only counts or ticks is told so often.
const USUAL: Duration = Duration::from_secs(1);
/// Told even if nothing changed, so that a silent stream is a broken one.
const AT_LEAST: Duration = Duration::from_secs(5);

/// What those who watch were last shown.
#[derive(Debug, Default)]
pub(super) struct Shown {
    last: Option<(Instant, Snapshot)>,
    /// When they were told something, the last few times.
    told: VecDeque<Instant>,
    /// Something has happened since.
    outdated: bool,
}

impl Shown {
    pub(super) const fn outdate(&mut self) {
        self.outdated = true;
    }

    /// When to look again; at once if nobody has been shown anything.
    pub(super) fn due(&self) -> Instant {
        let Some((looked, _)) = &self.last else {
            return Instant::ZERO;
        };
        let wanted = *looked + if self.outdated { BREATH } else { USUAL };
        let full = self.told.len() >= MOST_A_SECOND;
        let may = self.told.front().filter(|_| full).map(|told| *told + Duration::from_secs(1));
        may.map_or(wanted, |may| may.max(wanted))
    }

    /// Whether it is high time.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.told.back().is_none_or(|told| now.since(*told) >= AT_LEAST)
    }

    /// Whether this has to be told.
    pub(super) fn is_news(&mut self, snapshot: &Snapshot) -> bool {
        let now = snapshot.now.mono;
        self.outdated = false;
        let seen = self.last.as_ref().map(|(_, seen)| seen);
        let news = self.is_overdue(now) || seen.is_none_or(|seen| snapshot.shows_more_than(seen));
        match (&mut self.last, news) {
            (Some((looked, _)), false) => *looked = now,
            (last, _) => *last = Some((now, snapshot.clone())),
        }
        if news {
            self.told.push_back(now);
            let extra = self.told.len().saturating_sub(MOST_A_SECOND);
            self.told.drain(..extra);
        }
        news
    }
}

/// After something happened, those outside are told this much later …
const TOGETHER: Duration = Duration::from_millis(200);
/// … and figures so often.
const FIGURES: Duration = Duration::from_secs(30);

/// When those who watch from outside (Home Assistant) are told how things are: they keep all of it, so that they
/// get less.
#[derive(Debug, Default)]
pub(super) struct Shared {
    last: Option<Instant>,
    outdated: bool,
}

impl Shared {
    pub(super) const fn outdate(&mut self) {
        self.outdated = true;
    }

    /// When they are to be told again.
    pub(super) fn due(&self) -> Instant {
        let pause = if self.outdated { TOGETHER } else { FIGURES };
        self.last.map_or(Instant::ZERO, |last| last + pause)
    }

    /// They have been told.
    pub(super) const fn shared(&mut self, now: Instant) {
        (self.last, self.outdated) = (Some(now), false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::engine::state::Restored;
    use crate::engine::{Engine, Mode};
    use crate::time::Now;

    /// What is shown at this many milliseconds.
    fn snapshot(milliseconds: u64, sentence: &str) -> Snapshot {
        let file = "[[uplink]]\nname = \"cable\"\ninterface = \"wan0\"\n";
        let config = config::parse(file, "test").unwrap();
        let now = Now { mono: at(milliseconds), utc: None };
        let engine = Engine::new(config, Mode::Observe, Restored::default(), 0, now);
        Snapshot { sentence: sentence.to_owned(), ..engine.snapshot(now) }
    }

    fn at(milliseconds: u64) -> Instant {
        Instant::from_micros(1_000_000_000 + milliseconds * 1000)
    }

    #[test]
    fn at_rest_it_is_told_every_five_seconds() {
        let mut shown = Shown::default();
        let mut told = Vec::new();
        for milliseconds in (0..20_000).step_by(10) {
            if shown.due() <= at(milliseconds) && shown.is_news(&snapshot(milliseconds, "")) {
                told.push(milliseconds);
            }
        }
        assert_eq!(told, [0, 5000, 10_000, 15_000]);
    }

    #[test]
    fn what_happens_is_told_at_once_but_five_times_a_second_at_most() {
        let mut shown = Shown::default();
        assert!(shown.is_news(&snapshot(0, "")));
        shown.outdate();
        assert_eq!(shown.due(), at(40));
        assert!(!shown.is_news(&snapshot(300, "")), "nothing is different");
        shown.outdate();
        assert!(shown.due() <= at(600), "at once");
        let mut told = Vec::new();
        for milliseconds in (600..3600).step_by(10) {
            shown.outdate();
            let sentence = milliseconds.to_string();
            if shown.due() <= at(milliseconds) && shown.is_news(&snapshot(milliseconds, &sentence))
            {
                told.push(milliseconds);
            }
        }
        assert_eq!(told[..4], [600, 640, 680, 720], "{told:?}");
        for second in told.windows(MOST_A_SECOND + 1) {
            assert!(second[MOST_A_SECOND] - second[0] >= 1000, "{told:?}");
        }
    }
}
