//! A panic soon after a start makes the next start begin without what was kept: whatever in it brought the
//! agent down would bring it down again, and a box without its agent has nobody who moves the traffic.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::io::clock;

/// The file in the run directory that says so.
const MARK: &str = "panicked-at-start";
/// What was kept has been taken up, and acted on, after this long.
const START: Duration = Duration::from_secs(10);

/// From now on a panic ends the agent, and is remembered if it comes soon.
pub(super) fn watch(run_dir: &Path) {
    let mark = run_dir.join(MARK);
    let begun = clock::now().mono;
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if clock::now().mono.since(begun) < START {
            // There is nobody left to tell that even this failed.
            let _ = fs::write(&mark, "");
        }
        told(panic);
        // A build that unwinds, as OpenWrt's own does, would go on without the task that has panicked.
        std::process::abort();
    }));
}

/// Whether the last start ended in a panic. Asked once: then it is forgotten.
pub(super) fn happened(run_dir: &Path) -> bool {
    fs::remove_file(run_dir.join(MARK)).is_ok()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::config;
    use crate::engine::input::Input;
    use crate::engine::state::Restored;
    use crate::engine::{Engine, Mode};
    use crate::time::{Instant, Now, Utc};
    use crate::units::PerFamily;

    use super::*;

    #[test]
    fn only_a_panic_is_remembered_and_only_once() {
        let dir = std::env::temp_dir().join(format!("sparelink-crash-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        assert!(!happened(&dir));
        fs::write(dir.join(MARK), "").unwrap();
        assert!(happened(&dir) && !happened(&dir));
        fs::remove_dir_all(dir).unwrap();
    }

    /// What an agent of a box with two uplinks leaves behind.
    const KEPT: &str = r#"{
        "saved": {
            "lines": { "cable": {
                "v4": { "age": { "secs": 5000, "nanos": 7 },
                        "silences": [[{ "secs": 300, "nanos": 5 }, { "secs": 0, "nanos": 400000000 }]],
                        "window": { "secs": 0, "nanos": 600000000 } },
                "v6": { "age": { "secs": 1, "nanos": 0 }, "silences": [], "window": null } } },
            "departures": { "cable": [10, 3000] }, "switches": 3, "saved_at": 1700000000000 },
        "run": {
            "numbers": { "cable": 1, "phone": 2 }, "manual": ["phone", 5000000],
            "paused": { "cable": [6000000, "why"] }, "armed": 7000000, "drains": { "phone": 8000000 } }
    }"#;

    /// Every text that differs from this one in one number.
    fn odd(text: &str) -> Vec<String> {
        let is_digit = |byte: u8| byte.is_ascii_digit();
        let bytes = text.as_bytes();
        let begins =
            |at: usize| is_digit(bytes[at]) && matches!(bytes[at - 1], b' ' | b'[' | b':' | b'(');
        let mut all = Vec::new();
        for at in (1..bytes.len()).filter(|at| begins(*at)) {
            let end = (at..bytes.len()).find(|end| !is_digit(bytes[*end])).unwrap();
            for number in ["0", "-1", "9007199254740992", "18446744073709551615", "1e308"] {
                all.push(format!("{}{number}{}", &text[..at], &text[end..]));
            }
        }
        all
    }

    #[test]
    fn every_number_may_be_any_number() {
        let uplinks = "[[uplink]]\nname = \"cable\"\ninterface = \"eth1\"\n\
                       [[uplink]]\nname = \"phone\"\ninterface = \"usb0\"\n";
        let config = config::parse(uplinks, "t").unwrap();
        let texts = odd(KEPT);
        assert!(texts.len() > 80, "{}", texts.len());
        let mut read = 0;
        for text in texts.into_iter().chain([KEPT.to_owned()]) {
            assert!(serde_json::from_str::<Value>(&text).is_ok(), "control: it is JSON: {text}");
            // What the types refuse is set aside by who reads the file.
            let Ok(restored) = serde_json::from_str::<Restored>(&text) else { continue };
            read += 1;
            let mut now =
                Now { mono: Instant::from_micros(1_000_000), utc: Some(Utc(1_700_000_001_000)) };
            let mut engine = Engine::new(config.clone(), Mode::Steer, restored, 0, now);
            let started = Input::Started {
                view: Default::default(),
                adopted: PerFamily::default(),
                spares: PerFamily::default(),
            };
            engine.handle(started, now);
            for _ in 0..40 {
                while engine.poll_output().is_some() {}
                let Some((at, _)) = engine.poll_timeout() else { break };
                now.mono = at.max(now.mono + Duration::from_secs(300));
                engine.handle(Input::Timeout, now);
                drop(engine.snapshot(now));
            }
            engine.handle(Input::Stop, now);
            while engine.poll_output().is_some() {}
        }
        assert!(read > 30, "control: {read} were read");
    }

    #[test]
    fn what_is_as_it_should_be_stays_and_a_number_belongs_to_one() {
        let now = Now { mono: Instant::ZERO, utc: None };
        let kept: Restored = serde_json::from_str(KEPT).unwrap();
        assert_eq!(kept.clone().bounded(now), kept);
        let twice = KEPT.replace("\"phone\": 2", "\"phone\": 1");
        let numbers = serde_json::from_str::<Restored>(&twice).unwrap().bounded(now).run.numbers;
        assert_eq!(numbers.len(), 1);
    }
}
