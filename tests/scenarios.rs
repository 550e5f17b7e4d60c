//! Every file in `tests/scenarios` on the virtual clock, with several seeds. The test's name is the
//! file's name.

#![expect(clippy::unwrap_used, reason = "a test may panic, what it calls too")]

use std::fs;
use std::path::Path;

use sparelink::lab::script::Scenario;
use sparelink::lab::world::rehearsal::play;

/// What chance does must not matter.
const SEEDS: u64 = 5;

fn rehearse(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/scenarios/{name}.scn"));
    let text = fs::read_to_string(&path).unwrap();
    let scenario = Scenario::parse(&text).unwrap_or_else(|errors| panic!("{name}: {errors:?}"));
    for seed in 1..=SEEDS {
        if let Err(e) = play(&scenario, seed) {
            panic!("{name}, seed {seed}: {e}");
        }
    }
}

macro_rules! scenarios {
    ($($name:ident)*) => {
        $(#[test] fn $name() { rehearse(stringify!($name)); })*
        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

scenarios! {
    a_drain_outlives_the_agent
    a_portal_and_a_lossy_spare
    a_portal_on_the_only_line
    a_provider_of_targets_dies
    a_spare_asks_for_a_sign_in
    a_spare_dies_with_flows_on_it
    agent_killed
    agent_killed_with_nothing_left
    agent_stalls
    agent_stopped_with_nothing_left
    all_cut_at_once
    all_down_then_one_returns
    both_lines_lose_packets
    bufferbloat
    carrier_lost
    carrier_lost_without_agent
    cellular
    dead_names_and_a_spare_that_loses_20
    dead_names_and_a_spare_that_loses_40
    dead_names_and_a_spare_that_loses_60
    degraded_moves
    dns_breaks
    echoes_are_blocked
    failback_with_hold
    families_die_apart
    flapping_is_damped
    hijacked_names
    interface_vanishes
    loss_30_percent
    metered_spare_dies
    modem_poses_as_target
    modem_reboots
    modem_silent
    nine_seconds_without
    old_flows_are_cut
    old_flows_drain
    one_interruption
    one_target_dies
    outages_in_a_row
    pause_and_resume
    portal_and_a_spare_that_loses_20
    portal_and_a_spare_that_loses_40
    portal_and_a_spare_that_loses_60
    portal_on_a_spare
    portal_on_the_active
    resolvers_break
    resolvers_follow
    second_failover
    severed
    short_outages
    short_window
    slow_spare
    switched_by_hand
    the_last_spare_loses_packets
    v6_dies_alone
    v6_dies_early
    what_is_answered_is_lost
    what_is_sent_is_lost
}

/// A plug with a bad contact: no carrier for 200 ms, a hundred times.
#[test]
fn a_hundred_blips_of_the_carrier() {
    let mut text = "hold 3s\nhold_max 30s\n".to_owned();
    for _ in 0..100 {
        text += "after 700ms unplug cable\nafter 200ms restore cable\n";
    }
    // Left at the first of them, it is not gone back to before it holds still.
    text += "expect active mifi within 100ms\nexpect active cable within 40s\nexpect told switched 1\nexpect lost 0\n";
    for seed in 1..=SEEDS {
        play(&Scenario::parse(&text).unwrap(), seed).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    }
    // Control: with a contact that is good for longer than the hold it is gone back to in between.
    let slow = text.replace("after 700ms", "after 6s").replacen(
        "expect active mifi within 100ms\n",
        "expect told switched 1\n",
        1,
    );
    assert!(play(&Scenario::parse(&slow).unwrap(), 1).is_err());
}

#[test]
fn every_file_is_played() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "scn"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    files.sort();
    assert_eq!(files, NAMES);
}

/// Positive control: a demand that cannot be met fails, with the line and the story.
#[test]
fn a_broken_promise_is_told() {
    let text = "at 3s sever cable\nexpect active mifi within 400ms\n";
    let told = play(&Scenario::parse(text).unwrap(), 1).unwrap_err();
    assert!(told.starts_with("line 2: "), "{told}");
    assert!(told.contains("cable (IPv4): up to failing"), "{told}");
    let text = "at 1s sever cable\nexpect no switch for 3s\n";
    assert!(play(&Scenario::parse(text).unwrap(), 1).is_err());
    let text = "at 1s sever cable\nexpect no down cable for 3s\n";
    assert!(play(&Scenario::parse(text).unwrap(), 1).is_err());
    let text = "at 1s sever cable\nexpect active mifi within 3s\nexpect lost 10\n";
    assert!(play(&Scenario::parse(text).unwrap(), 1).is_err());
}
