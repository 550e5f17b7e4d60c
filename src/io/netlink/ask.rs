//! Questions that the kernel answers inside `send`, over a netlink socket of any protocol. Calls block.

use std::io;
use std::os::fd::AsRawFd as _;

use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send, setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike as _};

use super::frame::{self, ACK, Frames, Part};

/// The kernel answers inside `send`; anything longer is a fault.
pub(super) const PATIENCE_MS: i64 = 2000;

/// A socket that asks, in the network namespace in which it was opened.
#[derive(Debug)]
pub(super) struct Asker {
    socket: Socket,
    seq: u32,
}

impl Asker {
    pub(super) fn open(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::milliseconds(PATIENCE_MS))?;
        Ok(Self { socket, seq: 0 })
    }

    /// Sends one request; the last answer to it, empty if there was none but success.
    ///
    /// # Errors
    /// What the kernel answered; `EAGAIN` if nothing in time.
    pub(super) fn ask(&mut self, kind: u16, flags: u16, body: &[u8]) -> Result<Vec<u8>, Errno> {
        self.ask_all(kind, flags, body).map(|mut found| found.pop().unwrap_or_default())
    }

    /// Sends one request; all answers to it.
    ///
    /// # Errors
    /// What the kernel answered; `EAGAIN` if nothing in time.
    pub(super) fn ask_all(
        &mut self,
        kind: u16,
        flags: u16,
        body: &[u8],
    ) -> Result<Vec<Vec<u8>>, Errno> {
        self.seq = self.seq.wrapping_add(1);
        let seq = self.seq;
        let mut message = Vec::new();
        frame::put(&mut message, kind, ACK | flags, seq, &[body]);
        send(self.socket.as_raw_fd(), &message, MsgFlags::empty())?;
        let mut found = Vec::new();
        let mut buffer = [0; 8192];
        loop {
            let length = match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Err(Errno::EINTR) => continue,
                other => other?,
            };
            let received = buffer.get(..length).unwrap_or_default();
            for frame in Frames(received).filter(|frame| frame.seq == seq) {
                match frame.part() {
                    Part::End(None) => return Ok(found),
                    Part::End(Some(errno)) => return Err(errno),
                    Part::Content => found.push(frame.body.to_vec()),
                    Part::Noop => {}
                }
            }
        }
    }
}
