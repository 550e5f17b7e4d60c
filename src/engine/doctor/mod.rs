//! What on a box would stand in the way. Facts in, findings out; nothing is changed and nothing is
//! asked here.
//!
//! ```text
//! missing    parts that the kernel must have
//! settings   values under /proc/sys
//! firewalls  who does not let the LAN out by an uplink
//! answers    who drops the answers by which a line is known to live
//! others     who else steers, filters or rewrites packets
//! wishes     others' say in where packets go
//! neighbours programs that work beside it, and whether there is something to set
//! marks      who else uses our bits of marks
//! strangers  who else speaks as a router in the LAN
//! household  the uplinks and the LAN as they are; directories, the clock
//! exposed    what of the box itself the Internet can reach
//! fine       what was looked at and is as it should be
//! proposal   what a configuration would say, where there is none
//! ```

use crate::config::Config;

mod answers;
mod exposed;
mod facts;
mod finding;
mod fine;
mod firewalls;
mod household;
mod marks;
mod missing;
pub mod neighbours;
mod others;
pub mod parts;
pub mod proposal;
mod settings;
mod strangers;
mod wishes;

pub use facts::{Directory, Facts, Flowtable, Follows, ForeignTable, Hidden, Networkd, Reader};
pub use facts::{Mark, MarkClash, MarkUse, Says, Voice};
pub use finding::{Finding, Level};
pub use fine::{TABLES, fine};

/// What stands in the way, the worst first.
#[must_use]
pub fn judge(config: &Config, facts: &Facts) -> Vec<Finding> {
    let mut findings: Vec<Finding> = missing::judge(facts).collect();
    findings.extend(household::judge(config, facts));
    findings.extend(strangers::judge(facts));
    findings.extend(firewalls::judge(config, facts));
    findings.extend(answers::judge(config, facts));
    findings.extend(others::judge(config, facts));
    findings.extend(wishes::judge(config, facts));
    findings.extend(marks::judge(facts));
    findings.extend(settings::judge(config, facts));
    findings.extend(exposed::judge(config, facts));
    findings.sort_by_key(|finding| finding.level);
    findings
}

#[cfg(test)]
mod tests;
