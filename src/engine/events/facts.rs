//! What happened, in a form that log, page, message and history all read.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::{IpNet, Ipv6Net};
use serde::{Deserialize, Serialize};

use super::catalogue::Code;
use super::causes::{Cause, Deed, Order, Scope, Trouble};
use super::note::Note;
use super::undone::Undone;
use crate::engine::health::{Condition, Health};
use crate::engine::kernel::claims::Claim;
use crate::time::{Instant, Utc};
use crate::units::{Family, Severity};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Larger than that of every event before it, those of earlier runs included.
    pub id: u64,
    pub at: Instant,
    /// When, for people, if the box knew.
    pub utc: Option<Utc>,
    pub fact: Fact,
}

/// What can happen: names, kinds, numbers and times. [`words`](super::words) says it in one sentence.
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
    Health { uplink: String, family: Family, from: Health, to: Health, condition: Condition },
    /// An uplink leads to the Internet, or does so again.
    Works {
        uplink: String,
        /// It has done so for this long by now.
        lasts: Duration,
    },
    /// An uplink does not lead to the Internet, or for another reason than before.
    Fails {
        uplink: String,
        /// Only in this IP version.
        only: Option<Family>,
        condition: Condition,
        /// That has been so for this long by now.
        lasts: Duration,
    },
    Switched {
        family: Family,
        from: Option<String>,
        to: String,
        /// What kind of move.
        kind: SwitchKind,
        cause: Cause,
        /// Whether it begins a story or belongs to one that has been told of.
        order: Order,
        /// The other family stays where it is for all that is known.
        scope: Scope,
    },
    /// A story has ended: people get answers again.
    Felt {
        /// The uplink that carries the traffic now.
        to: String,
        /// From the last answer before it to the first one after it.
        gap: Duration,
    },
    /// Nothing worked for a while, and now something does.
    BackOnline {
        /// The uplink that carries the traffic now.
        uplink: String,
        /// From the last answer before it to the first one after it, if that is known.
        gap: Option<Duration>,
    },
    /// The uplink in use is dead and no other is alive.
    AllUplinksDown {
        /// The uplink on which traffic stays.
        stays_on: Option<String>,
        /// Which traffic has no way.
        family: Family,
        /// The other family still works.
        scope: Scope,
    },
    /// A verdict was wrong; the window was widened.
    Premature { uplink: String, window: Duration },
    /// An uplink became degraded or good again.
    Quality {
        uplink: String,
        /// Whether it is degraded now.
        degraded: bool,
        /// Loss, in percent.
        loss: f32,
    },
    /// An uplink's own resolvers fell silent while public ones answer by it, or answer again.
    Resolvers {
        uplink: String,
        family: Family,
        /// Whether they are silent now.
        silent: bool,
        /// Whether the uplink carries traffic.
        in_use: bool,
    },
    /// Flows of a dead uplink were flushed.
    Flushed {
        uplink: String,
        flows: u64,
        /// TCP clients that were sent a packet which makes them notice.
        notified: u64,
        /// TCP connections of the box itself that were ended.
        destroyed: u64,
    },
    /// Flows are still on an uplink that was left.
    FlowsLeft {
        uplink: String,
        flows: u64,
        /// How long after the switch.
        after: Duration,
    },
    /// New flows go elsewhere; those that were there finish where they are.
    Draining {
        /// The uplink they are on.
        uplink: String,
        family: Family,
        flows: u64,
        /// What they have carried so far, in bytes of both directions.
        bytes: u64,
        /// For how long they may; `None`: until they end.
        lasts: Option<Duration>,
    },
    /// The last of them has ended.
    Drained {
        uplink: String,
        family: Family,
        /// How long after the switch.
        after: Duration,
    },
    /// Their time is up.
    DrainOver {
        uplink: String,
        family: Family,
        /// How long they had.
        after: Duration,
    },
    /// Something of ours in the kernel was changed by others and has been put back.
    Repaired {
        what: Undone,
        /// How long putting it back took.
        took: Duration,
    },
    /// Others change what is ours again and again; it is put back less often from now on.
    Fight {
        /// What they did last.
        what: Undone,
        /// How often in the last minute.
        times: usize,
        /// The least time from one repair to the next.
        pause: Duration,
    },
    /// Packets of known flows go around the evidence counters, or no longer.
    Offload {
        uplinks: Vec<String>,
        /// Whether they do now.
        offloaded: bool,
    },
    /// A firewall of somebody else does not let the LAN out by an uplink, or does again.
    Barred {
        uplink: String,
        family: Family,
        /// Its table, such as `inet fw4`.
        firewall: String,
        /// Whether it is in the way now.
        barred: bool,
    },
    /// Nobody has changed what is ours for a minute.
    FightOver,
    /// Packets to the Internet leave by another interface than that of the uplink in use.
    Astray {
        /// The uplink in use.
        uplink: String,
        family: Family,
        by: String,
    },
    /// The kernel refused something.
    ApplyFailed { error: String },
    /// No spare is left although the Internet works.
    NoSpareLeft {
        /// The others, and why each is none.
        others: Vec<(String, Trouble)>,
    },
    /// An uplink has a subnet of the LAN, and is not used for that.
    OverlapsLan { uplink: String, subnet: IpNet },
    /// Others' routes would take traffic over an uplink that is not chosen, and are passed over.
    RoutesIgnored { uplink: String, networks: Vec<IpNet> },
    /// Somebody else has a say in where packets go.
    Claimed { claim: Claim },
    /// That is over.
    ClaimOver { claim: Claim },
    /// `main` has a route to a host by an uplink; packets to it follow the active one.
    HostFollows { host: IpAddr },
    /// The LAN was told to begin nothing new with a prefix, or that it may again.
    Announced {
        /// The uplink that the prefix comes from.
        uplink: String,
        prefix: Ipv6Net,
        /// It may be used again.
        preferred: bool,
    },
    /// A name of the box was written, and says this now.
    NameWritten {
        name: String,
        v4: Option<IpAddr>,
        v6: Option<IpAddr>,
        /// Whose addresses those are.
        uplinks: Vec<String>,
    },
    /// A name of the box cannot be written.
    NameFails {
        name: String,
        why: String,
        /// It was refused, and is not tried again soon.
        stays: bool,
    },
    /// A spare is there again.
    SpareBack { uplink: String },
    /// A person did something, or the time is over for which it was meant.
    Manual { deed: Deed },
    /// A person wrote something about an uplink, or took it away.
    Noted { uplink: String, note: Option<Note> },
    /// A person has told the provider that an uplink is down.
    Reported { uplink: String },
    /// The agent stood still for so long; what it did not hear meanwhile proves nothing.
    Stalled { gap: Duration },
    /// A new configuration is in force.
    Reloaded {
        /// What is different now, in words.
        changes: Vec<String>,
    },
}

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
    Manual,
}

impl SwitchKind {
    /// The word in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Failover => "failover",
            Self::Failback => "failback",
            Self::Quality => "quality",
            Self::Manual => "manual",
        }
    }
}

impl Fact {
    /// How much a person should care.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self {
            Self::Switched { order: Order::Joins, .. }
            | Self::Health { .. }
            | Self::Works { .. }
            | Self::Fails { .. }
            | Self::Felt { .. }
            | Self::Flushed { .. }
            | Self::Stalled { .. } => Severity::Debug,
            Self::Started { .. }
            | Self::Stopped
            | Self::Switched { kind: SwitchKind::First, .. }
            | Self::Announced { .. }
            | Self::NameWritten { .. }
            | Self::NameFails { stays: false, .. }
            | Self::SpareBack { .. }
            | Self::Draining { .. }
            | Self::Drained { .. }
            | Self::DrainOver { .. }
            | Self::FightOver
            | Self::Offload { .. }
            | Self::Quality { degraded: false, .. }
            | Self::Barred { barred: false, .. }
            | Self::Resolvers { silent: false, .. }
            | Self::Manual { .. }
            | Self::Noted { .. }
            | Self::Reported { .. }
            | Self::Reloaded { .. } => Severity::Info,
            Self::Claimed { claim } if claim.overrules() => Severity::Warning,
            Self::Claimed { claim } if !claim.is_whole() => Severity::Info,
            Self::ClaimOver { .. } | Self::HostFollows { .. } => Severity::Info,
            Self::Switched { .. } | Self::BackOnline { .. } | Self::Claimed { .. } => {
                Severity::Notice
            }
            Self::AllUplinksDown { scope: Scope::Whole, .. } => Severity::Critical,
            Self::AllUplinksDown { .. }
            | Self::Premature { .. }
            | Self::Quality { degraded: true, .. }
            | Self::Barred { barred: true, .. }
            | Self::Resolvers { silent: true, .. }
            | Self::FlowsLeft { .. }
            | Self::Repaired { .. }
            | Self::Fight { .. }
            | Self::Astray { .. }
            | Self::ApplyFailed { .. }
            | Self::OverlapsLan { .. }
            | Self::RoutesIgnored { .. }
            | Self::NameFails { stays: true, .. }
            | Self::NoSpareLeft { .. } => Severity::Warning,
        }
    }

    /// Whether it outlives a restart: what a user would notice, and of the details those that outages are
    /// reckoned from.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        let detail = matches!(self, Self::Works { .. } | Self::Fails { .. } | Self::Felt { .. });
        detail || self.severity() > Severity::Debug
    }

    /// Its place in the catalogue.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Started { .. } => Code::Started,
            Self::Stopped => Code::Stopped,
            Self::Health { .. } => Code::Health,
            Self::Works { .. } => Code::Works,
            Self::Fails { .. } => Code::Fails,
            Self::Switched { order: Order::Opens, .. } => Code::Switched,
            Self::Switched { order: Order::Joins, .. } => Code::Followed,
            Self::Felt { .. } => Code::Felt,
            Self::BackOnline { .. } => Code::BackOnline,
            Self::AllUplinksDown { .. } => Code::AllUplinksDown,
            Self::Premature { .. } => Code::Premature,
            Self::Quality { .. } => Code::Quality,
            Self::Resolvers { .. } => Code::Resolvers,
            Self::Flushed { .. } => Code::Flushed,
            Self::FlowsLeft { .. } => Code::FlowsLeft,
            Self::Draining { .. } => Code::Draining,
            Self::Drained { .. } => Code::Drained,
            Self::DrainOver { .. } => Code::DrainOver,
            Self::Repaired { .. } => Code::Repaired,
            Self::Fight { .. } => Code::Fight,
            Self::FightOver => Code::FightOver,
            Self::Offload { .. } => Code::Offload,
            Self::Astray { .. } => Code::Astray,
            Self::Barred { .. } => Code::Barred,
            Self::ApplyFailed { .. } => Code::ApplyFailed,
            Self::NoSpareLeft { .. } => Code::NoSpareLeft,
            Self::SpareBack { .. } => Code::SpareBack,
            Self::OverlapsLan { .. } => Code::OverlapsLan,
            Self::RoutesIgnored { .. } => Code::RoutesIgnored,
            Self::Claimed { .. } => Code::Claimed,
            Self::ClaimOver { .. } => Code::ClaimOver,
            Self::HostFollows { .. } => Code::HostFollows,
            Self::Announced { .. } => Code::Announced,
            Self::NameWritten { .. } => Code::NameWritten,
            Self::NameFails { .. } => Code::NameFails,
            Self::Manual { .. } => Code::Manual,
            Self::Noted { .. } => Code::Noted,
            Self::Reported { .. } => Code::Reported,
            Self::Stalled { .. } => Code::Stalled,
            Self::Reloaded { .. } => Code::Reloaded,
        }
    }

    /// The uplink it is about, if it is about one.
    #[must_use]
    pub fn uplink(&self) -> Option<&str> {
        match self {
            Self::Health { uplink, .. }
            | Self::Works { uplink, .. }
            | Self::Fails { uplink, .. }
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
            | Self::Barred { uplink, .. }
            | Self::BackOnline { uplink, .. }
            | Self::Noted { uplink, .. }
            | Self::Reported { uplink }
            | Self::SpareBack { uplink } => Some(uplink),
            Self::Switched { to, .. } | Self::Felt { to, .. } => Some(to),
            Self::AllUplinksDown { stays_on, .. } => stays_on.as_deref(),
            Self::Started { .. }
            | Self::Stopped
            | Self::Repaired { .. }
            | Self::Fight { .. }
            | Self::FightOver
            | Self::Offload { .. }
            | Self::ApplyFailed { .. }
            | Self::NoSpareLeft { .. }
            | Self::Claimed { .. }
            | Self::ClaimOver { .. }
            | Self::HostFollows { .. }
            | Self::NameWritten { .. }
            | Self::NameFails { .. }
            | Self::Stalled { .. }
            | Self::Reloaded { .. } => None,
            Self::Manual { deed } => deed.uplink(),
        }
    }

    /// The IP version it is about, if it is about one.
    #[must_use]
    pub const fn family(&self) -> Option<Family> {
        match self {
            Self::Switched { family, scope: Scope::Family, .. }
            | Self::AllUplinksDown { family, scope: Scope::Family, .. }
            | Self::Switched { family, order: Order::Joins, .. }
            | Self::Health { family, .. }
            | Self::Resolvers { family, .. }
            | Self::Draining { family, .. }
            | Self::Drained { family, .. }
            | Self::DrainOver { family, .. }
            | Self::Astray { family, .. }
            | Self::Barred { family, .. } => Some(*family),
            Self::Fails { only, .. } => *only,
            Self::Claimed { claim } | Self::ClaimOver { claim } => Some(claim.family),
            Self::HostFollows { host } => Some(Family::of(host)),
            Self::Started { .. }
            | Self::Stopped
            | Self::Works { .. }
            | Self::Switched { .. }
            | Self::Felt { .. }
            | Self::BackOnline { .. }
            | Self::AllUplinksDown { .. }
            | Self::Premature { .. }
            | Self::Quality { .. }
            | Self::Flushed { .. }
            | Self::FlowsLeft { .. }
            | Self::Repaired { .. }
            | Self::Fight { .. }
            | Self::FightOver
            | Self::Offload { .. }
            | Self::ApplyFailed { .. }
            | Self::NoSpareLeft { .. }
            | Self::OverlapsLan { .. }
            | Self::RoutesIgnored { .. }
            | Self::Announced { .. }
            | Self::NameWritten { .. }
            | Self::NameFails { .. }
            | Self::SpareBack { .. }
            | Self::Manual { .. }
            | Self::Noted { .. }
            | Self::Reported { .. }
            | Self::Stalled { .. }
            | Self::Reloaded { .. } => None,
        }
    }
}
