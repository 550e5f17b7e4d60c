//! Records that are added one after the other and outlive a power cut: what happened, messages that wait.
//!
//! A journal `x` is two files below its directory, each a row of frames (`frames`): `x.log`, to which is added, and
//! `x.old`. When the first is full it becomes the second, and what was the second is no more. What a power cut leaves
//! of a record that was being written is dropped; what something else has damaged is set aside as `x.damaged`,
//! and the records before and behind it stay. One thread writes; others may [`read`] meanwhile.
//!
//! Where a record of no bytes stands at the beginning of `x.log`, `x.old` is void: so all of a journal is
//! replaced in one step.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use super::{disk, faults};
use frames::{Part, parts};

pub(crate) mod frames;

/// What is told of each record as it is read, oldest first.
pub(crate) type Each<'a> = &'a mut dyn FnMut(&[u8]);

/// The one that writes a journal.
#[derive(Debug)]
pub(crate) struct Journal {
    files: Files,
    /// When `x.log` is full, in bytes.
    most: u64,
    /// Bytes of `x.log` that are known to be on disk. What is behind them is of a write that failed.
    size: u64,
}

#[derive(Debug)]
struct Files {
    log: PathBuf,
    old: PathBuf,
    damaged: PathBuf,
}

impl Files {
    fn new(dir: &Path, name: &str) -> Self {
        let file = |end: &str| dir.join(format!("{name}.{end}"));
        Self { log: file("log"), old: file("old"), damaged: file("damaged") }
    }
}

impl Journal {
    /// Takes up what is there, which may be anything, and tells each record of it. Nothing is written but to repair;
    /// where that is not possible the next write will say so.
    pub(crate) fn open(dir: &Path, name: &str, most: u64, each: Each<'_>) -> Self {
        let files = Files::new(dir, name);
        // What is void is not worth a look.
        let log = files.bytes(&files.log, most);
        if !begins_all(&log) {
            let old = files.bytes(&files.old, most);
            files.take_up(&files.old, &old, each);
        }
        let size = files.take_up(&files.log, &log, each);
        Self { files, most, size }
    }

    /// Adds records, all of them or none, and waits until they outlive a power cut. In a power cut meanwhile the first
    /// few may be kept and the others lost.
    ///
    /// # Errors
    ///
    /// When the disk is full or broken, a record is empty or larger than [`frames::LARGEST`], or all of them are larger
    /// than a file may be. Nothing is added then; the same may be tried again later.
    pub(crate) fn append(&mut self, records: &[Vec<u8>]) -> io::Result<()> {
        let bytes = framed(records)?;
        let added = bytes.len() as u64;
        if added > self.most {
            let what = format!("{added} bytes at once are more than a file may have");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        if self.size > 0 && self.size + added > self.most {
            disk::rename(&self.files.log, &self.files.old)?;
            self.size = 0;
        }
        let mut file = self.files.to_write()?;
        let there = file.metadata()?.len();
        if there < self.size {
            // Somebody removed it.
            self.size = there;
        } else if there > self.size {
            faults::power()?;
            file.set_len(self.size)?;
        }
        let written = disk::write(&mut file, &bytes).and_then(|()| disk::flush(&file));
        match written {
            Ok(()) => self.size += added,
            // What is half done is taken back, so that nobody reads it; if not now, before the next write.
            Err(_) => drop(faults::power().and_then(|()| file.set_len(self.size))),
        }
        written
    }

    /// Replaces all records by these, in one step: a power cut leaves the old ones or the new ones.
    ///
    /// # Errors
    ///
    /// As for [`Self::append`].
    pub(crate) fn replace(&mut self, records: &[Vec<u8>]) -> io::Result<()> {
        let mut bytes = Vec::new();
        frames::put(&mut bytes, &[])?;
        bytes.extend_from_slice(&framed(records)?);
        self.files.make_directory()?;
        disk::replace(&self.files.log, &bytes)?;
        self.size = bytes.len() as u64;
        disk::remove(&self.files.old).map(drop)
    }

    /// Bytes that can be added before the oldest records go, [`Self::replace`] being for those that must not.
    pub(crate) const fn room(&self) -> u64 {
        self.most.saturating_sub(self.size)
    }
}

/// Reads a journal that another program may be writing, and changes nothing. A record that is being written may
/// look like a damage.
///
/// # Errors
///
/// When there is a file that cannot be read.
pub(crate) fn read(
    dir: &Path,
    name: &str,
    most: u64,
    each: &mut dyn FnMut(Part<'_>),
) -> io::Result<()> {
    let files = Files::new(dir, name);
    let (mut log, mut old);
    loop {
        let before = files.number_of_log();
        log = disk::read_own(&files.log, largest(most))?.unwrap_or_default();
        old = disk::read_own(&files.old, largest(most))?.unwrap_or_default();
        // The one may have become the other meanwhile.
        if before == files.number_of_log() {
            break;
        }
    }
    if begins_all(&log) {
        old.clear();
    }
    let all = parts(&old).chain(parts(&log));
    all.filter(|part| *part != Part::Record(&[])).for_each(each);
    Ok(())
}

impl Files {
    /// The bytes of a file. What cannot be read is moved out of the way.
    fn bytes(&self, path: &Path, most: u64) -> Vec<u8> {
        match disk::read_own(path, largest(most)) {
            Ok(bytes) => bytes.unwrap_or_default(),
            Err(error) => {
                tracing::warn!(file = %path.display(), "set aside, and begun again: {error}");
                if let Err(error) = fs::rename(path, &self.damaged) {
                    tracing::debug!(%error, "and it could not even be renamed");
                }
                Vec::new()
            }
        }
    }

    /// Tells the records of a file and repairs it; how large it is then.
    fn take_up(&self, path: &Path, bytes: &[u8], each: Each<'_>) -> u64 {
        let (mut good, mut damage, mut torn) = (0, Vec::new(), false);
        for part in parts(bytes) {
            match part {
                Part::Record(record) => {
                    good += frames::HEAD + record.len();
                    if !record.is_empty() {
                        each(record);
                    }
                }
                Part::Damage(bad) => {
                    torn = good + bad.len() == bytes.len() && frames::is_torn(bad);
                    if !torn {
                        damage.extend_from_slice(bad);
                    }
                }
            }
        }
        if damage.is_empty() && !torn {
            return bytes.len() as u64;
        }
        match self.repair(path, bytes, &damage, good) {
            Ok(()) => good as u64,
            // What is behind a damage is found all the same.
            Err(error) => {
                tracing::debug!(file = %path.display(), %error, "it stays damaged");
                bytes.len() as u64
            }
        }
    }

    fn repair(&self, path: &Path, bytes: &[u8], damage: &[u8], good: usize) -> io::Result<()> {
        if damage.is_empty() {
            faults::power()?;
            let file = File::options().write(true).custom_flags(NO_LINK).open(path)?;
            file.set_len(good as u64)?;
            return disk::flush(&file);
        }
        let (file, aside) = (path.display(), self.damaged.display());
        tracing::warn!(%file, "{} damaged bytes are set aside in {aside}", damage.len());
        disk::replace(&self.damaged, damage)?;
        let mut rest = Vec::with_capacity(good);
        for part in parts(bytes) {
            if let Part::Record(record) = part {
                frames::put(&mut rest, record)?;
            }
        }
        disk::replace(path, &rest)
    }

    /// The file to which is added.
    fn to_write(&self) -> io::Result<File> {
        let open = |new| {
            let mut options = File::options();
            options.append(true).create_new(new).custom_flags(NO_LINK).open(&self.log)
        };
        match open(false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_directory()?;
                faults::power()?;
                let file = open(true)?;
                disk::flush_directory(&self.log)?;
                Ok(file)
            }
            other => other,
        }
    }

    fn make_directory(&self) -> io::Result<()> {
        self.log.parent().map_or(Ok(()), fs::create_dir_all)
    }

    /// Which file `x.log` is.
    fn number_of_log(&self) -> Option<u64> {
        fs::symlink_metadata(&self.log).ok().map(|meta| meta.ino())
    }
}

/// The directory belongs to the agent's user, and `root` may run the agent.
const NO_LINK: i32 = OFlag::O_NOFOLLOW.bits();

/// The largest file that is one of ours, in bytes: one with a damage that could not be repaired is larger than
/// one that is full.
const fn largest(most: u64) -> u64 {
    most.saturating_mul(2)
}

/// Whether nothing before these bytes counts.
fn begins_all(log: &[u8]) -> bool {
    parts(log).next() == Some(Part::Record(&[]))
}

fn framed(records: &[Vec<u8>]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for record in records {
        if record.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a record is empty"));
        }
        frames::put(&mut bytes, record)?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
