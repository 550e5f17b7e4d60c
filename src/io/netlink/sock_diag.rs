//! `sock_diag`: ending TCP connections of the box itself, so that their programs notice at once
//! (linux/sock_diag.h, linux/inet_diag.h).
//!
//! A program that waits for an answer over a dead uplink would wait for minutes. Its `read` or
//! `write` fails with `ECONNABORTED` instead, and it connects again.

use std::io;
use std::net::{IpAddr, SocketAddr};

use nix::errno::Errno;

use super::ask::{Asker, PATIENCE_MS};
use super::frame::DUMP;
use crate::io::faults;

const PROTOCOL_SOCK_DIAG: isize = 4;
/// `SOCK_DIAG_BY_FAMILY`: tell about sockets.
const TELL: u16 = 20;
const DESTROY: u16 = 21;
const TCP: u8 = 6;
const INET: u8 = 2;
const INET6: u8 = 10;
/// `INET_DIAG_NOCOOKIE`: whichever socket has these ends.
const ANY: [u8; 8] = [0xff; 8];
/// States that no program waits in: `TCP_TIME_WAIT`, `TCP_CLOSE`, `TCP_LISTEN`.
const AT_REST: [u8; 3] = [6, 7, 10];
/// Where `struct inet_diag_msg` has the state, and the cookie.
const STATE: usize = 1;
const COOKIE: std::ops::Range<usize> = 44..52;

/// Why a connection could not be ended.
#[derive(Debug, thiserror::Error)]
pub enum SockDiagError {
    /// The kernel was built without the way to look up TCP sockets, or its module is missing.
    #[error("this kernel cannot look up connections: it needs CONFIG_INET_DIAG (module tcp_diag)")]
    NoDiag,
    /// The kernel was built without the way to end them.
    #[error("this kernel cannot end connections: it needs CONFIG_INET_DIAG_DESTROY")]
    NoDestroy,
    /// The process may not change the network.
    #[error("no permission to end connections: CAP_NET_ADMIN is missing")]
    Permission,
    /// No answer in time.
    #[error("no answer from sock_diag within {PATIENCE_MS} ms")]
    Timeout,
    /// The kernel answered otherwise.
    #[error("the kernel refused to end a connection: {0}")]
    Refused(Errno),
    /// The socket itself failed.
    #[error("the sock_diag netlink socket failed")]
    Socket(#[source] io::Error),
}

impl From<Errno> for SockDiagError {
    fn from(errno: Errno) -> Self {
        if errno == Errno::EAGAIN {
            Self::Timeout
        } else if errno == Errno::EPERM || errno == Errno::EACCES {
            Self::Permission
        } else if errno == Errno::EOPNOTSUPP {
            Self::NoDestroy
        } else {
            Self::Refused(errno)
        }
    }
}

/// Whether this kernel can end connections.
///
/// # Errors
/// What it lacks, in a sentence.
pub fn available() -> Result<(), SockDiagError> {
    SockDiag::open().map(drop)
}

/// A socket to `sock_diag`, in the network namespace in which it was opened. Calls block.
#[derive(Debug)]
pub struct SockDiag {
    asker: Asker,
}

impl SockDiag {
    /// Opens the socket and makes sure that this kernel can end connections.
    ///
    /// # Errors
    /// What it lacks, in a sentence.
    pub fn open() -> Result<Self, SockDiagError> {
        let asker = Asker::open(PROTOCOL_SOCK_DIAG).map_err(|error| {
            let unknown = error.raw_os_error() == Some(Errno::EPROTONOSUPPORT as i32);
            if unknown { SockDiagError::NoDiag } else { SockDiagError::Socket(error) }
        })?;
        let mut diag = Self { asker };
        diag.check()?;
        Ok(diag)
    }

    /// Ends the TCP connection between these two ends, if this box has one. A listening socket is
    /// never touched, and neither is one that is bound to a device: whoever bound it wanted that
    /// way and no other. An IPv6 socket that speaks IPv4 is found by its IPv4 addresses.
    ///
    /// Gives whether there was one.
    ///
    /// # Errors
    /// What the kernel answered; that there is none is no error.
    pub fn destroy(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> Result<bool, SockDiagError> {
        // The kernel's look-up falls back to whoever listens on the port, and would end that one.
        // So it is asked first, and then told to end this very socket and no other.
        let found = self.ask(TELL, 0, &request(local, remote, ANY))?;
        let cookie = found.as_deref().filter(|found| !is_at_rest(found)).and_then(cookie);
        match cookie {
            Some(cookie) => {
                let write = faults::Write::begin("sock_diag");
                let ended = self.ask(DESTROY, 0, &request(local, remote, cookie));
                write.done();
                Ok(ended?.is_some())
            }
            None => Ok(false),
        }
    }

    /// Asks for what changes nothing: a list of no states, and the end of a connection that cannot
    /// be.
    fn check(&mut self) -> Result<(), SockDiagError> {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let nothing = request(nowhere, nowhere, ANY);
        let none = [&nothing[..4], &[0; 4], &nothing[8..]].concat();
        if self.ask(TELL, DUMP, &none)?.is_none() {
            return Err(SockDiagError::NoDiag);
        }
        self.ask(DESTROY, 0, &nothing).map(drop)
    }

    /// Sends one request; the last answer to it, empty if there was none but success. `None`: the
    /// kernel does not have it.
    fn ask(
        &mut self,
        kind: u16,
        flags: u16,
        body: &[u8],
    ) -> Result<Option<Vec<u8>>, SockDiagError> {
        match self.asker.ask(kind, flags, body) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// `struct inet_diag_req_v2`: which socket.
fn request(local: SocketAddr, remote: SocketAddr, cookie: [u8; 8]) -> Vec<u8> {
    let family = if local.is_ipv4() { INET } else { INET6 };
    let mut body = vec![family, TCP, 0, 0];
    // Every state.
    body.extend([0xff; 4]);
    body.extend(local.port().to_be_bytes());
    body.extend(remote.port().to_be_bytes());
    body.extend(words(local.ip()));
    body.extend(words(remote.ip()));
    // No interface: only sockets that are bound to none.
    body.extend([0; 4]);
    body.extend(cookie);
    body
}

/// An address in four words, the first ones of which an IPv4 address fills.
fn words(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => {
            let mut words = [0; 16];
            words[..4].copy_from_slice(&v4.octets());
            words
        }
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// Whether a found socket (`struct inet_diag_msg`) is one that nobody waits for.
pub(super) fn is_at_rest(found: &[u8]) -> bool {
    found.get(STATE).is_none_or(|state| AT_REST.contains(state))
}

/// The number of a found socket, which no other one gets.
pub(super) fn cookie(found: &[u8]) -> Option<[u8; 8]> {
    found.get(COOKIE)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_the_kernels_layout() {
        let local = "192.0.2.7:4000".parse().unwrap();
        let remote = "203.0.113.7:443".parse().unwrap();
        let bytes = request(local, remote, [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(bytes.len(), 56, "sizeof(struct inet_diag_req_v2)");
        assert_eq!(bytes[..12], [2, 6, 0, 0, 255, 255, 255, 255, 0x0f, 0xa0, 0x01, 0xbb]);
        assert_eq!((&bytes[12..16], &bytes[28..32]), (&[192, 0, 2, 7][..], &[203, 0, 113, 7][..]));
        assert_eq!(bytes[44..], [0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
        let six = request("[2001:db8::1]:1".parse().unwrap(), "[::2]:2".parse().unwrap(), ANY);
        assert_eq!((six[0], six[12], six[43]), (10, 0x20, 2));
    }

    #[test]
    fn listening_sockets_are_left_alone() {
        let mut found = vec![0; 72];
        found[STATE] = 10;
        found[COOKIE].copy_from_slice(&[9; 8]);
        assert!(is_at_rest(&found) && is_at_rest(&[]));
        found[STATE] = 1;
        assert!(!is_at_rest(&found));
        assert_eq!(cookie(&found), Some([9; 8]));
        assert_eq!(cookie(&found[..50]), None);
    }

    #[test]
    fn what_is_missing_is_said() {
        let words = |errno: Errno| SockDiagError::from(errno).to_string();
        assert!(words(Errno::EOPNOTSUPP).contains("CONFIG_INET_DIAG_DESTROY"));
        assert!(words(Errno::EPERM).contains("CAP_NET_ADMIN"));
        assert!(SockDiagError::NoDiag.to_string().contains("tcp_diag"));
    }
}
