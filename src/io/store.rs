//! Files that outlive the program: what was learned, by whom what was put first.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::disk;
use crate::engine::state::{Restored, RunState, SavedState};

/// Below the state directory; survives a reboot.
const STATE: &str = "state.json";
/// Below the run directory; survives a restart.
const RUN: &str = "run.json";

/// The format of both files. One that adds to what is kept stays the same format: what is missing has a
/// default, and what is not known is passed over.
const FORMAT: u32 = 1;
/// How a file is written: `{"format":1,"sum":"0a1b2c3d","kept":…}`, in which the checksum is that of the
/// bytes of what is kept.
const BEGIN: &str = "{\"format\":";
const SUM: &str = ",\"sum\":\"";
const KEPT: &str = "\",\"kept\":";
/// No file of ours is larger: fourteen uplinks with a month of silences take 150 kB.
const MOST: u64 = 1 << 20;

/// Why something could not be kept.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}", path.display())]
pub struct Error {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Takes up what earlier runs left. What is missing or unreadable counts as never learned; what is
/// unreadable is set aside, so that it is not lost and not read again.
#[must_use]
pub fn restore(state_dir: &Path, run_dir: &Path) -> Restored {
    Restored { saved: read(&state_dir.join(STATE)), run: read(&run_dir.join(RUN)) }
}

/// Sets aside everything that earlier runs left: the next [`restore`] finds nothing.
pub fn set_all_aside(state_dir: &Path, run_dir: &Path) {
    for path in [state_dir.join(STATE), run_dir.join(RUN)].iter().filter(|path| path.exists()) {
        set_aside(path, "the last start ended in a panic");
    }
}

/// Keeps what was learned.
///
/// # Errors
///
/// When the directory cannot be written.
pub fn save_state(state_dir: &Path, state: &SavedState) -> Result<(), Error> {
    write(&state_dir.join(STATE), state)
}

/// Keeps what people asked for, and the uplinks' numbers.
///
/// # Errors
///
/// When the directory cannot be written.
pub fn save_run(run_dir: &Path, run: &RunState) -> Result<(), Error> {
    write(&run_dir.join(RUN), run)
}

fn read<T: DeserializeOwned + Default>(path: &Path) -> T {
    let text = match disk::read_own(path, MOST) {
        Ok(None) => return T::default(),
        Ok(Some(text)) => Ok(text),
        Err(error) => Err(error.to_string()),
    };
    text.and_then(|text| parse(&text)).unwrap_or_else(|error| {
        set_aside(path, &error);
        T::default()
    })
}

/// Moves a file out of the way, so that it is neither lost nor read again.
fn set_aside(path: &Path, why: &str) {
    tracing::warn!(file = %path.display(), "kept under another name and begun again: {why}");
    if let Err(error) = std::fs::rename(path, path.with_extension("unreadable")) {
        tracing::debug!(%error, "and it could not even be renamed");
    }
}

/// What a file says. One without a format was written before files had one.
fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, String> {
    let unreadable = |error: serde_json::Error| error.to_string();
    let Some(rest) = text.strip_prefix(BEGIN.as_bytes()) else {
        return serde_json::from_slice(text).map_err(unreadable);
    };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (format, rest) = rest.split_at(digits);
    if format != FORMAT.to_string().as_bytes() {
        let format = String::from_utf8_lossy(format);
        return Err(format!("its format is {format:.20}, and this version knows {FORMAT}"));
    }
    let body = rest
        .strip_prefix(SUM.as_bytes())
        .and_then(|rest| rest.split_at_checked(8))
        .and_then(|(sum, rest)| Some((sum, rest.strip_prefix(KEPT.as_bytes())?)))
        .and_then(|(sum, rest)| Some((sum, rest.strip_suffix(b"}")?)))
        .filter(|(sum, body)| *sum == format!("{:08x}", disk::checksum(body)).as_bytes())
        .ok_or("its checksum does not fit")?
        .1;
    serde_json::from_slice(body).map_err(unreadable)
}

fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), Error> {
    let keep = || {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let body = serde_json::to_vec(value)?;
        let mut text =
            format!("{BEGIN}{FORMAT}{SUM}{:08x}{KEPT}", disk::checksum(&body)).into_bytes();
        text.extend_from_slice(&body);
        text.push(b'}');
        disk::replace(path, &text)
    };
    keep().map_err(|source| Error { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::Value;

    use super::*;
    use crate::config;
    use crate::engine::input::Input;
    use crate::engine::{Engine, Mode};
    use crate::time::{Instant, Now, Utc};
    use crate::units::PerFamily;

    #[test]
    fn what_is_unreadable_is_set_aside() {
        let dir = std::env::temp_dir().join(format!("sparelink-store-{}", std::process::id()));
        let (state, run) = (dir.join("state"), dir.join("run"));
        let saved = SavedState { switches: 7, ..SavedState::default() };
        save_state(&state, &saved).unwrap();
        assert_eq!(restore(&state, &run).saved, saved);
        std::fs::write(state.join(STATE), b"{ torn").unwrap();
        assert_eq!(restore(&state, &run).saved, SavedState::default());
        assert!(state.join("state.unreadable").exists());
        std::fs::remove_dir_all(dir).unwrap();
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
