//! The one module with unsafe code: what no safe wrapper offers.
#![expect(unsafe_code, reason = "the socket options of a socket that is known by number only")]

use std::io;
use std::os::fd::{BorrowedFd, RawFd};

use socket2::SockRef;

/// Sets `SO_MARK` on a socket that a library shows by its number only. `_owner` is what keeps
/// that socket open.
///
/// # Errors
/// What `setsockopt(2)` says; `EPERM` without `CAP_NET_ADMIN`.
pub(crate) fn set_mark<T>(_owner: &T, socket: RawFd, mark: u32) -> io::Result<()> {
    // SAFETY: the owner is borrowed for the whole call, so the descriptor stays open and is not
    // reused; the borrow ends before this function returns.
    let borrowed = unsafe { BorrowedFd::borrow_raw(socket) };
    SockRef::from(&borrowed).set_mark(mark)
}
