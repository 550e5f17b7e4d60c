//! Short words for the statements that our rules are made of.

use ipnet::IpNet;

use super::super::nft::{Chain, ChainKind, Hook, HookPoint, Sense, Stmt, Verdict};
use super::names::CLAIMED;
use crate::units::Fwmark;

/// Netfilter priorities (linux/netfilter_ipv4.h).
pub(super) mod priority {
    pub(in super::super) const RAW: i32 = -300;
    pub(in super::super) const MANGLE: i32 = -150;
    pub(in super::super) const FILTER: i32 = 0;
    pub(in super::super) const SRCNAT: i32 = 100;
}
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const ICMPV6: u8 = 58;

/// A prefix that is written in this file.
pub(super) fn net(text: &str) -> IpNet {
    text.parse().expect("a literal prefix")
}

pub(super) fn chain(name: &str, rules: Vec<Vec<Stmt>>) -> Chain {
    Chain { name: name.to_owned(), hook: None, rules }
}

pub(super) fn base(
    name: &str,
    kind: ChainKind,
    point: HookPoint,
    priority: i32,
    rules: Vec<Vec<Stmt>>,
) -> Chain {
    Chain { name: name.to_owned(), hook: Some(Hook { kind, point, priority }), rules }
}

pub(super) fn jump(chain: &str) -> Stmt {
    Stmt::Verdict(Verdict::Jump(chain.to_owned()))
}

pub(super) fn goto(chain: &str) -> Stmt {
    Stmt::Verdict(Verdict::Goto(chain.to_owned()))
}

pub(super) fn leave() -> Stmt {
    Stmt::Verdict(Verdict::Return)
}

/// The packet's mark is one by which somebody else chooses its way, or is not.
pub(super) fn claimed(sense: Sense) -> Stmt {
    Stmt::MetaMarkIn { set: CLAIMED.to_owned(), sense }
}

pub(super) fn flags(mask: u8, value: u8) -> Stmt {
    Stmt::TcpFlags { mask, value }
}

/// A packet mark without our bits: nobody else sees them once the packet's way is known.
pub(super) const CLEARED: Fwmark = Fwmark { value: 0, mask: Fwmark::OURS_MASK };

/// It came in by an uplink.
pub(super) fn in_by_uplink() -> Stmt {
    Stmt::IifnameIn { set: "uplinks".to_owned(), sense: Sense::Is }
}

/// It leaves by an uplink.
pub(super) fn out_by_uplink() -> Stmt {
    Stmt::OifnameIn { set: "uplinks".to_owned(), sense: Sense::Is }
}

/// The mark of a flow that has no uplink yet.
pub(super) const UNPINNED: Fwmark = Fwmark { value: 0, mask: Fwmark::UPLINK_MASK };
