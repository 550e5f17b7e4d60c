//! What becomes of connections when their uplink dies: the real agent in the lab's home, and fleets
//! of real clients.
//!
//! A runner of its own, because the lab must be entered before any thread is started. Each test is
//! a process with namespaces of its own (`flows --inside NAME`), two at a time: they look at the
//! clock. Long ones run with `--include-ignored`.
#![expect(clippy::disallowed_methods, reason = "tests start processes and look at the clock")]
#![expect(clippy::print_stdout, reason = "a test runner talks")]

mod eye;
mod failback;
mod failover;
mod fleet;
mod many;
mod missing;
mod own;
#[path = "../agent/stage.rs"]
#[allow(dead_code, reason = "each test binary uses its part")]
mod stage;

use std::collections::VecDeque;
use std::future::Future;
use std::io::{Write, stderr};
use std::pin::Pin;
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Exit code of the lab where the kernel allows no namespaces.
const REFUSED: i32 = 2;
/// So many at a time.
const AT_ONCE: usize = 2;
/// What a test wants to be told beside its result begins with this.
const FIGURE: &str = "figure: ";
/// Why a test can not be made here begins with this.
const SKIPPED: &str = "skipped: ";

/// What a test does; it runs inside the lab.
type Run = fn() -> Pin<Box<dyn Future<Output = Result<()>>>>;

/// A test.
struct Test {
    name: &'static str,
    run: Run,
    /// Why it runs only when the long ones do.
    long: Option<&'static str>,
}

/// Names a module's tests, the long ones with a reason.
macro_rules! tests {
    ($($name:ident $(= $long:literal)?),* $(,)?) => {
        /// The tests of this module.
        pub(crate) const TESTS: &[crate::Test] = &[$(crate::Test {
            name: stringify!($name),
            run: || Box::pin($name()),
            long: None$(.or(Some($long)))?,
        }),*];
    };
}
use tests;

fn all() -> impl Iterator<Item = &'static Test> {
    [failover::TESTS, failback::TESTS, own::TESTS, many::TESTS, missing::TESTS]
        .into_iter()
        .flatten()
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["--inside", name] => sparelink::lab::stage::enter(|| code(inside(name))),
        words => code(run_all(words)),
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

/// Tells a figure; the runner prints it beside the result.
fn figure(text: &str) {
    println!("{FIGURE}{text}");
}

/// Tells why a test can not be made here.
fn skip(why: &str) {
    println!("{SKIPPED}{why}");
}

/// Median and worst, in milliseconds.
fn spread(times: &[Duration]) -> String {
    let mut times = times.to_vec();
    times.sort_unstable();
    let ms = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1e3);
    format!("median {:.0} ms, worst {:.0} ms", ms(times.get(times.len() / 2)), ms(times.last()))
}

fn inside(name: &str) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let test = all().find(|test| test.name == name).context("no such test")?;
    runtime.block_on((test.run)())
}

/// Runs the tests whose names contain one of the words, all without words.
fn run_all(words: &[&str]) -> Result<()> {
    let (flags, filters): (Vec<&str>, Vec<&str>) =
        words.iter().partition(|word| word.starts_with('-'));
    let (only_long, long_too) =
        (flags.contains(&"--ignored"), flags.contains(&"--include-ignored"));
    let chosen = |test: &&Test| filters.is_empty() || filters.iter().any(|f| test.name.contains(f));
    let (mut queue, mut ignored, mut filtered) = (VecDeque::new(), 0, 0);
    for test in all() {
        match test.long {
            _ if !chosen(&test) => filtered += 1,
            Some(why) if !only_long && !long_too => {
                println!("test {} ... ignored, {why}", test.name);
                ignored += 1;
            }
            None if only_long => filtered += 1,
            _ => queue.push_back(test),
        }
    }
    println!("\nrunning {} tests", queue.len());
    let begun = Instant::now();
    let (queue, results) = (Mutex::new(queue), Mutex::new(Vec::new()));
    let worker = || {
        while let Some(test) = queue.lock().ok().and_then(|mut queue| queue.pop_front()) {
            let result = run_one(test.name);
            results.lock().expect("no panics").push((test.name, result));
        }
    };
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(worker);
        }
    });
    let results = results.into_inner()?;
    let count = |wanted: Outcome| results.iter().filter(|(_, result)| *result == wanted).count();
    let failed: Vec<&str> =
        results.iter().filter(|(_, r)| *r == Outcome::Failed).map(|(name, _)| *name).collect();
    println!(
        "\ntest result: {}. {} passed; {} failed; {} ignored; 0 measured; {filtered} filtered out; finished in {:.2}s\n",
        if failed.is_empty() { "ok" } else { "FAILED" },
        count(Outcome::Passed),
        failed.len(),
        count(Outcome::Skipped) + ignored,
        begun.elapsed().as_secs_f64()
    );
    if failed.is_empty() { Ok(()) } else { bail!("failed: {}", failed.join(", ")) }
}

/// How a test ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passed,
    /// The machine does not allow it.
    Skipped,
    Failed,
}

/// Runs a test in a process of its own and tells how it ended.
fn run_one(name: &str) -> Outcome {
    let start = Instant::now();
    let output = std::env::current_exe()
        .and_then(|exe| Command::new(exe).args(["--inside", name]).env_clear().output());
    let took = start.elapsed().as_secs_f64();
    let output = match output {
        Ok(output) => output,
        Err(e) => {
            println!("test {name} ... FAILED: it could not be started: {e}");
            return Outcome::Failed;
        }
    };
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let told = String::from_utf8_lossy(&output.stdout);
    let with = |word| told.lines().filter_map(move |line: &str| line.strip_prefix(word));
    match output.status.code() {
        Some(0) => {
            if let Some(why) = with(SKIPPED).next() {
                println!("test {name} ... ignored, {why}");
                return Outcome::Skipped;
            }
            println!("test {name} ... ok ({took:.1} s)");
            with(FIGURE).for_each(|figure| println!("    {figure}"));
            Outcome::Passed
        }
        Some(REFUSED) if said.contains("needs network namespaces") => {
            println!("test {name} ... ignored, {said}");
            Outcome::Skipped
        }
        _ => {
            println!("test {name} ... FAILED ({took:.1} s): {}\n{said}\n{told}", output.status);
            Outcome::Failed
        }
    }
}
