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

use crate::config;
use crate::io::{clock, disk};

/// The record's name, in the configuration file's directory.
const FILE: &str = "setup-undo.json";
/// The largest record that is read, in bytes: some files of a few kilobytes.
const MOST: u64 = 4 << 20;

/// Who tries something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// `sparelink setup`, which has somebody at hand who undoes it, services and all.
    Setup,
    /// Somebody at this address, on the page. The agent undoes it.
    Page(String),
}

/// What is about to be tried.
#[derive(Debug)]
pub struct Attempt<'a> {
    pub by: By,
    /// Without a confirmation it is undone after so long.
    pub within: Duration,
    pub files: &'a [PathBuf],
    /// What the first file will be. What somebody else writes there meanwhile is theirs, and stays.
    pub becomes: Option<&'a [u8]>,
    /// Services that run, and are to run again with the old files.
    pub running: Vec<String>,
    /// Services that do not run, and are to be stopped.
    pub stopped: Vec<String>,
    /// Whose group may read it, the agent's, and end it by its right to the folder. Nobody but this user may write it: it
    /// says what is to be put where.
    pub group: Option<u32>,
}

/// What was there before.
#[derive(Debug, Serialize, Deserialize)]
pub struct Before {
    by: By,
    /// When it began, in microseconds of the monotonic clock. After a boot that is ahead, and the trial is over.
    begun: u64,
    within: Duration,
    files: Vec<Kept>,
    /// Services that ran, and are to run again with the old files.
    pub running: Vec<String>,
    /// Services that did not run, and are to be stopped.
    pub stopped: Vec<String>,
    /// It began before this boot: no service has seen what was tried.
    #[serde(skip)]
    pub is_of_another_boot: bool,
    /// Somebody else wrote to a file meanwhile, which stays as it is.
    #[serde(skip)]
    pub was_edited: bool,
}

/// A file as it was.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    path: PathBuf,
    /// `None`: there was none.
    content: Option<Content>,
    /// The checksum of what was tried; with another it is somebody else's work.
    becomes: Option<u32>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Content {
    bytes: Vec<u8>,
    mode: u32,
    owner: (u32, u32),
}

/// Something on trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnTrial {
    pub by: By,
    /// Until it is undone; `None`: it began before this boot.
    pub left: Option<Duration>,
}

/// Whether something is on trial, or half undone.
#[must_use]
pub fn is_on(record: &Path) -> bool {
    record.exists() || undoing(record).exists()
}

/// What is on trial.
///
/// # Errors
///
/// When there is a record that cannot be read.
pub fn state(record: &Path) -> io::Result<Option<OnTrial>> {
    let at = if record.exists() { record.to_owned() } else { undoing(record) };
    if !at.exists() {
        return Ok(None);
    }
    let before = read(&at)?;
    let left = age(&before).map(|age| before.within.saturating_sub(age));
    Ok(Some(OnTrial { by: before.by, left }))
}

/// Where the record is while it is undone.
fn undoing(record: &Path) -> PathBuf {
    record.with_extension("undoing")
}

/// Where the record of a configuration file is.
#[must_use]
pub fn record(config_file: &Path) -> PathBuf {
    config::beside(config_file, FILE)
}

/// Keeps what stands in the files, and which services ran, before anything is changed.
///
/// # Errors
///
/// When a file cannot be read or the record not be written, or something is on trial already, whose record knows what
/// was before all; nothing has been changed then.
pub fn begin(record: &Path, attempt: Attempt<'_>) -> io::Result<()> {
    if is_on(record) {
        let text = "something is on trial already: sparelink setup --keep, or --undo";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    was_kept_for(record)?;
    let Attempt { by, within, files, becomes, running, stopped, group } = attempt;
    let mut kept = Vec::new();
    for (at, path) in files.iter().enumerate() {
        let becomes = becomes.filter(|_| at == 0).map(disk::checksum);
        kept.push(Kept { path: path.clone(), content: content(path)?, becomes });
    }
    let before = Before {
        by,
        begun: clock::now().mono.as_micros(),
        within,
        files: kept,
        running,
        stopped,
        is_of_another_boot: false,
        was_edited: false,
    };
    let bytes = serde_json::to_vec(&before).map_err(io::Error::other)?;
    record.parent().map_or(Ok(()), fs::create_dir_all)?;
    let owner = group.map(|group| (geteuid().as_raw(), group));
    disk::replace_private(record, &bytes, owner)?;
    let mode = if group.is_some() { 0o640 } else { 0o600 };
    fs::set_permissions(record, fs::Permissions::from_mode(mode))
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

/// The new state stays, said by somebody who may not see to services: whoever waits to undo it does what is left to
/// do. `false`: it was undone already, or there is none.
///
/// # Errors
///
/// When the directory cannot be written.
#[cfg(feature = "settings")]
pub fn keep_for(record: &Path) -> io::Result<bool> {
    match fs::rename(record, kept_for(record)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether somebody said so; asked once.
///
/// # Errors
///
/// When the directory cannot be written.
pub fn was_kept_for(record: &Path) -> io::Result<bool> {
    disk::remove(&kept_for(record))
}

/// Where the record is once somebody else has kept it.
fn kept_for(record: &Path) -> PathBuf {
    record.with_extension("kept")
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
        if age(&trusted(record)?).is_some_and(|age| age < for_at_least) {
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
    let mut before = trusted(&taken)?;
    before.is_of_another_boot = age(&before).is_none();
    let mut failed = None;
    for kept in &before.files {
        match put_back(kept) {
            Ok(Put::Back) => {}
            Ok(Put::Left) => before.was_edited = true,
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(Some(before)), Err)
}

fn read(path: &Path) -> io::Result<Before> {
    let bytes = disk::read_small(path, MOST)?.unwrap_or_default();
    serde_json::from_slice(&bytes).map_err(io::Error::other)
}

/// The same, to act on it. The agent's user may put files beside the configuration, and root undoes what setup began.
fn trusted(path: &Path) -> io::Result<Before> {
    let bytes = disk::read_trusted(path, MOST)?.unwrap_or_default();
    serde_json::from_slice(&bytes).map_err(io::Error::other)
}

/// How long something has been on trial; `None`: since before this boot.
fn age(before: &Before) -> Option<Duration> {
    clock::now().mono.as_micros().checked_sub(before.begun).map(Duration::from_micros)
}

/// What became of a file that was to be put back.
enum Put {
    Back,
    /// Somebody else wrote to it meanwhile.
    Left,
}

fn put_back(kept: &Kept) -> io::Result<Put> {
    let Some(content) = &kept.content else {
        return disk::remove(&kept.path).map(|_| Put::Back);
    };
    let now = fs::read(&kept.path).ok();
    let is_theirs = |now: Vec<u8>| {
        kept.becomes.is_some_and(|becomes| disk::checksum(&now) != becomes) && now != content.bytes
    };
    if now.is_some_and(is_theirs) {
        return Ok(Put::Left);
    }
    // Readable for nobody else at any moment; only root can give files away.
    let owner = geteuid().is_root().then_some(content.owner);
    disk::replace_private(&kept.path, &content.bytes, owner)?;
    fs::set_permissions(&kept.path, fs::Permissions::from_mode(content.mode))?;
    Ok(Put::Back)
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

    /// By setup, of files that nobody else writes.
    fn attempt(files: &[PathBuf]) -> Attempt<'_> {
        Attempt {
            by: By::Setup,
            within: Duration::from_secs(120),
            files,
            becomes: None,
            running: Vec::new(),
            stopped: Vec::new(),
            group: None,
        }
    }

    #[test]
    fn what_is_not_kept_is_as_before() {
        let dir = place("undo");
        let (old, new) = (dir.join("old"), dir.join("new"));
        fs::write(&old, "before").unwrap();
        fs::set_permissions(&old, fs::Permissions::from_mode(0o640)).unwrap();
        let record = record(&dir.join("sparelink.toml"));
        let files = [old.clone(), new.clone()];
        begin(&record, Attempt { running: vec!["a".to_owned()], ..attempt(&files) }).unwrap();
        let seen = state(&record).unwrap().unwrap();
        assert!(seen.by == By::Setup && seen.left > Some(Duration::from_secs(60)), "{seen:?}");
        fs::write(&old, "after").unwrap();
        fs::write(&new, "after").unwrap();
        // Another one would take what is on trial for what was before.
        let twice = begin(&record, attempt(&files)).unwrap_err();
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
        begin(&record, attempt(std::slice::from_ref(&file))).unwrap();
        fs::write(&file, "after").unwrap();
        assert!(keep(&record).unwrap());
        assert!(undo(&record, Duration::ZERO).unwrap().is_none() && file.exists());
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn what_somebody_else_wrote_meanwhile_stays() {
        let dir = place("theirs");
        let record = record(&dir.join("sparelink.toml"));
        let file = dir.join("file");
        let files = [file.clone()];
        for (meanwhile, edited, left) in
            [("tried", false, "before"), ("theirs", true, "theirs"), ("before", false, "before")]
        {
            fs::write(&file, "before").unwrap();
            let by = By::Page("192.168.1.20".to_owned());
            begin(&record, Attempt { by, becomes: Some(b"tried"), ..attempt(&files) }).unwrap();
            fs::write(&file, meanwhile).unwrap();
            let before = undo(&record, Duration::ZERO).unwrap().unwrap();
            done(&record).unwrap();
            assert_eq!(before.was_edited, edited, "{meanwhile}");
            assert_eq!(fs::read_to_string(&file).unwrap(), left);
        }
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn what_began_before_this_boot_is_over() {
        let dir = place("boot");
        let record = record(&dir.join("sparelink.toml"));
        let files = [dir.join("file")];
        begin(&record, attempt(&files)).unwrap();
        fs::write(&files[0], "after").unwrap();
        // As if the clock had begun anew.
        let mut before = read(&record).unwrap();
        before.begun = u64::MAX / 2;
        fs::write(&record, serde_json::to_vec(&before).unwrap()).unwrap();
        assert_eq!(state(&record).unwrap().unwrap().left, None);
        let before = undo(&record, Duration::from_secs(120)).unwrap().unwrap();
        assert!(before.is_of_another_boot && !files[0].exists());
        fs::remove_dir_all(&dir).unwrap();
    }

    /// A user who may write to the folder could have root put anything anywhere.
    #[test]
    #[expect(clippy::print_stderr, reason = "a test that is skipped says why")]
    fn what_another_user_has_put_there_is_not_acted_on() {
        if !geteuid().is_root() {
            eprintln!("skipped: a file is given to another user (needs root)");
            return;
        }
        let dir = place("another");
        let record = record(&dir.join("sparelink.toml"));
        let file = dir.join("file");
        fs::write(&file, "before").unwrap();
        begin(&record, Attempt { group: Some(12_345), ..attempt(std::slice::from_ref(&file)) })
            .unwrap();
        let meta = fs::metadata(&record).unwrap();
        assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o7777), (0, 12_345, 0o640));
        fs::write(&file, "after").unwrap();
        std::os::unix::fs::chown(&record, Some(12_345), None).unwrap();
        let refused = undo(&record, Duration::ZERO).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied, "{refused}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "after");
        // A link to one of root's leads nowhere either.
        let elsewhere = dir.join("elsewhere");
        fs::rename(&record, &elsewhere).unwrap();
        std::os::unix::fs::chown(&elsewhere, Some(0), None).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &record).unwrap();
        assert!(undo(&record, Duration::ZERO).is_err());
        fs::remove_file(&record).unwrap();
        fs::rename(&elsewhere, &record).unwrap();
        assert!(undo(&record, Duration::ZERO).unwrap().is_some(), "control: it is root's again");
        assert_eq!(fs::read_to_string(&file).unwrap(), "before");
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_put_back_is_told_and_the_record_stays() {
        let dir = place("stuck");
        let record = record(&dir.join("sparelink.toml"));
        let file = dir.join("gone/file");
        fs::create_dir_all(dir.join("gone")).unwrap();
        fs::write(&file, "before").unwrap();
        begin(&record, attempt(&[file])).unwrap();
        fs::remove_dir_all(dir.join("gone")).unwrap();
        assert!(undo(&record, Duration::ZERO).is_err());
        fs::create_dir_all(dir.join("gone")).unwrap();
        assert!(undo(&record, Duration::ZERO).unwrap().is_some());
        fs::remove_dir_all(&dir).unwrap();
    }
}
