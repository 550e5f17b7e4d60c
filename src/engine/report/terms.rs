//! What people said of each uplink, beside what happened to it: notes, reports, and what its provider may owe.

use std::collections::BTreeMap;

use super::compensation::{Compensation, Rule};
use super::placed::Placed;
use super::span::{Ms, args};
use crate::engine::events::entry::Entry;
use crate::time::day::Day;

/// A note as the history has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    pub text: String,
    /// The day that it speaks of.
    pub due: Option<Day>,
}

/// What a provider may owe by the rule of its country.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owed {
    pub rule: Rule,
    /// Oldest first; none that came to nothing.
    pub each: Vec<Compensation>,
}

/// The last note on each uplink, unless it was taken away.
pub(super) fn notes(entries: &[Entry]) -> BTreeMap<String, Written> {
    let mut notes = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry.code == "noted") {
        let Some(uplink) = entry.uplink.clone() else { continue };
        let args = args(entry);
        let word = |key: &str| args.get(key).and_then(|value| value.as_str());
        match word("note") {
            Some(text) => {
                let due = word("due").and_then(Day::parse);
                notes.insert(uplink, Written { text: text.to_owned(), due });
            }
            None => drop(notes.remove(&uplink)),
        }
    }
    notes
}

/// When the provider of an uplink was told that it is down.
pub(super) fn reports(placed: &[Placed<'_>], uplink: &str) -> Vec<Ms> {
    let of = |one: &Placed<'_>| {
        let entry = one.entry.filter(|entry| entry.code == "reported")?;
        (entry.uplink.as_deref() == Some(uplink)).then_some(one.at)
    };
    placed.iter().filter_map(of).collect()
}
