//! What came of making the kernel so.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::diff::Change;
use super::drift::Drift;
use crate::units::{IfIndex, PerFamily};

/// What one converge did: the changes that were made, what went wrong, and what was there before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplyReport {
    pub generation: u64,
    /// Changes that were made; empty when everything was as desired.
    pub changes: Vec<Change>,
    /// What could not be done, one sentence each.
    pub errors: Vec<String>,
    /// How the kernel differed from the desired state before, as far as that was put right.
    #[serde(default)]
    pub drift: Drift,
    /// How long it took.
    pub took: Duration,
    /// [`Table::digest`](super::nft::Table::digest) of the table that was found; `None` if there was none of ours.
    pub observed_digest: Option<u64>,
    /// Network devices in somebody's flowtable: packets of known flows go around our counters there.
    #[serde(default)]
    pub offloaded: BTreeSet<String>,
    /// Where the kernel's own look-up now sends a packet to the Internet.
    pub verified: PerFamily<Option<IfIndex>>,
}

impl ApplyReport {
    /// Whether the kernel is now as desired, as far as could be told.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.errors.is_empty()
    }
}
