//! `--since`: how people say from when on.

use crate::config::parse_duration;
use crate::io::clock;
use crate::io::sys::local_time;
use crate::time::Utc;
use crate::time::day::Day;

/// The words for a hint.
pub(super) const HINT: &str =
    "write how long ago (2h, 3d), today, yesterday, 2026-11-01, or \"2026-11-01 18:30\"";

/// The moment that is meant: so long ago, a day or a minute of the box's own zone, or RFC 3339. `None`: none is.
pub(super) fn moment(text: &str, now: Option<Utc>) -> Option<Utc> {
    let text = text.trim();
    if let Ok(ago) = parse_duration(text.strip_suffix(" ago").unwrap_or(text)) {
        let ago = u64::try_from(ago.as_millis()).ok()?;
        return now.map(|now| Utc(now.0.saturating_sub(ago)));
    }
    let midnight = |days_ago: u64| {
        let today = local_time(now?.0 / 1000)?;
        let days = days(today.year, today.month, today.day)? - i64::try_from(days_ago).ok()?;
        clock::utc_of(days * DAY)
    };
    match text {
        "today" => midnight(0),
        "yesterday" => midnight(1),
        _ => Utc::parse(text).or_else(|| clock::utc_of(wall_clock(text)?)),
    }
}

/// Seconds of a day.
const DAY: i64 = 86_400;

/// `2026-11-01`, `2026-11-01 18:30`, with or without seconds: seconds from 1970 to it, as if it were UTC.
fn wall_clock(text: &str) -> Option<i64> {
    let (date, time) = text.split_once([' ', 'T']).unwrap_or((text, "00:00"));
    let mut date = date.splitn(3, '-').map(number);
    let year = i32::try_from(date.next()??).ok().filter(|year| (1970..10_000).contains(year))?;
    let mut small = || u8::try_from(date.next()??).ok();
    let (month, day) = (small()?, small()?);
    let mut seconds = 0;
    let parts: Vec<i64> = time.split(':').map(number).collect::<Option<_>>()?;
    for (part, (worth, most)) in parts.iter().zip([(3600, 24), (60, 60), (1, 60)]) {
        seconds += (*part < most).then_some(part * worth)?;
    }
    (2..=3).contains(&parts.len()).then_some(days(year, month, day)? * DAY + seconds)
}

fn number(digits: &str) -> Option<i64> {
    let plain =
        !digits.is_empty() && digits.len() < 5 && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok())?
}

fn days(year: i32, month: u8, day: u8) -> Option<i64> {
    Day::new(year, month, day).map(Day::days)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Utc = Utc(1_767_268_800_000); // 2026-01-01T12:00:00Z

    #[test]
    fn how_long_ago_and_days_are_understood() {
        let ago = |text| moment(text, Some(NOW)).map(|at| (NOW.0 - at.0) / 1000);
        assert_eq!(
            (ago("2h ago"), ago("1d12h"), ago(" 90s ")),
            (Some(7200), Some(129_600), Some(90))
        );
        let full = |text| moment(text, Some(NOW)).and_then(crate::cli::when::full).unwrap();
        assert_eq!(full("2026-11-01"), "2026-11-01 00:00:00");
        assert_eq!(full("2026-06-30 18:30"), "2026-06-30 18:30:00");
        assert_eq!(full("2024-02-29T23:59:58"), "2024-02-29 23:59:58");
        assert!(full("today").ends_with(" 00:00:00") && full("yesterday").ends_with(" 00:00:00"));
        assert_eq!(moment("2026-01-01T12:00:00Z", None), Some(NOW));
        for none in
            ["", "noon", "5", "2026-02-29", "2026-13-01", "2026-1", "2026-11-01 25:00", "18:30:xx"]
        {
            assert_eq!(moment(none, Some(NOW)), None, "{none}");
        }
        assert_eq!(moment("2h", None), None);
    }
}
