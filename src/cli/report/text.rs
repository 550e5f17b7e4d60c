//! The report for a terminal.

use super::owed::said;
use super::words::{
    begin, counted, felt, full, how_long, how_long_without, not_counted, of_home, of_uplink,
    percent, remarks, time, why, why_without,
};
use crate::cli::table::{Align, Cell, Colour, Style, Table, printable, wrapped};
use crate::engine::report::{Report, Why};
use crate::io::history::Verified;

/// How it is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look<'a> {
    pub(super) colour: Colour,
    /// The records that it stands on, if they could be looked through.
    pub(super) records: Option<&'a Verified>,
}

/// Columns of what is wrapped.
const WIDTH: usize = 80;
/// What stands before the reasons: the time and the length of the longest outage.
const BEFORE: usize = 31;

pub(super) fn render(report: &Report, look: &Look<'_>) -> String {
    let colour = look.colour;
    let mut out = Style::Strong.paint(&heading(report), colour) + "\n";
    let Some(known) = report.known else {
        return out + "\nNothing is recorded of that time.\n";
    };
    if known > report.span.from + 60_000 {
        out += &Style::Faint.paint(&format!("recorded since {}", full(known)), colour);
        out += "\n";
    }
    out += "\n";
    out += &sums(report, colour);
    out += &home(report, colour);
    for uplink in &report.uplinks {
        let mut table = Table::bare([Align::Left, Align::Right, Align::Left]);
        for incident in &uplink.incidents {
            let style = if incident.down > 0 { Style::Bad } else { Style::Careful };
            let length = Cell::new(how_long(incident), style);
            told(&mut table, begin(incident.span), length, &why(incident));
            for remark in remarks(incident) {
                table.row(["".into(), "".into(), Cell::new(remark, Style::Faint)]);
            }
        }
        let said = said(uplink);
        if !table.is_empty() || !said.is_empty() {
            out += &format!("\n{}\n", Style::Strong.paint(&uplink.name, colour));
        }
        if !table.is_empty() {
            out += &table.render(colour);
        }
        for sentence in said {
            let lines = wrapped(&printable(&sentence), Some(WIDTH), 2, 4);
            out += &lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        }
    }
    out + &away(report, colour) + &evidence(look)
}

/// `Internet from 2026-11-01 00:00 to …`.
pub(super) fn heading(report: &Report) -> String {
    format!("Internet from {} to {}", minute(report.span.from), minute(report.span.to))
}

fn minute(ms: u64) -> String {
    let full = full(ms);
    full.rsplit_once(':').map_or(full.clone(), |(minute, _)| minute.to_owned())
}

/// When, how long and why; what is too long for a line goes on below.
fn told(table: &mut Table, when: String, length: Cell, why: &str) {
    let mut lines = wrapped(why, Some(WIDTH - BEFORE), 0, 0).into_iter();
    table.row([indented(when), length, lines.next().unwrap_or_default().into()]);
    lines.for_each(|line| table.row(["".into(), "".into(), line.into()]));
}

fn indented(text: String) -> Cell {
    Cell::new(format!("  {text}"), Style::Plain)
}

fn sums(report: &Report, colour: Colour) -> String {
    let mut table = Table::bare([Align::Left, Align::Right, Align::Left]);
    let shown = |share: Option<f64>| {
        let style = match share {
            Some(share) if share < 0.99 => Style::Bad,
            Some(share) if share < 1.0 => Style::Careful,
            Some(_) => Style::Good,
            None => Style::Faint,
        };
        Cell::new(percent(share), style)
    };
    let home = &report.home;
    table.row([indented("Home".to_owned()), shown(home.availability), of_home(home).into()]);
    if let Some(felt) = felt(home) {
        table.row(["".into(), "".into(), felt.into()]);
    }
    for uplink in &report.uplinks {
        let share = shown(uplink.availability);
        table.row([indented(uplink.name.clone()), share, of_uplink(uplink).into()]);
    }
    table.render(colour)
}

fn home(report: &Report, colour: Colour) -> String {
    let mut table = Table::bare([Align::Left, Align::Right, Align::Left]);
    for outage in report.home.outages.iter().filter(|outage| outage.down > 0) {
        let length = Cell::new(how_long_without(outage), Style::Bad);
        told(&mut table, begin(outage.span), length, &why_without(outage));
    }
    if table.is_empty() {
        return String::new();
    }
    format!("\n{}\n", Style::Strong.paint("No Internet at all", colour)) + &table.render(colour)
}

fn away(report: &Report, colour: Colour) -> String {
    let Some(said) = not_counted(report) else { return String::new() };
    let mut table = Table::bare([Align::Left, Align::Right, Align::Left]);
    for away in &report.away {
        let most = if away.why == Why::Power { "≤ " } else { "" };
        let length = format!("{most}{}", super::words::length(away.span.ms()));
        told(&mut table, time(away.span.from), length.into(), why_away(away.why));
    }
    format!("\n{said}\n{}", table.render(colour))
}

/// Why the agent did not run.
pub(super) const fn why_away(why: Why) -> &'static str {
    match why {
        Why::Agent => "sparelink was stopped; traffic went on as it was",
        Why::Restart => "this box restarted",
        Why::Power => "this box had no power, or crashed",
    }
}

fn evidence(look: &Look<'_>) -> String {
    let Some(records) = look.records else { return "\n".to_owned() };
    let said = of_records(records);
    let lines = wrapped(&said, Some(WIDTH), 0, 0).join("\n");
    format!("\n{}\n", Style::Faint.paint(&lines, look.colour))
}

/// What the report stands on.
pub(super) fn of_records(records: &Verified) -> String {
    let count = counted(records.lines, "record");
    match &records.broken {
        None => format!(
            "From {count}, each holding the hash of the one before; the last is {}. \
             `sparelink report --verify` names the first that was changed.",
            records.head
        ),
        Some(broken) => format!("From {count}, NOT all as they were written: {broken}."),
    }
}
