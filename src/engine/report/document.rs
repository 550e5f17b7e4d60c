//! The report as JSON.

use serde_json::{Value, json};

use super::compensation::{Compensation, Owing, Until};
use super::home::Outage;
use super::service::Incident;
use super::span::{End, Span};
use super::sum::{Report, UplinkSum};
use super::terms::Owed;
use crate::config::Provider;
use crate::time::Utc;

/// The whole report.
#[must_use]
pub fn document(report: &Report) -> Value {
    let home = &report.home;
    json!({
        "from": at(report.span.from),
        "to": at(report.span.to),
        "known_since": report.known.map(at),
        "watched_seconds": seconds(report.watched),
        "not_running": report.away.iter().map(|away| json!({
            "from": at(away.span.from),
            "to": at(away.span.to),
            "seconds": seconds(away.span.ms()),
            "why": away.why.word(),
        })).collect::<Vec<_>>(),
        "house": {
            "availability": rounded(home.availability),
            "felt_seconds": seconds(home.felt),
            "interruptions": home.interruptions,
            "outages": home.outages.iter().map(outage).collect::<Vec<_>>(),
        },
        "uplinks": report.uplinks.iter().map(uplink).collect::<Vec<_>>(),
    })
}

fn uplink(uplink: &UplinkSum) -> Value {
    json!({
        "name": uplink.name,
        "availability": rounded(uplink.availability),
        "down_seconds": seconds(uplink.down),
        "incidents": uplink.incidents.iter().map(incident).collect::<Vec<_>>(),
        "note": uplink.note.as_ref().map(|note| json!({
            "text": note.text,
            "due": note.due.map(|due| due.to_string()),
        })),
        "provider": uplink.provider.as_ref().map(provider),
        "compensation": uplink.owed.as_ref().map(owed),
    })
}

fn provider(provider: &Provider) -> Value {
    json!({
        "name": provider.name,
        "account": provider.account.as_ref().map(|account| account.reveal()),
        "phone": provider.phone,
        "country": provider.country.map(|country| country.to_string()),
        "monthly": provider.monthly.as_ref().map(ToString::to_string),
    })
}

fn owed(owed: &Owed) -> Value {
    let rule = &owed.rule;
    json!({
        "estimate": true,
        "rule": rule.name,
        "country": rule.country.to_string(),
        "holds_from": rule.holds_from.to_string(),
        "read": rule.read.to_string(),
        "sources": rule.sources,
        "remark": rule.remark,
        "losses": owed.each.iter().map(compensation).collect::<Vec<_>>(),
    })
}

fn compensation(one: &Compensation) -> Value {
    let (mut due_from, mut due) = (None, None);
    let state = match &one.owing {
        Owing::ReportNow => "report_now",
        Owing::NotReported => "not_reported",
        Owing::Nothing => "nothing",
        Owing::Waits(until) => {
            due_from = Some(match until {
                Until::Day(day) => day.to_string(),
                Until::Moment(ms) => at(*ms),
            });
            "waits"
        }
        Owing::Due(owed) => {
            due = Some(owed);
            "due"
        }
    };
    json!({
        "from": at(one.loss.span.from),
        "to": end(one.loss.span, one.loss.end),
        "reported": one.reported.map(|day| day.to_string()),
        "state": state,
        "due_from": due_from,
        "amount": due.map(|due| due.amount.cents as f64 / 100.0),
        "currency": due.map(|due| due.amount.currency.clone()),
        "days": due.map(|due| due.days),
        "at_least": due.map(|due| due.at_least),
    })
}

fn outage(outage: &Outage) -> Value {
    let causes = outage.uplinks.iter().map(|(name, cause)| (name.clone(), json!(cause.word())));
    json!({
        "from": at(outage.span.from),
        "to": end(outage.span, outage.end),
        "seconds": seconds(outage.down),
        "not_running_seconds": seconds(outage.apart),
        "end_seen": outage.end != End::Unseen,
        "cause": outage.cause.word(),
        "uplinks": outage.uplinks.keys().collect::<Vec<_>>(),
        "causes": causes.collect::<serde_json::Map<_, _>>(),
    })
}

fn incident(incident: &Incident) -> Value {
    json!({
        "from": at(incident.span.from),
        "to": end(incident.span, incident.end),
        "seconds": seconds(incident.down),
        "one_family_seconds": seconds(incident.partial),
        "not_running_seconds": seconds(incident.apart),
        "end_seen": incident.end != End::Unseen,
        "cause": incident.cause.word(),
        "then": incident.then.iter().map(|cause| cause.word()).collect::<Vec<_>>(),
        "family": incident.only,
        "others": incident.others.iter().map(|other| json!({
            "name": other.name,
            "worked_seconds": seconds(other.worked),
            "throughout": other.throughout,
        })).collect::<Vec<_>>(),
    })
}

fn at(ms: u64) -> String {
    Utc(ms).to_string()
}

/// `null` while it goes on.
fn end(span: Span, end: End) -> Option<String> {
    (end != End::GoesOn).then(|| at(span.to))
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

/// A share with six digits.
fn rounded(share: Option<f64>) -> Option<f64> {
    share.map(|share| (share * 1e6).round() / 1e6)
}
