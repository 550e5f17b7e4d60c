//! What is kept over a restart, and what over a reboot.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::engine::events::note::Said;
use crate::engine::names::ddns::follower::Kept;
use crate::engine::notify::teller::Known;
use crate::engine::probe::window::Learned;
use crate::time::{Instant, Utc};
use crate::units::{PerFamily, UplinkId};

mod bounds;

/// What outlives a reboot: how each line has behaved.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SavedState {
    /// What was learned of each uplink's silences, by uplink name.
    pub lines: BTreeMap<String, PerFamily<Learned>>,
    /// Failovers away from each uplink in the hour before `saved_at`, as seconds before it.
    pub departures: BTreeMap<String, Vec<u64>>,
    pub switches: u64,
    /// What people said of each uplink, by its name.
    pub said: BTreeMap<String, Said>,
    /// What the box's names were last told, by name.
    pub names: BTreeMap<String, Kept>,
    /// When it was written; without it the departures count as just before the start.
    pub saved_at: Option<Utc>,
}

/// What outlives a restart, but not a reboot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunState {
    /// Each uplink's number, by name.
    pub numbers: BTreeMap<String, UplinkId>,
    /// The uplink that a person put first, and until when.
    pub manual: Option<(String, Option<Instant>)>,
    /// Uplinks that a person set aside: name, until when, why.
    pub paused: BTreeMap<String, (Option<Instant>, Option<String>)>,
    /// Stale connections are reset until then.
    pub armed: Option<Instant>,
    /// Uplinks whose old flows may stay until then.
    pub drains: BTreeMap<String, Instant>,
}

/// What the engine is born with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Restored {
    /// From the state directory.
    pub saved: SavedState,
    /// From the run directory.
    pub run: RunState,
    /// The number of the last event that earlier runs may have told of.
    #[serde(default)]
    pub events: u64,
    /// What people have been told, from where messages are kept.
    #[serde(default)]
    pub known: Known,
}
