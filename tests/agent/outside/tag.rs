//! Which of the packets of a table this is, or an answer to, or an error about.

use std::net::IpAddr;

use sparelink::lab::topology::{ECHO4, ECHO6};

use crate::packets::{ICMP, ICMPV6, TCP, UDP, octets};

/// Below the ports that kernels choose, above those of services.
pub(super) const TAGS: std::ops::Range<u16> = 9_000..32_768;
/// What is before a tag where there are no ports.
pub(super) const MAGIC: u16 = 0xef5b;

pub(super) const IPIP: u8 = 4;
pub(super) const DCCP: u8 = 33;
pub(super) const SIT: u8 = 41;
pub(super) const AH: u8 = 51;
pub(super) const SCTP: u8 = 132;
pub(super) const UDP_LITE: u8 = 136;
pub(super) const HOP_BY_HOP: u8 = 0;
pub(super) const ROUTING: u8 = 43;
pub(super) const FRAGMENT: u8 = 44;
pub(super) const DESTINATION: u8 = 60;

const ETHERNET: usize = 14;

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

fn ours(tag: u16) -> Option<u16> {
    TAGS.contains(&tag).then_some(tag)
}

/// Whether the agent's probes go there, or the client's questions: they come from any port.
pub(super) fn is_asked(ip: IpAddr) -> bool {
    if [ECHO4, ECHO6].contains(&ip) {
        return true;
    }
    match ip {
        IpAddr::V4(ip) => {
            matches!(
                ip.octets(),
                [1, 1, 1, 1] | [8, 8, 8, 8] | [9, 9, 9, 9] | [192, 168, 10..=12, 1]
            )
        }
        IpAddr::V6(ip) => {
            matches!(ip.segments(), [0x2606 | 0x2001 | 0x2620 | 0xfe80, second, .., 1 | 0x1111 | 0x8888 | 0xfe] if second != 0xdb8)
                || matches!(ip.segments(), [0x2001, 0xdb8, 0x10..=0x12, .., 1])
        }
    }
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()
}

fn is_of_a_probe(ends: [&[u8]; 2]) -> bool {
    ends.into_iter().filter_map(address).any(is_asked)
}

/// The tag of a frame.
pub(super) fn of_frame(frame: &[u8]) -> Option<u16> {
    of_packet(frame.get(ETHERNET..)?)
}

/// The tag of a packet, or of what is left of one in an error.
pub(super) fn of_packet(packet: &[u8]) -> Option<u16> {
    match packet.first()? >> 4 {
        4 => {
            let head = usize::from(packet[0] & 0xf) * 4;
            if is_of_a_probe([packet.get(12..16)?, packet.get(16..20)?]) {
                return None;
            }
            if short(packet, 6)? & 0x1fff != 0 {
                return ours(short(packet, 4)?);
            }
            of_body(*packet.get(9)?, packet.get(head..)?)
        }
        6 => {
            let ends = [packet.get(8..24)?, packet.get(24..40)?];
            if is_of_a_probe(ends) {
                return None;
            }
            let named = ends.into_iter().find_map(of_address);
            named.or_else(|| of_body6(*packet.get(6)?, packet.get(40..)?))
        }
        _ => None,
    }
}

/// An address of IPv6 that has the tag at its end.
fn of_address(octets: &[u8]) -> Option<u16> {
    (short(octets, 12)? == MAGIC).then_some(())?;
    ours(short(octets, 14)?)
}

/// The same of whoever sent something.
pub(super) fn of_sender(ip: IpAddr) -> Option<u16> {
    ip.is_ipv6().then(|| of_address(&octets(ip))).flatten()
}

fn of_body6(mut next: u8, mut body: &[u8]) -> Option<u16> {
    loop {
        let length = match next {
            HOP_BY_HOP | ROUTING | DESTINATION => 8 + 8 * usize::from(*body.get(1)?),
            FRAGMENT if short(body, 2)? & 0xfff8 != 0 => return ours(short(body, 6)?),
            FRAGMENT => 8,
            _ => return of_body(next, body),
        };
        next = body[0];
        body = body.get(length..)?;
    }
}

/// The tag of what is behind the headers of IP.
pub(super) fn of_body(protocol: u8, body: &[u8]) -> Option<u16> {
    let after_magic = |at| (short(body, at)? == MAGIC).then(|| short(body, at + 2)).flatten();
    match protocol {
        TCP | UDP | UDP_LITE | SCTP | DCCP => {
            [0, 2].into_iter().find_map(|at| ours(short(body, at)?))
        }
        IPIP | SIT => of_packet(body),
        ICMP if matches!(body.first()?, 3 | 4 | 5 | 11 | 12) => of_packet(body.get(8..)?),
        ICMPV6 if matches!(body.first()?, 1..=4) => of_packet(body.get(8..)?),
        ICMP | ICMPV6 if short(body, 6)? == MAGIC => ours(short(body, 4)?),
        _ => [0, 4, 8].into_iter().find_map(after_magic).and_then(ours),
    }
}
