//! Resolvers: what the system names for its interfaces is watched, and what the engine says is written
//! to `resolv.conf` in the run directory.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::net::unix::pipe;
use tokio::sync::mpsc;

use super::disk::publish;
use crate::engine::input::Input;
use crate::engine::names::resolvers::Named;

mod read;

#[cfg(feature = "lab")]
pub use read::overhear;
pub use read::read;

/// The file's name in the run directory.
pub const FILE: &str = "resolv.conf";
/// Looks again this often: a folder that is made later is not watched before.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// A lease comes as several files at once, and some are written in place: read when they are done.
const SETTLED: Duration = Duration::from_millis(100);
/// What a changed file looks like from its folder (inotify(7)).
const CHANGES: AddWatchFlags = AddWatchFlags::IN_CLOSE_WRITE
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_ONLYDIR);

/// Why the file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}", path.display())]
pub struct Error {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Writes the file, if it says something else now: whoever watches it would begin again.
///
/// # Errors
///
/// When the run directory cannot be written; the old file stays then.
pub fn write(run_dir: &Path, text: &str) -> Result<(), Error> {
    let path = run_dir.join(FILE);
    if std::fs::read(&path).is_ok_and(|old| old == text.as_bytes()) {
        return Ok(());
    }
    publish(&path, text.as_bytes()).map_err(|source| Error { path, source })
}

/// Reads what the system names now, and tells of every change from then on. The files are those below
/// `root`, which is `/` but for tests.
#[must_use]
pub fn watch(root: &Path, tell: mpsc::Sender<Input>) -> Named {
    // Watched before it is read: nothing falls in between.
    let watcher = Watcher::open(root)
        .inspect_err(|error| tracing::debug!(%error, "resolvers are looked up once a minute"))
        .ok();
    let named = read(root);
    tokio::spawn(follow(root.to_owned(), watcher, named.clone(), tell));
    named
}

async fn follow(
    root: PathBuf,
    mut watcher: Option<Watcher>,
    mut known: Named,
    tell: mpsc::Sender<Input>,
) {
    loop {
        let changed = async {
            match &watcher {
                Some(watcher) => watcher.changed().await,
                None => std::future::pending().await,
            }
        };
        // That the time is over, too, is a reason to look.
        if let Ok(Err(error)) = tokio::time::timeout(LOOK_AGAIN, changed).await {
            tracing::debug!(%error, "resolvers are looked up once a minute");
            watcher = None;
        }
        if let Some(watcher) = &watcher {
            watcher.add_folders(&root);
        }
        let named = read(&root);
        if named == known {
            continue;
        }
        known.clone_from(&named);
        if tell.send(Input::Resolvers(named)).await.is_err() {
            return;
        }
    }
}

/// The kernel tells it when a file in one of the folders changes.
struct Watcher {
    inotify: Inotify,
    /// The same descriptor. It is no pipe, but that is tokio's type for any that is read from.
    events: pipe::Receiver,
}

impl Watcher {
    fn open(root: &Path) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let events =
            pipe::Receiver::from_owned_fd_unchecked(inotify.as_fd().try_clone_to_owned()?)?;
        let this = Self { inotify, events };
        this.add_folders(root);
        Ok(this)
    }

    /// Watches the folders that are there now; one that is watched already stays as it is.
    fn add_folders(&self, root: &Path) {
        let folders: BTreeSet<PathBuf> = read::folders(root);
        for folder in folders {
            // It is not there, or not for us to see.
            let _ = self.inotify.add_watch(&folder, CHANGES);
        }
    }

    /// Waits for a change, and until those that come with it are made.
    async fn changed(&self) -> io::Result<()> {
        self.events.readable().await?;
        tokio::time::sleep(SETTLED).await;
        let mut buffer = [0; 4096];
        // Whatever it was: everything is read again.
        while self.events.try_read(&mut buffer).is_ok_and(|length| length > 0) {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("sparelink-{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&dir));
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    #[test]
    fn the_file_is_for_everybody_and_written_only_when_it_changes() {
        let dir = scratch("resolv");
        let path = dir.join(FILE);
        let seen = || {
            let meta = std::fs::metadata(&path).unwrap();
            (meta.permissions().mode() & 0o777, std::os::unix::fs::MetadataExt::ino(&meta))
        };
        write(&dir, "nameserver 192.0.2.1\n").unwrap();
        let first = seen();
        assert_eq!(first.0, 0o644);
        write(&dir, "nameserver 192.0.2.1\n").unwrap();
        assert_eq!(seen(), first, "the same file");
        write(&dir, "nameserver 192.0.2.2\n").unwrap();
        assert_ne!(seen().1, first.1, "another file under the name");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "nameserver 192.0.2.2\n");
        assert!(write(&dir.join("nowhere"), "").is_err());
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_change_is_told_at_once() {
        let root = scratch("named");
        let folder = root.join("run/resolvconf/interface");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("eth1.dhclient"), "nameserver 192.0.2.1\n").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (tell, mut told) = mpsc::channel(4);
            let first = watch(&root, tell);
            assert_eq!(first.by_name["eth1.dhclient"].len(), 1);
            let next = async |told: &mut mpsc::Receiver<Input>| {
                let soon = Duration::from_secs(10);
                match tokio::time::timeout(soon, told.recv()).await {
                    Ok(Some(Input::Resolvers(named))) => named,
                    other => panic!("{other:?}"),
                }
            };
            tokio::task::yield_now().await;
            std::fs::write(folder.join("eth1.dhclient"), "nameserver 192.0.2.2\n").unwrap();
            let second = next(&mut told).await;
            assert_eq!(
                second.by_name["eth1.dhclient"],
                ["192.0.2.2".parse::<std::net::IpAddr>().unwrap()]
            );
            std::fs::remove_file(folder.join("eth1.dhclient")).unwrap();
            assert_eq!(next(&mut told).await, Named::default());
            // The same again is no news, another is.
            std::fs::write(folder.join("x"), "search example.com\n").unwrap();
            std::fs::write(folder.join("wlan0"), "nameserver 2001:db8::1\n").unwrap();
            assert!(next(&mut told).await.by_name.contains_key("wlan0"));
        });
        std::fs::remove_dir_all(root).unwrap();
    }
}
