//! What others did to what is ours: how the kernel differed from a wish that had been in place.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::diff::{Change, route_key};
use super::{Dataplane, Route};
use crate::units::Gather as _;

/// How what was found differed from what was wished for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// Policy rules.
    pub rules: Tally,
    /// Routes.
    pub routes: Tally,
    /// The nftables table as a whole.
    pub table: Option<Damage>,
    /// Sets of the table with other elements.
    pub sets: u32,
    /// Sysctls, with the value that was found.
    pub sysctls: BTreeMap<String, String>,
}

/// Things of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Wished for.
    pub wished: u32,
    /// Wished for and not there.
    pub missing: u32,
    /// There, but different.
    pub changed: u32,
    /// There in our name, and not wished for.
    pub strange: u32,
}

/// What had happened to the nftables table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Damage {
    /// There was none.
    Deleted,
    /// It was another one than ours, or parts of it were gone.
    Changed,
}

/// Kinds of things that others delete or change, for counting repairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Policy rules.
    Rules,
    /// Routes.
    Routes,
    /// The nftables table and its sets.
    Nftables,
    /// Values under `/proc/sys`.
    Sysctls,
}

impl Kind {
    /// The word in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Rules => "rules",
            Self::Routes => "routes",
            Self::Nftables => "nftables",
            Self::Sysctls => "sysctls",
        }
    }
}

impl Drift {
    /// How `observed` differs from `desired`; `changes` is what [`diff`](super::diff::diff) makes of
    /// the two, and `table` tells whether there was any nftables table of our name.
    #[must_use]
    pub fn of(desired: &Dataplane, observed: &Dataplane, changes: &[Change], table: bool) -> Self {
        let missing = desired.rules.difference(&observed.rules).count();
        let strange = observed.rules.difference(&desired.rules).count();
        let rules = Tally {
            wished: number(desired.rules.len()),
            missing: number(missing),
            changed: 0,
            strange: number(strange),
        };
        let mut this =
            Self { rules, routes: routes(&desired.routes, &observed.routes), ..Self::default() };
        for change in changes {
            match change {
                Change::BuildTable(_) => {
                    this.table = Some(if table { Damage::Changed } else { Damage::Deleted });
                }
                Change::Elements { .. } => this.sets += 1,
                Change::SetSysctl { path, .. } => {
                    let found = observed.sysctls.get(path).map(|found| found.value.clone());
                    this.sysctls.insert(path.clone(), found.unwrap_or_default());
                }
                Change::ReplaceRoute(_)
                | Change::DelRoute(_)
                | Change::AddRule(_)
                | Change::DelRule(_) => {}
            }
        }
        this
    }

    /// Takes in what differed when it was looked at again, in the same go.
    pub fn add(&mut self, later: &Self) {
        self.rules.add(later.rules);
        self.routes.add(later.routes);
        self.table = later.table.or(self.table);
        self.sets += later.sets;
        self.sysctls.extend(later.sysctls.clone());
    }

    /// The kinds of things that differed.
    pub fn kinds(&self) -> impl Iterator<Item = Kind> {
        let kinds = [
            (Kind::Rules, self.rules.differs()),
            (Kind::Routes, self.routes.differs()),
            (Kind::Nftables, self.table.is_some() || self.sets > 0),
            (Kind::Sysctls, !self.sysctls.is_empty()),
        ];
        kinds.into_iter().filter_map(|(kind, differs)| differs.then_some(kind))
    }
}

impl Tally {
    const fn differs(&self) -> bool {
        self.missing > 0 || self.changed > 0 || self.strange > 0
    }

    fn add(&mut self, later: Self) {
        self.wished = later.wished;
        self.missing = (self.missing + later.missing).min(later.wished);
        self.changed += later.changed;
        self.strange += later.strange;
    }

    /// `all 10 rules`, `2 of 10 rules`.
    fn missing_of(&self, what: &str) -> Option<String> {
        let Self { wished, missing, .. } = *self;
        match missing {
            0 => None,
            all if all == wished && all > 1 => Some(format!("all {all} {what}s")),
            some => Some(format!("{some} of {wished} {what}s")),
        }
    }
}

impl fmt::Display for Drift {
    /// What others did, as the rest of a sentence: `deleted all 10 rules and the nftables table, set
    /// net.ipv4.ip_forward to 0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = |damage| (self.table == Some(damage)).then(|| "the nftables table".to_owned());
        let some = |n: u32, what: &str| (n > 0).then(|| plural(n, what));
        let deleted = [
            self.rules.missing_of("rule"),
            self.routes.missing_of("route"),
            table(Damage::Deleted),
        ];
        let changed = [
            some(self.routes.changed, "route"),
            table(Damage::Changed),
            some(self.sets, "nftables set"),
        ];
        let added = [some(self.rules.strange, "rule"), some(self.routes.strange, "route")];
        let set = match self.sysctls.len() {
            0..=2 => self.sysctls.iter().map(|(path, found)| setting(path, found)).collect(),
            many => vec![format!("{many} sysctls to other values")],
        };
        let clauses = [
            ("deleted", listed(deleted.into_iter().flatten().collect())),
            ("changed", listed(changed.into_iter().flatten().collect())),
            ("added", listed(added.into_iter().flatten().collect())),
            ("set", listed(set)),
        ];
        let said: Vec<String> = clauses
            .into_iter()
            .filter_map(|(verb, what)| what.map(|what| format!("{verb} {what}")))
            .collect();
        f.write_str(&said.join(", "))
    }
}

fn setting(path: &str, found: &str) -> String {
    // A name such as eth0.7 would look like two parts.
    let name = if path.contains('.') { path.to_owned() } else { path.replace('/', ".") };
    if found.is_empty() { name } else { format!("{name} to {found}") }
}

/// `a, b and c`.
fn listed(mut all: Vec<String>) -> Option<String> {
    let last = all.pop()?;
    if all.is_empty() { Some(last) } else { Some(format!("{} and {last}", all.join(", "))) }
}

fn plural(n: u32, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

fn routes(desired: &BTreeSet<Route>, observed: &BTreeSet<Route>) -> Tally {
    let there: BTreeSet<_> = observed.iter().map(route_key).gather();
    let wanted: BTreeSet<_> = desired.iter().map(route_key).gather();
    let not_as_wished = desired.difference(observed);
    let (changed, missing): (Vec<&Route>, Vec<&Route>) =
        not_as_wished.partition(|route| there.contains(&route_key(route)));
    let strange = observed.iter().filter(|route| !wanted.contains(&route_key(route)));
    Tally {
        wished: number(desired.len()),
        missing: number(missing.len()),
        changed: number(changed.len()),
        strange: number(strange.count()),
    }
}

fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::diff::diff;
    use super::super::nft::{KeyPart, KeyType, Set, Table};
    use super::super::plan::{Wanted, everything, plan};
    use super::super::{Rule, RuleAction, Sysctl};
    use super::*;
    use crate::units::{Family, IfIndex, Metric, RulePriority, TableId};

    fn whole() -> Dataplane {
        let mut whole = plan(&Wanted::default());
        for table in [8300, 8301, 8302] {
            whole.routes.insert(Route {
                family: Family::V4,
                table: TableId(table),
                metric: Metric(1),
                dst: everything(Family::V4),
                via: None,
                dev: IfIndex(2),
                onlink: false,
                mtu: None,
            });
        }
        let mut set = Set::new(&[KeyType::Mark]);
        set.elements.insert(vec![KeyPart::Mark(1)], None);
        whole.nft.sets.insert("some".to_owned(), set);
        let value = |value: &str| Sysctl { value: value.to_owned(), ..Sysctl::default() };
        whole.sysctls.insert("net/ipv4/ip_forward".to_owned(), value("1"));
        whole
    }

    /// What is said when `others` have done something to a dataplane that was in place.
    fn said(others: impl FnOnce(&mut Dataplane)) -> String {
        let wish = whole();
        let mut observed = whole();
        others(&mut observed);
        let table = !observed.nft.name.is_empty();
        Drift::of(&wish, &observed, &diff(&wish, &observed), table).to_string()
    }

    #[test]
    fn what_others_did_is_said_in_their_verbs() {
        assert_eq!(said(|_| ()), "");
        assert_eq!(said(|d| d.rules.clear()), "deleted all 4 rules");
        let flushed = said(|d| {
            d.rules.clear();
            d.routes.pop_first();
            d.nft = Table::default();
        });
        assert_eq!(flushed, "deleted all 4 rules, 1 of 3 routes and the nftables table");
        let twisted = said(|d| {
            let mut route = d.routes.pop_first().unwrap();
            route.dev = IfIndex(9);
            d.routes.insert(route);
            route.table = TableId(8399);
            d.routes.insert(route);
            d.rules.insert(Rule {
                family: Family::V6,
                priority: RulePriority(8399),
                fwmark: None,
                then: RuleAction::LookUp(TableId::MAIN),
                suppress_prefixlength: None,
            });
            d.nft.sets.get_mut("some").unwrap().elements.clear();
            d.sysctls.get_mut("net/ipv4/ip_forward").unwrap().value = "0".to_owned();
        });
        assert_eq!(
            twisted,
            "changed 1 route and 1 nftables set, added 1 rule and 1 route, set net.ipv4.ip_forward to 0"
        );
        let broken = said(|d| {
            d.nft.counters.insert("other".to_owned());
        });
        assert_eq!(broken, "changed the nftables table");
    }

    #[test]
    fn kinds_are_told_apart() {
        let wish = whole();
        let mut observed = whole();
        observed.rules.clear();
        observed.nft = Table::default();
        let drift = Drift::of(&wish, &observed, &diff(&wish, &observed), false);
        assert!(drift.kinds().eq([Kind::Rules, Kind::Nftables]));
        assert_eq!(Drift::default().kinds().count(), 0);
        // One family's rules, then the other's, then one of them again.
        let of = |n| Drift {
            rules: Tally { wished: 4, missing: n, ..Tally::default() },
            ..drift.clone()
        };
        let mut all = of(2);
        all.add(&of(2));
        all.add(&of(1));
        assert_eq!(all.to_string(), "deleted all 4 rules and the nftables table");
    }
}
