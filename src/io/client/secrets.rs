//! Secrets that stand in files: systemd's credentials, or files below the state directory.

use std::path::{Path, PathBuf};

use crate::config::Secret;
use crate::io::disk;

/// No password is longer.
const MOST: u64 = 4096;

/// Reads a secret by the name or path in the configuration. Read anew each time, so that a new one counts
/// at once.
pub(in crate::io) fn read(file: &Path, state_dir: &Path) -> Result<Secret, String> {
    let places =
        places(file, state_dir, std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from));
    for place in &places {
        match disk::read_small(place, MOST) {
            Ok(None) => {}
            Ok(Some(text)) => {
                let text = String::from_utf8_lossy(&text).trim().to_owned();
                if text.is_empty() || text.contains(char::is_control) {
                    return Err(format!("{} has no secret in its first line", place.display()));
                }
                return Ok(text.into());
            }
            Err(error) => return Err(format!("cannot read {}: {error}", place.display())),
        }
    }
    let places: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
    Err(format!("there is no {}", places.join(", nor ")))
}

fn places(file: &Path, state_dir: &Path, credentials: Option<PathBuf>) -> Vec<PathBuf> {
    if file.is_absolute() {
        return vec![file.to_owned()];
    }
    let credential = credentials.map(|dir| dir.join(file));
    credential.into_iter().chain([state_dir.join("secrets").join(file)]).collect()
}
