//! How each of an uplink's own resolvers has behaved lately.
//!
//! A resolver is only at fault if somebody else resolved the name by the same line at the same time; so a
//! name that does not exist, or a line that is dead, is nobody's fault here.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::engine::probe::Heard;

/// So many misses in a row, and a resolver counts as silent: UDP loses packets, and any server
/// stumbles.
const MISSES: u32 = 2;
/// So many answers in a row, and it counts again.
const ANSWERS: u32 = 2;

/// How each resolver of one line has behaved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conduct {
    of: BTreeMap<IpAddr, Record>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    /// In a row, up to now.
    missed: u32,
    /// In a row, up to now.
    answered: u32,
    silent: bool,
}

impl Conduct {
    /// Notes whether a resolver resolved a name that somebody resolved.
    pub fn note(&mut self, resolver: IpAddr, heard: Heard) {
        let record = self.of.entry(resolver).or_default();
        match heard {
            Heard::Answer => {
                record.missed = 0;
                record.answered = (record.answered + 1).min(ANSWERS);
                record.silent &= record.answered < ANSWERS;
            }
            Heard::Silence => {
                record.answered = 0;
                record.missed = (record.missed + 1).min(MISSES);
                record.silent |= record.missed >= MISSES;
            }
        }
    }

    /// Whether a resolver has stopped resolving. One that was never asked is believed.
    #[must_use]
    pub fn is_silent(&self, resolver: &IpAddr) -> bool {
        self.of.get(resolver).is_some_and(|record| record.silent)
    }

    /// Whether any resolver is silent, or may be.
    #[must_use]
    pub fn is_uneasy(&self) -> bool {
        self.of.values().any(|record| record.silent || record.missed > 0)
    }

    /// Whether the next answers may change what is known of a resolver.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        self.of.values().any(|r| if r.silent { r.answered > 0 } else { r.missed > 0 })
    }

    /// Forgets those that are no longer among these.
    pub fn keep(&mut self, resolvers: &[IpAddr]) {
        self.of.retain(|resolver, _| resolvers.contains(resolver));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_misses_silence_a_resolver_and_two_answers_bring_it_back() {
        let ip: IpAddr = "192.0.2.53".parse().unwrap();
        let mut conduct = Conduct::default();
        // What it did, then: silent, uneasy, in doubt.
        let rows = [
            (Heard::Answer, false, false, false),
            (Heard::Silence, false, true, true),
            (Heard::Answer, false, false, false),
            (Heard::Silence, false, true, true),
            (Heard::Silence, true, true, false),
            (Heard::Silence, true, true, false),
            (Heard::Answer, true, true, true),
            (Heard::Silence, true, true, false),
            (Heard::Answer, true, true, true),
            (Heard::Answer, false, false, false),
        ];
        for (n, (heard, silent, uneasy, doubt)) in rows.into_iter().enumerate() {
            conduct.note(ip, heard);
            let seen = (conduct.is_silent(&ip), conduct.is_uneasy(), conduct.is_in_doubt());
            assert_eq!(seen, (silent, uneasy, doubt), "row {n}");
        }
        conduct.note(ip, Heard::Silence);
        conduct.keep(&[]);
        assert!(!conduct.is_uneasy(), "it is nobody's resolver any more");
    }
}
