//! Power cuts at every step of what the queue writes, and a disk that is full.

use std::path::PathBuf;

use super::super::super::faults::cut;
use super::*;
use crate::engine::notify::alarm::{By, Seen};
use crate::time::Instant;

/// So small that the file is written anew now and then.
const ROOM: u64 = 6 * 1024;
const BOOT: &str = "0badcafe";

fn empty(name: &str) -> PathBuf {
    let own = format!("sparelink-outbox-{name}-{}", std::process::id());
    let dir = std::env::temp_dir().join(own);
    drop(std::fs::remove_dir_all(&dir));
    dir
}

fn open(dir: &Path) -> Outbox {
    Outbox::of(dir, BOOT.to_owned(), ROOM)
}

fn message(number: usize) -> Kept {
    Kept {
        id: format!("{BOOT}-{number}"),
        story: format!("{BOOT}-{number}"),
        event: "switched".to_owned(),
        severity: Severity::Critical,
        title: format!("On mifi for the {number}. time"),
        text: "It is so. ".repeat(number % 5 + 1),
        next: String::new(),
        at: None,
        uplink: None,
        digest: false,
        to: ["ntfy".to_owned(), "webhook".to_owned()].into(),
        ack: None,
        reply: None,
        withheld: 0,
    }
}

fn raised(number: usize, seen: Option<Seen>) -> Raised {
    let mut alarm = Alarm::new(message(number).story, Instant::ZERO);
    alarm.seen = seen;
    let token = format!("{number:032}");
    Raised { alarm, token, message: message(number), asks: BTreeMap::new() }
}

/// The steps of a story: told, raised, delivered to one, seen, told to the next, delivered to the other.
fn step(outbox: &mut Outbox, n: usize) -> io::Result<()> {
    let number = n / 6;
    match n % 6 {
        0 => outbox.told(Known::default(), vec![message(number)]),
        1 => outbox.raise(raised(number, None)),
        2 => {
            outbox.done("ntfy", &message(number).id, (Ending::Delivered, Some(Utc(number as u64))))
        }
        3 => outbox.raise(raised(number, Some(Seen { by: By::Page, at: None }))),
        4 => outbox.also(Kept { to: ["gotify".to_owned()].into(), ..message(number) }),
        // What the second channel waits for stays a while longer.
        _ => match number.checked_sub(3) {
            Some(old) => outbox
                .done("webhook", &message(old).id, (Ending::Delivered, Some(Utc(number as u64))))
                .and_then(|()| {
                    outbox.done(
                        "gotify",
                        &message(old).id,
                        (Ending::Delivered, Some(Utc(number as u64))),
                    )
                }),
            None => Ok(()),
        },
    }
}

/// What waits for whom, and what is seen.
type State = (Vec<(String, BTreeSet<String>)>, Vec<(String, bool)>);

fn state(outbox: &Outbox) -> State {
    let waiting =
        outbox.messages.iter().filter(|m| !m.to.is_empty()).map(|m| (m.id.clone(), m.to.clone()));
    let seen = outbox.raised.iter().map(|one| (one.token.clone(), one.alarm.seen.is_some()));
    (waiting.collect(), seen.collect())
}

#[test]
fn power_cuts_at_every_write_lose_at_most_the_last_record() {
    // What is right after each step, as it is in memory.
    let dir = empty("power");
    let mut outbox = open(&dir);
    let mut right = vec![state(&outbox)];
    let mut steps = 0;
    while right.len() <= 300 {
        step(&mut outbox, right.len() - 1).unwrap();
        right.push(state(&outbox));
    }
    assert_eq!(state(&open(&dir)), right[300], "control: without a cut all of it is there");
    let (mut clean, mut cuts) = (0, 0);
    while clean < 500 {
        drop(std::fs::remove_dir_all(&dir));
        cut::after(Some(steps));
        steps += 1;
        let mut outbox = open(&dir);
        let done = (0..300).take_while(|n| step(&mut outbox, *n).is_ok()).count();
        cut::after(None);
        cuts += usize::from(done < 300);
        let found = state(&open(&dir));
        // The fifth step of a story is two records.
        let fits = right[done..(done + 2).min(right.len())].contains(&found) || done % 6 == 5;
        assert!(fits, "{steps}: after {done} steps {found:?}\nand not {:?}", right[done]);
        assert!(!dir.join("messages.damaged").exists(), "{steps}");
        clean += 1;
    }
    assert!(cuts >= 400, "the power goes in the middle: {cuts}");
    drop(std::fs::remove_dir_all(dir));
}

#[test]
fn what_a_full_disk_did_not_take_is_there_when_it_does() {
    let dir = empty("full");
    let mut outbox = open(&dir);
    step(&mut outbox, 0).unwrap();
    cut::after(Some(0));
    for n in 1..40 {
        assert!(step(&mut outbox, n).is_err() || n % 6 == 5, "{n}");
    }
    assert!(outbox.is_behind());
    cut::after(None);
    let kept = state(&open(&dir));
    assert_eq!(kept.0.len(), 1, "control: only the first is on disk");
    outbox.write_all().unwrap();
    assert!(!outbox.is_behind());
    assert_eq!(state(&open(&dir)), state(&outbox));
    drop(std::fs::remove_dir_all(dir));
}

#[test]
fn what_was_critical_before_a_reboot_is_over() {
    let dir = empty("reboot");
    let mut outbox = open(&dir);
    step(&mut outbox, 0).unwrap();
    step(&mut outbox, 1).unwrap();
    assert!(open(&dir).raised[0].alarm.is_open(), "control: not by a restart");
    assert!(!Outbox::of(&dir, "another".to_owned(), ROOM).raised[0].alarm.is_open());
    drop(std::fs::remove_dir_all(dir));
}
