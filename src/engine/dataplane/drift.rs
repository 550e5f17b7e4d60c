//! What others did to what is ours: how the kernel differed from a desired state that had been in place.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::diff::{Change, route_key};
use super::{Dataplane, Route, Rule};
use crate::engine::events::undone::{Count, Damage, Undone};
use crate::units::Gather as _;

/// How what was found differed from what was desired.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    pub rules: Tally<Rule>,
    pub routes: Tally<Route>,
    /// The nftables table as a whole.
    pub table: Option<Damage>,
    /// Sets of the table with other elements, by name.
    pub sets: BTreeSet<String>,
    /// Sysctls, with the value that was found.
    pub sysctls: BTreeMap<String, String>,
}

/// Things of one kind: which, and not how often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally<T: Ord> {
    /// How many are desired.
    pub desired: usize,
    /// Desired and not there.
    pub missing: BTreeSet<T>,
    pub changed: BTreeSet<T>,
    /// There in our name, and not desired.
    pub strange: BTreeSet<T>,
}

impl<T: Ord> Default for Tally<T> {
    fn default() -> Self {
        let none = BTreeSet::new;
        Self { desired: 0, missing: none(), changed: none(), strange: none() }
    }
}

/// Whether the kernel had any nftables table of our name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    Table,
    NoTable,
}

impl Drift {
    /// How `observed` differed from `desired`, by the `changes` that were made of it, see
    /// [`diff`](super::diff::diff); `found` tells whether there was any nftables table of our name.
    #[must_use]
    pub fn of(desired: &Dataplane, observed: &Dataplane, changes: &[Change], found: Found) -> Self {
        let there: BTreeSet<_> = observed.routes.iter().map(route_key).gather();
        let mut this = Self::default();
        this.rules.desired = desired.rules.len();
        this.routes.desired = desired.routes.len();
        for change in changes {
            match change {
                Change::AddRule(rule) => _ = this.rules.missing.insert(rule.clone()),
                Change::DelRule(rule) => _ = this.rules.strange.insert(rule.clone()),
                Change::ReplaceRoute(route) => {
                    let Tally { missing, changed, .. } = &mut this.routes;
                    let is_there = there.contains(&route_key(route));
                    if is_there { changed } else { missing }.insert(*route);
                }
                Change::DelRoute(route) => _ = this.routes.strange.insert(*route),
                Change::BuildTable(_) => {
                    this.table = Some(match found {
                        Found::Table => Damage::Changed,
                        Found::NoTable => Damage::Deleted,
                    });
                }
                // What has a time to live may have had it.
                Change::Elements { set, .. } if is_timed(desired, set) => {}
                Change::Elements { set, .. } => _ = this.sets.insert(set.clone()),
                Change::SetSysctl { path, .. } => {
                    let found = observed.sysctls.get(path).map(|found| found.value.clone());
                    this.sysctls.insert(path.clone(), found.unwrap_or_default());
                }
            }
        }
        this
    }

    /// Takes in what differed when it was looked at again, in the same go.
    pub fn add(&mut self, later: Self) {
        self.rules.add(later.rules);
        self.routes.add(later.routes);
        self.table = later.table.or(self.table);
        self.sets.extend(later.sets);
        self.sysctls.extend(later.sysctls);
    }

    /// What others did, for telling.
    #[must_use]
    pub fn undone(&self) -> Undone {
        Undone {
            rules: self.rules.count(),
            routes: self.routes.count(),
            table: self.table,
            sets: self.sets.len(),
            sysctls: self.sysctls.clone(),
        }
    }
}

fn is_timed(desired: &Dataplane, set: &str) -> bool {
    desired.nft.sets.get(set).is_some_and(|set| set.timeout.is_some())
}

impl<T: Ord> Tally<T> {
    fn count(&self) -> Count {
        Count {
            desired: self.desired,
            deleted: self.missing.len(),
            changed: self.changed.len(),
            added: self.strange.len(),
        }
    }

    fn add(&mut self, later: Self) {
        self.desired = later.desired;
        self.missing.extend(later.missing);
        self.changed.extend(later.changed);
        self.strange.extend(later.strange);
    }
}

#[cfg(test)]
mod tests {
    use super::super::diff::diff;
    use super::super::nft::{KeyPart, KeyType, Set, Table};
    use super::super::plan::{everything, plan};
    use super::super::wanted::Wanted;
    use super::super::{Route, Rule, Sysctl};
    use super::*;
    use crate::engine::events::undone::Kind;
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
                prefsrc: None,
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
        let desired = whole();
        let mut observed = whole();
        others(&mut observed);
        let found = if observed.nft.name.is_empty() { Found::NoTable } else { Found::Table };
        Drift::of(&desired, &observed, &diff(&desired, &observed), found).undone().to_string()
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
            d.rules.insert(Rule::look_up(Family::V6, RulePriority(8399), TableId::MAIN));
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
        let desired = whole();
        let mut observed = whole();
        observed.rules.clear();
        observed.nft = Table::default();
        let drift = Drift::of(&desired, &observed, &diff(&desired, &observed), Found::NoTable);
        assert!(drift.undone().kinds().eq([Kind::Rules, Kind::Nftables]));
        assert_eq!(Undone::default().kinds().count(), 0);
        // Some rules, some of them again, then the rest.
        let of = |rules: &[usize]| {
            let mut drift = drift.clone();
            let some = desired.rules.iter().enumerate().filter(|(n, _)| rules.contains(n));
            drift.rules.missing = some.map(|(_, rule)| rule.clone()).gather();
            drift
        };
        let mut all = of(&[0, 1]);
        all.add(of(&[1]));
        assert_eq!(all.undone().to_string(), "deleted 2 of 4 rules and the nftables table");
        all.add(of(&[2, 3]));
        assert_eq!(all.undone().to_string(), "deleted all 4 rules and the nftables table");
    }
}
