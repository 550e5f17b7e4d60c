//! Who else speaks in the LAN as a router: each interface is asked once by DHCP and by router solicitation, and the answers
//! are listened to. Frames are made and read here, past all firewalls of this box, which may let no such answer in.

mod advert;
mod offer;
mod wire;

use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io;
use std::net::Ipv6Addr;
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use nix::ifaddrs::getifaddrs;
use nix::libc;
use nix::sys::socket::{LinkAddr, MsgFlags, bind, recvfrom, send};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use crate::engine::doctor::{Says, Voice};
use crate::io::clock;
use crate::io::socket::op;
use crate::units::IfName;

/// How long answers are listened to, on all interfaces at once: dnsmasq sees for up to three seconds whether anybody has the
/// address before it offers it, and a router may wait as long between two advertisements (RFC 4861 §6.2.6).
const LISTENS: Duration = Duration::from_secs(4);
const LOOK: Duration = Duration::from_millis(50);
/// Voices that are kept of an interface: more are no household.
const MOST_VOICES: usize = 8;
/// The largest frame that is looked at, in bytes.
const FRAME: usize = 2048;

/// What is heard in the LAN within four seconds, each once.
///
/// # Errors
/// If no such socket may be opened (`CAP_NET_RAW`). An interface that is not there, or is none of Ethernet, is passed over.
pub fn listen(lans: &[IfName]) -> io::Result<BTreeSet<Voice>> {
    let mut ears = Vec::new();
    for lan in lans {
        let Some(Lan { link, mac, source }) = ethernet(lan)? else { continue };
        let xid = RandomState::new().build_hasher().finish() as u32;
        let dhcp = Kind::Offers { xid };
        for kind in [dhcp, Kind::Adverts { source }] {
            ears.push(Ear { lan, link, mac, kind, socket: open(kind, &link)? });
        }
    }
    // Whoever answers one is heard by the others.
    for ear in &ears {
        // One that is down takes nothing.
        let _ = send(ear.socket.as_raw_fd(), &ear.question(), MsgFlags::empty());
    }
    let mut voices = BTreeSet::new();
    let begun = clock::now().mono;
    while !ears.is_empty() && clock::now().mono.since(begun) < LISTENS {
        std::thread::sleep(LOOK);
        for ear in &ears {
            ear.hear(&mut voices);
        }
    }
    Ok(voices)
}

/// What any bytes say as a frame of the LAN, when this number had been asked with by this device.
#[cfg(feature = "lab")]
#[must_use]
pub fn overhear(frame: &[u8], mac: [u8; 6], xid: u32) -> Option<Says> {
    offer::read(frame, mac, xid).or_else(|| advert::read(frame))
}

/// What is listened to.
#[derive(Clone, Copy)]
enum Kind {
    /// Answers to the question of this number.
    Offers { xid: u32 },
    /// Answers to a question from that address.
    Adverts { source: Ipv6Addr },
}

/// A socket on an interface.
struct Ear<'l> {
    lan: &'l IfName,
    link: LinkAddr,
    mac: [u8; 6],
    kind: Kind,
    socket: Socket,
}

impl Ear<'_> {
    fn question(&self) -> Vec<u8> {
        match self.kind {
            Kind::Offers { xid } => offer::question(self.mac, xid),
            Kind::Adverts { source } => advert::question(self.mac, source),
        }
    }

    /// Takes in what has come.
    fn hear(&self, voices: &mut BTreeSet<Voice>) {
        let mut frame = [0; FRAME];
        // What floods the LAN is not followed for ever.
        for _ in 0..1000 {
            let received = recvfrom::<LinkAddr>(self.socket.as_raw_fd(), &mut frame);
            let Ok((length, from)) = received else { return };
            // Before it was bound it heard all interfaces.
            if from.is_none_or(|from| from.ifindex() != self.link.ifindex()) {
                continue;
            }
            let frame = frame.get(..length).unwrap_or_default();
            if wire::bytes::<6>(frame, 6) == Some(self.mac) {
                continue;
            }
            let of_lan = voices.iter().filter(|voice| voice.lan == *self.lan).count();
            if let Some(says) = self.read(frame)
                && of_lan < MOST_VOICES
            {
                voices.insert(Voice { lan: self.lan.clone(), says });
            }
        }
    }

    fn read(&self, frame: &[u8]) -> Option<Says> {
        match self.kind {
            Kind::Offers { xid } => offer::read(frame, self.mac, xid),
            Kind::Adverts { .. } => advert::read(frame),
        }
    }
}

/// An interface.
struct Lan {
    /// As bind(2) wants it.
    link: LinkAddr,
    mac: [u8; 6],
    /// The box's own address on the link; unspecified, if there is none.
    source: Ipv6Addr,
}

/// An interface of Ethernet, if it is there.
fn ethernet(name: &IfName) -> io::Result<Option<Lan>> {
    let own = getifaddrs()?.filter(|entry| entry.interface_name == name.as_str());
    let addresses: Vec<_> = own.filter_map(|entry| entry.address).collect();
    let link = addresses.iter().find_map(|address| address.as_link_addr().copied());
    let v6 = addresses.iter().filter_map(|address| Some(address.as_sockaddr_in6()?.ip()));
    let source = v6.into_iter().find(Ipv6Addr::is_unicast_link_local);
    let source = source.unwrap_or(Ipv6Addr::UNSPECIFIED);
    let mac = link.and_then(|link| link.addr()).filter(|mac| *mac != [0; 6]);
    Ok(link.zip(mac).map(|(link, mac)| Lan { link, mac, source }))
}

fn open(kind: Kind, link: &LinkAddr) -> io::Result<Socket> {
    let ethertype = match kind {
        Kind::Offers { .. } => offer::ETHERTYPE,
        Kind::Adverts { .. } => advert::ETHERTYPE,
    };
    let protocol = Protocol::from(i32::from(ethertype.to_be()));
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))?;
    socket.set_nonblocking(true)?;
    socket.attach_filter(&filter(kind))?;
    bind(socket.as_raw_fd(), link)?;
    Ok(socket)
}

/// Lets in what may be an answer: a router's LAN has other traffic.
fn filter(kind: Kind) -> [SockFilter; 6] {
    use libc::{BPF_ABS, BPF_B, BPF_H, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET};
    let byte = |at| op(BPF_LD | BPF_B | BPF_ABS, 0, 0, at);
    let word = |at| op(BPF_LD | BPF_H | BPF_ABS, 0, 0, at);
    let (first, is, second, then) = match kind {
        // UDP, to a DHCP client; servers put no options into the header of IPv4.
        Kind::Offers { .. } => (byte(14 + 9), 17, word(14 + 20 + 2), 68),
        // ICMPv6 without headers before it, a router advertisement.
        Kind::Adverts { .. } => (byte(14 + 6), 58, byte(14 + 40), 134),
    };
    let or_nothing = |lines, value| op(BPF_JMP | BPF_JEQ | BPF_K, 0, lines, value);
    let keep = |bytes| op(BPF_RET | BPF_K, 0, 0, bytes);
    [first, or_nothing(3, is), second, or_nothing(1, then), keep(0xffff), keep(0)]
}
