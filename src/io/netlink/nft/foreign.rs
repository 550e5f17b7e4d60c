//! Other people's tables, as far as they can stand in the way.

use std::collections::{BTreeMap, BTreeSet};

use super::super::nfnl::{Attributes, Attrs, Message, NfnlError};
use super::uapi::{
    CHAIN_TABLE, EXPR_DATA, EXPR_NAME, FLOWTABLE_DEVICES, FLOWTABLE_FLAGS, FLOWTABLE_HOOK,
    FLOWTABLE_HW_OFFLOAD, FLOWTABLE_NAME, FLOWTABLE_TABLE, GETCHAIN, GETFLOWTABLE, GETRULE,
    NAT_TYPE, NFPROTO_INET, NFPROTO_IPV4, NFPROTO_IPV6, RULE_EXPRESSIONS, RULE_TABLE, TARGET_NAME,
};
use super::{Nft, TRIES, marks};
use crate::engine::doctor::{Flowtable, ForeignTable};
use crate::units::NFT_TABLE;

const SNAT: u32 = 0;
/// Families in which packets to and from the Internet can be met, with `nft`'s words for them.
pub(super) const FAMILIES: [(u8, &str); 3] =
    [(NFPROTO_INET, "inet"), (NFPROTO_IPV4, "ip"), (NFPROTO_IPV6, "ip6")];

impl Nft {
    /// Every table that is not ours.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn foreign_tables(&mut self) -> Result<Vec<ForeignTable>, NfnlError> {
        let mut all = Vec::new();
        for (family, word) in FAMILIES {
            let mut found = Found::default();
            self.each(family, GETCHAIN, "chains", |chain| found.chain(chain))?;
            self.each(family, GETRULE, "rules", |rule| found.rule(rule))?;
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
}

/// What has been found in one family.
#[derive(Default)]
pub(super) struct Found {
    pub(super) tables: BTreeMap<String, ForeignTable>,
}

impl Found {
    fn table(&mut self, name: Option<&str>) -> &mut ForeignTable {
        self.tables.entry(name.unwrap_or_default().to_owned()).or_default()
    }

    pub(super) fn chain(&mut self, chain: Attributes<'_>) {
        self.table(chain.text(CHAIN_TABLE));
    }

    pub(super) fn rule(&mut self, rule: Attributes<'_>) {
        let expressions = rule.nested(RULE_EXPRESSIONS);
        let name = rule.text(RULE_TABLE).unwrap_or_default();
        let fixed = expressions.map(|(_, e)| Attributes(e)).any(writes_a_fixed_source);
        let table = self.table(Some(name));
        table.fixed_source |= fixed;
        table.marks.extend(marks::clashes(rule));
    }

    pub(super) fn flowtable(&mut self, flowtable: Attributes<'_>) {
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
