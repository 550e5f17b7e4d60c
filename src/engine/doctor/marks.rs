//! Who else uses the bits of marks that are ours.

use super::facts::{Facts, ForeignTable, Mark, MarkUse};
use super::finding::Finding;
use crate::engine::kernel::rule::ForeignRule;
use crate::units::{Family, Fwmark};

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let tables = facts.tables.iter().flat_map(in_table);
    tables.chain(facts.view.rules.iter().filter_map(in_rule)).collect()
}

/// One finding for each chain and kind of use.
fn in_table(table: &ForeignTable) -> Vec<Finding> {
    let mut clashes = table.marks.clone();
    clashes.sort_unstable();
    clashes.dedup();
    let name = &table.name;
    let found = clashes.iter().map(|clash| {
        let chain = &clash.chain;
        let (of, statement) = match clash.mark {
            Mark::Packet => ("packet marks", "meta mark"),
            Mark::Flow => ("connection marks", "ct mark"),
        };
        let others = !Fwmark::OURS_MASK;
        let place = format!("the firewall {name} (chain {chain})");
        match clash.how {
            MarkUse::Sets => Finding::wrong(
                format!("{place} sets bits of {of} that sparelink uses (0x7f000000)"),
                "Connections are taken for those of another uplink, and reset or lost when it dies.",
                format!("use other bits there, those of {others:#010x}"),
            ),
            MarkUse::Clears => Finding::wrong(
                format!("{place} clears the bits of {of} that sparelink uses (0x7f000000)"),
                "Connections do not stay on the uplink on which they began.",
                format!("keep them: {statement} set {statement} and {:#010x} or VALUE", Fwmark::OURS_MASK),
            ),
            MarkUse::Compares => Finding::wrong(
                format!("{place} compares bits of {of} that sparelink uses (0x7f000000)"),
                "What it looks for is not found as soon as a connection has an uplink.",
                format!("leave them out: {statement} and {others:#010x} == VALUE"),
            ),
        }
    });
    found.collect()
}

/// A policy rule that looks at some of our bits; one that looks at a whole mark finds it as it was set.
fn in_rule(rule: &ForeignRule) -> Option<Finding> {
    let mark = rule.selector.fwmark?;
    let some = mark.mask & Fwmark::OURS_MASK != 0 && mark.mask != u32::MAX;
    let is_ours = mark.value != 0 && mark.value & !Fwmark::OURS_MASK == 0;
    let whole = mark.mask == u32::MAX && is_ours;
    (some || whole).then(|| {
        let (family, priority) = (rule.family, rule.priority.0);
        let flag = if family == Family::V6 { "-6 " } else { "" };
        Finding::wrong(
            format!("an {family} rule ({priority}) looks at bits of packet marks that sparelink uses (fwmark {mark})"),
            "It takes packets that sparelink sends to an uplink, or misses its own.",
            format!("give it a mask of bits in {:#010x}: ip {flag}rule del pref {priority}, and add it anew", !Fwmark::OURS_MASK),
        )
    })
}
