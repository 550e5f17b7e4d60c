//! What can be set: as it is, and as a person wants it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::span::written;
use crate::config::{
    self, BoardChoice, Config, Error, Kind, Led, NotifyConfig, Quiet, UplinkConfig,
};
use crate::units::Severity;

/// Why the file cannot be edited as wanted.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// The file is wrong, before or after the edit: every mistake, in words.
    #[error(transparent)]
    Mistakes(#[from] Error),
    /// It is written in a way that only a person can edit.
    #[error("{0} in a form that only an editor can change")]
    Form(&'static str),
    /// What is wanted does not fit what the file has.
    #[error("{0}")]
    Elsewhere(&'static str),
}

/// What can be set, as it is in force or as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Settings {
    /// The chain in order.
    pub uplinks: Vec<Uplink>,
    /// How long a better uplink must have been stable, as in the file: `60s`.
    pub hold: String,
    /// Who is told, in the order of the file.
    pub notify: Vec<Channel>,
    pub leds: Leds,
}

/// What can be set of an uplink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Uplink {
    pub name: String,
    pub kind: &'static str,
    pub metered: bool,
    pub provider: Provider,
}

/// Who provides it; what is not known is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    pub name: String,
    pub account: String,
    pub phone: String,
    pub monthly: String,
}

/// What can be set of a channel for messages. Where it leads to is shown only as far as it is no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Channel {
    pub name: String,
    pub to: String,
    pub min: &'static str,
    /// `22:00-07:00`, or nothing.
    pub quiet: String,
}

/// What can be set of LEDs; what is not said is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Leds {
    /// `auto`, `none`, or a board.
    pub board: String,
    pub status: String,
    pub uplinks: BTreeMap<String, String>,
}

/// What a person wants. What is left out stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// All of them, in the order that is wanted.
    pub uplinks: Option<Vec<WantedUplink>>,
    pub hold: Option<String>,
    /// All of them: one that is not among them is removed.
    pub notify: Option<Vec<WantedChannel>>,
    pub leds: Option<WantedLeds>,
}

/// An uplink by the name that it has in the file, and what it shall be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WantedUplink {
    pub was: String,
    pub name: Option<String>,
    pub kind: Option<String>,
    pub metered: Option<bool>,
    pub provider: Option<Provider>,
}

/// A channel by its place in the file, from 0, or a new one by its URL.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WantedChannel {
    pub was: Option<usize>,
    pub to: Option<String>,
    pub min: Option<String>,
    /// An empty one is none.
    pub quiet: Option<String>,
}

/// LEDs by name; an empty name leaves it to the board.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WantedLeds {
    pub status: Option<String>,
    /// By the name that the uplink has in the file.
    pub uplinks: Option<BTreeMap<String, String>>,
}

impl Settings {
    /// Those of a configuration.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let uplink = |uplink: &UplinkConfig| Uplink {
            name: uplink.name.clone(),
            kind: kind_word(uplink.kind),
            metered: uplink.metered,
            provider: uplink.provider.as_ref().map(Provider::of).unwrap_or_default(),
        };
        Self {
            uplinks: config.uplinks.iter().map(uplink).collect(),
            hold: written(config.failback.hold),
            notify: config.notify.iter().map(Channel::of).collect(),
            leds: Leds::of(config),
        }
    }
}

impl Provider {
    fn of(provider: &config::Provider) -> Self {
        let account = provider.account.as_ref().map(|account| account.reveal().to_owned());
        Self {
            name: provider.name.clone(),
            account: account.unwrap_or_default(),
            phone: provider.phone.clone().unwrap_or_default(),
            monthly: provider.monthly.as_ref().map(ToString::to_string).unwrap_or_default(),
        }
    }

    /// Each with its key.
    pub(super) fn parts(&self) -> [(&'static str, &str); 4] {
        [
            ("name", &self.name),
            ("account", &self.account),
            ("phone", &self.phone),
            ("monthly", &self.monthly),
        ]
    }
}

impl Channel {
    fn of(channel: &NotifyConfig) -> Self {
        Self {
            name: channel.name.clone(),
            to: channel.to.to_string(),
            min: min_word(channel.min),
            quiet: channel.quiet.map(quiet_text).unwrap_or_default(),
        }
    }
}

impl Leds {
    pub(super) fn of(config: &Config) -> Self {
        let board = match &config.leds.board {
            BoardChoice::Auto => "auto".to_owned(),
            BoardChoice::None => "none".to_owned(),
            BoardChoice::Named(name) => name.clone(),
        };
        let text = |led: &Led| led.to_string();
        let uplinks = config.leds.uplinks.iter().map(|(name, led)| (name.clone(), text(led)));
        let status = config.leds.status.as_ref().map(text).unwrap_or_default();
        Self { board, status, uplinks: uplinks.collect() }
    }
}

/// The word in the file.
const fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Wired => "wired",
        Kind::Wifi => "wifi",
        Kind::Cellular => "cellular",
    }
}

/// The word in the file.
const fn min_word(min: Severity) -> &'static str {
    match min {
        Severity::Debug | Severity::Info | Severity::Notice => "notice",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    }
}

/// As in the file.
fn quiet_text(quiet: Quiet) -> String {
    let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
    format!("{}-{}", clock(quiet.from), clock(quiet.to))
}
