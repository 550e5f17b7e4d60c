//! What is shown: the state for page and command line, LEDs, costs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::events::note::Said;
use super::events::story::Stories;
use super::events::timeline::Timeline;
use super::notify::heartbeat::Heartbeats;
use super::notify::teller::{Known, Teller};
use crate::time::Instant;

pub(super) mod housekeeping;
pub mod leds;
pub(super) mod service;
pub mod snapshot;
pub mod usage;

/// What is kept to be told and shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Telling {
    /// The number of the last event.
    pub(super) events: u64,
    pub(super) timeline: Timeline,
    pub(super) stories: Stories,
    pub(super) housekeeping: housekeeping::Housekeeping,
    pub(super) leds: leds::Leds,
    /// Since when each uplink has led to the Internet, or has not.
    #[serde(default)]
    pub(super) service: service::Services,
    /// Who is told.
    #[serde(default)]
    pub(super) teller: Teller,
    #[serde(default)]
    pub(super) heartbeats: Heartbeats,
    /// What people said of each uplink, by its name.
    #[serde(default)]
    pub(super) said: BTreeMap<String, Said>,
    /// When notes were written in the last day.
    #[serde(default)]
    pub(super) notes: Vec<Instant>,
    /// What an uplink is good for, or which one is in use, may be another than when that was last shown.
    #[serde(default)]
    pub(super) look: bool,
}

impl Telling {
    /// Nothing has happened yet, but for so many events in earlier runs.
    pub(super) fn new(events: u64, known: Known, now: Instant) -> Self {
        Self {
            events,
            timeline: Timeline::new(now),
            stories: Stories::default(),
            housekeeping: housekeeping::Housekeeping::born(now),
            leds: leds::Leds::default(),
            service: service::Services::default(),
            teller: Teller::new(known),
            heartbeats: Heartbeats::default(),
            said: BTreeMap::new(),
            notes: Vec::new(),
            look: false,
        }
    }
}
