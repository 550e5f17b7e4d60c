//! `sparelink history`: what happened, oldest first.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde_json::Value;

use super::client::Client;
use super::failure::Failure;
use super::table::{Align, Cell, Colour, Style, Table};
use super::terminal;

const ROUTE: &str = "/api/v1/history";

/// Prints the history for a person, or as the agent gave it.
pub(super) fn history(client: &Client, as_json: bool) -> Result<ExitCode, Failure> {
    let document = client.get(ROUTE)?;
    if as_json {
        return terminal::print(&format!("{document:#}\n"));
    }
    let colour = if terminal::has_colour() { Colour::Yes } else { Colour::No };
    terminal::print(&render(&events(document)?, colour))
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

fn render(events: &[Event], colour: Colour) -> String {
    if events.is_empty() {
        return "nothing has happened since the agent was started\n".to_owned();
    }
    let columns = [("TIME (UTC)", Align::Left), ("UPLINK", Align::Left), ("WHAT", Align::Left)];
    let mut table = Table::new(columns);
    for event in events {
        let style = match event.severity.as_deref() {
            Some("debug") => Style::Faint,
            Some("error" | "critical") => Style::Bad,
            Some("warning" | "warn") => Style::Careful,
            _ => Style::Plain,
        };
        let text = event.text.clone().unwrap_or_else(|| event.code.replace('_', " "));
        table.row([
            Cell::new(time(&event.at), Style::Faint),
            event.uplink.as_deref().unwrap_or_default().into(),
            Cell::new(text, style),
        ]);
    }
    table.render(colour)
}

/// `2026-01-01 12:00:00`; a dash where the time is not known.
fn time(at: &Value) -> String {
    /// The last second of the year 9999, which is the last that RFC 3339 can write.
    const LAST: Duration = Duration::from_secs(253_402_300_799);
    let since_1970 = at.as_u64().map(Duration::from_millis).filter(|since| *since < LAST);
    let time = match at.as_str() {
        Some(text) => humantime::parse_rfc3339(text).ok(),
        None => since_1970.map(|since| SystemTime::UNIX_EPOCH + since),
    };
    let Some(time) = time else {
        return "-".to_owned();
    };
    humantime::format_rfc3339_seconds(time).to_string().replace('T', " ").replace('Z', "")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn history_reads_well() {
        let list = json!([
            { "at": "2026-01-01T12:00:00.250Z", "code": "switched", "uplink": "mifi",
              "severity": "warning", "text": "cable is down, the traffic goes by mifi" },
            { "at": 1_767_268_860_000_u64, "code": "reloaded" },
            { "at": null, "code": "started", "text": "watching 2 uplinks" },
        ]);
        let expected = "\
TIME (UTC)           UPLINK  WHAT
2026-01-01 12:00:00  mifi    cable is down, the traffic goes by mifi
2026-01-01 12:01:00          reloaded
-                            watching 2 uplinks
";
        assert_eq!(render(&events(list.clone()).unwrap(), Colour::No), expected);
        assert_eq!(render(&events(json!({ "events": list })).unwrap(), Colour::No), expected);
        assert!(render(&[], Colour::No).starts_with("nothing has happened"));
        assert!(events(json!({ "no": 1 })).is_err());
        assert_eq!(time(&json!(u64::MAX)), "-");
    }
}
