//! What is known to be difficult, and much like it: every file of `fuzz/corpus` goes to its target again, then with pieces
//! changed, moved and left out. Nothing panics, takes long, or leaves anything behind.
//!
//! `SPARELINK_CORPUS_SEED` is the seed of the fresh half, `SPARELINK_CORPUS_MS` how long each target is played.

#![expect(clippy::print_stdout, reason = "a seed is told, so that a failure can be repeated")]

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sparelink::io::clock;
use sparelink::lab::asked;
use sparelink::lab::fuzz::corpus::{self, Known, MOST_BYTES};
use sparelink::lab::fuzz::garbled::garbled;
use sparelink::lab::fuzz::{TARGETS, Target};
use sparelink::lab::world::rng::Rng;

/// How long each target is played with what is nearly right, in milliseconds.
const PLAYED: u64 = 150;
/// The same in every run, so that what fails here fails again.
const FIXED: u64 = 16;
/// One file may take this long: a thousand times what it should, on a box that does other things.
const LONG: Duration = Duration::from_secs(5);
/// What the whole process may have more than after the first half, in kB.
const GROWTH: u64 = 16_000;

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

fn known(target: &str) -> Vec<Known> {
    corpus::read(&folder(target)).unwrap_or_else(|error| panic!("{error}"))
}

/// One run; how much was understood.
///
/// # Errors
/// What harm it did, or that it took longer than that.
fn played(target: &Target, bytes: &[u8], longest: Duration) -> Result<usize, String> {
    let begun = clock::now().mono;
    let read = catch_unwind(AssertUnwindSafe(|| (target.read)(bytes)));
    let took = clock::now().mono.since(begun);
    let shown = || bytes.escape_ascii().to_string();
    match read {
        Err(_) => Err(format!("{}: a panic by {}", target.name, shown())),
        Ok(_) if took > longest => Err(format!("{}: {took:?} by {}", target.name, shown())),
        Ok(read) => Ok(read),
    }
}

/// Plays what is nearly right for so long; how often.
fn nearly(target: &Target, good: &[Known], seed: u64, time: Duration) -> Result<u64, String> {
    let (mut rng, begun, mut times) = (Rng::new(seed), clock::now().mono, 0);
    while clock::now().mono.since(begun) < time {
        for one in good {
            played(target, &garbled(&one.bytes, &mut rng), LONG)?;
            times += 1;
        }
    }
    Ok(times)
}

/// What this process holds of the memory (proc_pid_statm(5)).
fn resident_kb() -> u64 {
    let said = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    said.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).map_or(0, |pages| pages * 4)
}

#[test]
fn every_file_is_read_again_and_does_no_harm() {
    for target in TARGETS {
        let good = known(target.name);
        assert!((3..=40).contains(&good.len()), "{}: {} files", target.name, good.len());
        let mut understood = 0;
        for Known { path, bytes } in &good {
            let read = played(&target, bytes, LONG);
            let read = read.unwrap_or_else(|harm| panic!("{}: {harm}", path.display()));
            understood += usize::from(read > 0);
        }
        assert!(understood * 3 > good.len(), "{}: {understood} files say something", target.name);
    }
}

#[test]
fn what_is_nearly_right_does_no_harm_and_leaves_nothing_behind() {
    let number = |name| asked::number(name).unwrap_or_else(|error| panic!("{error}"));
    let fresh = number("SPARELINK_CORPUS_SEED").unwrap_or_else(|| clock::now().mono.as_micros());
    println!("SPARELINK_CORPUS_SEED={fresh}");
    let time = Duration::from_millis(number("SPARELINK_CORPUS_MS").unwrap_or(PLAYED)) / 2;
    for target in TARGETS {
        let good = known(target.name);
        nearly(&target, &good, FIXED, time).unwrap_or_else(|harm| panic!("{harm}"));
        let held = resident_kb();
        nearly(&target, &good, fresh, time).unwrap_or_else(|harm| panic!("seed {fresh}: {harm}"));
        let now = resident_kb();
        assert!(now <= held + GROWTH, "{}: it has {now} kB, and had {held}", target.name);
    }
}

/// What libFuzzer plays is what is played here.
#[test]
fn every_target_has_a_folder_and_a_program() {
    let names: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(names.len(), TARGETS.len());
    let below = |folder: &Path| {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect::<BTreeSet<String>>()
    };
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    assert_eq!(below(&fuzz.join("corpus")), names);
    assert_eq!(below(&fuzz.join("fuzz_targets")), names);
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    for name in &names {
        let program = fs::read_to_string(fuzz.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(program.contains(&format!("\"{name}\"")), "{name}: {program}");
        assert!(manifest.contains(&format!("\nname = \"{name}\"\n")), "{name} is not built");
    }
}

#[test]
fn a_file_of_a_hundred_megabytes_is_refused_in_a_line() {
    let dir = std::env::temp_dir().join(format!("sparelink-corpus-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("small"), "x").unwrap();
    assert_eq!(corpus::read(&dir).unwrap().len(), 1, "control");
    fs::File::create(dir.join("large")).unwrap().set_len(100 << 20).unwrap();
    let said = corpus::read(&dir).unwrap_err();
    assert!(said.ends_with("large: 104857600 bytes are more than 1024 KiB"), "{said}");
    assert_eq!(said.lines().count(), 1);
    fs::File::create(dir.join("large")).unwrap().set_len(MOST_BYTES).unwrap();
    assert!(corpus::read(&dir).is_ok());
    fs::remove_dir_all(&dir).unwrap();
    assert!(corpus::read(&dir).is_err());
}

/// A target that ends with two bytes beside each other that no file has, found from one that is nearly so.
#[test]
fn what_does_harm_is_found() {
    let bad = Target {
        read: |bytes| {
            assert!(!bytes.windows(2).any(|two| two == b"ll" || two == b"oo"), "harm");
            bytes.len()
        },
        ..TARGETS[0]
    };
    let good = [Known { path: PathBuf::from("x"), bytes: b"helo world".to_vec() }];
    assert_eq!(played(&bad, &good[0].bytes, LONG), Ok(10));
    let found = nearly(&bad, &good, FIXED, LONG).unwrap_err();
    assert!(found.starts_with("conntrack: a panic by "), "{found}");
    let slow = Target {
        read: |_| {
            std::thread::sleep(Duration::from_millis(20));
            0
        },
        ..TARGETS[0]
    };
    assert_eq!(played(&slow, b"", LONG), Ok(0));
    assert!(played(&slow, b"", Duration::from_millis(10)).unwrap_err().contains("ms by"));
}
