//! `sparelink status`: the agent's status as a person reads it, or as JSON.

use std::process::ExitCode;

use super::client::Client;
use super::failure::Failure;
use super::table::{Align, Cell, Colour, Style, Table, printable, width, wrapped};
use super::terminal::{self, Look};
use super::when;

mod answers;
mod document;

pub(super) use answers::why as why_in_use;
use answers::{Label, answers};
pub(super) use document::Status;
use document::Uplink;

pub(super) const ROUTE: &str = "/api/v1/status";

/// Prints the status for a person.
pub(super) fn show(client: &Client) -> Result<ExitCode, Failure> {
    let status = Status::of(&client.get(ROUTE)?)?;
    terminal::print(&render(&status, &Look::of_stdout()))?;
    Ok(status.exit_code())
}

/// Prints the status as the agent gave it.
pub(super) fn json(client: &Client) -> Result<ExitCode, Failure> {
    let document = client.get(ROUTE)?;
    terminal::print(&format!("{document:#}\n"))?;
    Ok(Status::of(&document)?.exit_code())
}

/// What stands where there is nothing to measure.
const NO_FIGURE: &str = "–";

/// The whole status: what is, why, the chain, and what is left.
pub(super) fn render(status: &Status, look: &Look) -> String {
    let line = |text: &str, indent: usize, style: Style| {
        let lines = wrapped(&printable(text), look.width, indent, indent);
        lines.iter().map(|line| style.paint(line, look.colour) + "\n").collect::<String>()
    };
    let mut text = String::new();
    if status.observing {
        text += &line("observing only: nothing is changed", 0, Style::Careful);
    }
    text += &line(&headline(status, look), 0, Style::Strong);
    for (label, texts) in answers(status) {
        text += &labelled(label, &texts, look);
    }
    text += "\n";
    text += &chain(status, look);
    text += "\n";
    let (left, style) = left(status);
    text += &line(&left, 0, style);
    for name in &status.names {
        let style = if name.is_fine() { Style::Plain } else { Style::Careful };
        text += &line(&name.text, 2, style);
    }
    if let Some(names) = names(status) {
        text += &line(&names, 0, Style::Plain);
    }
    text
}

/// A label and what stands behind it, each answer on a line of its own.
fn labelled(label: Label, texts: &[String], look: &Look) -> String {
    /// Where the answers begin; the longest label ends before it.
    const COLUMN: usize = 9;
    let word = label.word();
    let lead = format!("  {}", Style::Strong.paint(word, look.colour));
    let lead = lead + &" ".repeat(COLUMN.saturating_sub(2 + word.len()));
    let lines = texts.iter().flat_map(|text| wrapped(&printable(text), look.width, COLUMN, COLUMN));
    let mut text: String = lines.map(|line| line + "\n").collect();
    if let Some(rest) = text.get(COLUMN..) {
        text = lead + rest;
    }
    text
}

/// `Internet works, on mifi since 18:11 (23 s). Interruption 0.6 s.`
fn headline(status: &Status, look: &Look) -> String {
    let mut text = match (status.works, &status.active, &status.active6) {
        (Some(true), Some(v4), Some(v6)) if v4 != v6 => {
            format!("Internet works, on {v4} (IPv4) and {v6} (IPv6)")
        }
        (Some(true), Some(name), _) => format!("Internet works, on {name}"),
        (Some(true), None, Some(name)) => format!("Internet works, on {name} (IPv6 only)"),
        (Some(false), None, None) => "No Internet".to_owned(),
        _ => status.sentence.clone(),
    };
    if let Some(since) = when::moment(&status.since) {
        let clock = when::clock(since, look.now);
        text += &clock.map(|clock| format!(" since {clock}")).unwrap_or_default();
        text += &when::ago(since, look.now).map(|ago| format!(" ({ago})")).unwrap_or_default();
    }
    text += ".";
    let carries = |name: &String| [&status.active, &status.active6].contains(&&Some(name.clone()));
    if let Some(switch) = &status.last_switch
        && let (Some(to), Some(felt)) = (&switch.to, switch.felt_ms)
        && carries(to)
        && felt >= SHORTEST_MS
    {
        text += &format!(" Interruption {:.1} s.", felt / 1e3);
    }
    text
}

/// A shorter interruption reads as none.
const SHORTEST_MS: f64 = 50.0;

/// The uplinks in order, each in one line, or in two where the terminal is narrow.
fn chain(status: &Status, look: &Look) -> String {
    let notes: Vec<_> = status.uplinks.iter().map(note).collect();
    let wide = rows(status, &notes).render(look.colour);
    let widest = rows(status, &notes).render(Colour::No);
    let widest = widest.lines().map(width).max().unwrap_or(0);
    if look.width.is_none_or(|columns| widest <= columns) {
        return wide;
    }
    let narrow = rows(status, &[]).render(look.colour);
    let second = |note: &String| {
        if note.is_empty() { String::new() } else { format!("       {note}\n") }
    };
    narrow.lines().zip(&notes).map(|(line, note)| format!("{line}\n{}", second(note))).collect()
}

fn rows(status: &Status, notes: &[String]) -> Table {
    use Align::{Left, Right};
    let mut table = Table::bare([Left, Right, Left, Left, Right, Right, Left]);
    for (index, uplink) in status.uplinks.iter().enumerate() {
        let (word, style) = uplink.word(status);
        let (rtt, loss) = figures(uplink, &word);
        let is_active = uplink.role == "active";
        table.row([
            Cell::from(if is_active { " →" } else { "  " }),
            (index + 1).to_string().into(),
            Cell::new(uplink.name.as_str(), if is_active { Style::Strong } else { Style::Plain }),
            Cell::new(word, style),
            rtt.into(),
            loss.into(),
            Cell::new(notes.get(index).cloned().unwrap_or_default(), Style::Faint),
        ]);
    }
    table
}

/// Round-trip time and loss; of a dead line there are none.
fn figures(uplink: &Uplink, word: &str) -> (String, String) {
    if uplink.has_no_figures() || matches!(word, "down" | "not connected") {
        return (NO_FIGURE.to_owned(), String::new());
    }
    let rtt = uplink.rtt_ms.map_or_else(|| NO_FIGURE.to_owned(), milliseconds);
    (rtt, uplink.loss_pct.map(|loss| format!("{loss:.0} %")).unwrap_or_default())
}

/// `checked 20 s ago`, of what could take over.
fn note(uplink: &Uplink) -> String {
    let seconds = uplink.proven_s_ago.filter(|_| uplink.role == "ready");
    let ago = |s| crate::time::human(std::time::Duration::from_secs(s));
    seconds.map(|s| format!("checked {} ago", ago(s))).unwrap_or_default()
}

/// What could take over, what is paused, and where the page is.
fn left(status: &Status) -> (String, Style) {
    let named = |role: &str| -> Vec<&str> {
        status.uplinks.iter().filter(|u| u.role == role).map(|u| u.name.as_str()).collect()
    };
    let (ready, paused) = (named("ready"), named("paused"));
    let (text, style) = match ready.len() {
        0 if status.uplinks.len() < 2 => {
            ("No other uplink is configured.".to_owned(), Style::Plain)
        }
        0 => ("No spare left.".to_owned(), Style::Careful),
        1 => (format!("1 spare ready ({}).", ready.join(", ")), Style::Plain),
        many => (format!("{many} spares ready ({}).", ready.join(", ")), Style::Plain),
    };
    let paused = if paused.is_empty() { "none".to_owned() } else { paused.join(", ") };
    let page = status.page.first().map(|page| format!(" Page: {page}")).unwrap_or_default();
    (format!("{text} Paused: {paused}.{page}"), style)
}

/// Which servers the box asks for names, where it is not the resolvers of the uplink in use although
/// they are known.
fn names(status: &Status) -> Option<String> {
    let first = status.resolvers.first()?;
    let mut active = status.uplinks.iter().filter(|u| u.role == "active");
    let passed_over = |u: &&Uplink| !u.resolvers.is_empty() && !u.resolvers.contains(first);
    let own = |u: &Uplink| u.resolvers.contains(first);
    let uplink = active.clone().find(passed_over).filter(|_| !active.any(own))?;
    let list = status.resolvers.join(", ");
    Some(format!("DNS: {list} are asked, not {}'s own resolvers.", uplink.name))
}

fn milliseconds(ms: f64) -> String {
    if ms < 10.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}

#[cfg(test)]
mod tests;
