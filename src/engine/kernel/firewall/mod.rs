//! Other people's rules for what is forwarded: what they do with a packet of the LAN on its way out by an
//! uplink, and with the answer on its way back; and what they do with answers to the box itself.
//!
//! A rule is kept as the small program that the kernel runs on each packet: it loads values into registers,
//! compares them, and ends in a verdict. It is run here on packets as an ordinary client has them. Where
//! a rule asks for something that an ordinary packet does not tell, both ends are followed, and the answer is that
//! it cannot be told.

mod model;
mod packet;
mod run;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::units::{Family, IfIndex, PerFamily};

pub use model::{
    Answer, Arrival, Certainty, Chain, Element, Expr, Field, Policy, Port, Register, Relation,
    Ruleset, Set, Table, Verdict, Way,
};
pub use packet::Step;

/// A chain of somebody else's that is in the way, or may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Barrier {
    /// Its table, such as `inet fw4`.
    pub table: String,
    /// The chain where forwarded packets begin.
    pub chain: String,
    /// The first packet that does not pass.
    pub step: Step,
    pub certainty: Certainty,
}

/// A chain of somebody else's that certainly drops an answer to the box.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stop {
    pub table: String,
    pub chain: String,
    /// The rule that does it, counted from 1; `None`: no rule takes it, and the policy is to drop.
    pub rule: Option<usize>,
}

/// The longest chain of which it is found out which rule it is.
const MOST_RULES: usize = 500;

impl Ruleset {
    /// Every chain that drops an answer to the box itself.
    #[must_use]
    pub fn stops(&self, arrival: &Arrival) -> Vec<Stop> {
        let family = Family::of(&arrival.own);
        let packet = packet::Packet::arriving(arrival);
        let drops = |table: &Table, name: &str, policy| {
            run::run(table, name, policy, &packet) == Some(Certainty::Stops)
        };
        let mut found = Vec::new();
        for table in self.tables.iter().filter(|table| table.sees.contains(&family)) {
            for (name, chain) in &table.chains {
                let Some(policy) = chain.policy.filter(|policy| drops(table, name, *policy)) else {
                    continue;
                };
                // The shortest beginning of the chain that drops it ends with that rule.
                let rule = drops(table, name, Policy::Accept).then(|| {
                    let mut part = table.clone();
                    let room = chain.rules.len().min(MOST_RULES);
                    (1..=room).find(|count| {
                        let rules = chain.rules.iter().take(*count).cloned().collect();
                        let begins = Chain { policy: Some(policy), rules };
                        part.chains.insert(name.clone(), begins);
                        drops(&part, name, Policy::Accept)
                    })
                });
                let rule = rule.map(|rule| rule.unwrap_or(chain.rules.len()));
                found.push(Stop { table: table.name.clone(), chain: name.clone(), rule });
            }
        }
        found
    }

    /// Every chain that stops the LAN's packets or the answers to them, or may.
    #[must_use]
    pub fn barriers(&self, way: &Way) -> Vec<Barrier> {
        let family = Family::of(&way.client);
        let tables = self.tables.iter().filter(|table| table.sees.contains(&family));
        let starts = tables.flat_map(|table| {
            let bases = table.chains.iter().filter_map(|(name, c)| Some((name, c.policy?)));
            bases.map(move |(name, policy)| (table, name, policy))
        });
        starts.filter_map(|(table, name, policy)| barrier(table, name, policy, way)).collect()
    }

    /// The table that certainly stops the LAN's packets or the answers to them.
    #[must_use]
    pub fn bars(&self, way: &Way) -> Option<String> {
        let barriers = self.barriers(way);
        barriers.into_iter().find(|b| b.certainty == Certainty::Stops).map(|b| b.table)
    }
}

fn barrier(table: &Table, name: &str, policy: Policy, way: &Way) -> Option<Barrier> {
    let of = |step| {
        let certainty = run::run(table, name, policy, &packet::Packet::new(way, step))?;
        let (table, chain) = (table.name.clone(), name.to_owned());
        Some(Barrier { table, chain, step, certainty })
    };
    let found: Vec<Barrier> = Step::ALL.into_iter().filter_map(of).collect();
    let certain = found.iter().find(|b| b.certainty == Certainty::Stops);
    certain.or_else(|| found.first()).cloned()
}

/// The address of a client in a subnet, given the box's own there.
#[must_use]
pub fn a_client(own: ipnet::IpNet) -> IpAddr {
    let beside = |last: u8| match own.addr() {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            IpAddr::from([a, b, c, last])
        }
        IpAddr::V6(ip) => {
            let mut octets = ip.octets();
            octets[15] = last;
            IpAddr::from(octets)
        }
    };
    let fits = |ip: &IpAddr| own.contains(ip) && *ip != own.addr();
    let edges = [own.network(), own.broadcast()];
    let mut all = (0..=u8::MAX).rev().map(beside).filter(fits);
    all.find(|ip| !edges.contains(ip)).unwrap_or_else(|| own.addr())
}

/// The uplinks' devices that are closed to every interface of the LAN, and by which table.
#[must_use]
pub fn closed(ruleset: &Ruleset, ways: &[Way]) -> PerFamily<BTreeMap<IfIndex, String>> {
    let mut closed = PerFamily::<BTreeMap<IfIndex, String>>::default();
    let mut open = PerFamily::<BTreeSet<IfIndex>>::default();
    for way in ways {
        let family = Family::of(&way.client);
        match ruleset.bars(way) {
            Some(by) => drop(closed.get_mut(family).entry(way.out.index).or_insert(by)),
            None => drop(open.get_mut(family).insert(way.out.index)),
        }
    }
    for family in Family::BOTH {
        let open = open.get(family);
        closed.get_mut(family).retain(|index, _| !open.contains(index));
    }
    closed
}
