//! What LEDs showed before, in the run directory: an agent that is killed does not lose it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::Error;
use crate::io::disk::{self, publish};

const FILE: &str = "leds.json";
/// It is never larger: a few words for each LED of the box.
const MOST: u64 = 64 * 1024;

/// What an LED showed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Before {
    /// What drove it; `None`: the kernel has no triggers.
    pub(super) trigger: Option<String>,
    /// How bright it was.
    pub(super) brightness: String,
}

/// What the LEDs that are ours showed before, by name.
#[derive(Debug)]
pub(super) struct Kept {
    file: PathBuf,
    known: BTreeMap<String, Before>,
}

impl Kept {
    /// What is known; nothing where the file is missing or no good.
    pub(super) fn open(run_dir: &Path) -> Self {
        let file = run_dir.join(FILE);
        // The run directory may be another user's, and `purge` reads it as root.
        let text = disk::read_own(&file, MOST).ok().flatten().unwrap_or_default();
        Self { known: serde_json::from_slice(&text).unwrap_or_default(), file }
    }

    pub(super) fn all(&self) -> BTreeMap<String, Before> {
        self.known.clone()
    }

    pub(super) fn of(&self, name: &str) -> Option<Before> {
        self.known.get(name).cloned()
    }

    /// Remembers what an LED showed. What is remembered already stays: it is the older.
    ///
    /// # Errors
    ///
    /// When it is remembered in RAM only.
    pub(super) fn keep(&mut self, name: &str, before: &Before) -> Result<(), Error> {
        if self.known.contains_key(name) {
            return Ok(());
        }
        self.known.insert(name.to_owned(), before.clone());
        self.write()
    }

    /// Remembers what an LED was made to show since.
    ///
    /// # Errors
    ///
    /// When it is remembered in RAM only.
    pub(super) fn replace(&mut self, name: &str, before: &Before) -> Result<(), Error> {
        self.known.insert(name.to_owned(), before.clone());
        self.write()
    }

    /// Forgets an LED, which shows again what it did.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub(super) fn forget(&mut self, name: &str) -> Result<(), Error> {
        self.known.remove(name);
        self.write()
    }

    fn write(&self) -> Result<(), Error> {
        let done = if self.known.is_empty() {
            std::fs::remove_file(&self.file)
        } else {
            let text = serde_json::to_vec(&self.known).map_err(io::Error::from);
            text.and_then(|text| publish(&self.file, &text))
        };
        match done {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(Error::Keep { file: self.file.clone(), source })
            }
            _ => Ok(()),
        }
    }
}
