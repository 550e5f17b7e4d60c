//! `sparelink history`: what happened, oldest first.

use std::process::ExitCode;

use serde::Deserialize;
use serde_json::Value;

use super::client::Client;
use super::failure::Failure;
use super::table::{Align, Cell, Colour, Style, Table};
use super::{terminal, when};

const ROUTE: &str = "/api/v1/history";

/// How much is shown, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// What a user would notice.
    Text,
    Detailed,
    Json,
}

/// Prints the history for a person, or as the agent gave it.
pub(super) fn history(client: &Client, form: Form) -> Result<ExitCode, Failure> {
    let document = client.get(ROUTE)?;
    if form == Form::Json {
        return terminal::print(&format!("{document:#}\n"));
    }
    terminal::print(&render(&events(document)?, form, terminal::colour()))
}

/// One thing that happened, as far as `history` shows it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Event {
    /// RFC 3339, or milliseconds since 1970; nothing if the box did not know the time.
    at: Value,
    code: String,
    severity: Option<String>,
    uplink: Option<String>,
    text: Option<String>,
}

/// The events of a document that is a list of them, or holds one as `events`.
fn events(mut document: Value) -> Result<Vec<Event>, Failure> {
    let list = document.get_mut("events").map(Value::take).unwrap_or(document);
    serde_json::from_value(list).map_err(|error| {
        let hint = "agent and command may be of different versions; --json shows it as it is";
        Failure::new(format!("the agent's history cannot be understood: {error}"), hint)
    })
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
}

/// Whether a name is a word of a text.
fn names(text: &str, name: &str) -> bool {
    let apart = |side: Option<char>| side.is_none_or(|c| !c.is_alphanumeric());
    text.match_indices(name).any(|(at, _)| {
        apart(text[..at].chars().next_back()) && apart(text[at + name.len()..].chars().next())
    })
}

fn render(events: &[Event], form: Form, colour: Colour) -> String {
    let is_shown = |e: &&Event| form == Form::Detailed || e.severity.as_deref() != Some("debug");
    let mut table = Table::new([("TIME", Align::Left), ("WHAT", Align::Left)]);
    for event in events.iter().filter(is_shown) {
        let style = match event.severity.as_deref() {
            Some("debug") => Style::Faint,
            Some("error" | "critical") => Style::Bad,
            Some("warning" | "warn") => Style::Careful,
            _ => Style::Plain,
        };
        let time = when::moment(&event.at).and_then(when::full).unwrap_or_else(|| "-".to_owned());
        table.row([Cell::new(time, Style::Faint), Cell::new(event.sentence(), style)]);
    }
    if table.is_empty() {
        return "nothing has happened since the agent was started\n".to_owned();
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
            { "at": "2026-01-01T12:00:01Z", "code": "health", "uplink": "mifi",
              "severity": "debug", "text": "mifi (IPv4): up to down" },
            { "at": 1_767_268_860_000_u64, "code": "spare_back", "uplink": "if" },
            { "at": null, "code": "started", "text": "watching 2 uplinks" },
        ])
    }

    fn shown(document: Value, form: Form) -> String {
        render(&events(document).unwrap(), form, Colour::No)
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
        assert_eq!(shown(example(), Form::Text), expected);
        assert_eq!(shown(json!({ "events": example() }), Form::Text), expected);
        assert!(shown(json!([]), Form::Text).starts_with("nothing has happened"));
        assert!(events(json!({ "no": 1 })).is_err());
    }

    #[test]
    fn details_are_shown_when_asked_for() {
        assert!(shown(example(), Form::Detailed).contains("mifi (IPv4): up to down\n"));
    }
}
