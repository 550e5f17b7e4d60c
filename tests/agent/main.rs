//! The real agent in the lab's home: what it promises, on the real kernel.
//!
//! A runner of its own, because the lab must be entered before any thread is started. Each test is
//! a process with namespaces of its own (`agent --inside NAME`), a few at a time. Every scenario file
//! that the virtual clock plays is played here too, unless it says `virtual only`.
#![expect(clippy::disallowed_methods, reason = "tests start processes and look at the clock")]
#![expect(clippy::print_stdout, reason = "a test runner talks")]

mod api;
mod bad_input;
mod crowd;
mod death;
mod devices;
mod dhcp;
mod doctor;
mod guard;
mod http;
mod inbound;
mod ipv6;
mod kernel;
mod leds;
mod login;
mod manager;
mod page;
mod people;
mod pinning;
mod purge;
mod recording;
mod resolvers;
mod rest;
mod room;
mod scenarios;
mod siege;
mod stage;
mod subnets;
mod survival;
mod watch;

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
/// So many at a time: mostly they wait, and two cores are enough for so many homes.
const AT_ONCE: usize = 6;
/// What a test wants to be told beside its result begins with this.
const FIGURE: &str = "figure: ";

/// A test under way.
type Running = Pin<Box<dyn Future<Output = Result<()>>>>;

/// A test: it runs inside the lab.
struct Test {
    name: &'static str,
    run: fn() -> Running,
    /// Why it is not run unless asked for.
    ignored: Option<&'static str>,
}

/// Names a module's tests. `#[ignore = "long: WHY"]` before a name means what it means to cargo.
macro_rules! tests {
    ($($(#[ignore = $why:literal])? $name:ident),* $(,)?) => {
        /// The tests of this module by name.
        pub(crate) const TESTS: &[crate::Test] = &[$(crate::Test {
            name: stringify!($name),
            run: || Box::pin($name()),
            ignored: <[&'static str]>::first(&[$($why)?]).copied(),
        }),*];
    };
}
use tests;

/// Those that take longest first, so that nobody waits for the last one.
fn all() -> impl Iterator<Item = &'static Test> {
    let all = [
        death::TESTS,
        siege::TESTS,
        guard::TESTS,
        purge::TESTS,
        doctor::TESTS,
        survival::TESTS,
        people::TESTS,
        page::TESTS,
        leds::TESTS,
        room::TESTS,
        ipv6::TESTS,
        subnets::TESTS,
        dhcp::TESTS,
        devices::TESTS,
        pinning::TESTS,
        inbound::TESTS,
        resolvers::TESTS,
        bad_input::TESTS,
        api::TESTS,
        login::TESTS,
        recording::TESTS,
        manager::TESTS,
        rest::TESTS,
    ];
    all.into_iter().flatten()
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

fn inside(name: &str) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if let Some(scenario) = name.strip_prefix(scenarios::PREFIX) {
        return runtime.block_on(scenarios::play_file(scenario));
    }
    let test = all().find(|test| test.name == name).context("no such test")?;
    runtime.block_on((test.run)())
}

/// Runs the tests whose names contain one of the words, all without words.
fn run_all(words: &[&str]) -> Result<()> {
    let chosen = |name: &str| {
        let mut filters = words.iter().filter(|word| !word.starts_with('-')).peekable();
        filters.peek().is_none() || filters.any(|filter| name.contains(filter))
    };
    let long_too = words.iter().any(|word| ["--include-ignored", "--ignored"].contains(word));
    let mut names: VecDeque<String> = all().map(|test| test.name.to_owned()).collect();
    names.extend(scenarios::names()?);
    let total = names.len();
    names.retain(|name| chosen(name));
    let filtered = total - names.len();
    println!("\nrunning {} tests", names.len());
    let why_not = |name: &String| all().find(|test| test.name == name)?.ignored;
    let mut left_out = 0;
    names.retain(|name| {
        let why = why_not(name).filter(|_| !long_too && !words.contains(&name.as_str()));
        if let Some(why) = why {
            println!("test {name} ... ignored, {why}");
            left_out += 1;
        }
        why.is_none()
    });
    let (begun, queue, failed, ignored) =
        (Instant::now(), Mutex::new(names), Mutex::new(Vec::new()), Mutex::new(left_out));
    let passed = Mutex::new(0);
    let worker = || {
        while let Some(name) = queue.lock().ok().and_then(|mut queue| queue.pop_front()) {
            let start = Instant::now();
            let result = in_a_process(&name);
            let took = start.elapsed().as_secs_f64();
            let count = |counter: &Mutex<usize>| *counter.lock().expect("no panics") += 1;
            match result {
                Ok(Outcome::Passed(figures)) => {
                    println!("test {name} ... ok ({took:.1} s{figures})");
                    count(&passed);
                }
                Ok(Outcome::Skipped(why)) => {
                    println!("test {name} ... ignored, {why}");
                    count(&ignored);
                }
                Err(e) => {
                    println!("test {name} ... FAILED ({took:.1} s)\n{e:#}");
                    failed.lock().expect("no panics").push(name);
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(worker);
        }
    });
    let failed = failed.into_inner()?;
    let word = if failed.is_empty() { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {word}. {} passed; {} failed; {} ignored; 0 measured; {filtered} filtered out; finished in {:.2}s\n",
        passed.into_inner()?,
        failed.len(),
        ignored.into_inner()?,
        begun.elapsed().as_secs_f64()
    );
    if failed.is_empty() { Ok(()) } else { bail!("failed: {}", failed.join(", ")) }
}

/// How a test ended, if it did not fail.
enum Outcome {
    /// With the figures it told, each after a comma.
    Passed(String),
    /// The machine does not allow it; why.
    Skipped(String),
}

fn in_a_process(name: &str) -> Result<Outcome> {
    let mut command = Command::new(std::env::current_exe()?);
    let output = command.args(["--inside", name]).env_clear().output();
    let output = output.context("starting the test's process")?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let told = String::from_utf8_lossy(&output.stdout);
    match output.status.code() {
        Some(0) => {
            let figures = told.lines().filter_map(|line| line.strip_prefix(FIGURE));
            Ok(Outcome::Passed(figures.map(|f| format!(", {f}")).collect()))
        }
        Some(REFUSED) if said.contains("needs network namespaces") => Ok(Outcome::Skipped(said)),
        _ => bail!("{}\n{said}\n{told}", output.status),
    }
}
