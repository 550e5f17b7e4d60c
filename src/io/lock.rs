//! One agent per network namespace.
//!
//! Two things together say so. A locked file in the run directory, which nobody but the agent's user and
//! root can open: that one is proof. And an abstract socket, which agents with other run directories find
//! too: names of that kind belong to the network namespace and vanish with their holder. Any user may take
//! such a name, so it counts only if its holder is one who could run an agent.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, getsockopt, listen, socket,
};
use tokio::net::UnixListener;

use crate::config::RUN_DIR;

/// The abstract name that is bound.
const NAME: &[u8] = b"sparelink";
/// This many may look for the holder at a time.
const LOOKERS: i32 = 16;
/// Who looks has seen what there is as soon as it is connected. Any user may do so, therefore not too often.
const PACE: Duration = Duration::from_millis(20);

/// Why this agent may not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("another sparelink already runs in this network namespace")]
    Taken,
    /// The system could not say.
    #[error("cannot tell whether another sparelink runs here")]
    Socket(#[source] io::Error),
    /// The run directory does not let it be locked.
    #[error("cannot lock {}", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Somebody else could hold the file for ever, or put another in its place.
    #[error("{} belongs to user {owner}, who must not decide whether an agent runs: remove it", path.display())]
    Owner { path: PathBuf, owner: u32 },
}

/// Held while the agent runs.
#[derive(Debug)]
pub struct Lock {
    _file: Option<Flock<File>>,
    socket: Option<OwnedFd>,
}

impl Lock {
    /// Takes the lock of this network namespace, for an agent with this run directory, which exists.
    ///
    /// # Errors
    ///
    /// When another agent holds it, or the file cannot be locked.
    pub fn take(run_dir: &Path) -> Result<Self, Error> {
        // One who only looks has it for an instant.
        for _ in 0..3 {
            match Self::once(run_dir, OFlag::O_CREAT) {
                Err(Error::Taken) => std::thread::sleep(PACE),
                done => return done,
            }
        }
        Self::once(run_dir, OFlag::O_CREAT)
    }

    /// The same for a command that must not run beside an agent and leaves nothing in the run directory,
    /// which need not exist.
    ///
    /// # Errors
    ///
    /// As for [`Self::take`].
    pub fn take_in_passing(run_dir: &Path) -> Result<Self, Error> {
        Self::once(run_dir, OFlag::empty())
    }

    fn once(run_dir: &Path, create: OFlag) -> Result<Self, Error> {
        let file = lock(run_dir, create)?;
        Ok(Self { _file: file, socket: name(run_dir)? })
    }

    /// Lets others see who holds the lock, from now on; never ends. Without it only the first few can.
    pub async fn be_seen(&self) {
        let Some(socket) = self.socket.as_ref().and_then(|socket| socket.try_clone().ok()) else {
            return;
        };
        let Ok(listener) = UnixListener::from_std(socket.into()) else { return };
        loop {
            drop(listener.accept().await);
            tokio::time::sleep(PACE).await;
        }
    }
}

/// Whether an agent holds the lock of this network namespace.
#[must_use]
pub fn is_held(run_dir: &Path) -> bool {
    let named = holder().is_ok_and(|user| trusted(run_dir).contains(&user));
    named || matches!(lock(run_dir, OFlag::empty()), Err(Error::Taken))
}

/// Locks the file of the run directory. None without `O_CREAT` where there is none, so that no agent of
/// this run directory runs.
fn lock(run_dir: &Path, create: OFlag) -> Result<Option<Flock<File>>, Error> {
    // The same directory may be seen from several network namespaces.
    let space = fs::metadata("/proc/self/ns/net").map_or(0, |meta| meta.ino());
    let path = run_dir.join(format!("agent-{space}.lock"));
    let failed = |source| Error::File { path: path.clone(), source };
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | create;
    let mut options = File::options();
    options.read(true).mode(0o600).custom_flags(flags.bits());
    // An agent that ends takes nothing away, so this loop is gone through twice only where a person
    // removes the file at that moment.
    for _ in 0..8 {
        let file = match options.open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && create.is_empty() => {
                return Ok(None);
            }
            Err(error) => return Err(failed(error)),
        };
        let meta = file.metadata().map_err(failed)?;
        let home = fs::metadata(run_dir).map_err(failed)?;
        if !meta.is_file() || !trusted(run_dir).contains(&meta.uid()) {
            return Err(Error::Owner { path, owner: meta.uid() });
        }
        if meta.uid() != home.uid() && nix::unistd::geteuid().is_root() {
            // An agent that is started by its own user later must be able to open it.
            let _ = fchown(&file, Some(home.uid()), Some(home.gid()));
        }
        let locked = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(locked) => locked,
            Err((_, Errno::EWOULDBLOCK)) => return Err(Error::Taken),
            Err((_, errno)) => return Err(failed(errno.into())),
        };
        if fs::symlink_metadata(&path).is_ok_and(|now| now.ino() == meta.ino()) {
            return Ok(Some(locked));
        }
    }
    Err(failed(io::Error::other("it is being replaced all the time")))
}

/// Takes the name, so that agents with other run directories find it. None where somebody has it who
/// could not run an agent: then the file alone counts.
fn name(run_dir: &Path) -> Result<Option<OwnedFd>, Error> {
    let failed = |errno: Errno| Error::Socket(errno.into());
    let socket = stream().map_err(failed)?;
    match bind(socket.as_raw_fd(), &UnixAddr::new_abstract(NAME).map_err(failed)?) {
        Ok(()) => {
            // Who looks is told the user that called listen(2).
            let backlog = Backlog::new(LOOKERS).map_err(failed)?;
            listen(&socket, backlog).map_err(failed)?;
            return Ok(Some(socket));
        }
        Err(Errno::EADDRINUSE) => {}
        Err(errno) => return Err(failed(errno)),
    }
    let holder = holder();
    if holder.is_ok_and(|user| trusted(run_dir).contains(&user)) {
        return Err(Error::Taken);
    }
    // It may also be a socket of another kind, or one that answers nobody: no agent does that.
    let user = holder.map_or_else(|_| "unknown".to_owned(), |user| user.to_string());
    tracing::warn!(
        user,
        "a program has the name by which agents find each other; it is not believed"
    );
    Ok(None)
}

/// The user who has the name.
fn holder() -> nix::Result<u32> {
    let looker = stream()?;
    connect(looker.as_raw_fd(), &UnixAddr::new_abstract(NAME)?)?;
    Ok(getsockopt(&looker, PeerCredentials)?.uid())
}

fn stream() -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socket(AddressFamily::Unix, SockType::Stream, flags, None)
}

/// The users who could run an agent here: root, this one, and those whose the run directories are.
fn trusted(run_dir: &Path) -> Vec<u32> {
    let owners = [run_dir, Path::new(RUN_DIR)].into_iter().filter_map(|dir| fs::metadata(dir).ok());
    let mut trusted = vec![0, nix::unistd::geteuid().as_raw()];
    trusted.extend(owners.map(|meta| meta.uid()));
    trusted
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "another user is another process")]
mod tests {
    use std::io::Read as _;
    use std::os::unix::process::CommandExt as _;
    use std::process::{Command, Stdio};

    use nix::sched::{CloneFlags, unshare};

    use super::*;

    const HOLD: &str = "import socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
s.bind('\\0sparelink')
s.listen(8)
print('bound', flush=True)
time.sleep(60)";

    /// What `Lock::take` says, twice, while this user has the name; `None` where that cannot be tried.
    fn while_held_by(user: u32) -> Option<(Result<(), String>, Result<(), String>)> {
        let attempt = move || {
            unshare(CloneFlags::CLONE_NEWNET).ok()?;
            let dir =
                std::env::temp_dir().join(format!("sparelink-lock-{}-{user}", std::process::id()));
            fs::create_dir_all(&dir).unwrap();
            let mut command = Command::new("/usr/bin/python3");
            command.args(["-c", HOLD]).uid(user).stdout(Stdio::piped()).stderr(Stdio::null());
            let mut holder = command.spawn().ok()?;
            let mut said = [0; 5];
            // Kept open: one that cannot write ends, and the name with it.
            let mut out = holder.stdout.take().unwrap();
            out.read_exact(&mut said).ok()?;
            let first = Lock::take(&dir);
            let second = Lock::take(&dir).map(drop).map_err(|error| error.to_string());
            let first = first.map(drop).map_err(|error| error.to_string());
            let _ = (holder.kill(), holder.wait(), out);
            fs::remove_dir_all(dir).unwrap();
            Some((first, second))
        };
        // A namespace is a thread's own.
        std::thread::spawn(attempt).join().unwrap()
    }

    #[test]
    fn a_name_that_a_stranger_has_is_no_agent() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let Some((first, second)) = while_held_by(65534) else { return };
        assert_eq!(first, Ok(()), "another user keeps the agent from running");
        let taken = Err(Error::Taken.to_string());
        assert_eq!(second, taken, "the file lets two run");
        let (first, _) = while_held_by(0).unwrap();
        assert_eq!(first, taken, "control: one that root runs counts");
    }
}
