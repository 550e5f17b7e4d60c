//! A table as the messages that make it.

use super::super::nfnl::{APPEND, Attrs, CREATE, Message, NfnlError};
use super::expr;
use super::key::{Layout, element, is_concat_interval, layout, padded};
use super::uapi::{
    BYTEORDER_BIG, CHAIN_HOOK, CHAIN_NAME, CHAIN_POLICY, CHAIN_TABLE, CHAIN_TYPE,
    DATA_TYPE_INTEGER, DATA_TYPE_VERDICT, DELSETELEM, DELTABLE, ELEM_LIST_ELEMENTS, ELEM_LIST_SET,
    ELEM_LIST_TABLE, HOOK_NUM, HOOK_PRIORITY, LIST_ELEM, NEWCHAIN, NEWOBJ, NEWRULE, NEWSET,
    NEWSETELEM, NEWTABLE, NF_ACCEPT, NFPROTO_INET, OBJ_DATA, OBJ_NAME, OBJ_TABLE, OBJ_TYPE,
    OBJECT_COUNTER, RULE_CHAIN, RULE_EXPRESSIONS, RULE_TABLE, RULE_USERDATA, SET_CONCAT,
    SET_DATA_LEN, SET_DATA_TYPE, SET_DESC, SET_DESC_CONCAT, SET_FIELD_LEN, SET_FLAGS,
    SET_HAS_TIMEOUT, SET_ID, SET_INTERVAL, SET_KEY_LEN, SET_KEY_TYPE, SET_MAP, SET_NAME, SET_TABLE,
    SET_TIMEOUT, SET_USERDATA, TABLE_NAME, TABLE_USERDATA, UDATA_DATABYTEORDER, UDATA_DIGEST,
    UDATA_KEYBYTEORDER,
};
use crate::engine::dataplane::nft::{
    Chain, ChainKind, Hook, HookPoint, Key, KeyType, Set, Stmt, Table, Value, ValueType,
};

/// Elements in one message: an attribute holds 64 KiB, and an element takes less than 130 bytes.
const ELEMENTS_PER_MESSAGE: usize = 400;

/// The whole table again: add (so that there is something to delete), delete, add, in one batch.
pub(super) fn build(table: &Table) -> Result<Vec<Message>, NfnlError> {
    let name = &table.name;
    let bare = Attrs::new().text(TABLE_NAME, name);
    let digest = digest_entry(table.digest());
    let table_object = format!("table inet {name}");
    let mut all = vec![
        message(NEWTABLE, CREATE, bare.clone(), table_object.clone()),
        message(DELTABLE, 0, bare.clone(), table_object.clone()),
        message(NEWTABLE, CREATE, bare.bytes(TABLE_USERDATA, &digest), table_object),
    ];
    all.extend(table.counters.iter().map(|counter| new_counter(name, counter)));
    let sets = table.sets.iter().zip(1..);
    all.extend(sets.map(|((set_name, set), id)| new_set(name, set_name, set, id)));
    all.extend(table.chains.iter().map(|chain| new_chain(name, chain)));
    for chain in &table.chains {
        let rules = chain.rules.iter().enumerate();
        all.extend(rules.map(|(at, rule)| new_rule(name, &chain.name, at, rule)));
    }
    for (set_name, set) in &table.sets {
        let elements: Vec<_> = set.elements.iter().map(|(k, v)| (k, v.as_ref())).collect();
        all.extend(elements_messages(NEWSETELEM, name, set_name, set, &elements)?);
    }
    Ok(all)
}

/// Elements to add or to remove, in as few messages as they fit.
pub(super) fn elements_messages(
    command: u16,
    table: &str,
    set_name: &str,
    set: &Set,
    elements: &[(&Key, Option<&Value>)],
) -> Result<Vec<Message>, NfnlError> {
    let verb = if command == DELSETELEM { "removal from" } else { "elements of" };
    let flags = if command == NEWSETELEM { CREATE } else { 0 };
    let mut messages = Vec::new();
    for chunk in elements.chunks(ELEMENTS_PER_MESSAGE) {
        let mut list = Attrs::new();
        for (key, value) in chunk {
            let unwritable =
                || NfnlError::Unwritable { object: format!("element {key:?} of set {set_name}") };
            list = list.join(&element(set, key, *value).ok_or_else(unwritable)?);
        }
        let attrs = Attrs::new().text(ELEM_LIST_TABLE, table).text(ELEM_LIST_SET, set_name);
        let attrs = attrs.nest(ELEM_LIST_ELEMENTS, &list);
        messages.push(message(command, flags, attrs, format!("{verb} set {set_name}")));
    }
    Ok(messages)
}

/// A message about an object of family `inet`.
pub(super) const fn message(kind: u16, flags: u16, attrs: Attrs, object: String) -> Message {
    Message { kind, flags, family: NFPROTO_INET, version: 0, attrs, object }
}

/// A digest of one rule, kept in its userdata: a rule that was replaced has lost it.
pub(super) fn rule_digest(rule: &[Stmt]) -> Vec<u8> {
    let bytes = expr::rule(rule);
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    digest_entry(bytes.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, step))
}

/// A digest as an entry of userdata.
pub(super) fn digest_entry(digest: u64) -> Vec<u8> {
    [&[UDATA_DIGEST, 8][..], &digest.to_be_bytes()].concat()
}

/// `NF_INET_*` (linux/netfilter.h).
pub(super) const fn hook_number(point: HookPoint) -> u32 {
    match point {
        HookPoint::Prerouting => 0,
        HookPoint::Input => 1,
        HookPoint::Forward => 2,
        HookPoint::Output => 3,
        HookPoint::Postrouting => 4,
    }
}

/// A chain type's name.
pub(super) const fn chain_type(kind: ChainKind) -> &'static str {
    match kind {
        ChainKind::Filter => "filter",
        ChainKind::Route => "route",
        ChainKind::Nat => "nat",
    }
}

/// The kernel's flags of a set.
pub(super) const fn set_flags(set: &Set) -> u32 {
    let mut flags = 0;
    if set.interval {
        flags |= SET_INTERVAL;
    }
    if set.maps_to.is_some() {
        flags |= SET_MAP;
    }
    if set.timeout.is_some() {
        flags |= SET_HAS_TIMEOUT;
    }
    if is_concat_interval(set) {
        flags |= SET_CONCAT;
    }
    flags
}

/// `nft`'s number for the key's type: six bits for each part.
pub(super) fn key_type(set: &Set) -> u32 {
    set.key.iter().fold(0, |sum, kind| sum << 6 | layout(*kind).datatype)
}

fn new_counter(table: &str, name: &str) -> Message {
    let attrs = Attrs::new().text(OBJ_TABLE, table).text(OBJ_NAME, name);
    let attrs = attrs.be32(OBJ_TYPE, OBJECT_COUNTER).nest(OBJ_DATA, &Attrs::new());
    message(NEWOBJ, CREATE, attrs, format!("counter {name}"))
}

fn new_set(table: &str, name: &str, set: &Set, id: u32) -> Message {
    let len: usize = match set.key.as_slice() {
        [one] => layout(*one).len,
        parts => parts.iter().map(|p| padded(*p)).sum(),
    };
    let mut attrs = Attrs::new()
        .text(SET_TABLE, table)
        .text(SET_NAME, name)
        .be32(SET_FLAGS, set_flags(set))
        .be32(SET_KEY_TYPE, key_type(set))
        .be32(SET_KEY_LEN, u32::try_from(len).unwrap_or(u32::MAX))
        .be32(SET_ID, id);
    match set.maps_to {
        Some(ValueType::Verdict) => attrs = attrs.be32(SET_DATA_TYPE, DATA_TYPE_VERDICT),
        Some(ValueType::Mss) => {
            attrs = attrs.be32(SET_DATA_TYPE, DATA_TYPE_INTEGER).be32(SET_DATA_LEN, 2);
        }
        Some(ValueType::Address(family)) => {
            let Layout { len, datatype, .. } = layout(KeyType::address(family));
            let len = u32::try_from(len).unwrap_or(u32::MAX);
            attrs = attrs.be32(SET_DATA_TYPE, datatype).be32(SET_DATA_LEN, len);
        }
        None => {}
    }
    if is_concat_interval(set) {
        let field = |list: Attrs, part| {
            let len = u32::try_from(layout(part).len).unwrap_or(u32::MAX);
            list.nest(LIST_ELEM, &Attrs::new().be32(SET_FIELD_LEN, len))
        };
        let fields = set.key.iter().copied().fold(Attrs::new(), field);
        attrs = attrs.nest(SET_DESC, &Attrs::new().nest(SET_DESC_CONCAT, &fields));
    }
    if let Some(seconds) = set.timeout {
        attrs = attrs.be64(SET_TIMEOUT, u64::from(seconds) * 1000);
    }
    attrs = attrs.bytes(SET_USERDATA, &byteorder_entry(set));
    message(NEWSET, CREATE, attrs, format!("set {name}"))
}

/// Tells `nft` how to print keys and numbers. A concatenation has no byte order of its own.
fn byteorder_entry(set: &Set) -> Vec<u8> {
    let entry = |kind: u8, order: u32| [&[kind, 4][..], &order.to_ne_bytes()].concat();
    let order = match set.key.as_slice() {
        [one] => layout(*one).byteorder,
        _ => 0,
    };
    let mut entries = entry(UDATA_KEYBYTEORDER, order);
    if matches!(set.maps_to, Some(ValueType::Mss | ValueType::Address(_))) {
        entries.extend(entry(UDATA_DATABYTEORDER, BYTEORDER_BIG));
    }
    entries
}

fn new_chain(table: &str, chain: &Chain) -> Message {
    let mut attrs = Attrs::new().text(CHAIN_TABLE, table).text(CHAIN_NAME, &chain.name);
    if let Some(Hook { kind, point, priority }) = chain.hook {
        let hook = Attrs::new().be32(HOOK_NUM, hook_number(point));
        let hook = hook.be32(HOOK_PRIORITY, priority.cast_unsigned());
        attrs = attrs
            .nest(CHAIN_HOOK, &hook)
            .be32(CHAIN_POLICY, NF_ACCEPT.cast_unsigned())
            .text(CHAIN_TYPE, chain_type(kind));
    }
    message(NEWCHAIN, CREATE, attrs, format!("chain {}", chain.name))
}

fn new_rule(table: &str, chain: &str, at: usize, rule: &[Stmt]) -> Message {
    let attrs = Attrs::new()
        .text(RULE_TABLE, table)
        .text(RULE_CHAIN, chain)
        .nest(RULE_EXPRESSIONS, &expr::rule(rule))
        .bytes(RULE_USERDATA, &rule_digest(rule));
    message(NEWRULE, CREATE | APPEND, attrs, format!("rule {} of chain {chain}", at + 1))
}
