//! What is nearly right: files and frames with bytes changed, moved and left out do no harm, and leave nothing behind.
//!
//! `SPARELINK_FUZZ` is how many of each.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::fs;
use std::sync::{Mutex, PoisonError};

use sparelink::config;
use sparelink::io::ubus;
use sparelink::lab::fuzz::garbled::garbled;
use sparelink::lab::world::rng::Rng;

/// So many are tried each time; ten million once in a while.
const FEW: u64 = 20_000;
const MANY: u64 = 10_000_000;

/// Memory is the whole process's: who looks at it does so alone.
static ALONE: Mutex<()> = Mutex::new(());

/// Does something so often, and fails if the program has more memory in the end than after the first tenth, give or take
/// 8 MB.
fn grows_not(times: u64, mut what: impl FnMut(u64)) {
    let asked = sparelink::lab::asked::number("SPARELINK_FUZZ");
    let times = asked.unwrap_or_else(|error| panic!("{error}")).unwrap_or(times);
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut held = 0;
    for n in 0..times {
        what(n);
        if n == times / 10 {
            held = resident_kb();
        }
    }
    let now = resident_kb();
    assert!(now <= held + 8_000, "it has {now} kB, and had {held}");
}

/// What this process holds of the memory (proc_pid_statm(5)).
fn resident_kb() -> u64 {
    let said = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = said.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.map_or(0, |pages| pages * 4)
}

/// Frames as they were seen at a real bus.
fn frames() -> Vec<Vec<u8>> {
    let byte = |hex: &str, at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    let bytes = |hex: &str| (0..hex.len()).step_by(2).map(|at| byte(hex, at)).collect();
    let text = include_str!("../src/io/ubus/tests/frames.txt");
    text.lines()
        .filter_map(|line| line.strip_prefix("<- ").or(line.strip_prefix("-> ")))
        .map(bytes)
        .collect()
}

fn frames_do_no_harm(times: u64) {
    let good = frames();
    assert!(good.len() > 30, "{}", good.len());
    let (mut rng, mut read) = (Rng::new(15), 0);
    grows_not(times, |n| {
        let frame = &good[usize::try_from(n).unwrap() % good.len()];
        read += ubus::overhear(garbled(frame, &mut rng));
    });
    assert!(read > 0, "control: some are read");
}

/// Files of a section or two each, with everything that can be said.
fn files() -> Vec<String> {
    let shipped =
        concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/openwrt/files/etc/config/sparelink");
    let text = fs::read_to_string(shipped).unwrap();
    let said: String =
        text.lines().map(|line| line.strip_prefix('#').unwrap_or(line).to_owned() + "\n").collect();
    let sections = said.split("config ").skip(1).filter(|section| !section.contains("config_file"));
    sections
        .map(|section| format!("config uplink 'a'\n\toption network 'wan'\nconfig {section}"))
        .collect()
}

fn files_do_no_harm(times: u64) {
    let good = files();
    assert!(good.len() >= 6, "{}", good.len());
    let (mut rng, mut right) = (Rng::new(16), 0_u64);
    grows_not(times, |n| {
        let file = &good[usize::try_from(n).unwrap() % good.len()];
        let bytes = garbled(file.as_bytes(), &mut rng);
        right += u64::from(config::parse(&String::from_utf8_lossy(&bytes), "x").is_ok());
    });
    assert!(right > 0, "control: some are right");
}

#[test]
fn what_a_bus_says_does_no_harm() {
    frames_do_no_harm(FEW);
}

#[test]
fn what_a_file_says_does_no_harm() {
    files_do_no_harm(FEW);
}

#[test]
#[ignore = "ten million frames take minutes"]
fn of_ten_million_frames_none_does_harm() {
    frames_do_no_harm(MANY);
}

#[test]
#[ignore = "ten million files take half an hour"]
fn of_ten_million_files_none_does_harm() {
    files_do_no_harm(MANY);
}

#[test]
fn much_is_changed_and_something_stays() {
    let good = b"config uplink 'wan'\n\toption network 'wan'\n";
    let mut rng = Rng::new(3);
    let all: Vec<Vec<u8>> = (0..1_000).map(|_| garbled(good, &mut rng)).collect();
    let changed = all.iter().filter(|bytes| bytes.as_slice() != good).count();
    assert!(changed > 700, "{changed}");
    let begins = all.iter().filter(|bytes| bytes.starts_with(b"config")).count();
    assert!(begins > 500, "{begins}");
}

#[test]
#[should_panic(expected = "and had")]
fn what_grows_is_found() {
    let mut kept = Vec::new();
    grows_not(100, |_| kept.push(vec![1_u8; 300_000]));
}
