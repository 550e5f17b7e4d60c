//! Questions and orders to the kernel over one rtnetlink socket, one at a time.
//!
//! It stands on netlink-sys and netlink-packet-route rather than on rtnetlink's connection because
//! that one swallows the error at the end of a dump (an empty table and a refused question look
//! the same), does not look at `NLM_F_DUMP_INTR`, and queues without bound.

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{AsyncSocket, SocketAddr, TokioSocket};
use nix::errno::Errno;

use super::frame::{self, ACK, DUMP, DUMP_INTR, Frame, Frames, Part};
use super::message::Message;
use crate::io::faults;

/// How long the kernel may take for an answer. It answers inside the system call; more than this
/// means that something is badly wrong.
const ANSWER: Duration = Duration::from_secs(2);

/// The kernel writes at most 32 KiB of a dump at a time (`netlink_dump` in af_netlink.c).
pub(super) const DATAGRAM: usize = 64 * 1024;

/// How often a dump that was overtaken by changes is asked for again.
const DUMP_TRIES: usize = 8;

/// What can go wrong between us and the kernel.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no netlink socket to be had.
    #[error("cannot open a netlink socket")]
    Open(#[source] io::Error),
    /// Sending or receiving failed.
    #[error("the netlink socket failed")]
    Socket(#[source] io::Error),
    /// No answer in time.
    #[error("the kernel did not answer within {} s", ANSWER.as_secs())]
    Silent,
    /// The kernel said no.
    #[error("{}{}", .errno.desc(), .words.as_ref().map(|w| format!(" ({w})")).unwrap_or_default())]
    Refused {
        errno: Errno,
        /// The kernel's own sentence, if it gave one (`NLMSGERR_ATTR_MSG`).
        words: Option<String>,
    },
    /// An answer that is none.
    #[error("the kernel's answer was not understood")]
    Strange,
}

impl Error {
    /// The error number, if the kernel refused.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Refused { errno, .. } => Some(*errno),
            Self::Open(_) | Self::Socket(_) | Self::Silent | Self::Strange => None,
        }
    }
}

/// One socket, with strict checks: filters of dumps are honoured, and what the kernel does not
/// understand is refused instead of ignored.
pub(super) struct Talk {
    socket: TokioSocket,
    sequence: u32,
    buffer: Vec<u8>,
    /// A question was left before its answer was complete; the socket is of no use any more.
    broken_off: bool,
}

impl Talk {
    pub(super) fn open() -> Result<Self, Error> {
        Ok(Self {
            socket: open().map_err(Error::Open)?,
            sequence: 0,
            buffer: Vec::with_capacity(DATAGRAM),
            broken_off: false,
        })
    }

    /// Asks for everything that fits the question.
    pub(super) async fn dump(&mut self, question: &Message) -> Result<Vec<Message>, Error> {
        self.dump_into(question, |all: &mut Vec<Message>, frame| all.extend(Message::of(frame)))
            .await
    }

    /// The same, but each message is taken in as it comes, by its frame: of a dump of any length there
    /// is never more in memory than what `take` keeps. A dump that is overtaken by changes begins again.
    pub(super) async fn dump_into<S: Default + Send>(
        &mut self,
        question: &Message,
        take: impl Fn(&mut S, Frame<'_>) + Sync,
    ) -> Result<S, Error> {
        for _ in 0..DUMP_TRIES {
            let mut all = S::default();
            let interrupted =
                self.converse(question, DUMP, &mut |frame| take(&mut all, frame)).await?;
            if !interrupted {
                return Ok(all);
            }
        }
        Err(Error::Refused {
            errno: Errno::EAGAIN,
            words: Some("the dump never came to rest".to_owned()),
        })
    }

    /// Asks for one thing.
    pub(super) async fn get(&mut self, question: &Message) -> Result<Message, Error> {
        let mut found = None;
        self.converse(question, 0, &mut |frame| found = Message::of(frame)).await?;
        found.ok_or(Error::Strange)
    }

    /// Gives an order and waits until it is done or refused.
    pub(super) async fn order(&mut self, order: &Message, flags: u16) -> Result<(), Error> {
        let write = faults::Write::begin("rtnetlink");
        let answer = self.converse(order, ACK | flags, &mut |_| ()).await;
        write.done();
        answer.map(|_| ())
    }

    /// Sends a message and hands on what comes back; whether it was overtaken by changes.
    async fn converse(
        &mut self,
        message: &Message,
        flags: u16,
        take: &mut (dyn FnMut(Frame<'_>) + Send),
    ) -> Result<bool, Error> {
        if self.broken_off {
            self.socket = open().map_err(Error::Open)?;
        }
        // A caller that stops waiting, here or by dropping the future, leaves this set.
        self.broken_off = true;
        let answer = tokio::time::timeout(ANSWER, self.exchange(message, flags, take)).await;
        let answer = answer.map_err(|_| Error::Silent)?;
        self.broken_off = matches!(&answer, Err(e) if e.errno().is_none());
        answer
    }

    async fn exchange(
        &mut self,
        message: &Message,
        flags: u16,
        take: &mut (dyn FnMut(Frame<'_>) + Send),
    ) -> Result<bool, Error> {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        let mut bytes = Vec::new();
        frame::put(&mut bytes, message.kind(), flags, self.sequence, &[&message.body()]);
        poll_fn(|cx| self.socket.poll_send(cx, &bytes)).await.map_err(Error::Socket)?;
        let mut answer = Answer { single: flags == 0, ..Answer::default() };
        while !answer.complete {
            self.receive().await.map_err(Error::Socket)?;
            for frame in Frames(&self.buffer).filter(|frame| frame.seq == self.sequence) {
                answer.take(frame, take)?;
            }
        }
        Ok(answer.interrupted)
    }

    async fn receive(&mut self) -> io::Result<()> {
        self.buffer.clear();
        // The answer is nearly always there already: no need to go round the reactor.
        match self.socket.socket_ref().recv(&mut self.buffer, 0) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            done => return done.map(|_| ()),
        }
        poll_fn(|cx| self.socket.poll_recv(cx, &mut self.buffer)).await
    }
}

fn open() -> io::Result<TokioSocket> {
    let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
    let inner = socket.socket_mut();
    inner.bind_auto()?;
    inner.connect(&SocketAddr::new(0, 0))?;
    inner.set_netlink_get_strict_chk(true)?;
    inner.set_ext_ack(true)?;
    inner.set_cap_ack(true)?;
    Ok(socket)
}

/// An answer while it comes in.
#[derive(Default)]
struct Answer {
    /// It ends with its first message.
    single: bool,
    complete: bool,
    interrupted: bool,
}

impl Answer {
    fn take(
        &mut self,
        frame: Frame<'_>,
        each: &mut (dyn FnMut(Frame<'_>) + Send),
    ) -> Result<(), Error> {
        self.interrupted |= frame.flags & DUMP_INTR != 0;
        match frame.part() {
            Part::Content => {
                each(frame);
                self.complete |= self.single;
            }
            Part::End(None) => self.complete = true,
            Part::End(Some(errno)) => {
                let words = frame.extended().0.map(str::to_owned);
                return Err(Error::Refused { errno, words });
            }
            Part::Noop => {}
        }
        Ok(())
    }
}

impl std::fmt::Debug for Talk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Talk").field("sequence", &self.sequence).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_in_the_kernels_words() {
        let bytes = frame::error(Errno::ENETUNREACH, "no", 0);
        let frame = Frames(&bytes).next().unwrap();
        let error = Answer::default().take(frame, &mut |_| ()).unwrap_err();
        assert_eq!(error.to_string(), "Network is unreachable (no)");
        assert_eq!(error.errno(), Some(Errno::ENETUNREACH));
    }
}
