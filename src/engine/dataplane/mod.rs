//! The dataplane: what we want in the kernel, as one value.
//!
//! `plan` makes it from a decision, `diff` compares it with what is there, `render` prints it as
//! `ip` and `nft` would. The kernel is changed through this value and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::engine::kernel::rule::Selector;
use crate::units::{Family, IfIndex, Metric, PerFamily, RulePriority, TableId};

pub mod diff;
pub mod drift;
pub mod failed;
pub mod followers;
pub mod nft;
pub mod plan;
pub mod render;
pub mod report;
pub mod ruleset;
pub(super) mod settling;
mod sources;
pub mod wanted;

/// Everything of ours in the kernel: desired, or observed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dataplane {
    /// Routes with our protocol number.
    pub routes: BTreeSet<Route>,
    /// Policy rules with our protocol number.
    pub rules: BTreeSet<Rule>,
    pub nft: nft::Table,
    /// Values under `/proc/sys`, by path such as `net/ipv4/ip_forward`.
    pub sysctls: BTreeMap<String, Sysctl>,
}

impl Dataplane {
    /// Leaves out the sysctls that are not there: one of a device that has just gone, or of a part that is not
    /// built in, is not missed. Those of netfilter appear with the table.
    pub fn keep_only_settable(&mut self, observed: &Self) {
        let is_there = |path: &String| observed.sysctls.contains_key(path);
        self.sysctls.retain(|path, _| is_there(path) || path.starts_with("net/netfilter/"));
    }

    /// Takes over the active default of a family from what is observed if this has none: with nothing
    /// to put in its place, the last one stays. Who decides may not know what stands: an interface
    /// vanishes before that is told, an earlier run or another configuration left a route.
    pub fn keep_last_default(&mut self, observed: &Self) {
        for family in Family::BOTH {
            let default = |r: &&Route| r.table == TableId::ACTIVE && r.family == family;
            if !self.routes.iter().any(|r| default(&r)) {
                self.routes.extend(observed.routes.iter().filter(default));
            }
        }
    }
}

/// What an earlier run left in the table of the active default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Where it points, which is adopted.
    pub active: PerFamily<Option<IfIndex>>,
    /// The spares behind it.
    pub spares: PerFamily<Vec<IfIndex>>,
}

impl Left {
    /// What these routes of ours say.
    #[must_use]
    pub fn of(routes: &BTreeSet<Route>) -> Self {
        let mut left = Self::default();
        let by_device = |route: &&Route| route.table == TableId::ACTIVE && route.dev != IfIndex(0);
        for route in routes.iter().filter(by_device) {
            if route.metric == Metric(1) {
                *left.active.get_mut(route.family) = Some(route.dev);
            } else {
                left.spares.get_mut(route.family).push(route.dev);
            }
        }
        left
    }
}

/// A value under `/proc/sys`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sysctl {
    /// What it should be, or is.
    pub value: String,
    /// Change it only if it is exactly this now: other values are somebody's choice.
    pub only_from: Option<String>,
    /// The kernel goes by the larger of this value and the one at that path (`conf/all`): then it
    /// is the larger one that `only_from` speaks of.
    pub beside: Option<String>,
    /// Kernels are built without it, and are none the worse for it.
    #[serde(default)]
    pub optional: bool,
}

/// A route of ours. The kernel's key is family, table, destination and metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Route {
    pub family: Family,
    /// Its table, 8300, one of 8301–8314, 8320 or 8321.
    pub table: TableId,
    /// Its metric: 1 active, 2 and up the spares behind it.
    pub metric: Metric,
    /// Where it leads: anywhere, in table 8320 to a subnet of the LAN, in 8321 where others lead it.
    pub dst: IpNet,
    /// The next hop; `None` on point-to-point devices.
    pub via: Option<IpAddr>,
    pub dev: IfIndex,
    /// The next hop is declared to be on the link.
    pub onlink: bool,
    /// Path MTU of the route, where the foreign one had it.
    pub mtu: Option<u32>,
    /// The source that packets of the box get by it, where the kernel would choose another.
    #[serde(default)]
    pub prefsrc: Option<IpAddr>,
}

/// A policy rule of ours.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Rule {
    pub family: Family,
    pub priority: RulePriority,
    /// Whom it concerns.
    pub selector: Selector,
    /// What becomes of them.
    pub then: RuleAction,
    /// Results with a prefix this short or shorter do not count (`FRA_SUPPRESS_PREFIXLEN`).
    pub suppress_prefixlength: Option<u32>,
}

impl Rule {
    /// A rule that looks everything up in a table.
    #[must_use]
    pub fn look_up(family: Family, priority: RulePriority, table: TableId) -> Self {
        let (selector, then) = (Selector::default(), RuleAction::LookUp(table));
        Self { family, priority, selector, then, suppress_prefixlength: None }
    }
}

/// What a policy rule does with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleAction {
    /// Looks for a route in this table.
    LookUp(TableId),
    /// Goes on at the rule with that priority, which lies further on (`FRA_GOTO`).
    GoTo(RulePriority),
    /// Refuses as prohibited: an error that ends a connection at once (RFC 4443 §3.1 code 1, RFC 1812
    /// §5.2.7.1 code 13), where the kernel's own "no route" lets it wait.
    Prohibit,
}
