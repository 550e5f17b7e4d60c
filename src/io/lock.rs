//! One agent per network namespace.

use std::io;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, bind, socket};

/// The abstract name that is bound. Abstract names belong to the network namespace and vanish with
/// their holder, so that there is no stale lock to clean up.
const NAME: &[u8] = b"sparelink";

/// Whether somebody holds the lock of this network namespace, without touching it (`/proc/net/unix`
/// shows abstract names with an `@`).
#[must_use]
pub fn is_held() -> bool {
    let sockets = std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let name = |line: &str| line.split_whitespace().last()?.strip_prefix('@').map(str::to_owned);
    sockets.lines().filter_map(name).any(|name| name.as_bytes() == NAME)
}

/// Why this agent may not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is one.
    #[error("another sparelink already runs in this network namespace")]
    Taken,
    /// The system could not say.
    #[error("cannot tell whether another sparelink runs here")]
    Socket(#[source] io::Error),
}

/// Held as long as the agent runs.
#[derive(Debug)]
pub struct Lock {
    _socket: std::os::fd::OwnedFd,
}

impl Lock {
    /// Takes the lock of this network namespace.
    ///
    /// # Errors
    ///
    /// When another agent holds it.
    pub fn take() -> Result<Self, Error> {
        let failed = |e: Errno| Error::Socket(e.into());
        let socket = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)
            .map_err(failed)?;
        let name = UnixAddr::new_abstract(NAME).map_err(failed)?;
        match bind(std::os::fd::AsRawFd::as_raw_fd(&socket), &name) {
            Ok(()) => Ok(Self { _socket: socket }),
            Err(Errno::EADDRINUSE) => Err(Error::Taken),
            Err(errno) => Err(failed(errno)),
        }
    }
}
