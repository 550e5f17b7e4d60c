//! A packet as an ordinary client of the LAN has it, and as the answer to it comes back; and answers to the box itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::model::{Answer, Arrival, Field, Port, Way};
use crate::units::Family;

/// A packet of a flow that a client begins: what is looked at, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The first one, from the LAN.
    Asks,
    /// The answer, from the uplink.
    Answered,
    /// The next one, from the LAN.
    GoesOn,
}

impl Step {
    pub(super) const ALL: [Self; 3] = [Self::Asks, Self::Answered, Self::GoesOn];
}

/// Somewhere in the Internet.
const SERVER4: Ipv4Addr = Ipv4Addr::new(93, 184, 215, 14);
const SERVER6: Ipv6Addr = Ipv6Addr::new(0x2606, 0x2800, 0x21f, 0xcb07, 0, 0, 0, 0x34);
/// A client's port, and that of a web server.
const PORT: u16 = 51_234;
const HTTPS: u16 = 443;
const DNS: u16 = 53;
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
/// Of what has come through routers, and of what has not (RFC 4861 §6.1.2).
const HOPS: u8 = 63;
const NO_HOPS: u8 = 255;
/// The next router, by IPv6.
const NEXT: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
/// TCP's flags: SYN, SYN with ACK, ACK.
const SYN: u8 = 0x02;
const SYN_ACK: u8 = 0x12;
const ACK: u8 = 0x10;

/// Bits of a flow's state (`NF_CT_STATE_BIT`), which xt_conntrack shares.
const ESTABLISHED: u32 = 1 << 1;
const NEW: u32 = 1 << 3;
const UNTRACKED: u32 = 1 << 6;
/// `IPS_CONFIRMED`, `IPS_SEEN_REPLY`, `IPS_SRC_NAT`, and that both kinds of NAT have been looked at.
const CONFIRMED: u32 = 1 << 3;
const SEEN_REPLY: u32 = 1 << 1;
const NATED: u32 = 1 << 4 | 1 << 7 | 1 << 8;
/// As they are before the first packet has left.
const UNCONFIRMED: u32 = 1 << 8;

/// A packet where it is forwarded: behind the NAT of what comes in, before that of what leaves.
pub(super) struct Packet<'a> {
    comes: &'a Port,
    /// `None`: it is for the box itself.
    leaves: Option<&'a Port>,
    family: Family,
    pub(super) protocol: u8,
    pub(super) state: u32,
    status: u32,
    direction: u8,
    network: Vec<u8>,
    transport: Vec<u8>,
}

impl<'a> Packet<'a> {
    pub(super) fn new(way: &'a Way, step: Step) -> Self {
        let family = Family::of(&way.client);
        let server = match family {
            Family::V4 => IpAddr::V4(SERVER4),
            Family::V6 => IpAddr::V6(SERVER6),
        };
        let (flags, state, status) = match step {
            Step::Asks => (SYN, NEW, UNCONFIRMED),
            Step::Answered => (SYN_ACK, ESTABLISHED, CONFIRMED | SEEN_REPLY | NATED),
            Step::GoesOn => (ACK, ESTABLISHED, CONFIRMED | SEEN_REPLY | NATED),
        };
        let back = step == Step::Answered;
        let ((comes, leaves), (from, to), ports) = if back {
            ((&way.out, &way.lan), (server, way.client), (HTTPS, PORT))
        } else {
            ((&way.lan, &way.out), (way.client, server), (PORT, HTTPS))
        };
        Self {
            comes,
            leaves: Some(leaves),
            family,
            protocol: TCP,
            state,
            status,
            direction: u8::from(back),
            network: network(from, to, (TCP, HOPS, 20)),
            transport: transport(ports, flags),
        }
    }

    /// An answer to the box itself.
    pub(super) fn arriving(arrival: &'a Arrival) -> Self {
        let Arrival { by, own, answer } = arrival;
        let family = Family::of(own);
        let (server, icmp, reply) = match family {
            Family::V4 => (IpAddr::V4(SERVER4), ICMP, 0),
            Family::V6 => (IpAddr::V6(SERVER6), ICMPV6, 129),
        };
        let tracked = (ESTABLISHED, CONFIRMED | SEEN_REPLY);
        let (from, protocol, hops, (state, status), transport) = match answer {
            Answer::Echo => (server, icmp, HOPS, tracked, vec![reply, 0, 0, 0, 0x12, 0x34, 0, 1]),
            Answer::Name => {
                let ports = [DNS.to_be_bytes(), PORT.to_be_bytes()].concat();
                (server, UDP, HOPS, tracked, [&ports[..], &[0, 8, 0, 0]].concat())
            }
            Answer::Neighbour => {
                let mut message = vec![136, 0, 0, 0, 0xe0, 0, 0, 0];
                message.extend(NEXT.octets());
                (IpAddr::V6(NEXT), ICMPV6, NO_HOPS, (UNTRACKED, 0), message)
            }
        };
        Self {
            comes: by,
            leaves: None,
            family,
            protocol,
            state,
            status,
            direction: 1,
            network: network(from, *own, (protocol, hops, transport.len())),
            transport,
        }
    }

    /// The bytes that the kernel would load, `None` where they are not known.
    pub(super) fn load(&self, field: &Field) -> Option<Vec<u8>> {
        let name = |port: &Port| {
            let mut bytes = port.name.as_str().as_bytes().to_vec();
            bytes.resize(16, 0);
            bytes
        };
        let (nfproto, ethertype) = match self.family {
            Family::V4 => (2, 0x0800_u16),
            Family::V6 => (10, 0x86dd),
        };
        Some(match field {
            Field::InName => name(self.comes),
            Field::OutName => self.leaves.map_or_else(|| vec![0; 16], name),
            Field::InIndex => self.comes.index.0.to_ne_bytes().to_vec(),
            Field::OutIndex => self.leaves.map_or(0, |port| port.index.0).to_ne_bytes().to_vec(),
            Field::Family => vec![nfproto],
            Field::EtherType => ethertype.to_be_bytes().to_vec(),
            Field::Protocol => vec![self.protocol],
            Field::State => self.state.to_ne_bytes().to_vec(),
            Field::Status => self.status.to_ne_bytes().to_vec(),
            Field::Direction => vec![self.direction],
            Field::Network(at, len) => self.network.get(*at..at.checked_add(*len)?)?.to_vec(),
            Field::Transport(at, len) => self.transport.get(*at..at.checked_add(*len)?)?.to_vec(),
            Field::Other(_) | Field::Nothing => return None,
        })
    }
}

/// A network header without options (RFC 791, RFC 8200), given what follows it, how far it may go and how many bytes follow; its
/// checksum is nobody's to filter by.
fn network(from: IpAddr, to: IpAddr, (protocol, hops, payload): (u8, u8, usize)) -> Vec<u8> {
    // None of these packets is longer than a byte can say.
    let length = u8::try_from(payload).unwrap_or(u8::MAX);
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let total = length.saturating_add(20);
            let mut header = vec![0x45, 0, 0, total, 0x12, 0x34, 0x40, 0, hops, protocol, 0, 0];
            header.extend(from.octets());
            header.extend(to.octets());
            header
        }
        (from, to) => {
            let wide = |ip: IpAddr| match ip {
                IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                IpAddr::V6(ip) => ip.octets(),
            };
            let mut header = vec![0x60, 0, 0, 0, 0, length, protocol, hops];
            header.extend(wide(from));
            header.extend(wide(to));
            header
        }
    }
}

/// A TCP header without options (RFC 9293).
fn transport((from, to): (u16, u16), flags: u8) -> Vec<u8> {
    let mut header = [from.to_be_bytes(), to.to_be_bytes()].concat();
    header.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0xfa, 0xf0, 0, 0, 0, 0]);
    header
}
