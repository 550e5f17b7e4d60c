//! `sparelink note`: what a person wrote about an uplink.

use std::process::ExitCode;

use serde::Deserialize;
use serde_json::{Value, json};

use super::client::Client;
use super::failure::{Failure, NO};
use super::table::printable;
use super::{control, named, terminal, when};

/// Notes are part of the status.
const ROUTE: &str = "/api/v1/status";

/// What is to become of a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    Show,
    Keep(String),
    Clear,
    /// The provider was told now.
    Reported,
}

/// Keeps a note, takes it away, or shows it.
pub(super) fn note(client: &Client, uplink: &str, what: What) -> Result<ExitCode, Failure> {
    match what {
        What::Show => show(&client.get(ROUTE)?, uplink),
        What::Keep(text) => {
            control::ask(client, "note", &json!({ "uplink": uplink, "text": text }))
        }
        What::Clear => control::ask(client, "note", &json!({ "uplink": uplink, "text": "" })),
        What::Reported => {
            control::ask(client, "note", &json!({ "uplink": uplink, "reported": true }))
        }
    }
}

/// A note as the status has it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Note {
    pub(super) text: String,
    at: Value,
    countdown: Option<String>,
}

impl Note {
    /// The text, and how far the day is that it speaks of.
    pub(super) fn with_countdown(&self) -> String {
        match &self.countdown {
            Some(countdown) => format!("{} ({countdown})", self.text),
            None => self.text.clone(),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Reported {
    at: Value,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Uplink {
    name: String,
    note: Option<Note>,
    reported: Option<Reported>,
}

fn show(status: &Value, name: &str) -> Result<ExitCode, Failure> {
    let uplinks = status.get("uplinks").cloned().unwrap_or_default();
    let uplinks = Vec::<Uplink>::deserialize(uplinks).map_err(|error| {
        let hint = "agent and command may be of different versions";
        Failure::new(format!("the agent's status cannot be understood: {error}"), hint)
    })?;
    let Some(uplink) = uplinks.iter().find(|uplink| uplink.name == name) else {
        let names: Vec<&str> = uplinks.iter().map(|uplink| uplink.name.as_str()).collect();
        return Err(named::unknown(name, &names, ""));
    };
    terminal::print(&told(uplink))?;
    let some = uplink.note.is_some() || uplink.reported.is_some();
    Ok(if some { ExitCode::SUCCESS } else { ExitCode::from(NO) })
}

fn told(uplink: &Uplink) -> String {
    let time = |at: &Value| when::moment(at).and_then(when::full);
    let since = |at: &Value| time(at).map(|time| format!(", {time}")).unwrap_or_default();
    let note = uplink.note.as_ref().map(|note| {
        let written = time(&note.at).map(|time| format!("  (written {time})")).unwrap_or_default();
        format!("{}{written}\n", printable(&note.with_countdown()))
    });
    let reported = uplink.reported.as_ref();
    let reported = reported.map(|told| format!("reported to the provider{}\n", since(&told.at)));
    let said: String = note.into_iter().chain(reported).collect();
    if said.is_empty() { format!("{} has no note\n", uplink.name) } else { said }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_shown_with_what_was_reported() {
        let full = when::full(crate::time::Utc(1_767_268_800_000)).unwrap();
        let uplink = |value: Value| Uplink::deserialize(value).unwrap();
        let shown = told(&uplink(json!({
            "name": "cable", "role": "active",
            "note": { "text": "ticket 4711,\u{1b}[1m 17 Nov", "at": "2026-01-01T12:00:00Z",
                      "due": "2026-11-17", "due_in_days": 3, "countdown": "in 3 days" },
            "reported": { "at": null },
        })));
        assert!(shown.starts_with("ticket 4711,"), "{shown}");
        assert!(shown.contains(&format!("17 Nov (in 3 days)  (written {full})\n")), "{shown}");
        assert!(shown.ends_with("\nreported to the provider\n") && !shown.contains('\u{1b}'));
        assert_eq!(told(&uplink(json!({ "name": "mifi", "note": null }))), "mifi has no note\n");
        let status = json!({ "uplinks": [{ "name": "cable" }] });
        let wrong = show(&status, "cabel").unwrap_err().to_string();
        assert!(wrong.contains("did you mean cable?"), "{wrong}");
    }
}
