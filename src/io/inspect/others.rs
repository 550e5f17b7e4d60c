//! The configurations of other programs that choose uplinks, as text.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Roots;
use crate::engine::doctor::proposal::from::File;
use crate::units::{Gather as _, IfIndex};

/// The largest file that is read, in bytes; a real one has some thousand.
const MAX_BYTES: u64 = 1 << 20;
/// The most profiles that are read.
const MAX_FILES: usize = 1000;
/// Where NetworkManager looks for profiles; of two with the same UUID the first counts (NetworkManager.conf(5)).
const PROFILES: [&str; 3] = ["etc", "run", "usr/lib"];

/// Why a configuration could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    #[error("there is no {}", path.display())]
    Missing { path: PathBuf },
    #[error("{} may not be read by you", path.display())]
    Forbidden { path: PathBuf },
    #[error("{} is larger than 1 MiB, which no configuration is", path.display())]
    TooLarge { path: PathBuf },
    #[error("{} has more than {MAX_FILES} profiles", path.display())]
    TooMany { path: PathBuf },
    #[error("{} cannot be read", path.display())]
    Other {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// mwan3's configuration, and that of OpenWrt's network if it is there.
///
/// # Errors
/// If the first is not there, or one of them cannot be read.
pub fn mwan3(roots: &Roots) -> Result<(File, Option<File>), Unread> {
    let path = |name| roots.root.join("etc/config").join(name);
    let own = file(&path("mwan3"))?;
    match file(&path("network")) {
        Ok(network) => Ok((own, Some(network))),
        Err(Unread::Missing { .. }) => Ok((own, None)),
        Err(other) => Err(other),
    }
}

/// All profiles of NetworkManager, those that count first.
///
/// # Errors
/// If there is none, or one of them cannot be read.
pub fn profiles(roots: &Roots) -> Result<Vec<File>, Unread> {
    let mut files = Vec::new();
    let dirs = PROFILES.map(|top| roots.root.join(top).join("NetworkManager/system-connections"));
    for dir in &dirs {
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(unread(dir, error)),
        };
        let paths = entries.flatten().map(|entry| entry.path());
        let mut paths: Vec<PathBuf> = paths
            .filter(|path| path.extension().is_some_and(|end| end == "nmconnection"))
            .filter(|path| !is_hidden(path))
            .take(MAX_FILES + 1)
            .collect();
        if paths.len() > MAX_FILES {
            return Err(Unread::TooMany { path: dir.clone() });
        }
        paths.sort();
        for path in paths {
            files.push(file(&path)?);
        }
    }
    let [first, ..] = dirs;
    if files.is_empty() {
        Err(Unread::Missing { path: first.join("*.nmconnection") })
    } else {
        Ok(files)
    }
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'))
}

/// Which profile (by its UUID) is in use on which interface, as NetworkManager keeps it for its own restart.
#[must_use]
pub fn active_profiles(roots: &Roots) -> BTreeMap<String, IfIndex> {
    let dir = roots.root.join("run/NetworkManager/devices");
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let active = entries.filter_map(|entry| {
        let index: u32 = entry.file_name().to_str()?.parse().ok()?;
        let text = file(&entry.path()).ok()?.text;
        let uuid = text.lines().find_map(|line| line.trim().strip_prefix("connection-uuid="))?;
        Some((uuid.trim().to_owned(), IfIndex(index)))
    });
    active.gather()
}

/// A file as text; what is no UTF-8 in it is replaced.
fn file(path: &Path) -> Result<File, Unread> {
    let failed = |error| unread(path, error);
    let meta = fs::metadata(path).map_err(failed)?;
    if !meta.is_file() {
        let source = io::Error::other("it is no file");
        return Err(Unread::Other { path: path.to_owned(), source });
    }
    if meta.len() > MAX_BYTES {
        return Err(Unread::TooLarge { path: path.to_owned() });
    }
    let bytes = fs::read(path).map_err(failed)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(File { path: path.display().to_string(), text })
}

fn unread(path: &Path, source: io::Error) -> Unread {
    let path = path.to_owned();
    if source.kind() == io::ErrorKind::NotFound {
        Unread::Missing { path }
    } else if source.kind() == io::ErrorKind::PermissionDenied {
        Unread::Forbidden { path }
    } else {
        Unread::Other { path, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A root of its own, gone when dropped.
    struct Box(Roots);

    impl Box {
        fn new(name: &str, files: &[(&str, &[u8])]) -> Self {
            let root =
                std::env::temp_dir().join(format!("sparelink-{name}-{}", std::process::id()));
            for (path, bytes) in files {
                let path = root.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, bytes).unwrap();
            }
            Self(Roots { proc: root.join("proc"), root })
        }
    }

    impl Drop for Box {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0.root));
        }
    }

    #[test]
    fn openwrts_files_are_read_or_it_is_said_why_not() {
        let none = Box::new("no-mwan3", &[("etc/config/network", b"")]);
        let told = mwan3(&none.0).unwrap_err().to_string();
        assert!(told.starts_with("there is no ") && told.ends_with("/etc/config/mwan3"), "{told}");
        let one = Box::new("mwan3", &[("etc/config/mwan3", b"config \xff\n")]);
        let (file, network) = mwan3(&one.0).unwrap();
        assert_eq!((file.text.as_str(), network), ("config \u{fffd}\n", None));
        let big = vec![b'#'; (1 << 20) + 1];
        let big = Box::new("big-mwan3", &[("etc/config/mwan3", &big)]);
        assert!(mwan3(&big.0).unwrap_err().to_string().contains("larger than 1 MiB"));
        let dir = Box::new("dir-mwan3", &[("etc/config/mwan3/x", b"")]);
        assert!(matches!(mwan3(&dir.0), Err(Unread::Other { .. })));
        let forbidden = unread(Path::new("/x"), io::ErrorKind::PermissionDenied.into());
        assert_eq!(forbidden.to_string(), "/x may not be read by you");
    }

    #[test]
    fn profiles_are_found_where_networkmanager_has_them() {
        let put =
            |place: &str, name: &str| format!("{place}/NetworkManager/system-connections/{name}");
        let paths = [
            put("usr/lib", "c.nmconnection"),
            put("run", "b.nmconnection"),
            put("etc", "z.nmconnection"),
            put("etc", "a.nmconnection"),
            put("etc", ".hidden.nmconnection"),
            put("etc", "a.nmconnection~"),
        ];
        let mut files: Vec<(&str, &[u8])> = paths.iter().map(|path| (&**path, &b""[..])).collect();
        files.push(("run/NetworkManager/devices/3", b"[device]\nmanaged=1\nconnection-uuid=u-1\n"));
        files.push(("run/NetworkManager/devices/x", b"connection-uuid=u-2\n"));
        let found = Box::new("profiles", &files);
        let names: Vec<String> = profiles(&found.0)
            .unwrap()
            .iter()
            .map(|f| f.path.rsplit('/').next().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["a.nmconnection", "z.nmconnection", "b.nmconnection", "c.nmconnection"]);
        assert_eq!(active_profiles(&found.0), BTreeMap::from([("u-1".to_owned(), IfIndex(3))]));
        let none = Box::new("no-profiles", &[("etc/x", b"")]);
        assert!(profiles(&none.0).unwrap_err().to_string().contains("*.nmconnection"));
    }
}
