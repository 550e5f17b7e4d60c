//! One rule as the kernel reads it: each statement becomes a few expressions that load a value into
//! a register, compare it, or act.
//!
//! Marks, interface names and conntrack bits stand in registers in host order; addresses and ports
//! as on the wire.

use std::net::IpAddr;

use ipnet::IpNet;

use super::super::nfnl::Attrs;
use super::uapi::{
    DATA_VALUE, DATA_VERDICT, LIST_ELEM, NF_ACCEPT, NF_DROP, NFPROTO_IPV4, NFPROTO_IPV6, NFT_GOTO,
    NFT_JUMP, NFT_RETURN, OBJECT_COUNTER, VERDICT_CHAIN, VERDICT_CODE,
};
use crate::engine::dataplane::nft::{AddressType, CtState, Sense, Stmt, Verdict};
use crate::units::{Family, Fwmark, IfName};

/// First register of 16 bytes (`NFT_REG_1`), and the verdict's (`NFT_REG_VERDICT`).
const REG: u32 = 1;
/// The next one: an address behind an interface name in a concatenation.
const REG_2: u32 = 2;
const REG_VERDICT: u32 = 0;

// NFT_META_*
const META_MARK: u32 = 3;
const META_OIF: u32 = 5;
const META_IIFNAME: u32 = 6;
const META_OIFNAME: u32 = 7;
const META_NFPROTO: u32 = 15;
const META_L4PROTO: u32 = 16;
const META_IIFKIND: u32 = 26;
const META_OIFKIND: u32 = 27;
// NFT_CT_*
const CT_STATE: u32 = 0;
const CT_DIRECTION: u32 = 1;
const CT_STATUS: u32 = 2;
const CT_MARK: u32 = 3;
/// `IPS_DST_NAT` (linux/netfilter/nf_conntrack_common.h).
const IPS_DST_NAT: u32 = 0x20;
// NFT_CMP_*
const EQ: u32 = 0;
const NEQ: u32 = 1;
const LT: u32 = 2;
// NFT_PAYLOAD_*
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
/// The loopback device is always the first (`LOOPBACK_IFINDEX`).
const LOOPBACK_IFINDEX: u32 = 1;
// RTN_* (linux/rtnetlink.h).
const RTN_UNICAST: u32 = 1;
const RTN_LOCAL: u32 = 2;
const RTN_ANYCAST: u32 = 4;
/// `NFTA_META_SREG`, `NFTA_CT_SREG`: the register that a mark is set from.
const META_SREG: u16 = 3;
const CT_SREG: u16 = 4;
const BYTEORDER_HTON: u32 = 1;
const LOOKUP_INVERT: u32 = 1;
// NFT_FIB_RESULT_ADDRTYPE, NFTA_FIB_F_*
const FIB_ADDRTYPE: u32 = 3;
const FIB_SADDR: u32 = 1;
const FIB_DADDR: u32 = 2;
const FIB_IIF: u32 = 8;
const FIB_OIF: u32 = 16;
const NUMGEN_RANDOM: u32 = 1;
// NFT_REJECT_*
const REJECT_TCP_RST: u32 = 1;
const REJECT_ICMPX: u32 = 2;
const ICMPX_ADMIN_PROHIBITED: u8 = 3;
// NFT_RT_*
const RT_TCPMSS: u32 = 3;
const RT_XFRM: u32 = 4;
const EXTHDR_TCPOPT: u32 = 1;
// NFT_NAT_*
const NAT_SNAT: u32 = 0;
const NAT_DNAT: u32 = 1;
/// TCP option 2, maximum segment size: two bytes behind kind and length (RFC 9293 §3.7.1).
const TCPOPT_MAXSEG: u8 = 2;

/// Where an address stands in the two network headers (RFC 791 §3.1, RFC 8200 §3).
#[derive(Clone, Copy)]
struct Offsets {
    v4: u32,
    v6: u32,
}
const SADDR: Offsets = Offsets { v4: 12, v6: 8 };
const DADDR: Offsets = Offsets { v4: 16, v6: 24 };

/// A rule as `NFTA_RULE_EXPRESSIONS`.
pub(super) fn rule(statements: &[Stmt]) -> Attrs {
    let mut rule = Rule { list: Attrs::new(), family: None };
    for statement in statements {
        rule = rule.statement(statement);
    }
    rule.list
}

/// A verdict as `NFTA_DATA_VERDICT`.
pub(super) fn verdict_data(verdict: &Verdict) -> Attrs {
    let (code, chain) = match verdict {
        Verdict::Accept => (NF_ACCEPT, None),
        Verdict::Drop => (NF_DROP, None),
        Verdict::Return => (NFT_RETURN, None),
        Verdict::Jump(chain) => (NFT_JUMP, Some(chain)),
        Verdict::Goto(chain) => (NFT_GOTO, Some(chain)),
    };
    let mut inner = Attrs::new().be32(VERDICT_CODE, code.cast_unsigned());
    if let Some(chain) = chain {
        inner = inner.text(VERDICT_CHAIN, chain);
    }
    Attrs::new().nest(DATA_VERDICT, &inner)
}

/// An interface name as it stands in registers and sets: `IFNAMSIZ` bytes, padded with NUL.
pub(super) fn ifname(name: &IfName) -> [u8; 16] {
    padded(name.as_str())
}

/// A word of an interface as it stands in registers.
fn padded(word: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(word.bytes()).for_each(|(to, from)| *to = from);
    bytes
}

pub(super) const fn nfproto(family: Family) -> u8 {
    match family {
        Family::V4 => NFPROTO_IPV4,
        Family::V6 => NFPROTO_IPV6,
    }
}

/// A constant for a register.
fn value(bytes: &[u8]) -> Attrs {
    Attrs::new().bytes(DATA_VALUE, bytes)
}

/// A rule being written.
struct Rule {
    list: Attrs,
    /// The family that an earlier statement has asked for.
    family: Option<Family>,
}

impl Rule {
    fn statement(self, statement: &Stmt) -> Self {
        match statement {
            Stmt::Iifname(name) => self.meta(META_IIFNAME).cmp(EQ, &ifname(name)),
            Stmt::Oifname(name) => self.meta(META_OIFNAME).cmp(EQ, &ifname(name)),
            Stmt::IifnameIn { set, sense } => self.meta(META_IIFNAME).lookup(set, *sense),
            Stmt::OifnameIn { set, sense } => self.meta(META_OIFNAME).lookup(set, *sense),
            Stmt::OifIn(set) => self.meta(META_OIF).lookup(set, Sense::Is),
            Stmt::SaddrIn { family, set, sense } => {
                self.header_address(*family, SADDR, REG).lookup(set, *sense)
            }
            Stmt::OifSaddrIn { family, set } => {
                self.with_address(META_OIFNAME, *family, SADDR, set)
            }
            Stmt::DaddrIn { family, set, sense } => {
                self.header_address(*family, DADDR, REG).lookup(set, *sense)
            }
            Stmt::IifOifIn(set) => self.both_names(set),
            Stmt::Iifkind(kind) => self.meta(META_IIFKIND).cmp(EQ, &padded(kind)),
            Stmt::Oifkind(kind) => self.meta(META_OIFKIND).cmp(EQ, &padded(kind)),
            Stmt::IifDaddrIn { family, set } => {
                self.with_address(META_IIFNAME, *family, DADDR, set)
            }
            Stmt::Saddr(net) => self.address(net, SADDR),
            Stmt::Daddr(net) => self.address(net, DADDR),
            Stmt::Nfproto(family) => self.nfproto(*family),
            Stmt::NfprotoIn(set) => self.meta(META_NFPROTO).lookup(set, Sense::Is),
            Stmt::L4proto(number) => self.meta(META_L4PROTO).cmp(EQ, &[*number]),
            Stmt::Dport(port) => self.transport(2, 2).cmp(EQ, &port.to_be_bytes()),
            Stmt::Sport(port) => self.transport(0, 2).cmp(EQ, &port.to_be_bytes()),
            Stmt::TcpFlags { mask, value } => {
                self.transport(13, 1).bitwise(&[*mask], &[0]).cmp(EQ, &[*value])
            }
            Stmt::CtState(state) => self.ct(CT_STATE).any_bit(state_bit(*state), Sense::Is),
            Stmt::CtDnat(true) => self.ct(CT_STATUS).any_bit(IPS_DST_NAT, Sense::Is),
            Stmt::CtDnat(false) => self.ct(CT_STATUS).any_bit(IPS_DST_NAT, Sense::IsNot),
            Stmt::CtReply(reply) => self.ct(CT_DIRECTION).cmp(EQ, &[u8::from(*reply)]),
            Stmt::CtMark(mark) => self.ct(CT_MARK).mark_is(*mark),
            Stmt::MetaMark(mark) => self.meta(META_MARK).mark_is(*mark),
            Stmt::MetaMarkBits(mask) => self.meta(META_MARK).any_bit(*mask, Sense::Is),
            Stmt::MetaMarkIn { set, sense } => self.meta(META_MARK).lookup(set, *sense),
            Stmt::RtIpsec => self.route(RT_XFRM).cmp(EQ, &[1]),
            Stmt::FibSaddrOifLocal(true) => self.fib(FIB_SADDR | FIB_OIF, EQ, RTN_LOCAL),
            Stmt::FibSaddrOifLocal(false) => self.fib(FIB_SADDR | FIB_OIF, NEQ, RTN_LOCAL),
            Stmt::FibDaddr(kind) => self.fib_daddr(*kind),
            Stmt::OifLoopback => self.meta(META_OIF).cmp(EQ, &LOOPBACK_IFINDEX.to_ne_bytes()),
            Stmt::Random { modulus, below } => self.random(*modulus, *below),
            Stmt::IifnameVmap(map) => self.meta(META_IIFNAME).vmap(map),
            Stmt::OifnameVmap(map) => self.meta(META_OIFNAME).vmap(map),
            Stmt::CtMarkVmap { mask, map } => {
                self.ct(CT_MARK).bitwise(&mask.to_ne_bytes(), &[0; 4]).vmap(map)
            }
            Stmt::SetCtMark(mark) => self.set_mark("ct", CT_MARK, CT_SREG, *mark),
            Stmt::SetMetaMark(mark) => self.set_mark("meta", META_MARK, META_SREG, *mark),
            Stmt::Counter(name) => {
                self.expr("objref", Attrs::new().be32(1, OBJECT_COUNTER).text(2, name))
            }
            Stmt::Masquerade => self.expr("masq", Attrs::new()),
            Stmt::SnatOfOifname { family, map } => {
                self.nfproto(*family).meta(META_OIFNAME).map(map).snat(*family)
            }
            Stmt::Notrack => self.expr("notrack", Attrs::new()),
            Stmt::RejectTcpReset => self.reject(REJECT_TCP_RST, 0),
            Stmt::RejectAdminProhibited => self.reject(REJECT_ICMPX, ICMPX_ADMIN_PROHIBITED),
            Stmt::MssRtMtu => self.mss_of_route().set_mss(),
            Stmt::Mss(bytes) => self.immediate(REG, &bytes.to_be_bytes()).set_mss(),
            Stmt::MssOfIifname(map) => self.meta(META_IIFNAME).map(map).set_mss(),
            Stmt::Redirect(port) => self.redirect(*port),
            Stmt::Dnat(address, port) => self.dnat(*address, *port),
            Stmt::Verdict(verdict) => self.verdict(verdict),
        }
    }

    fn expr(mut self, name: &str, data: Attrs) -> Self {
        let expression = Attrs::new().text(1, name).nest(2, &data);
        self.list = self.list.nest(LIST_ELEM, &expression);
        self
    }

    fn meta(self, key: u32) -> Self {
        self.meta_into(key, REG)
    }

    fn meta_into(self, key: u32, register: u32) -> Self {
        self.expr("meta", Attrs::new().be32(2, key).be32(1, register))
    }

    fn ct(self, key: u32) -> Self {
        self.expr("ct", Attrs::new().be32(2, key).be32(1, REG))
    }

    fn payload(self, base: u32, offset: u32, len: u32, register: u32) -> Self {
        let data = Attrs::new().be32(1, register).be32(2, base).be32(3, offset).be32(4, len);
        self.expr("payload", data)
    }

    fn transport(self, offset: u32, len: u32) -> Self {
        self.payload(TRANSPORT_HEADER, offset, len, REG)
    }

    fn cmp(self, operator: u32, with: &[u8]) -> Self {
        self.expr("cmp", Attrs::new().be32(1, REG).be32(2, operator).nest(3, &value(with)))
    }

    /// `register & mask ^ xor`.
    fn bitwise(self, mask: &[u8], xor: &[u8]) -> Self {
        let len = u32::try_from(mask.len()).unwrap_or(u32::MAX);
        let data = Attrs::new().be32(1, REG).be32(2, REG).be32(3, len);
        self.expr("bitwise", data.nest(4, &value(mask)).nest(5, &value(xor)))
    }

    fn byteorder_hton(self, size: u32) -> Self {
        let data = Attrs::new().be32(1, REG).be32(2, REG);
        self.expr("byteorder", data.be32(3, BYTEORDER_HTON).be32(4, size).be32(5, size))
    }

    fn immediate(self, register: u32, bytes: &[u8]) -> Self {
        self.expr("immediate", Attrs::new().be32(1, register).nest(2, &value(bytes)))
    }

    fn lookup(self, set: &str, sense: Sense) -> Self {
        let data = Attrs::new().text(1, set).be32(2, REG);
        self.expr(
            "lookup",
            match sense {
                Sense::Is => data,
                Sense::IsNot => data.be32(5, LOOKUP_INVERT),
            },
        )
    }

    fn vmap(self, map: &str) -> Self {
        self.expr("lookup", Attrs::new().text(1, map).be32(2, REG).be32(3, REG_VERDICT))
    }

    fn map(self, map: &str) -> Self {
        self.expr("lookup", Attrs::new().text(1, map).be32(2, REG).be32(3, REG))
    }

    fn any_bit(self, bits: u32, sense: Sense) -> Self {
        let operator = match sense {
            Sense::Is => NEQ,
            Sense::IsNot => EQ,
        };
        self.bitwise(&bits.to_ne_bytes(), &[0; 4]).cmp(operator, &[0; 4])
    }

    fn mark_is(self, mark: Fwmark) -> Self {
        let loaded = if mark.mask == u32::MAX {
            self
        } else {
            self.bitwise(&mark.mask.to_ne_bytes(), &[0; 4])
        };
        loaded.cmp(EQ, &mark.value.to_ne_bytes())
    }

    /// `mark & ~mask ^ value`: the bits outside the mask stay.
    fn set_mark(self, name: &str, key: u32, source: u16, mark: Fwmark) -> Self {
        let load = Attrs::new().be32(2, key).be32(1, REG);
        let store = Attrs::new().be32(2, key).be32(source, REG);
        let value = mark.value & mark.mask;
        let loaded = if mark.mask == u32::MAX {
            self.immediate(REG, &value.to_ne_bytes())
        } else {
            self.expr(name, load).bitwise(&(!mark.mask).to_ne_bytes(), &value.to_ne_bytes())
        };
        loaded.expr(name, store)
    }

    /// Asks for a family, once per rule.
    fn nfproto(mut self, family: Family) -> Self {
        if self.family == Some(family) {
            return self;
        }
        self.family = Some(family);
        self.meta(META_NFPROTO).cmp(EQ, &[nfproto(family)])
    }

    fn address(self, net: &IpNet, offsets: Offsets) -> Self {
        let matched = self.nfproto(family_of(net));
        let (at, address, mask) = match net {
            IpNet::V4(n) => {
                (offsets.v4, n.network().octets().to_vec(), n.netmask().octets().to_vec())
            }
            IpNet::V6(n) => {
                (offsets.v6, n.network().octets().to_vec(), n.netmask().octets().to_vec())
            }
        };
        let len = if mask.len() == 4 { 4 } else { 16 };
        if net.prefix_len() == 0 {
            return matched;
        }
        let loaded = matched.payload(NETWORK_HEADER, at, len, REG);
        let masked = if net.prefix_len() == net.max_prefix_len() {
            loaded
        } else {
            loaded.bitwise(&mask, &vec![0; mask.len()])
        };
        masked.cmp(EQ, &address)
    }

    fn header_address(self, family: Family, offsets: Offsets, register: u32) -> Self {
        let (at, len) = match family {
            Family::V4 => (offsets.v4, 4),
            Family::V6 => (offsets.v6, 16),
        };
        self.nfproto(family).payload(NETWORK_HEADER, at, len, register)
    }

    /// An interface's name and an address, together in a set.
    fn with_address(self, name: u32, family: Family, offsets: Offsets, set: &str) -> Self {
        let named = self.nfproto(family).meta(name);
        named.header_address(family, offsets, REG_2).lookup(set, Sense::Is)
    }

    /// The names of both interfaces, together in a set.
    fn both_names(self, set: &str) -> Self {
        self.meta(META_IIFNAME).meta_into(META_OIFNAME, REG_2).lookup(set, Sense::Is)
    }

    fn fib_daddr(self, kind: AddressType) -> Self {
        match kind {
            AddressType::Unicast => {
                self.fib(FIB_DADDR, EQ, RTN_UNICAST).fib(FIB_DADDR | FIB_IIF, EQ, RTN_UNICAST)
            }
            AddressType::Anycast => self.fib(FIB_DADDR, EQ, RTN_ANYCAST),
        }
    }

    /// What kind of address that is (`RTN_*`).
    fn fib(self, of: u32, operator: u32, kind: u32) -> Self {
        let data = Attrs::new().be32(1, REG).be32(2, FIB_ADDRTYPE).be32(3, of);
        self.expr("fib", data).cmp(operator, &kind.to_ne_bytes())
    }

    fn verdict(self, verdict: &Verdict) -> Self {
        let data = Attrs::new().be32(1, REG_VERDICT).nest(2, &verdict_data(verdict));
        self.expr("immediate", data)
    }

    /// Compared bytewise, so the number is turned round first.
    fn random(self, modulus: u32, below: u32) -> Self {
        let data = Attrs::new().be32(1, REG).be32(2, modulus).be32(3, NUMGEN_RANDOM).be32(4, 0);
        self.expr("numgen", data).byteorder_hton(4).cmp(LT, &below.to_be_bytes())
    }

    fn reject(self, kind: u32, code: u8) -> Self {
        self.expr("reject", Attrs::new().be32(1, kind).bytes(2, &[code]))
    }

    /// What is known of the packet's route.
    fn route(self, key: u32) -> Self {
        self.expr("rt", Attrs::new().be32(1, REG).be32(2, key))
    }

    fn mss_of_route(self) -> Self {
        self.route(RT_TCPMSS).byteorder_hton(2)
    }

    fn set_mss(self) -> Self {
        let place = Attrs::new().bytes(2, &[TCPOPT_MAXSEG]).be32(3, 2).be32(4, 2);
        self.expr("exthdr", place.be32(6, EXTHDR_TCPOPT).be32(7, REG))
    }

    fn snat(self, family: Family) -> Self {
        let data = Attrs::new().be32(1, NAT_SNAT).be32(2, u32::from(nfproto(family)));
        self.expr("nat", data.be32(3, REG).be32(4, REG))
    }

    fn redirect(self, port: u16) -> Self {
        self.immediate(REG, &port.to_be_bytes())
            .expr("redir", Attrs::new().be32(1, REG).be32(2, REG))
    }

    fn dnat(self, address: IpAddr, port: Option<u16>) -> Self {
        let family = Family::of(&address);
        let bytes = match address {
            IpAddr::V4(a) => a.octets().to_vec(),
            IpAddr::V6(a) => a.octets().to_vec(),
        };
        let mut rule = self.immediate(REG, &bytes);
        let mut data = Attrs::new().be32(1, NAT_DNAT).be32(2, u32::from(nfproto(family)));
        data = data.be32(3, REG).be32(4, REG);
        if let Some(port) = port {
            rule = rule.immediate(REG_2, &port.to_be_bytes());
            data = data.be32(5, REG_2).be32(6, REG_2);
        }
        rule.expr("nat", data)
    }
}

const fn family_of(net: &IpNet) -> Family {
    match net {
        IpNet::V4(_) => Family::V4,
        IpNet::V6(_) => Family::V6,
    }
}

/// Bits of `ct state` (`NF_CT_STATE_BIT`).
const fn state_bit(state: CtState) -> u32 {
    match state {
        CtState::Invalid => 1,
        CtState::Established => 2,
        CtState::New => 8,
        CtState::Untracked => 64,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::nfnl::Attributes;
    use super::*;

    fn expressions(statements: &[Stmt]) -> Vec<String> {
        let list = rule(statements);
        let names =
            Attributes(list.as_bytes()).map(|(_, e)| Attributes(e).text(1).unwrap().to_owned());
        names.collect()
    }

    #[test]
    fn a_mark_is_set_under_its_mask() {
        let mark = Fwmark { value: 0x0100_0000, mask: 0x0f00_0000 };
        let bytes = rule(&[Stmt::SetCtMark(mark)]);
        let mask = (!mark.mask).to_ne_bytes();
        let xor = mark.value.to_ne_bytes();
        let head = |len: u16, kind: u16| [len.to_ne_bytes(), kind.to_ne_bytes()].concat();
        let number = |kind: u16, n: u8| [head(8, kind), vec![0, 0, 0, n]].concat();
        let data =
            |kind: u16, v: [u8; 4]| [head(12, kind | 0x8000), head(8, 1), v.to_vec()].concat();
        let text = |name: &str, len: u16| {
            let mut bytes = [head(len, 1), name.as_bytes().to_vec(), vec![0]].concat();
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes
        };
        let golden = [
            [head(32, 0x8001), text("ct", 7), head(20, 0x8002), number(2, 3), number(1, 1)]
                .concat(),
            [
                [head(68, 0x8001), text("bitwise", 12), head(52, 0x8002)].concat(),
                [number(1, 1), number(2, 1), number(3, 4), data(4, mask), data(5, xor)].concat(),
            ]
            .concat(),
            [head(32, 0x8001), text("ct", 7), head(20, 0x8002), number(2, 3), number(4, 1)]
                .concat(),
        ]
        .concat();
        assert_eq!(bytes.as_bytes(), golden);
    }

    #[test]
    fn a_family_is_asked_for_once() {
        let net: IpNet = "10.0.0.0/8".parse().unwrap();
        assert_eq!(
            expressions(&[Stmt::Saddr(net), Stmt::Daddr(net)]),
            ["meta", "cmp", "payload", "bitwise", "cmp", "payload", "bitwise", "cmp"]
        );
        let all: IpNet = "::/0".parse().unwrap();
        assert_eq!(expressions(&[Stmt::Saddr(all)]), ["meta", "cmp"]);
    }
}
