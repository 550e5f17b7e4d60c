//! The source address that masquerade would not find.
//!
//! Masquerade takes the first address of the interface, whatever the route asks for, and of an interface
//! without one any address of the box. Where that would be the wrong one, a map by interface names the right
//! one. The guard behind it holds back what bears a source that the uplink does not have any more.

use std::net::IpAddr;

use super::nft::{Chain, KeyPart, KeyType, Set, Stmt, Value, ValueType};
use super::wanted::{Uplink, Wanted};
use crate::units::Family;

/// The chain that gives a flow its source.
pub(super) const CHAIN: &str = "hide";

/// The name of the map of an IP version.
const fn map(family: Family) -> &'static str {
    match family {
        Family::V4 => "source4",
        Family::V6 => "source6",
    }
}

/// The chain, which every flow leaves with a source.
pub(super) fn chain() -> Chain {
    let named = |family| Stmt::SnatOfOifname { family, map: map(family).to_owned() };
    let rules = vec![vec![named(Family::V4)], vec![named(Family::V6)], vec![Stmt::Masquerade]];
    Chain { name: CHAIN.to_owned(), hook: None, rules }
}

/// The source of each uplink that has to be named, by interface.
pub(super) fn maps(wanted: &Wanted) -> [(String, Set); 2] {
    Family::BOTH.map(|family| {
        let mut sources = Set::map(KeyType::IfName, ValueType::Address(family));
        let named = wanted.uplinks.iter().filter_map(|uplink| {
            let source = uplink.egress.get(family).as_ref()?.prefsrc?;
            let dev = KeyPart::IfName(uplink.dev.as_ref()?.1.clone());
            Some((vec![dev], Some(Value::Address(source))))
        });
        sources.elements.extend(named);
        (map(family).to_owned(), sources)
    })
}

/// The IPv4 source of an uplink that is an address of the box, but not of the interface: it is the
/// uplink's own all the same.
pub(super) fn far(uplink: &Uplink) -> Option<IpAddr> {
    let source = uplink.egress.v4.as_ref()?.prefsrc?;
    (!uplink.addresses.contains(&source)).then_some(source)
}
