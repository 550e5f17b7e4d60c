//! Values under `/proc/sys`, and the ones that stood there before sparelink came.
//!
//! Like `io::clock` and `io::socket` this is shared ground: the other rooms of `io` may use it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::disk::replace;
use super::faults;
use crate::units::Gather as _;

const ROOT: &str = "/proc/sys";

/// The file in the run directory that remembers the values of before.
const ORIGINALS: &str = "sysctls.json";

/// What can go wrong with a sysctl.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A path that leads out of `/proc/sys`, or nowhere.
    #[error("{0:?} is not the path of a sysctl")]
    Path(String),
    /// The kernel, or this interface, does not have it.
    #[error("there is no sysctl {0}")]
    Missing(String),
    /// `/proc/sys` is mounted read-only, as in most containers.
    #[error("cannot set {0}: /proc/sys is read-only here")]
    ReadOnly(String),
    /// Anything else.
    #[error("cannot access sysctl {path}: {source}")]
    Access {
        /// Path below `/proc/sys`.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The file of original values cannot be read or written.
    #[error("cannot keep the original sysctls in {}: {source}", file.display())]
    Originals {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The value of a sysctl, its parts separated by single blanks (`ping_group_range` has a tab).
///
/// # Errors
///
/// When there is none, or it cannot be read.
pub fn read(path: &str) -> Result<String, Error> {
    let text = fs::read_to_string(full(path)?).map_err(|source| access(path, source))?;
    Ok(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Sets a sysctl.
///
/// # Errors
///
/// When there is none, or it cannot be written.
pub fn write(path: &str, value: &str) -> Result<(), Error> {
    let open = fs::OpenOptions::new().write(true).open(full(path)?);
    // One write: the kernel takes each as a whole value.
    let write = faults::Write::begin(path);
    let written = open.and_then(|mut file| file.write_all(value.as_bytes()));
    write.done();
    written.map_err(|source| access(path, source))
}

/// Lets this process's group send ICMP echoes without CAP_NET_RAW, and remembers what was allowed
/// before. With that capability nothing is changed.
///
/// # Errors
///
/// When the range can be neither read nor written.
pub fn allow_ping(run_dir: &Path) -> Result<(), Error> {
    const RANGE: &str = "net/ipv4/ping_group_range";
    let protocol = Some(socket2::Protocol::ICMPV4);
    if socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::RAW, protocol).is_ok() {
        return Ok(());
    }
    let group = nix::unistd::getegid().as_raw();
    let before = read(RANGE)?;
    let mut bounds = before.split(' ').filter_map(|bound| bound.parse::<u32>().ok());
    let covers =
        matches!((bounds.next(), bounds.next()), (Some(a), Some(b)) if a <= group && group <= b);
    if covers {
        return Ok(());
    }
    let original = std::iter::once((RANGE.to_owned(), before)).gather();
    save_originals(run_dir, &original)?;
    write(RANGE, &format!("{group} {group}"))
}

/// The values of those that can be read.
pub fn read_all<'a>(paths: impl IntoIterator<Item = &'a String>) -> BTreeMap<String, String> {
    paths.into_iter().filter_map(|path| Some((path.clone(), read(path).ok()?))).gather()
}

/// Remembers values of before, for [`restore`]. A value that is remembered already stays: it is
/// the older one.
///
/// # Errors
///
/// When the file cannot be read or written; then nothing should be changed.
pub fn save_originals(run_dir: &Path, values: &BTreeMap<String, String>) -> Result<(), Error> {
    let file = run_dir.join(ORIGINALS);
    let mut known = originals(&file)?;
    let before = known.len();
    for (path, value) in values {
        known.entry(path.clone()).or_insert_with(|| value.clone());
    }
    if known.len() == before {
        return Ok(());
    }
    let failed = |source| Error::Originals { file: file.clone(), source };
    let text = serde_json::to_vec_pretty(&known).map_err(|e| failed(e.into()))?;
    replace(&file, &text).map_err(failed)
}

/// The values that the kernel changes along with one, as they are now. Whoever switches forwarding
/// for all switches it for every device, and `accept_redirects` with it (inet_forward_change and
/// addrconf_fixup_forwarding in the kernel).
#[must_use]
pub fn followers(path: &str) -> BTreeMap<String, String> {
    let (family, also) = match path {
        "net/ipv4/ip_forward" => ("ipv4", Some("net/ipv4/conf/all/accept_redirects")),
        "net/ipv6/conf/all/forwarding" => ("ipv6", None),
        _ => return BTreeMap::new(),
    };
    let devices = fs::read_dir(Path::new(ROOT).join(format!("net/{family}/conf")));
    let names = devices.into_iter().flatten().flatten().map(|entry| entry.file_name());
    let of = |name: &str| format!("net/{family}/conf/{name}/forwarding");
    let mut paths: Vec<String> = names.filter_map(|name| Some(of(name.to_str()?))).collect();
    paths.extend(also.map(str::to_owned));
    read_all(&paths)
}

/// Whether a sysctl changes others when it is written; those are put back after it.
fn leads(path: &str) -> bool {
    path == "net/ipv4/ip_forward" || path == "net/ipv6/conf/all/forwarding"
}

/// Puts back every value of before and forgets them; what is gone by now is passed over. Gives the
/// paths that were put back. Doing it twice does nothing.
///
/// # Errors
///
/// The first value that could not be put back; the file stays then.
pub fn restore(run_dir: &Path) -> Result<Vec<String>, Error> {
    let file = run_dir.join(ORIGINALS);
    let mut done = Vec::new();
    let mut failed = None;
    let (first, then): (Vec<_>, Vec<_>) =
        originals(&file)?.into_iter().partition(|(path, _)| leads(path));
    for (path, value) in first.into_iter().chain(then) {
        if read(&path).is_ok_and(|now| now == value) {
            continue;
        }
        match write(&path, &value) {
            Ok(()) => done.push(path),
            Err(Error::Missing(_)) => {}
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    if let Some(error) = failed {
        return Err(error);
    }
    match fs::remove_file(&file) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(Error::Originals { file, source })
        }
        _ => Ok(done),
    }
}

fn originals(file: &Path) -> Result<BTreeMap<String, String>, Error> {
    let failed = |source| Error::Originals { file: file.to_owned(), source };
    match fs::read(file) {
        Ok(text) => serde_json::from_slice(&text).map_err(|e| failed(e.into())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(e) => Err(failed(e)),
    }
}

fn full(path: &str) -> Result<PathBuf, Error> {
    let plain =
        |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
    if path.split('/').all(plain) {
        Ok(Path::new(ROOT).join(path))
    } else {
        Err(Error::Path(path.to_owned()))
    }
}

fn access(path: &str, source: io::Error) -> Error {
    let path = path.to_owned();
    if source.kind() == io::ErrorKind::NotFound {
        Error::Missing(path)
    } else if source.kind() == io::ErrorKind::ReadOnlyFilesystem {
        Error::ReadOnly(path)
    } else {
        Error::Access { path, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_proc_sys() {
        for bad in ["", "/etc/passwd", "../etc", "net/../../etc", "net//ipv4", "net/", "a/./b"] {
            assert!(matches!(read(bad), Err(Error::Path(_))), "{bad}");
        }
        assert!(read("kernel/ostype").is_ok_and(|text| text == "Linux"));
    }

    #[test]
    fn a_missing_sysctl_is_named() {
        let error = read("net/ipv4/no_such_thing").unwrap_err();
        assert_eq!(error.to_string(), "there is no sysctl net/ipv4/no_such_thing");
        let some = ["kernel/ostype".to_owned(), "net/ipv4/no_such_thing".to_owned()];
        assert_eq!(read_all(&some).len(), 1);
    }

    #[test]
    fn the_oldest_value_is_the_one_that_is_kept() {
        let dir = std::env::temp_dir().join(format!("sparelink-sysctl-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let value =
            |text: &str| BTreeMap::from([("net/ipv4/no_such_thing".to_owned(), text.to_owned())]);
        save_originals(&dir, &value("0")).unwrap();
        save_originals(&dir, &value("1")).unwrap();
        assert_eq!(originals(&dir.join(ORIGINALS)).unwrap(), value("0"));
        assert_eq!(restore(&dir).unwrap(), Vec::<String>::new());
        assert!(!dir.join(ORIGINALS).exists());
        assert!(restore(&dir).is_ok(), "the second time there is nothing to do");
        fs::remove_dir_all(&dir).unwrap();
    }
}
