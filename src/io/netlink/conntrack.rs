//! Connection tracking: which flows are on an uplink, and forgetting them all at once.
//!
//! Flows are chosen by mark inside the kernel. The kernel takes a flush without a mark, or with an
//! empty mask, for a flush of everything, so no message of that kind can be built here.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use nix::errno::Errno;

use super::lacking::is_lacking;
use super::nfnl::{Attributes, Attrs, Message, Nfnl, NfnlError, SUBSYS_CTNETLINK, missing};
use crate::engine::kernel::flow::FlowCount;
use crate::engine::kernel::flow::{Flow, TcpState, Tuple};
use crate::io::faults;
use crate::units::{Family, Fwmark, PerFamily};

// NFPROTO_* (linux/netfilter.h)
const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;

// IPCTNL_MSG_CT_* (linux/netfilter/nfnetlink_conntrack.h)
const GET: u16 = (SUBSYS_CTNETLINK as u16) << 8 | 1;
const DELETE: u16 = (SUBSYS_CTNETLINK as u16) << 8 | 2;
const GET_STATS: u16 = (SUBSYS_CTNETLINK as u16) << 8 | 5;

// CTA_*
const TUPLE_ORIG: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const STATUS: u16 = 3;
const PROTOINFO: u16 = 4;
const MARK: u16 = 8;
const COUNTERS_ORIG: u16 = 9;
const COUNTERS_REPLY: u16 = 10;
const ID: u16 = 12;
const ZONE: u16 = 18;
const MARK_MASK: u16 = 21;
// CTA_TUPLE_*, CTA_IP_*, CTA_PROTO_*
const TUPLE_IP: u16 = 1;
const TUPLE_PROTO: u16 = 2;
const IP_V4_SRC: u16 = 1;
const IP_V4_DST: u16 = 2;
const IP_V6_SRC: u16 = 3;
const IP_V6_DST: u16 = 4;
const PROTO_NUM: u16 = 1;
const PROTO_SRC_PORT: u16 = 2;
const PROTO_DST_PORT: u16 = 3;
const PROTO_ICMP_ID: u16 = 4;
const PROTO_ICMPV6_ID: u16 = 7;
// CTA_COUNTERS_BYTES
const COUNTERS_BYTES: u16 = 2;
// CTA_PROTOINFO_TCP, CTA_PROTOINFO_TCP_STATE
const PROTOINFO_TCP: u16 = 1;
const TCP_STATE: u16 = 1;

/// `IPS_SEEN_REPLY` (linux/netfilter/nf_conntrack_common.h).
const SEEN_REPLY: u32 = 1 << 1;
/// Flows that are deleted one by one, at most: in a window without answers a home begins some dozens.
const ONE_BY_ONE: usize = 4096;

/// What ctnetlink is built as.
const MODULE: &str = "nf_conntrack_netlink";

/// A socket to ctnetlink, in the network namespace in which it was opened. Calls block: a flush of
/// 50 000 flows takes some 150 ms inside `send`.
#[derive(Debug)]
pub struct Conntrack {
    link: Nfnl,
}

impl Conntrack {
    /// Opens the socket and makes sure that ctnetlink is there and may be used.
    ///
    /// # Errors
    /// [`NfnlError::Permission`] or [`NfnlError::Missing`], each a sentence for people.
    pub fn open() -> Result<Self, NfnlError> {
        let lacking = || missing("conntrack netlink", "CONFIG_NF_CT_NETLINK", MODULE);
        if is_lacking(MODULE) {
            return Err(lacking());
        }
        let mut link = Nfnl::open()?;
        let probe = message(GET_STATS, Attrs::new(), "the number of tracked flows");
        // Netfilter answers EINVAL for a subsystem that it does not know.
        link.request(&probe, |_| {}).map_err(|error| match error.errno() {
            Some(Errno::EINVAL | Errno::EOPNOTSUPP) => lacking(),
            _ => error,
        })?;
        Ok(Self { link })
    }

    /// Forgets every flow of one family with that mark. That none has it is no error.
    ///
    /// # Errors
    /// [`NfnlError::EmptyMark`] if mask or value is zero, which would mean flows that are not ours;
    /// else what the kernel answered.
    pub fn flush(&mut self, mark: Fwmark, family: Family) -> Result<(), NfnlError> {
        let filter = MarkFilter::new(mark).ok_or(NfnlError::EmptyMark)?;
        let what = "a flush of flows by mark";
        let message = Message {
            // A version of 0 would let the kernel overlook the family (ctnetlink_flush_conntrack).
            version: 1,
            family: nfproto(family),
            ..message(DELETE, filter.attrs(), what)
        };
        let write = faults::Write::begin("conntrack flush");
        let answer = self.link.request(&message, |_| {});
        write.done();
        answer
    }

    /// Forgets the flows of one family with that mark that never had an answer, and shows each of
    /// them before. One by one: a kernel that knows no filter by status would take a flush with one
    /// for a flush of all that have the mark.
    ///
    /// # Errors
    /// [`NfnlError::EmptyMark`] if mask or value is zero; else what the kernel answered.
    pub fn flush_unanswered(
        &mut self,
        mark: Fwmark,
        family: Family,
        mut each: impl FnMut(Entry<'_>),
    ) -> Result<(), NfnlError> {
        let mut found = Vec::new();
        self.visit(mark, family, |entry| {
            if entry.is_unanswered() && found.len() < ONE_BY_ONE {
                found.extend(entry.identity());
                each(entry);
            }
        })?;
        let write = faults::Write::begin("conntrack flush of flows without an answer");
        let mut answer = Ok(());
        for identity in found {
            let one = message(DELETE, identity, "a flow without an answer");
            match self.link.request(&Message { family: nfproto(family), ..one }, |_| {}) {
                // It has ended by itself.
                Err(error) if error.errno() == Some(Errno::ENOENT) => {}
                Err(error) => answer = Err(error),
                Ok(()) => {}
            }
        }
        write.done();
        answer
    }

    /// The flows with that mark.
    ///
    /// # Errors
    /// [`NfnlError::EmptyMark`] if mask or value is zero; else what the kernel answered.
    pub fn dump(&mut self, mark: Fwmark) -> Result<Vec<Flow>, NfnlError> {
        let mut flows = Vec::new();
        for family in Family::BOTH {
            self.visit(mark, family, |entry| flows.extend(entry.flow()))?;
        }
        Ok(flows)
    }

    /// Shows the flows of one family with that mark as they pass by; none is kept.
    ///
    /// # Errors
    /// [`NfnlError::EmptyMark`] if mask or value is zero; else what the kernel answered.
    pub fn visit(
        &mut self,
        mark: Fwmark,
        family: Family,
        mut each: impl FnMut(Entry<'_>),
    ) -> Result<(), NfnlError> {
        let filter = MarkFilter::new(mark).ok_or(NfnlError::EmptyMark)?;
        let all = message(GET, filter.attrs(), "flows by mark");
        let message = Message { family: nfproto(family), ..all };
        self.link.dump(&message, |entry| {
            let entry = Entry(entry);
            // Old kernels do not choose by themselves.
            if filter.matches(entry.mark()) && entry.family() == Some(family) {
                each(entry);
            }
        })
    }

    /// How many flows there are for each value of the mark under `mask`, and in each family, leaving
    /// out those that begin or end in `except`. Flows are counted as they pass by and not kept.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn count_by(
        &mut self,
        mask: u32,
        except: &[IpNet],
    ) -> Result<BTreeMap<u32, PerFamily<FlowCount>>, NfnlError> {
        let mut counts: BTreeMap<u32, PerFamily<FlowCount>> = BTreeMap::new();
        self.link.dump(&message(GET, Attrs::new(), "flows"), |entry| {
            let ip = entry.nested(TUPLE_ORIG).nested(TUPLE_IP);
            let ours = |a: &IpAddr| !except.iter().any(|net| net.contains(a));
            let from = address(ip, IP_V4_SRC, IP_V6_SRC).filter(ours);
            let to = address(ip, IP_V4_DST, IP_V6_DST).filter(ours);
            let (Some(from), Some(_)) = (from, to) else {
                return;
            };
            let mark = Entry(entry).mark() & mask;
            let count = counts.entry(mark).or_default().get_mut(Family::of(&from));
            *count = *count + FlowCount { flows: 1, bytes: Entry(entry).bytes() };
        })?;
        Ok(counts)
    }
}

/// A flow as it passes by in a list. Only what is asked for is read.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a>(pub(super) Attributes<'a>);

impl Entry<'_> {
    #[must_use]
    pub fn mark(self) -> u32 {
        self.0.be32(MARK).unwrap_or(0)
    }

    /// Its IP version, of the first packet.
    #[must_use]
    pub fn family(self) -> Option<Family> {
        let from = address(self.0.nested(TUPLE_ORIG).nested(TUPLE_IP), IP_V4_SRC, IP_V6_SRC)?;
        Some(Family::of(&from))
    }

    /// Whether no packet ever came back.
    #[must_use]
    pub fn is_unanswered(self) -> bool {
        self.0.be32(STATUS).is_some_and(|status| status & SEEN_REPLY == 0)
    }

    /// What names this flow and no later one with the same addresses; `None` if the kernel did not
    /// tell.
    pub(super) fn identity(self) -> Option<Attrs> {
        let original = Attrs::from(self.0.get(TUPLE_ORIG)?.to_vec());
        let named = Attrs::new().nest(TUPLE_ORIG, &original).bytes(ID, self.0.get(ID)?);
        Some(self.0.get(ZONE).into_iter().fold(named, |named, zone| named.bytes(ZONE, zone)))
    }

    /// Where a TCP connection stands; `None` for other protocols.
    #[must_use]
    pub fn tcp(self) -> Option<TcpState> {
        let state = self.0.nested(PROTOINFO).nested(PROTOINFO_TCP).get(TCP_STATE)?;
        Some(tcp_state(*state.first()?))
    }

    /// What it has carried in both directions, in bytes: 0 where the kernel does not count
    /// (`nf_conntrack_acct`), or did not when the flow began.
    #[must_use]
    pub fn bytes(self) -> u64 {
        let one_way = |kind| self.0.nested(kind).be64(COUNTERS_BYTES).unwrap_or(0);
        one_way(COUNTERS_ORIG).saturating_add(one_way(COUNTERS_REPLY))
    }

    /// All of it; `None` if it is not of IP.
    #[must_use]
    pub fn flow(self) -> Option<Flow> {
        let original = self.0.nested(TUPLE_ORIG);
        Some(Flow {
            protocol: *original.nested(TUPLE_PROTO).get(PROTO_NUM)?.first()?,
            original: tuple(original)?,
            reply: tuple(self.0.nested(TUPLE_REPLY))?,
            tcp: self.tcp(),
            mark: self.mark(),
        })
    }
}

const fn nfproto(family: Family) -> u8 {
    match family {
        Family::V4 => NFPROTO_IPV4,
        Family::V6 => NFPROTO_IPV6,
    }
}

/// A mark that can be handed to a flush: neither its mask nor its value is empty.
#[derive(Clone, Copy, Debug)]
struct MarkFilter(Fwmark);

impl MarkFilter {
    const fn new(mark: Fwmark) -> Option<Self> {
        if mark.value & mark.mask == 0 { None } else { Some(Self(mark)) }
    }

    /// Both attributes, always together.
    fn attrs(self) -> Attrs {
        Attrs::new().be32(MARK, self.0.value & self.0.mask).be32(MARK_MASK, self.0.mask)
    }

    const fn matches(self, mark: u32) -> bool {
        (mark ^ self.0.value) & self.0.mask == 0
    }
}

/// A message for both families (`AF_UNSPEC`).
fn message(kind: u16, attrs: Attrs, object: &str) -> Message {
    Message { kind, flags: 0, version: 0, family: 0, attrs, object: object.to_owned() }
}

fn tuple(tuple: Attributes<'_>) -> Option<Tuple> {
    let (ip, proto) = (tuple.nested(TUPLE_IP), tuple.nested(TUPLE_PROTO));
    let id = || port(proto, PROTO_ICMP_ID).or_else(|| port(proto, PROTO_ICMPV6_ID)).unwrap_or(0);
    let src = address(ip, IP_V4_SRC, IP_V6_SRC)?;
    let dst = address(ip, IP_V4_DST, IP_V6_DST)?;
    Some(Tuple {
        src: SocketAddr::new(src, port(proto, PROTO_SRC_PORT).unwrap_or_else(id)),
        dst: SocketAddr::new(dst, port(proto, PROTO_DST_PORT).unwrap_or_else(id)),
    })
}

fn address(ip: Attributes<'_>, v4: u16, v6: u16) -> Option<IpAddr> {
    if let Some(bytes) = ip.get(v4) {
        return Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into());
    }
    Some(Ipv6Addr::from(<[u8; 16]>::try_from(ip.get(v6)?).ok()?).into())
}

fn port(proto: Attributes<'_>, kind: u16) -> Option<u16> {
    Some(u16::from_be_bytes(proto.get(kind)?.try_into().ok()?))
}

const fn tcp_state(state: u8) -> TcpState {
    match state {
        1 => TcpState::SynSent,
        2 => TcpState::SynRecv,
        3 => TcpState::Established,
        4 => TcpState::FinWait,
        5 => TcpState::CloseWait,
        6 => TcpState::LastAck,
        7 => TcpState::TimeWait,
        8 => TcpState::Close,
        9 => TcpState::SynSent2,
        _ => TcpState::None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_mark_without_bits_can_not_be_flushed() {
        let mark = |value, mask| MarkFilter::new(Fwmark { value, mask });
        assert!(mark(0, 0).is_none());
        assert!(mark(0x0100_0000, 0).is_none());
        assert!(mark(0, 0x0f00_0000).is_none());
        assert!(mark(0x1000_0000, 0x0f00_0000).is_none(), "only bits outside the mask");
        let filter = mark(0x0100_0000, 0x0f00_0000).unwrap();
        let both = [8, 0, 8, 0, 1, 0, 0, 0, 8, 0, 21, 0, 0x0f, 0, 0, 0];
        assert_eq!(filter.attrs().as_bytes(), both);
        assert!(filter.matches(0x1100_0000) && !filter.matches(0x0200_0000));
    }

    #[test]
    fn a_translated_tcp_flow_is_read() {
        let tuple = |src: [u8; 4], sport: u16, dst: [u8; 4], dport: u16| {
            let ip = Attrs::new().bytes(IP_V4_SRC, &src).bytes(IP_V4_DST, &dst);
            let ports = Attrs::new().bytes(PROTO_NUM, &[6]);
            let ports = ports.bytes(PROTO_SRC_PORT, &sport.to_be_bytes());
            let ports = ports.bytes(PROTO_DST_PORT, &dport.to_be_bytes());
            Attrs::new().nest(TUPLE_IP, &ip).nest(TUPLE_PROTO, &ports)
        };
        let state = Attrs::new().nest(PROTOINFO_TCP, &Attrs::new().bytes(TCP_STATE, &[3]));
        let entry = Attrs::new()
            .nest(TUPLE_ORIG, &tuple([10, 0, 0, 5], 4000, [1, 1, 1, 1], 443))
            .nest(TUPLE_REPLY, &tuple([1, 1, 1, 1], 443, [192, 0, 2, 7], 4001))
            .nest(PROTOINFO, &state)
            .be32(MARK, 0x0100_0000);
        let flow = Entry(Attributes(entry.as_bytes())).flow().unwrap();
        assert_eq!(flow.original.src, "10.0.0.5:4000".parse().unwrap());
        assert_eq!(flow.reply.dst, "192.0.2.7:4001".parse().unwrap());
        assert_eq!((flow.protocol, flow.tcp), (6, Some(TcpState::Established)));
        assert_eq!(flow.mark, 0x0100_0000);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_survived(bytes: Vec<u8>) {
            let entry = Entry(Attributes(&bytes));
            let _ = (entry.flow(), entry.bytes(), entry.family(), entry.identity());
        }
    }
}
