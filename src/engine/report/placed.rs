//! Entries on one scale of time, over boots and clocks that were set late, or wrong, or never.

use super::span::Ms;
use crate::engine::events::entry::Entry;
use crate::time::{Now, Utc};

/// The agent ran at that moment, and the box's clock said that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The number of the entry that it stands behind; zero: before all.
    pub after: u64,
    pub boot: String,
    pub now: Now,
}

/// What stands in the history, and when that was.
#[derive(Clone, Debug)]
pub(super) struct Placed<'a> {
    pub(super) at: Ms,
    /// The place of its boot among all.
    pub(super) boot: usize,
    /// `None`: the agent ran then, and that is all.
    pub(super) entry: Option<&'a Entry>,
}

/// What is placed, before it is.
struct Loose<'a> {
    boot: &'a str,
    /// Since the boot.
    mono: Ms,
    utc: Option<Utc>,
    entry: Option<&'a Entry>,
}

/// Everything in order. Within a boot only its monotonic clock counts.
pub(super) fn place<'a>(entries: &'a [Entry], marks: &'a [Mark]) -> Vec<Placed<'a>> {
    let loose = in_order(entries, marks);
    let boots: Vec<&[Loose<'_>]> = loose.chunk_by(|a, b| a.boot == b.boot).collect();
    let begins = begins(&boots);
    let placed = boots.iter().zip(begins).enumerate().flat_map(|(boot, (all, begin))| {
        all.iter().map(move |one| Placed { at: begin + one.mono, boot, entry: one.entry })
    });
    placed.collect()
}

fn in_order<'a>(entries: &'a [Entry], marks: &'a [Mark]) -> Vec<Loose<'a>> {
    let mut marks = marks.iter().peekable();
    let mut all = Vec::with_capacity(entries.len());
    let loose = |mark: &'a Mark| Loose {
        boot: &mark.boot,
        mono: mark.now.mono.as_micros() / 1000,
        utc: mark.now.utc,
        entry: None,
    };
    for entry in entries {
        while let Some(mark) = marks.next_if(|mark| mark.after < entry.id) {
            all.push(loose(mark));
        }
        let (boot, mono, utc) = (entry.boot.as_str(), entry.mono_ms, entry.at);
        all.push(Loose { boot, mono, utc, entry: Some(entry) });
    }
    all.extend(marks.map(loose));
    all
}

/// When each boot began: by what its clock said last. One that never knew lies before the next that did, and behind
/// the one before.
fn begins(boots: &[&[Loose<'_>]]) -> Vec<Ms> {
    let known = |all: &&[Loose<'_>]| {
        let clock = all.iter().rev().find_map(|one| Some((one.utc?.0, one.mono)));
        clock.map(|(utc, mono)| utc.saturating_sub(mono))
    };
    let known: Vec<Option<Ms>> = boots.iter().map(known).collect();
    let length = |all: &[Loose<'_>]| all.iter().map(|one| one.mono).max().unwrap_or(0);
    let mut begins = Vec::with_capacity(boots.len());
    let mut end = 0;
    for (place, all) in boots.iter().enumerate() {
        let next = known.iter().enumerate().skip(place + 1).find_map(|(n, at)| Some((n, (*at)?)));
        let before = next.map(|(n, at)| {
            let between = boots.get(place..n).unwrap_or_default().iter().map(|all| length(all));
            at.saturating_sub(between.sum())
        });
        let guessed = before.unwrap_or(end).max(end);
        let begin = known.get(place).copied().flatten().unwrap_or(guessed);
        end = begin + length(all);
        begins.push(begin);
    }
    begins
}
