//! A small vocabulary for nftables: the statements our ruleset is made of, as values.
//!
//! Two readers turn them into something: `render` into the text that `nft` prints, `io::netlink`
//! into the bytes that the kernel reads. The structure (chains, rules, set definitions) is written
//! only at start or when it changes, and compared by [`Table::digest`]; what moves at run time is set
//! elements, because a rebuild lets packets slip between hooks and zeroes the counters.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::units::{Family, Fwmark, Gather as _, IfIndex, IfName};

/// A table of family `inet`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    pub name: String,
    /// Named sets and verdict maps, with their elements.
    pub sets: BTreeMap<String, Set>,
    pub counters: BTreeSet<String>,
    /// Chains in the order in which they are made; a chain stands before those that jump to it.
    pub chains: Vec<Chain>,
}

/// A named set, or a map if its elements carry values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Set {
    /// The types that make up its key.
    pub key: Vec<KeyType>,
    /// Elements are prefixes (`flags interval`).
    pub interval: bool,
    /// Elements may carry a timeout (`flags timeout`): seconds that new elements live.
    pub timeout: Option<u32>,
    /// What its elements map to, in a map.
    pub maps_to: Option<ValueType>,
    /// What is in it.
    #[serde(with = "pairs")]
    pub elements: BTreeMap<Key, Option<Value>>,
}

/// A map as a list of pairs: JSON wants text for keys, and ours are made of several parts.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Key, Value};
    use crate::units::Gather as _;

    type Elements = BTreeMap<Key, Option<Value>>;

    pub(super) fn serialize<S: Serializer>(map: &Elements, to: S) -> Result<S::Ok, S::Error> {
        map.iter().collect::<Vec<_>>().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Elements, D::Error> {
        Ok(Vec::<(Key, Option<Value>)>::deserialize(from)?.into_iter().gather())
    }
}

/// An element's key: one part for each type of the set's key.
pub type Key = Vec<KeyPart>;

/// A type in a set's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyType {
    IfName,
    /// A number of an interface: it stays when the name changes.
    IfIndex,
    Ipv4,
    Ipv6,
    Family,
    Mark,
}

/// A value in an element's key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyPart {
    IfName(IfName),
    IfIndex(IfIndex),
    /// An address, or a prefix in an interval set.
    Net(IpNet),
    Family(Family),
    Mark(u32),
}

/// What the elements of a map stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueType {
    Verdict,
    /// A TCP segment size, as in `tcp option maxseg size`.
    Mss,
    /// An address of that IP version.
    Address(Family),
}

/// What an element of a map stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// Where packets go next.
    Verdict(Verdict),
    /// A TCP segment size, in bytes.
    Mss(u16),
    Address(IpAddr),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Chain {
    pub name: String,
    /// Where packets enter it; `None`: only by jump or goto.
    pub hook: Option<Hook>,
    /// Its rules, in order.
    pub rules: Vec<Vec<Stmt>>,
}

/// Where a base chain sits. Policy is always accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Hook {
    pub kind: ChainKind,
    pub point: HookPoint,
    /// Priority (linux/netfilter_ipv4.h: raw -300, mangle -150, dstnat -100, filter 0, srcnat 100).
    pub priority: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChainKind {
    Filter,
    /// `route`: looks the route up again when the mark changes.
    Route,
    Nat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookPoint {
    Prerouting,
    Input,
    Forward,
    Output,
    Postrouting,
}

/// Where a packet goes next.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Accept,
    Drop,
    Return,
    Jump(String),
    Goto(String),
}

/// Conntrack states and bits of `ct status` (host-order bits of linux/nf_conntrack_common.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CtState {
    /// `invalid`, bit 1.
    Invalid,
    /// `established`, bit 2.
    Established,
    /// `new`, bit 8.
    New,
    /// `untracked`, bit 64.
    Untracked,
}

/// Whether a match holds where something is so, or where it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sense {
    Is,
    IsNot,
}

/// `not`, yes or no: tables that stand in kernels have a digest of that text.
impl Serialize for Sense {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(*self == Self::IsNot)
    }
}

impl<'de> Deserialize<'de> for Sense {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let not = bool::deserialize(deserializer)?;
        Ok(if not { Self::IsNot } else { Self::Is })
    }
}

/// What kind of address the kernel takes one for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressType {
    /// `unicast`, and for the interface, too (`fib daddr . iif type`): not the box's own, in no VRF either.
    Unicast,
    Anycast,
}

/// One piece of a rule: a match, or something to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stmt {
    // ---- matches
    Iifname(IfName),
    Oifname(IfName),
    /// `iifname @SET` or `iifname != @SET`.
    IifnameIn {
        set: String,
        #[serde(rename = "not")]
        sense: Sense,
    },
    /// `oifname @SET` or `oifname != @SET`.
    OifnameIn {
        set: String,
        #[serde(rename = "not")]
        sense: Sense,
    },
    /// `oif @SET`, by number.
    OifIn(String),
    /// `iifname . oifname @SET`.
    IifOifIn(String),
    /// `meta oifkind "KIND"`: what kind of interface it is, by the kernel's own word (`ip link add type KIND`).
    Oifkind(String),
    /// `meta iifkind "KIND"`.
    Iifkind(String),
    /// `ip saddr @SET` (or `!=`), of the family given.
    SaddrIn {
        family: Family,
        set: String,
        #[serde(rename = "not")]
        sense: Sense,
    },
    /// `oifname . ip saddr @SET`, of the family given.
    OifSaddrIn {
        family: Family,
        set: String,
    },
    /// `iifname . ip daddr @SET`, of the family given.
    IifDaddrIn {
        family: Family,
        set: String,
    },
    /// `ip daddr @SET` (or `!=`), of the family given.
    DaddrIn {
        family: Family,
        set: String,
        #[serde(rename = "not")]
        sense: Sense,
    },
    /// `ip saddr NET` / `ip6 saddr NET`.
    Saddr(IpNet),
    /// `ip daddr NET` / `ip6 daddr NET`.
    Daddr(IpNet),
    /// `meta nfproto ipv4` / `ipv6`.
    Nfproto(Family),
    NfprotoIn(String),
    /// `meta l4proto N` (6 TCP, 17 UDP, 1 ICMP, 58 ICMPv6).
    L4proto(u8),
    /// `tcp dport N` / `udp dport N`; the protocol must have been matched before.
    Dport(u16),
    /// `udp sport N`; the protocol must have been matched before.
    Sport(u16),
    /// `tcp flags & (MASK) == VALUE`; the protocol must have been matched before.
    TcpFlags {
        /// Which flags are looked at.
        mask: u8,
        /// What they must be.
        value: u8,
    },
    /// `ct state …`, any of these.
    CtState(CtState),
    /// `ct status dnat` (`true`) or its absence.
    CtDnat(bool),
    /// `ct direction original` (`false`) / `reply` (`true`).
    CtReply(bool),
    /// `ct mark & MASK == VALUE`.
    CtMark(Fwmark),
    /// `meta mark & MASK == VALUE`.
    MetaMark(Fwmark),
    /// `meta mark & MASK != 0`: any of these bits is set.
    MetaMarkBits(u32),
    /// `meta mark @SET` or `meta mark != @SET`, the mark as a whole.
    MetaMarkIn {
        set: String,
        #[serde(rename = "not")]
        sense: Sense,
    },
    /// `rt ipsec exists`: the packet leaves inside IPsec, as a policy says.
    RtIpsec,
    /// `fib saddr . oif type local`, equal (`true`) or not.
    FibSaddrOifLocal(bool),
    /// `fib daddr type …`
    FibDaddr(AddressType),
    OifLoopback,
    /// `numgen random mod MODULUS < BELOW`: the lab's lossy lines.
    Random {
        /// One in so many …
        modulus: u32,
        /// … this many match.
        below: u32,
    },

    // ---- lookups that end in a verdict
    IifnameVmap(String),
    OifnameVmap(String),
    /// `ct mark & MASK vmap @MAP`.
    CtMarkVmap {
        /// Which bits are looked at.
        mask: u32,
        map: String,
    },

    // ---- actions
    /// `ct mark set ct mark & ~MASK | VALUE`.
    SetCtMark(Fwmark),
    /// `meta mark set meta mark & ~MASK | VALUE`.
    SetMetaMark(Fwmark),
    Counter(String),
    Masquerade,
    /// `snat to oifname map @MAP`, of the family given; nothing where the map has no such name.
    SnatOfOifname {
        family: Family,
        map: String,
    },
    Notrack,
    /// `reject with tcp reset`; TCP must have been matched before.
    RejectTcpReset,
    /// `reject with icmpx admin-prohibited`.
    RejectAdminProhibited,
    /// `tcp option maxseg size set rt mtu`.
    MssRtMtu,
    /// `tcp option maxseg size set N`. Like all of its kind it only ever lowers the size: the kernel
    /// leaves a smaller one as it is.
    Mss(u16),
    /// `tcp option maxseg size set iifname map @MAP`; nothing where the map has no such name.
    MssOfIifname(String),
    /// `redirect to :N`: the lab's portals.
    Redirect(u16),
    /// `dnat to ADDRESS`: port forwards in tests.
    Dnat(IpAddr, Option<u16>),
    Verdict(Verdict),
}

impl Stmt {
    /// Whether it reads or sets a conntrack mark.
    const fn is_about_ct_mark(&self) -> bool {
        matches!(self, Self::CtMark(_) | Self::CtMarkVmap { .. } | Self::SetCtMark(_))
    }
}

/// TCP flag bits (RFC 9293 §3.1).
pub mod tcp {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    pub const SYN: u8 = 0x02;
    pub const RST: u8 = 0x04;
    /// The acknowledgement field is significant.
    pub const ACK: u8 = 0x10;
}

impl Set {
    /// An empty set with such a key.
    #[must_use]
    pub fn new(key: &[KeyType]) -> Self {
        Self {
            key: key.to_vec(),
            interval: false,
            timeout: None,
            maps_to: None,
            elements: BTreeMap::new(),
        }
    }

    /// An empty set of prefixes.
    #[must_use]
    pub fn prefixes(key: &[KeyType]) -> Self {
        Self { interval: true, ..Self::new(key) }
    }

    /// Takes out every prefix that lies inside another one with the same key beside it, and cuts
    /// prefixes to their network: the kernel refuses overlapping elements, and lists networks.
    pub fn drop_covered(&mut self) {
        let elements = std::mem::take(&mut self.elements);
        let cut: BTreeMap<Key, _> =
            elements.into_iter().map(|(k, v)| (k.iter().map(KeyPart::trunc).collect(), v)).gather();
        let keys: Vec<Key> = cut.keys().cloned().collect();
        let covered = |key: &Key| keys.iter().any(|wide| wide != key && covers(wide, key));
        self.elements = cut.into_iter().filter(|(key, _)| !covered(key)).gather();
    }

    /// An empty verdict map.
    #[must_use]
    pub fn vmap(key: KeyType) -> Self {
        Self::map(key, ValueType::Verdict)
    }

    #[must_use]
    pub fn map(key: KeyType, maps_to: ValueType) -> Self {
        Self { maps_to: Some(maps_to), ..Self::new(&[key]) }
    }
}

impl KeyType {
    /// The type of addresses of an IP version.
    #[must_use]
    pub const fn address(family: Family) -> Self {
        match family {
            Family::V4 => Self::Ipv4,
            Family::V6 => Self::Ipv6,
        }
    }
}

impl KeyPart {
    /// A prefix without host bits; anything else as it is.
    fn trunc(&self) -> Self {
        if let Self::Net(net) = self { Self::Net(net.trunc()) } else { self.clone() }
    }
}

/// Whether every value of `narrow` is one of `wide`.
fn covers(wide: &Key, narrow: &Key) -> bool {
    wide.iter().zip(narrow).all(|parts| match parts {
        (KeyPart::Net(wide), KeyPart::Net(narrow)) => wide.contains(narrow),
        (wide, narrow) => wide == narrow,
    })
}

impl Table {
    /// The same without every rule that reads or sets a conntrack mark: no flow is pinned by it.
    #[must_use]
    pub fn without_ct_marks(mut self) -> Self {
        for chain in &mut self.chains {
            chain.rules.retain(|rule| !rule.iter().any(Stmt::is_about_ct_mark));
        }
        self
    }

    /// The same without every rule that holds such a statement: this kernel does not know it.
    #[must_use]
    pub fn without(mut self, unknown: &Stmt) -> Self {
        for chain in &mut self.chains {
            chain.rules.retain(|rule| !rule.contains(unknown));
        }
        self
    }

    /// Whether the structure is the same: everything but the elements.
    #[must_use]
    pub fn has_structure_of(&self, other: &Self) -> bool {
        (&self.name, &self.counters, &self.chains) == (&other.name, &other.counters, &other.chains)
            && self.heads().eq(other.heads())
    }

    /// What each set is, without what is in it.
    fn heads(
        &self,
    ) -> impl Iterator<Item = (&str, &[KeyType], bool, Option<u32>, Option<ValueType>)> {
        self.sets.iter().map(|(name, set)| {
            (name.as_str(), set.key.as_slice(), set.interval, set.timeout, set.maps_to)
        })
    }

    /// An identity of the structure. Kept in the table's userdata in the kernel, so that a restarted
    /// agent knows its own work without decoding every rule.
    #[must_use]
    pub fn digest(&self) -> u64 {
        fnv1a(self.structure().as_bytes())
    }

    /// The structure as JSON, whose words are those of this file whatever compiles it.
    fn structure(&self) -> String {
        let heads: Vec<_> = self.heads().collect();
        let structure = (&self.name, &self.counters, &self.chains, heads);
        serde_json::to_string(&structure).expect("plain data has its text")
    }
}

/// FNV-1a, 64 bits (RFC 9923): small, stable over versions, and nobody attacks it here.
fn fnv1a(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// The prefix of exactly one address.
#[must_use]
pub fn host(addr: IpAddr) -> IpNet {
    match addr {
        IpAddr::V4(a) => IpNet::V4(Ipv4Net::from(a)),
        IpAddr::V6(a) => IpNet::V6(Ipv6Net::from(a)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An agent that has been built by another compiler knows the table of the one before.
    #[test]
    fn the_digest_is_of_words_that_stay() {
        let hook = Hook { kind: ChainKind::Filter, point: HookPoint::Forward, priority: -10 };
        let rule = vec![
            Stmt::CtState(CtState::New),
            Stmt::Saddr("10.0.0.0/8".parse().unwrap()),
            Stmt::Verdict(Verdict::Drop),
        ];
        let mut set = Set { timeout: Some(8), ..Set::new(&[KeyType::IfName]) };
        set.elements.insert(vec![KeyPart::IfName(IfName::loopback())], None);
        let table = Table {
            name: "t".to_owned(),
            sets: [("s".to_owned(), set)].into(),
            counters: ["c".to_owned()].into(),
            chains: vec![Chain { name: "x".to_owned(), hook: Some(hook), rules: vec![rule] }],
        };
        let words = r#"["t",["c"],[{"name":"x","hook":{"kind":"filter","point":"forward","priority":-10},"rules":[[{"ct_state":"new"},{"saddr":"10.0.0.0/8"},{"verdict":"drop"}]]}],[["s",["if_name"],false,8,null]]]"#;
        assert_eq!(table.structure(), words);
        assert_eq!(table.digest(), 0xa9d7_d783_06a7_8a91);
    }
}
