//! What to change so that the observed dataplane becomes the desired one.
//!
//! The order is part of the answer. New things come before old ones go, so that table 8300 is
//! never without a default route in between; whatever guards a route (`accept_ra`) is written
//! before what would take it away (`forwarding`).
//!
//! Architecture Invariant: a [`Dataplane`] holds only what is ours, so nothing of anybody else's
//! can stand in a [`Change`]: there is no field in which a foreign protocol number would fit.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::nft::{Key, Set, Table, Value};
use super::{Dataplane, Route, Rule, RuleAction, Sysctl};
use crate::units::{Family, Gather as _, Metric, TableId};

/// One write to the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Write a value under `/proc/sys`.
    SetSysctl {
        path: String,
        value: String,
    },
    /// Add a route, or replace the one with the same family, table, destination and metric.
    ReplaceRoute(Route),
    /// Remove a route of ours.
    DelRoute(Route),
    AddRule(Rule),
    /// Remove a rule of ours.
    DelRule(Rule),
    /// Build the whole nftables table anew, in one batch.
    BuildTable(Table),
    /// Change elements of one set, in one batch with its neighbours of the same kind. The old ones
    /// are named first (an interval set refuses a prefix that overlaps one still in it); no packet
    /// sees a state in between, because the batch is atomic.
    Elements {
        /// The set or map.
        set: String,
        add: Vec<(Key, Option<Value>)>,
        del: Vec<Key>,
    },
}

/// The changes that turn `observed` into `desired`, in the order in which they must be made.
///
/// Sysctls are compared by the keys of `desired` only: an observed one that nobody asked for is
/// left alone, and one that could not be read is written, unless it is to be changed only from a
/// known value.
#[must_use]
pub fn diff(desired: &Dataplane, observed: &Dataplane) -> Vec<Change> {
    let (mut changes, after_nft, forwarding) = sysctls(&desired.sysctls, &observed.sysctls);
    let (new_routes, old_routes) = routes(&desired.routes, &observed.routes);
    changes.extend(new_routes.into_iter().map(Change::ReplaceRoute));
    changes.extend(nft(&desired.nft, &observed.nft));
    changes.extend(after_nft);
    changes.extend(desired.rules.difference(&observed.rules).cloned().map(Change::AddRule));
    // Forwarding comes when everything stands: a flow that slipped through before would stay as
    // it began, without masquerade, for as long as it lives.
    changes.extend(forwarding);
    changes.extend(observed.rules.difference(&desired.rules).cloned().map(Change::DelRule));
    changes.extend(old_routes.into_iter().map(Change::DelRoute));
    changes
}

/// What the kernel makes of the changes: the model against which [`diff`] is tested, and which a
/// simulation can use in the kernel's place.
pub fn apply(changes: &[Change], dataplane: &mut Dataplane) {
    for change in changes {
        match change {
            Change::SetSysctl { path, value } => {
                let value = Sysctl { value: value.clone(), ..Sysctl::default() };
                dataplane.sysctls.insert(path.clone(), value);
            }
            Change::ReplaceRoute(route) => {
                // Where several share a key, the kernel replaces one and leaves the others.
                take_first(&mut dataplane.routes, |old| route_key(old) == route_key(route));
                dataplane.routes.insert(*route);
            }
            Change::DelRoute(route) => {
                take_first(&mut dataplane.routes, |old| {
                    (route_key(old), old.via, old.dev) == (route_key(route), route.via, route.dev)
                });
            }
            Change::AddRule(rule) => {
                dataplane.rules.insert(rule.clone());
            }
            Change::DelRule(rule) => {
                dataplane.rules.remove(rule);
            }
            Change::BuildTable(table) => dataplane.nft = table.clone(),
            Change::Elements { set, add, del } => {
                if let Some(set) = dataplane.nft.sets.get_mut(set) {
                    set.elements.retain(|key, _| !del.contains(key));
                    set.elements.extend(add.iter().cloned());
                }
            }
        }
    }
}

/// Sysctls that are not as they should be; those of netfilter, some of which the kernel has only
/// once a table asks for conntrack; and those that switch forwarding.
fn sysctls(
    desired: &BTreeMap<String, Sysctl>,
    observed: &BTreeMap<String, Sysctl>,
) -> (Vec<Change>, Vec<Change>, Vec<Change>) {
    let wrong = desired.iter().filter(|(path, desired)| {
        let now = observed.get(*path).map(|sysctl| &sysctl.value);
        let may_change = desired.only_from.is_none()
            || desired.only_from.as_ref() == now.map(|now| in_force(desired, now, observed));
        let lacking = desired.optional && now.is_none();
        now != Some(&desired.value) && may_change && !lacking
    });
    let (forwarding, rest): (Vec<_>, Vec<_>) = wrong.partition(|(path, _)| is_forwarding(path));
    let change = |(path, desired): (&String, &Sysctl)| Change::SetSysctl {
        path: path.clone(),
        value: desired.value.clone(),
    };
    let (late, early): (Vec<_>, Vec<_>) =
        rest.into_iter().partition(|(path, _)| path.starts_with("net/netfilter/"));
    (
        early.into_iter().map(change).collect(),
        late.into_iter().map(change).collect(),
        forwarding.into_iter().map(change).collect(),
    )
}

/// The value that the kernel goes by where one is `now`.
fn in_force<'a>(
    desired: &Sysctl,
    now: &'a String,
    observed: &'a BTreeMap<String, Sysctl>,
) -> &'a String {
    let number = |text: &String| text.parse::<u32>().unwrap_or(0);
    let beside = desired.beside.as_ref().and_then(|path| observed.get(path));
    beside.map(|sysctl| &sysctl.value).filter(|all| number(all) > number(now)).unwrap_or(now)
}

/// Whether a sysctl switches forwarding on or off. With forwarding on, the kernel forgets the
/// default routes of router advertisements unless `accept_ra` is 2 by then.
#[must_use]
pub fn is_forwarding(path: &str) -> bool {
    path.ends_with("/forwarding") || path.ends_with("/ip_forward")
}

/// Routes to add or replace, the active ones first, and routes to remove.
fn routes(desired: &BTreeSet<Route>, observed: &BTreeSet<Route>) -> (Vec<Route>, Vec<Route>) {
    let mut new: Vec<Route> = desired.difference(observed).copied().collect();
    new.sort_unstable_by_key(|r| (r.table != TableId::ACTIVE, r.metric, r.family, *r));
    let wanted: BTreeMap<_, _> = desired.iter().map(|r| (route_key(r), r)).gather();
    let mut in_place: BTreeSet<_> = BTreeSet::new();
    let old = observed.difference(desired).filter(|route| {
        let key = route_key(route);
        let Some(successor) = wanted.get(&key) else {
            return true;
        };
        // The first of its key goes by being replaced; any others stand beside it. A twin that
        // differs from its successor in MTU or onlink only is not deleted: it goes by the same
        // name, and the successor might go instead. It takes somebody's `ip route append` to our
        // table to make such a pair, and the successor stands before it.
        let replaced = !observed.contains(*successor) && in_place.insert(key);
        !replaced && (route.via, route.dev) != (successor.via, successor.dev)
    });
    let old = old.copied().collect();
    (new, old)
}

/// What makes two routes one to the kernel (`NLM_F_REPLACE`).
pub(super) fn route_key(route: &Route) -> (Family, TableId, IpNet, Metric) {
    (route.family, route.table, route.dst, route.metric)
}

/// The table as a whole if its structure differs, else its elements.
fn nft(desired: &Table, observed: &Table) -> Vec<Change> {
    if !desired.has_structure_of(observed) {
        return vec![Change::BuildTable(desired.clone())];
    }
    let pairs =
        desired.sets.iter().filter_map(|(name, set)| Some((name, set, observed.sets.get(name)?)));
    pairs.filter_map(|(name, desired, observed)| elements(name, desired, observed)).collect()
}

/// The elements of one set that differ. One that is there already is left alone, whatever is left
/// of its timeout.
fn elements(name: &str, desired: &Set, observed: &Set) -> Option<Change> {
    let missing = |of: &Set, key: &Key, value: &Option<Value>| of.elements.get(key) != Some(value);
    let add: Vec<_> = desired
        .elements
        .iter()
        .filter(|(key, value)| missing(observed, key, value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let del: Vec<_> = observed
        .elements
        .iter()
        .filter(|(key, value)| missing(desired, key, value))
        .map(|(key, _)| key.clone())
        .collect();
    (!add.is_empty() || !del.is_empty()).then(|| Change::Elements {
        set: name.to_owned(),
        add,
        del,
    })
}

/// Removes the first element that fits.
fn take_first<T: Ord + Copy>(set: &mut BTreeSet<T>, fits: impl Fn(&T) -> bool) {
    let found = set.iter().find(|x| fits(x)).copied();
    if let Some(found) = found {
        set.remove(&found);
    }
}

impl fmt::Display for Change {
    /// One line for a log or a report; interfaces stand as `#index`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetSysctl { path, value } => write!(f, "sysctl {path} = {value}"),
            Self::ReplaceRoute(route) => write!(f, "route replace {}", RouteText(route)),
            Self::DelRoute(route) => write!(f, "route del {}", RouteText(route)),
            Self::AddRule(rule) => write!(f, "rule add {}", RuleText(rule)),
            Self::DelRule(rule) => write!(f, "rule del {}", RuleText(rule)),
            Self::BuildTable(table) if table.name.is_empty() => write!(f, "nft delete table"),
            Self::BuildTable(table) => write!(f, "nft build table inet {}", table.name),
            Self::Elements { set, add, del } => {
                write!(f, "nft set {set}: {} added, {} removed", add.len(), del.len())
            }
        }
    }
}

/// A route in the words of `ip route`.
struct RouteText<'a>(&'a Route);

impl fmt::Display for RouteText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let r = self.0;
        write!(f, "{}", r.dst)?;
        if let Some(via) = r.via {
            write!(f, " via {via}")?;
        }
        write!(f, " dev #{} table {} metric {}", r.dev.0, r.table, r.metric.0)
    }
}

/// A rule in the words of `ip rule`.
struct RuleText<'a>(&'a Rule);

impl fmt::Display for RuleText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let r = self.0;
        write!(f, "{} pref {}", r.family, r.priority.0)?;
        write!(f, " {}", r.selector)?;
        match r.then {
            RuleAction::LookUp(table) => write!(f, "lookup {table}"),
            RuleAction::GoTo(priority) => write!(f, "goto {}", priority.0),
            RuleAction::Prohibit => write!(f, "prohibit"),
        }
    }
}

#[cfg(test)]
mod tests;
