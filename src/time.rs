//! Time as a value. The engine never reads a clock: every `handle` gets a [`Now`].

use std::fmt;
use std::ops::{Add, Sub};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

pub mod day;

/// A point on the monotonic clock, in microseconds since an arbitrary origin (`CLOCK_BOOTTIME` in
/// the agent, zero in a simulation).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Instant(u64);

impl Instant {
    /// The origin of the clock.
    pub const ZERO: Self = Self(0);

    /// The instant `micros` microseconds after the origin.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the origin.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Time passed since `earlier`; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// The last whole multiple of `every` up to this instant. What need not be done at one instant and no
    /// other is done at aligned times, together, so that the processor sleeps in between.
    #[must_use]
    pub fn aligned(self, every: Duration) -> Self {
        let every = u64::try_from(every.as_micros()).unwrap_or(u64::MAX).max(1);
        Self::from_micros(self.as_micros() / every * every)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(rhs.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;
    fn sub(self, rhs: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(rhs.as_micros()).unwrap_or(u64::MAX)))
    }
}

/// Wall-clock time, in milliseconds since 1970-01-01T00:00:00Z. For people and for calendars only:
/// no decision depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Utc(pub u64);

/// 9999-12-31T23:59:59.999Z: RFC 3339 has four digits for a year.
const LAST_MILLISECOND: u64 = 253_402_300_799_999;

impl Utc {
    /// Reads RFC 3339; `None` for what is none, or lies before 1970 or behind the year 9999.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let since_1970 =
            humantime::parse_rfc3339(text).ok()?.duration_since(SystemTime::UNIX_EPOCH);
        let ms = u64::try_from(since_1970.ok()?.as_millis()).ok()?;
        (ms <= LAST_MILLISECOND).then_some(Self(ms))
    }
}

impl fmt::Display for Utc {
    /// RFC 3339 with milliseconds, in UTC; what lies behind the year 9999 is shown as its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(self.0.min(LAST_MILLISECOND));
        write!(f, "{}", humantime::format_rfc3339_millis(time))
    }
}

/// What time it is: monotonic for logic, wall clock (if the box knows it) for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    pub mono: Instant,
    /// The wall clock; `None` until it has been set (a Pi before NTP has no idea).
    pub utc: Option<Utc>,
}

impl Now {
    /// The wall-clock time of an earlier instant, as the clock reads now.
    #[must_use]
    pub fn utc_of(&self, instant: Instant) -> Option<Utc> {
        let back = u64::try_from(self.mono.since(instant).as_millis()).unwrap_or(u64::MAX);
        self.utc.map(|utc| Utc(utc.0.saturating_sub(back)))
    }

    /// The wall-clock time of a later instant, as the clock reads now.
    #[must_use]
    pub fn utc_at(&self, instant: Instant) -> Option<Utc> {
        let ahead = u64::try_from(instant.since(self.mono).as_millis()).unwrap_or(u64::MAX);
        self.utc.map(|utc| Utc(utc.0.saturating_add(ahead)))
    }
}

/// A duration as people write it: `0.6 s`, `45 s`, `3 min`, `2 h`.
#[must_use]
pub fn human(d: Duration) -> String {
    let s = d.as_secs_f64();
    if s < 1.0 {
        format!("{} ms", d.as_millis())
    } else if s < 9.95 {
        format!("{s:.1} s")
    } else if s < 120.0 {
        format!("{s:.0} s")
    } else if s < 7200.0 {
        format!("{:.0} min", s / 60.0)
    } else if s < 48.0 * 3600.0 {
        format!("{:.0} h", s / 3600.0)
    } else {
        format!("{:.0} days", s / 86_400.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_saturate_instead_of_wrapping() {
        let beat = Duration::from_secs(1);
        assert_eq!(Instant::from_micros(3_999_999).aligned(beat).as_micros(), 3_000_000);
        assert_eq!(Instant::from_micros(4_000_000).aligned(beat).as_micros(), 4_000_000);
        let t = Instant::from_micros(5);
        assert_eq!(t - Duration::from_secs(1), Instant::ZERO);
        assert_eq!(t.since(Instant::from_micros(9)), Duration::ZERO);
        assert_eq!((t + Duration::from_micros(7)).as_micros(), 12);
    }

    #[test]
    fn wall_clock_is_rfc_3339() {
        assert_eq!(Utc(1_700_000_000_123).to_string(), "2023-11-14T22:13:20.123Z");
        assert_eq!(Utc(u64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
        let now = Now { mono: Instant::from_micros(2_000_000), utc: Some(Utc(10_000)) };
        assert_eq!(now.utc_of(Instant::from_micros(500_000)), Some(Utc(8_500)));
    }

    #[test]
    fn durations_read_well() {
        let ms = Duration::from_millis;
        let cases = [(50, "50 ms"), (600, "600 ms"), (1500, "1.5 s"), (45_000, "45 s")];
        for (d, text) in cases {
            assert_eq!(human(ms(d)), text);
        }
        assert_eq!(human(ms(180_000)), "3 min");
    }
}
