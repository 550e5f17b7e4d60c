//! Short silences that come again and again, as on a satellite line that is handed over.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Instant;

/// The last short silences of a line in use: when each ended, and its length.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hiccups {
    last: VecDeque<(Instant, Duration)>,
}

/// Short silences that keep coming.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pattern {
    /// Mean time from one to the next.
    pub every: Duration,
    /// The longest of the last ones.
    pub longest: Duration,
}

/// Shorter silences are not noticed by people in a call.
const NOTICED: Duration = Duration::from_millis(300);
/// This many are kept.
const KEPT: usize = 8;
/// This many within [`WITHIN`] are a pattern.
const ENOUGH: usize = 4;
/// As long as they come, there is one every two minutes at least.
const WITHIN: Duration = Duration::from_secs(8 * 60);

impl Hiccups {
    /// A silence has just ended.
    pub(super) fn note(&mut self, length: Duration, now: Instant) {
        if length >= NOTICED {
            self.last.truncate(KEPT - 1);
            self.last.push_front((now, length));
        }
    }

    /// The pattern, as long as it lasts.
    pub(super) fn pattern(&self, now: Instant) -> Option<Pattern> {
        let fresh = |(at, _): &&(Instant, Duration)| now.since(*at) <= WITHIN;
        let fresh: Vec<_> = self.last.iter().take_while(fresh).collect();
        let (newest, oldest) = (fresh.first()?, fresh.last()?);
        let gaps = u32::try_from(fresh.len()).ok()?.checked_sub(1)?;
        let longest = fresh.iter().map(|(_, length)| *length).max()?;
        let every = newest.0.since(oldest.0).checked_div(gaps)?;
        (fresh.len() >= ENOUGH).then_some(Pattern { every, longest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_noticed_silences_in_minutes_are_a_pattern_while_they_last() {
        let at = |s: u64| Instant::from_micros(s * 1_000_000);
        let mut hiccups = Hiccups::default();
        for n in 1..=3 {
            hiccups.note(Duration::from_secs(1), at(15 * n));
            hiccups.note(Duration::from_millis(50), at(15 * n + 1));
        }
        assert_eq!(hiccups.pattern(at(50)), None, "control: three, and some that nobody notices");
        hiccups.note(Duration::from_secs(1), at(60));
        let (every, longest) = (Duration::from_secs(15), Duration::from_secs(1));
        assert_eq!(hiccups.pattern(at(60)), Some(Pattern { every, longest }));
        assert_eq!(hiccups.pattern(at(60 + 8 * 60)), None, "long ago");
    }
}
