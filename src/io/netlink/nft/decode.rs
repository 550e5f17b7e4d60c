//! What the kernel has of a table, compared with the table as it should be.
//!
//! Rules are not decoded: a digest that was put beside each of them, and the order they stand in,
//! tell whether they are still the ones that were made.

use std::collections::BTreeMap;

use super::super::nfnl::Attributes;
use super::encode::{chain_type, digest_entry, hook_number, key_type, rule_digest, set_flags};
use super::uapi::{
    CHAIN_HOOK, CHAIN_NAME, CHAIN_POLICY, CHAIN_TABLE, CHAIN_TYPE, COUNTER_BYTES, COUNTER_PACKETS,
    HOOK_NUM, HOOK_PRIORITY, NF_ACCEPT, OBJ_DATA, OBJ_NAME, OBJ_TYPE, OBJECT_COUNTER, RULE_CHAIN,
    RULE_USERDATA, SET_FLAGS, SET_KEY_TYPE, SET_NAME, SET_TIMEOUT, TABLE_FLAGS, TABLE_USERDATA,
};
use crate::engine::dataplane::nft::Table;

/// Packets and bytes that a named counter has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub packets: u64,
    pub bytes: u64,
}

/// The shape of a table: everything but elements, in a form in which two can be compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// Chains with hook, priority, policy and type; the hook is `None` for the others.
    pub(super) chains: BTreeMap<String, Option<BaseChain>>,
    /// Userdata of the rules of each chain, in order.
    pub(super) rules: BTreeMap<String, Vec<Vec<u8>>>,
    /// Flags, type of key, and timeout of each set.
    pub(super) sets: BTreeMap<String, (u32, u32, u64)>,
    pub(super) counters: Vec<String>,
}

/// What makes a chain a base chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BaseChain {
    hook: u32,
    priority: u32,
    policy: u32,
    kind: String,
}

impl Shape {
    /// The shape that a table should have.
    pub(super) fn of(table: &Table) -> Self {
        let base = |hook: crate::engine::dataplane::nft::Hook| BaseChain {
            hook: hook_number(hook.point),
            priority: hook.priority.cast_unsigned(),
            policy: NF_ACCEPT.cast_unsigned(),
            kind: chain_type(hook.kind).to_owned(),
        };
        let mut shape =
            Self { counters: table.counters.iter().cloned().collect(), ..Self::default() };
        for chain in &table.chains {
            shape.chains.insert(chain.name.clone(), chain.hook.map(base));
            if !chain.rules.is_empty() {
                let digests = chain.rules.iter().map(|rule| rule_digest(rule)).collect();
                shape.rules.insert(chain.name.clone(), digests);
            }
        }
        for (name, set) in &table.sets {
            let timeout = set.timeout.map_or(0, |s| u64::from(s) * 1000);
            shape.sets.insert(name.clone(), (set_flags(set), key_type(set), timeout));
        }
        shape
    }

    /// Takes in a chain, if it belongs to the table.
    pub(super) fn chain(&mut self, table: &str, chain: Attributes<'_>) {
        let (Some(of), Some(name)) = (chain.text(CHAIN_TABLE), chain.text(CHAIN_NAME)) else {
            return;
        };
        if of != table {
            return;
        }
        let hook = chain.nested(CHAIN_HOOK);
        let base = hook.be32(HOOK_NUM).map(|number| BaseChain {
            hook: number,
            priority: hook.be32(HOOK_PRIORITY).unwrap_or(0),
            policy: chain.be32(CHAIN_POLICY).unwrap_or(u32::MAX),
            kind: chain.text(CHAIN_TYPE).unwrap_or_default().to_owned(),
        });
        self.chains.insert(name.to_owned(), base);
    }

    /// Takes in a rule.
    pub(super) fn rule(&mut self, rule: Attributes<'_>) {
        let chain = rule.text(RULE_CHAIN).unwrap_or_default().to_owned();
        let userdata = rule.get(RULE_USERDATA).unwrap_or_default().to_vec();
        self.rules.entry(chain).or_default().push(userdata);
    }

    /// Takes in a set; anonymous ones belong to rules that are not ours and show there.
    pub(super) fn set(&mut self, set: Attributes<'_>) {
        let name = set.text(SET_NAME).unwrap_or_default().to_owned();
        let flags = set.be32(SET_FLAGS).unwrap_or(0);
        let key = set.be32(SET_KEY_TYPE).unwrap_or(0);
        self.sets.insert(name, (flags, key, set.be64(SET_TIMEOUT).unwrap_or(0)));
    }

    /// Takes in a named object.
    pub(super) fn counter(&mut self, object: Attributes<'_>) {
        if let Some((name, _)) = count(object) {
            self.counters.push(name);
        }
    }
}

/// Whether a table carries that digest and is not switched off (`NFT_TABLE_F_DORMANT`).
///
/// Kernels before 5.10 keep no userdata of tables; there the digests of the rules must do.
pub(super) fn has_digest(table: Attributes<'_>, digest: u64) -> bool {
    let userdata = table.get(TABLE_USERDATA);
    userdata.is_none_or(|data| data == digest_entry(digest)) && table.be32(TABLE_FLAGS) == Some(0)
}

/// A named counter with its numbers.
pub(super) fn count(object: Attributes<'_>) -> Option<(String, Count)> {
    if object.be32(OBJ_TYPE) != Some(OBJECT_COUNTER) {
        return None;
    }
    let data = object.nested(OBJ_DATA);
    let count = Count { packets: data.be64(COUNTER_PACKETS)?, bytes: data.be64(COUNTER_BYTES)? };
    Some((object.text(OBJ_NAME)?.to_owned(), count))
}
