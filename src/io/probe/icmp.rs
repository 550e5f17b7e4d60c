//! Echo requests. One socket per uplink and IP version carries all of them.
//!
//! The library tells replies apart by source, identifier and sequence number, and hands out no payload.
//! So the kernel compares it: each socket sends a secret of its own along with every request, and a filter
//! lets nothing in but echo replies with exactly this payload. Each request's number is random besides.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use socket2::{SockFilter, Type};
use surge_ping::{Client, Config, ICMP, IcmpPacket, PingIdentifier, PingSequence, SurgeError};

use crate::engine::probe::{Outcome, Path};
use crate::io::socket::{self, Error, op, words};
use crate::io::sys;
use crate::units::{Family, Rtt, UplinkId};

/// ICMP type of an echo reply (RFC 792).
const ECHO_REPLY_V4: u8 = 0;
/// ICMPv6 type of an echo reply (RFC 4443).
const ECHO_REPLY_V6: u8 = 129;

/// The echo sockets that are open.
#[derive(Default)]
pub(super) struct EchoSockets {
    open: BTreeMap<(UplinkId, Family), Open>,
    told_kind: bool,
}

impl EchoSockets {
    /// The socket through an uplink: the open one, or a new one if the uplink is not what it was.
    ///
    /// A new one gets that secret.
    pub(super) fn through(&mut self, path: &Path, secret: u64) -> Result<Echo, Error> {
        let key = (path.uplink, Family::of(&path.source));
        if let Some(open) = self.open.get(&key)
            && open.path == *path
            && !open.echo.stale.load(Ordering::Relaxed)
        {
            return Ok(open.echo.clone());
        }
        self.open.remove(&key);
        let echo = open(path, secret)?;
        self.tell_kind(&echo.client);
        self.open.insert(key, Open { path: path.clone(), echo: echo.clone() });
        Ok(echo)
    }

    /// Closes the sockets of an uplink.
    pub(super) fn forget(&mut self, uplink: UplinkId) {
        self.open.retain(|(owner, _), _| *owner != uplink);
    }

    fn tell_kind(&mut self, client: &Client) {
        if !self.told_kind {
            self.told_kind = true;
            let raw = client.get_socket().get_type() == Type::RAW;
            tracing::debug!(raw, "echo sockets are raw: ping_group_range does not cover the agent");
        }
    }
}

/// An open socket and the path it was opened for.
struct Open {
    path: Path,
    echo: Echo,
}

/// A handle to an open echo socket.
#[derive(Clone)]
pub(super) struct Echo {
    client: Client,
    ident: PingIdentifier,
    /// What every request carries, and every answer.
    secret: [u8; 8],
    /// Set when the kernel says that the device or the address is gone: open another.
    stale: Arc<AtomicBool>,
}

impl Echo {
    /// Sends one request and waits for its reply.
    pub(super) async fn ask(
        self,
        path: &Path,
        target: IpAddr,
        timeout: Duration,
        random: u64,
    ) -> Outcome {
        let Self { client, ident, secret, stale } = self;
        if let Err(error) = socket::target(path, target, 0) {
            return Outcome::Failed(error.words());
        }
        let mut pinger = client.pinger(target, ident).await;
        // From here on only the table of open sockets keeps this one alive.
        drop(client);
        pinger.timeout(timeout).scope_id(path.index.0);
        // Every probe has its own random number. If it is taken by one that still waits, there are three
        // more.
        for pair in random.to_be_bytes().chunks_exact(2) {
            let sequence = u16::from_be_bytes([pair[0], pair[1]]);
            match pinger.ping(PingSequence(sequence), &secret).await {
                Ok((packet, rtt)) if is_echo_reply(&packet) => {
                    return Outcome::Answered(Rtt(rtt));
                }
                // ICMP errors end at the filter. Anybody can send those: they are no answer.
                Ok(_) => std::future::pending().await,
                Err(SurgeError::IdenticalRequests { .. }) => {}
                Err(error) => return outcome(error, &stale),
            }
        }
        Outcome::Failed("too many echoes to one target".to_owned())
    }
}

fn open(path: &Path, secret: u64) -> Result<Echo, Error> {
    let kind = match path.source {
        IpAddr::V4(_) => ICMP::V4,
        IpAddr::V6(_) => ICMP::V6,
    };
    let config = Config::builder()
        .kind(kind)
        .sock_type_hint(Type::DGRAM)
        .interface(path.dev.as_str())
        .bind(socket::source(path))
        .build();
    let client = Client::new(&config).map_err(|error| refused(path, error))?;
    let inner = client.get_socket();
    let filter = filter(Family::of(&path.source), inner.get_type(), secret.to_be_bytes());
    sys::attach_filter(&inner, inner.get_native_sock(), &filter).map_err(Error::Open)?;
    if path.mark.value != 0 {
        sys::set_mark(&inner, inner.get_native_sock(), path.mark.value).map_err(Error::Mark)?;
    }
    let ident = raw_ident(path.uplink, secret);
    Ok(Echo { client, ident, secret: secret.to_be_bytes(), stale: Arc::default() })
}

/// Bytes of an echo reply in front of its payload (RFC 792, RFC 4443).
const HEAD: u32 = 8;

/// Lets echo replies with this payload in, and nothing else: a program for `SO_ATTACH_FILTER`
/// (linux/filter.h). A raw IPv4 socket gets packets with the network's header.
fn filter(family: Family, socket: Type, payload: [u8; 8]) -> [SockFilter; 14] {
    let reply = match family {
        Family::V4 => ECHO_REPLY_V4,
        Family::V6 => ECHO_REPLY_V6,
    };
    let behind_the_header = match (family, socket) {
        (Family::V4, Type::RAW) => op(libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH, 0, 0, 0),
        (Family::V4 | Family::V6, _) => op(libc::BPF_LDX | libc::BPF_IMM, 0, 0, 0),
    };
    let load = |size: u32, at: u32| op(libc::BPF_LD | size | libc::BPF_IND, 0, 0, at);
    let unless = |value: u32, skip: u8| op(libc::BPF_JMP | libc::BPF_JEQ, 0, skip, value);
    let [a, b, c, d, e, f, g, h] = payload;
    let whole = HEAD + u32::try_from(payload.len()).unwrap_or(0);
    [
        behind_the_header,
        op(libc::BPF_LD | libc::BPF_W | libc::BPF_LEN, 0, 0, 0),
        op(libc::BPF_ALU | libc::BPF_SUB | libc::BPF_X, 0, 0, 0),
        unless(whole, 9),
        load(libc::BPF_B, 0),
        unless(reply.into(), 7),
        load(libc::BPF_B, 1),
        unless(0, 5),
        load(libc::BPF_W, HEAD),
        unless(u32::from_be_bytes([a, b, c, d]), 3),
        load(libc::BPF_W, HEAD + 4),
        unless(u32::from_be_bytes([e, f, g, h]), 1),
        op(libc::BPF_RET, 0, 0, u32::MAX),
        op(libc::BPF_RET, 0, 0, 0),
    ]
}

/// The identifier of a raw socket's requests. The kernel hands every raw socket everybody's
/// replies, so it is another one for each uplink; datagram sockets get theirs from the kernel.
fn raw_ident(uplink: UplinkId, random: u64) -> PingIdentifier {
    let [high, low, ..] = random.to_le_bytes();
    PingIdentifier((u16::from_be_bytes([high, low]) & 0xfff0) | u16::from(uplink.get()))
}

/// Which of its steps (open, bind to the address, bind to the device) the library failed in.
fn refused(path: &Path, error: io::Error) -> Error {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EADDRNOTAVAIL) => Error::Source { address: path.source, source: error },
        Some(Errno::ENODEV) => Error::Device { dev: path.dev.clone(), source: error },
        _ => Error::Open(error),
    }
}

fn is_echo_reply(packet: &IcmpPacket) -> bool {
    match packet {
        IcmpPacket::V4(packet) => packet.get_icmp_type().0 == ECHO_REPLY_V4,
        IcmpPacket::V6(packet) => packet.get_icmpv6_type().0 == ECHO_REPLY_V6,
    }
}

fn outcome(error: SurgeError, stale: &AtomicBool) -> Outcome {
    match error {
        SurgeError::Timeout { .. } => Outcome::Silent,
        SurgeError::IOError(error) => {
            if is_gone(&error) {
                stale.store(true, Ordering::Relaxed);
            }
            Outcome::Failed(words(&error))
        }
        SurgeError::ClientDestroyed => {
            Outcome::Failed("the interface or its address changed".to_owned())
        }
        SurgeError::IncorrectBufferSize
        | SurgeError::MalformedPacket(_)
        | SurgeError::EchoRequestPacket
        | SurgeError::NetworkError
        | SurgeError::IdenticalRequests { .. } => Outcome::Failed(error.to_string()),
    }
}

/// Whether a socket that says this will say it for ever: its device or its address is gone. (The
/// IPv4 route lookup calls a source address that is not ours any more an invalid argument.)
fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw),
        Some(Errno::ENODEV | Errno::ENXIO | Errno::EADDRNOTAVAIL | Errno::EINVAL)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_identifiers_differ_between_uplinks() {
        let ident = |n: u8| raw_ident(UplinkId::new(n).unwrap(), 0x1234_5678_9abc_def0);
        let all: std::collections::BTreeSet<u16> = (1..=14).map(|n| ident(n).0).collect();
        assert_eq!(all.len(), 14);
        assert_eq!(ident(3), ident(3));
    }

    #[test]
    fn what_is_gone_is_opened_anew_and_what_is_down_is_not() {
        let gone = |errno: Errno| is_gone(&io::Error::from_raw_os_error(errno as i32));
        assert!(gone(Errno::ENODEV) && gone(Errno::EADDRNOTAVAIL) && gone(Errno::EINVAL));
        assert!(!gone(Errno::ENETUNREACH) && !gone(Errno::ENETDOWN) && !gone(Errno::EPERM));
        assert!(!is_gone(&io::Error::other("no number")));
    }
}
