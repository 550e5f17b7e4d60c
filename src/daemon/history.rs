//! The history: the last events in RAM, for those who ask, and what outlives a restart on its way to the disk.
//!
//! Flash wears out, so that not every event is written by itself. What a person should look at, or hears of, is written
//! at once; the rest after a minute, together. `allowance` bounds both by the day. When nothing happens a mark says now
//! and then that the agent ran, so that after a power cut it can be told how long it did not.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use allowance::{Allowance, Flash, Urgency};

use super::keeping::Keeper;
use crate::config::{Config, HistoryOn};
use crate::engine::events::catalogue::Code;
use crate::engine::events::entry::{Entry, Wanted};
use crate::engine::events::facts::Event;
use crate::io::clock;
use crate::io::history::{Kept, Line, SHOWN, Writer};
use crate::time::{Instant, Now};
use crate::units::Severity;

pub(super) mod allowance;

/// What is of no hurry waits for company so long.
const MINUTE: Duration = Duration::from_secs(60);
/// Lines that wait for a disk that does not take them. The oldest give way.
const MOST_WAITING: usize = SHOWN;
/// Bytes that are written at once; the others follow.
const BATCH: u64 = 256 << 10;
/// So many hexadecimal digits of a hash are told: 48 bits, which nobody hits by chance.
const HEAD: usize = 12;
/// Since when the box has been on, as compared with the wall clock: where that moves by more, the clock was set.
const STEP: Duration = Duration::from_secs(10);

/// The history of this run and of those before.
pub(super) struct History {
    /// Oldest first.
    shown: VecDeque<Entry>,
    boot: String,
    /// The clock when it was last looked at.
    clock: Option<Now>,
    /// When something was last kept that shows that the agent ran.
    seen: Instant,
    disk: Option<Disk>,
}

/// What is written, and when.
struct Disk {
    desk: Arc<Mutex<Desk>>,
    /// Only the thread that writes waits for it.
    writer: Arc<Mutex<Writer>>,
    /// When to write what waits, or to look whether it is written.
    due: Option<Instant>,
    allowance: Allowance,
}

/// What the loop and the thread that writes both have their hands on, neither for long.
#[derive(Default)]
struct Desk {
    waiting: VecDeque<Line>,
    /// Bytes that were written and are not yet booked.
    written: u64,
    /// The hash of the last line on disk.
    head: String,
}

impl History {
    /// Takes up what earlier runs left; the number of the last event.
    pub(super) fn open(config: &Config, now: Now) -> (Self, u64) {
        let on_disk = config.history == HistoryOn::Disk;
        let opened = on_disk.then(|| Writer::open(&config.state_dir));
        let (writer, Kept { entries, last }) =
            opened.map_or_else(|| (None, Kept::default()), |(writer, kept)| (Some(writer), kept));
        let disk = writer.map(|writer| Disk {
            desk: Arc::new(Mutex::new(Desk { head: writer.head().to_owned(), ..Desk::default() })),
            writer: Arc::new(Mutex::new(writer)),
            due: None,
            allowance: Allowance::new(Flash::of_this_box(), now.mono),
        });
        let boot = clock::boot();
        (Self { shown: entries, boot, clock: None, seen: now.mono, disk }, last)
    }

    /// Takes note of what happened; the same as it is told.
    pub(super) fn take(&mut self, event: &Event, now: Now) -> Entry {
        let entry = Entry::new(event, &self.boot);
        make_room(&mut self.shown);
        self.shown.push_back(entry.clone());
        if event.fact.is_kept() {
            let wait = if hurries(&entry) { Duration::ZERO } else { MINUTE };
            self.seen = now.mono;
            self.write(Line::Happened(Box::new(entry.clone())), now.mono + wait);
        }
        entry
    }

    fn write(&mut self, line: Line, at: Instant) {
        let Some(disk) = &mut self.disk else { return };
        lock(&disk.desk).put(line);
        disk.due = Some(disk.due.map_or(at, |due| due.min(at)));
    }

    /// When it has something to do.
    pub(super) fn due(&self) -> Option<Instant> {
        self.disk.as_ref()?.due
    }

    /// Looks at the clock, and has written what is due.
    pub(super) fn run(&mut self, keeper: &Keeper, now: Now) {
        self.look_at_clock(now);
        self.mark(now);
        if let Some(disk) = &mut self.disk
            && disk.due.is_some_and(|due| due <= now.mono)
        {
            disk.run(keeper, now.mono);
        }
    }

    /// A clock that was set since tells when all that was, and what it says is kept for those who read it after the
    /// next boot.
    fn look_at_clock(&mut self, now: Now) {
        if now.utc.is_none() || self.clock.is_some_and(|before| !was_set(before, now)) {
            return;
        }
        let is_first = self.clock.replace(now).is_none();
        let own = self.shown.iter_mut().filter(|entry| entry.boot == self.boot);
        let mended = own.filter_map(|entry| entry.mend(now).then_some(())).count();
        if mended > 0 || !is_first {
            let boot = self.boot.clone();
            self.write(Line::Clock { boot, now }, now.mono + MINUTE);
        }
    }

    /// Says that the agent runs, if nothing else has said so for long.
    fn mark(&mut self, now: Now) {
        let every = self.disk.as_ref().map(|disk| disk.allowance.marks_every());
        if every.is_some_and(|every| now.mono.since(self.seen) >= every) {
            self.seen = now.mono;
            let boot = self.boot.clone();
            self.write(Line::Clock { boot, now }, now.mono + MINUTE);
        }
    }

    /// The hash of the last line on disk, in short: whoever is told keeps it, and can tell later whether what is before it
    /// was changed.
    pub(super) fn head(&self) -> Option<String> {
        let head = lock(&self.disk.as_ref()?.desk).head.get(..HEAD)?.to_owned();
        Some(head)
    }

    /// All that is in RAM, details that are of no use for outages left out.
    pub(super) fn all(&self) -> Vec<Entry> {
        self.shown.iter().filter(|entry| counts(entry)).cloned().collect()
    }

    /// What somebody asks for.
    pub(super) fn find(&self, wanted: &Wanted) -> Vec<Entry> {
        wanted.of(self.shown.iter()).into_iter().cloned().collect()
    }

    /// Writes all that waits: the agent ends.
    pub(super) fn end(&mut self, keeper: &Keeper) {
        if let Some(disk) = &mut self.disk {
            disk.have_written(keeper, u64::MAX);
        }
    }
}

/// Forgets the oldest, so that there is room for one more: a detail if they are the half of all.
fn make_room(shown: &mut VecDeque<Entry>) {
    if shown.len() < SHOWN {
        return;
    }
    let is_detail = |entry: &Entry| entry.severity == Severity::Debug;
    let details = shown.iter().filter(|entry| is_detail(entry)).count();
    let first = shown.iter().position(is_detail).filter(|_| details > SHOWN / 2);
    shown.remove(first.unwrap_or(0));
}

/// Whether it is on disk as well, or says how a line served.
fn counts(entry: &Entry) -> bool {
    entry.severity > Severity::Debug
        || matches!(entry.code.as_str(), "uplink_works" | "uplink_fails" | "felt")
}

/// Whether somebody set the clock between these moments.
fn was_set(before: Now, now: Now) -> bool {
    let expected = before.utc_at(now.mono);
    let both = expected.zip(now.utc);
    both.is_some_and(|(expected, utc)| u128::from(expected.0.abs_diff(utc.0)) > STEP.as_millis())
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Desk {
    fn put(&mut self, line: Line) {
        if self.waiting.len() >= MOST_WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(line);
    }

    /// The oldest ones, until they are about so large.
    fn take(&mut self, most: u64) -> Vec<Line> {
        let mut size = 0;
        let fits = |line: &&Line| {
            let first = size == 0;
            size += line.size();
            first || size <= most
        };
        let count = self.waiting.iter().take_while(fits).count();
        self.waiting.drain(..count).collect()
    }

    /// What could not be written waits again, before what has come since.
    fn give_back(&mut self, lines: Vec<Line>) {
        for line in lines.into_iter().rev() {
            if self.waiting.len() < MOST_WAITING {
                self.waiting.push_front(line);
            }
        }
    }
}

/// Whether it is written at once: what a person should look at, and what one has said for the record.
fn hurries(entry: &Entry) -> bool {
    let said = [Code::Noted, Code::Reported].map(Code::word).contains(&entry.code.as_str());
    said || entry.severity > Severity::Info
}

impl Disk {
    /// Has written what waits, if the day's allowance allows.
    fn run(&mut self, keeper: &Keeper, now: Instant) {
        let (urgency, nothing) = {
            let mut desk = lock(&self.desk);
            self.allowance.spend(std::mem::take(&mut desk.written));
            let hurry = |line: &Line| match line {
                Line::Happened(entry) => hurries(entry),
                Line::Clock { .. } => false,
            };
            let hurries = desk.waiting.iter().any(hurry);
            (if hurries { Urgency::AtOnce } else { Urgency::CanWait }, desk.waiting.is_empty())
        };
        if nothing {
            self.due = None;
        } else {
            self.due = Some(match self.allowance.flush(urgency, now) {
                Err(at) => at,
                Ok(most) => {
                    self.have_written(keeper, most);
                    // To see whether it is.
                    now + MINUTE
                }
            });
        }
    }

    fn have_written(&self, keeper: &Keeper, most: u64) {
        let (desk, writer) = (self.desk.clone(), self.writer.clone());
        keeper.keep("the history", move || write(&desk, &mut lock(&writer), most));
    }
}

/// Writes what waits, until it is about so large.
fn write(desk: &Mutex<Desk>, writer: &mut Writer, most: u64) -> io::Result<()> {
    let mut left = most;
    while left > 0 {
        // Not held while the disk takes its time.
        let lines = lock(desk).take(left.min(BATCH));
        if lines.is_empty() {
            break;
        }
        match writer.append(&lines) {
            Ok(bytes) => {
                left = if most == u64::MAX { most } else { 0 };
                let mut desk = lock(desk);
                desk.written += bytes;
                writer.head().clone_into(&mut desk.head);
            }
            Err(error) => {
                lock(desk).give_back(lines);
                return Err(error);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::engine::events::facts::Fact;
    use crate::time::Utc;

    fn at(seconds: u64, utc: Option<u64>) -> Now {
        Now { mono: Instant::from_micros(seconds * 1_000_000), utc: utc.map(|s| Utc(s * 1000)) }
    }

    fn event(id: u64, now: Now, fact: Fact) -> Event {
        Event { id, at: now.mono, utc: now.utc, fact }
    }

    /// A box that keeps its history below this name.
    fn a_box(name: &str, more: &str) -> Config {
        let dir =
            std::env::temp_dir().join(format!("sparelink-told-{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&dir));
        let text = format!(
            "[[uplink]]\nname = \"cable\"\ninterface = \"wan0\"\n[state]\ndir = \"{}\"\n{more}",
            dir.display()
        );
        config::parse(&text, "test").unwrap()
    }

    /// Waits until everything is written.
    fn settle(keeper: Keeper) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(keeper.end());
    }

    #[test]
    fn what_is_serious_is_written_at_once_and_the_rest_after_a_minute() {
        let (config, start) = (a_box("pace", ""), at(100, None));
        let (mut history, last) = History::open(&config, start);
        let (keeper, dir) = (Keeper::start().unwrap(), config.state_dir.clone());
        assert_eq!((last, history.due()), (0, None));
        history.take(&event(1, start, Fact::Stalled { gap: MINUTE }), start);
        assert_eq!(history.due(), None, "a detail is for RAM only");
        history.take(&event(2, start, Fact::Reloaded { changes: Vec::new() }), start);
        assert_eq!(history.due(), Some(start.mono + MINUTE));
        history.run(&keeper, at(159, None));
        let down = Fact::NoSpareLeft { others: Vec::new() };
        history.take(&event(3, at(159, None), down), at(159, None));
        assert_eq!(history.due(), Some(at(159, None).mono));
        history.run(&keeper, at(159, None));
        settle(keeper);
        let written = crate::io::history::read(&dir).unwrap();
        assert_eq!(written.iter().map(|entry| entry.id).collect::<Vec<_>>(), [2, 3]);
        let keeper = Keeper::start().unwrap();
        history.run(&keeper, at(219, None));
        assert_eq!(history.due(), None, "it is written");
        // The clock is set, and what it says is kept for what was told before.
        history.run(&keeper, at(300, Some(1_700_000_300)));
        assert_eq!(history.find(&Wanted::default())[0].at, Some(Utc(1_700_000_100_000)));
        history.take(&event(4, at(301, Some(1_700_000_301)), Fact::Stopped), at(301, None));
        history.end(&keeper);
        settle(keeper);
        let (again, last) = History::open(&config, start);
        assert_eq!(last, 4);
        let told: Vec<_> = again.shown.iter().map(|e| (e.id, e.mended, e.at.is_some())).collect();
        assert_eq!(told, [(2, true, true), (3, true, true), (4, false, true)]);
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_quiet_day_has_a_mark_an_hour() {
        let (config, start) = (a_box("marks", ""), at(100, None));
        let (mut history, _) = History::open(&config, start);
        let (keeper, dir) = (Keeper::start().unwrap(), config.state_dir);
        history.take(&event(1, start, Fact::Reloaded { changes: Vec::new() }), start);
        for second in (100..100 + 86_400).step_by(10) {
            history.run(&keeper, at(second, None));
        }
        history.end(&keeper);
        settle(keeper);
        let whole = crate::io::history::read_whole(&dir).unwrap();
        assert_eq!((whole.entries.len(), whole.marks.len()), (1, 23));
        assert!(whole.marks.iter().all(|mark| mark.after == 1));
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn details_do_not_push_out_what_counts() {
        let mut shown = VecDeque::new();
        for id in 0..5000 {
            let now = at(id, None);
            let detail = Fact::Stalled { gap: MINUTE };
            let fact = if id % 50 == 0 { Fact::Reloaded { changes: Vec::new() } } else { detail };
            make_room(&mut shown);
            shown.push_back(Entry::new(&event(id, now, fact), "b"));
        }
        let count = shown.iter().filter(|entry| entry.severity == Severity::Info).count();
        assert_eq!((shown.len(), count), (SHOWN, 100));
        assert!(shown.iter().is_sorted_by_key(|entry| entry.id));
    }

    #[test]
    fn in_ram_only_where_told() {
        let config = a_box("ram", "history = \"ram\"\n");
        let (mut history, last) = History::open(&config, at(1, None));
        let keeper = Keeper::start().unwrap();
        history.take(&event(1, at(1, None), Fact::Reloaded { changes: Vec::new() }), at(1, None));
        history.run(&keeper, at(100, Some(1_700_000_000)));
        history.end(&keeper);
        settle(keeper);
        assert_eq!((last, history.find(&Wanted::default()).len()), (0, 1));
        assert!(!config.state_dir.exists());
    }

    #[test]
    fn what_a_full_disk_does_not_take_waits_and_is_bounded() {
        let mut desk = Desk::default();
        let line = |id| {
            let now = at(id, None);
            Line::Happened(Box::new(Entry::new(
                &event(id, now, Fact::Reloaded { changes: Vec::new() }),
                "b",
            )))
        };
        (0..700).for_each(|id| desk.put(line(id)));
        let ids = |desk: &Desk| -> Vec<u64> {
            let id = |line: &Line| match line {
                Line::Happened(entry) => entry.id,
                Line::Clock { .. } => 0,
            };
            desk.waiting.iter().map(id).collect()
        };
        assert_eq!(ids(&desk), (200..700).collect::<Vec<_>>());
        let taken = desk.take(BATCH);
        assert!(taken.len() > 100, "{}", taken.len());
        (700..710).for_each(|id| desk.put(line(id)));
        desk.give_back(taken);
        assert_eq!(ids(&desk), (210..710).collect::<Vec<_>>(), "the oldest give way");
    }
}
