//! Other people's tables, as far as they can stand in the way.

use std::collections::{BTreeMap, BTreeSet};

use super::super::nfnl::{Attributes, Attrs, Message, NfnlError};
use super::uapi::{
    CHAIN_HOOK, CHAIN_NAME, CHAIN_POLICY, CHAIN_TABLE, ELEM_LIST_ELEMENTS, ELEM_LIST_SET,
    ELEM_LIST_TABLE, EXPR_DATA, EXPR_NAME, FLOWTABLE_DEVICES, FLOWTABLE_FLAGS, FLOWTABLE_HOOK,
    FLOWTABLE_HW_OFFLOAD, FLOWTABLE_NAME, FLOWTABLE_TABLE, GETCHAIN, GETFLOWTABLE, GETRULE, GETSET,
    GETSETELEM, HOOK_NUM, NAT_TYPE, NF_DROP, NFPROTO_INET, NFPROTO_IPV4, NFPROTO_IPV6,
    RULE_EXPRESSIONS, RULE_TABLE, SET_KEY_TYPE, SET_NAME, SET_TABLE, TARGET_NAME, TYPE_IFNAME,
};
use super::{Nft, TRIES};
use crate::engine::doctor::{Flowtable, ForeignTable};
use crate::units::NFT_TABLE;

const FORWARD: u32 = 2;
const SNAT: u32 = 0;
/// Families in which packets to and from the Internet can be met, with `nft`'s words for them.
const FAMILIES: [(u8, &str); 3] =
    [(NFPROTO_INET, "inet"), (NFPROTO_IPV4, "ip"), (NFPROTO_IPV6, "ip6")];

impl Nft {
    /// Every table that is not ours, and which of these interfaces it names.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn foreign_tables(
        &mut self,
        interfaces: &BTreeSet<String>,
    ) -> Result<Vec<ForeignTable>, NfnlError> {
        let mut all = Vec::new();
        for (family, word) in FAMILIES {
            let mut found = Found { interfaces, tables: BTreeMap::new(), sets: Vec::new() };
            self.each(family, GETCHAIN, "chains", |chain| found.chain(chain))?;
            self.each(family, GETRULE, "rules", |rule| found.rule(rule))?;
            self.each(family, GETSET, "sets", |set| found.set(set))?;
            for (table, set) in std::mem::take(&mut found.sets) {
                self.elements_of(family, &table, &set, &mut found)?;
            }
            self.each(family, GETFLOWTABLE, "flowtables", |ft| found.flowtable(ft))?;
            let tables = found
                .tables
                .into_iter()
                .filter(|(name, _)| !(family == NFPROTO_INET && name == NFT_TABLE));
            all.extend(
                tables
                    .map(|(name, table)| ForeignTable { name: format!("{word} {name}"), ..table }),
            );
        }
        Ok(all)
    }

    /// The devices of everybody's flowtables: packets of known flows go around the chains there.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn offloaded(&mut self) -> Result<BTreeSet<String>, NfnlError> {
        let mut devices = BTreeSet::new();
        for (family, _) in FAMILIES {
            self.each(family, GETFLOWTABLE, "flowtables", |ft| devices.extend(flow_devices(ft)))?;
        }
        Ok(devices)
    }

    fn each(
        &mut self,
        family: u8,
        kind: u16,
        what: &str,
        mut each: impl FnMut(Attributes<'_>),
    ) -> Result<(), NfnlError> {
        let object = format!("everybody's {what}");
        let message = Message { kind, flags: 0, family, version: 0, attrs: Attrs::new(), object };
        // What is read twice says the same twice.
        for _ in 0..TRIES {
            match self.link.dump(&message, &mut each) {
                Err(NfnlError::Interrupted) => {}
                other => return other,
            }
        }
        Err(NfnlError::Interrupted)
    }

    fn elements_of(
        &mut self,
        family: u8,
        table: &str,
        set: &str,
        found: &mut Found<'_>,
    ) -> Result<(), NfnlError> {
        let attrs = Attrs::new().text(ELEM_LIST_TABLE, table).text(ELEM_LIST_SET, set);
        let object = format!("elements of set {set}");
        let message = Message { kind: GETSETELEM, flags: 0, family, version: 0, attrs, object };
        let read = self.link.dump(&message, |answer| {
            found.mentions(table, answer.get(ELEM_LIST_ELEMENTS).unwrap_or_default());
        });
        match read {
            // Gone, or changed while it was read: what was seen is enough.
            Err(NfnlError::Interrupted | NfnlError::Refused { .. }) => Ok(()),
            other => other,
        }
    }
}

/// What has been found in one family.
struct Found<'a> {
    interfaces: &'a BTreeSet<String>,
    tables: BTreeMap<String, ForeignTable>,
    /// Sets with interface names in their keys, by table and name.
    sets: Vec<(String, String)>,
}

impl Found<'_> {
    fn table(&mut self, name: Option<&str>) -> &mut ForeignTable {
        self.tables.entry(name.unwrap_or_default().to_owned()).or_default()
    }

    fn chain(&mut self, chain: Attributes<'_>) {
        let forwards = chain.nested(CHAIN_HOOK).be32(HOOK_NUM) == Some(FORWARD);
        let drops = chain.be32(CHAIN_POLICY) == Some(NF_DROP.cast_unsigned());
        let name = chain.text(CHAIN_NAME).map(str::to_owned);
        let table = self.table(chain.text(CHAIN_TABLE));
        if forwards && drops {
            table.drops_forwards = name;
        }
    }

    fn rule(&mut self, rule: Attributes<'_>) {
        let expressions = rule.nested(RULE_EXPRESSIONS);
        let name = rule.text(RULE_TABLE).unwrap_or_default();
        self.mentions(name, expressions.0);
        let fixed = expressions.map(|(_, e)| Attributes(e)).any(writes_a_fixed_source);
        self.table(Some(name)).fixed_source |= fixed;
    }

    fn set(&mut self, set: Attributes<'_>) {
        let mut key = set.be32(SET_KEY_TYPE).unwrap_or(0);
        // Six bits for each field.
        while key != 0 {
            if key & 0x3f == TYPE_IFNAME {
                let text = |kind| set.text(kind).unwrap_or_default().to_owned();
                self.sets.push((text(SET_TABLE), text(SET_NAME)));
                return;
            }
            key >>= 6;
        }
    }

    fn flowtable(&mut self, flowtable: Attributes<'_>) {
        let flags = flowtable.be32(FLOWTABLE_FLAGS).unwrap_or(0);
        let found = Flowtable {
            name: flowtable.text(FLOWTABLE_NAME).unwrap_or_default().to_owned(),
            devices: flow_devices(flowtable).collect(),
            hardware: flags & FLOWTABLE_HW_OFFLOAD != 0,
        };
        let flowtables = &mut self.table(flowtable.text(FLOWTABLE_TABLE)).flowtables;
        if !flowtables.contains(&found) {
            flowtables.push(found);
        }
    }

    /// Notes the interfaces whose names stand somewhere in these bytes, with their closing NUL.
    fn mentions(&mut self, table: &str, bytes: &[u8]) {
        for name in self.interfaces {
            let word = [name.as_bytes(), &[0]].concat();
            if bytes.windows(word.len()).any(|window| window == word) {
                let table = self.tables.entry(table.to_owned()).or_default();
                table.mentions.insert(name.clone());
            }
        }
    }
}

fn flow_devices(flowtable: Attributes<'_>) -> impl Iterator<Item = String> {
    let devices = flowtable.nested(FLOWTABLE_HOOK).nested(FLOWTABLE_DEVICES);
    devices.filter_map(|(_, name)| {
        let name = name.split(|byte| *byte == 0).next()?;
        std::str::from_utf8(name).ok().map(str::to_owned)
    })
}

/// `snat to …`, or iptables' SNAT target.
fn writes_a_fixed_source(expression: Attributes<'_>) -> bool {
    let data = expression.nested(EXPR_DATA);
    match expression.text(EXPR_NAME) {
        Some("nat") => data.be32(NAT_TYPE) == Some(SNAT),
        Some("target") => data.text(TARGET_NAME) == Some("SNAT"),
        _ => false,
    }
}
