//! Files that outlive the program: what was learned, by whom what was put first.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::disk::replace;
use crate::engine::state::{Restored, RunState, SavedState};

/// Below the state directory; survives a reboot.
const STATE: &str = "state.json";
/// Below the run directory; survives a restart.
const RUN: &str = "run.json";

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
    let Ok(bytes) = std::fs::read(path) else {
        return T::default();
    };
    serde_json::from_slice(&bytes).unwrap_or_else(|error| {
        let aside = path.with_extension("unreadable");
        tracing::warn!(%error, file = %path.display(), "unreadable; set aside and begun anew");
        if let Err(error) = std::fs::rename(path, aside) {
            tracing::debug!(%error, "and it could not even be renamed");
        }
        T::default()
    })
}

fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), Error> {
    let keep = || {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        replace(path, &serde_json::to_vec(value)?)
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
}
