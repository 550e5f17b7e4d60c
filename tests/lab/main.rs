//! The lab itself, on the real kernel: what it promises to those who stand on it.
//!
//! A runner of its own, because the lab must be entered before any thread is started. Each test runs
//! in a fresh process (`lab --inside NAME`), some look at it from outside. With a stand-in for the
//! agent: what the real one does is tested elsewhere.
#![expect(clippy::disallowed_methods, reason = "tests start processes and look at the clock")]
#![expect(clippy::print_stdout, reason = "a test runner talks")]

mod inside;
mod outside;
mod stand_in;

use std::io::{Write, stderr};
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use sparelink::lab::{self, LabArgs, stage};

/// Exit code of the lab where the kernel allows no namespaces.
const REFUSED: i32 = 2;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["run", ..] => code(stand_in::main(&args)),
        ["--inside", name] => stage::enter(|| code(inside::run(name))),
        ["--lab", how @ ..] => lab::main(&LabArgs {
            tour: how.contains(&"--tour"),
            json: how.contains(&"--json"),
            agent: std::env::current_exe().ok(),
            ..LabArgs::default()
        }),
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

/// Runs the tests whose names contain one of the words, all without words.
fn run_all(words: &[&str]) -> Result<()> {
    let filters: Vec<&str> = words.iter().copied().filter(|word| !word.starts_with('-')).collect();
    let chosen =
        |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter));
    let names = inside::NAMES.iter().chain(outside::TESTS.iter().map(|(name, _)| name));
    let mut failed = Vec::new();
    let (mut passed, mut skipped) = (0, 0);
    for name in names.filter(|name| chosen(name)) {
        let start = Instant::now();
        let result = match outside::TESTS.iter().find(|(test, _)| test == name) {
            Some((_, test)) => test(),
            None => in_a_process(name),
        };
        let took = start.elapsed().as_secs_f64();
        match result {
            Ok(Outcome::Passed) => {
                println!("test {name} ... ok ({took:.1} s)");
                passed += 1;
            }
            Ok(Outcome::Skipped(why)) => {
                println!("test {name} ... skipped: {why}");
                skipped += 1;
            }
            Err(e) => {
                println!("test {name} ... FAILED ({took:.1} s)\n{e:#}");
                failed.push(*name);
            }
        }
    }
    let word = if failed.is_empty() { "ok" } else { "FAILED" };
    let failures = failed.len();
    println!("\ntest result: {word}. {passed} passed; {failures} failed; {skipped} ignored");
    if failed.is_empty() { Ok(()) } else { bail!("failed: {}", failed.join(", ")) }
}

/// How a test ended, if it did not fail.
enum Outcome {
    Passed,
    /// The machine does not allow it; why.
    Skipped(String),
}

fn in_a_process(name: &str) -> Result<Outcome> {
    verdict(Command::new(std::env::current_exe()?).args(["--inside", name]))
}

/// Runs a command whose exit code is the result.
fn verdict(command: &mut Command) -> Result<Outcome> {
    let output = command.output().context("starting the test's process")?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    match output.status.code() {
        Some(0) => Ok(Outcome::Passed),
        Some(REFUSED) if said.contains("needs network namespaces") => Ok(Outcome::Skipped(said)),
        _ => bail!("{}\n{said}\n{}", output.status, String::from_utf8_lossy(&output.stdout)),
    }
}
