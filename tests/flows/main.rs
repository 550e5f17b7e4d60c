//! What becomes of connections when their uplink dies: the real agent in the lab's home, and fleets
//! of real clients.
#![expect(clippy::disallowed_methods, reason = "tests start processes and look at the clock")]
#![expect(clippy::print_stdout, reason = "a test runner talks")]

mod eye;
mod failback;
mod failover;
mod fleet;
mod many;
mod missing;
mod own;
#[path = "../common/runner.rs"]
mod runner;
#[path = "../agent/stage.rs"]
#[allow(dead_code, reason = "each test binary uses its part")]
mod stage;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use runner::{Test, figure, skip, tests};

/// So many at a time: they look at the clock.
const AT_ONCE: usize = 2;

fn main() -> ExitCode {
    runner::main(AT_ONCE, all)
}

fn all() -> Result<Vec<Test>> {
    let all = [failover::tests(), failback::tests(), own::tests(), many::tests(), missing::tests()];
    Ok(all.into_iter().flatten().collect())
}

/// Median and worst, in milliseconds.
fn spread(times: &[Duration]) -> String {
    let mut times = times.to_vec();
    times.sort_unstable();
    let ms = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1e3);
    format!("median {:.0} ms, worst {:.0} ms", ms(times.get(times.len() / 2)), ms(times.last()))
}
