//! Whether the history is as it was written.

use std::fmt;
use std::io;
use std::path::Path;

use serde::Deserialize;

use super::chain::{MOST, NAME, hash};
use crate::io::journal;
use crate::io::journal::frames::Part;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// How many lines there are.
    pub lines: usize,
    /// The hash of the last one: what [`super::Writer::head`] said when it was written.
    pub head: String,
    /// The first that is not as it was written.
    pub broken: Option<Broken>,
}

/// A line that is not as it was written, or is no longer there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which one, counted from 1.
    pub line: usize,
    /// The number of its event as far as it can be read.
    pub id: Option<u64>,
    /// The number of the last event before it.
    pub before: Option<u64>,
    /// What is wrong with it.
    pub fault: Fault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Its bytes are no line any more: a worn-out disk, a clumsy hand, or at the very end a power cut.
    Damaged,
    /// It is a whole line, and another one than the next was written after.
    Changed,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.line;
        match (self.fault, self.id, self.before) {
            (Fault::Changed, Some(id), _) => write!(f, "record {line} (event {id}) was changed"),
            (Fault::Changed, None, _) => write!(f, "record {line} was changed"),
            (Fault::Damaged, _, Some(id)) => {
                write!(f, "record {line} (the one after event {id}) is damaged")
            }
            (Fault::Damaged, _, None) => write!(f, "record {line} is damaged"),
        }?;
        let gone =
            if self.fault == Fault::Changed { ", or what followed it was removed" } else { "" };
        f.write_str(gone)
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Links {
    id: Option<u64>,
    prev: String,
}

/// Where a hash is in the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The number of the line, counted from 1.
    pub line: usize,
    /// That of its event.
    pub id: Option<u64>,
}

/// Reads the whole history and names the first line that is not as it was written. The oldest line there is may follow
/// one that made room; what it follows is not asked for. A change of the very last line by somebody who knows how lines
/// are written is seen by its hash only.
///
/// # Errors
///
/// When there is something that cannot be read.
pub fn verify(dir: &Path) -> io::Result<Verified> {
    walk(dir, &mut |_, _| ())
}

/// The same, and the line whose hash begins like this: what was before it then is as it was if no line up to it is
/// broken.
///
/// # Errors
///
/// When there is something that cannot be read.
pub fn verify_head(dir: &Path, head: &str) -> io::Result<(Verified, Option<Place>)> {
    let mut place = None;
    let found = walk(dir, &mut |hash, at| {
        if hash.starts_with(head) {
            place = Some(at);
        }
    })?;
    Ok((found, place))
}

/// Goes through all lines; `see` is shown each whole one's hash.
fn walk(dir: &Path, see: &mut dyn FnMut(&str, Place)) -> io::Result<Verified> {
    let mut found = Verified::default();
    let mut last = None;
    journal::read(dir, NAME, MOST, &mut |part| {
        found.lines += 1;
        match part {
            Part::Damage(_) => {
                let (line, before) = (found.lines, last);
                let broken = Broken { line, id: None, before, fault: Fault::Damaged };
                found.broken.get_or_insert(broken);
                // What follows it says what it was, and cannot be compared.
                found.head.clear();
            }
            Part::Record(record) => {
                let links: Links = serde_json::from_slice(record).unwrap_or_default();
                if !found.head.is_empty() && links.prev != found.head {
                    let (line, before) = (found.lines - 1, None);
                    let broken = Broken { line, id: last, before, fault: Fault::Changed };
                    found.broken.get_or_insert(broken);
                }
                last = links.id;
                found.head = hash(record);
                see(&found.head, Place { line: found.lines, id: last });
            }
        }
    })?;
    Ok(found)
}
