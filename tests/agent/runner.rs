//! Runs tests that stand in the lab: each is a process of its own (`--inside NAME`, `--outside NAME`), as many at
//! a time as there is room for.
//!
//! The lab must be entered before any thread is started, which the usual harness cannot do. What is
//! typed and what is printed is as with the usual one; `#[ignore = "long: WHY"]` means what it means
//! there, but a test that is named in full runs all the same.
//!
//! Those that took longest the last time begin first, so that none is waited for at the end; what they took is in
//! `durations` beside this file, which `UPDATE_DURATIONS=1` brings up to date after a run.
//!
//! A few that fail beside others are played once more, each alone. What fails then as well is a fault; what does not
//! is told by name, as a test that the noise of others can break is to be mended, too.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::future::Future;
use std::io::{Write, stderr};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use nix::sys::resource::{UsageWho, getrusage};

/// Exit code of the lab where the kernel allows no namespaces.
pub(crate) const REFUSED: i32 = 2;
/// What a test wants to be told beside its result begins with this.
const FIGURE: &str = "figure: ";
/// Why a test cannot be made here begins with this.
const SKIPPED: &str = "skipped: ";
/// For how long random faults are played, and which ones; the rest of the environment is kept from tests.
pub(crate) const SOAK_MINUTES: &str = "SPARELINK_SOAK_MINUTES";
pub(crate) const SOAK_SEED: &str = "SPARELINK_SOAK_SEED";
/// What a test is taken to need that has never been measured, in seconds.
const UNKNOWN: f64 = 60.0;
/// So many that failed are played again. More are no accident.
const AGAIN: usize = 3;

/// A test.
pub(crate) struct Test {
    pub(crate) name: String,
    /// What it does, there.
    pub(crate) run: Box<dyn Fn() -> Result<()>>,
    /// Why it is not run unless asked for.
    pub(crate) ignored: Option<&'static str>,
    pub(crate) place: Place,
    pub(crate) room: Room,
}

/// Where a test stands.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// In namespaces of its own.
    Inside,
    /// In those of the machine.
    Outside,
}

/// How much of the machine a test takes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Room {
    /// It mostly waits.
    Little,
    /// It looks at the clock while it keeps the machine busy.
    Much,
    /// It keeps the kernel so busy that others, beside it, could not look at the clock.
    All,
}

impl Room {
    /// How many that wait have the same room, where there is room for so many.
    fn places(self, all: usize) -> usize {
        match self {
            Self::Little => 1,
            Self::Much => 3.min(all),
            Self::All => all,
        }
    }
}

impl Test {
    /// One that is always run, inside, and mostly waits.
    pub(crate) fn new(name: impl Into<String>, run: impl Fn() -> Result<()> + 'static) -> Self {
        let (place, room) = (Place::Inside, Room::Little);
        Self { name: name.into(), run: Box::new(run), ignored: None, place, room }
    }
}

/// Names a module's tests.
macro_rules! tests {
    ($($(#[ignore = $why:literal])? $name:ident),* $(,)?) => {
        /// The tests of this module.
        pub(crate) fn tests() -> Vec<crate::runner::Test> {
            vec![$(crate::runner::Test {
                ignored: <[&'static str]>::first(&[$($why)?]).copied(),
                ..crate::runner::Test::new(stringify!($name), || crate::runner::wait($name()))
            }),*]
        }
    };
}
pub(crate) use tests;

/// The same tests as part of a group, by which they can be chosen.
pub(crate) fn within(group: &str, room: Room, tests: impl IntoIterator<Item = Test>) -> Vec<Test> {
    let named = |test: Test| Test { name: format!("{group}::{}", test.name), room, ..test };
    tests.into_iter().map(named).collect()
}

/// The same tests, which take so much of the machine.
pub(crate) fn taking(room: Room, tests: impl IntoIterator<Item = Test>) -> Vec<Test> {
    tests.into_iter().map(|test| Test { room, ..test }).collect()
}

/// Does what has to be waited for, on this thread alone.
pub(crate) fn wait(test: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(test)
}

/// Tells a figure; it is printed beside the result.
pub(crate) fn figure(text: &str) {
    println!("{FIGURE}{text}");
}

/// Tells why a test cannot be made here.
pub(crate) fn skip(why: &str) {
    println!("{SKIPPED}{why}");
}

/// The whole of a test program: runs tests that have room beside each other.
pub(crate) fn main(room: usize, all: fn() -> Result<Vec<Test>>) -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["--inside", name] => sparelink::lab::stage::enter(|| code(one(all, name))),
        ["--outside", name] => code(one(all, name)),
        words => code(all().and_then(|all| run(room, all, words))),
    }
}

/// A result as an exit code, told on standard error.
pub(crate) fn code(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            let _ = writeln!(stderr(), "{e:#}");
            ExitCode::FAILURE
        }
    }
}

fn one(all: fn() -> Result<Vec<Test>>, name: &str) -> Result<()> {
    let test = all()?.into_iter().find(|test| test.name == name).context("no such test")?;
    (test.run)()
}

/// A test that waits for its turn.
#[derive(Debug)]
struct Job {
    name: String,
    place: Place,
    room: usize,
}

/// Runs the tests whose names contain one of the words, all without words.
fn run(room: usize, all: Vec<Test>, words: &[&str]) -> Result<()> {
    let (flags, filters): (Vec<&str>, Vec<&str>) =
        words.iter().partition(|word| word.starts_with('-'));
    if flags.contains(&"--list") {
        all.iter().for_each(|test| println!("{}: test", test.name));
        return Ok(());
    }
    let only_long = flags.contains(&"--ignored");
    let long_too = only_long || flags.contains(&"--include-ignored");
    let chosen = |name: &str| filters.is_empty() || filters.iter().any(|f| name.contains(f));
    let names = all.iter().map(|test| test.name.clone()).collect();
    let (mut queue, mut count) = (Vec::new(), Count::default());
    for Test { name, ignored, place, room: takes, .. } in all {
        match ignored {
            _ if !chosen(&name) => count.filtered += 1,
            None if only_long => count.filtered += 1,
            Some(why) if !long_too && !filters.contains(&name.as_str()) => {
                println!("test {name} ... ignored, {why}");
                count.ignored += 1;
            }
            _ => queue.push(Job { name, place, room: takes.places(room) }),
        }
    }
    println!("\nrunning {} tests", queue.len());
    let known = durations();
    let took = |job: &Job| known.get(&job.name).copied().unwrap_or(UNKNOWN);
    queue.sort_by(|a, b| took(b).total_cmp(&took(a)));
    let begun = Instant::now();
    let desk = Desk {
        state: Mutex::new(State { free: room, queue: queue.into(), count }),
        freed: Condvar::new(),
    };
    thread::scope(|scope| {
        for _ in 0..room {
            scope.spawn(|| desk.work());
        }
    });
    let mut count = desk.state.into_inner()?.count;
    if count.took.len() > 1 && count.failed.len() <= AGAIN {
        count.play_again();
    }
    if std::env::var_os("UPDATE_DURATIONS").is_some() {
        write_durations(&count.took, &names)?;
    }
    count.sum(begun)
}

/// Where workers get their jobs.
struct Desk {
    state: Mutex<State>,
    freed: Condvar,
}

struct State {
    free: usize,
    queue: VecDeque<Job>,
    count: Count,
}

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no worker panics")
    }

    /// Does one job after the other until none is left.
    fn work(&self) {
        while let Some(job) = self.next() {
            let begun = Instant::now();
            let result = in_a_process(&job);
            let mut state = self.state();
            state.free += job.room;
            state.count.take(job, begun.elapsed().as_secs_f64(), result);
            self.freed.notify_all();
        }
    }

    /// The next job, when there is room for it. None overtakes: those in front take longest.
    fn next(&self) -> Option<Job> {
        let has_no_room =
            |state: &mut State| state.queue.front().is_some_and(|job| job.room > state.free);
        let mut state = self.freed.wait_while(self.state(), has_no_room).ok()?;
        let job = state.queue.pop_front()?;
        state.free -= job.room;
        Some(job)
    }
}

fn durations_file() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/agent/durations"))
}

/// What tests took when they were measured, in seconds.
fn durations() -> BTreeMap<String, f64> {
    let text = std::fs::read_to_string(durations_file()).unwrap_or_default();
    let line = |line: &str| {
        let (seconds, name) = line.split_once(' ')?;
        Some((name.to_owned(), seconds.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

fn write_durations(took: &BTreeMap<String, f64>, all: &BTreeSet<String>) -> Result<()> {
    let mut known = durations();
    known.retain(|name, _| all.contains(name));
    known.extend(took.iter().map(|(name, seconds)| (name.clone(), seconds.ceil())));
    let mut lines: Vec<(&String, f64)> = known.iter().map(|(name, s)| (name, *s)).collect();
    lines.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
    let mut text = String::new();
    for (name, seconds) in lines {
        writeln!(text, "{seconds} {name}")?;
    }
    Ok(std::fs::write(durations_file(), text)?)
}

/// What came of the tests so far.
#[derive(Default)]
struct Count {
    passed: usize,
    failed: Vec<Job>,
    /// Those that passed when they were played again.
    alone: Vec<String>,
    ignored: usize,
    filtered: usize,
    took: BTreeMap<String, f64>,
}

impl Count {
    /// Plays those that failed once more, each with the machine to itself.
    fn play_again(&mut self) {
        for job in std::mem::take(&mut self.failed) {
            println!("test {} ... played again, alone", job.name);
            let (begun, result) = (Instant::now(), in_a_process(&job));
            if result.is_ok() {
                self.alone.push(job.name.clone());
            }
            self.take(job, begun.elapsed().as_secs_f64(), result);
        }
    }

    fn take(&mut self, job: Job, took: f64, result: Result<Outcome>) {
        let name = &job.name;
        self.took.insert(name.clone(), took);
        match result {
            Ok(Outcome::Passed(figures)) => {
                println!("test {name} ... ok ({took:.1} s{figures})");
                self.passed += 1;
            }
            Ok(Outcome::Skipped(why)) => {
                println!("test {name} ... ignored, {why}");
                self.ignored += 1;
            }
            Err(e) => {
                println!("test {name} ... FAILED after {took:.1} s\n{e:#}");
                self.failed.push(job);
            }
        }
    }

    fn sum(self, begun: Instant) -> Result<()> {
        let Self { passed, failed, alone, ignored, filtered, .. } = self;
        let word = if failed.is_empty() { "ok" } else { "FAILED" };
        // Whether there is room for more at once, or for less.
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
        let cpu = (usage.user_time() + usage.system_time()).tv_sec();
        println!(
            "\ntest result: {word}. {passed} passed; {} failed; {ignored} ignored; 0 measured; {filtered} filtered out; finished in {:.2}s, {cpu} s of CPU\n",
            failed.len(),
            begun.elapsed().as_secs_f64()
        );
        if !alone.is_empty() {
            println!("failed beside others, passed alone: {}\n", alone.join(", "));
        }
        let names: Vec<&str> = failed.iter().map(|job| job.name.as_str()).collect();
        if names.is_empty() { Ok(()) } else { bail!("failed: {}", names.join(", ")) }
    }
}

/// How a test ended, if it did not fail.
enum Outcome {
    /// With the figures it told.
    Passed(String),
    /// It cannot be made here; why.
    Skipped(String),
}

fn in_a_process(job: &Job) -> Result<Outcome> {
    let place = match job.place {
        Place::Inside => "--inside",
        Place::Outside => "--outside",
    };
    let mut command = Command::new(std::env::current_exe()?);
    command.args([place, &job.name]).env_clear();
    for name in [SOAK_MINUTES, SOAK_SEED] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    let output = command.output();
    let output = output.context("starting the test's process")?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let told = String::from_utf8_lossy(&output.stdout);
    let with = |word| told.lines().filter_map(move |line: &str| line.strip_prefix(word));
    match output.status.code() {
        Some(0) => Ok(match with(SKIPPED).next() {
            Some(why) => Outcome::Skipped(why.to_owned()),
            None => Outcome::Passed(with(FIGURE).fold(String::new(), |all, f| all + ", " + f)),
        }),
        Some(REFUSED) if said.contains("needs network namespaces") => Ok(Outcome::Skipped(said)),
        _ => bail!("{}\n{said}\n{told}", output.status),
    }
}
