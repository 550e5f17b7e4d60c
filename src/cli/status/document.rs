//! What the command line reads of the agent's status document.

use std::process::ExitCode;

use serde::Deserialize;
use serde_json::Value;

use crate::cli::failure::{Failure, NO};
use crate::cli::note::Note;
use crate::cli::table::Style;

/// What `status` reads of the agent's document; an older or newer agent may say less or more.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::cli) struct Status {
    pub(in crate::cli) active: Option<String>,
    pub(in crate::cli) active6: Option<String>,
    pub(in crate::cli) since: Value,
    pub(in crate::cli) sentence: String,
    pub(in crate::cli) last_switch: Option<Switch>,
    /// The agent's own word on whether some uplink works.
    pub(in crate::cli) works: Option<bool>,
    /// The agent only watches.
    pub(in crate::cli) observing: bool,
    /// The uplink that a person prefers.
    pub(in crate::cli) manual: Option<String>,
    /// Addresses of the page, the best first.
    pub(in crate::cli) page: Vec<String>,
    /// Its own names.
    pub(in crate::cli) names: Vec<Name>,
    /// Which servers the box is told to ask for names.
    pub(in crate::cli) resolvers: Vec<String>,
    pub(in crate::cli) uplinks: Vec<Uplink>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::cli) struct Switch {
    pub(in crate::cli) to: Option<String>,
    pub(in crate::cli) felt_ms: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::cli) struct Uplink {
    pub(in crate::cli) name: String,
    pub(in crate::cli) interface: String,
    pub(in crate::cli) role: String,
    pub(in crate::cli) health: String,
    pub(in crate::cli) condition: String,
    pub(in crate::cli) resolvers: Vec<String>,
    pub(in crate::cli) reason: Option<String>,
    pub(in crate::cli) next: Option<String>,
    pub(in crate::cli) rtt_ms: Option<f64>,
    pub(in crate::cli) loss_pct: Option<f64>,
    pub(in crate::cli) proven_s_ago: Option<u64>,
    pub(in crate::cli) note: Option<Note>,
    pub(in crate::cli) v4: Option<Line>,
    pub(in crate::cli) v6: Option<Line>,
}

/// One IP version of an uplink.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::cli) struct Line {
    pub(in crate::cli) health: String,
}

impl Line {
    fn is_down(&self) -> bool {
        self.health == "down"
    }
}

/// A name that the box keeps up to date.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::cli) struct Name {
    pub(in crate::cli) state: String,
    pub(in crate::cli) text: String,
}

impl Name {
    /// Nobody has to do anything about it.
    pub(in crate::cli) fn is_fine(&self) -> bool {
        matches!(self.state.as_str(), "right" | "waiting")
    }
}

impl Status {
    pub(in crate::cli) fn of(document: &Value) -> Result<Self, Failure> {
        Self::deserialize(document).map_err(|error| {
            let hint = "agent and command may be of different versions; --json shows it as it is";
            Failure::new(format!("the agent's status cannot be understood: {error}"), hint)
        })
    }

    /// 0 if some uplink works, 1 if none does.
    pub(in crate::cli) fn exit_code(&self) -> ExitCode {
        if self.works() { ExitCode::SUCCESS } else { ExitCode::from(NO) }
    }

    /// The uplink that an interface is.
    pub(in crate::cli) fn uplink_by(&self, interface: &str) -> Option<&str> {
        let uplink = self.uplinks.iter().find(|uplink| uplink.interface == interface);
        uplink.map(|uplink| uplink.name.as_str())
    }

    /// Whether some uplink works.
    pub(in crate::cli) fn works(&self) -> bool {
        self.works.unwrap_or_else(|| self.uplinks.iter().any(Uplink::works))
    }
}

impl Uplink {
    /// Whether traffic gets through, as far as anyone knows.
    pub(in crate::cli) fn works(&self) -> bool {
        match self.role.as_str() {
            "active" => matches!(self.health.as_str(), "up" | "failing" | "recovering"),
            "ready" => matches!(self.health.as_str(), "up" | "failing"),
            _ => false,
        }
    }

    /// Nothing about it needs to be explained.
    pub(in crate::cli) fn is_fine(&self) -> bool {
        let healthy = self.health == "up" && matches!(self.condition.as_str(), "ok" | "");
        matches!(self.role.as_str(), "active" | "ready") && healthy
    }

    /// There is nothing to measure where its figures are taken: of IPv4 where there is one.
    pub(in crate::cli) fn has_no_figures(&self) -> bool {
        self.v4.as_ref().or(self.v6.as_ref()).map_or(self.health == "down", Line::is_down)
    }

    /// Nothing gets through where it carries the traffic; where it carries none, it is down as a whole.
    fn is_down(&self, status: &Status) -> bool {
        let carries = |by: &Option<String>| by.as_deref() == Some(self.name.as_str());
        let v4 = self.v4.as_ref().filter(|_| carries(&status.active));
        let v6 = self.v6.as_ref().filter(|_| carries(&status.active6));
        match (v4, v6) {
            (None, None) => self.health == "down",
            (v4, v6) => v4.into_iter().chain(v6).all(Line::is_down),
        }
    }

    /// The IP version that is down while the other is not.
    fn down_version(&self) -> Option<&'static str> {
        match (self.v4.as_ref()?.is_down(), self.v6.as_ref()?.is_down()) {
            (true, false) => Some("IPv4"),
            (false, true) => Some("IPv6"),
            (true, true) | (false, false) => None,
        }
    }

    /// What it is, in one or two words, and how they look.
    pub(in crate::cli) fn word(&self, status: &Status) -> (String, Style) {
        let split = matches!((&status.active, &status.active6), (Some(v4), Some(v6)) if v4 != v6);
        match (self.role.as_str(), self.condition.as_str(), self.health.as_str()) {
            ("active", ..) if self.is_down(status) => ("down".to_owned(), Style::Bad),
            ("not_ready", "beyond_modem" | "modem_silent", _) => match self.down_version() {
                Some(family) => (format!("{family} down"), Style::Careful),
                None => ("down".to_owned(), Style::Bad),
            },
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
            (_, "switched_off", _) => ("switched off".to_owned(), Style::Faint),
            (_, "portal", _) => ("sign-in page".to_owned(), Style::Careful),
            (_, "degraded", _) => ("degraded".to_owned(), Style::Careful),
            (_, _, "down") => ("down".to_owned(), Style::Bad),
            ("not_ready", ..) => ("being checked".to_owned(), Style::Careful),
            (other, ..) => (other.replace('_', " "), Style::Plain),
        }
    }
}
