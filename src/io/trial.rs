//! Changes on trial: what stood in the files before is kept until a person has said that the new state may stay.
//!
//! The record lies beside the configuration, so that another process, or a person after a power cut, can take
//! everything back. Whoever takes it away first has decided: a confirmation and the undoing never meet halfway.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::io::disk;

/// The record's name, in the configuration file's directory.
const FILE: &str = "setup-undo.json";
/// The largest record that is read, in bytes: some files of a few kilobytes.
const MOST: u64 = 4 << 20;

/// What was there before.
#[derive(Debug, Serialize, Deserialize)]
pub struct Before {
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

/// Where the record of a configuration file is.
#[must_use]
pub fn record(config_file: &Path) -> PathBuf {
    config_file.with_file_name(FILE)
}

/// Keeps what stands in `files`, and which services ran, before anything is changed.
///
/// # Errors
///
/// When a file cannot be read or the record not be written; nothing has been changed then.
pub fn begin(
    record: &Path,
    files: &[PathBuf],
    running: Vec<String>,
    stopped: Vec<String>,
) -> io::Result<()> {
    let files = files.iter().map(|path| Ok(Kept { path: path.clone(), content: content(path)? }));
    let before = Before { files: files.collect::<io::Result<_>>()?, running, stopped };
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

/// Puts all files back, and tells which services are to be seen to. `None`: nothing is on trial.
///
/// # Errors
///
/// When a file cannot be written; the others are as before, and the record stays.
pub fn undo(record: &Path) -> io::Result<Option<Before>> {
    let taken = record.with_extension("undoing");
    match fs::rename(record, &taken) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    let bytes = disk::read_small(&taken, MOST)?.unwrap_or_default();
    let before: Before = serde_json::from_slice(&bytes).map_err(io::Error::other)?;
    let mut failed = None;
    for kept in &before.files {
        failed = put_back(kept).err().or(failed);
    }
    match failed {
        Some(error) => {
            fs::rename(&taken, record)?;
            Err(error)
        }
        None => {
            disk::remove(&taken)?;
            Ok(Some(before))
        }
    }
}

fn put_back(kept: &Kept) -> io::Result<()> {
    let Some(content) = &kept.content else {
        return disk::remove(&kept.path).map(drop);
    };
    disk::replace(&kept.path, &content.bytes)?;
    fs::set_permissions(&kept.path, fs::Permissions::from_mode(content.mode))?;
    // Only root can give files away; for others they have the owner that they had.
    chown(&kept.path, Some(content.owner.0), Some(content.owner.1)).or_else(|error| {
        if error.kind() == io::ErrorKind::PermissionDenied { Ok(()) } else { Err(error) }
    })
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
        let before = undo(&record).unwrap().unwrap();
        assert_eq!(before.running, ["a"]);
        assert_eq!(fs::read_to_string(&old).unwrap(), "before");
        assert_eq!(fs::metadata(&old).unwrap().mode() & 0o7777, 0o640);
        assert!(!new.exists());
        // Twice is once, and what was undone cannot be kept.
        assert!(undo(&record).unwrap().is_none() && !keep(&record).unwrap());
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
        assert!(undo(&record).unwrap().is_none() && file.exists());
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
        assert!(undo(&record).is_err());
        fs::create_dir_all(dir.join("gone")).unwrap();
        assert!(undo(&record).unwrap().is_some());
        fs::remove_dir_all(&dir).unwrap();
    }
}
