//! The file, read and written. What waits for a disk is called from threads that may wait.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::geteuid;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::config::settings::{self, Edited, Line, Unfit, Wanted, difference};
use crate::config::{self, Config};
use crate::io::disk;
use crate::io::trial::{self, Attempt, By, OnTrial};

/// The largest file that is edited, in bytes; the checker takes no larger one.
const MOST: u64 = 1 << 20;
/// Where somebody has to be told of a channel, the file may have a secret in it: nobody else reads it.
const PRIVATE: u32 = 0o640;
/// A channel for messages.
const CHANNEL: &str = "[[notify]]";

/// Where the kernel has a box's LEDs.
const LEDS: &str = "/sys/class/leds";

/// The LEDs that this box has, but for those of keyboards.
pub(super) fn led_names() -> Vec<String> {
    let all = fs::read_dir(LEDS).into_iter().flatten().flatten();
    let names = all.map(|led| led.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with("input")).collect();
    names.sort_unstable();
    names
}

/// What a person asks for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::io::web) struct Asked {
    /// Which file it is about: that of an answer before.
    revision: String,
    settings: Wanted,
    /// Only what would differ is wanted.
    #[serde(default)]
    pub(super) preview: bool,
}

/// Why nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("sparelink runs without a configuration (--auto), so there is nothing to set")]
    NoFile,
    #[error("the file was changed meanwhile; nothing was written")]
    Stale,
    #[error("something is on trial already; confirm or undo that first")]
    OnTrial,
    #[error("nothing is on trial: it was confirmed or undone already")]
    Nothing,
    /// Only root can undo what `sparelink setup` tries.
    #[error("this is a set-up, which only the box itself can undo")]
    OfSetup,
    #[error("{what}")]
    Unfit { what: String, hint: Option<String> },
    /// What the running agent says of the file.
    #[error("the agent did not take it over: {0}")]
    Agent(String),
    #[error("{file} cannot be {verb}: {why}; it is as before")]
    Disk { file: String, verb: &'static str, why: String, denied: bool },
    #[error("the agent is busy; try again")]
    Busy,
}

impl Refused {
    /// What may help.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::Unfit { hint, .. } => hint.clone(),
            Self::NoFile => Some("on the box, type: sudo sparelink setup".to_owned()),
            Self::Stale => Some("look at it again".to_owned()),
            Self::OfSetup => Some(
                "it is undone by itself unless it is confirmed, or by: sparelink setup --undo"
                    .to_owned(),
            ),
            Self::Disk { file, denied: true, .. } => {
                let dir = Path::new(file).parent().unwrap_or(Path::new("/")).display();
                Some(format!("on the box: sudo chgrp sparelink {dir} && sudo chmod g+w {dir}"))
            }
            Self::OnTrial | Self::Nothing | Self::Agent(_) | Self::Disk { .. } | Self::Busy => None,
        }
    }
}

impl From<Unfit> for Refused {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Mistakes(config::Error::Mistakes { mistakes, more, .. }) => {
                let others = mistakes.len() - 1 + more;
                let rest = if others > 0 { format!(" (and {others} more)") } else { String::new() };
                let first = mistakes.into_iter().next();
                let (text, hint) = first.map(|m| (m.text, m.hint)).unwrap_or_default();
                Self::Unfit { what: text + &rest, hint }
            }
            other @ (Unfit::Mistakes(_) | Unfit::Form(_) | Unfit::Elsewhere(_)) => {
                Self::Unfit { what: other.to_string(), hint: None }
            }
        }
    }
}

/// What was read.
pub(super) struct Read {
    text: String,
    pub(super) config: Config,
    /// Differs as soon as a byte does.
    pub(super) revision: String,
}

/// What was tried, or would be.
#[derive(Debug)]
pub(super) struct Tried {
    /// In words; empty: nothing is different.
    pub(super) changes: Vec<String>,
    pub(super) difference: Vec<Line>,
}

/// The configuration file.
#[derive(Clone, Debug)]
pub(super) struct Store {
    file: PathBuf,
}

impl Store {
    pub(super) const fn new(file: PathBuf) -> Self {
        Self { file }
    }

    pub(super) fn name(&self) -> String {
        self.file.display().to_string()
    }

    fn record(&self) -> PathBuf {
        trial::record(&self.file)
    }

    pub(super) fn read(&self) -> Result<Read, Refused> {
        let bytes = disk::read_small(&self.file, MOST);
        let bytes = bytes.map_err(|error| self.broken("read", &error))?.unwrap_or_default();
        let text = String::from_utf8(bytes).unwrap_or_default();
        let config = config::parse(&text, &self.name()).map_err(Unfit::from)?;
        let digest = Sha256::digest(text.as_bytes());
        let revision = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Ok(Read { text, config, revision })
    }

    fn edited(&self, asked: &Asked) -> Result<(Read, Edited), Refused> {
        let read = self.read()?;
        if read.revision != asked.revision {
            return Err(Refused::Stale);
        }
        let edited = settings::edit(&read.text, &asked.settings, &self.name())?;
        Ok((read, edited))
    }

    /// What would differ.
    pub(super) fn preview(&self, asked: &Asked) -> Result<Tried, Refused> {
        let (read, edited) = self.edited(asked)?;
        let difference = difference(&read.text, &edited.text);
        Ok(Tried { changes: edited.changes, difference })
    }

    /// Writes it. Until it is kept, the file as it was can be had again.
    pub(super) fn try_on(&self, asked: &Asked, by: By, within: Duration) -> Result<Tried, Refused> {
        if self.is_on_trial() {
            return Err(Refused::OnTrial);
        }
        let (read, edited) = self.edited(asked)?;
        let difference = difference(&read.text, &edited.text);
        if edited.changes.is_empty() {
            return Ok(Tried { changes: Vec::new(), difference });
        }
        let files = [self.file.clone()];
        let attempt = Attempt {
            by,
            within,
            files: &files,
            becomes: Some(edited.text.as_bytes()),
            running: Vec::new(),
            stopped: Vec::new(),
            group: None,
        };
        let failed = |error| self.broken("written", &error);
        trial::begin(&self.record(), attempt).map_err(failed)?;
        let tells_more = edited.text.contains(CHANNEL) && !read.text.contains(CHANNEL);
        if let Err(error) = self.replace(&edited.text, if tells_more { PRIVATE } else { 0o7777 }) {
            // The file is as it was, so that nothing is on trial.
            drop(trial::keep(&self.record()));
            return Err(failed(error));
        }
        Ok(Tried { changes: edited.changes, difference })
    }

    /// The file with another text, for those who could read it before, but for the bits that `mask` lacks.
    fn replace(&self, text: &str, mask: u32) -> io::Result<()> {
        let was = fs::metadata(&self.file)?;
        let owner = geteuid().is_root().then_some((was.uid(), was.gid()));
        disk::replace_private(&self.file, text.as_bytes(), owner)?;
        fs::set_permissions(&self.file, Permissions::from_mode(was.mode() & 0o7777 & mask))
    }

    /// Whether something is: asked of the directory alone.
    pub(super) fn is_on_trial(&self) -> bool {
        trial::is_on(&self.record())
    }

    /// What is on trial.
    pub(super) fn state(&self) -> Option<OnTrial> {
        trial::state(&self.record()).unwrap_or_default()
    }

    pub(super) fn keep(&self) -> Result<(), Refused> {
        let is_setup = self.state().is_some_and(|state| state.by == By::Setup);
        let keep = if is_setup { trial::keep_for } else { trial::keep };
        let kept = keep(&self.record());
        let kept = kept.map_err(|error| self.broken("confirmed", &error))?;
        if kept { Ok(()) } else { Err(Refused::Nothing) }
    }

    /// Puts the file back; whether somebody edited it meanwhile, so that it stays as it is.
    pub(super) fn undo(&self, after: Duration) -> Result<bool, Refused> {
        if self.state().is_some_and(|state| state.by == By::Setup) {
            return Err(Refused::OfSetup);
        }
        let failed = |error| self.broken("put back", &error);
        let undone = trial::undo(&self.record(), after).map_err(failed)?;
        let before = undone.ok_or(Refused::Nothing)?;
        trial::done(&self.record()).map_err(failed)?;
        Ok(before.was_edited)
    }

    fn broken(&self, verb: &'static str, error: &io::Error) -> Refused {
        let denied = error.kind() == io::ErrorKind::PermissionDenied;
        let known = [
            (io::ErrorKind::PermissionDenied, "the agent may not write beside it"),
            (io::ErrorKind::ReadOnlyFilesystem, "the disk is read-only"),
            (io::ErrorKind::StorageFull, "the disk is full"),
        ];
        let known = known.into_iter().find(|(kind, _)| *kind == error.kind());
        let why = known.map_or_else(|| error.to_string(), |(_, words)| words.to_owned());
        Refused::Disk { file: self.name(), verb, why, denied }
    }
}
