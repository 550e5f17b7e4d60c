//! Questions and orders to the kernel over one rtnetlink socket, one at a time.
//!
//! It stands on netlink-sys and netlink-packet-route rather than on rtnetlink's connection because
//! that one swallows the error at the end of a dump (an empty table and a refused question look
//! the same), does not look at `NLM_F_DUMP_INTR`, and queues without bound.

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{AsyncSocket, SocketAddr, TokioSocket};
use nix::errno::Errno;

use super::attrs::Attributes;
use super::message::Message;
use crate::io::faults;

/// How long the kernel may take for an answer. It answers inside the system call; more than this
/// means that something is badly wrong.
const ANSWER: Duration = Duration::from_secs(2);

/// The kernel writes at most 32 KiB of a dump at a time (`netlink_dump` in af_netlink.c).
pub(super) const DATAGRAM: usize = 64 * 1024;

/// How often a dump that was overtaken by changes is asked for again.
const DUMP_TRIES: usize = 8;

/// Where the kernel's own sentence about a refusal stands (linux/netlink.h).
const NLMSGERR_ATTR_MSG: u16 = 1;

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
        self.dump_into(question, |all: &mut Vec<Message>, bytes| all.extend(read(bytes))).await
    }

    /// The same, but each message is taken in as it comes, by its bytes: of a dump of any length there
    /// is never more in memory than what `take` keeps. A dump that is overtaken by changes begins again.
    pub(super) async fn dump_into<S: Default + Send>(
        &mut self,
        question: &Message,
        take: impl Fn(&mut S, &[u8]) + Sync,
    ) -> Result<S, Error> {
        for _ in 0..DUMP_TRIES {
            let mut all = S::default();
            let interrupted =
                self.converse(question, NLM_F_DUMP, &mut |bytes| take(&mut all, bytes)).await?;
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
        self.converse(question, 0, &mut |bytes| found = read(bytes)).await?;
        found.ok_or(Error::Strange)
    }

    /// Gives an order and waits until it is done or refused.
    pub(super) async fn order(&mut self, order: &Message, flags: u16) -> Result<(), Error> {
        let write = faults::Write::begin("rtnetlink");
        let answer = self.converse(order, NLM_F_ACK | flags, &mut |_| ()).await;
        write.done();
        answer.map(|_| ())
    }

    /// Sends a message and hands on what comes back; whether it was overtaken by changes.
    async fn converse(
        &mut self,
        message: &Message,
        flags: u16,
        take: &mut (dyn FnMut(&[u8]) + Send),
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
        take: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<bool, Error> {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        let bytes = encode(message, flags, self.sequence);
        poll_fn(|cx| self.socket.poll_send(cx, &bytes)).await.map_err(Error::Socket)?;
        let mut answer = Answer { single: flags == 0, ..Answer::default() };
        while !answer.complete {
            self.receive().await.map_err(Error::Socket)?;
            for message in split(&self.buffer) {
                answer.take(message, self.sequence, take)?;
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
        bytes: &[u8],
        sequence: u32,
        each: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<(), Error> {
        let Some(head) = Head::of(bytes).filter(|head| head.sequence == sequence) else {
            return Ok(());
        };
        self.interrupted |= head.flags & NLM_F_DUMP_INTR != 0;
        if head.kind >= FIRST_OF_A_FAMILY {
            each(bytes);
            self.complete |= self.single;
            return Ok(());
        }
        let message = match NetlinkMessage::<Message>::deserialize(bytes) {
            Ok(message) => message,
            Err(error) => {
                tracing::debug!(%error, "a netlink message is skipped");
                return Ok(());
            }
        };
        match message.payload {
            NetlinkPayload::Done(done) => {
                self.complete = true;
                refused(done.code, &done.extended_ack)?;
            }
            NetlinkPayload::Error(error) => {
                self.complete = true;
                // The head of the message in question, then attributes.
                refused(error.raw_code(), error.header.get(16..).unwrap_or_default())?;
            }
            NetlinkPayload::InnerMessage(_)
            | NetlinkPayload::Noop
            | NetlinkPayload::Overrun(_)
            | _ => {}
        }
        Ok(())
    }
}

/// Numbers below are netlink's own: noop, error, done, overrun (`NLMSG_MIN_TYPE`, linux/netlink.h).
const FIRST_OF_A_FAMILY: u16 = 16;

/// What `struct nlmsghdr` (linux/netlink.h) says of a message, but for its length and its sender.
struct Head {
    kind: u16,
    flags: u16,
    sequence: u32,
}

impl Head {
    fn of(message: &[u8]) -> Option<Self> {
        let half = |at: usize| Some(u16::from_ne_bytes(*message.get(at..)?.first_chunk()?));
        let sequence = u32::from_ne_bytes(*message.get(8..)?.first_chunk()?);
        Some(Self { kind: half(4)?, flags: half(6)?, sequence })
    }
}

/// A message of the kernel's, if it is one that we understand.
pub(super) fn read(bytes: &[u8]) -> Option<Message> {
    match NetlinkMessage::<Message>::deserialize(bytes).map(|message| message.payload) {
        Ok(NetlinkPayload::InnerMessage(inner)) => Some(inner),
        Ok(_) => None,
        Err(error) => {
            tracing::debug!(%error, "a netlink message is skipped");
            None
        }
    }
}

fn refused(code: i32, attributes: &[u8]) -> Result<(), Error> {
    if code == 0 {
        return Ok(());
    }
    let words = Attributes(attributes)
        .get(NLMSGERR_ATTR_MSG)
        .map(|w| String::from_utf8_lossy(w).trim_end_matches('\0').to_owned());
    Err(Error::Refused { errno: Errno::from_raw(-code), words })
}

fn encode(message: &Message, flags: u16, sequence: u32) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    header.sequence_number = sequence;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// The messages of one datagram. A length that makes no sense ends it.
pub(super) fn split(datagram: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(rest.get(..4)?.try_into().ok()?) as usize;
        let message = rest.get(..length).filter(|m| m.len() >= 16)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

impl std::fmt::Debug for Talk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Talk").field("sequence", &self.sequence).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: u32, fill: u8) -> Vec<u8> {
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.resize((length as usize).next_multiple_of(4), fill);
        bytes
    }

    #[test]
    fn a_datagram_falls_into_its_messages() {
        let datagram = [message(18, 1), message(16, 2)].concat();
        let lengths: Vec<_> = split(&datagram).map(<[u8]>::len).collect();
        assert_eq!(lengths, [18, 16]);
    }

    #[test]
    fn nonsense_lengths_end_a_datagram() {
        for length in [0, 4, 15, 17, u32::MAX] {
            let mut bytes = length.to_ne_bytes().to_vec();
            bytes.resize(16, 0);
            assert_eq!(split(&bytes).count(), 0, "{length}");
        }
        assert_eq!(split(&[1, 2]).count(), 0);
    }

    #[test]
    fn a_refusal_carries_the_kernels_words() {
        let mut attributes = 8u16.to_ne_bytes().to_vec();
        attributes.extend(3u16.to_ne_bytes());
        attributes.extend([9; 4]);
        attributes.extend(7u16.to_ne_bytes());
        attributes.extend(1u16.to_ne_bytes());
        attributes.extend(b"no\0");
        let error = refused(-101, &attributes).unwrap_err();
        assert_eq!(error.to_string(), "Network is unreachable (no)");
        assert_eq!(error.errno(), Some(Errno::ENETUNREACH));
        assert!(refused(0, &attributes).is_ok());
        assert_eq!(refused(-1, &[8, 0]).unwrap_err().to_string(), "Operation not permitted");
    }
}
