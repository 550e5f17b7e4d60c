//! The history on disk: what happened, over restarts and reboots.
//!
//! A journal of lines of JSON. Most are an [`Entry`]; one that says what the clock of a boot was at a moment mends the
//! times of that boot which were told before it. Each line holds the hash of the one before as `prev`, so that
//! nobody changes one without changing all that follow: [`verify()`] finds the first. It makes nothing secret and
//! stops nobody who writes all of it again; for that the last hash has to be known elsewhere.

use std::collections::VecDeque;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::journal::frames::Part;
use super::journal::{self, Journal};
use crate::engine::events::entry::{Entry, plain};
use crate::engine::report::Mark;
use crate::time::{Instant, Now, Utc};

mod chain;
mod verify;

use chain::{MOST, NAME, hash};
pub use verify::{Broken, Fault, Place, Verified, verify, verify_head};

/// How many entries are kept in RAM.
pub const SHOWN: usize = 500;
/// The numbers of debug entries, and of what a power cut or a kill kept from the disk, are on no disk: after one
/// the numbers go on behind any that may have been told.
const GAP: u64 = 1000;
/// The event after which there is none.
const LAST: &str = "stopped";

/// What an earlier run left.
#[derive(Debug, Default)]
pub struct Kept {
    /// The last ones, oldest first.
    pub entries: VecDeque<Entry>,
    /// The number of the last event, at least.
    pub last: u64,
}

/// What is written.
#[derive(Clone, Debug)]
pub enum Line {
    Happened(Box<Entry>),
    /// What a clock said, in a boot in which it had not been known or was set again; and that the agent ran then.
    Clock {
        boot: String,
        now: Now,
    },
}

/// The one that writes the history.
#[derive(Debug)]
pub struct Writer {
    journal: Journal,
    head: String,
}

impl Writer {
    /// Takes up what is there, whatever it is. Nothing is written yet.
    #[must_use]
    pub fn open(dir: &Path) -> (Self, Kept) {
        let mut all = Reading::default();
        let mut head = String::new();
        let journal = Journal::open(dir, NAME, MOST, &mut |record| {
            head = hash(record);
            all.take(record);
            all.marks.clear();
            // Twice as many, so that few are moved.
            if all.entries.len() >= 2 * SHOWN {
                all.entries.drain(..SHOWN);
            }
        });
        let extra = all.entries.len().saturating_sub(SHOWN);
        all.entries.drain(..extra);
        let gap = if all.stopped || all.last == 0 { 0 } else { GAP };
        let kept = Kept { last: all.last + gap, entries: all.entries };
        (Self { journal, head }, kept)
    }

    /// Adds lines, all or none, and waits until they outlive a power cut. Returns how many bytes they took.
    ///
    /// # Errors
    ///
    /// When the disk is full or broken.
    pub fn append(&mut self, lines: &[Line]) -> io::Result<u64> {
        let mut head = self.head.clone();
        let mut records = Vec::with_capacity(lines.len());
        for line in lines {
            let record = line.record(&head)?;
            head = hash(&record);
            records.push(record);
        }
        self.journal.append(&records)?;
        self.head = head;
        Ok(records.iter().map(|record| record.len() as u64).sum())
    }

    /// The hash of the last line, in hexadecimal; empty while there is none. Whoever keeps it elsewhere can tell
    /// later whether what is before it was changed.
    #[must_use]
    pub fn head(&self) -> &str {
        &self.head
    }
}

/// Reads what is on disk, oldest first, and changes nothing. An agent may be writing meanwhile.
///
/// # Errors
///
/// When there is something that cannot be read.
pub fn read(dir: &Path) -> io::Result<Vec<Entry>> {
    Ok(read_whole(dir)?.entries)
}

/// What is on disk.
#[derive(Debug, Default)]
pub struct Whole {
    /// Oldest first.
    pub entries: Vec<Entry>,
    /// Moments at which the agent ran, of which there is nothing else to tell.
    pub marks: Vec<Mark>,
}

impl Whole {
    /// The same with what an agent has in its memory, which is newer, or the same.
    #[must_use]
    pub fn with_newer(mut self, told: Vec<Entry>) -> Self {
        let oldest = told.first().map_or(u64::MAX, |entry| entry.id);
        self.entries.retain(|entry| entry.id < oldest);
        self.entries.extend(told);
        self
    }
}

/// The same as [`read`], with what is for no eyes.
///
/// # Errors
///
/// When there is something that cannot be read.
pub fn read_whole(dir: &Path) -> io::Result<Whole> {
    let mut all = Reading::default();
    journal::read(dir, NAME, MOST, &mut |part| {
        if let Part::Record(record) = part {
            all.take(record);
        }
    })?;
    Ok(Whole { entries: all.entries.into(), marks: all.marks })
}

/// What these bytes come to as a history: frames of its journal, and after them lines as they stand in frames.
#[cfg(feature = "lab")]
#[must_use]
pub fn overhear(bytes: &[u8]) -> Whole {
    let mut all = Reading::default();
    for part in journal::frames::parts(bytes) {
        match part {
            Part::Record(record) => all.take(record),
            Part::Damage(lines) => {
                lines.split(|byte| *byte == b'\n').for_each(|line| all.take(line))
            }
        }
    }
    Whole { entries: all.entries.into(), marks: all.marks }
}

#[derive(Default)]
struct Reading {
    entries: VecDeque<Entry>,
    marks: Vec<Mark>,
    last: u64,
    /// The last of them ended a run as it should end.
    stopped: bool,
}

impl Reading {
    /// One line of the file. One that another version wrote may be of no use here.
    fn take(&mut self, record: &[u8]) {
        if let Ok(entry) = serde_json::from_slice::<Entry>(record) {
            self.last = self.last.max(entry.id);
            self.stopped = entry.code == LAST;
            self.entries.push_back(entry);
        } else if let Ok(clock) = serde_json::from_slice::<Clock>(record) {
            let mono = Instant::from_micros(clock.mono_ms.saturating_mul(1000));
            let now = Now { mono, utc: Utc::parse(&clock.at) };
            for entry in self.entries.iter_mut().filter(|entry| entry.boot == clock.boot) {
                entry.mend(now);
            }
            self.marks.push(Mark { after: self.last, boot: clock.boot, now });
        }
    }
}

impl Line {
    /// About how many bytes it takes on disk.
    #[must_use]
    pub fn size(&self) -> u64 {
        /// What is around the texts.
        const REST: usize = 250;
        let texts = match self {
            Self::Happened(entry) => entry.text.len() + entry.args.get().len(),
            Self::Clock { .. } => 0,
        };
        (texts + REST) as u64
    }
}

/// A line that states what the clock of a boot was.
#[derive(Serialize, Deserialize)]
struct Clock {
    at: String,
    boot: String,
    mono_ms: u64,
}

impl Line {
    fn record(&self, head: &str) -> io::Result<Vec<u8>> {
        let mut text = match self {
            Self::Happened(entry) if self.size() > LONGEST => serde_json::to_vec(&short(entry))?,
            Self::Happened(entry) => serde_json::to_vec(entry)?,
            Self::Clock { boot, now } => serde_json::to_vec(&Clock {
                at: now.utc.map(|utc| utc.to_string()).unwrap_or_default(),
                boot: boot.clone(),
                mono_ms: now.mono.as_micros() / 1000,
            })?,
        };
        // It is an object.
        text.pop();
        text.extend_from_slice(format!(",\"prev\":\"{head}\"}}").as_bytes());
        Ok(text)
    }
}

/// Longer than what any event says, in bytes: a kernel's refusal, a list of interfaces.
const LONGEST: u64 = 16 << 10;

/// The same without what makes it long.
fn short(entry: &Entry) -> Entry {
    Entry { text: plain(&entry.text), args: RawValue::NULL.to_owned(), ..entry.clone() }
}

#[cfg(test)]
mod tests;
