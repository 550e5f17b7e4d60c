//! The real agent in the lab's home: what it promises, on the real kernel. Every scenario file that
//! the virtual clock plays is played here too, unless it says `virtual only`.
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
#[path = "../common/runner.rs"]
mod runner;
mod scenarios;
mod siege;
mod stage;
mod subnets;
mod survival;
mod watch;

use std::process::ExitCode;

use anyhow::Result;
use runner::{Test, figure, skip, tests};

/// So many at a time: mostly they wait, and two cores are enough for so many homes.
const AT_ONCE: usize = 6;

fn main() -> ExitCode {
    runner::main(AT_ONCE, all)
}

/// Those that take longest first, so that nobody waits for the last one.
fn all() -> Result<Vec<Test>> {
    let all = [
        death::tests(),
        rest::tests(),
        siege::tests(),
        room::tests(),
        scenarios::tests()?,
        guard::tests(),
        survival::tests(),
        dhcp::tests(),
        purge::tests(),
        people::tests(),
        page::tests(),
        leds::tests(),
        ipv6::tests(),
        subnets::tests(),
        devices::tests(),
        resolvers::tests(),
        pinning::tests(),
        inbound::tests(),
        bad_input::tests(),
        recording::tests(),
        manager::tests(),
        login::tests(),
        doctor::tests(),
        api::tests(),
    ];
    Ok(all.into_iter().flatten().collect())
}
