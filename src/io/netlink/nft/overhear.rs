//! Reads any bytes as lists of nftables, see [`super::super::overhear`].

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::super::frame::Frames;
use super::super::nfnl::{self, Attributes};
use super::decode::{self, Shape};
use super::foreign::Found;
use super::uapi::{
    CHAIN_NAME, ELEM_LIST_ELEMENTS, ELEM_LIST_SET, RULE_CHAIN, RULE_EXPRESSIONS, SET_NAME,
};
use super::{filter, key};
use crate::engine::dataplane::nft::{KeyType, Set};
use crate::engine::kernel::firewall::{
    Answer, Arrival, Port, Ruleset, Table, Way, a_client, closed,
};
use crate::units::{Family, IfIndex, IfName, NFT_TABLE};

const KEYS: [KeyType; 6] = [
    KeyType::IfName,
    KeyType::IfIndex,
    KeyType::Ipv4,
    KeyType::Ipv6,
    KeyType::Family,
    KeyType::Mark,
];
/// `NF_INET_FORWARD` and `NF_INET_LOCAL_IN`.
const HOOKS: [u32; 2] = [2, 1];

/// Elements as keys. The first two bytes say of which types the keys are made, and whether they are ranges; how many
/// keys there were.
#[must_use]
pub fn keys(bytes: &[u8]) -> usize {
    let [how, kinds, list @ ..] = bytes else { return 0 };
    let kind = |at: u8| KEYS[usize::from(at) % KEYS.len()];
    let kinds = [kind(*kinds), kind(*kinds / 6), kind(*kinds / 36)];
    let kinds = &kinds[..1 + usize::from(*how >> 1) % kinds.len()];
    let set = if how & 1 == 0 { Set::new(kinds) } else { Set::prefixes(kinds) };
    let raw: Option<Vec<_>> =
        Attributes(list).map(|(_, entry)| key::read(Attributes(entry))).collect();
    let Some(found) = raw.and_then(|raw| key::keys(&set, raw)) else { return 0 };
    // What was read can be written, and is the same then.
    for (key, value) in &found {
        let again = key::element(&set, key, value.as_ref());
        assert!(again.is_some(), "{key:?} in {set:?} cannot be written");
    }
    found.len()
}

/// What is read of everybody's tables: their shape, who marks what, and what their rules do with packets.
#[must_use]
pub fn rulesets(bytes: &[u8]) -> usize {
    let (mut shape, mut found, mut table) = (Shape::default(), Found::default(), Table::default());
    let mut read = 0;
    for frame in Frames(bytes) {
        let [_, kind] = frame.kind.to_be_bytes();
        let object = nfnl::attributes(&frame);
        read += usize::from(decode::has_digest(object, 7) || decode::count(object).is_some());
        take(kind, object, &mut shape, &mut found);
        filtered(kind, object, &mut table);
    }
    table.sees = Family::BOTH.to_vec();
    read += found.tables.len() + shape.rules.len() + shape.sets.len();
    let ruleset = Ruleset { tables: vec![table] };
    read + judged(&ruleset)
}

/// Numbers of messages: `NFT_MSG_NEWCHAIN` and so on.
fn take(kind: u8, object: Attributes<'_>, shape: &mut Shape, found: &mut Found) {
    match kind {
        3 => {
            shape.chain(NFT_TABLE, object);
            found.chain(object);
        }
        6 => {
            shape.rule(object);
            found.rule(object);
        }
        9 => shape.set(object),
        18 => shape.counter(object),
        22 => found.flowtable(object),
        _ => {}
    }
}

fn filtered(kind: u8, object: Attributes<'_>, table: &mut Table) {
    match kind {
        3 => {
            let name = object.text(CHAIN_NAME).unwrap_or_default().to_owned();
            table.chains.insert(name, filter::base(object, &HOOKS));
        }
        6 => {
            let chain = object.text(RULE_CHAIN).unwrap_or_default();
            if let Some(chain) = table.chains.get_mut(chain) {
                chain.rules.push(filter::rule(object.nested(RULE_EXPRESSIONS)));
            }
        }
        9 => {
            let name = object.text(SET_NAME).unwrap_or_default().to_owned();
            table.sets.insert(name, filter::set_of(object));
        }
        12 => {
            let name = object.text(ELEM_LIST_SET).unwrap_or_default();
            let Some(set) = table.sets.get_mut(name) else { return };
            let entries = object.nested(ELEM_LIST_ELEMENTS);
            set.elements.extend(entries.map(|(_, entry)| filter::element(Attributes(entry))));
        }
        _ => {}
    }
}

/// Runs the rules on packets of both families.
fn judged(ruleset: &Ruleset) -> usize {
    let port = |name: &str, index| Some(Port { name: IfName::new(name)?, index: IfIndex(index) });
    let (Some(lan), Some(out)) = (port("lan0", 2), port("wan0", 3)) else { return 0 };
    let own = ["192.168.1.1/24", "fd00::1/64"].into_iter().filter_map(|net| net.parse().ok());
    let client = |own: ipnet::IpNet| a_client(own);
    let way = |client: IpAddr| Way { lan: lan.clone(), out: out.clone(), client };
    let ways: Vec<Way> = own.map(client).map(way).collect();
    let closed: BTreeMap<_, _> = closed(ruleset, &ways).v4;
    let arrivals = ways.iter().flat_map(|way| {
        let by = way.out.clone();
        Answer::ALL.map(|answer| Arrival { by: by.clone(), own: way.client, answer })
    });
    closed.len() + arrivals.map(|arrival| ruleset.stops(&arrival).len()).sum::<usize>()
}
