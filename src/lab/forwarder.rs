//! The provider's router: forwards packets between two interfaces in user space, after a delay.
//!
//! The kernel of an ordinary user has no netem; packet sockets it has. Kernel forwarding is off in
//! the provider's namespace, so what these sockets see goes no other way.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockProtocol, SockType, SockaddrLike, bind, socket,
};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// The link-layer header: two addresses and the type of what follows (IEEE 802.3).
const ETHERNET: usize = 14;
/// The largest frame that fits the lab's cables.
const FRAME_MAX: usize = 1500 + ETHERNET;
/// Packets that a line holds at most, whatever its delay: 2 s at 5,000 packets a second.
const QUEUE_MAX: usize = 10_000;
/// The longest that a shaped line holds a packet before it drops new ones: a badly bloated modem.
const BACKLOG_MAX: Duration = Duration::from_secs(2);
/// Frames read before what is due is sent.
const READ_BATCH: usize = 64;

/// How a line treats packets, each way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// How long each packet is on its way.
    pub delay: Duration,
    /// Bits per second; packets queue behind each other for up to two seconds. `None`: unlimited.
    pub rate: Option<u64>,
}

/// One of the forwarder's interfaces and what is at the other end of its cable.
#[derive(Clone, Debug)]
pub struct Port {
    pub interface: String,
    /// Its own link-layer address.
    pub mac: [u8; 6],
    /// The link-layer address of the neighbour.
    pub peer: [u8; 6],
}

/// Forwards between two ports until the namespace ends. Must run in the provider's namespace.
///
/// # Errors
/// If a packet socket is refused or the interface is missing; later errors lose packets, as lines do.
pub fn forward(
    a: &Port,
    b: &Port,
    own: &[IpAddr],
    shape: &watch::Receiver<Shape>,
) -> io::Result<()> {
    let (socket_a, socket_b) = (packet_socket(&a.interface)?, packet_socket(&b.interface)?);
    let own: Arc<[IpAddr]> = own.into();
    let there = Direction { to: b.clone(), from: a.clone(), own: own.clone() };
    let back = Direction { to: a.clone(), from: b.clone(), own };
    tokio::spawn(carry(there, socket_a.clone(), socket_b.clone(), shape.clone()));
    tokio::spawn(carry(back, socket_b, socket_a, shape.clone()));
    Ok(())
}

/// A packet socket on one interface, which sees every frame that arrives there or leaves by it.
///
/// # Errors
/// If the kernel refuses it, or there is no such interface.
pub fn packet_socket(interface: &str) -> io::Result<Arc<UdpSocket>> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let fd = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll)?;
    // getifaddrs hands out what bind wants: the interface as a sockaddr_ll.
    let address = getifaddrs()?
        .filter(|entry| entry.interface_name == interface)
        .find_map(|entry| entry.address.filter(|a| a.family() == Some(AddressFamily::Packet)))
        .ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("no interface {interface}"))
        })?;
    bind(fd.as_raw_fd(), &address)?;
    // Not UDP; but tokio's is the one socket type that takes any descriptor and sends and receives
    // whole packets.
    Ok(Arc::new(UdpSocket::from_std(fd.into())?))
}

/// One direction of the line.
struct Direction {
    from: Port,
    to: Port,
    own: Arc<[IpAddr]>,
}

/// Reads frames from one socket and writes them to the other when they are due.
async fn carry(
    direction: Direction,
    from: Arc<UdpSocket>,
    to: Arc<UdpSocket>,
    mut shape: watch::Receiver<Shape>,
) {
    let mut line = Line {
        shape: *shape.borrow_and_update(),
        queue: VecDeque::new(),
        busy_until: Instant::now(),
    };
    let mut buffer = vec![0; 65_536];
    loop {
        let due = line.queue.front().map(|packet| packet.due);
        tokio::select! {
            ready = from.readable() => {
                if ready.is_err() {
                    return;
                }
                for _ in 0..READ_BATCH {
                    let Ok(length) = from.try_recv(&mut buffer) else { break };
                    line.take(&direction, &mut buffer[..length]);
                }
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            changed = shape.changed() => {
                if changed.is_err() {
                    return;
                }
                line.reshape(*shape.borrow_and_update());
            }
        }
        line.send_due(&to);
    }
}

/// What is on its way.
struct Line {
    shape: Shape,
    queue: VecDeque<Packet>,
    /// When a shaped line has sent what it holds.
    busy_until: Instant,
}

struct Packet {
    due: Instant,
    frame: Box<[u8]>,
}

impl Line {
    fn take(&mut self, direction: &Direction, frame: &mut [u8]) {
        if frame.len() > FRAME_MAX || self.queue.len() >= QUEUE_MAX || !direction.readdress(frame) {
            return;
        }
        let now = Instant::now();
        let start = now.max(self.busy_until);
        if let Some(rate) = self.shape.rate {
            if start - now > BACKLOG_MAX {
                return;
            }
            let bits = 8 * frame.len() as u64;
            self.busy_until = start + Duration::from_micros(bits * 1_000_000 / rate.max(1));
        }
        self.queue.push_back(Packet {
            due: self.busy_until.max(now) + self.shape.delay,
            frame: (&*frame).into(),
        });
    }

    /// Packets on their way keep their order; none is late longer than the new delay.
    fn reshape(&mut self, shape: Shape) {
        let now = Instant::now();
        if shape.rate.is_none() {
            self.busy_until = now;
        }
        if shape.rate.is_none() || shape.delay < self.shape.delay {
            for packet in &mut self.queue {
                packet.due = packet.due.min(now + shape.delay);
            }
        }
        self.shape = shape;
    }

    fn send_due(&mut self, to: &UdpSocket) {
        let now = Instant::now();
        while self.queue.front().is_some_and(|packet| packet.due <= now) {
            if let Some(packet) = self.queue.pop_front() {
                // A full queue loses packets, as on any line.
                let _ = to.try_send(&packet.frame);
            }
        }
    }
}

impl Direction {
    /// Makes a frame that came in ready to go out, or says that it is not for forwarding.
    fn readdress(&self, frame: &mut [u8]) -> bool {
        if frame.len() < ETHERNET || frame[0..6] != self.from.mac {
            return false;
        }
        let (header, packet) = frame.split_at_mut(ETHERNET);
        let hops_left = match u16::from_be_bytes([header[12], header[13]]) {
            0x0800 => hop4(packet, &self.own),
            0x86dd => hop6(packet, &self.own),
            _ => false,
        };
        header[0..6].copy_from_slice(&self.to.peer);
        header[6..12].copy_from_slice(&self.to.mac);
        hops_left
    }
}

/// One hop of an IPv4 packet (RFC 791): time to live, header checksum, and the checksum above it,
/// which the sender's kernel leaves to hardware that a virtual cable does not have.
fn hop4(packet: &mut [u8], own: &[IpAddr]) -> bool {
    if packet.len() < 20 || packet[0] >> 4 != 4 {
        return false;
    }
    let header = usize::from(packet[0] & 0x0f) * 4;
    let total = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    if header < 20 || total < header || total > packet.len() || packet[8] <= 1 {
        return false;
    }
    let to = IpAddr::from([packet[16], packet[17], packet[18], packet[19]]);
    if to.is_multicast() || own.contains(&to) {
        return false;
    }
    packet[8] -= 1;
    packet[10..12].fill(0);
    let sum = fold(sum(&packet[..header]));
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    let fragment = u16::from_be_bytes([packet[6], packet[7]]) & 0x3fff != 0;
    if !fragment {
        let protocol = packet[9];
        let pseudo = sum_of_pseudo(&packet[12..20], total - header, protocol);
        checksum(protocol, pseudo, &mut packet[header..total]);
    }
    true
}

/// One hop of an IPv6 packet (RFC 8200) without extension headers.
fn hop6(packet: &mut [u8], own: &[IpAddr]) -> bool {
    if packet.len() < 40 || packet[0] >> 4 != 6 || packet[7] <= 1 {
        return false;
    }
    let payload = usize::from(u16::from_be_bytes([packet[4], packet[5]]));
    let Ok(to) = <[u8; 16]>::try_from(&packet[24..40]) else {
        return false;
    };
    let to = IpAddr::from(to);
    let link_local = packet[24] == 0xfe && packet[25] & 0xc0 == 0x80;
    if 40 + payload > packet.len() || to.is_multicast() || link_local || own.contains(&to) {
        return false;
    }
    packet[7] -= 1;
    let protocol = packet[6];
    let pseudo = sum_of_pseudo(&packet[8..40], payload, protocol);
    checksum(protocol, pseudo, &mut packet[40..40 + payload]);
    true
}

fn sum_of_pseudo(addresses: &[u8], length: usize, protocol: u8) -> u32 {
    // Packets are shorter than 64 KiB.
    sum(addresses) + u32::try_from(length).unwrap_or(0) + u32::from(protocol)
}

/// Writes the checksum of TCP, UDP and ICMPv6 (whose pseudo header is the same in both families).
fn checksum(protocol: u8, pseudo: u32, segment: &mut [u8]) {
    let at = match protocol {
        6 => 16,
        17 => 6,
        58 => 2,
        _ => return,
    };
    if segment.len() < at + 2 || (protocol == 17 && segment[6..8] == [0, 0]) {
        return;
    }
    segment[at..at + 2].fill(0);
    let mut value = fold(pseudo + sum(segment));
    if protocol == 17 && value == 0 {
        value = 0xffff;
    }
    segment[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

/// Sum of big-endian 16-bit words (RFC 1071); fits, since packets are shorter than 64 KiB.
fn sum(bytes: &[u8]) -> u32 {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let whole: u32 = pairs.iter().map(|pair| u32::from(u16::from_be_bytes(*pair))).sum();
    whole + rest.first().map_or(0, |byte| u32::from(*byte) << 8)
}

fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    // The loop has left 16 bits.
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An echo request as a kernel sends it (type, code, checksum, id, sequence).
    #[test]
    fn a_hop_keeps_checksums_right() {
        let mut packet = vec![0x45, 0, 0, 32, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 1, 1, 1, 1];
        packet.extend([0x12, 0x34, 0, 53, 0, 12, 0xab, 0xcd, 1, 2, 3, 4]);
        assert!(hop4(&mut packet, &[]));
        assert_eq!(packet[8], 63);
        assert_eq!(fold(sum(&packet[..20])), 0, "header sums to zero with its checksum");
        let pseudo = sum_of_pseudo(&packet[12..20], 12, 17);
        assert_eq!(fold(pseudo + sum(&packet[20..])), 0, "so does the datagram");
    }

    #[test]
    fn what_is_not_for_forwarding_stays() {
        let packet = [0x45, 0, 0, 20, 0, 1, 0, 0, 64, 1, 0, 0, 10, 0, 0, 1, 1, 1, 1, 1];
        assert!(hop4(&mut packet.clone(), &[]), "control");
        assert!(
            !hop4(&mut packet.clone(), &["1.1.1.1".parse().unwrap()]),
            "the provider's own address"
        );
        let last_hop = {
            let mut p = packet;
            p[8] = 1;
            p
        };
        assert!(!hop4(&mut last_hop.clone(), &[]));
        assert!(!hop4(&mut packet[..19].to_vec(), &[]), "cut short");
        assert!(!hop6(&mut [0x60; 12], &[]));
    }
}
