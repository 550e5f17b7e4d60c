//! Words and figures that text and page share.

use crate::cli::when;
use crate::engine::report::cause::Cause;
use crate::engine::report::{End, HomeSum, Incident, Outage, Report, Span, UplinkSum};
use crate::io::history::{Place, Verified};
use crate::time::Utc;

/// `45.2 s`, `16 min 05 s`, `1 h 17 min`, `3 d 4 h`.
pub(super) fn length(ms: u64) -> String {
    let (tenths, seconds) = ((ms + 50) / 100, (ms + 500) / 1000);
    let (minutes, hours) = ((seconds + 30) / 60, (seconds + 1800) / 3600);
    match seconds {
        _ if tenths < 600 => format!("{}.{} s", tenths / 10, tenths % 10),
        0..=3599 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3600..=172_799 => format!("{} h {:02} min", minutes / 60, minutes % 60),
        _ => format!("{} d {} h", hours / 24, hours % 24),
    }
}

/// `99.98 %`; never `100` while something was lost.
pub(super) fn percent(share: Option<f64>) -> String {
    let Some(share) = share else { return "–".to_owned() };
    let percent = share * 100.0;
    if share < 1.0 && percent > 99.99 {
        format!("{:.4} %", percent.min(99.9999))
    } else {
        format!("{percent:.2} %")
    }
}

/// `12 Nov 10:31`.
pub(super) fn begin(span: Span) -> String {
    time(span.from)
}

pub(super) fn time(ms: u64) -> String {
    when::clock(Utc(ms), None).unwrap_or_else(|| "-".to_owned())
}

/// `2026-11-01 00:00:00`.
pub(super) fn full(ms: u64) -> String {
    when::full(Utc(ms)).unwrap_or_else(|| "-".to_owned())
}

/// `1 outage`, `2 outages`.
pub(super) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// The home in one line.
pub(super) fn of_home(home: &HomeSum) -> String {
    let real = home.outages.iter().filter(|one| one.down > 0);
    let down: u64 = real.clone().map(|one| one.down).sum();
    match real.count() {
        0 => "never without Internet".to_owned(),
        1 => format!("once without Internet, for {}", length(down)),
        n => format!("{n} times without Internet, {} in all", length(down)),
    }
}

/// What people noticed, those times included.
pub(super) fn felt(home: &HomeSum) -> Option<String> {
    let count = counted(home.interruptions, "interruption");
    (home.interruptions > 0).then(|| format!("felt: {} in {count}", length(home.felt)))
}

/// An uplink in one line.
pub(super) fn of_uplink(uplink: &UplinkSum) -> String {
    let count = uplink.outages();
    let Some(longest) = uplink.longest() else {
        return "no outage".to_owned();
    };
    let down = length(uplink.down);
    if count == 1 {
        return format!("1 outage of {down}, {}", begin(longest.span));
    }
    let most = length(longest.down);
    format!("{count} outages, {down} in all, the longest {most}")
}

/// How long an incident was, and what of it is not known.
pub(super) fn how_long(incident: &Incident) -> String {
    let ms = if incident.down > 0 { incident.down } else { incident.partial };
    length(ms)
}

/// Why.
pub(super) fn why(incident: &Incident) -> String {
    let mut said = match (incident.cause, &incident.only) {
        (Cause::OneFamily, Some(family)) => format!("IP{family} only"),
        (cause, Some(family)) => format!("{} (IP{family})", cause.phrase()),
        (cause, None) => cause.phrase().to_owned(),
    };
    for cause in incident.then.iter().take(3) {
        said += &format!(", then {}", cause.phrase());
    }
    said
}

/// What else there is to know of an incident, a sentence each.
pub(super) fn remarks(incident: &Incident) -> Vec<String> {
    let mut said = Vec::new();
    let all: Vec<&str> =
        incident.others.iter().filter(|one| one.throughout).map(|one| one.name.as_str()).collect();
    if !all.is_empty() {
        said.push(format!("{} reached the Internet all the while", all.join(" and ")));
    }
    for one in incident.others.iter().filter(|one| !one.throughout) {
        said.push(format!("{} reached the Internet for {} of it", one.name, length(one.worked)));
    }
    if incident.apart > 0 {
        said.push(format!("sparelink did not run for {} more", length(incident.apart)));
    }
    said.extend(end(incident.end).map(str::to_owned));
    said
}

const fn end(end: End) -> Option<&'static str> {
    match end {
        End::GoesOn => Some("it goes on"),
        End::Unseen => Some("nobody looked when it ended"),
        End::Seen => None,
    }
}

/// How long an outage of the home was.
pub(super) fn how_long_without(outage: &Outage) -> String {
    if outage.down > 0 {
        return length(outage.down);
    }
    let most = if outage.cause == Cause::Power { "≤ " } else { "" };
    format!("{most}{}", length(outage.apart))
}

/// Why the home was offline.
pub(super) fn why_without(outage: &Outage) -> String {
    let mut causes: Vec<Cause> = outage.uplinks.values().copied().collect();
    causes.sort_unstable();
    causes.dedup();
    let of = |cause: Cause| {
        let all = outage.uplinks.iter().filter(|(_, own)| **own == cause);
        let names: Vec<&str> = all.map(|(name, _)| name.as_str()).collect();
        format!("{}: {}", names.join(", "), cause.phrase())
    };
    let each: Vec<String> = causes.into_iter().map(of).collect();
    let why = if each.is_empty() { outage.cause.phrase().to_owned() } else { each.join("; ") };
    let end = end(outage.end);
    end.map_or(why.clone(), |end| format!("{why}; {end}"))
}

/// What is not counted, if anything is.
pub(super) fn not_counted(report: &Report) -> Option<String> {
    let away: u64 = report.away.iter().map(|away| away.span.within(report.span).ms()).sum();
    (away > 0).then(|| format!("Not counted: {} in which sparelink did not run.", length(away)))
}

/// What the records say of themselves.
pub(super) fn verdict(found: &Verified) -> String {
    match &found.broken {
        None if found.lines == 0 => "There are no records yet.\n".to_owned(),
        None => format!(
            "All {} are as they were written. The last one has the hash\n{}\n",
            counted(found.lines, "record"),
            found.head
        ),
        Some(broken) => format!("Not as it was written: {broken}.\n"),
    }
}

/// The same up to a record whose hash somebody was told.
pub(super) fn verdict_until(found: &Verified, head: &str, place: Option<Place>) -> String {
    let Some(Place { line, id }) = place else {
        let whole = verdict(found);
        return format!(
            "No record has the hash {head}: it was changed, or has made room for newer ones.\n{whole}"
        );
    };
    let event = id.map(|id| format!(" (event {id})")).unwrap_or_default();
    match &found.broken {
        Some(broken) if broken.line <= line => {
            format!("The hash {head} is that of record {line}{event}. Before it: {broken}.\n")
        }
        broken => {
            let later = broken.as_ref().map(|broken| format!(" Behind it: {broken}."));
            format!(
                "The hash {head} is that of record {line}{event}: nothing was changed up to it.{}\n",
                later.unwrap_or_default()
            )
        }
    }
}
