//! `sparelink history`: what happened, oldest first.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::client::Client;
use super::failure::Failure;
use super::table::{Align, Cell, Colour, Style, Table};
use super::terminal::{self, Reader};
use super::watch::{gone, wait_a_second};
use super::{named, since, when};
use crate::engine::events::entry::{Entry, Wanted};
use crate::io::{clock, history};
use crate::time::human;
use crate::units::Severity;

const ROUTE: &str = "/api/v1/history";
/// Where the names of the uplinks are.
const STATUS: &str = "/api/v1/status";

/// In which form it is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Form {
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Which part of it, as it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) form: Form,
    pub(super) least: Severity,
    pub(super) last: Option<usize>,
    pub(super) since: Option<String>,
    pub(super) uplink: Option<String>,
    /// It goes on.
    pub(super) follow: bool,
}

impl Default for Asked {
    /// What a user would notice.
    fn default() -> Self {
        let (form, least) = (Form::Text, Severity::Info);
        Self { form, least, last: None, since: None, uplink: None, follow: false }
    }
}

impl Asked {
    fn wanted(&self) -> Result<Wanted, Failure> {
        let moment = |text: &String| {
            let wrong = || Failure::new(format!("--since: {text:?} is no time"), since::HINT);
            since::moment(text, clock::now().utc).ok_or_else(wrong)
        };
        Ok(Wanted {
            last: self.last.unwrap_or(usize::MAX),
            since: self.since.as_ref().map(moment).transpose()?,
            uplink: self.uplink.clone(),
            least: self.least,
            after: 0,
        })
    }

    /// Whether this can be more than an agent has in its memory.
    const fn goes_back(&self) -> bool {
        self.last.is_some() || self.since.is_some()
    }
}

/// Prints the history for a person or for a program: the agent's, and what is on disk in `files`.
pub(super) fn history(
    client: &Client,
    files: Option<&Path>,
    asked: &Asked,
) -> Result<ExitCode, Failure> {
    let wanted = asked.wanted()?;
    // First, so that nothing that happens meanwhile is missed.
    let newest = if asked.follow { newest(client)? } else { 0 };
    let document = match client.get(&route(&wanted)) {
        Ok(document) => with_older(list(document)?, files.filter(|_| asked.goes_back()), &wanted),
        Err(failure) if failure.means_no_agent() && !asked.follow => {
            from_disk(files, &wanted, failure)?
        }
        Err(failure) => return Err(failure),
    };
    if let Some(name) = asked.uplink.as_deref().filter(|_| document.is_empty()) {
        is_known(name, client, files)?;
    }
    let text = match asked.form {
        Form::Json => lines(&document),
        Form::Text => render(&events(&document)?, terminal::colour()),
    };
    if terminal::write(&text)? == Reader::Gone || !asked.follow {
        return Ok(ExitCode::SUCCESS);
    }
    let after = document.last().map_or(0, number).max(newest);
    follow(client, Wanted { after, since: None, last: usize::MAX, ..wanted }, asked.form)
}

/// Whether there is an uplink of that name, of which nothing has happened. Where nobody knows the names, any may be one.
fn is_known(name: &str, client: &Client, files: Option<&Path>) -> Result<(), Failure> {
    let names: BTreeSet<String> = match client.get(STATUS) {
        Ok(status) => names_of(&status),
        Err(_) => {
            let all = files.and_then(|dir| history::read(dir).ok()).unwrap_or_default();
            all.into_iter().filter_map(|entry| entry.uplink).collect()
        }
    };
    if names.is_empty() || names.contains(name) {
        return Ok(());
    }
    Err(named::unknown(name, &names.iter().map(String::as_str).collect::<Vec<_>>(), ""))
}

/// The uplinks that a status is about.
fn names_of(status: &Value) -> BTreeSet<String> {
    let uplinks = status.get("uplinks").and_then(Value::as_array).into_iter().flatten();
    uplinks.filter_map(|uplink| uplink.get("name")?.as_str().map(str::to_owned)).collect()
}

/// Goes on until Ctrl-C or until its reader is gone. An agent that goes away is waited for.
fn follow(client: &Client, mut wanted: Wanted, form: Form) -> Result<ExitCode, Failure> {
    let mut is_gone = false;
    loop {
        if wait_a_second()? {
            return Ok(ExitCode::SUCCESS);
        }
        let document = match client.get(&route(&wanted)).and_then(list) {
            Ok(document) => document,
            Err(failure) => {
                if !std::mem::replace(&mut is_gone, true) {
                    terminal::print_error(&format!("{}\n", gone(clock::now().utc, &failure)));
                }
                continue;
            }
        };
        // One that keeps its history in RAM counts from the beginning.
        if std::mem::take(&mut is_gone) && newest(client)? < wanted.after {
            wanted.after = 0;
            continue;
        }
        let Some(last) = document.last() else { continue };
        wanted.after = number(last);
        let text = match form {
            Form::Json => lines(&document),
            Form::Text => without_head(&render(&events(&document)?, terminal::colour())),
        };
        if terminal::write(&text)? == Reader::Gone {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

fn without_head(table: &str) -> String {
    table.split_once('\n').map(|(_, rest)| rest.to_owned()).unwrap_or_default()
}

/// The number of the last event.
fn newest(client: &Client) -> Result<u64, Failure> {
    let wanted = Wanted { last: 1, ..Wanted::default() };
    Ok(list(client.get(&route(&wanted))?)?.last().map_or(0, number))
}

fn number(event: &Value) -> u64 {
    event.get("id").and_then(Value::as_u64).unwrap_or(0)
}

/// The same question for the agent.
fn route(wanted: &Wanted) -> String {
    let mut parts = vec![format!("severity={}", wanted.least.word())];
    if wanted.last != usize::MAX {
        parts.push(format!("n={}", wanted.last));
    }
    if wanted.after > 0 {
        parts.push(format!("after={}", wanted.after));
    }
    if let Some(since) = wanted.since {
        parts.push(format!("since={}", since.0));
    }
    if let Some(name) = &wanted.uplink {
        let escaped: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
        parts.push(format!("uplink={escaped}"));
    }
    format!("{ROUTE}?{}", parts.join("&"))
}

/// The events of a document that is a list of them, or holds one as `events`.
pub(super) fn list(mut document: Value) -> Result<Vec<Value>, Failure> {
    let list = document.get_mut("events").map(Value::take).unwrap_or(document);
    serde_json::from_value(list).map_err(|error| not_understood(&error.to_string()))
}

/// The same with what is only on disk, as far as it can be read.
fn with_older(told: Vec<Value>, files: Option<&Path>, wanted: &Wanted) -> Vec<Value> {
    if told.len() >= wanted.last {
        return told;
    }
    let oldest = told.first().map_or(u64::MAX, number);
    let older = files.and_then(|dir| history::read(dir).ok()).unwrap_or_default();
    let older = older.iter().filter(|entry| entry.id < oldest);
    let rest = Wanted { last: wanted.last - told.len(), ..wanted.clone() };
    values(&rest.of(older)).into_iter().chain(told).collect()
}

/// What is on disk, while no agent runs.
fn from_disk(files: Option<&Path>, wanted: &Wanted, none: Failure) -> Result<Vec<Value>, Failure> {
    let Some(dir) = files else { return Err(none) };
    let all = history::read(dir).map_err(|error| {
        let text = format!(
            "{}; and the history in {} cannot be read: {error}",
            none.text(),
            dir.display()
        );
        Failure::new(text, "try it as root, for example with sudo")
    })?;
    if all.is_empty() {
        return Err(none);
    }
    let note = format!("{}; this is what is kept in {}\n", none.text(), dir.display());
    terminal::print_error(&note);
    Ok(values(&wanted.of(all.iter())))
}

fn values(entries: &[&Entry]) -> Vec<Value> {
    entries.iter().filter_map(|entry| serde_json::to_value(entry).ok()).collect()
}

fn lines(document: &[Value]) -> String {
    document.iter().map(|event| format!("{event}\n")).collect()
}

/// One thing that happened, as far as `history` shows it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Event {
    /// RFC 3339, or milliseconds since 1970; nothing if the box did not know the time.
    at: Value,
    /// It learned it later.
    mended: bool,
    /// Milliseconds since the box booted.
    mono_ms: Option<u64>,
    code: String,
    severity: Option<String>,
    uplink: Option<String>,
    text: Option<String>,
}

fn events(document: &[Value]) -> Result<Vec<Event>, Failure> {
    let each = document.iter().map(Event::deserialize);
    each.collect::<Result<_, _>>().map_err(|error| not_understood(&error.to_string()))
}

fn not_understood(why: &str) -> Failure {
    let hint = "agent and command may be of different versions; --json shows it as it is";
    Failure::new(format!("the agent's history cannot be understood: {why}"), hint)
}

impl Event {
    /// The sentence, with the uplink's name before it where it does not name it itself.
    fn sentence(&self) -> String {
        let text = self.text.clone().unwrap_or_else(|| self.code.replace('_', " "));
        match self.uplink.as_deref() {
            Some(name) if !names(&text, name) => format!("{name}: {text}"),
            Some(_) | None => text,
        }
    }

    /// The time in the box's zone, or how long after the boot it was.
    fn time(&self) -> String {
        let known = when::moment(&self.at).and_then(when::full);
        let mark = if self.mended { "~" } else { "" };
        let boot = self.mono_ms.map(|ms| format!("boot + {}", human(Duration::from_millis(ms))));
        known.map(|time| format!("{time}{mark}")).or(boot).unwrap_or_else(|| "-".to_owned())
    }
}

/// Whether a name is a word of a text.
fn names(text: &str, name: &str) -> bool {
    let apart = |side: Option<char>| side.is_none_or(|c| !c.is_alphanumeric());
    text.match_indices(name).any(|(at, _)| {
        apart(text[..at].chars().next_back()) && apart(text[at + name.len()..].chars().next())
    })
}

fn render(events: &[Event], colour: Colour) -> String {
    let mut table = Table::new([("TIME", Align::Left), ("WHAT", Align::Left)]);
    for event in events {
        let style = match event.severity.as_deref() {
            Some("debug") => Style::Faint,
            Some("error" | "critical") => Style::Bad,
            Some("warning" | "warn") => Style::Careful,
            _ => Style::Plain,
        };
        table.row([Cell::new(event.time(), Style::Faint), Cell::new(event.sentence(), style)]);
    }
    if table.is_empty() {
        return "nothing of that kind has happened\n".to_owned();
    }
    table.render(colour)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::time::Utc;

    fn example() -> Value {
        json!([
            { "at": "2026-01-01T12:00:00.250Z", "code": "switched", "uplink": "mifi",
              "severity": "warning", "text": "cable is down, the traffic goes by mifi" },
            { "at": 1_767_268_860_000_u64, "code": "spare_back", "uplink": "if" },
            { "at": null, "code": "started", "text": "watching 2 uplinks" },
        ])
    }

    fn shown(document: Value) -> String {
        render(&events(&list(document).unwrap()).unwrap(), Colour::No)
    }

    #[test]
    fn history_reads_well() {
        let time = |ms| when::full(Utc(ms)).unwrap();
        let (noon, later) = (time(1_767_268_800_250), time(1_767_268_860_000));
        let expected = format!(
            "\
TIME                 WHAT
{noon}  cable is down, the traffic goes by mifi
{later}  if: spare back
-                    watching 2 uplinks
"
        );
        assert_eq!(shown(example()), expected);
        assert_eq!(shown(json!({ "events": example() })), expected);
        assert!(shown(json!([])).starts_with("nothing of that kind"));
        assert!(list(json!({ "no": 1 })).is_err());
    }

    #[test]
    fn a_time_that_was_not_known_is_marked() {
        let at = |event: Value| Event::deserialize(event).unwrap().time();
        let known = json!({ "at": "2026-01-01T12:00:00Z", "mended": true });
        assert_eq!(at(known), format!("{}~", when::full(Utc(1_767_268_800_000)).unwrap()));
        assert_eq!(at(json!({ "at": null, "mono_ms": 45_000 })), "boot + 45 s");
    }

    #[test]
    fn what_is_typed_is_asked() {
        assert_eq!(route(&Asked::default().wanted().unwrap()), "/api/v1/history?severity=info");
        let (last, uplink) = (Some(5), Some("a b".to_owned()));
        let asked = Asked {
            last,
            uplink,
            since: Some("1970-01-02T00:00:00Z".to_owned()),
            ..Asked::default()
        };
        let route = route(&Wanted { after: 7, ..asked.wanted().unwrap() });
        let parts = "severity=info&n=5&after=7&since=86400000&uplink=%61%20%62";
        assert_eq!(route, format!("/api/v1/history?{parts}"));
        let wrong = Asked { since: Some("noon".to_owned()), ..Asked::default() };
        assert!(wrong.wanted().is_err());
    }
}
