//! What to change so that the observed dataplane becomes the desired one.

use serde::{Deserialize, Serialize};

use super::nft::{Key, Table, Verdict};
use super::{Route, Rule};

/// One write to the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Write a value under `/proc/sys`.
    SetSysctl {
        /// Path below `/proc/sys`.
        path: String,
        /// The new value.
        value: String,
    },
    /// Add a route, or replace the one with the same family, table, destination and metric.
    ReplaceRoute(Route),
    /// Remove a route of ours.
    DelRoute(Route),
    /// Add a rule.
    AddRule(Rule),
    /// Remove a rule of ours.
    DelRule(Rule),
    /// Build the whole nftables table anew, in one batch.
    BuildTable(Table),
    /// Change elements of one set, in one batch with its neighbours of the same kind.
    Elements {
        /// The set or verdict map.
        set: String,
        /// Elements to add.
        add: Vec<(Key, Option<Verdict>)>,
        /// Elements to remove.
        del: Vec<Key>,
    },
}
