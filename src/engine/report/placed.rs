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

/// A clock that is that far from what it said before has been set.
const CLOCK_SET: Ms = 10_000;

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

/// When a boot began, by the first reading of its clock since that was last set: readings differ by roundings and
/// drift, and what is told today is told tomorrow.
fn known_begin(all: &[Loose<'_>]) -> Option<Ms> {
    let mut readings = all.iter().rev().filter_map(|one| Some(one.utc?.0.saturating_sub(one.mono)));
    let last = readings.next()?;
    Some(readings.take_while(|begin| begin.abs_diff(last) < CLOCK_SET).last().unwrap_or(last))
}

/// When each boot began. One whose clock was never set lies before the next that knew, and behind the one before.
fn begins(boots: &[&[Loose<'_>]]) -> Vec<Ms> {
    let known = |all: &&[Loose<'_>]| known_begin(all);
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::time::Instant;

    fn mark(mono: Ms, utc: Option<Ms>) -> Mark {
        let mono = Instant::ZERO + Duration::from_millis(mono);
        Mark { after: 0, boot: "one".to_owned(), now: Now { mono, utc: utc.map(Utc) } }
    }

    fn times(marks: &[Mark]) -> Vec<Ms> {
        place(&[], marks).iter().map(|one| one.at).collect()
    }

    #[test]
    fn what_was_told_stays_when_the_clock_is_a_little_off_later() {
        let then = [mark(10, Some(1_000_010)), mark(500, Some(1_000_501))];
        assert_eq!(times(&then), [1_000_010, 1_000_500]);
        let later = [then[0].clone(), then[1].clone(), mark(900, Some(1_000_899))];
        assert_eq!(times(&later)[..2], times(&then));
    }

    #[test]
    fn a_clock_that_was_set_counts_for_all_before() {
        let wrong = [mark(10, None), mark(500, Some(1_000_500)), mark(900, Some(9_000_900))];
        let set =
            [wrong[0].clone(), wrong[1].clone(), wrong[2].clone(), mark(950, Some(9_000_951))];
        assert_eq!(times(&wrong), [9_000_010, 9_000_500, 9_000_900]);
        assert_eq!(times(&set)[..3], times(&wrong));
    }
}
