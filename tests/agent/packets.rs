//! Packets, byte by byte, as nobody's kernel would send them.

use std::net::{IpAddr, Ipv4Addr};

// Flags of TCP (RFC 9293 §3.1).
pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const PSH: u8 = 0x08;
pub(crate) const ACK: u8 = 0x10;
pub(crate) const URG: u8 = 0x20;

// Protocol numbers.
pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ICMPV6: u8 = 58;

/// What all packets begin with.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) from: IpAddr,
    pub(crate) to: IpAddr,
    pub(crate) ttl: u8,
    /// IPv4: the identification; IPv6: the flow label.
    pub(crate) tag: u16,
    /// IPv4: flags and offset of a fragment.
    pub(crate) fragment: u16,
    /// IPv4: options. IPv6: extension headers, each with its number; the first byte is filled in.
    pub(crate) extra: Vec<(u8, Vec<u8>)>,
}

impl Head {
    pub(crate) fn new(from: IpAddr, to: IpAddr) -> Self {
        Self { from, to, ttl: 64, tag: 0, fragment: 0, extra: Vec::new() }
    }

    /// The whole packet.
    pub(crate) fn packet(&self, protocol: u8, body: &[u8]) -> Vec<u8> {
        match (self.from, self.to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => self.packet4(from, to, protocol, body),
            _ => self.packet6(protocol, body),
        }
    }

    /// RFC 791 §3.1.
    fn packet4(&self, from: Ipv4Addr, to: Ipv4Addr, protocol: u8, body: &[u8]) -> Vec<u8> {
        let mut options: Vec<u8> = self.extra.iter().flat_map(|(_, o)| o.clone()).collect();
        options.resize(options.len().next_multiple_of(4), 0);
        let words = 5 + options.len() / 4;
        let mut packet = vec![0x40 | low(words), 0];
        packet.extend(short(words * 4 + body.len()));
        packet.extend(self.tag.to_be_bytes());
        packet.extend(self.fragment.to_be_bytes());
        packet.extend([self.ttl, protocol, 0, 0]);
        packet.extend(from.octets());
        packet.extend(to.octets());
        packet.extend(options);
        let sum = checksum(&packet).to_be_bytes();
        packet[10..12].copy_from_slice(&sum);
        packet.extend(body);
        packet
    }

    /// RFC 8200 §3 and §4.
    fn packet6(&self, protocol: u8, body: &[u8]) -> Vec<u8> {
        let next = self.extra.iter().map(|(number, _)| *number).chain([protocol]);
        let mut next = next.collect::<Vec<u8>>().into_iter();
        let mut rest = Vec::new();
        let first = next.next().unwrap_or(protocol);
        for ((_, header), next) in self.extra.iter().zip(next) {
            rest.push(next);
            rest.extend(&header[1..]);
        }
        rest.extend(body);
        let [high, tail] = self.tag.to_be_bytes();
        let mut packet = vec![0x60, 0, high, tail];
        packet.extend(short(rest.len()));
        packet.extend([first, self.ttl]);
        packet.extend(octets(self.from));
        packet.extend(octets(self.to));
        packet.extend(rest);
        packet
    }
}

fn low(n: usize) -> u8 {
    u8::try_from(n).unwrap_or(u8::MAX)
}

fn short(n: usize) -> [u8; 2] {
    u16::try_from(n).unwrap_or(u16::MAX).to_be_bytes()
}

pub(crate) fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// RFC 1071.
pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|two| {
        u32::from(u16::from_be_bytes([two[0], two.get(1).copied().unwrap_or_default()]))
    });
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

/// Puts the checksum of it, with the pseudo-header, at `at`.
fn summed(from: IpAddr, to: IpAddr, protocol: u8, at: usize, mut body: Vec<u8>) -> Vec<u8> {
    let mut pseudo = [octets(from), octets(to)].concat();
    if from.is_ipv4() {
        pseudo.extend([0, protocol]);
        pseudo.extend(short(body.len()));
    } else {
        pseudo.extend([0, 0]);
        pseudo.extend(short(body.len()));
        pseudo.extend([0, 0, 0, protocol]);
    }
    pseudo.extend(&body);
    let sum = checksum(&pseudo).to_be_bytes();
    body[at..at + 2].copy_from_slice(&sum);
    body
}

/// A bare segment (RFC 9293 §3.1).
pub(crate) fn tcp(from: IpAddr, to: IpAddr, ports: [u16; 2], flags: u8) -> Vec<u8> {
    let mut segment = ports.map(u16::to_be_bytes).concat();
    segment.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0x20, 0, 0, 0, 0, 0]);
    summed(from, to, TCP, 16, segment)
}

/// RFC 768.
pub(crate) fn udp(from: IpAddr, to: IpAddr, ports: [u16; 2], payload: &[u8]) -> Vec<u8> {
    let mut datagram = ports.map(u16::to_be_bytes).concat();
    datagram.extend(short(8 + payload.len()));
    datagram.extend([0, 0]);
    datagram.extend(payload);
    summed(from, to, UDP, 6, datagram)
}

/// RFC 792, RFC 4443: type and code, four bytes that depend on them, and the rest.
pub(crate) fn icmp([from, to]: [IpAddr; 2], what: [u8; 2], word: [u8; 4], rest: &[u8]) -> Vec<u8> {
    let message = [&what[..], &[0, 0], &word, rest].concat();
    if from.is_ipv6() {
        return summed(from, to, ICMPV6, 2, message);
    }
    with_checksum(message)
}

/// A message whose checksum stands at its third byte and covers nothing else (ICMP, IGMP).
pub(crate) fn with_checksum(mut message: Vec<u8>) -> Vec<u8> {
    let sum = checksum(&message).to_be_bytes();
    message[2..4].copy_from_slice(&sum);
    message
}
