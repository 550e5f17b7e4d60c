//! `sparelink status`: the agent's status as a person reads it, or as JSON.

use std::process::ExitCode;

use serde::Deserialize;
use serde_json::Value;

use super::client::Client;
use super::failure::{Failure, NO};
use super::note::Note;
use super::table::{Align, Cell, Colour, Style, Table, printable, width, wrapped};
use super::terminal::{self, Look};
use super::when;

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

/// What `status` reads of the agent's document; an older or newer agent may say less or more.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    active: Option<String>,
    active6: Option<String>,
    since: Value,
    sentence: String,
    last_switch: Option<Switch>,
    /// The agent's own word on whether some uplink works.
    works: Option<bool>,
    /// The agent only watches.
    observing: bool,
    /// The uplink that a person prefers.
    manual: Option<String>,
    /// Addresses of the page, the best first.
    page: Vec<String>,
    /// Its own names.
    names: Vec<Name>,
    /// Which servers the box is told to ask for names.
    resolvers: Vec<String>,
    uplinks: Vec<Uplink>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Switch {
    to: Option<String>,
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
    proven_s_ago: Option<u64>,
    note: Option<Note>,
}

/// A name that the box keeps up to date.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Name {
    state: String,
    text: String,
}

impl Name {
    /// Nobody has to do anything about it.
    fn is_fine(&self) -> bool {
        matches!(self.state.as_str(), "right" | "waiting")
    }
}

impl Status {
    pub(super) fn of(document: &Value) -> Result<Self, Failure> {
        Self::deserialize(document).map_err(|error| {
            let hint = "agent and command may be of different versions; --json shows it as it is";
            Failure::new(format!("the agent's status cannot be understood: {error}"), hint)
        })
    }

    /// 0 if some uplink works, 1 if none does.
    pub(super) fn exit_code(&self) -> ExitCode {
        if self.works() { ExitCode::SUCCESS } else { ExitCode::from(NO) }
    }

    fn works(&self) -> bool {
        self.works.unwrap_or_else(|| self.uplinks.iter().any(Uplink::works))
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

    /// Nothing about it needs to be explained.
    fn is_fine(&self) -> bool {
        let healthy = self.health == "up" && matches!(self.condition.as_str(), "ok" | "");
        matches!(self.role.as_str(), "active" | "ready") && healthy
    }

    /// What it is, in one or two words, and how they look.
    fn word(&self, status: &Status) -> (String, Style) {
        let split = matches!((&status.active, &status.active6), (Some(v4), Some(v6)) if v4 != v6);
        match (self.role.as_str(), self.condition.as_str(), self.health.as_str()) {
            ("active", _, "down") | ("not_ready", "beyond_modem" | "modem_silent", _) => {
                ("down".to_owned(), Style::Bad)
            }
            ("active", ..) => {
                let is_v4 = status.active.as_deref() == Some(self.name.as_str());
                let word = match (split, is_v4) {
                    (false, _) => "in use",
                    (true, true) => "in use, IPv4",
                    (true, false) => "in use, IPv6",
                };
                (word.to_owned(), if self.is_fine() { Style::Good } else { Style::Careful })
            }
            ("ready", ..) => ("ready".to_owned(), Style::Plain),
            ("paused", ..) => ("paused".to_owned(), Style::Faint),
            (_, "absent" | "no_carrier", _) => ("not connected".to_owned(), Style::Faint),
            (_, "portal", _) => ("sign-in page".to_owned(), Style::Careful),
            (_, "degraded", _) => ("degraded".to_owned(), Style::Careful),
            (_, _, "down") => ("down".to_owned(), Style::Bad),
            ("not_ready", ..) => ("being checked".to_owned(), Style::Careful),
            (other, ..) => (other.replace('_', " "), Style::Plain),
        }
    }

    /// Round-trip time and loss; of a dead line there are none.
    fn figures(&self) -> (String, String) {
        if self.health == "down" {
            return (NO_FIGURE.to_owned(), String::new());
        }
        let rtt = self.rtt_ms.map_or_else(|| NO_FIGURE.to_owned(), milliseconds);
        (rtt, self.loss_pct.map(|loss| format!("{loss:.0} %")).unwrap_or_default())
    }

    /// What is wrong with it, and what happens next.
    fn explained(&self) -> Option<String> {
        let reason = self.reason.as_deref().filter(|_| !self.is_fine());
        let words = [reason, self.next.as_deref()].into_iter().flatten().filter(|w| !w.is_empty());
        let words = words.collect::<Vec<_>>().join("; ");
        (!words.is_empty()).then(|| format!("{}: {words}", self.name))
    }
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
    for explained in status.uplinks.iter().filter_map(Uplink::explained) {
        text += &line(&explained, 2, Style::Plain);
    }
    for uplink in &status.uplinks {
        if let Some(note) = &uplink.note {
            let noted = format!("{}: note: {}", uplink.name, note.with_countdown());
            text += &line(&noted, 2, Style::Plain);
        }
    }
    if let Some(name) = &status.manual {
        let back = "`sparelink switch auto` ends that";
        text += &line(&format!("{name} is preferred manually; {back}"), 2, Style::Plain);
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
        let (rtt, loss) = uplink.figures();
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
mod tests {
    use serde_json::json;

    use super::*;
    use crate::time::Utc;

    const NOW: Utc = Utc(1_767_268_800_000); // 2026-01-01T12:00:00Z

    fn shown_at(document: &Value, width: Option<usize>) -> String {
        let look = Look { colour: Colour::No, width, now: Some(NOW) };
        render(&Status::of(document).unwrap(), &look)
    }

    fn shown(document: &Value) -> String {
        shown_at(document, None)
    }

    /// On the second of three, as an agent tells it.
    fn on_backup() -> Value {
        json!({
            "version": "0.1.0", "works": true, "active": "mifi", "active6": "mifi",
            "since": "2026-01-01T11:59:37Z", "sentence": "not read",
            "last_switch": { "at": "2026-01-01T11:59:37Z", "from": "cable", "to": "mifi",
                "reason": "not read", "felt_ms": 623 },
            "spares_ready": 1, "page": ["http://192.168.77.1:8300/", "http://[fd77::1]:8300/"],
            "uplinks": [
                { "name": "cable", "role": "not_ready", "health": "down", "condition": "beyond_modem",
                  "reason": "no Internet behind the modem (the modem itself answers)",
                  "next": "retried every second", "rtt_ms": 10.1, "loss_pct": 7 },
                { "name": "mifi", "role": "active", "health": "up", "condition": "ok",
                  "rtt_ms": 26.4, "loss_pct": 0, "reason": "cable has no Internet", "next": "" },
                { "name": "phone", "role": "ready", "health": "up", "condition": "ok", "reason": "ready",
                  "rtt_ms": 52.2, "loss_pct": 0, "proven_s_ago": 20, "next": "" },
            ],
        })
    }

    #[test]
    fn status_on_backup_fits_eighty_columns() {
        let since = when::clock(Utc(NOW.0 - 23_000), Some(NOW)).unwrap();
        let expected = format!(
            "\
Internet works, on mifi since {since} (23 s). Interruption 0.6 s.
  cable: no Internet behind the modem (the modem itself answers); retried every
  second

    1  cable  down        –
 →  2  mifi   in use  26 ms  0 %
    3  phone  ready   52 ms  0 %  checked 20 s ago

1 spare ready (phone). Paused: none. Page: http://192.168.77.1:8300/
"
        );
        assert_eq!(shown_at(&on_backup(), Some(80)), expected);
        let piped = shown(&on_backup());
        assert!(piped.contains("answers); retried every second\n"), "{piped}");
    }

    #[test]
    fn a_narrow_terminal_gets_a_second_line() {
        let narrow = shown_at(&on_backup(), Some(40));
        let widest = narrow.lines().map(width).max().unwrap_or(0);
        assert!(widest <= 40, "{widest} columns:\n{narrow}");
        assert!(
            narrow.contains("phone  ready   52 ms  0 %\n       checked 20 s ago\n"),
            "{narrow}"
        );
    }

    #[test]
    fn what_is_left_is_said() {
        let mut document = on_backup();
        document["uplinks"][2]["role"] = json!("not_ready");
        document["uplinks"][2]["condition"] = json!("portal");
        document["uplinks"][2]["reason"] = json!("asks for a sign-in");
        let text = shown(&document);
        assert!(text.contains("\nNo spare left. Paused: none. Page: "), "{text}");
        assert!(
            text.contains("phone  sign-in page") && text.contains("  phone: asks for a sign-in\n")
        );
        document["uplinks"][2]["role"] = json!("paused");
        assert!(shown(&document).contains("\nNo spare left. Paused: phone. Page: "));
    }

    #[test]
    fn nothing_works_is_said_without_a_figure_of_the_dead() {
        let mut document = on_backup();
        document["works"] = json!(false);
        (document["active"], document["active6"]) = (json!(null), json!(null));
        document["uplinks"][1]["health"] = json!("down");
        let text = shown(&document);
        assert!(text.starts_with("No Internet since "), "{text}");
        assert!(text.contains("→  2  mifi   down       –\n"), "{text}");
        assert!(!text.contains("26 ms") && !text.contains("10 ms"), "{text}");
    }

    #[test]
    fn a_note_is_told_with_its_countdown() {
        let mut document = on_backup();
        let note = json!({ "text": "ticket 4711,\u{7} 17 Nov", "countdown": "in 3 days" });
        document["uplinks"][0]["note"] = note;
        let text = shown(&document);
        assert!(text.contains("\n  cable: note: ticket 4711, 17 Nov (in 3 days)\n"), "{text}");
    }

    #[test]
    fn who_only_watches_says_so_first() {
        let mut document = on_backup();
        assert!(!shown(&document).contains("observing"), "the control");
        document["observing"] = json!(true);
        assert!(shown(&document).starts_with("observing only: nothing is changed\nInternet works"));
    }

    #[test]
    fn two_uplinks_in_use_and_a_preferred_one_are_told() {
        let mut document = on_backup();
        document["active6"] = json!("phone");
        document["uplinks"][2]["role"] = json!("active");
        document["manual"] = json!("phone");
        let text = shown(&document);
        assert!(
            text.starts_with("Internet works, on mifi (IPv4) and phone (IPv6) since"),
            "{text}"
        );
        assert!(text.contains("in use, IPv4") && text.contains("in use, IPv6"), "{text}");
        assert!(
            text.contains("  phone is preferred manually; `sparelink switch auto` ends that\n")
        );
    }

    #[test]
    fn public_resolvers_are_told_only_when_the_own_are_passed_over() {
        let mut document = on_backup();
        document["resolvers"] = json!(["192.168.8.1", "1.1.1.1", "8.8.8.8"]);
        assert!(!shown(&document).contains("DNS: "), "its own are not known");
        document["uplinks"][1]["resolvers"] = json!(["192.168.8.1"]);
        assert!(!shown(&document).contains("DNS: "), "they are asked");
        document["resolvers"] = json!(["1.1.1.1", "8.8.8.8", "9.9.9.9"]);
        let line = "\nDNS: 1.1.1.1, 8.8.8.8, 9.9.9.9 are asked, not mifi's own resolvers.\n";
        assert!(shown(&document).contains(line), "{}", shown(&document));
    }

    #[test]
    fn an_agent_that_says_little_is_understood() {
        let text = shown(&json!({ "sentence": "So it is", "uplinks": [{ "name": "a" }] }));
        assert_eq!(
            text,
            "So it is.\n\n    1  a    –\n\nNo other uplink is configured. Paused: none.\n"
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
