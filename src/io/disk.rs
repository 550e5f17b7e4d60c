//! Writing a file so that a power cut leaves the old one or the new one, never half of one.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
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
    match path.parent() {
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
