//! nfnetlink, the small layer below nftables and conntrack: a blocking socket, messages made of
//! attributes, atomic batches, dumps, and errors that name the object the kernel refused.
//!
//! Numbers inside attributes are big endian, headers are host order (linux/netfilter/nfnetlink.h).

use std::io;
use std::os::fd::AsRawFd;

use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send, setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use thiserror::Error;

pub use super::attrs::{Attributes, Attrs};
use super::frame::{self, ACK, DUMP, DUMP_INTR, Frame, Frames, HEADER, Part};
use crate::io::faults;

/// Subsystem number of nf_tables.
pub const SUBSYS_NFTABLES: u8 = 10;
/// Subsystem number of ctnetlink.
pub const SUBSYS_CTNETLINK: u8 = 1;

/// `NLM_F_CREATE`: make the object if it is not there.
pub const CREATE: u16 = 0x400;
/// `NLM_F_APPEND`: put it behind the others.
pub const APPEND: u16 = 0x800;
/// `NLM_F_EXCL`: fail if it is there.
pub const EXCL: u16 = 0x200;

const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const PROTOCOL_NETFILTER: isize = 12;

/// How long the kernel may take to answer; it answers inside `send`, so anything longer is a fault.
const PATIENCE_MS: i64 = 2000;
/// Room for a dump's largest datagram (`NLMSG_GOODSIZE` grows to 32 KiB).
const RECEIVE_BYTES: usize = 64 << 10;
/// Room for a whole ruleset in one batch.
const SEND_BYTES: usize = 4 << 20;
/// The length of `struct nfgenmsg`.
const NFGENMSG: usize = 4;

/// Why netfilter could not do what was asked.
#[derive(Debug, Error)]
pub enum NfnlError {
    /// The process may not change the network.
    #[error("no permission to use nftables and conntrack: CAP_NET_ADMIN is missing")]
    Permission,
    /// The kernel was built without something, or its module is not installed.
    #[error("this kernel has no {what}: it needs {option} (module {module})")]
    Missing {
        /// What is missing, in words.
        what: String,
        option: String,
        module: String,
    },
    /// Somebody else's, who lets nobody else change it.
    #[error(
        "{object} belongs to another program (netlink port {port}), and only that one may change it"
    )]
    Owned {
        object: String,
        /// The netlink port of its owner: mostly the number of its process.
        port: u32,
    },
    /// The kernel refused one object.
    #[error("the kernel refused {object}: {errno}{detail}")]
    Refused {
        /// What was to be made, changed or read.
        object: String,
        errno: Errno,
        /// Its own words, if it had any.
        detail: String,
    },
    /// A value that nftables has no bytes for, such as an IPv6 prefix in a set of IPv4 addresses.
    #[error("{object} cannot be written as nftables")]
    Unwritable { object: String },
    /// A mark without bits, which would mean every flow.
    #[error("a conntrack flush needs a mark and a mask that are not zero")]
    EmptyMark,
    /// Objects changed while they were listed.
    #[error("the list changed while it was read")]
    Interrupted,
    /// No answer in time.
    #[error("no answer from netfilter within {PATIENCE_MS} ms")]
    Timeout,
    /// The socket itself failed.
    #[error("netfilter's netlink socket failed")]
    Socket(#[source] io::Error),
}

impl NfnlError {
    /// The errno behind a refusal.
    #[must_use]
    pub const fn errno(&self) -> Option<Errno> {
        if let Self::Refused { errno, .. } = self { Some(*errno) } else { None }
    }
}

impl From<Errno> for NfnlError {
    fn from(errno: Errno) -> Self {
        if errno == Errno::EAGAIN {
            return Self::Timeout;
        }
        if errno == Errno::EPERM { Self::Permission } else { Self::Socket(errno.into()) }
    }
}

/// One request to netfilter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Subsystem (high byte) and command.
    pub kind: u16,
    /// Flags beside those that the layer sets.
    pub flags: u16,
    pub family: u8,
    /// `nfgenmsg.version`; 0 but where the kernel looks at it.
    pub version: u8,
    pub attrs: Attrs,
    /// What it is about, for errors: `rule 3 of chain masq`.
    pub object: String,
}

impl Message {
    /// The message as bytes.
    fn encode(&self, flags: u16, seq: u32, out: &mut Vec<u8>) {
        let head = [self.family, self.version, 0, 0];
        let body: [&[u8]; 2] = [&head, self.attrs.as_bytes()];
        frame::put(out, self.kind, self.flags | flags, seq, &body);
    }
}

/// Appends the begin or the end of a batch: its subsystem stands in `nfgenmsg.res_id`.
fn put_bound(out: &mut Vec<u8>, kind: u16, seq: u32, subsystem: u8) {
    frame::put(out, kind, 0, seq, &[&[0, 0, 0, subsystem]]);
}

/// The attributes of an answer, behind `nfgenmsg`.
pub(super) fn attributes<'a>(frame: &Frame<'a>) -> Attributes<'a> {
    Attributes(frame.body.get(NFGENMSG..).unwrap_or_default())
}

/// A socket to netfilter, in the network namespace in which it was opened. Calls block.
#[derive(Debug)]
pub struct Nfnl {
    socket: Socket,
    seq: u32,
    buffer: Box<[u8]>,
}

impl Nfnl {
    /// Opens the socket.
    ///
    /// # Errors
    /// [`NfnlError::Missing`] where the kernel has no nfnetlink.
    pub fn open() -> Result<Self, NfnlError> {
        let mut socket = Socket::new(PROTOCOL_NETFILTER).map_err(|e| match e.raw_os_error() {
            Some(code) if Errno::from_raw(code) == Errno::EPROTONOSUPPORT => {
                missing("netfilter netlink", "CONFIG_NETFILTER_NETLINK", "nfnetlink")
            }
            _ => NfnlError::Socket(e),
        })?;
        socket.bind_auto().map_err(NfnlError::Socket)?;
        socket.connect(&SocketAddr::new(0, 0)).map_err(NfnlError::Socket)?;
        // Without these the kernel echoes whole requests and keeps its explanations to itself; both
        // are comforts that old kernels lack.
        let _ = socket.set_cap_ack(true);
        let _ = socket.set_ext_ack(true);
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::milliseconds(PATIENCE_MS))?;
        if setsockopt(&socket, sockopt::SndBufForce, &SEND_BYTES).is_err() {
            let _ = setsockopt(&socket, sockopt::SndBuf, &SEND_BYTES);
        }
        Ok(Self { socket, seq: 0, buffer: vec![0; RECEIVE_BYTES].into() })
    }

    /// Sends one message, hands each answer to `each`, and waits for the ack.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn request(
        &mut self,
        message: &Message,
        mut each: impl FnMut(Attributes<'_>),
    ) -> Result<(), NfnlError> {
        let seq = self.next_seq();
        let mut bytes = Vec::new();
        message.encode(ACK, seq, &mut bytes);
        self.send(&bytes)?;
        loop {
            for frame in self.receive()?.filter(|f| f.seq == seq) {
                match frame.part() {
                    Part::End(Some(errno)) => return Err(refusal(message, errno, &frame)),
                    Part::End(None) if frame.is_ack() => return Ok(()),
                    Part::Content => each(attributes(&frame)),
                    Part::End(None) | Part::Noop => {}
                }
            }
        }
    }

    /// Lists objects, one call of `each` for each.
    ///
    /// # Errors
    /// What the kernel answered; [`NfnlError::Interrupted`] if the list is not of one moment.
    pub fn dump(
        &mut self,
        message: &Message,
        mut each: impl FnMut(Attributes<'_>),
    ) -> Result<(), NfnlError> {
        let seq = self.next_seq();
        let mut bytes = Vec::new();
        message.encode(DUMP, seq, &mut bytes);
        self.send(&bytes)?;
        let mut interrupted = false;
        loop {
            for frame in self.receive()?.filter(|f| f.seq == seq) {
                interrupted |= frame.flags & DUMP_INTR != 0;
                match frame.part() {
                    Part::End(Some(errno)) => return Err(refusal(message, errno, &frame)),
                    Part::End(None) if interrupted => return Err(NfnlError::Interrupted),
                    Part::End(None) => return Ok(()),
                    Part::Content => each(attributes(&frame)),
                    Part::Noop => {}
                }
            }
        }
    }

    /// Sends messages as one transaction: all of them take effect, or none.
    ///
    /// Only the last message asks for an ack, because the kernel reports errors anyway and some
    /// hundred acks would overflow the default receive buffer.
    ///
    /// # Errors
    /// The first refusal, with the name of the object.
    pub fn batch(&mut self, subsystem: u8, messages: &[Message]) -> Result<(), NfnlError> {
        let Some(last_index) = messages.len().checked_sub(1) else {
            return Ok(());
        };
        let begin = self.next_seq();
        let mut bytes = Vec::new();
        put_bound(&mut bytes, BATCH_BEGIN, begin, subsystem);
        for (at, message) in messages.iter().enumerate() {
            let seq = self.next_seq();
            message.encode(if at == last_index { ACK } else { 0 }, seq, &mut bytes);
        }
        let last = self.seq;
        let end = self.next_seq();
        put_bound(&mut bytes, BATCH_END, end, subsystem);
        let write = faults::Write::begin("nfnetlink batch");
        self.send(&bytes)?;
        write.done();
        let mut first_error = None;
        loop {
            for frame in self.receive()?.filter(Frame::is_ack) {
                let at = frame.seq.wrapping_sub(begin);
                if at > last.wrapping_sub(begin) {
                    continue;
                }
                let about = (at as usize).checked_sub(1).and_then(|at| messages.get(at));
                if let Part::End(Some(errno)) = frame.part() {
                    let error = about.map_or_else(
                        || batch_refusal(errno),
                        |message| refusal(message, errno, &frame),
                    );
                    first_error.get_or_insert(error);
                }
                if about.is_none() || frame.seq == last {
                    return first_error.map_or(Ok(()), Err);
                }
            }
        }
    }

    fn next_seq(&mut self) -> u32 {
        self.seq = self.seq.wrapping_add(1);
        self.seq
    }

    fn send(&self, bytes: &[u8]) -> Result<(), NfnlError> {
        send(self.socket.as_raw_fd(), bytes, MsgFlags::empty())?;
        Ok(())
    }

    fn receive(&mut self) -> Result<Frames<'_>, NfnlError> {
        let len = loop {
            match recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::empty()) {
                Err(Errno::EINTR) => {}
                other => break other?,
            }
        };
        Ok(Frames(&self.buffer[..len]))
    }
}

/// The error for a whole batch: the subsystem said no before it looked inside, or at the commit.
fn batch_refusal(errno: Errno) -> NfnlError {
    if errno == Errno::EPERM {
        return NfnlError::Permission;
    }
    if errno == Errno::EOPNOTSUPP {
        return missing("nftables", "CONFIG_NF_TABLES", "nf_tables");
    }
    let object = "the batch as a whole".to_owned();
    NfnlError::Refused { object, errno, detail: String::new() }
}

/// The error for one message.
pub(super) fn refusal(message: &Message, errno: Errno, frame: &Frame<'_>) -> NfnlError {
    let (words, offset) = frame.extended();
    if errno == Errno::EPERM {
        return NfnlError::Permission;
    }
    let expression = offset.and_then(|at| expression_at(message, at));
    if let (Errno::ENOENT, Some(name)) = (errno, expression)
        && !NAMING.contains(&name.as_str())
    {
        return missing_expression(&name);
    }
    NfnlError::Refused {
        object: message.object.clone(),
        errno,
        detail: words.map(|w| format!(" ({w})")).unwrap_or_default(),
    }
}

/// Expressions that name a set, an object or a chain: their `ENOENT` is about that name. All others
/// get it when the kernel does not know the expression itself.
const NAMING: [&str; 3] = ["lookup", "objref", "immediate"];

/// The error for an expression that the kernel lacks.
fn missing_expression(name: &str) -> NfnlError {
    let part = match name {
        "notrack" => "ct",
        "reject" => "reject_inet",
        "fib" => "fib_inet",
        other => other,
    };
    let option = format!("CONFIG_NFT_{}", part.to_uppercase());
    missing(&format!("nftables expression `{name}`"), &option, &format!("nft_{part}"))
}

/// The name of the expression (`NFTA_EXPR_NAME` in a list element) at an offset in the message.
fn expression_at(message: &Message, offset: usize) -> Option<String> {
    let bytes = message.attrs.as_bytes().get(offset.checked_sub(HEADER + NFGENMSG)?..)?;
    let (kind, element) = Attributes(bytes).next()?;
    let name = Attributes(element).text(1)?;
    (kind == 1 && name.chars().all(|c| c.is_ascii_lowercase())).then(|| name.to_owned())
}

/// Something that the kernel was built without.
pub(super) fn missing(what: &str, option: &str, module: &str) -> NfnlError {
    NfnlError::Missing {
        what: what.to_owned(),
        option: option.to_owned(),
        module: module.to_owned(),
    }
}

#[cfg(test)]
mod tests;
