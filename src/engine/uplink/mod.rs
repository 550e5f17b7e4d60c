//! One uplink at run time: what it is, its two lines, and what people said about it.

pub mod attachment;
pub mod detours;
pub mod hosts;
pub(super) mod leftover;
mod near;
mod source;
pub mod standing;
pub mod ways;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{Config, UplinkConfig};
use crate::engine::health::Condition;
use crate::engine::health::line::{Context, Line};
use crate::engine::health::proof::Plan;
use crate::engine::health::suspicion::Duty;
use crate::engine::uplink::attachment::Attachment;
use crate::engine::uplink::leftover::Leftover;
use crate::time::Instant;
use crate::units::{Family, PerFamily, UplinkId};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::engine) struct Uplink {
    pub id: UplinkId,
    /// What the configuration says.
    pub config: UplinkConfig,
    pub attachment: Attachment,
    /// Its own resolvers, configured or learned.
    pub resolvers: Vec<IpAddr>,
    /// Its line in each family.
    pub lines: PerFamily<Line>,
    /// A person set it aside.
    pub paused: Option<Paused>,
    /// When traffic had to leave it, in the last hour.
    pub departures: Vec<Instant>,
    /// Received and sent bytes of its interface.
    pub bytes: Option<(u64, u64)>,
    /// Flows on it, when last counted.
    pub flows: Option<u64>,
    /// Flows that it still has although new ones go elsewhere.
    pub leftover: PerFamily<Option<Leftover>>,
    /// When each line next wants to be woken.
    pub due: PerFamily<Instant>,
}

impl Uplink {
    /// Whose routes are looked at.
    pub(in crate::engine) fn owner(&self) -> hosts::Owner<'_> {
        hosts::Owner {
            attachment: &self.attachment,
            config: &self.config,
            resolvers: &self.resolvers,
        }
    }
}

/// Set aside by a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Paused {
    /// Until then; `None`: until resumed.
    pub until: Option<Instant>,
    /// Why, in the person's words.
    pub reason: Option<String>,
}

/// What is the same for all lines at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct SharedContext {
    /// Which uplink is active.
    pub active: PerFamily<Option<UplinkId>>,
    /// No line is alive at all.
    pub desperate: bool,
    /// The page check passed on some line of the family.
    pub page_works: PerFamily<bool>,
    /// Uplinks on which packets of known flows go around the evidence counters.
    pub offloaded: BTreeSet<UplinkId>,
    /// Uplinks that a firewall of somebody else closes to the LAN, with its name.
    #[serde(default)]
    pub barred: PerFamily<BTreeMap<UplinkId, String>>,
}

impl SharedContext {
    /// Whether the LAN may not get out by an uplink.
    pub(in crate::engine) fn barred(&self, id: UplinkId, family: Family) -> bool {
        self.barred.get(family).contains_key(&id)
    }
}

/// All uplinks, by number.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Uplinks {
    pub(super) all: BTreeMap<UplinkId, Uplink>,
    pub(super) chain: Vec<UplinkId>,
    /// What is the same for all of their lines.
    pub(super) shared: SharedContext,
}

impl Deref for Uplinks {
    type Target = BTreeMap<UplinkId, Uplink>;

    fn deref(&self) -> &Self::Target {
        &self.all
    }
}

impl DerefMut for Uplinks {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.all
    }
}

impl Uplink {
    /// An uplink of which nothing is known yet.
    #[must_use]
    pub(in crate::engine) fn new(id: UplinkId, config: UplinkConfig) -> Self {
        Self {
            id,
            config,
            attachment: Attachment::default(),
            resolvers: Vec::new(),
            lines: PerFamily::default(),
            paused: None,
            departures: Vec::new(),
            bytes: None,
            flows: None,
            leftover: PerFamily::default(),
            due: PerFamily::default(),
        }
    }

    /// What a line of this uplink needs to know of its context.
    #[must_use]
    pub(in crate::engine) fn context<'a>(
        &'a self,
        config: &'a Config,
        shared: &SharedContext,
        family: Family,
        now: Instant,
    ) -> Context<'a> {
        let me = (&self.config, self.resolvers.as_slice());
        context(self.id, me, config, shared, family, now)
    }

    /// The lines that this uplink really has: a missing family does not count.
    pub(in crate::engine) fn present(&self) -> impl Iterator<Item = (Family, &Line)> {
        self.lines.iter().filter(|(_, line)| line.egress.is_some())
    }

    /// Why it has no egress in a family.
    #[must_use]
    pub(in crate::engine) fn fault(&self, family: Family) -> Condition {
        let refused = self.attachment.overlaps.get(family).map(|_| Condition::OverlapsLan);
        self.attachment.fault.or(refused).unwrap_or(Condition::NoAddress)
    }

    /// The line that speaks for the uplink where one number is enough: of IPv4 where there is one.
    pub(in crate::engine) fn main_line(&self) -> (Family, &Line) {
        let v4 = self.lines.v4.egress.is_some() || self.lines.v6.egress.is_none();
        let family = if v4 { Family::V4 } else { Family::V6 };
        (family, self.lines.get(family))
    }

    /// When it last passed every check.
    pub(in crate::engine) fn proven(&self) -> Option<Instant> {
        self.main_line().1.proven()
    }

    /// Whether its own IPv4 address is one that the Internet does not route (RFC 1918, RFC 6598).
    pub(in crate::engine) fn has_private_address(&self) -> bool {
        match self.lines.v4.egress.as_ref().map(|egress| egress.source) {
            Some(IpAddr::V4(ip)) => {
                let [a, b, ..] = ip.octets();
                ip.is_private() || (a == 100 && b & 0xc0 == 64)
            }
            Some(IpAddr::V6(_)) | None => false,
        }
    }
}

/// As [`Uplink::context`], for when the uplink's lines are borrowed: of its configuration and its
/// own resolvers.
#[must_use]
pub(in crate::engine) fn context<'a>(
    id: UplinkId,
    (uplink, own): (&'a UplinkConfig, &'a [IpAddr]),
    config: &'a Config,
    shared: &SharedContext,
    family: Family,
    now: Instant,
) -> Context<'a> {
    let targets = config.probe.targets(family);
    let own_known = own.iter().any(|ip| Family::of(ip) == family);
    let active = Family::BOTH.iter().any(|f| *shared.active.get(*f) == Some(id));
    Context {
        now,
        kind: uplink.kind,
        duty: match (active, uplink.metered) {
            (true, _) => Duty::Active,
            (false, false) => Duty::Spare,
            (false, true) => Duty::MeteredSpare,
        },
        metered: uplink.metered,
        desperate: shared.desperate,
        fixed_window: uplink.window.or(config.probe.window),
        targets,
        plan: Plan {
            name: config.probe.dns.as_deref(),
            family,
            resolvers: if own_known { own } else { targets },
            resolvers_known: own_known,
            public: targets,
            pages: &config.probe.http,
        },
        page_works_somewhere: *shared.page_works.get(family),
        offloaded: shared.offloaded.contains(&id),
    }
}

/// How long a departure is remembered, at the least.
pub(in crate::engine) const DEPARTURES_KEPT: Duration = Duration::from_secs(3600);
