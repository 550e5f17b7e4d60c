//! The detection window: how long a line may be silent before it counts as dead.
//!
//! Learned from the silences that the line recovered from, by their tail: a mean would be fooled by
//! a line that is quiet for 50 ms a thousand times and for two seconds once.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::Kind;

/// What was learned of one line. Time is the line's own age: a box without a clock learns too.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Learned {
    /// How long the line has been watched.
    age: Duration,
    /// Recovered silences: the age at which each ended, and its length. At most five a day.
    silences: Vec<(Duration, Duration)>,
    /// The window now; `None` until the first day of it is over or something was learned.
    window: Option<Duration>,
}

/// Where the window starts and between what it moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// Before anything is known.
    pub start: Duration,
    /// The best that a clean line can earn.
    pub min: Duration,
    /// The most that a bad line is given.
    pub max: Duration,
}

/// Silences of the last 30 days count.
const MEMORY: Duration = Duration::from_secs(30 * 86_400);
/// No line was watched for longer than this: a century.
const OLDEST: Duration = Duration::from_secs(100 * 366 * 86_400);
/// A day, for the quota of silences and the pace of shrinking.
const DAY: Duration = Duration::from_secs(86_400);
/// The longest silences kept of one day: a bad hour must not fill the memory.
const PER_DAY: usize = 5;
/// The tail is judged by so many of the longest silences.
const TAIL: usize = 20;
/// Wrong verdicts a year that are acceptable; together with the margin below, far fewer happen.
const WRONG_PER_YEAR: f64 = 0.5;
/// Longer silences are outages, not hiccups, and teach nothing.
const OUTAGE: Duration = Duration::from_secs(10);
/// This many silences show whether they are alike.
const ALIKE: usize = 3;
/// A line that nothing longer was ever seen on is clean.
const CLEAN: Duration = Duration::from_millis(100);

impl Range {
    /// The range for a kind of line.
    #[must_use]
    pub const fn of(kind: Kind) -> Self {
        match kind {
            Kind::Wired | Kind::Wifi => Self {
                start: Duration::from_millis(600),
                min: Duration::from_millis(300),
                max: Duration::from_secs(6),
            },
            Kind::Cellular => Self {
                start: Duration::from_secs(3),
                min: Duration::from_millis(1200),
                max: Duration::from_secs(6),
            },
        }
    }
}

impl Learned {
    /// Brings what was read from disk within its bounds; what cannot have been learned is forgotten.
    pub fn bound(&mut self) {
        if self.age > OLDEST {
            *self = Self::default();
        }
        self.silences.retain(|(at, length)| *at <= self.age && *length <= OUTAGE);
        let days = usize::try_from(MEMORY.as_secs() / DAY.as_secs()).unwrap_or(usize::MAX);
        self.silences.truncate(PER_DAY * (days + 1));
        self.window.take_if(|window| *window > OUTAGE);
    }

    #[must_use]
    pub fn window(&self, range: Range) -> Duration {
        self.window.unwrap_or(range.start).clamp(range.min, range.max)
    }

    /// The line was watched for so much longer. Shrinks the window towards what it has earned,
    /// by a fifth a day: trust is slow.
    pub fn watched(&mut self, time: Duration, range: Range) {
        self.age = self.age.saturating_add(time);
        let oldest = self.age.saturating_sub(MEMORY);
        self.silences.retain(|(at, _)| *at >= oldest);
        let earned = self.earned(range);
        let now = self.window(range);
        if earned < now {
            let days = time.as_secs_f64() / DAY.as_secs_f64();
            self.window = Some(now.mul_f64(0.8_f64.powf(days)).max(earned));
        }
    }

    /// The line was silent for so long while it was asked, and then answered. Grows the window at
    /// once if need be.
    pub fn silence(&mut self, length: Duration, range: Range) {
        if length > OUTAGE {
            return;
        }
        self.silences.push((self.age, length));
        self.keep_longest_of_the_day();
        let earned = self.earned(range);
        if earned > self.window(range) {
            self.window = Some(earned);
        }
    }

    fn keep_longest_of_the_day(&mut self) {
        let today = self.age.as_secs() / DAY.as_secs();
        let of_today = |at: &Duration| at.as_secs() / DAY.as_secs() == today;
        let count = self.silences.iter().filter(|(at, _)| of_today(at)).count();
        if count > PER_DAY {
            let shortest = self
                .silences
                .iter()
                .enumerate()
                .filter(|(_, (at, _))| of_today(at))
                .min_by_key(|(_, (_, length))| *length)
                .map(|(position, _)| position);
            if let Some(position) = shortest {
                self.silences.remove(position);
            }
        }
    }

    /// What several silences call for by themselves. Where they are all alike (a satellite hands the line
    /// over every quarter of a minute) the next one will not be longer by much.
    fn by_pattern(longest: &[f64], years: f64) -> Option<f64> {
        let known: Vec<f64> =
            longest.iter().copied().filter(|l| *l > CLEAN.as_secs_f64()).collect();
        let least = *known.last().filter(|_| known.len() >= ALIKE)?;
        let count = known.len() as f64;
        let excess = known.iter().map(|l| l - least).sum::<f64>() / count;
        Some(1.1 * (least + excess * (count / years / WRONG_PER_YEAR).ln()))
    }

    /// The window that the known silences call for.
    fn earned(&self, range: Range) -> Duration {
        let mut longest: Vec<f64> = self.silences.iter().map(|(_, l)| l.as_secs_f64()).collect();
        longest.sort_unstable_by(|a, b| b.total_cmp(a));
        longest.truncate(TAIL);
        // A young line has shown few silences: the missing ones are taken as harmless.
        longest.resize(TAIL, CLEAN.as_secs_f64());
        longest.sort_unstable_by(|a, b| b.total_cmp(a));
        let threshold = longest[TAIL - 1];
        let excess = longest.iter().map(|l| l - threshold).sum::<f64>() / TAIL as f64;
        let years = self.age.clamp(DAY, MEMORY).as_secs_f64() / (365.0 * DAY.as_secs_f64());
        let odds = (TAIL as f64 / years / WRONG_PER_YEAR).ln();
        let by_tail = 1.1 * (threshold + excess * odds);
        let by_tail = by_tail.min(Self::by_pattern(&longest, years).unwrap_or(by_tail));
        let by_longest = 1.25 * longest[0];
        let earned = Duration::try_from_secs_f64(by_tail.max(by_longest)).unwrap_or(range.max);
        earned.clamp(range.min, range.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIRED: Range = Range::of(Kind::Wired);
    const CELLULAR: Range = Range::of(Kind::Cellular);
    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn a_clean_line_earns_the_shortest_window_in_days() {
        let mut line = Learned::default();
        assert_eq!(line.window(WIRED), MS(600));
        line.watched(DAY, WIRED);
        assert_eq!(line.window(WIRED), MS(480));
        line.watched(DAY * 6, WIRED);
        assert_eq!(line.window(WIRED), MS(300));
        let mut phone = Learned::default();
        phone.watched(DAY * 30, CELLULAR);
        assert_eq!(phone.window(CELLULAR), MS(1200));
    }

    #[test]
    fn one_long_silence_widens_the_window_at_once() {
        let mut line = Learned::default();
        line.silence(MS(550), WIRED);
        assert!(line.window(WIRED) >= MS(687), "1.25 times the longest: {:?}", line.window(WIRED));
        let wide = line.window(WIRED);
        line.watched(DAY, WIRED);
        assert!(line.window(WIRED) > wide.mul_f64(0.7), "and it shrinks slowly");
    }

    #[test]
    fn silences_that_are_alike_are_covered_and_no_more() {
        let mut line = Learned::default();
        for n in 0..40 {
            line.silence(MS(1000 + n % 3), WIRED);
            let window = line.window(WIRED);
            assert!(window >= MS(1250) && window < MS(1300), "after {n}: {window:?}");
        }
        let mut control = Learned::default();
        for ms in [200, 400, 800, 1000, 600] {
            control.silence(MS(ms), WIRED);
        }
        assert!(control.window(WIRED) > MS(1400), "a long tail: {:?}", control.window(WIRED));
    }

    #[test]
    fn outages_teach_nothing() {
        let mut line = Learned::default();
        line.silence(Duration::from_secs(60), WIRED);
        assert_eq!(line.window(WIRED), MS(600));
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut line = Learned::default();
        for hour in 0..24 * 90 {
            line.watched(Duration::from_secs(3600), WIRED);
            for n in 0..10 {
                line.silence(MS(100 + hour % 97 + n), WIRED);
            }
        }
        assert!(line.silences.len() <= 31 * PER_DAY, "{}", line.silences.len());
    }
}
