//! Reads what others' rules do with packets that are forwarded or arrive, as the small programs that they are.
//!
//! Numbers are those of linux/netfilter/nf_tables.h, xt_conntrack.h and nf_conntrack_common.h. What is not
//! known here is kept as something that cannot be told, never left out.

use std::collections::BTreeSet;

use super::super::nfnl::{Attributes, Attrs, Message, NfnlError};
use super::foreign::FAMILIES;
use super::uapi::{
    CHAIN_HOOK, CHAIN_NAME, CHAIN_POLICY, CHAIN_TABLE, CHAIN_TYPE, DATA_VALUE, DATA_VERDICT,
    ELEM_DATA, ELEM_FLAGS, ELEM_INTERVAL_END, ELEM_KEY, ELEM_KEY_END, ELEM_LIST_ELEMENTS,
    ELEM_LIST_SET, ELEM_LIST_TABLE, EXPR_DATA, EXPR_NAME, GETCHAIN, GETRULE, GETSET, GETSETELEM,
    GETTABLE, HOOK_NUM, NF_ACCEPT, NF_DROP, NFPROTO_INET, NFPROTO_IPV4, NFT_GOTO, NFT_JUMP,
    NFT_RETURN, RULE_CHAIN, RULE_EXPRESSIONS, RULE_TABLE, SET_DESC, SET_DESC_CONCAT, SET_FIELD_LEN,
    SET_FLAGS, SET_INTERVAL, SET_KEY_LEN, SET_NAME, SET_TABLE, TABLE_FLAGS, TABLE_NAME,
    TARGET_NAME, VERDICT_CHAIN, VERDICT_CODE,
};
use super::{Nft, TRIES};
use crate::engine::kernel::firewall::{
    Chain, Element, Expr, Field, Policy, Register, Relation, Ruleset, Set, Table, Verdict,
};
use crate::units::{Family, NFT_TABLE};

/// Hooks (`NF_INET_*`): before the route is chosen, of what is for the box itself, and of what is forwarded.
const PREROUTING: u32 = 0;
const INPUT: u32 = 1;
const FORWARD: u32 = 2;
/// Chains of other types see the first packet of a flow only.
const FILTER: &str = "filter";
/// The table is switched off (`NFT_TABLE_F_DORMANT`).
const DORMANT: u32 = 1;
/// Elements of one set that are kept. Sets of devices and addresses of one's own are small; what is larger
/// lists strangers.
const MOST_ELEMENTS: usize = 4096;

// NFTA_MATCH_*, NFTA_TARGET_*: a name, a revision, and the bytes of the extension.
const MATCH_REVISION: u16 = 2;
const MATCH_INFO: u16 = 3;

// Numbers of protocols (IANA).
const ICMP: u8 = 1;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

impl Nft {
    /// The rules of all tables, but for ours, that have a say in what is forwarded.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn forwarding(&mut self) -> Result<Ruleset, NfnlError> {
        self.rules_at(&[FORWARD])
    }

    /// The same of what arrives and is for the box itself.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn arriving(&mut self) -> Result<Ruleset, NfnlError> {
        self.rules_at(&[PREROUTING, INPUT])
    }

    fn rules_at(&mut self, hooks: &[u32]) -> Result<Ruleset, NfnlError> {
        let mut ruleset = Ruleset::default();
        for (family, word) in FAMILIES {
            for name in self.tables_at(family, hooks)? {
                let sees = match family {
                    NFPROTO_INET => Family::BOTH.to_vec(),
                    NFPROTO_IPV4 => vec![Family::V4],
                    _ => vec![Family::V6],
                };
                let mut table = self.filter_table(family, &name, hooks)?;
                table.name = format!("{word} {name}");
                table.sees = sees;
                ruleset.tables.push(table);
            }
        }
        Ok(ruleset)
    }

    /// Tables with a chain at one of the hooks.
    fn tables_at(&mut self, family: u8, hooks: &[u32]) -> Result<BTreeSet<String>, NfnlError> {
        let text = |object: Attributes<'_>, kind| object.text(kind).unwrap_or_default().to_owned();
        let mut found = BTreeSet::new();
        self.list(family, GETCHAIN, Attrs::new(), "chains", |chain| {
            if is_at(chain, hooks) {
                found.insert(text(chain, CHAIN_TABLE));
            }
        })?;
        if family == NFPROTO_INET {
            found.remove(NFT_TABLE);
        }
        if !found.is_empty() {
            self.list(family, GETTABLE, Attrs::new(), "tables", |table| {
                if table.be32(TABLE_FLAGS).unwrap_or(0) & DORMANT != 0 {
                    found.remove(&text(table, TABLE_NAME));
                }
            })?;
        }
        Ok(found)
    }

    fn filter_table(&mut self, family: u8, name: &str, hooks: &[u32]) -> Result<Table, NfnlError> {
        let mut table = Table::default();
        self.list(family, GETCHAIN, Attrs::new(), "chains", |chain| {
            if let (Some(of), Some(chain_name)) = (chain.text(CHAIN_TABLE), chain.text(CHAIN_NAME))
                && of == name
            {
                table.chains.insert(chain_name.to_owned(), base(chain, hooks));
            }
        })?;
        let mut used = BTreeSet::new();
        let of_table = Attrs::new().text(RULE_TABLE, name);
        self.list(family, GETRULE, of_table, "rules", |answer| {
            let chain = answer.text(RULE_CHAIN).unwrap_or_default();
            // Kernels before 4.16 do not heed the table that was asked for.
            if answer.text(RULE_TABLE) == Some(name)
                && let Some(chain) = table.chains.get_mut(chain)
            {
                let rule = rule(answer.nested(RULE_EXPRESSIONS));
                used.extend(sets_of(&rule));
                chain.rules.push(rule);
            }
        })?;
        if used.is_empty() {
            return Ok(table);
        }
        self.list(family, GETSET, Attrs::new().text(SET_TABLE, name), "sets", |answer| {
            let set = answer.text(SET_NAME).unwrap_or_default();
            if answer.text(SET_TABLE) == Some(name) && used.contains(set) {
                table.sets.insert(set.to_owned(), set_of(answer));
            }
        })?;
        for (set_name, set) in &mut table.sets {
            self.fill(family, name, set_name, set)?;
        }
        Ok(table)
    }

    fn fill(
        &mut self,
        family: u8,
        table: &str,
        name: &str,
        set: &mut Set,
    ) -> Result<(), NfnlError> {
        let attrs = Attrs::new().text(ELEM_LIST_TABLE, table).text(ELEM_LIST_SET, name);
        let object = format!("elements of set {name}");
        let message = Message { kind: GETSETELEM, flags: 0, family, version: 0, attrs, object };
        let read = self.link.dump(&message, |answer| {
            for (_, entry) in answer.nested(ELEM_LIST_ELEMENTS) {
                if set.elements.len() < MOST_ELEMENTS {
                    set.elements.push(element(Attributes(entry)));
                } else {
                    set.partial = true;
                }
            }
        });
        match read {
            // Gone, or changed while it was read: another look follows.
            Err(NfnlError::Interrupted | NfnlError::Refused { .. }) => {
                set.partial = true;
                Ok(())
            }
            other => other,
        }
    }

    fn list(
        &mut self,
        family: u8,
        kind: u16,
        attrs: Attrs,
        what: &str,
        mut each: impl FnMut(Attributes<'_>),
    ) -> Result<(), NfnlError> {
        let object = format!("everybody's {what}");
        let message = Message { kind, flags: 0, family, version: 0, attrs, object };
        for _ in 0..TRIES {
            let mut answers = Vec::new();
            match self.link.dump(&message, |answer| answers.push(answer.0.to_vec())) {
                Err(NfnlError::Interrupted) => {}
                other => {
                    answers.iter().for_each(|answer| each(Attributes(answer)));
                    return other;
                }
            }
        }
        Err(NfnlError::Interrupted)
    }
}

pub(super) fn is_at(chain: Attributes<'_>, hooks: &[u32]) -> bool {
    let hook = chain.nested(CHAIN_HOOK).be32(HOOK_NUM);
    hook.is_some_and(|hook| hooks.contains(&hook)) && chain.text(CHAIN_TYPE) == Some(FILTER)
}

pub(super) fn base(chain: Attributes<'_>, hooks: &[u32]) -> Chain {
    let drops = chain.be32(CHAIN_POLICY) == Some(NF_DROP.cast_unsigned());
    let policy = if drops { Policy::Drop } else { Policy::Accept };
    Chain { policy: is_at(chain, hooks).then_some(policy), rules: Vec::new() }
}

pub(super) fn set_of(set: Attributes<'_>) -> Set {
    let concat = set.nested(SET_DESC).nested(SET_DESC_CONCAT);
    let len = |(_, field): (u16, &[u8])| Attributes(field).be32(SET_FIELD_LEN);
    Set {
        intervals: set.be32(SET_FLAGS).unwrap_or(0) & SET_INTERVAL != 0,
        fields: concat.filter_map(len).map(|len| len as usize).collect(),
        key_len: set.be32(SET_KEY_LEN).unwrap_or(0) as usize,
        ..Set::default()
    }
}

pub(super) fn element(entry: Attributes<'_>) -> Element {
    let value = |kind| entry.nested(kind).get(DATA_VALUE).unwrap_or_default().to_vec();
    let verdict_of = entry.nested(ELEM_DATA).get(DATA_VERDICT);
    Element {
        key: value(ELEM_KEY),
        last: value(ELEM_KEY_END),
        ends: entry.be32(ELEM_FLAGS).unwrap_or(0) & ELEM_INTERVAL_END != 0,
        verdict: verdict_of.map(|bytes| verdict(Attributes(bytes))),
    }
}

fn sets_of(rule: &[Expr]) -> impl Iterator<Item = String> {
    rule.iter().filter_map(|expr| {
        if let Expr::Lookup { set, .. } | Expr::Map { set, .. } = expr {
            Some(set.clone())
        } else {
            None
        }
    })
}

pub(super) fn rule(expressions: Attributes<'_>) -> Vec<Expr> {
    expressions.map(|(_, bytes)| expr(Attributes(bytes))).collect()
}

/// One expression. What is there but makes no sense is something that cannot be told.
fn expr(expression: Attributes<'_>) -> Expr {
    let name = expression.text(EXPR_NAME).unwrap_or_default();
    let data = expression.nested(EXPR_DATA);
    let read = match name {
        "meta" => meta(data),
        "ct" => ct(data),
        "payload" => payload(data),
        "immediate" => immediate(data),
        "bitwise" => bitwise(data),
        "cmp" => compare(data),
        "range" => range(data),
        "lookup" => lookup(data),
        "match" => Some(extension(data)),
        "target" => Some(target(data)),
        "reject" => Some(Expr::End(Verdict::Drop)),
        "queue" => Some(Expr::End(Verdict::Asks("a program (queue)".to_owned()))),
        "limit" => Some(unless_inverted(data, 5)),
        "connlimit" | "quota" => Some(unless_inverted(data, 2)),
        // Only what writes an option does no harm.
        "exthdr" => data.get(7).map(|_| Expr::Harmless),
        "dynset" => (data.get(7).is_none() && data.get(10).is_none()).then_some(Expr::Harmless),
        "objref" => object(data),
        "counter" | "log" | "notrack" | "nat" | "masq" | "redir" | "flow_offload" | "dup"
        | "last" => Some(Expr::Harmless),
        _ => None,
    };
    read.unwrap_or_else(|| Expr::Unknown(format!("the expression {name}")))
}

/// A limit: ordinary packets are within it, and what is over it is nobody's way out.
fn unless_inverted(data: Attributes<'_>, flags: u16) -> Expr {
    const INVERTED: u32 = 1;
    let inverted = data.be32(flags).unwrap_or(0) & INVERTED != 0;
    if inverted { Expr::Never } else { Expr::Harmless }
}

/// A named object: counters, conntrack helpers, timeouts, expectations and security marks do no harm
/// (`NFT_OBJECT_*`).
fn object(data: Attributes<'_>) -> Option<Expr> {
    matches!(data.be32(1), Some(1 | 3 | 7 | 8 | 9)).then_some(Expr::Harmless)
}

fn meta(data: Attributes<'_>) -> Option<Expr> {
    let Some(to) = data.be32(1).map(Register) else {
        // It writes: a mark, a priority.
        return data.be32(3).map(|_| Expr::Harmless);
    };
    let field = match data.be32(2)? {
        1 => Field::EtherType,
        3 => Field::Other("the packet's mark".to_owned()),
        4 => Field::InIndex,
        5 => Field::OutIndex,
        6 => Field::InName,
        7 => Field::OutName,
        8 | 9 => Field::Other("the kind of device".to_owned()),
        // Whose socket it is: what is forwarded has none.
        10 | 11 => Field::Nothing,
        15 => Field::Family,
        16 => Field::Protocol,
        other => Field::Other(format!("the packet's property {other}")),
    };
    Some(Expr::Load(to, field))
}

fn ct(data: Attributes<'_>) -> Option<Expr> {
    let Some(to) = data.be32(1).map(Register) else {
        return data.be32(4).map(|_| Expr::Harmless);
    };
    let field = match data.be32(2)? {
        0 => Field::State,
        1 => Field::Direction,
        2 => Field::Status,
        3 => Field::Other("the connection's mark".to_owned()),
        7 => Field::Family,
        10 => Field::Protocol,
        other => Field::Other(format!("the connection's property {other}")),
    };
    Some(Expr::Load(to, field))
}

fn payload(data: Attributes<'_>) -> Option<Expr> {
    let Some(to) = data.be32(1).map(Register) else {
        return data.be32(5).map(|_| Expr::Harmless);
    };
    let (at, len) = (data.be32(3)? as usize, data.be32(4)? as usize);
    let field = match data.be32(2)? {
        1 => Field::Network(at, len),
        2 => Field::Transport(at, len),
        _ => Field::Other("an Ethernet address".to_owned()),
    };
    Some(Expr::Load(to, field))
}

fn immediate(data: Attributes<'_>) -> Option<Expr> {
    let to = Register(data.be32(1)?);
    let data = data.nested(2);
    if let Some(bytes) = data.get(DATA_VERDICT) {
        return Some(Expr::End(verdict(Attributes(bytes))));
    }
    Some(Expr::Set(to, data.get(DATA_VALUE)?.to_vec()))
}

fn verdict(data: Attributes<'_>) -> Verdict {
    const CONTINUE: i32 = -1;
    let chain = || data.text(VERDICT_CHAIN).unwrap_or_default().to_owned();
    match data.be32(VERDICT_CODE).map(u32::cast_signed) {
        Some(NF_ACCEPT) => Verdict::Accept,
        Some(NF_DROP) => Verdict::Drop,
        Some(CONTINUE) => Verdict::Continue,
        Some(NFT_RETURN) => Verdict::Return,
        Some(NFT_JUMP) => Verdict::Jump(chain()),
        Some(NFT_GOTO) => Verdict::Goto(chain()),
        _ => Verdict::Asks("a program (queue)".to_owned()),
    }
}

fn bitwise(data: Attributes<'_>) -> Option<Expr> {
    let (from, to) = (Register(data.be32(1)?), Register(data.be32(2)?));
    // A shift is another operation, and a second register another kind.
    if data.be32(6).unwrap_or(0) != 0 {
        return None;
    }
    let value = |kind| data.nested(kind).get(DATA_VALUE).map(<[u8]>::to_vec);
    Some(Expr::Bits { from, to, mask: value(4)?, flip: value(5)? })
}

fn compare(data: Attributes<'_>) -> Option<Expr> {
    let relation = match data.be32(2)? {
        0 => Relation::Equal,
        1 => Relation::NotEqual,
        2 => Relation::Less,
        3 => Relation::LessOrEqual,
        4 => Relation::Greater,
        5 => Relation::GreaterOrEqual,
        _ => return None,
    };
    let with = data.nested(3).get(DATA_VALUE)?.to_vec();
    Some(Expr::Compare(Register(data.be32(1)?), relation, with))
}

/// Whether something is so, or is not.
const fn equal_unless(inverted: u32) -> Relation {
    if inverted == 0 { Relation::Equal } else { Relation::NotEqual }
}

fn range(data: Attributes<'_>) -> Option<Expr> {
    let value = |kind| data.nested(kind).get(DATA_VALUE).map(<[u8]>::to_vec);
    let relation = equal_unless(data.be32(2)?);
    Some(Expr::Range { of: Register(data.be32(1)?), relation, first: value(3)?, last: value(4)? })
}

fn lookup(data: Attributes<'_>) -> Option<Expr> {
    const VERDICT: u32 = 0;
    let (set, of) = (data.text(1)?.to_owned(), Register(data.be32(2)?));
    match data.be32(3) {
        None => {
            let relation = equal_unless(data.be32(5).unwrap_or(0) & 1);
            Some(Expr::Lookup { of, set, relation })
        }
        Some(VERDICT) => Some(Expr::Map { of, set }),
        // A map of values.
        Some(_) => None,
    }
}

/// A match of iptables.
fn extension(data: Attributes<'_>) -> Expr {
    let name = data.text(TARGET_NAME).unwrap_or_default();
    let info = data.get(MATCH_INFO).unwrap_or_default();
    let revision = data.be32(MATCH_REVISION).unwrap_or(0);
    let known = match name {
        "comment" | "limit" => Some(Expr::Harmless),
        // What a plain packet does not have: options of IPv6, other protocols.
        "rt" | "frag" | "hbh" | "dst" | "ah" | "esp" | "mh" | "udplite" | "sctp" | "dccp" => {
            Some(Expr::Never)
        }
        "icmp" => Some(Expr::Of(ICMP, "its ICMP type".to_owned())),
        "icmp6" => Some(Expr::Of(ICMPV6, "its ICMPv6 type".to_owned())),
        "udp" => Some(Expr::Of(UDP, "its UDP ports".to_owned())),
        "conntrack" if revision >= 2 => conntrack(info),
        "state" => bytes_at(info, 0)
            .map(|states| Expr::States(u32::from_ne_bytes(states), Relation::Equal)),
        _ => None,
    };
    known.unwrap_or_else(|| Expr::Unknown(format!("the match {name} of iptables")))
}

/// `-m conntrack --ctstate` (`struct xt_conntrack_mtinfo2` and `…3`), where it asks for the state alone.
fn conntrack(info: &[u8]) -> Option<Expr> {
    const FLAGS: usize = 146;
    const INVERTED: usize = 148;
    const STATES: usize = 150;
    const STATE: u16 = 1;
    let number = |at| bytes_at(info, at).map(u16::from_ne_bytes);
    let relation = equal_unless(u32::from(number(INVERTED)? & STATE));
    let states = u32::from(number(STATES)?);
    (number(FLAGS)? == STATE).then_some(Expr::States(states, relation))
}

fn bytes_at<const N: usize>(info: &[u8], at: usize) -> Option<[u8; N]> {
    info.get(at..at + N)?.try_into().ok()
}

/// A target of iptables.
fn target(data: Attributes<'_>) -> Expr {
    match data.text(TARGET_NAME).unwrap_or_default() {
        "REJECT" => Expr::End(Verdict::Drop),
        "LOG" | "NFLOG" | "TCPMSS" | "MARK" | "CONNMARK" | "CLASSIFY" | "CT" | "DSCP" | "TTL"
        | "HL" | "TRACE" | "SECMARK" | "CONNSECMARK" | "AUDIT" | "CHECKSUM" | "SET" => {
            Expr::Harmless
        }
        other => Expr::End(Verdict::Asks(format!("the target {other} of iptables"))),
    }
}
