//! What stands in files: people's, other programs', and the history.

use std::collections::BTreeMap;

use super::engine::{Drive, TIMEOUTS};
use crate::config::{self, Config};
use crate::engine::doctor::proposal::from::{File, mwan3, named, networkmanager};
use crate::engine::doctor::proposal::{Seen, configuration};
use crate::engine::report::days::{Days, View};
use crate::engine::report::document::document;
use crate::engine::report::{Ask, Span, report};
use crate::engine::state::Restored;
use crate::io::{history, resolvers};
use crate::time::Utc;
use crate::time::day::Day;

/// Later than anything in a history, in milliseconds since 1970.
const NOW: u64 = 1_800_000_000_000;
const DAY: u64 = 86_400_000;
/// Days that are summed up.
const DAYS: i32 = 5;
/// Longer texts of mistakes are none for people.
const LONGEST: usize = 1 << 20;

/// A configuration, ours or OpenWrt's. An engine takes what the checker takes.
pub(super) fn config(bytes: &[u8]) -> usize {
    let text = String::from_utf8_lossy(bytes);
    match config::parse(&text, "sparelink.toml") {
        Ok(config) => {
            edited(&text);
            taken(config);
            1
        }
        Err(error) => {
            assert!(error.to_string().len() < LONGEST, "a page of mistakes is enough");
            0
        }
    }
}

#[cfg(feature = "settings")]
fn edited(text: &str) {
    use crate::config::settings::{Wanted, difference, edit};
    let wanted = Wanted { hold: Some("90s".to_owned()), ..Wanted::default() };
    if let Ok(edited) = edit(text, &wanted, "sparelink.toml") {
        drop(difference(text, &edited.text));
    }
}

#[cfg(not(feature = "settings"))]
const fn edited(_: &str) {}

fn taken(config: Config) {
    let mut drive = Drive::new(config, Restored::default());
    drive.timeouts(TIMEOUTS / 4);
}

/// Configurations of mwan3 (with netifd's) and of NetworkManager, one behind the other with a NUL in between: what
/// `setup` makes of them passes the checker.
pub(super) fn profiles(bytes: &[u8]) -> usize {
    let text = String::from_utf8_lossy(bytes);
    let file = |text: &str| File { path: "x".to_owned(), text: text.to_owned() };
    let files: Vec<File> = text.split('\0').map(file).collect();
    let seen = Seen::default();
    let mut read = 0;
    let first = files.first().map(|first| mwan3(first, files.get(1)));
    for said in first.into_iter().chain([networkmanager(&files, &BTreeMap::new(), &seen)]) {
        let proposal = named(&said, &seen);
        read += proposal.uplinks.len() + said.dropped.len();
        if let Err(error) = configuration(&proposal) {
            panic!("what setup writes is refused: {error}");
        }
    }
    read
}

/// What tells the resolvers of an interface, whichever kind of file it is.
pub(super) fn resolvers(bytes: &[u8]) -> usize {
    resolvers::overhear(&String::from_utf8_lossy(bytes))
}

/// The history as it stands on disk, and what is made of it.
pub(super) fn history(bytes: &[u8]) -> usize {
    let whole = history::overhear(bytes);
    let (entries, marks) = (&whole.entries, &whole.marks);
    for (now, from) in [(Some(NOW), 0), (None, 0), (Some(NOW), NOW - 7 * DAY)] {
        let span = Span { from, to: NOW };
        let found = report(&Ask { entries, marks, now, span, uplink: None });
        drop(document(&found));
    }
    let last = entries.iter().rev().find_map(|entry| entry.at).map_or(NOW, |Utc(at)| at);
    if let Some(today) = Day::from_days(i64::try_from(last / DAY).unwrap_or(0)) {
        let day = |n: i32| {
            let from = (last / DAY * DAY).saturating_sub(DAY * u64::from(n.unsigned_abs()));
            (today.plus(-n), Span { from, to: from.saturating_add(DAY) })
        };
        let days: Vec<(Day, Span)> = (0..DAYS).rev().map(day).collect();
        let span = Span { from: days.first().map_or(0, |(_, span)| span.from), to: last };
        let found = report(&Ask { entries, marks, now: Some(last), span, uplink: None });
        let mut sums = Days::default();
        sums.take(Days::of(&found, last, &days));
        drop(View::new(&found, &sums, today, last));
    }
    entries.len() + marks.len()
}
