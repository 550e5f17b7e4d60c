//! Writing a file so that a power cut leaves the old one or the new one, never half of one, and reading
//! one back without trusting what stands in its place.

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::unistd::{Uid, geteuid};

use super::faults;

/// Replaces a file: written beside it, flushed, renamed over it, and the directory flushed.
///
/// # Errors
///
/// When the directory cannot be written; the old file stays then.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (new, mut file) = beside(path)?;
    write(&mut file, bytes)?;
    flush(&file)?;
    rename(&new, path)
}

/// The same, where the directory may not be there yet.
///
/// # Errors
///
/// As there.
pub(crate) fn replace_below(path: &Path, bytes: &[u8]) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    replace(path, bytes)
}

/// Writes all of it to a file.
///
/// # Errors
///
/// When the disk is full or broken; a part may be written then.
pub(crate) fn write(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    let lasts = faults::power_lasts(bytes.len());
    file.write_all(bytes.get(..lasts).unwrap_or(bytes))?;
    faults::power()
}

/// Waits until what was written outlives a power cut.
///
/// # Errors
///
/// When the disk is broken; how much of it is there is not known then.
pub(crate) fn flush(file: &File) -> io::Result<()> {
    faults::power()?;
    faults::flush()?;
    file.sync_data()
}

/// Gives a file another name below the same directory, for good.
///
/// # Errors
///
/// When the directory cannot be written.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    faults::power()?;
    fs::rename(from, to)?;
    flush_directory(to)
}

/// A new file beside this one. What stands there is removed, never written through: where `purge` runs as
/// root the directory belongs to the agent's user, who could have put a link there.
fn beside(path: &Path) -> io::Result<(PathBuf, File)> {
    let new = path.with_extension("new");
    remove(&new)?;
    let file = File::options().write(true).create_new(true).open(&new)?;
    Ok((new, file))
}

/// The bytes of a small file; `None` where there is nothing. Waits for nobody: what is no plain file of at
/// most `most` bytes is an error, be it a pipe, a device, a directory or a link to nowhere.
///
/// # Errors
///
/// When there is something that cannot be read.
pub(crate) fn read_small(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    read_with(path, most, OFlag::empty(), None)
}

/// The same for a file that somebody else may have put there: a link is an error.
///
/// # Errors
///
/// As for [`read_small`].
pub(crate) fn read_own(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    read_with(path, most, OFlag::O_NOFOLLOW, None)
}

/// The same for what is acted on with all rights that this process has: a file of another user's is an error.
///
/// # Errors
///
/// As for [`read_small`].
pub(crate) fn read_trusted(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    read_with(path, most, OFlag::O_NOFOLLOW, Some(geteuid()))
}

fn read_with(
    path: &Path,
    most: u64,
    flags: OFlag,
    owner: Option<Uid>,
) -> io::Result<Option<Vec<u8>>> {
    // Without O_NONBLOCK a pipe that nobody writes to would not even open.
    let flags = flags | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = match File::options().read(true).custom_flags(flags.bits()).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::other("it is not a plain file"));
    }
    if owner.is_some_and(|owner| owner.as_raw() != meta.uid()) {
        let text = format!("{} belongs to another user", path.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > most {
        return Err(io::Error::other(format!("it is larger than {most} bytes")));
    }
    Ok(Some(bytes))
}

/// A checksum of bytes (CRC-32 as in IEEE 802.3), for files that only this program writes: it finds what a
/// worn-out card made of them, not what somebody made of them on purpose.
pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    checksum_of(&[bytes])
}

/// The same of several that stand one behind the other.
pub(crate) fn checksum_of(parts: &[&[u8]]) -> u32 {
    !parts.iter().copied().flatten().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 }
        })
    })
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
        faults::flush()?;
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
    faults::power()?;
    match fs::remove_file(path) {
        Ok(()) => flush_directory(path).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// What a directory says of this file outlives a power cut.
///
/// # Errors
///
/// When the directory cannot be read or flushed.
pub(crate) fn flush_directory(path: &Path) -> io::Result<()> {
    faults::power()?;
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
    let (new, mut file) = beside(path)?;
    file.write_all(bytes)?;
    // Whatever mask the agent runs under: those who read it have other names.
    file.set_permissions(Permissions::from_mode(0o644))?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    #[test]
    fn only_a_plain_small_file_is_read_and_nothing_is_waited_for() {
        let dir = std::env::temp_dir().join(format!("sparelink-disk-{}", std::process::id()));
        fs::create_dir_all(dir.join("folder")).unwrap();
        let at = |name: &str| dir.join(name);
        fs::write(at("plain"), "12345").unwrap();
        symlink(at("plain"), at("link")).unwrap();
        symlink(at("loop"), at("loop")).unwrap();
        symlink(at("nothing"), at("dangling")).unwrap();
        mkfifo(&at("pipe"), Mode::from_bits_truncate(0o600)).unwrap();
        assert_eq!(read_small(&at("plain"), 5).unwrap().unwrap(), b"12345");
        assert_eq!(read_small(&at("link"), 5).unwrap().unwrap(), b"12345");
        assert_eq!(read_small(&at("missing"), 5).unwrap(), None);
        assert_eq!(read_small(&at("dangling"), 5).unwrap(), None);
        for bad in ["folder", "loop", "pipe"] {
            assert!(read_small(&at(bad), 5).is_err(), "{bad}");
        }
        assert!(read_small(&at("plain"), 4).is_err(), "it is larger");
        assert!(read_own(&at("link"), 5).is_err(), "a link");
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn what_stands_beside_is_not_written_through() {
        let dir = std::env::temp_dir().join(format!("sparelink-beside-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let (file, victim) = (dir.join("kept.json"), dir.join("victim"));
        for write in [replace, publish] {
            fs::write(&victim, "precious").unwrap();
            symlink(&victim, dir.join("kept.new")).unwrap();
            write(&file, b"kept").unwrap();
            assert_eq!(fs::read(&victim).unwrap(), b"precious");
            assert_eq!(fs::read(&file).unwrap(), b"kept");
        }
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn the_checksum_is_the_one_of_the_books() {
        assert_eq!(checksum(b"123456789"), 0xcbf4_3926);
        assert_eq!(checksum(b""), 0);
    }
}
