//! Changes on trial: what stood in the files before is kept until a person has said that the new state may stay.
//!
//! The record lies beside the configuration, so that another process, or a person after a power cut, can take
//! everything back. Whoever takes it away first has decided: a confirmation and the undoing never meet halfway.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};

use crate::io::{clock, disk};

/// The record's name, in the configuration file's directory.
const FILE: &str = "setup-undo.json";
/// The largest record that is read, in bytes: some files of a few kilobytes.
const MOST: u64 = 4 << 20;

/// What was there before.
#[derive(Debug, Serialize, Deserialize)]
pub struct Before {
    /// When it began, in microseconds of the monotonic clock. After a boot that is ahead, and the trial is over.
    begun: u64,
    files: Vec<Kept>,
    /// Services that ran, and are to run again with the old files.
    pub running: Vec<String>,
    /// Services that did not run, and are to be stopped.
    pub stopped: Vec<String>,
}

/// A file as it was.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    path: PathBuf,
    /// `None`: there was none.
    content: Option<Content>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Content {
    bytes: Vec<u8>,
    mode: u32,
    owner: (u32, u32),
}

/// Whether something is on trial, or half undone.
#[must_use]
pub fn is_on(record: &Path) -> bool {
    record.exists() || undoing(record).exists()
}

/// Where the record is while it is undone.
fn undoing(record: &Path) -> PathBuf {
    record.with_extension("undoing")
}

/// Where the record of a configuration file is.
#[must_use]
pub fn record(config_file: &Path) -> PathBuf {
    config_file.with_file_name(FILE)
}

/// Keeps what stands in `files`, and which services ran, before anything is changed.
///
/// # Errors
///
/// When a file cannot be read or the record not be written, or something is on trial already, whose record knows what
/// was before all; nothing has been changed then.
pub fn begin(
    record: &Path,
    files: &[PathBuf],
    running: Vec<String>,
    stopped: Vec<String>,
) -> io::Result<()> {
    if is_on(record) {
        let text = "something is on trial already: sparelink setup --keep, or --undo";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    let begun = clock::now().mono.as_micros();
    let files = files.iter().map(|path| Ok(Kept { path: path.clone(), content: content(path)? }));
    let before = Before { begun, files: files.collect::<io::Result<_>>()?, running, stopped };
    let bytes = serde_json::to_vec(&before).map_err(io::Error::other)?;
    disk::replace_private(record, &bytes, None)
}

fn content(path: &Path) -> io::Result<Option<Content>> {
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let (mode, owner) = (meta.mode() & 0o7777, (meta.uid(), meta.gid()));
    Ok(Some(Content { bytes: fs::read(path)?, mode, owner }))
}

/// The new state stays. `false`: it was undone already, or there is none.
///
/// # Errors
///
/// When the record cannot be removed.
pub fn keep(record: &Path) -> io::Result<bool> {
    disk::remove(record)
}

/// Nothing is left to be undone: the services are as before, too.
///
/// # Errors
///
/// When the record cannot be removed.
pub fn done(record: &Path) -> io::Result<()> {
    disk::remove(&undoing(record)).map(drop)
}

/// Puts all files back, and tells which services are to be seen to. `None`: nothing is on trial, or nothing for so
/// long as `for_at_least`: what was kept in time may have a successor.
///
/// # Errors
///
/// When a file cannot be written; the others are as before. Until [`done`] it can be repeated.
pub fn undo(record: &Path, for_at_least: Duration) -> io::Result<Option<Before>> {
    let taken = undoing(record);
    if record.exists() {
        if age(record)?.is_some_and(|age| age < for_at_least) {
            return Ok(None);
        }
        match fs::rename(record, &taken) {
            Ok(()) => {}
            // Somebody said keep, or undoes it, at this very moment.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    if !taken.exists() {
        return Ok(None);
    }
    let before = read(&taken)?;
    let mut failed = None;
    for kept in &before.files {
        failed = put_back(kept).err().or(failed);
    }
    failed.map_or(Ok(Some(before)), Err)
}

fn read(path: &Path) -> io::Result<Before> {
    let bytes = disk::read_small(path, MOST)?.unwrap_or_default();
    serde_json::from_slice(&bytes).map_err(io::Error::other)
}

/// How long something has been on trial; `None`: since before this boot.
fn age(record: &Path) -> io::Result<Option<Duration>> {
    let now = clock::now().mono.as_micros();
    Ok(now.checked_sub(read(record)?.begun).map(Duration::from_micros))
}

fn put_back(kept: &Kept) -> io::Result<()> {
    let Some(content) = &kept.content else {
        return disk::remove(&kept.path).map(drop);
    };
    // Readable for nobody else at any moment; only root can give files away.
    let owner = geteuid().is_root().then_some(content.owner);
    disk::replace_private(&kept.path, &content.bytes, owner)?;
    fs::set_permissions(&kept.path, fs::Permissions::from_mode(content.mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> PathBuf {
        let dir =
            std::env::temp_dir().join(format!("sparelink-trial-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    #[test]
    fn what_is_not_kept_is_as_before() {
        let dir = place("undo");
        let (old, new) = (dir.join("old"), dir.join("new"));
        fs::write(&old, "before").unwrap();
        fs::set_permissions(&old, fs::Permissions::from_mode(0o640)).unwrap();
        let record = record(&dir.join("sparelink.toml"));
        begin(&record, &[old.clone(), new.clone()], vec!["a".to_owned()], Vec::new()).unwrap();
        fs::write(&old, "after").unwrap();
        fs::write(&new, "after").unwrap();
        // Another one would take what is on trial for what was before.
        let twice = begin(&record, std::slice::from_ref(&old), Vec::new(), Vec::new()).unwrap_err();
        assert_eq!(twice.kind(), io::ErrorKind::AlreadyExists);
        // Who was to undo an earlier one comes too early for this one.
        assert!(undo(&record, Duration::from_secs(60)).unwrap().is_none());
        let before = undo(&record, Duration::ZERO).unwrap().unwrap();
        assert_eq!(before.running, ["a"]);
        assert_eq!(fs::read_to_string(&old).unwrap(), "before");
        assert_eq!(fs::metadata(&old).unwrap().mode() & 0o7777, 0o640);
        assert!(!new.exists());
        // As often as it takes, until the services are seen to; what was undone cannot be kept.
        assert!(undo(&record, Duration::ZERO).unwrap().is_some());
        done(&record).unwrap();
        assert!(undo(&record, Duration::ZERO).unwrap().is_none() && !keep(&record).unwrap());
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn what_is_kept_is_not_undone() {
        let dir = place("keep");
        let record = record(&dir.join("sparelink.toml"));
        let file = dir.join("file");
        begin(&record, std::slice::from_ref(&file), Vec::new(), Vec::new()).unwrap();
        fs::write(&file, "after").unwrap();
        assert!(keep(&record).unwrap());
        assert!(undo(&record, Duration::ZERO).unwrap().is_none() && file.exists());
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_put_back_is_told_and_the_record_stays() {
        let dir = place("stuck");
        let record = record(&dir.join("sparelink.toml"));
        let file = dir.join("gone/file");
        fs::create_dir_all(dir.join("gone")).unwrap();
        fs::write(&file, "before").unwrap();
        begin(&record, &[file], Vec::new(), Vec::new()).unwrap();
        fs::remove_dir_all(dir.join("gone")).unwrap();
        assert!(undo(&record, Duration::ZERO).is_err());
        fs::create_dir_all(dir.join("gone")).unwrap();
        assert!(undo(&record, Duration::ZERO).unwrap().is_some());
        fs::remove_dir_all(&dir).unwrap();
    }
}
