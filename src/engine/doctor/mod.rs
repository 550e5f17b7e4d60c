//! What on a box would stand in the way. Facts in, findings out; nothing is changed and nothing is
//! asked here.
//!
//! ```text
//! parts      what the kernel must have
//! settings   values under /proc/sys
//! others     who else steers, filters or rewrites packets
//! household  the uplinks and the LAN as they are; directories, the clock
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Serialize;

use crate::config::Config;
use crate::engine::kernel::view::KernelView;
use crate::units::{Family, Fwmark, RulePriority, TableId};

mod household;
mod others;
pub mod parts;
mod settings;

use parts::{Part, Presence};

/// What was seen on the box.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// An agent runs here; much that is not right yet it would put right at its start.
    pub running: bool,
    /// Links, addresses and routes.
    pub view: KernelView,
    /// Policy rules that are not ours.
    pub rules: Vec<ForeignRule>,
    /// Parts of the kernel that were tried, and permissions.
    pub parts: BTreeMap<Part, Presence>,
    /// Values by path below `/proc/sys`, those there are.
    pub sysctls: BTreeMap<String, String>,
    /// Other people's nftables tables.
    pub tables: Vec<ForeignTable>,
    /// Names of running programs, as far as they matter.
    pub programs: BTreeSet<String>,
    /// What systemd-networkd does with other people's routes and rules.
    pub networkd: Networkd,
    /// Directories that the agent writes to.
    pub directories: Vec<Directory>,
    /// The wall clock has been set.
    pub clock_set: bool,
    /// What could not be looked at, and why.
    pub hidden: Vec<Hidden>,
}

/// A policy rule of somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForeignRule {
    /// IP version.
    pub family: Family,
    /// Its priority; lower is looked at first.
    pub priority: RulePriority,
    /// The table it leads to, if it leads to one.
    pub table: Option<TableId>,
    /// It concerns some packets only.
    pub selective: bool,
    /// Packets with this mark.
    pub fwmark: Option<Fwmark>,
    /// Default routes found there do not count.
    pub suppressed: bool,
}

/// An nftables table of somebody else, iptables' own among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForeignTable {
    /// Family and name, such as `inet fw4`.
    pub name: String,
    /// A chain of it that drops forwarded packets unless a rule lets them through.
    pub drops_forwards: Option<String>,
    /// Interfaces whose names stand in its rules or sets.
    pub mentions: BTreeSet<String>,
    /// A rule writes a fixed source address into packets.
    pub fixed_source: bool,
    /// Its flowtables.
    pub flowtables: Vec<Flowtable>,
}

/// A flowtable: packets of a known flow go around all chains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flowtable {
    /// Its name.
    pub name: String,
    /// The devices between which packets take the short way.
    pub devices: BTreeSet<String>,
    /// The network hardware does it (`NFT_FLOWTABLE_HW_OFFLOAD`).
    pub hardware: bool,
}

/// systemd-networkd.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Networkd {
    /// It runs.
    pub running: bool,
    /// `ManageForeignRoutes=no`.
    pub leaves_routes: bool,
    /// `ManageForeignRoutingPolicyRules=no`.
    pub leaves_rules: bool,
}

/// A directory that the agent writes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// Which.
    pub path: PathBuf,
    /// What for.
    pub purpose: &'static str,
    /// Why it cannot be written to; `None`: it can.
    pub error: Option<String>,
}

/// Something that was not looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hidden {
    /// What.
    pub what: String,
    /// Why, and how it could be.
    pub why: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// It stands in the way.
    Wrong,
    /// Good to know.
    Note,
}

/// Something that a person should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub what: String,
    /// What it means for this box.
    pub why: String,
    /// What to do about it: commands or lines for a file; empty if nothing needs doing.
    pub mend: String,
}

impl Finding {
    fn wrong(what: impl Into<String>, why: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { level: Level::Wrong, what: what.into(), why: why.into(), mend: mend.into() }
    }

    fn note(what: impl Into<String>, why: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { level: Level::Note, ..Self::wrong(what, why, mend) }
    }
}

/// What stands in the way, the worst first.
#[must_use]
pub fn judge(config: &Config, facts: &Facts) -> Vec<Finding> {
    let mut findings: Vec<Finding> = parts::judge(facts).collect();
    findings.extend(household::judge(config, facts));
    findings.extend(others::judge(config, facts));
    findings.extend(settings::judge(config, facts));
    findings.sort_by_key(|finding| finding.level);
    findings
}

/// `a, b and c`.
fn listed(all: &[String]) -> String {
    match all {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests;
