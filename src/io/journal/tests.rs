//! Power cuts at every step, files cut at every byte, and damages anywhere.

use proptest::prelude::*;

use super::super::faults::cut;
use super::*;

/// So small that a file is full now and then.
const MOST: u64 = 400;

fn empty(name: &str) -> PathBuf {
    let own = format!("sparelink-journal-{name}-{}", std::process::id());
    let dir = std::env::temp_dir().join(own);
    drop(fs::remove_dir_all(&dir));
    dir
}

fn open(dir: &Path) -> (Journal, Vec<u32>) {
    let mut numbers = Vec::new();
    let journal = Journal::open(dir, "x", MOST, &mut |record| numbers.push(number(record)));
    (journal, numbers)
}

/// Records are numbers, each written out often enough to be of another length than its neighbours.
fn record(number: u32) -> Vec<u8> {
    let text = number.to_string();
    text.repeat(usize::try_from(number % 7).unwrap() + 1).replace(&text, &format!("{text} ")).into()
}

fn number(record: &[u8]) -> u32 {
    let text = std::str::from_utf8(record).unwrap();
    let mut words = text.split_whitespace().map(|word| word.parse::<u32>().unwrap());
    let first = words.next().unwrap();
    assert!(words.all(|word| word == first), "{text}");
    first
}

/// Adds records in batches until the power goes; how many are acknowledged.
fn write_until_dark(journal: &mut Journal, from: u32, to: u32) -> u32 {
    let mut next = from;
    while next < to {
        let batch: Vec<u32> = (next..to.min(next + 1 + next % 3)).collect();
        let bytes: Vec<Vec<u8>> = batch.iter().copied().map(record).collect();
        if journal.append(&bytes).is_err() {
            break;
        }
        next += u32::try_from(batch.len()).unwrap();
    }
    next
}

/// The last numbers before `end`, without a gap.
fn is_row(numbers: &[u32], end: u32) -> bool {
    numbers.last().is_none_or(|last| last + 1 == end)
        && numbers.windows(2).all(|w| w[0] + 1 == w[1])
}

#[test]
fn power_cuts_at_every_step_cost_at_most_what_was_being_written() {
    let dir = empty("power");
    let mut clean = 0;
    for steps in 0..520 {
        drop(fs::remove_dir_all(&dir));
        cut::after(Some(steps));
        let (mut journal, _) = open(&dir);
        let safe = write_until_dark(&mut journal, 0, 400);
        assert!(safe < 400, "the power goes in every case");
        // What is done after the end of power does nothing.
        assert!(journal.append(&[record(safe)]).is_err());
        cut::after(None);
        let (mut journal, numbers) = open(&dir);
        let kept = numbers.last().map_or(0, |last| last + 1);
        assert!((safe..safe + 3).contains(&kept), "{steps}: {safe} were safe, {numbers:?}");
        assert!(is_row(&numbers, kept), "{steps}: {numbers:?}");
        assert!(numbers.len() >= usize::try_from(kept.min(12)).unwrap(), "{steps}: {numbers:?}");
        assert!(!dir.join("x.damaged").exists(), "{steps}: what is torn is no damage");
        // It goes on, and a second cut in the middle of a repair does no harm either.
        journal.append(&[record(kept)]).unwrap();
        let (_, numbers) = open(&dir);
        assert!(is_row(&numbers, kept + 1), "{steps}: {numbers:?}");
        clean += 1;
    }
    assert!(clean >= 500);
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_replacement_is_all_or_nothing() {
    let dir = empty("replace");
    let mut seen = [0, 0];
    for steps in 0..24 {
        drop(fs::remove_dir_all(&dir));
        let (mut journal, _) = open(&dir);
        assert_eq!(write_until_dark(&mut journal, 0, 60), 60);
        let before = open(&dir).1;
        cut::after(Some(steps));
        let done = journal.replace(&[record(7), record(8)]).is_ok();
        cut::after(None);
        let (mut journal, numbers) = open(&dir);
        assert!(numbers == before || numbers == [7, 8], "{steps}: {numbers:?}");
        assert!(!done || numbers == [7, 8], "{steps}");
        seen[usize::from(numbers == [7, 8])] += 1;
        let end = numbers.last().unwrap() + 1;
        write_until_dark(&mut journal, end, end + 40);
        assert!(is_row(&open(&dir).1, end + 40));
    }
    assert!(seen[0] > 3 && seen[1] > 3, "{seen:?}");
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_file_that_ends_at_any_byte_loses_one_record() {
    let dir = empty("bytes");
    let (mut journal, _) = open(&dir);
    write_until_dark(&mut journal, 0, 30);
    let log = fs::read(dir.join("x.log")).unwrap();
    let old = fs::read(dir.join("x.old")).unwrap();
    let all = open(&dir).1;
    for end in 0..=log.len() {
        // A file system may have made it longer before it was written.
        for zeros in [0, 40] {
            let mut bytes = log[..end].to_vec();
            bytes.resize(end + zeros, 0);
            fs::write(dir.join("x.log"), &bytes).unwrap();
            fs::write(dir.join("x.old"), &old).unwrap();
            let numbers = open(&dir).1;
            let kept = numbers.len();
            assert_eq!(numbers, all[..kept], "{end}");
            let whole = parts(&log[..end]).filter(|part| matches!(part, Part::Record(_))).count();
            let in_old = parts(&old).count();
            assert_eq!(kept, in_old + whole, "{end}");
        }
    }
    assert!(!dir.join("x.damaged").exists());
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_damage_is_set_aside_and_the_rest_stays() {
    let dir = empty("damage");
    let (mut journal, _) = open(&dir);
    write_until_dark(&mut journal, 0, 30);
    let all = open(&dir).1;
    let mut log = fs::read(dir.join("x.log")).unwrap();
    log[30] ^= 4;
    fs::write(dir.join("x.log"), &log).unwrap();
    let mut read_only = 0;
    read(&dir, "x", MOST, &mut |part| read_only += usize::from(matches!(part, Part::Record(_))))
        .unwrap();
    assert_eq!(read_only, all.len() - 1, "a reader skips it");
    assert_eq!(fs::read(dir.join("x.log")).unwrap(), log, "and changes nothing");
    let (mut journal, numbers) = open(&dir);
    assert_eq!(numbers.len(), all.len() - 1);
    assert!(!fs::read(dir.join("x.damaged")).unwrap().is_empty());
    assert_eq!(open(&dir).1, numbers, "once");
    journal.append(&[record(30)]).unwrap();
    // What cannot be read at all is set aside as a whole.
    fs::remove_file(dir.join("x.log")).unwrap();
    fs::create_dir(dir.join("x.log")).unwrap();
    fs::remove_file(dir.join("x.damaged")).unwrap();
    let (mut journal, numbers) = open(&dir);
    assert!(numbers.len() < 30 && dir.join("x.damaged").is_dir());
    journal.append(&[record(31)]).unwrap();
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_write_that_failed_leaves_nothing_behind() {
    let dir = empty("full");
    let (mut journal, _) = open(&dir);
    journal.append(&[record(0)]).unwrap();
    for steps in 0..2 {
        cut::after(Some(steps));
        assert!(journal.append(&[record(1), record(2)]).is_err());
        cut::after(None);
    }
    journal.append(&[record(1)]).unwrap();
    assert_eq!(open(&dir).1, [0, 1]);
    // Somebody removed it under our hands.
    fs::remove_file(dir.join("x.log")).unwrap();
    journal.append(&[record(2)]).unwrap();
    assert_eq!(open(&dir).1, [2]);
    assert!(journal.append(&[Vec::new()]).is_err() && journal.append(&[vec![0; 401]]).is_err());
    assert!(journal.room() < MOST);
    fs::remove_dir_all(dir).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Never panics, and never loses a record that was not touched.
    #[test]
    fn any_bytes_may_stand_there(
        at in 0usize..300, n in 0usize..60, noise in proptest::collection::vec(any::<u8>(), 0..90),
        end in 0usize..2,
    ) {
        let dir = empty("noise");
        let (mut journal, _) = open(&dir);
        write_until_dark(&mut journal, 0, 40);
        let all = open(&dir).1;
        let file = dir.join(["x.log", "x.old"][end]);
        let mut bytes = fs::read(&file).unwrap();
        let at = at.min(bytes.len());
        let n = n.min(bytes.len() - at);
        bytes.splice(at..at + n, noise);
        fs::write(&file, bytes).unwrap();
        let (mut journal, numbers) = open(&dir);
        // A record takes 15 bytes at the least; two that were cut into are lost as well.
        prop_assert!(numbers.len() + n / 15 + 2 >= all.len(), "{numbers:?}");
        prop_assert!(numbers.windows(2).all(|w| w[0] < w[1]));
        journal.append(&[record(40)]).unwrap();
        prop_assert_eq!(open(&dir).1.last().copied(), Some(40));
        fs::remove_dir_all(dir).unwrap();
    }
}
