//! What is kept on disk is believed within bounds only: a worn-out card, another version or a curious
//! person may have put any number there, and an engine that ends on one would end at every start.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Restored, RunState, SavedState};
use crate::engine::events::note::{Note, Said};
use crate::engine::policy::hold;
use crate::time::{Instant, Now};

/// More uplinks than this were never configured; the names of some that are gone may linger.
const NAMES: usize = 64;
/// An uplink that is left more often within the hour is held back for the longest time anyway.
const DEPARTURES: usize = 64;
/// The largest number that JSON's readers agree on (RFC 8259, section 6).
const COUNT: u64 = (1 << 53) - 1;
/// Nobody asks for something that lasts longer.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 86_400);
/// A reason is a line of text, in bytes.
const REASON: usize = 1000;

impl Restored {
    /// The same with every number within its bounds. What cannot be meant is dropped.
    #[must_use]
    pub fn bounded(self, now: Now) -> Self {
        Self {
            saved: saved(self.saved),
            run: run(self.run, now.mono + LONGEST),
            events: self.events.min(COUNT),
            known: self.known,
        }
    }
}

fn saved(saved: SavedState) -> SavedState {
    let recent = |mut ago: Vec<u64>| {
        ago.retain(|seconds| *seconds < hold::MEMORY.as_secs());
        ago.truncate(DEPARTURES);
        ago
    };
    let lines = few(saved.lines).map(|(name, mut lines)| {
        lines.v4.bound();
        lines.v6.bound();
        (name, lines)
    });
    SavedState {
        lines: lines.collect(),
        departures: few(saved.departures).map(|(name, ago)| (name, recent(ago))).collect(),
        switches: saved.switches.min(COUNT),
        said: few(saved.said).map(|(name, said)| (name, plain(said))).collect(),
        names: few(saved.names).collect(),
        saved_at: saved.saved_at,
    }
}

/// A note is what people can write and no more.
fn plain(said: Said) -> Said {
    let again = |note: Note| Note::read(&note.text, note.at, None).ok()?.map(|_| note);
    Said { note: said.note.and_then(again), reported: said.reported }
}

fn run(run: RunState, last: Instant) -> RunState {
    // A number is also a routing table and bits in the mark: no two uplinks share one.
    let mut taken = BTreeSet::new();
    let numbers = few(run.numbers).filter(|(_, number)| taken.insert(*number)).collect();
    let line = |reason: String| Some(reason).filter(|reason| reason.len() <= REASON);
    let paused = few(run.paused).map(|(name, (until, reason))| {
        (name, (until.map(|until| until.min(last)), reason.and_then(line)))
    });
    RunState {
        numbers,
        manual: run.manual.map(|(name, until)| (name, until.map(|until| until.min(last)))),
        paused: paused.collect(),
        armed: run.armed.map(|until| until.min(last)),
        drains: few(run.drains).map(|(name, until)| (name, until.min(last))).collect(),
    }
}

fn few<T>(all: BTreeMap<String, T>) -> impl Iterator<Item = (String, T)> {
    all.into_iter().take(NAMES)
}
