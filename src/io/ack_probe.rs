//! Telling an idle TCP client that its connection is gone.
//!
//! A client that only waits for a push sends nothing, so no reset can answer it, and it would wait
//! for ever. One bare ACK in the name of its server, with numbers that fit nothing, makes its stack
//! answer with an ACK of its own (RFC 9293 §3.10.7.4, first check); that one is answered with a
//! reset as every packet of a connection that conntrack has forgotten, with the right numbers.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use nix::errno::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use crate::units::Fwmark;

/// `IPPROTO_RAW`: what is sent has its IP header already.
const RAW: i32 = 255;
const TCP: u8 = 6;
/// Hops that a packet may take: a LAN has few.
const HOPS: u8 = 64;
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const TCP_HEADER: u8 = 20;
/// The ACK bit (RFC 9293 §3.1).
const ACK: u8 = 0x10;
/// How long a full queue of the LAN's interface is waited for.
const PATIENCE: Duration = Duration::from_millis(20);

/// Why no client can be notified.
#[derive(Debug, thiserror::Error)]
pub enum AckProbeError {
    /// The process may not send such packets.
    #[error("no permission to send raw packets: CAP_NET_RAW is missing")]
    Permission,
    /// The kernel gave no socket.
    #[error("cannot open a raw socket")]
    Socket(#[source] io::Error),
}

/// What became of an ACK probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckProbed {
    /// It is on its way into the LAN.
    Sent,
    /// It would have left by an uplink, or not left the box: whoever is there is not in the LAN.
    NotHere,
    /// There is no way to it, or its queue is full.
    Lost,
}

/// Raw sockets, in the network namespace in which they were opened. Calls block for 20 ms at most.
#[derive(Debug)]
pub struct AckProber {
    v4: Socket,
    /// `None` where the kernel is without IPv6.
    v6: Option<Socket>,
}

impl AckProber {
    /// Opens the sockets.
    ///
    /// # Errors
    /// Without `CAP_NET_RAW`; or what the kernel said.
    pub fn open() -> Result<Self, AckProbeError> {
        let v4 = socket(Domain::IPV4)?;
        v4.set_header_included_v4(true).map_err(AckProbeError::Socket)?;
        let v6 = match socket(Domain::IPV6) {
            Err(AckProbeError::Socket(error)) if is(&error, Errno::EAFNOSUPPORT) => None,
            other => Some(other?),
        };
        if let Some(v6) = &v6 {
            v6.set_header_included_v6(true).map_err(AckProbeError::Socket)?;
        }
        Ok(Self { v4, v6 })
    }

    /// Sends an ACK probe to the client `to` in the name of its server `from`.
    pub fn send(&self, to: SocketAddr, from: SocketAddr) -> AckProbed {
        let sent = match (to, from) {
            (SocketAddr::V4(to), SocketAddr::V4(from)) => {
                let packet = packet4((*to.ip(), to.port()), (*from.ip(), from.port()));
                self.v4.send_to(&packet, &SocketAddr::new(IpAddr::V4(*to.ip()), 0).into())
            }
            (SocketAddr::V6(to), SocketAddr::V6(from)) => {
                let Some(v6) = &self.v6 else { return AckProbed::Lost };
                let packet = packet6((*to.ip(), to.port()), (*from.ip(), from.port()));
                // A port would be taken for a protocol number.
                v6.send_to(&packet, &SocketAddrV6::new(*to.ip(), 0, 0, 0).into())
            }
            (SocketAddr::V4(_), SocketAddr::V6(_)) | (SocketAddr::V6(_), SocketAddr::V4(_)) => {
                return AckProbed::Lost;
            }
        };
        match sent {
            Ok(_) => AckProbed::Sent,
            // The ruleset lets no ACK probe out by an uplink (chain `poke`).
            Err(error) if is(&error, Errno::EPERM) => AckProbed::NotHere,
            Err(_) => AckProbed::Lost,
        }
    }
}

fn socket(domain: Domain) -> Result<Socket, AckProbeError> {
    let forbidden = |error: io::Error| {
        let is_forbidden = is(&error, Errno::EPERM) || is(&error, Errno::EACCES);
        if is_forbidden { AckProbeError::Permission } else { AckProbeError::Socket(error) }
    };
    let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(RAW))).map_err(forbidden)?;
    // So that conntrack makes no flow of it.
    socket.set_mark(Fwmark::ACK_PROBE.value).map_err(forbidden)?;
    socket.set_write_timeout(Some(PATIENCE)).map_err(AckProbeError::Socket)?;
    Ok(socket)
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno as i32)
}

/// The ACK with its IPv4 header (RFC 791 §3.1).
fn packet4(to: (Ipv4Addr, u16), from: (Ipv4Addr, u16)) -> Vec<u8> {
    let length = IPV4_HEADER as u8 + TCP_HEADER;
    // Version 4, five words; do not fragment.
    let mut packet = vec![0x45, 0, 0, length, 0, 0, 0x40, 0, HOPS, TCP, 0, 0];
    packet.extend(from.0.octets());
    packet.extend(to.0.octets());
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    let pseudo = [&from.0.octets()[..], &to.0.octets(), &[0, TCP, 0, TCP_HEADER]].concat();
    packet.extend(ack(from.1, to.1, &pseudo));
    packet
}

/// The ACK with its IPv6 header (RFC 8200 §3).
fn packet6(to: (Ipv6Addr, u16), from: (Ipv6Addr, u16)) -> Vec<u8> {
    let mut packet = Vec::with_capacity(IPV6_HEADER + usize::from(TCP_HEADER));
    packet.extend([0x60, 0, 0, 0, 0, TCP_HEADER, TCP, HOPS]);
    packet.extend(from.0.octets());
    packet.extend(to.0.octets());
    let pseudo =
        [&from.0.octets()[..], &to.0.octets(), &[0, 0, 0, TCP_HEADER, 0, 0, 0, TCP]].concat();
    packet.extend(ack(from.1, to.1, &pseudo));
    packet
}

/// A bare ACK: sequence and acknowledgement 1, a window of 1, no options. Sequence numbers begin
/// at random, so 1 is almost never in the client's window; where it is, the client takes it for an
/// old ACK and nothing happens.
fn ack(source: u16, destination: u16, pseudo_header: &[u8]) -> Vec<u8> {
    let mut tcp = Vec::with_capacity(usize::from(TCP_HEADER));
    tcp.extend(source.to_be_bytes());
    tcp.extend(destination.to_be_bytes());
    tcp.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, ACK, 0, 1, 0, 0, 0, 0]);
    let sum = checksum(&[pseudo_header, &tcp].concat());
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    tcp
}

/// The Internet checksum (RFC 1071) of an even number of bytes.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks_exact(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1]));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_the_internets() {
        // The example of RFC 1071 §3, where the sum is ddf2.
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
        // A header whose checksum is in every textbook.
        let header = [
            0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0, 0, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0,
            0xc7,
        ];
        assert_eq!(checksum(&header), 0xb861);
    }

    #[test]
    fn an_ipv4_ack_probe_has_these_bytes() {
        let (client, server) = (Ipv4Addr::new(192, 168, 77, 2), Ipv4Addr::new(203, 0, 113, 7));
        let packet = packet4((client, 40000), (server, 443));
        #[rustfmt::skip]
        let golden = [
            0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0xf1, 0x1d, 203, 0, 113, 7, 192, 168, 77, 2,
            0x01, 0xbb, 0x9c, 0x40, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0, 1, 0xc8, 0x23, 0, 0,
        ];
        assert_eq!(packet, golden);
    }

    #[test]
    fn an_ipv6_ack_probe_sums_to_zero() {
        let (client, server): (Ipv6Addr, Ipv6Addr) =
            ("fd77::2".parse().unwrap(), "2001:db8:cafe::7".parse().unwrap());
        let packet = packet6((client, 40000), (server, 443));
        assert_eq!(packet[..8], [0x60, 0, 0, 0, 0, 20, 6, 64]);
        assert_eq!((&packet[8..24], &packet[24..40]), (&server.octets()[..], &client.octets()[..]));
        // With its checksum in place all that is summed gives nothing (RFC 1071 §1).
        let pseudo = [&packet[8..40], &[0, 0, 0, 20, 0, 0, 0, 6], &packet[40..]].concat();
        assert_eq!(checksum(&pseudo), 0);
    }
}
