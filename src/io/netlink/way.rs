//! Which way the kernel would send a packet: a look-up like that of `ip route get` (linux/rtnetlink.h).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use nix::errno::Errno;
use nix::libc;

use super::ask::Asker;
use super::attrs::{Attributes, Attrs};
use super::family;
use crate::units::{Family, IfIndex, TableId};

const PROTOCOL_ROUTE: isize = 0;
/// Bytes of a `struct rtmsg`.
const HEADER: usize = 12;
/// The table that decides, and the route as it stands in it, are to be told.
const LOOKUP_TABLE: u32 = 0x1000;
const FIB_MATCH: u32 = 0x2000;

/// A packet that there could be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Where it is to go.
    pub to: IpAddr,
    /// Who sends it, and by which interface it comes in; `None`: the box itself sends it.
    pub from: Option<(IpAddr, IfIndex)>,
}

/// The route that decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// The table it stands in.
    pub table: TableId,
    /// What it is for.
    pub dst: IpNet,
    /// The next hop; `None` on the link itself.
    pub via: Option<IpAddr>,
    /// `None`: it leads nowhere.
    pub dev: Option<IfIndex>,
    /// It ends at this box.
    pub is_local: bool,
}

/// Asks the kernel of the network namespace of the calling thread.
#[derive(Debug)]
pub struct Ways(Asker);

impl Ways {
    /// Opens a socket. No permission is needed.
    ///
    /// # Errors
    ///
    /// When the kernel gives no socket.
    pub fn open() -> io::Result<Self> {
        Ok(Self(Asker::open(PROTOCOL_ROUTE)?))
    }

    /// The way of a packet; `None`: it has none (no route, or one that refuses).
    ///
    /// # Errors
    ///
    /// What else the kernel answers, such as `EINVAL` to a sender that there cannot be.
    pub fn of(&mut self, packet: &Packet) -> Result<Option<Way>, Errno> {
        match self.0.ask(libc::RTM_GETROUTE, 0, &question(packet)) {
            Ok(answer) => Ok(way(&answer)),
            Err(Errno::ENETUNREACH | Errno::EHOSTUNREACH | Errno::EACCES) => Ok(None),
            Err(other) => Err(other),
        }
    }
}

fn bytes(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn question(packet: &Packet) -> Vec<u8> {
    let bits = if packet.to.is_ipv4() { 32 } else { 128 };
    let mut attrs = Attrs::new().bytes(libc::RTA_DST, &bytes(packet.to));
    let mut source_bits = 0;
    if let Some((from, dev)) = packet.from {
        source_bits = bits;
        attrs = attrs.bytes(libc::RTA_SRC, &bytes(from));
        attrs = attrs.bytes(libc::RTA_IIF, &dev.0.to_ne_bytes());
    }
    // Family, prefix lengths, service; table, protocol, scope and type are the kernel's to tell.
    let family = family::of(Family::of(&packet.to));
    let head = [u8::from(family), bits, source_bits, 0, 0, 0, 0, 0];
    let flags = (LOOKUP_TABLE | FIB_MATCH).to_ne_bytes();
    [&head[..], &flags, attrs.as_bytes()].concat()
}

pub(super) fn way(answer: &[u8]) -> Option<Way> {
    let [family, bits, _, _, table, _, _, kind] = *answer.first_chunk::<8>()?;
    let attributes = Attributes(answer.get(HEADER..)?);
    let is_v4 = family == u8::from(family::of(Family::V4));
    let number = |value: &[u8]| Some(u32::from_ne_bytes(*value.first_chunk::<4>()?));
    let address = |value: &[u8]| {
        Some(if is_v4 {
            IpAddr::from(*value.first_chunk::<4>()?)
        } else {
            IpAddr::from(*value.first_chunk::<16>()?)
        })
    };
    let any =
        if is_v4 { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
    let dst = attributes.get(libc::RTA_DST).and_then(address).unwrap_or(any);
    let leads = matches!(kind, libc::RTN_UNICAST | libc::RTN_LOCAL);
    leads.then_some(Way {
        table: TableId(
            attributes.get(libc::RTA_TABLE).and_then(number).unwrap_or(u32::from(table)),
        ),
        dst: IpNet::new(dst, bits).ok()?,
        via: attributes.get(libc::RTA_GATEWAY).and_then(address),
        dev: attributes.get(libc::RTA_OIF).and_then(number).map(IfIndex),
        is_local: kind == libc::RTN_LOCAL,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_box_itself_is_found() {
        let mut ways = Ways::open().unwrap();
        let to = IpAddr::from(Ipv4Addr::LOCALHOST);
        let way = ways.of(&Packet { to, from: None }).unwrap().unwrap();
        assert!(way.is_local && way.dst.contains(&to), "{way:?}");
        // Control: nobody can come in by an interface that there is not.
        let from = Some((to, IfIndex(u32::MAX >> 1)));
        assert!(ways.of(&Packet { to, from }).is_err());
    }

    #[test]
    fn an_answer_is_read_and_a_broken_one_is_none() {
        let attrs = Attrs::new()
            .bytes(libc::RTA_TABLE, &8300_u32.to_ne_bytes())
            .bytes(libc::RTA_OIF, &7_u32.to_ne_bytes())
            .bytes(libc::RTA_GATEWAY, &[192, 168, 8, 1]);
        let head = [2, 0, 0, 0, 252, 83, 0, libc::RTN_UNICAST, 0, 0, 0, 0];
        let answer = [&head[..], attrs.as_bytes()].concat();
        let found = way(&answer).unwrap();
        assert_eq!((found.table, found.dev), (TableId(8300), Some(IfIndex(7))));
        assert_eq!(
            (found.dst, found.via),
            ("0.0.0.0/0".parse().unwrap(), "192.168.8.1".parse().ok())
        );
        for length in 0..answer.len() {
            let _ = way(&answer[..length]);
        }
        let mut unreachable = answer;
        unreachable[7] = libc::RTN_UNREACHABLE;
        assert_eq!(way(&unreachable), None);
    }
}
