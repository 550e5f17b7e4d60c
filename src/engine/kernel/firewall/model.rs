//! Tables, chains and rules as they were read, and the ways that are asked about.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::units::{Family, IfIndex, IfName};

/// The tables of others that have a say in what is forwarded, in the order of their chains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    pub tables: Vec<Table>,
}

/// A table of somebody else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Its family and name, such as `inet fw4`.
    pub name: String,
    /// The families whose packets it sees.
    pub sees: Vec<Family>,
    pub chains: BTreeMap<String, Chain>,
    pub sets: BTreeMap<String, Set>,
}

/// A chain of rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// What becomes of a packet at its end, if it is one where packets begin.
    pub policy: Option<Policy>,
    /// Each rule is what it does, in order.
    pub rules: Vec<Vec<Expr>>,
}

/// What a base chain does with what no rule has decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    Accept,
    Drop,
}

/// A set or map, as the kernel looks things up in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    /// The elements stand for ranges: each key begins one, or ends one.
    pub intervals: bool,
    /// Bytes of each field of a concatenation whose elements are ranges.
    pub fields: Vec<usize>,
    /// Bytes of a key.
    pub key_len: usize,
    /// Not all of it was read.
    pub partial: bool,
    pub elements: Vec<Element>,
}

/// An element of a set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    /// Its key; empty for the one that stands for all others.
    pub key: Vec<u8>,
    /// The last key of its range, in a concatenation.
    pub last: Vec<u8>,
    /// It ends a range, and is not in the set itself.
    pub ends: bool,
    /// What a verdict map does with it.
    pub verdict: Option<Verdict>,
}

/// The end of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Accept,
    Drop,
    /// Goes on in the next rule.
    Continue,
    Jump(String),
    Goto(String),
    Return,
    /// Somebody else decides, such as a program that the packet is handed to; who.
    Asks(String),
}

/// A register, by the number that the kernel gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register(pub u32);

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Something of a packet that is loaded into a register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// The device it comes in by, as a name.
    InName,
    /// The device it leaves by, as a name.
    OutName,
    InIndex,
    OutIndex,
    /// The family, as one byte (`NFPROTO_*`).
    Family,
    /// The family, as two bytes (`ETH_P_*`).
    EtherType,
    /// The protocol above, as one byte (`IPPROTO_*`).
    Protocol,
    /// What conntrack says of its flow, as bits (`NF_CT_STATE_BIT`).
    State,
    /// More of the same (`IPS_*`).
    Status,
    /// 0 on the way of the flow's first packet, 1 on the way back.
    Direction,
    /// Bytes of the network header.
    Network(usize, usize),
    /// Bytes of the header above it.
    Transport(usize, usize),
    /// Something that an ordinary packet does not tell; what.
    Other(String),
    /// Something that no forwarded packet has, so that the rule does not match.
    Nothing,
}

/// One thing that a rule does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expr {
    Load(Register, Field),
    Set(Register, Vec<u8>),
    /// A value masked and flipped into another register.
    Bits {
        from: Register,
        to: Register,
        mask: Vec<u8>,
        flip: Vec<u8>,
    },
    Compare(Register, Relation, Vec<u8>),
    Range {
        of: Register,
        relation: Relation,
        first: Vec<u8>,
        last: Vec<u8>,
    },
    /// Whether a value is in a set.
    Lookup {
        of: Register,
        set: String,
        relation: Relation,
    },
    /// What a verdict map makes of a value.
    Map {
        of: Register,
        set: String,
    },
    /// Whether the flow is in one of these states, or in none of them.
    States(u32, Relation),
    End(Verdict),
    /// Nothing that matters to whether the packet goes on.
    Harmless,
    /// It never matches an ordinary packet, such as what is over a limit.
    Never,
    /// It matches no packet but of this protocol, and of that depending on this.
    Of(u8, String),
    /// Nobody knows whether it matches; what it asks for.
    Unknown(String),
}

/// A network device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Port {
    pub name: IfName,
    pub index: IfIndex,
}

/// A way from the LAN to the Internet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// The LAN's device.
    pub lan: Port,
    /// The uplink's device.
    pub out: Port,
    /// A client's address.
    pub client: IpAddr,
}

/// An answer that arrives at the box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The uplink's device.
    pub by: Port,
    /// The box's address there.
    pub own: IpAddr,
    pub answer: Answer,
}

/// What is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// An echo request, by a server in the Internet.
    Echo,
    /// A name, by such a server.
    Name,
    /// Where it is, by the next router of IPv6 (RFC 4861): a question that no flow is known of.
    Neighbour,
}

impl Answer {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Echo, Self::Name, Self::Neighbour];
}

/// Whether packets are stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// They are.
    Stops,
    /// It cannot be told: it depends on this.
    Depends(String),
}
