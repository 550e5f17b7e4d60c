//! What each day came to, for the page: reckoned from the history on a thread of its own, because reading that may take
//! a while. Sums of days that are over are kept apart, so that they outlive the history; written once a day.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::history::allowance::Flash;
use super::thread;
use crate::engine::events::entry::Entry;
use crate::engine::report::days::{Days, SHOWN, View};
use crate::engine::report::{Ask, Mark, Span, report};
use crate::io::{clock, history, store};
use crate::time::day::Day;
use crate::time::{Instant, Now};

/// It is looked so often whether a day is over.
const LOOK: Duration = Duration::from_secs(3600);
/// What was reckoned holds for so long, unless something has happened.
const HOLDS: Duration = Duration::from_secs(60);
/// Questions that may wait.
const QUEUE: usize = 4;

/// What is to be reckoned.
struct Job {
    /// What the agent has in its memory, oldest first.
    told: Vec<Entry>,
    now: Now,
    /// Who wants to know; nobody: it is looked whether there is something to keep.
    reply: Option<oneshot::Sender<View>>,
}

/// The way to the thread. It ends when this is dropped.
pub(super) struct DayBook {
    jobs: mpsc::Sender<Job>,
    look_at: Instant,
}

impl DayBook {
    /// Starts the thread. `dir`: where the history is kept, if it is on disk.
    ///
    /// # Errors
    ///
    /// When the kernel gives no thread.
    pub(super) fn start(dir: Option<PathBuf>, now: Instant) -> std::io::Result<Self> {
        let (jobs, mut asked) = mpsc::channel::<Job>(QUEUE);
        thread::start("days", move || async move {
            let mut desk = Desk::open(dir);
            while let Some(job) = asked.recv().await {
                desk.work(job);
            }
        })?;
        Ok(Self { jobs, look_at: now + LOOK })
    }

    /// Asks what each day came to; `None` comes back if too many ask.
    pub(super) fn ask(&self, told: Vec<Entry>, now: Now) -> oneshot::Receiver<View> {
        let (reply, answer) = oneshot::channel();
        drop(self.jobs.try_send(Job { told, now, reply: Some(reply) }));
        answer
    }

    /// When it is to be looked whether a day is over.
    pub(super) const fn due(&self) -> Instant {
        self.look_at
    }

    /// Looks whether a day is over; `told` is only made if so.
    pub(super) fn look(&mut self, told: impl FnOnce() -> Vec<Entry>, now: Now) {
        if now.mono >= self.look_at {
            self.look_at = now.mono + LOOK;
            drop(self.jobs.try_send(Job { told: told(), now, reply: None }));
        }
    }
}

/// What the thread has.
struct Desk {
    dir: Option<PathBuf>,
    kept: Days,
    /// The day before which everything is written.
    written: Option<Day>,
    /// What was reckoned last: up to which entry, and when.
    last: Option<(u64, Instant, View)>,
}

impl Desk {
    fn open(dir: Option<PathBuf>) -> Self {
        let kept: Days = dir.as_deref().map(store::read_days).unwrap_or_default();
        let written = kept.house.keys().last().map(|day| day.plus(1));
        Self { dir, kept, written, last: None }
    }

    fn work(&mut self, job: Job) {
        let Job { told, now, reply } = job;
        let Some((utc, today)) = now.utc.and_then(|utc| Some((utc.0, clock::local_day(utc)?)))
        else {
            // A box without a clock has no days.
            return;
        };
        if reply.is_none() && self.written.is_some_and(|written| today < written.plus(pause())) {
            return;
        }
        let newest = told.last().map_or(0, |entry| entry.id);
        let holds =
            |(id, at, _): &&(u64, Instant, View)| *id == newest && now.mono.since(*at) < HOLDS;
        if let Some((.., view)) = self.last.as_ref().filter(holds) {
            if let Some(reply) = reply {
                drop(reply.send(view.clone()));
            }
            return;
        }
        let (entries, marks) = self.known(told);
        let days = calendar(today);
        let from = days.first().map_or(0, |(_, span)| span.from);
        let span = Span { from, to: utc };
        let found =
            report(&Ask { entries: &entries, marks: &marks, now: Some(utc), span, uplink: None });
        self.kept.take(Days::of(&found, utc, &days));
        self.kept.forget_before(today.plus(1 - i32::try_from(SHOWN).unwrap_or(0)));
        self.write(today);
        let view = View::new(&found, &self.kept, today, utc);
        self.last = Some((newest, now.mono, view.clone()));
        if let Some(reply) = reply {
            drop(reply.send(view));
        }
    }

    /// The whole history: what is on disk, and what is not there yet.
    fn known(&self, told: Vec<Entry>) -> (Vec<Entry>, Vec<Mark>) {
        let disk = self.dir.as_deref().and_then(|dir| history::read_whole(dir).ok());
        let whole = disk.unwrap_or_default().with_newer(told);
        (whole.entries, whole.marks)
    }

    /// Keeps the days that are over.
    fn write(&mut self, today: Day) {
        let Some(dir) = &self.dir else { return };
        if self.written.is_some_and(|written| today < written.plus(pause())) {
            return;
        }
        match store::save_days(dir, &self.kept.before(today)) {
            Ok(()) => self.written = Some(today),
            Err(error) => tracing::debug!(%error, "the sums of days are kept in RAM only"),
        }
    }
}

/// After how many days the sums are written: small flash is spared, and its history holds weeks.
fn pause() -> i32 {
    match Flash::of_this_box() {
        Flash::Usual => 1,
        Flash::Small => 7,
    }
}

/// The days that are shown, oldest first, each with its beginning and end where the box is.
fn calendar(today: Day) -> Vec<(Day, Span)> {
    let first = today.plus(1 - i32::try_from(SHOWN).unwrap_or(0));
    let all = (0..).map(|n| first.plus(n)).take(SHOWN);
    let span = |day: Day| {
        let (from, to) = (clock::midnight(day)?, clock::midnight(day.plus(1))?);
        Some((day, Span { from: from.0, to: to.0 }))
    };
    all.filter_map(span).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::events::facts::{Event, Fact};
    use crate::engine::health::Condition;
    use crate::io::history::{Line, Writer};
    use crate::time::Utc;

    const HOUR: u64 = 3_600_000;

    /// Noon of a day, where the box is.
    fn noon(day: &str) -> u64 {
        clock::midnight(Day::parse(day).unwrap()).unwrap().0 + 12 * HOUR
    }

    fn at(utc: u64) -> Now {
        // The box has been on since 1970.
        Now { mono: Instant::from_micros(utc * 1000), utc: Some(Utc(utc)) }
    }

    fn entry(id: u64, utc: u64, fact: Fact) -> Entry {
        let now = at(utc);
        Entry::new(&Event { id, at: now.mono, utc: now.utc, fact }, "a")
    }

    fn asked(desk: &mut Desk, told: Vec<Entry>, utc: u64) -> View {
        let (reply, mut answer) = oneshot::channel();
        desk.work(Job { told, now: at(utc), reply: Some(reply) });
        answer.try_recv().unwrap()
    }

    #[test]
    fn days_outlive_the_history_and_what_was_not_recorded_is_not_up() {
        let dir = std::env::temp_dir().join(format!("sparelink-days-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&dir));
        let (begin, lasts) = (noon("2026-11-10"), Duration::ZERO);
        let uplink = || "cable".to_owned();
        let fails = || Fact::Fails {
            uplink: uplink(),
            only: None,
            condition: Condition::BeyondModem,
            lasts,
        };
        let all = [
            entry(1, begin, Fact::Started { chain: vec![uplink()] }),
            entry(2, begin, Fact::Works { uplink: uplink(), lasts }),
            entry(3, begin + 6 * HOUR, fails()),
            entry(4, begin + 9 * HOUR, Fact::Works { uplink: uplink(), lasts }),
        ];
        let (mut writer, _) = Writer::open(&dir);
        let line = |entry: &Entry| Line::Happened(Box::new(entry.clone()));
        writer.append(&all.iter().map(line).collect::<Vec<_>>()).unwrap();
        let mut desk = Desk::open(Some(dir.clone()));
        let now = begin + 24 * HOUR;
        let view = asked(&mut desk, vec![all[3].clone()], now);
        let day = |view: &View, day: &str| {
            let own = view.sums.uplinks.get("cable")?;
            own.get(&Day::parse(day).unwrap()).map(|sum| (sum.watched / HOUR, sum.down / HOUR))
        };
        assert_eq!(day(&view, "2026-11-10"), Some((12, 3)));
        assert_eq!(day(&view, "2026-11-11"), Some((12, 0)));
        assert_eq!(day(&view, "2026-11-09"), None, "not recorded");
        assert_eq!(view.incidents.len(), 1);
        let lane: Vec<_> = view.lanes[0].1.iter().map(|(_, stood)| stood.word()).collect();
        assert_eq!(lane, ["unknown", "ready", "not_ready", "ready"]);
        // The history is gone, and the agent starts again: a day that was over is still known.
        std::fs::remove_file(dir.join("history.log")).unwrap();
        let mut desk = Desk::open(Some(dir.clone()));
        let started = entry(5, now + HOUR, Fact::Started { chain: vec![uplink()] });
        let view = asked(&mut desk, vec![started], now + 2 * HOUR);
        assert_eq!(day(&view, "2026-11-10"), Some((12, 3)));
        assert_eq!(view.incidents.len(), 0);
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn the_days_of_a_box_lie_side_by_side() {
        let days = calendar(Day::parse("2026-11-29").unwrap());
        assert_eq!(days.len(), SHOWN);
        assert!(days.windows(2).all(|pair| pair[0].1.to == pair[1].1.from));
        assert_eq!(days.last().unwrap().0, Day::parse("2026-11-29").unwrap());
    }
}
