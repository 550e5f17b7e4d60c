//! The one module with unsafe code: what no safe wrapper offers.
#![expect(
    unsafe_code,
    reason = "a socket known by number only, a terminal's width, local time and its zone"
)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};

use nix::libc;
use socket2::{SockFilter, SockRef};

use crate::time::Utc;

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

/// Attaches a filter (`SO_ATTACH_FILTER`) to a socket that a library shows by its number only. `_owner` is what
/// keeps that socket open.
///
/// # Errors
/// What `setsockopt(2)` says.
pub(crate) fn attach_filter<T>(_owner: &T, socket: RawFd, filter: &[SockFilter]) -> io::Result<()> {
    // SAFETY: as above.
    let borrowed = unsafe { BorrowedFd::borrow_raw(socket) };
    SockRef::from(&borrowed).attach_filter(filter)
}

/// The width of a terminal in columns (`ioctl_tty(2)`); `None` if it is no terminal, or one that
/// does not know its width.
pub(crate) fn terminal_columns(terminal: BorrowedFd<'_>) -> Option<usize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes one `winsize` and keeps no pointer to it.
    let done = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    (done == 0 && size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// A wall-clock time in the box's time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LocalTime {
    /// Such as 2026.
    pub(crate) year: i32,
    /// January is 1.
    pub(crate) month: u8,
    /// Of the month, from 1.
    pub(crate) day: u8,
    /// 0 to 23.
    pub(crate) hour: u8,
    /// 0 to 59.
    pub(crate) minute: u8,
    /// 0 to 60: there are leap seconds.
    pub(crate) second: u8,
}

/// The local time (`TZ`, else `/etc/localtime`) of a moment in seconds since 1970; `None` if the C
/// library cannot tell it.
pub(crate) fn local_time(since_1970: u64) -> Option<LocalTime> {
    let seconds = since_1970.try_into().ok()?;
    let mut parts = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are valid for the call, and the function keeps neither.
    let done = unsafe { libc::localtime_r(&raw const seconds, parts.as_mut_ptr()) };
    if done.is_null() {
        return None;
    }
    // SAFETY: all zeros is a valid `tm`, and the call has filled it.
    let tm = unsafe { parts.assume_init() };
    let small = |value: i32| u8::try_from(value).ok();
    Some(LocalTime {
        year: tm.tm_year.checked_add(1900)?,
        month: small(tm.tm_mon + 1)?,
        day: small(tm.tm_mday)?,
        hour: small(tm.tm_hour)?,
        minute: small(tm.tm_min)?,
        second: small(tm.tm_sec)?,
    })
}

/// The same as people read it off their clocks: `10:35`.
pub(crate) fn clock_time(at: Utc) -> Option<String> {
    let at = local_time(at.0 / 1000)?;
    Some(format!("{:02}:{:02}", at.hour, at.minute))
}

/// Has the C library take this for the zone of the box, as if it stood in `TZ`. Called once, by the program's first
/// thread, before there is another.
pub(crate) fn set_zone(zone: &str) {
    // SAFETY: there is one thread, so that nobody reads the environment meanwhile.
    unsafe { std::env::set_var("TZ", zone) };
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn what_is_no_terminal_has_no_width() {
        let null = File::open("/dev/null").unwrap();
        assert_eq!(terminal_columns(null.as_fd()), None);
    }

    #[test]
    fn local_time_is_a_real_one_or_none() {
        // The zone of the machine is not known here, but no zone is a day away.
        let noon = local_time(1_767_268_800).unwrap(); // 2026-01-01T12:00:00Z
        assert!(matches!((noon.year, noon.month), (2026, 1)), "{noon:?}");
        assert!(noon.day <= 2 && noon.minute < 60 && noon.second == 0, "{noon:?}");
        assert_eq!(local_time(u64::MAX), None);
    }
}
