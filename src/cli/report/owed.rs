//! Who provides an uplink, what people wrote of it, and what may be due: the words of text and page.

use super::words::{full, time};
use crate::engine::events::note::countdown;
use crate::engine::report::compensation::{Compensation, Due, Owing, Until};
use crate::engine::report::{End, Owed, UplinkSum};
use crate::io::clock;
use crate::time::day::Day;

/// What there is to say of an uplink besides its incidents, a sentence or two each.
pub(super) fn said(uplink: &UplinkSum) -> Vec<String> {
    let mut said = Vec::new();
    if let Some(note) = &uplink.note {
        let far = note.due.zip(clock::today()).map(|(due, today)| countdown(due, today));
        let far = far.map(|far| format!(" ({far})")).unwrap_or_default();
        said.push(format!("Note: {}{far}", note.text));
    }
    let Some(provider) = &uplink.provider else { return said };
    // A provider alone is nothing to tell while all is well.
    if uplink.incidents.is_empty() && uplink.losses.is_empty() {
        return said;
    }
    let account = provider.account.as_ref().map(|account| format!("account {}", account.reveal()));
    let parts = [Some(provider.name.clone()), provider.phone.clone(), account];
    said.push(parts.into_iter().flatten().collect::<Vec<_>>().join(", "));
    if let Some(owed) = uplink.owed.as_ref().filter(|owed| !owed.each.is_empty()) {
        said.extend(owed.each.iter().map(of_one));
        said.push(evidence(owed));
    }
    said
}

/// One outage, and what is due for it.
fn of_one(one: &Compensation) -> String {
    let from = time(one.loss.span.from);
    let told = one.reported.map_or_else(String::new, |day| format!(", reported {}", date(day)));
    let goes_on = one.loss.end == End::GoesOn;
    let which = if goes_on { "Down since" } else { "Outage of" };
    let begun = format!("{which} {from}{told}");
    match &one.owing {
        Owing::ReportNow => {
            format!("{begun}, not reported: report it now, the clock starts with your report")
        }
        Owing::NotReported => {
            format!("{begun}: nothing says that it was reported, so nothing is reckoned")
        }
        Owing::Waits(until) => {
            let until = match until {
                Until::Day(day) => date(*day),
                Until::Moment(ms) => full(*ms),
            };
            format!("{begun}: something is due if it lasts until {until}")
        }
        Owing::Due(due) => {
            format!("{begun}: {} {}", amount(due), if goes_on { "so far" } else { "due" })
        }
        Owing::Nothing => format!("{begun}: nothing is due"),
    }
}

/// `about 15.00 EUR for 2 days`.
fn amount(due: &Due) -> String {
    let about = if due.at_least { "at least" } else { "about" };
    let days = super::words::counted(usize::try_from(due.days).unwrap_or(usize::MAX), "day");
    format!("{about} {} for {days}", due.amount)
}

/// What it is reckoned by.
fn evidence(owed: &Owed) -> String {
    let rule = &owed.rule;
    let hosts: Vec<&str> = rule.sources.iter().map(|source| host(source)).collect();
    format!(
        "An estimate, no legal advice: {} ({}), figures since {}, read {} at {}; {}",
        rule.name,
        rule.country,
        rule.holds_from,
        rule.read,
        hosts.join(" and "),
        rule.remark
    )
}

fn host(source: &str) -> &str {
    let rest = source.strip_prefix("https://").unwrap_or(source);
    let host = rest.split('/').next().unwrap_or(rest);
    host.strip_prefix("www.").unwrap_or(host)
}

fn date(day: Day) -> String {
    day.to_string()
}
