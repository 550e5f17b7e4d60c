//! What other people's rules do with packet and conntrack marks, as far as it meets our bits: each rule is
//! followed through its registers, as the kernel does it.

use std::collections::BTreeMap;

use super::super::nfnl::Attributes;
use super::uapi::{DATA_VALUE, EXPR_DATA, EXPR_NAME, RULE_CHAIN, RULE_EXPRESSIONS, TARGET_NAME};
use crate::engine::doctor::{Mark, MarkClash, MarkUse};
use crate::units::Fwmark;

/// `NFT_META_MARK` and `NFT_CT_MARK`.
const MARK: u32 = 3;
// NFTA_META_*, NFTA_CT_*, NFTA_BITWISE_*, NFTA_IMMEDIATE_*, NFTA_CMP_*, NFTA_LOOKUP_*
const LOAD_TO: u16 = 1;
const LOAD_KEY: u16 = 2;
const META_FROM: u16 = 3;
const CT_FROM: u16 = 4;
const FROM: u16 = 1;
const TO: u16 = 2;
const MASK: u16 = 4;
const XOR: u16 = 5;
const IMMEDIATE_TO: u16 = 1;
const IMMEDIATE_DATA: u16 = 2;
const CMP_DATA: u16 = 3;
const LOOKUP_FROM: u16 = 2;
/// `NFTA_MATCH_INFO`, `NFTA_TARGET_INFO`: a struct of iptables' own.
const XT_INFO: u16 = 3;

/// What is in a register, if it has to do with a mark: `source & mask ^ xor`.
#[derive(Clone, Copy)]
struct Content {
    /// The mark that it was read from; `None`: a constant.
    source: Option<Mark>,
    mask: u32,
    xor: u32,
}

/// Where a rule of somebody else meets our bits.
pub(super) fn clashes(rule: Attributes<'_>) -> Vec<MarkClash> {
    let chain = rule.text(RULE_CHAIN).unwrap_or_default().to_owned();
    let mut registers = BTreeMap::new();
    let uses = rule
        .nested(RULE_EXPRESSIONS)
        .map(|(_, expression)| Attributes(expression))
        .filter_map(|expression| step(expression, &mut registers));
    uses.map(|(mark, how)| MarkClash { chain: chain.clone(), mark, how }).collect()
}

/// Follows one expression; how it meets our bits, if it does.
fn step(
    expression: Attributes<'_>,
    registers: &mut BTreeMap<u32, Content>,
) -> Option<(Mark, MarkUse)> {
    let data = expression.nested(EXPR_DATA);
    let register = |kind: u16| data.be32(kind);
    match expression.text(EXPR_NAME)? {
        name @ ("meta" | "ct") => {
            let (mark, from) =
                if name == "meta" { (Mark::Packet, META_FROM) } else { (Mark::Flow, CT_FROM) };
            if let Some(to) = register(LOAD_TO) {
                registers.remove(&to);
                if register(LOAD_KEY) == Some(MARK) {
                    registers.insert(to, Content { source: Some(mark), mask: u32::MAX, xor: 0 });
                }
                return None;
            }
            let stored = registers.get(&register(from)?)?;
            (register(LOAD_KEY) == Some(MARK)).then(|| written(mark, *stored)).flatten()
        }
        "bitwise" => {
            let before = registers.get(&register(FROM)?).copied();
            let constants = number(data.nested(MASK)).zip(number(data.nested(XOR)));
            let to = register(TO)?;
            registers.remove(&to);
            if let (Some(before), Some((mask, xor))) = (before, constants) {
                let after =
                    Content { mask: before.mask & mask, xor: (before.xor & mask) ^ xor, ..before };
                registers.insert(to, after);
            }
            None
        }
        "immediate" => {
            let to = register(IMMEDIATE_TO)?;
            registers.remove(&to);
            if let Some(xor) = number(data.nested(IMMEDIATE_DATA)) {
                registers.insert(to, Content { source: None, mask: 0, xor });
            }
            None
        }
        "cmp" => {
            let content = registers.get(&register(FROM)?)?;
            read(*content, number(data.nested(CMP_DATA)))
        }
        "lookup" => read(*registers.get(&register(LOOKUP_FROM)?)?, None),
        "match" | "target" => of_iptables(data),
        _ => {
            // Whatever it is, it may have written there.
            if let Some(to) = register(LOAD_TO) {
                registers.remove(&to);
            }
            None
        }
    }
}

/// A constant of four bytes: marks stand in registers in host order.
fn number(data: Attributes<'_>) -> Option<u32> {
    Some(u32::from_ne_bytes(data.get(DATA_VALUE)?.try_into().ok()?))
}

/// A mark gets a value.
fn written(mark: Mark, value: Content) -> Option<(Mark, MarkUse)> {
    let Content { source, mask, xor } = value;
    if xor & Fwmark::OURS_MASK != 0 {
        return Some((mark, MarkUse::Sets));
    }
    // Copied from the other one, it has what that one had.
    let own = source.is_none_or(|source| source == mark);
    (own && mask & Fwmark::OURS_MASK != Fwmark::OURS_MASK).then_some((mark, MarkUse::Clears))
}

/// A mark is compared with a value, or looked up among several.
fn read(content: Content, with: Option<u32>) -> Option<(Mark, MarkUse)> {
    let mark = content.source?;
    let ours = content.mask & Fwmark::OURS_MASK;
    let wants = with.is_some_and(|value| value & ours != 0);
    // In a packet's mark our bits are not seen behind routing; in a flow's they stay.
    let whole = mark == Mark::Flow && ours != 0;
    (wants || whole).then_some((mark, MarkUse::Compares))
}

/// The same in iptables' words (linux/netfilter/xt_mark.h, xt_connmark.h).
fn of_iptables(data: Attributes<'_>) -> Option<(Mark, MarkUse)> {
    let info = data.get(XT_INFO)?;
    let word = |n: usize| {
        let bytes = info.get(4 * n..4 * n + 4)?;
        Some(u32::from_ne_bytes(bytes.try_into().ok()?))
    };
    let (value, mask) = (word(0)?, word(1)?);
    let set = |mark| Content { source: Some(mark), mask: !mask, xor: value };
    match data.text(TARGET_NAME)? {
        "mark" => read(Content { source: Some(Mark::Packet), mask, xor: 0 }, Some(value)),
        "connmark" => read(Content { source: Some(Mark::Flow), mask, xor: 0 }, Some(value)),
        "MARK" => written(Mark::Packet, set(Mark::Packet)),
        // Saving and restoring copy a mark.
        "CONNMARK" if info.get(12) == Some(&0) => written(Mark::Flow, set(Mark::Flow)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::nfnl::Attrs;
    use super::super::expr;
    use super::*;
    use crate::engine::dataplane::nft::Stmt;

    /// How a rule with these statements meets our bits.
    fn of(statements: &[Stmt]) -> Vec<(Mark, MarkUse)> {
        let rule = Attrs::new().text(RULE_CHAIN, "pre");
        let rule = rule.nest(RULE_EXPRESSIONS, &expr::rule(statements));
        let found = clashes(Attributes(rule.as_bytes()));
        assert!(found.iter().all(|clash| clash.chain == "pre"), "{found:?}");
        found.into_iter().map(|clash| (clash.mark, clash.how)).collect()
    }

    const fn mark(value: u32, mask: u32) -> Fwmark {
        Fwmark { value, mask }
    }

    #[test]
    fn what_keeps_to_its_own_bits_meets_none_of_ours() {
        let theirs = [
            Stmt::SetMetaMark(mark(0x80, 0xff)),
            Stmt::SetCtMark(mark(0x0080_0000, 0x00ff_0000)),
            Stmt::MetaMark(mark(0x100, 0x3f00)),
            Stmt::CtMark(mark(0x100, 0x3f00)),
            // Exactly 6: our bits are gone where it is looked for.
            Stmt::MetaMark(mark(6, u32::MAX)),
            Stmt::Dport(80),
        ];
        for statement in theirs {
            assert_eq!(of(std::slice::from_ref(&statement)), [], "{statement:?}");
        }
    }

    #[test]
    fn what_meets_ours_is_told() {
        let cases = [
            // A state bit of somebody's, and the traffic class below it.
            (Stmt::SetCtMark(mark(0x0100_0000, 0xfd00_0000)), (Mark::Flow, MarkUse::Sets)),
            (Stmt::SetMetaMark(mark(0x0100_0006, u32::MAX)), (Mark::Packet, MarkUse::Sets)),
            (Stmt::SetCtMark(mark(6, u32::MAX)), (Mark::Flow, MarkUse::Clears)),
            (Stmt::SetMetaMark(mark(0, 0xff00_0000)), (Mark::Packet, MarkUse::Clears)),
            (Stmt::MetaMark(mark(0x0200_0000, 0x0f00_0000)), (Mark::Packet, MarkUse::Compares)),
            (Stmt::CtMark(mark(6, u32::MAX)), (Mark::Flow, MarkUse::Compares)),
        ];
        for (statement, expected) in cases {
            assert_eq!(of(std::slice::from_ref(&statement)), [expected], "{statement:?}");
        }
    }

    #[test]
    fn iptables_words_are_understood() {
        let rule = |kind: &str, name: &str, words: &[u32]| {
            let info: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
            let data = Attrs::new().text(TARGET_NAME, name).bytes(XT_INFO, &info);
            let expression = Attrs::new().text(EXPR_NAME, kind).nest(EXPR_DATA, &data);
            let list = Attrs::new().nest(1, &expression);
            let rule = Attrs::new().text(RULE_CHAIN, "PREROUTING").nest(RULE_EXPRESSIONS, &list);
            clashes(Attributes(rule.as_bytes())).pop().map(|clash| (clash.mark, clash.how))
        };
        let sets = Some((Mark::Packet, MarkUse::Sets));
        assert_eq!(rule("target", "MARK", &[0x0100_0000, 0xff00_0000]), sets);
        assert_eq!(rule("target", "MARK", &[0x0008_0000, 0x00ff_0000]), None);
        let clears = Some((Mark::Flow, MarkUse::Clears));
        assert_eq!(rule("target", "CONNMARK", &[6, u32::MAX, 0, 0]), clears);
        assert_eq!(rule("target", "CONNMARK", &[0, u32::MAX, u32::MAX, 1]), None, "save");
        let compares = Some((Mark::Flow, MarkUse::Compares));
        assert_eq!(rule("match", "connmark", &[6, u32::MAX, 0]), compares);
        assert_eq!(rule("match", "mark", &[0x80000, 0x00ff_0000, 0]), None);
    }
}
