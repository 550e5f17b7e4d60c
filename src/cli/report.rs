//! `sparelink report`: how well home and uplinks were online, with the evidence.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;

use super::client::Client;
use super::failure::{Failure, NO};
use super::history::list;
use super::{named, since, terminal};
use crate::config::Provider;
use crate::engine::events::entry::Entry;
use crate::engine::report::{Ask, Report, Span, document, report, settle};
use crate::io::clock;
use crate::io::history::{Verified, Whole, read_whole, verify, verify_head};
use crate::time::Utc;

mod csv;
mod html;
mod owed;
mod text;
mod words;

/// Everything that the agent has in its memory.
const ROUTE: &str = "/api/v1/history?severity=debug";
/// Without `--month`: the last 30 days.
const USUAL: u64 = 30 * 86_400_000;

/// In which form it is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Form {
    #[default]
    Text,
    Json,
    Csv,
    Html,
}

/// What is asked for, as it was typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) form: Form,
    pub(super) month: Option<String>,
    pub(super) uplink: Option<String>,
    /// Only whether the records are as they were written.
    pub(super) verify: bool,
    /// Up to the record of this hash.
    pub(super) head: Option<String>,
}

/// What is known, and from where.
#[derive(Debug, Default)]
struct Known {
    whole: Whole,
    /// The agent runs.
    runs: bool,
    verified: Option<Verified>,
}

/// Prints the report: from the agent, and from what is on disk in `files`; what `providers` owe by the uplinks' names.
pub(super) fn print(
    client: &Client,
    files: Option<&Path>,
    providers: &BTreeMap<String, Provider>,
    asked: &Asked,
) -> Result<ExitCode, Failure> {
    if asked.verify {
        return prove(files, asked.head.as_deref());
    }
    let now = clock::now().utc;
    let month = asked.month.as_deref().map(month).transpose()?;
    let known = known(client, files)?;
    let mut report = reckon(&known, month, asked, now)?;
    settle(&mut report, providers, &|ms| clock::local_day(Utc(ms)));
    let look = text::Look { colour: terminal::colour(), records: known.verified.as_ref() };
    let shown = match asked.form {
        Form::Text => text::render(&report, &look),
        Form::Json => format!("{:#}\n", document::document(&report)),
        Form::Csv => csv::render(&report),
        Form::Html => html::render(&report, &look),
    };
    terminal::print(&shown)
}

fn reckon(
    known: &Known,
    month: Option<Span>,
    asked: &Asked,
    now: Option<Utc>,
) -> Result<Report, Failure> {
    let now = now.map_or(u64::MAX, |now| now.0);
    let usual = Span { from: now.saturating_sub(USUAL), to: now };
    let span = month.map_or(usual, |month| Span { to: month.to.min(now), ..month });
    let (entries, marks) = (&known.whole.entries, &known.whole.marks);
    let uplink = asked.uplink.as_deref();
    let goes_on = (known.runs && now != u64::MAX).then_some(now);
    let of = |uplink| report(&Ask { entries, marks, now: goes_on, span, uplink });
    let found = of(uplink);
    if let Some(name) = uplink
        && found.uplinks.is_empty()
    {
        let all = of(None).uplinks;
        let names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
        return Err(named::unknown(name, &names, " in the history"));
    }
    Ok(found)
}

/// `2026-10`: a month of the box's own calendar.
fn month(text: &str) -> Result<Span, Failure> {
    let wrong =
        || Failure::new(format!("--month: {text:?} is no month"), "for example --month 2026-10");
    let begin = |year: u16, month: u16| {
        since::moment(&format!("{year:04}-{month:02}-01"), None).map(|at| at.0)
    };
    let (year, month) = text.split_once('-').ok_or_else(wrong)?;
    let number = |digits: &str| digits.parse::<u16>().ok();
    let (year, month) = number(year).zip(number(month)).ok_or_else(wrong)?;
    let next = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    let (from, to) = begin(year, month).zip(begin(next.0, next.1)).ok_or_else(wrong)?;
    Ok(Span { from, to })
}

/// What the agent has in its memory, and what is on disk before that.
fn known(client: &Client, files: Option<&Path>) -> Result<Known, Failure> {
    let told = match client.get(ROUTE).and_then(list) {
        Ok(told) => Ok(entries(told)?),
        Err(failure) if failure.means_no_agent() => Err(failure),
        Err(failure) => return Err(failure),
    };
    let disk = files.map(read_whole);
    let verified = files.and_then(|dir| verify(dir).ok()).filter(|found| found.lines > 0);
    match (told, disk) {
        (Ok(told), Some(Ok(whole))) => {
            Ok(Known { whole: whole.with_newer(told), runs: true, verified })
        }
        (Ok(entries), other) => {
            if let Some(Err(error)) = other {
                let why = format!("only the last {} events are known: {error}", entries.len());
                terminal::print_error(&format!(
                    "{why}\n  hint: try it as root, for example with sudo\n"
                ));
            }
            Ok(Known { whole: Whole { entries, marks: Vec::new() }, runs: true, verified: None })
        }
        (Err(none), Some(Ok(whole))) if !whole.entries.is_empty() => {
            terminal::print_error(&format!("{}; this is from the records on disk\n", none.text()));
            Ok(Known { whole, runs: false, verified })
        }
        (Err(none), Some(Err(error))) => {
            let text = format!("{}; and the history cannot be read: {error}", none.text());
            Err(Failure::new(text, "try it as root, for example with sudo"))
        }
        (Err(none), _) => Err(none),
    }
}

fn entries(told: Vec<Value>) -> Result<Vec<Entry>, Failure> {
    // Entries hold raw JSON, which only a text can give.
    let each = told.into_iter().map(|one| serde_json::from_str::<Entry>(&one.to_string()));
    each.collect::<Result<_, _>>().map_err(|error| {
        let hint = "agent and command may be of different versions";
        Failure::new(format!("the agent's history cannot be understood: {error}"), hint)
    })
}

/// A hash, or the beginning of one, as messages say it.
fn hash(text: &str) -> Result<String, Failure> {
    let head = text.trim().to_ascii_lowercase();
    let fits = (8..=32).contains(&head.len()) && head.bytes().all(|byte| byte.is_ascii_hexdigit());
    let wrong = || {
        let hint = "8 to 32 hexadecimal digits, such as 1f0e5d2c9a8b";
        Failure::new(format!("--head: {text:?} is no hash"), hint)
    };
    fits.then_some(head).ok_or_else(wrong)
}

/// Whether the records are as they were written.
fn prove(files: Option<&Path>, head: Option<&str>) -> Result<ExitCode, Failure> {
    let none =
        || Failure::new("where are the records?", "name the configuration with --config FILE");
    let dir = files.ok_or_else(none)?;
    let head = head.map(hash).transpose()?;
    let read = match &head {
        Some(head) => verify_head(dir, head),
        None => verify(dir).map(|found| (found, None)),
    };
    let (found, place) = read.map_err(|error| {
        let text = format!("the records in {} cannot be read: {error}", dir.display());
        Failure::new(text, "try it as root, for example with sudo")
    })?;
    let Some(head) = head else {
        terminal::print(&words::verdict(&found))?;
        return Ok(if found.broken.is_none() { ExitCode::SUCCESS } else { ExitCode::from(NO) });
    };
    terminal::print(&words::verdict_until(&found, &head, place))?;
    let broken = found.broken.as_ref().map(|broken| broken.line);
    let whole = place.is_some_and(|place| broken.is_none_or(|broken| broken > place.line));
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::from(NO) })
}

#[cfg(test)]
mod tests;
