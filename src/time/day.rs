//! Days of the calendar, apart from any zone: what people promise, and what is reckoned by the day.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A day of the Gregorian calendar, as days since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i32);

/// The years that RFC 3339 can write, from the one in which computers' time begins.
const YEARS: std::ops::Range<i32> = 1970..10_000;
const LENGTHS: [u8; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

impl Day {
    /// A day by its date; `None` where there is no such day, or its year is not of four digits from 1970 on.
    #[must_use]
    pub fn new(year: i32, month: u8, day: u8) -> Option<Self> {
        let fits = YEARS.contains(&year) && (1..=length(year, month)?).contains(&day);
        let before: i32 =
            (1..month).filter_map(|month| length(year, month)).map(i32::from).sum::<i32>();
        fits.then(|| Self(first(year) + before + i32::from(day) - 1))
    }

    /// So many days since 1970.
    #[must_use]
    pub fn from_days(days: i64) -> Option<Self> {
        let day = Self(i32::try_from(days).ok()?);
        (Self(0)..=Self(first(YEARS.end) - 1)).contains(&day).then_some(day)
    }

    /// Days since 1970.
    #[must_use]
    pub const fn days(self) -> i64 {
        self.0 as i64
    }

    /// Year, month and day of the month.
    #[must_use]
    pub fn date(self) -> (i32, u8, u8) {
        // A year too late at most.
        let mut year = 1970 + self.0 / 365;
        while first(year) > self.0 {
            year -= 1;
        }
        let mut rest = self.0 - first(year);
        let mut month = 1;
        while let Some(length) = length(year, month).map(i32::from).filter(|length| rest >= *length)
        {
            rest -= length;
            month += 1;
        }
        (year, month, u8::try_from(rest + 1).unwrap_or(1))
    }

    /// How many days later this is than another day; less than zero: earlier.
    #[must_use]
    pub const fn since(self, other: Self) -> i64 {
        self.days() - other.days()
    }

    /// So many days later.
    #[must_use]
    pub const fn plus(self, days: i32) -> Self {
        Self(self.0.saturating_add(days))
    }

    /// Whether it is a Saturday or a Sunday.
    #[must_use]
    pub const fn is_weekend(self) -> bool {
        // The first of January 1970 was a Thursday.
        matches!((self.0 + 3).rem_euclid(7), 5 | 6)
    }

    /// Reads `2026-11-17`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let plain = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        let mut parts = text.splitn(3, '-').filter(|_| plain);
        let year = parts.next().filter(|year| year.len() == 4)?.parse().ok()?;
        let mut small = || parts.next().filter(|part| part.len() == 2)?.parse().ok();
        Self::new(year, small()?, small()?)
    }
}

/// The days of a month; `None`: there is no such month.
fn length(year: i32, month: u8) -> Option<u8> {
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let length = LENGTHS.get(usize::from(month).checked_sub(1)?)?;
    Some(length + u8::from(leap && month == 2))
}

/// Days from 1970 to the first of a year.
const fn first(year: i32) -> i32 {
    const fn leaps(until: i32) -> i32 {
        until / 4 - until / 100 + until / 400
    }
    (year - 1970) * 365 + leaps(year - 1) - leaps(1969)
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.date();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("this is no day"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        let known = [((1970, 1, 1), 0), ((2000, 3, 1), 11_017), ((2026, 1, 1), 20_454)];
        for ((year, month, day), count) in known {
            assert_eq!(Day::new(year, month, day).unwrap().days(), count);
        }
        for (year, month, day) in
            [(2100, 2, 29), (2026, 4, 31), (2026, 0, 1), (2026, 13, 1), (1969, 12, 31)]
        {
            assert_eq!(Day::new(year, month, day), None, "{year}-{month}-{day}");
        }
        let mut day = Day::new(1970, 1, 1);
        let mut before = None;
        while let Some(this) = day {
            let (year, month, of_month) = this.date();
            assert_eq!(Day::new(year, month, of_month), Some(this));
            assert!(before < Some((year, month, of_month)), "{this}");
            before = Some((year, month, of_month));
            day = Day::from_days(this.days() + 1).filter(|day| day.days() < 60_000);
        }
        assert_eq!(before, Some((2134, 4, 10)));
    }

    #[test]
    fn a_day_is_read_and_written() {
        let day = Day::parse("2026-11-17").unwrap();
        assert_eq!((day.to_string().as_str(), day.date()), ("2026-11-17", (2026, 11, 17)));
        for wrong in
            ["2026-11-7", "2026-11-31", "26-11-17", "2026-11-17 ", "2026/11/17", "+026-01-01"]
        {
            assert_eq!(Day::parse(wrong), None, "{wrong}");
        }
        assert_eq!(serde_json::to_string(&day).unwrap(), "\"2026-11-17\"");
        assert_eq!(serde_json::from_str::<Day>("\"2026-11-17\"").unwrap(), day);
        assert!(serde_json::from_str::<Day>("\"x\"").is_err());
    }

    #[test]
    fn weekends_are_known() {
        // 2026-11-16 is a Monday.
        let monday = Day::parse("2026-11-16").unwrap();
        let week: Vec<bool> = (0..7).map(|n| monday.plus(n).is_weekend()).collect();
        assert_eq!(week, [false, false, false, false, false, true, true]);
        assert_eq!(monday.plus(30).since(monday), 30);
        assert!(!Day::parse("1970-01-01").unwrap().is_weekend());
    }
}
