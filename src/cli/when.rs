//! Moments as people read them: in the time of the box's own zone.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::io::sys::{LocalTime, local_time};
use crate::time::{Utc, human};

/// The last second of the year 9999, which is the last that RFC 3339 can write.
const LAST: Duration = Duration::from_secs(253_402_300_799);

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A moment of the agent's documents: RFC 3339, or milliseconds since 1970.
pub(super) fn moment(at: &Value) -> Option<Utc> {
    let since_1970 = match at.as_str() {
        Some(text) => {
            humantime::parse_rfc3339(text).ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?
        }
        None => Duration::from_millis(at.as_u64()?),
    };
    let ms = (since_1970 <= LAST).then(|| u64::try_from(since_1970.as_millis()).ok())??;
    Some(Utc(ms))
}

/// How long ago something was, unless it is in the future or the time is not known.
pub(super) fn ago(at: Utc, now: Option<Utc>) -> Option<String> {
    Some(human(Duration::from_millis(now?.0.checked_sub(at.0)?)))
}

/// `18:11` today, `14 Nov 18:11` on another day.
pub(super) fn clock(at: Utc, now: Option<Utc>) -> Option<String> {
    let today = now.and_then(local);
    local(at).map(|at| short(at, today))
}

/// `18:18:01`.
pub(super) fn clock_with_seconds(at: Utc) -> Option<String> {
    local(at).map(|at| format!("{:02}:{:02}:{:02}", at.hour, at.minute, at.second))
}

/// `2026-01-01 12:00:00`.
pub(super) fn full(at: Utc) -> Option<String> {
    let at = local(at)?;
    let (year, month, day) = (at.year, at.month, at.day);
    Some(format!("{year}-{month:02}-{day:02} {:02}:{:02}:{:02}", at.hour, at.minute, at.second))
}

fn local(at: Utc) -> Option<LocalTime> {
    local_time(at.0 / 1000)
}

fn short(at: LocalTime, today: Option<LocalTime>) -> String {
    let time = format!("{:02}:{:02}", at.hour, at.minute);
    let date = |at: LocalTime| (at.year, at.month, at.day);
    if today.is_some_and(|today| date(today) == date(at)) {
        return time;
    }
    let month = MONTHS.get(usize::from(at.month).saturating_sub(1)).copied().unwrap_or("?");
    format!("{} {month} {time}", at.day)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn moments_are_read_in_both_forms() {
        assert_eq!(moment(&json!("2026-01-01T12:00:00.25Z")), Some(Utc(1_767_268_800_250)));
        assert_eq!(moment(&json!(1_767_268_860_000_u64)), Some(Utc(1_767_268_860_000)));
        for none in [json!(null), json!("noon"), json!(-1), json!(u64::MAX)] {
            assert_eq!(moment(&none), None, "{none}");
        }
    }

    #[test]
    fn another_day_is_named() {
        let at = LocalTime { year: 2026, month: 11, day: 14, hour: 8, minute: 5, second: 9 };
        assert_eq!(short(at, Some(at)), "08:05");
        assert_eq!(short(at, Some(LocalTime { day: 15, ..at })), "14 Nov 08:05");
        assert_eq!(short(at, None), "14 Nov 08:05");
    }

    #[test]
    fn ago_is_never_of_the_future() {
        assert_eq!(ago(Utc(1_000), Some(Utc(24_000))).as_deref(), Some("23 s"));
        assert_eq!(ago(Utc(1_000), Some(Utc(0))), None);
        assert_eq!(ago(Utc(1_000), None), None);
    }
}
