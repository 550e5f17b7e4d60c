//! Restarts, reboots, clocks that are set late, and hands that change a byte.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::engine::events::facts::{Event, Fact};
use crate::io::journal::frames;

fn empty(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("sparelink-history-{name}-{}", std::process::id()));
    drop(fs::remove_dir_all(&dir));
    dir
}

fn at(seconds: u64, utc: Option<u64>) -> Now {
    Now { mono: Instant::from_micros(seconds * 1_000_000), utc: utc.map(|s| Utc(s * 1000)) }
}

fn entry(id: u64, boot: &str, now: Now, fact: Fact) -> Entry {
    Entry::new(&Event { id, at: now.mono, utc: now.utc, fact }, boot)
}

fn line(id: u64, boot: &str, now: Now) -> Line {
    let fact = Fact::SpareBack { uplink: format!("mifi{}", id % 3) };
    Line::Happened(Box::new(entry(id, boot, now, fact)))
}

#[test]
fn it_goes_on_over_restarts_and_numbers_only_grow() {
    let dir = empty("restarts");
    let (mut writer, kept) = Writer::open(&dir);
    assert_eq!((kept.entries.len(), kept.last, writer.head()), (0, 0, ""));
    writer.append(&[line(1, "a", at(5, Some(100))), line(2, "a", at(6, Some(101)))]).unwrap();
    let head = writer.head().to_owned();
    let (mut writer, kept) = Writer::open(&dir);
    assert_eq!(writer.head(), head);
    let ids = |kept: &Kept| kept.entries.iter().map(|entry| entry.id).collect::<Vec<_>>();
    assert_eq!((ids(&kept), kept.last), (vec![1, 2], 1002), "it was killed");
    let stopped = entry(1003, "a", at(9, Some(104)), Fact::Stopped);
    writer.append(&[Line::Happened(Box::new(stopped))]).unwrap();
    let (_, kept) = Writer::open(&dir);
    assert_eq!(kept.last, 1003, "it was told to stop, and said so");
    // Very many: the last ones are shown, and the chain goes over files that made room.
    let (mut writer, kept) = Writer::open(&dir);
    for batch in 0..60 {
        let id = kept.last + 1 + batch * 100;
        let lines: Vec<Line> = (id..id + 100).map(|id| line(id, "b", at(id, Some(id)))).collect();
        writer.append(&lines).unwrap();
    }
    let (_, kept) = Writer::open(&dir);
    assert_eq!((kept.entries.len(), kept.last), (SHOWN, 1003 + 6000 + GAP));
    let verified = verify(&dir).unwrap();
    assert_eq!((verified.broken, verified.head.as_str()), (None, writer.head()));
    assert!((2000..6000).contains(&verified.lines), "{}", verified.lines);
    assert_eq!(read(&dir).unwrap().len(), verified.lines);
    let size: u64 = fs::read_dir(&dir).unwrap().map(|f| f.unwrap().metadata().unwrap().len()).sum();
    assert!(size <= 2 * MOST, "{size}");
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn times_of_a_boot_are_mended_after_the_next_one() {
    let dir = empty("clock");
    let (mut writer, _) = Writer::open(&dir);
    let set = at(60, Some(1_700_000_060));
    writer.append(&[line(1, "a", at(9, None)), line(2, "b", at(7, None))]).unwrap();
    writer.append(&[Line::Clock { boot: "b".to_owned(), now: set }, line(3, "b", set)]).unwrap();
    for entries in [read(&dir).unwrap(), Vec::from(Writer::open(&dir).1.entries)] {
        let told: Vec<_> = entries.iter().map(|entry| (entry.at, entry.mended)).collect();
        let mended = Some(Utc(1_700_000_007_000));
        assert_eq!(
            told,
            [(None, false), (mended, true), (set.utc, false)],
            "another boot stays unset"
        );
    }
    assert_eq!(verify(&dir).unwrap().broken, None);
    fs::remove_dir_all(dir).unwrap();
}

/// The records of a file, each with where its bytes begin and end.
fn places(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut end = 0;
    let parts = frames::parts(bytes);
    parts
        .map(|part| {
            let Part::Record(record) = part else { panic!("it is whole") };
            let begin = end;
            end += frames::HEAD + record.len();
            (begin, end)
        })
        .collect()
}

#[test]
fn one_changed_byte_is_named_a_hundred_times_of_a_hundred() {
    let dir = empty("changed");
    let (mut writer, _) = Writer::open(&dir);
    let lines: Vec<Line> = (1..=40).map(|id| line(id, "a", at(id, Some(id)))).collect();
    writer.append(&lines).unwrap();
    let file = dir.join("history.log");
    let whole = fs::read(&file).unwrap();
    let places = places(&whole);
    let named = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        verify(&dir).unwrap().broken
    };
    assert_eq!(named(&whole), None);
    let mut random = 1_u64;
    for _ in 0..100 {
        // Numbers that repeat (Knuth's).
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = usize::try_from(random >> 33).unwrap() % whole.len();
        let mut bytes = whole.clone();
        bytes[at] ^= 1 + u8::try_from((random >> 8) % 255).unwrap();
        let changed = places.iter().position(|(begin, end)| (*begin..*end).contains(&at)).unwrap();
        let broken = named(&bytes).unwrap_or_else(|| panic!("byte {at} went unnoticed"));
        assert_eq!(broken.line, changed + 1, "byte {at}: {broken}");
    }
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_hand_that_knows_how_lines_are_written_is_found_too() {
    let dir = empty("hand");
    let (mut writer, _) = Writer::open(&dir);
    let lines: Vec<Line> = (1..=9).map(|id| line(id, "a", at(id, Some(id)))).collect();
    writer.append(&lines).unwrap();
    let head = writer.head().to_owned();
    let file = dir.join("history.log");
    let whole = fs::read(&file).unwrap();
    let records: Vec<Vec<u8>> = frames::parts(&whole)
        .map(|part| if let Part::Record(record) = part { record.to_vec() } else { Vec::new() })
        .collect();
    let write = |records: &[Vec<u8>]| {
        fs::remove_file(&file).unwrap();
        Journal::open(&dir, NAME, MOST, &mut |_| ()).append(records).unwrap();
        verify(&dir).unwrap()
    };
    for changed in 0..9 {
        let mut records = records.clone();
        let text = String::from_utf8(records[changed].clone()).unwrap();
        records[changed] = text.replace("mifi", "lena").into_bytes();
        let verified = write(&records);
        if changed == 8 {
            assert_eq!(verified.broken, None);
            assert_ne!(verified.head, head, "whoever keeps the head sees it");
            continue;
        }
        let broken = verified.broken.unwrap();
        let id = u64::try_from(changed).unwrap() + 1;
        assert_eq!((broken.line, broken.id, broken.fault), (changed + 1, Some(id), Fault::Changed));
        assert!(broken.to_string().starts_with(&format!("record {id} (event {id}) was changed")));
    }
    // Whoever was told a hash then can tell what is as it was.
    write(&records);
    let early = hash(&records[3]);
    let (verified, place) = verify_head(&dir, &early[..12]).unwrap();
    assert_eq!((verified.broken, place), (None, Some(Place { line: 4, id: Some(4) })));
    let mut changed = records.clone();
    changed[1] =
        String::from_utf8(changed[1].clone()).unwrap().replace("mifi", "lena").into_bytes();
    write(&changed);
    let (verified, place) = verify_head(&dir, &early).unwrap();
    assert_eq!(verified.broken.map(|broken| broken.line), Some(2));
    assert_eq!(place.map(|place| place.line), Some(4), "the line itself is there");
    assert_eq!(verify_head(&dir, "000000000000").unwrap().1, None);
    let mut fewer = records;
    fewer.remove(4);
    let broken = write(&fewer).broken.unwrap();
    assert_eq!(broken.id, Some(4), "what followed it was removed");
    fs::remove_dir_all(dir).unwrap();
}
