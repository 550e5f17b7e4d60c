//! Runs tests that stand in the lab: each is a process with namespaces of its own (`--inside NAME`),
//! a few at a time.
//!
//! The lab must be entered before any thread is started, which the usual harness cannot do. What is
//! typed and what is printed is as with the usual one; `#[ignore = "long: WHY"]` means what it means
//! there, but a test that is named in full runs all the same.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{Write, stderr};
use std::pin::Pin;
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// Exit code of the lab where the kernel allows no namespaces.
const REFUSED: i32 = 2;
/// What a test wants to be told beside its result begins with this.
const FIGURE: &str = "figure: ";
/// Why a test can not be made here begins with this.
const SKIPPED: &str = "skipped: ";

/// A test under way.
pub(crate) type Running = Pin<Box<dyn Future<Output = Result<()>>>>;

/// A test.
pub(crate) struct Test {
    pub(crate) name: String,
    /// What it does, inside the lab.
    pub(crate) run: Box<dyn Fn() -> Running>,
    /// Why it is not run unless asked for.
    pub(crate) ignored: Option<&'static str>,
}

/// Names a module's tests.
macro_rules! tests {
    ($($(#[ignore = $why:literal])? $name:ident),* $(,)?) => {
        /// The tests of this module.
        pub(crate) fn tests() -> Vec<crate::runner::Test> {
            vec![$(crate::runner::Test {
                name: stringify!($name).to_owned(),
                run: Box::new(|| Box::pin($name())),
                ignored: <[&'static str]>::first(&[$($why)?]).copied(),
            }),*]
        }
    };
}
pub(crate) use tests;

/// Tells a figure; it is printed beside the result.
pub(crate) fn figure(text: &str) {
    println!("{FIGURE}{text}");
}

/// Tells why a test can not be made here.
pub(crate) fn skip(why: &str) {
    println!("{SKIPPED}{why}");
}

/// The whole of a test program: runs tests, so many at once, in this order.
pub(crate) fn main(at_once: usize, all: fn() -> Result<Vec<Test>>) -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["--inside", name] => sparelink::lab::stage::enter(|| code(inside(all, name))),
        words => code(all().and_then(|all| run(at_once, all, words))),
    }
}

fn code(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            let _ = writeln!(stderr(), "{e:#}");
            ExitCode::FAILURE
        }
    }
}

fn inside(all: fn() -> Result<Vec<Test>>, name: &str) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let test = all()?.into_iter().find(|test| test.name == name).context("no such test")?;
    runtime.block_on((test.run)())
}

/// Runs the tests whose names contain one of the words, all without words.
fn run(at_once: usize, all: Vec<Test>, words: &[&str]) -> Result<()> {
    let (flags, filters): (Vec<&str>, Vec<&str>) =
        words.iter().partition(|word| word.starts_with('-'));
    let only_long = flags.contains(&"--ignored");
    let long_too = only_long || flags.contains(&"--include-ignored");
    let chosen = |name: &str| filters.is_empty() || filters.iter().any(|f| name.contains(f));
    let (mut queue, mut count) = (VecDeque::new(), Count::default());
    for Test { name, ignored, .. } in all {
        match ignored {
            _ if !chosen(&name) => count.filtered += 1,
            None if only_long => count.filtered += 1,
            Some(why) if !long_too && !filters.contains(&name.as_str()) => {
                println!("test {name} ... ignored, {why}");
                count.ignored += 1;
            }
            _ => queue.push_back(name),
        }
    }
    println!("\nrunning {} tests", queue.len());
    let begun = Instant::now();
    let (queue, count) = (Mutex::new(queue), Mutex::new(count));
    let worker = || {
        while let Some(name) = queue.lock().ok().and_then(|mut queue| queue.pop_front()) {
            let result = in_a_process(&name);
            count.lock().expect("no panics").take(name, result);
        }
    };
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(worker);
        }
    });
    count.into_inner()?.sum(begun)
}

/// What came of the tests so far.
#[derive(Default)]
struct Count {
    passed: usize,
    failed: Vec<String>,
    ignored: usize,
    filtered: usize,
}

impl Count {
    fn take(&mut self, name: String, result: Result<Outcome>) {
        match result {
            Ok(Outcome::Passed(figures)) => {
                println!("test {name} ... ok ({figures})");
                self.passed += 1;
            }
            Ok(Outcome::Skipped(why)) => {
                println!("test {name} ... ignored, {why}");
                self.ignored += 1;
            }
            Err(e) => {
                println!("test {name} ... FAILED\n{e:#}");
                self.failed.push(name);
            }
        }
    }

    fn sum(self, begun: Instant) -> Result<()> {
        let Self { passed, failed, ignored, filtered } = self;
        let word = if failed.is_empty() { "ok" } else { "FAILED" };
        println!(
            "\ntest result: {word}. {passed} passed; {} failed; {ignored} ignored; 0 measured; {filtered} filtered out; finished in {:.2}s\n",
            failed.len(),
            begun.elapsed().as_secs_f64()
        );
        if failed.is_empty() { Ok(()) } else { bail!("failed: {}", failed.join(", ")) }
    }
}

/// How a test ended, if it did not fail.
enum Outcome {
    /// With the time it took and the figures it told.
    Passed(String),
    /// It can not be made here; why.
    Skipped(String),
}

fn in_a_process(name: &str) -> Result<Outcome> {
    let start = Instant::now();
    let mut command = Command::new(std::env::current_exe()?);
    let output = command.args(["--inside", name]).env_clear().output();
    let took = format!("{:.1} s", start.elapsed().as_secs_f64());
    let output = output.context("starting the test's process")?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let told = String::from_utf8_lossy(&output.stdout);
    let with = |word| told.lines().filter_map(move |line: &str| line.strip_prefix(word));
    match output.status.code() {
        Some(0) => Ok(match with(SKIPPED).next() {
            Some(why) => Outcome::Skipped(why.to_owned()),
            None => Outcome::Passed(with(FIGURE).fold(took, |all, figure| all + ", " + figure)),
        }),
        Some(REFUSED) if said.contains("needs network namespaces") => Ok(Outcome::Skipped(said)),
        _ => bail!("{} after {took}\n{said}\n{told}", output.status),
    }
}
