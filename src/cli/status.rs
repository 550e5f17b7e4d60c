//! `sparelink status`: the agent's status as a person reads it, or as JSON.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde_json::Value;

use super::client::Client;
use super::failure::{Failure, NO};
use super::table::{Align, Cell, Colour, Style, Table, printable};
use super::terminal;
use crate::io::clock;
use crate::time::{Utc, human};

const ROUTE: &str = "/api/v1/status";

/// Prints the status for a person.
pub(super) fn show(client: &Client) -> Result<ExitCode, Failure> {
    let status = Status::of(&client.get(ROUTE)?)?;
    terminal::print(&render(&status, colour(), clock::now().utc))?;
    Ok(status.exit_code())
}

/// Prints the status as the agent gave it.
pub(super) fn json(client: &Client) -> Result<ExitCode, Failure> {
    let document = client.get(ROUTE)?;
    terminal::print(&format!("{document:#}\n"))?;
    Ok(Status::of(&document)?.exit_code())
}

/// Prints the status anew every second until Ctrl-C. An agent that goes away is waited for.
pub(super) fn watch(client: &Client, as_json: bool) -> Result<ExitCode, Failure> {
    let mut document = client.get(ROUTE)?;
    loop {
        let status = Status::of(&document)?;
        let text = if as_json {
            format!("{document}\n")
        } else if terminal::is_terminal() {
            format!("{CLEAR}{}", render(&status, colour(), clock::now().utc))
        } else {
            format!("{}\n", render(&status, Colour::No, clock::now().utc))
        };
        if terminal::print_more(&text)?.is_break() {
            return Ok(status.exit_code());
        }
        document = loop {
            if wait_a_second()? {
                return Ok(status.exit_code());
            }
            match client.get(ROUTE) {
                Ok(document) => break document,
                Err(failure) => terminal::print_error(&format!("{failure}\n")),
            }
        };
    }
}

/// Clears the screen and goes to its upper left corner (ECMA-48).
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Waits for the next second or for Ctrl-C; returns whether it was Ctrl-C.
fn wait_a_second() -> Result<bool, Failure> {
    let cannot = |error| Failure::plain(format!("cannot wait: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(cannot)?.block_on(async {
        tokio::select! {
            pressed = tokio::signal::ctrl_c() => pressed.map(|()| true).map_err(cannot),
            () = tokio::time::sleep(Duration::from_secs(1)) => Ok(false),
        }
    })
}

fn colour() -> Colour {
    if terminal::has_colour() { Colour::Yes } else { Colour::No }
}

/// What `status` reads of the agent's document; an older or newer agent may say less or more.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    active: Option<String>,
    active6: Option<String>,
    since: Option<String>,
    sentence: String,
    last_switch: Option<Switch>,
    /// The agent's own word on whether some uplink works.
    works: Option<bool>,
    /// Whom the box is told to ask for names.
    resolvers: Vec<String>,
    uplinks: Vec<Uplink>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Switch {
    at: Option<String>,
    from: Option<String>,
    to: Option<String>,
    reason: Option<String>,
    felt_ms: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Uplink {
    name: String,
    role: String,
    health: String,
    condition: String,
    resolvers: Vec<String>,
    reason: Option<String>,
    next: Option<String>,
    rtt_ms: Option<f64>,
    loss_pct: Option<f64>,
}

impl Status {
    fn of(document: &Value) -> Result<Self, Failure> {
        Self::deserialize(document).map_err(|error| {
            let hint = "agent and command may be of different versions; --json shows it as it is";
            Failure::new(format!("the agent's status cannot be understood: {error}"), hint)
        })
    }

    /// 0 if some uplink works, 1 if none does.
    fn exit_code(&self) -> ExitCode {
        let works = self.works.unwrap_or_else(|| self.uplinks.iter().any(Uplink::works));
        if works { ExitCode::SUCCESS } else { ExitCode::from(NO) }
    }
}

impl Uplink {
    /// Whether traffic gets through, as far as anyone knows.
    fn works(&self) -> bool {
        match self.role.as_str() {
            "active" => matches!(self.health.as_str(), "up" | "failing" | "recovering"),
            "ready" => matches!(self.health.as_str(), "up" | "failing"),
            _ => false,
        }
    }

    /// `up`, `up, degraded`, `down: no carrier`.
    fn health_in_words(&self) -> String {
        let health = words(&self.health);
        match self.condition.as_str() {
            "" | "ok" => health,
            "degraded" => format!("{health}, degraded"),
            other => format!("{health}: {}", words(other)),
        }
    }

    fn health_style(&self) -> Style {
        match (self.health.as_str(), self.condition.as_str()) {
            ("up", "ok" | "") => Style::Good,
            ("down", _) => Style::Bad,
            _ => Style::Careful,
        }
    }

    fn role_style(&self) -> Style {
        match self.role.as_str() {
            "active" => Style::Strong,
            "ready" => Style::Plain,
            _ => Style::Faint,
        }
    }
}

fn render(status: &Status, colour: Colour, now: Option<Utc>) -> String {
    let strong = |text: &str| Style::Strong.paint(&printable(text), colour);
    let mut text = strong(&status.sentence);
    if let Some(since) = status.since.as_deref().and_then(|since| ago(since, now)) {
        text.push_str(&format!(" (for {since})"));
    }
    text.push_str("\n\n");
    text.push_str(&uplinks(status).render(colour));
    match (status.active.as_deref(), status.active6.as_deref()) {
        (Some(v4), Some(v6)) if v4 != v6 => {
            text.push_str(&format!(
                "\nIPv4 goes by {}, IPv6 by {}\n",
                printable(v4),
                printable(v6)
            ));
        }
        (None, Some(v6)) => {
            text.push_str(&format!("\nIPv4 does not work; IPv6 goes by {}\n", printable(v6)));
        }
        (Some(_) | None, Some(_) | None) => {}
    }
    if let Some(names) = names(status) {
        text.push_str(&format!("\n{names}\n"));
    }
    if let Some(switch) = &status.last_switch {
        text.push_str(&format!("\n{}\n", last_switch(switch, now)));
    }
    text
}

/// Whom the box asks for names, where it is not the resolvers of the uplink in use although they are
/// known.
fn names(status: &Status) -> Option<String> {
    let first = status.resolvers.first()?;
    let mut active = status.uplinks.iter().filter(|u| u.role == "active");
    let passed_over = |u: &&Uplink| !u.resolvers.is_empty() && !u.resolvers.contains(first);
    let own = |u: &Uplink| u.resolvers.contains(first);
    let uplink = active.clone().find(passed_over).filter(|_| !active.any(own))?;
    let (list, name) = (printable(&status.resolvers.join(", ")), printable(&uplink.name));
    Some(format!("names are asked of {list}, not of {name}'s own resolvers"))
}

fn uplinks(status: &Status) -> Table {
    let mut table = Table::new([
        ("UPLINK", Align::Left),
        ("ROLE", Align::Left),
        ("HEALTH", Align::Left),
        ("RTT", Align::Right),
        ("LOSS", Align::Right),
        ("WHY", Align::Left),
        ("NEXT", Align::Left),
    ]);
    for uplink in &status.uplinks {
        table.row([
            Cell::new(uplink.name.as_str(), uplink.role_style()),
            Cell::new(words(&uplink.role), uplink.role_style()),
            Cell::new(uplink.health_in_words(), uplink.health_style()),
            uplink.rtt_ms.map(milliseconds).unwrap_or_default().into(),
            uplink.loss_pct.map(|loss| format!("{loss:.0} %")).unwrap_or_default().into(),
            uplink.reason.as_deref().unwrap_or_default().into(),
            uplink.next.as_deref().unwrap_or_default().into(),
        ]);
    }
    table
}

/// `last switch 12 min ago: cable to mifi, beyond the modem nothing answers (felt for 0.7 s)`.
fn last_switch(switch: &Switch, now: Option<Utc>) -> String {
    let when = switch.at.as_deref().map(|at| {
        ago(at, now).map_or_else(|| format!(" at {}", printable(at)), |ago| format!(" {ago} ago"))
    });
    let name = |side: &Option<String>| side.as_deref().map_or("none".into(), printable);
    let mut text = format!(
        "last switch{}: {} to {}",
        when.unwrap_or_default(),
        name(&switch.from),
        name(&switch.to)
    );
    if let Some(reason) = switch.reason.as_deref().filter(|reason| !reason.is_empty()) {
        text.push_str(&format!(", {}", printable(reason)));
    }
    if let Some(felt) = switch.felt_ms.and_then(|ms| Duration::try_from_secs_f64(ms / 1e3).ok()) {
        text.push_str(&format!(" (felt for {})", human(felt)));
    }
    text
}

/// How long ago an RFC 3339 time was, unless it is in the future or the time is not known.
fn ago(at: &str, now: Option<Utc>) -> Option<String> {
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(now?.0);
    now.duration_since(humantime::parse_rfc3339(at).ok()?).ok().map(human)
}

fn milliseconds(ms: f64) -> String {
    if ms < 10.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}

fn words(code: &str) -> String {
    code.replace('_', " ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn example() -> Value {
        json!({
            "version": "0.1.0", "active": "mifi", "active6": "cable",
            "since": "2026-01-01T09:58:00Z", "sentence": "Internet works, on mifi",
            "last_switch": { "at": "2026-01-01T11:48:00Z", "from": "cable", "to": "mifi",
                "reason": "nothing beyond the modem answers", "felt_ms": 712 },
            "spares_ready": 1,
            "uplinks": [
                { "name": "cable", "role": "not_ready", "health": "down", "condition": "beyond_modem",
                  "reason": "3 of 3 targets silent", "next": "back 60 s after it answers",
                  "rtt_ms": null, "loss_pct": 100 },
                { "name": "mifi", "role": "active", "health": "up", "condition": "degraded",
                  "rtt_ms": 48.4, "loss_pct": 22.5, "reason": "first that answers", "flows": null },
                { "name": "phone", "role": "paused", "health": "unknown", "rtt_ms": 3.25 },
            ],
        })
    }

    fn shown(document: &Value) -> String {
        let now = Some(Utc(1_767_268_800_000)); // 2026-01-01T12:00:00Z
        render(&Status::of(document).unwrap(), Colour::No, now)
    }

    #[test]
    fn status_reads_well() {
        let expected = "\
Internet works, on mifi (for 2 h)

UPLINK  ROLE       HEALTH                 RTT   LOSS  WHY                    NEXT
cable   not ready  down: beyond modem          100 %  3 of 3 targets silent  back 60 s after it answers
mifi    active     up, degraded         48 ms   22 %  first that answers
phone   paused     unknown             3.2 ms

IPv4 goes by mifi, IPv6 by cable

last switch 12 min ago: cable to mifi, nothing beyond the modem answers (felt for 712 ms)
";
        assert_eq!(shown(&example()), expected);
    }

    #[test]
    fn public_resolvers_are_told_only_when_the_own_are_passed_over() {
        let mut document = example();
        document["resolvers"] = json!(["192.168.8.1", "1.1.1.1", "8.8.8.8"]);
        assert!(!shown(&document).contains("names are"), "nobody's own are known");
        document["uplinks"][1]["resolvers"] = json!(["192.168.8.1"]);
        assert!(!shown(&document).contains("names are"), "they are asked");
        document["resolvers"] = json!(["1.1.1.1", "8.8.8.8", "9.9.9.9"]);
        let line = "\nnames are asked of 1.1.1.1, 8.8.8.8, 9.9.9.9, not of mifi's own resolvers\n";
        assert!(shown(&document).contains(line), "{}", shown(&document));
    }

    #[test]
    fn an_agent_that_says_little_is_understood() {
        assert_eq!(
            shown(&json!({})).lines().nth(2),
            Some("UPLINK  ROLE  HEALTH  RTT  LOSS  WHY  NEXT")
        );
    }

    #[test]
    fn works_means_that_traffic_gets_through() {
        let cases = [
            ("active", "up", true),
            ("active", "failing", true),
            ("active", "recovering", true),
            ("active", "down", false),
            ("active", "unknown", false),
            ("ready", "up", true),
            ("not_ready", "recovering", false),
            ("paused", "up", false),
        ];
        for (role, health, works) in cases {
            let uplink = Uplink { role: role.into(), health: health.into(), ..Uplink::default() };
            assert_eq!(uplink.works(), works, "{role} {health}");
        }
    }
}
