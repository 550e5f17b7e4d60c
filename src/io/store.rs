//! Files that outlive the program: what was learned, by whom what was put first.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::disk;
use crate::engine::report::days::Days;
use crate::engine::state::{Restored, RunState, SavedState};

/// Below the state directory; survives a reboot.
const STATE: &str = "state.json";
/// Below the state directory: what each day came to.
const DAYS: &str = "days.json";
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
    Restored {
        saved: read(&state_dir.join(STATE)),
        run: read(&run_dir.join(RUN)),
        ..Restored::default()
    }
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

/// What each day came to, as far as it was kept.
#[must_use]
pub fn read_days(state_dir: &Path) -> Days {
    read(&state_dir.join(DAYS))
}

/// Keeps what each day came to.
///
/// # Errors
///
/// When the directory cannot be written.
pub fn save_days(state_dir: &Path, days: &Days) -> Result<(), Error> {
    write(&state_dir.join(DAYS), days)
}

/// What the state file and the run file would be with these bytes; `None` for one that would be set aside.
#[cfg(feature = "lab")]
#[must_use]
pub fn overhear(state: &[u8], run: &[u8]) -> (Option<SavedState>, Option<RunState>) {
    (parse(state).ok(), parse(run).ok())
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
    use super::*;

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

    #[test]
    fn a_file_has_a_format_and_a_checksum_and_one_of_before_is_read() {
        let text = |n: u64| {
            format!("{{\"lines\":{{}},\"departures\":{{}},\"switches\":{n},\"saved_at\":null}}")
        };
        let dir = std::env::temp_dir().join(format!("sparelink-format-{}", std::process::id()));
        let file = dir.join(STATE);
        let kept = SavedState { switches: 7, ..SavedState::default() };
        save_state(&dir, &kept).unwrap();
        let good = std::fs::read_to_string(&file).unwrap();
        assert!(good.starts_with("{\"format\":1,\"sum\":\"") && good.ends_with("}}"), "{good}");
        assert!(serde_json::from_str::<serde_json::Value>(&good).is_ok());
        let read = |text: &str| parse::<SavedState>(text.as_bytes());
        assert_eq!(read(&good).unwrap(), kept);
        assert_eq!(read(&text(7)).unwrap(), kept, "before there were formats");
        let changed = good.replace("\"switches\":7", "\"switches\":8");
        assert!(read(&changed).unwrap_err().contains("checksum"));
        let newer = good.replace("\"format\":1,", "\"format\":2,");
        assert!(read(&newer).unwrap_err().contains("format is 2, and this version knows 1"));
        for end in 0..good.len() {
            assert!(read(&good[..end]).is_err(), "{end}");
        }
        set_all_aside(&dir, &dir);
        assert_eq!(restore(&dir, &dir), Restored::default());
        assert!(file.with_extension("unreadable").exists());
        std::fs::remove_dir_all(dir).unwrap();
    }
}
