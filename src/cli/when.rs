//! Moments as people read them: in the time of the box's own zone.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::io::disk;
use crate::io::sys::{self, LocalTime, local_time};
use crate::time::{Utc, human};

/// The last millisecond of the year 9999, which is the last year that RFC 3339 can write.
const LAST: u64 = 253_402_300_799_999;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Where OpenWrt says which zone the box is in (POSIX, `CET-1CEST,M3.5.0,M10.5.0/3`). Its own C library reads it;
/// others do not.
const ZONE: &str = "/etc/TZ";
/// One line.
const LONGEST_ZONE: u64 = 200;

/// Where the time zone database is.
const DATABASE: &str = "/usr/share/zoneinfo";

/// Finds out in which zone people live: what the configuration says, else `TZ`, `/etc/TZ`, `/etc/localtime`, else UTC.
/// Called once, before there is a second thread. A zone that the box does not have comes back.
pub(super) fn find_zone(configured: Option<String>) -> Option<String> {
    if let Some(zone) = configured {
        let is_missing = zone.contains('/') && !zone.contains(',') && !has(&zone);
        if is_missing {
            return Some(zone);
        }
        sys::set_zone(&zone);
    } else if std::env::var_os("TZ").is_none()
        && let Ok(Some(text)) = disk::read_small(Path::new(ZONE), LONGEST_ZONE)
        && let Some(zone) = zone(&text)
    {
        sys::set_zone(&zone);
    }
    None
}

/// Says so in the log.
pub(super) fn miss(zone: &str) {
    tracing::warn!(
        "this box does not know the time zone {zone}; install tzdata, or write it as a rule such as \
         CET-1CEST,M3.5.0,M10.5.0/3"
    );
}

fn has(zone: &str) -> bool {
    Path::new(DATABASE).join(zone).is_file()
}

/// The zone that a file names, in a form that every C library knows.
fn zone(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?.lines().next().unwrap_or_default().trim();
    let is_utc = matches!(text, "" | "UTC" | "GMT");
    Some(if is_utc { "UTC0" } else { text }.to_owned()).filter(|zone| !zone.contains('\0'))
}

/// A moment of the agent's documents: RFC 3339, or milliseconds since 1970.
pub(super) fn moment(at: &Value) -> Option<Utc> {
    match at.as_str() {
        Some(text) => Utc::parse(text),
        None => at.as_u64().filter(|ms| *ms <= LAST).map(Utc),
    }
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
    fn the_zone_of_a_file_is_one_that_is_known() {
        for utc in ["", "UTC", "GMT\n"] {
            assert_eq!(zone(utc.as_bytes()).as_deref(), Some("UTC0"));
        }
        assert_eq!(zone(b"<+03>-3\n").as_deref(), Some("<+03>-3"));
        assert_eq!(zone(b"a\0b"), None);
        assert_eq!(zone(b"\xff"), None);
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
