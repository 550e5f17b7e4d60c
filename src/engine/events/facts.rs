//! What happened, in a form that log, page, message and history all read.

use std::fmt;
use std::time::Duration;

use ipnet::{IpNet, Ipv6Net};
use serde::{Deserialize, Serialize};

use crate::engine::health::Condition;
use crate::time::{Instant, Utc, human};
use crate::units::Family;

/// How much a person should care.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// For those who look closely.
    Debug,
    /// A change that a user would notice.
    Info,
    /// Something a person should look at.
    Warning,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When, for logic.
    pub at: Instant,
    /// When, for people, if the box knew.
    pub utc: Option<Utc>,
    /// What.
    pub fact: Fact,
}

/// What can happen. `Display` says it in one sentence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "code")]
pub enum Fact {
    /// The agent began; the uplinks in order.
    Started {
        /// Names in chain order.
        chain: Vec<String>,
    },
    /// The agent ends and leaves everything as it is.
    Stopped,
    /// A line's health changed.
    Health {
        /// The uplink.
        uplink: String,
        /// The family.
        family: Family,
        /// Health before.
        from: String,
        /// Health after.
        to: String,
        /// Why.
        condition: Condition,
    },
    /// Traffic moved.
    Switched {
        /// The family.
        family: Family,
        /// From which uplink.
        from: Option<String>,
        /// To which.
        to: String,
        /// What kind of move.
        kind: SwitchKind,
        /// Why, in words.
        reason: String,
    },
    /// The switch is done and was felt for so long.
    Felt {
        /// The uplink that carries the traffic now.
        to: String,
        /// Last answer by the old way to first answer by the new one.
        gap: Duration,
    },
    /// The active uplink is dead and no other is alive.
    NoWayOut {
        /// The uplink on which traffic stays.
        stays_on: Option<String>,
        /// The family.
        family: Family,
    },
    /// A verdict was wrong; the window was widened.
    Premature {
        /// The uplink.
        uplink: String,
        /// The new window.
        window: Duration,
    },
    /// An uplink became degraded or good again.
    Quality {
        /// The uplink.
        uplink: String,
        /// Whether it is degraded now.
        degraded: bool,
        /// Loss, in percent.
        loss: f32,
    },
    /// An uplink's own resolvers fell silent while public ones answer by it, or answer again.
    Resolvers {
        /// The uplink.
        uplink: String,
        /// The family.
        family: Family,
        /// Whether they are silent now.
        silent: bool,
        /// Whether the uplink carries traffic.
        in_use: bool,
    },
    /// Flows of a dead uplink were flushed.
    Flushed {
        /// The uplink.
        uplink: String,
        /// How many.
        flows: u64,
        /// TCP clients that were sent a packet which makes them notice.
        poked: u64,
        /// TCP connections of the box itself that were ended.
        destroyed: u64,
    },
    /// Flows are still on an uplink that was left.
    FlowsLeft {
        /// The uplink.
        uplink: String,
        /// How many.
        flows: u64,
        /// How long after the switch.
        after: Duration,
    },
    /// New flows go elsewhere; those that were there finish where they are.
    Draining {
        /// The uplink they are on.
        uplink: String,
        /// The family.
        family: Family,
        /// How many.
        flows: u64,
        /// What they have carried so far, in bytes of both directions.
        bytes: u64,
        /// For how long they may; `None`: until they end.
        lasts: Option<Duration>,
    },
    /// The last of them has ended.
    Drained {
        /// The uplink.
        uplink: String,
        /// The family.
        family: Family,
        /// How long after the switch.
        after: Duration,
    },
    /// Their time is up.
    DrainOver {
        /// The uplink.
        uplink: String,
        /// The family.
        family: Family,
        /// How long they had.
        after: Duration,
    },
    /// Something of ours in the kernel was changed by others and has been put back.
    Repaired {
        /// What they did, in words.
        what: String,
        /// How long putting it back took.
        took: Duration,
    },
    /// Others change what is ours again and again; it is put back less often from now on.
    Fight {
        /// What they did last, in words.
        what: String,
        /// How often in the last minute.
        times: usize,
        /// The least time from one repair to the next.
        pause: Duration,
    },
    /// Packets of known flows go around the evidence counters, or no longer.
    Offload {
        /// On these uplinks.
        uplinks: Vec<String>,
        /// Whether they do now.
        offloaded: bool,
    },
    /// Nobody has changed what is ours for a minute.
    FightOver,
    /// Packets to the Internet leave by another interface than that of the uplink in use.
    Astray {
        /// The uplink in use.
        uplink: String,
        /// The family.
        family: Family,
        /// Where they leave.
        by: String,
    },
    /// The kernel refused something.
    ApplyFailed {
        /// Why.
        error: String,
    },
    /// No spare is left although everything works.
    NoSpareLeft,
    /// An uplink has a subnet of the LAN, and is not used for that.
    OverlapsLan {
        /// The uplink.
        uplink: String,
        /// The LAN's subnet.
        subnet: IpNet,
    },
    /// Others' routes would take traffic over an uplink that is not chosen, and are passed over.
    RoutesIgnored {
        /// The uplink.
        uplink: String,
        /// Where they lead.
        networks: Vec<IpNet>,
    },
    /// The LAN was told to begin nothing new with a prefix, or that it may again.
    Announced {
        /// The uplink that the prefix comes from.
        uplink: String,
        /// The prefix.
        prefix: Ipv6Net,
        /// It may be used again.
        preferred: bool,
    },
    /// A spare is there again.
    SpareBack {
        /// Which.
        uplink: String,
    },
    /// A person did something.
    ByHand {
        /// What.
        what: String,
    },
    /// The agent stood still for so long; what it did not hear meanwhile proves nothing.
    Stalled {
        /// How long.
        gap: Duration,
    },
    /// A new configuration is in force.
    Reloaded,
}

/// Kinds of moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SwitchKind {
    /// The first choice after the start.
    First,
    /// Down the chain, away from a dead uplink.
    Failover,
    /// Back up the chain.
    Failback,
    /// To a line that loses fewer packets, or that resolves names.
    Quality,
    /// A person asked.
    Manual,
}

impl SwitchKind {
    /// What the traffic does.
    const fn verb(self) -> &'static str {
        match self {
            Self::First => "begins",
            Self::Failover => "fails over",
            Self::Failback => "fails back",
            Self::Quality => "moves",
            Self::Manual => "is moved manually",
        }
    }
}

impl Fact {
    /// How much a person should care.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self {
            Self::Health { .. }
            | Self::Felt { .. }
            | Self::Flushed { .. }
            | Self::Stalled { .. } => Severity::Debug,
            Self::Started { .. }
            | Self::Stopped
            | Self::Switched { .. }
            | Self::Announced { .. }
            | Self::SpareBack { .. }
            | Self::Draining { .. }
            | Self::Drained { .. }
            | Self::DrainOver { .. }
            | Self::FightOver
            | Self::Offload { .. }
            | Self::Quality { degraded: false, .. }
            | Self::Resolvers { silent: false, .. }
            | Self::ByHand { .. }
            | Self::Reloaded => Severity::Info,
            Self::NoWayOut { .. }
            | Self::Premature { .. }
            | Self::Quality { degraded: true, .. }
            | Self::Resolvers { silent: true, .. }
            | Self::FlowsLeft { .. }
            | Self::Repaired { .. }
            | Self::Fight { .. }
            | Self::Astray { .. }
            | Self::ApplyFailed { .. }
            | Self::OverlapsLan { .. }
            | Self::RoutesIgnored { .. }
            | Self::NoSpareLeft => Severity::Warning,
        }
    }

    /// The word in JSON.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Started { .. } => "started",
            Self::Stopped => "stopped",
            Self::Health { .. } => "health",
            Self::Switched { .. } => "switched",
            Self::Felt { .. } => "felt",
            Self::NoWayOut { .. } => "no_way_out",
            Self::Premature { .. } => "premature",
            Self::Quality { .. } => "quality",
            Self::Resolvers { .. } => "resolvers",
            Self::Flushed { .. } => "flushed",
            Self::FlowsLeft { .. } => "flows_left",
            Self::Draining { .. } => "draining",
            Self::Drained { .. } => "drained",
            Self::DrainOver { .. } => "drain_over",
            Self::Repaired { .. } => "repaired",
            Self::Fight { .. } => "fight",
            Self::FightOver => "fight_over",
            Self::Offload { .. } => "offload",
            Self::Astray { .. } => "astray",
            Self::ApplyFailed { .. } => "apply_failed",
            Self::NoSpareLeft => "no_spare_left",
            Self::SpareBack { .. } => "spare_back",
            Self::OverlapsLan { .. } => "overlaps_lan",
            Self::RoutesIgnored { .. } => "routes_ignored",
            Self::Announced { .. } => "announced",
            Self::ByHand { .. } => "by_hand",
            Self::Stalled { .. } => "stalled",
            Self::Reloaded => "reloaded",
        }
    }

    /// The uplink it is about, if it is about one.
    #[must_use]
    pub fn uplink(&self) -> Option<&str> {
        match self {
            Self::Health { uplink, .. }
            | Self::Premature { uplink, .. }
            | Self::Quality { uplink, .. }
            | Self::Resolvers { uplink, .. }
            | Self::Flushed { uplink, .. }
            | Self::FlowsLeft { uplink, .. }
            | Self::Draining { uplink, .. }
            | Self::Drained { uplink, .. }
            | Self::DrainOver { uplink, .. }
            | Self::OverlapsLan { uplink, .. }
            | Self::RoutesIgnored { uplink, .. }
            | Self::Announced { uplink, .. }
            | Self::Astray { uplink, .. }
            | Self::SpareBack { uplink } => Some(uplink),
            Self::Switched { to, .. } | Self::Felt { to, .. } => Some(to),
            Self::NoWayOut { stays_on, .. } => stays_on.as_deref(),
            Self::Started { .. }
            | Self::Stopped
            | Self::Repaired { .. }
            | Self::Fight { .. }
            | Self::FightOver
            | Self::Offload { .. }
            | Self::ApplyFailed { .. }
            | Self::NoSpareLeft
            | Self::ByHand { .. }
            | Self::Stalled { .. }
            | Self::Reloaded => None,
        }
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { chain } => write!(f, "agent started: {}", chain.join(" > ")),
            Self::Stopped => f.write_str("stopped; traffic goes on as it is"),
            Self::Health { uplink, family, from, to, condition } => {
                write!(f, "{uplink} ({family}): {from} to {to}{}", because(*condition))
            }
            Self::Switched { family, from, to, kind, reason } => match from {
                Some(from) => write!(f, "{family} {} from {from} to {to}: {reason}", kind.verb()),
                None => write!(f, "{family} {} on {to}: {reason}", kind.verb()),
            },
            Self::Felt { to, gap } => {
                write!(f, "traffic resumed on {to} after {}", human(*gap))
            }
            Self::NoWayOut { stays_on, family } => {
                f.write_str(&super::words::no_way_out(stays_on.as_deref(), *family))
            }
            Self::Premature { uplink, window } => {
                let window = human(*window);
                write!(f, "{uplink} answered again by itself; its window is {window} from now on")
            }
            Self::Quality { uplink, degraded, loss } => {
                f.write_str(&super::words::quality(uplink, *degraded, *loss))
            }
            Self::Resolvers { uplink, family, silent, in_use } => {
                write!(f, "{uplink}'s resolvers ({family}) {}", whom_first(*silent, *in_use))
            }
            Self::Flushed { uplink, flows, poked, destroyed } => {
                let told = super::words::told(*poked, *destroyed);
                write!(f, "{} of {uplink} flushed{told}", counted(*flows, "flow"))
            }
            Self::FlowsLeft { uplink, flows, after } => {
                write!(f, "{flows} flows are still on {uplink} {} after the switch", human(*after))
            }
            Self::Draining { uplink, family, flows, bytes, lasts } => {
                f.write_str(&super::words::draining(uplink, *family, *flows, *bytes, *lasts))
            }
            Self::Drained { uplink, family, after } => {
                let after = human(*after);
                write!(f, "the last old {family} flow has left {uplink}, {after} after the switch")
            }
            Self::DrainOver { uplink, family, after } => {
                f.write_str(&super::words::drain_over(uplink, *family, *after))
            }
            Self::Repaired { what, took } => {
                write!(f, "others {what}: restored in {}", human(*took))
            }
            Self::Fight { what, times, pause } => {
                f.write_str(&super::words::fight(what, *times, *pause))
            }
            Self::Offload { uplinks, offloaded } => {
                f.write_str(&super::words::offload(uplinks, *offloaded))
            }
            Self::FightOver => {
                f.write_str("no other program has changed sparelink's rules for a minute")
            }
            Self::Astray { uplink, family, by } => {
                f.write_str(&super::words::astray(uplink, *family, by))
            }
            Self::ApplyFailed { error } => write!(f, "the kernel refused: {error}"),
            Self::NoSpareLeft => f.write_str("Internet works, but no spare is left"),
            Self::SpareBack { uplink } => write!(f, "{uplink} is a ready spare"),
            Self::RoutesIgnored { uplink: u, networks: n } => super::words::ignored(f, u, n),
            Self::OverlapsLan { uplink, subnet: s } => write!(f, "{uplink} {}", overlaps_lan(*s)),
            Self::Announced { uplink, prefix, preferred } => {
                write!(f, "told the LAN {} {prefix} of {uplink}", what_with(*preferred))
            }
            Self::ByHand { what } => f.write_str(what),
            Self::Stalled { gap } => {
                write!(f, "the agent stalled for {}; probes of that time are ignored", human(*gap))
            }
            Self::Reloaded => f.write_str("configuration reloaded"),
        }
    }
}

/// What is wrong with a line, after what became of it.
fn because(condition: Condition) -> String {
    if condition == Condition::Ok { String::new() } else { format!(": it {}", condition.phrase()) }
}

/// What became of an uplink's own resolvers, and of the order in which they are asked.
const fn whom_first(silent: bool, in_use: bool) -> &'static str {
    match (silent, in_use) {
        (true, true) => "do not answer; public ones are asked first",
        (true, false) => "do not answer; public ones would be asked first",
        (false, true) => "answer again and are asked first",
        (false, false) => "answer again and would be asked first",
    }
}

/// `1 flow`, `2 flows`.
pub(in crate::engine) fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// What to do with a prefix.
const fn what_with(preferred: bool) -> &'static str {
    if preferred { "to use again" } else { "to begin nothing new with" }
}

/// What is wrong with an uplink that has the LAN's subnet, and the mend; the end of a sentence that
/// begins with its name.
#[must_use]
pub fn overlaps_lan(subnet: IpNet) -> String {
    format!(
        "has the LAN's own subnet {subnet} and is not used; change it on the modem or in the LAN"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_says_how_long_it_may_last() {
        let (uplink, family) = ("mifi".to_owned(), Family::V4);
        let (flows, bytes) = (3, 12_345_678);
        let lasts = Some(Duration::from_secs(600));
        let limited = Fact::Draining { uplink: uplink.clone(), family, flows, bytes, lasts };
        let text = "3 flows (IPv4, 12.3 MB) finish on mifi, at most 10 min more";
        assert_eq!(limited.to_string(), text);
        let free = Fact::Draining { uplink, family, flows: 1, bytes: 999, lasts: None };
        assert_eq!(free.to_string(), "1 flow (IPv4, 999 bytes) finishes on mifi");
    }

    #[test]
    fn a_flush_says_whom_it_told() {
        let flushed = |flows, poked, destroyed| {
            let uplink = "cable".to_owned();
            Fact::Flushed { uplink, flows, poked, destroyed }.to_string()
        };
        assert_eq!(flushed(0, 0, 0), "0 flows of cable flushed");
        assert_eq!(flushed(1, 0, 1), "1 flow of cable flushed; 1 own connection ended");
        assert_eq!(
            flushed(12, 7, 2),
            "12 flows of cable flushed; 7 clients told, 2 own connections ended"
        );
    }
}
