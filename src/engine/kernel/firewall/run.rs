//! Runs the rules of a table on a packet, as nf_tables does (`nft_do_chain`).

use std::collections::BTreeMap;

use super::model::{
    Certainty, Chain, Element, Expr, Field, Policy, Register, Relation, Set, Table, Verdict,
};
use super::packet::Packet;

/// Rules that are looked at before one gives up: more than people have.
const MOST_RULES: usize = 100_000;
/// The kernel follows this many jumps (`NFT_JUMP_STACK_SIZE`).
const DEEPEST: usize = 16;
/// Bytes of all registers: the verdict's, then four of sixteen bytes (or sixteen of four).
const REGISTERS: usize = 80;

/// What may become of a packet in a chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ends {
    accepts: bool,
    drops: bool,
    /// It comes to the chain's end, or back from it.
    falls: bool,
    /// What it depends on, where more than one is possible.
    depends: Option<String>,
}

impl Ends {
    fn all(depends: &str) -> Self {
        Self { accepts: true, drops: true, falls: true, depends: Some(depends.to_owned()) }
    }

    fn join(&mut self, other: Self) {
        self.accepts |= other.accepts;
        self.drops |= other.drops;
        self.falls |= other.falls;
        if self.depends.is_none() {
            self.depends = other.depends;
        }
    }
}

/// Whether something is so.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Truth {
    Yes,
    No,
    /// It depends on this.
    Depends(String),
}

/// What a packet meets that begins in a base chain; `None`: it passes.
pub(super) fn run(
    table: &Table,
    chain: &str,
    policy: Policy,
    packet: &Packet<'_>,
) -> Option<Certainty> {
    let mut run = Run { table, packet, known: BTreeMap::new(), rules: 0 };
    let ends = run.chain(chain, 0);
    let passes = ends.accepts || (ends.falls && policy == Policy::Accept);
    let stops = ends.drops || (ends.falls && policy == Policy::Drop);
    match (passes, stops) {
        (_, false) => None,
        (false, true) => Some(Certainty::Stops),
        (true, true) => Some(Certainty::Depends(ends.depends.unwrap_or_default())),
    }
}

struct Run<'a> {
    table: &'a Table,
    packet: &'a Packet<'a>,
    /// What was found out of chains before: nothing that a rule does changes what the next one sees.
    known: BTreeMap<&'a str, Ends>,
    rules: usize,
}

impl<'a> Run<'a> {
    fn chain(&mut self, name: &str, depth: usize) -> Ends {
        let Some((name, chain)) = self.table.chains.get_key_value(name) else {
            return Ends::all(&format!("chain {name}"));
        };
        if let Some(known) = self.known.get(name.as_str()) {
            return known.clone();
        }
        if depth >= DEEPEST {
            return Ends::all("very many jumps");
        }
        let ends = self.rules_of(chain, depth);
        self.known.insert(name, ends.clone());
        ends
    }

    fn rules_of(&mut self, chain: &'a Chain, depth: usize) -> Ends {
        let mut ends = Ends::default();
        for rule in &chain.rules {
            self.rules += 1;
            if self.rules > MOST_RULES {
                return Ends::all("very many rules");
            }
            let (matches, verdict) = self.rule(rule);
            if matches == Truth::No {
                continue;
            }
            let mut these = match verdict {
                Verdict::Accept => Ends { accepts: true, ..Ends::default() },
                Verdict::Drop => Ends { drops: true, ..Ends::default() },
                Verdict::Continue => continue,
                Verdict::Return => Ends { falls: true, ..Ends::default() },
                Verdict::Asks(whom) => Ends::all(&whom),
                // Behind the chain that was gone to, this one is over as well.
                Verdict::Goto(to) => self.chain(&to, depth + 1),
                Verdict::Jump(to) => {
                    let mut there = self.chain(&to, depth + 1);
                    let back = std::mem::take(&mut there.falls);
                    if matches == Truth::Yes && !back {
                        ends.join(there);
                        return ends;
                    }
                    ends.join(Ends { depends: depends(&there, matches), ..there });
                    continue;
                }
            };
            if let Truth::Depends(on) = matches {
                these.depends.get_or_insert(on);
                ends.join(these);
                continue;
            }
            ends.join(these);
            return ends;
        }
        ends.falls = true;
        ends
    }

    /// Whether a rule matches, and its verdict.
    fn rule(&self, rule: &[Expr]) -> (Truth, Verdict) {
        let mut registers = Registers::default();
        let mut matches = Truth::Yes;
        let mut verdict = Verdict::Continue;
        for expr in rule {
            let truth = match expr {
                Expr::End(end) => {
                    verdict = end.clone();
                    break;
                }
                Expr::Map { of, set } => {
                    let (truth, found) = self.map(&registers, *of, set);
                    verdict = found;
                    truth
                }
                Expr::Load(..)
                | Expr::Set(..)
                | Expr::Bits { .. }
                | Expr::Compare(..)
                | Expr::Range { .. }
                | Expr::Lookup { .. }
                | Expr::States(..)
                | Expr::Harmless
                | Expr::Never
                | Expr::Of(..)
                | Expr::Unknown(_) => self.step(expr, &mut registers),
            };
            match truth {
                Truth::No => return (Truth::No, Verdict::Continue),
                Truth::Depends(on) if matches == Truth::Yes => matches = Truth::Depends(on),
                Truth::Yes | Truth::Depends(_) => {}
            }
        }
        (matches, verdict)
    }

    fn step(&self, expr: &Expr, registers: &mut Registers) -> Truth {
        match expr {
            Expr::Load(_, Field::Nothing) | Expr::Never => return Truth::No,
            Expr::Load(to, field) => match (self.packet.load(field), field) {
                (Some(bytes), _) => registers.set(*to, &bytes),
                (None, Field::Other(what)) => registers.forget(*to, what),
                (None, _) => registers.forget(*to, "what a packet carries"),
            },
            Expr::Set(to, bytes) => registers.set(*to, bytes),
            Expr::Bits { from, to, mask, flip } => registers.bits(*from, *to, mask, flip),
            Expr::Compare(of, relation, with) => {
                return registers.known(*of, with.len(), |bytes| relation.holds(bytes, with));
            }
            Expr::Range { of, relation, first, last } => {
                let inside = |bytes: &[u8]| (&first[..]..=&last[..]).contains(&bytes);
                let wanted = *relation == Relation::Equal;
                return registers.known(*of, first.len(), |bytes| inside(bytes) == wanted);
            }
            Expr::Lookup { of, set, relation } => {
                let Some(found) = self.table.sets.get(set) else {
                    return Truth::Depends(format!("set {set}"));
                };
                let wanted = *relation == Relation::Equal;
                let is_in =
                    registers.known(*of, found.key_len, |key| found.find(key).is_some() == wanted);
                // What is not in the part that was read may be in the rest.
                return if found.partial { Truth::Depends(format!("set {set}")) } else { is_in };
            }
            Expr::States(states, relation) => {
                let is = self.packet.state & states != 0;
                let wanted = *relation == Relation::Equal;
                return if is == wanted { Truth::Yes } else { Truth::No };
            }
            Expr::Of(protocol, what) => {
                let depends = || Truth::Depends(what.clone());
                return if *protocol == self.packet.protocol { depends() } else { Truth::No };
            }
            Expr::Unknown(what) => {
                // It may have written anywhere.
                registers.forget_all(what);
                return Truth::Depends(what.clone());
            }
            Expr::Harmless | Expr::End(_) | Expr::Map { .. } => {}
        }
        Truth::Yes
    }

    /// What a verdict map says; what it does not have does not match.
    fn map(&self, registers: &Registers, of: Register, set: &str) -> (Truth, Verdict) {
        let unsure = |what: String| (Truth::Depends(what.clone()), Verdict::Asks(what));
        let Some(map) = self.table.sets.get(set).filter(|map| !map.partial) else {
            return unsure(format!("map {set}"));
        };
        let Some(key) = registers.get(of, map.key_len) else {
            return unsure(registers.why(of, map.key_len));
        };
        match map.find(&key).and_then(|element| element.verdict.clone()) {
            Some(verdict) => (Truth::Yes, verdict),
            None => (Truth::No, Verdict::Continue),
        }
    }
}

fn depends(there: &Ends, matches: Truth) -> Option<String> {
    match (&there.depends, matches) {
        (Some(on), _) => Some(on.clone()),
        (None, Truth::Depends(on)) => Some(on),
        (None, Truth::Yes | Truth::No) => None,
    }
}

impl Relation {
    fn holds(self, bytes: &[u8], with: &[u8]) -> bool {
        let order = bytes.cmp(with);
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

impl Set {
    /// The element that stands for a key.
    fn find(&self, key: &[u8]) -> Option<&Element> {
        let named = || self.elements.iter().filter(|element| !element.key.is_empty());
        let found = if self.intervals && self.fields.is_empty() {
            // The last one that begins or ends at or before it.
            let before = named().filter(|element| element.key.as_slice() <= key);
            let nearest = before.max_by(|a, b| a.key.cmp(&b.key).then(b.ends.cmp(&a.ends)));
            nearest.filter(|element| !element.ends)
        } else {
            named().find(|element| self.holds(element, key))
        };
        found.or_else(|| self.elements.iter().find(|element| element.key.is_empty()))
    }

    fn holds(&self, element: &Element, key: &[u8]) -> bool {
        if element.last.is_empty() || self.fields.is_empty() {
            return element.key == key;
        }
        let mut at = 0_usize;
        self.fields.iter().all(|len| {
            let field = at..at.saturating_add(*len);
            // Each field begins in a register of its own.
            at = field.end.saturating_add(3) / 4 * 4;
            let of = |bytes: &'_ [u8]| bytes.get(field.clone()).map(<[u8]>::to_vec);
            of(&element.key) <= of(key) && of(key) <= of(&element.last)
        })
    }
}

/// The registers, byte by byte.
struct Registers {
    bytes: [Option<u8>; REGISTERS],
    /// What the bytes that are not known depend on.
    why: String,
}

impl Default for Registers {
    fn default() -> Self {
        Self { bytes: [None; REGISTERS], why: String::new() }
    }
}

impl Registers {
    /// Where a register begins: those of sixteen bytes are numbered from 1, those of four from 8.
    fn at(register: Register) -> usize {
        let number = register.0 as usize;
        if number < 8 { number.saturating_mul(16) } else { (number - 4).saturating_mul(4) }
    }

    fn room(&mut self, register: Register, len: usize) -> &mut [Option<u8>] {
        let at = Self::at(register).min(REGISTERS);
        let end = at.saturating_add(len).min(REGISTERS);
        &mut self.bytes[at..end]
    }

    /// Writes a value; the kernel clears the rest of its last four bytes.
    fn set(&mut self, register: Register, value: &[u8]) {
        let room = self.room(register, value.len().next_multiple_of(4));
        room.fill(Some(0));
        for (to, from) in room.iter_mut().zip(value) {
            *to = Some(*from);
        }
    }

    fn forget(&mut self, register: Register, why: &str) {
        self.room(register, 16).fill(None);
        why.clone_into(&mut self.why);
    }

    fn forget_all(&mut self, why: &str) {
        self.bytes.fill(None);
        why.clone_into(&mut self.why);
    }

    fn get(&self, register: Register, len: usize) -> Option<Vec<u8>> {
        let at = Self::at(register);
        self.bytes.get(at..at.checked_add(len)?)?.iter().copied().collect()
    }

    fn why(&self, register: Register, len: usize) -> String {
        let fits = Self::at(register).saturating_add(len) <= REGISTERS;
        if fits && !self.why.is_empty() { self.why.clone() } else { "what it compares".to_owned() }
    }

    fn bits(&mut self, from: Register, to: Register, mask: &[u8], flip: &[u8]) {
        let at = Self::at(from).min(REGISTERS);
        let of = |i: usize| self.bytes.get(at + i).copied().flatten();
        let made: Vec<Option<u8>> = (0..mask.len())
            .map(|i| {
                let (mask, flip) = (mask[i], flip.get(i).copied().unwrap_or(0));
                if mask == 0 { Some(flip) } else { of(i).map(|byte| (byte & mask) ^ flip) }
            })
            .collect();
        for (to, from) in self.room(to, mask.len()).iter_mut().zip(made) {
            *to = from;
        }
    }

    fn known(&self, of: Register, len: usize, holds: impl FnOnce(&[u8]) -> bool) -> Truth {
        match self.get(of, len).map(|bytes| holds(&bytes)) {
            Some(true) => Truth::Yes,
            Some(false) => Truth::No,
            None => Truth::Depends(self.why(of, len)),
        }
    }
}
