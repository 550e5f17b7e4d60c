//! The real agent in the lab's home: what it promises, on the real kernel. Every scenario file that
//! the virtual clock plays is played here too, unless it says `virtual only`. Beside it the lab itself, and probes
//! in a smaller home.
#![expect(clippy::disallowed_methods, reason = "tests start processes and look at the clock")]
#![expect(clippy::print_stdout, reason = "a test runner talks")]

mod absence;
mod api;
mod auto;
mod bad_input;
mod crowd;
mod death;
mod devices;
mod dhcp;
mod doctor;
mod elements;
mod felt;
mod firewalls;
mod flood;
mod flows;
mod guard;
mod hijack;
mod history;
mod http;
mod inbound;
mod intruders;
mod ipv6;
mod kept;
mod kernel;
mod lab;
mod layer2;
mod leds;
mod lines;
mod login;
mod marks;
mod names;
mod near;
mod notify;
mod one_wire;
mod openwrt;
mod outside;
mod packets;
mod page;
mod people;
mod pinning;
mod probe;
mod programs;
mod provider;
mod purge;
mod quantity;
mod recording;
mod refusing;
mod resolvers;
mod rest;
mod room;
mod routed;
mod runner;
mod scenarios;
mod settings;
mod setup;
mod siege;
mod soak;
mod stage;
mod strangers;
mod subnets;
mod survival;
mod systemd;
mod tunnels;
mod watch;

use std::process::ExitCode;

use anyhow::Result;
use runner::{Room, Test, figure, skip, tests};
use sparelink::lab::LabArgs;

/// How many tests run at a time, if they mostly wait: two cores are enough for this many homes.
const AT_ONCE: usize = 6;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        // What the lab's own tests start beside themselves.
        ["run", ..] => runner::code(lab::stand_in::main(&args)),
        ["--hold"] => {
            sparelink::lab::stage::enter(|| runner::code(runner::wait(lab::inside::hold())))
        }
        ["--lab", how @ ..] => sparelink::lab::main(&LabArgs {
            tour: how.contains(&"--tour"),
            json: how.contains(&"--json"),
            agent: std::env::current_exe().ok(),
            ..LabArgs::default()
        }),
        _ => runner::main(AT_ONCE, all),
    }
}

/// All of them, in no order that matters.
fn all() -> Result<Vec<Test>> {
    let all = [
        absence::tests(),
        outside::tests(),
        death::tests(),
        rest::tests(),
        runner::taking(Room::All, elements::tests()),
        runner::taking(Room::Much, quantity::tests()),
        runner::taking(Room::Much, flood::tests()),
        siege::tests(),
        soak::tests(),
        room::tests(),
        scenarios::tests()?,
        settings::tests(),
        setup::tests(),
        guard::tests(),
        survival::tests(),
        dhcp::tests(),
        provider::tests(),
        purge::tests(),
        people::tests(),
        felt::tests(),
        page::tests(),
        leds::tests(),
        refusing::tests(),
        ipv6::tests(),
        strangers::tests(),
        subnets::tests(),
        devices::tests(),
        names::tests(),
        near::tests(),
        notify::tests(),
        lines::tests(),
        one_wire::tests(),
        openwrt::tests(),
        resolvers::tests(),
        pinning::tests(),
        marks::tests(),
        routed::tests(),
        layer2::tests(),
        hijack::tests(),
        inbound::tests(),
        intruders::tests(),
        bad_input::tests(),
        recording::tests(),
        kept::tests(),
        history::tests(),
        systemd::tests(),
        tunnels::tests(),
        login::tests(),
        doctor::tests(),
        firewalls::tests(),
        api::tests(),
        auto::tests(),
        flows::tests(),
        lab::tests(),
        probe::tests(),
    ];
    Ok(all.into_iter().flatten().collect())
}
