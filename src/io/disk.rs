//! Writing a file so that a power cut leaves the old one or the new one, never half of one.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::Path;

/// Replaces a file: written beside it, flushed, renamed over it, and the directory flushed.
///
/// # Errors
///
/// When the directory cannot be written; the old file stays then.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    flush_directory(path)
}

/// The same for what only its owner may read, at no moment anybody else. The owner is whoever writes
/// it, or this user and group.
///
/// # Errors
///
/// When the directory cannot be written, or the file not be given away; the old file stays then.
pub(crate) fn replace_private(
    path: &Path,
    bytes: &[u8],
    owner: Option<(u32, u32)>,
) -> io::Result<()> {
    let new = path.with_extension("new");
    remove(&new)?;
    let write = || {
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(bytes)?;
        if let Some((user, group)) = owner {
            fchown(&file, Some(user), Some(group))?;
        }
        file.sync_all()?;
        fs::rename(&new, path)
    };
    let written = write();
    if written.is_err() {
        // What is half done is of no use to anybody; why it failed is what counts.
        let _ = fs::remove_file(&new);
    }
    written.and_then(|()| flush_directory(path))
}

/// Removes a file for good; whether there was one.
///
/// # Errors
///
/// When the directory cannot be written.
pub(crate) fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => flush_directory(path).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// What a directory says of this file outlives a power cut.
fn flush_directory(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(here) if here.as_os_str().is_empty() => File::open(".")?.sync_all(),
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

/// Makes a directory that everybody may look into, whatever mask the agent runs under. One that is there
/// stays as it is.
///
/// # Errors
///
/// When it cannot be made.
pub(crate) fn public_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o755))
}

/// Replaces a file in RAM that everybody may read: written beside it and renamed over it, so that a
/// reader sees the old one or the new one. It need not outlive a power cut.
///
/// # Errors
///
/// When the directory cannot be written; the old file stays then.
pub(crate) fn publish(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(bytes)?;
    // Whatever mask the agent runs under: those who read it have other names.
    file.set_permissions(Permissions::from_mode(0o644))?;
    fs::rename(&new, path)
}
