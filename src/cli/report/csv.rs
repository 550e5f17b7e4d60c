//! The report for a spreadsheet: a line for each outage (RFC 4180).

use crate::engine::report::{End, Report};
use crate::time::Utc;

const HEAD: &str =
    "what,from,to,seconds,one_family_seconds,not_running_seconds,cause,family,others";

pub(super) fn render(report: &Report) -> String {
    let mut out = format!("{HEAD}\r\n");
    for outage in &report.home.outages {
        let others: Vec<String> = outage
            .uplinks
            .iter()
            .map(|(name, cause)| format!("{name}: {}", cause.word()))
            .collect();
        row(
            &mut out,
            &[
                "house",
                &Utc(outage.span.from).to_string(),
                &end(outage.span.to, outage.end),
                &seconds(outage.down),
                "0.000",
                &seconds(outage.apart),
                outage.cause.word(),
                "",
                &others.join("; "),
            ],
        );
    }
    for uplink in &report.uplinks {
        for incident in &uplink.incidents {
            let others = incident.others.iter();
            let others: Vec<String> =
                others.map(|one| format!("{}: {} s", one.name, seconds(one.worked))).collect();
            row(
                &mut out,
                &[
                    &uplink.name,
                    &Utc(incident.span.from).to_string(),
                    &end(incident.span.to, incident.end),
                    &seconds(incident.down),
                    &seconds(incident.partial),
                    &seconds(incident.apart),
                    incident.cause.word(),
                    incident.only.as_deref().unwrap_or_default(),
                    &others.join("; "),
                ],
            );
        }
    }
    out
}

fn end(ms: u64, end: End) -> String {
    if end == End::GoesOn { String::new() } else { Utc(ms).to_string() }
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

fn row(out: &mut String, fields: &[&str]) {
    let fields: Vec<String> = fields.iter().map(|field| quoted(field)).collect();
    out.push_str(&fields.join(","));
    out.push_str("\r\n");
}

/// A field; what a spreadsheet would take for a formula is text.
fn quoted(field: &str) -> String {
    let formula = field.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let field = if formula { format!("'{field}") } else { field.to_owned() };
    if field.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field
    }
}
