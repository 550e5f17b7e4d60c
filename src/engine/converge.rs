//! From what is decided to what is wanted in the kernel, and what came of it.

use std::collections::BTreeSet;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::dataplane::plan::{self, Wanted, plan};
use super::dataplane::{ApplyReport, Dataplane};
use super::event::Fact;
use super::link::subnets;
use super::message::Output;
use super::policy::select::Standing;
use super::uplink::Uplink;
use super::{Engine, Mode};
use crate::config::{LanConfig, Listen};
use crate::time::{Instant, Now};
use crate::units::{Family, Gather as _, IfIndex, PerFamily, UplinkId};

/// How it stands between the wish and the kernel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Converging {
    wish: Dataplane,
    generation: u64,
    /// The generation that the kernel was last seen to be equal to.
    settled: u64,
    /// One is under way, since then.
    asked: Option<Instant>,
    look_again: bool,
    /// Something that the wish depends on may have changed.
    stale: bool,
    audit_at: Instant,
    /// After a failure or a fight: not before.
    not_before: Instant,
    failures: u32,
    /// When others last changed what is ours.
    repairs: Vec<Instant>,
    last_error: Option<String>,
    /// Spares that an earlier run left standing, until they are judged.
    kept: PerFamily<BTreeSet<UplinkId>>,
}

/// The whole wish is compared with the kernel this often even if nothing seems to have happened.
const AUDIT_EVERY: Duration = Duration::from_secs(30);
/// So many repairs a minute are a fight …
const FIGHT: usize = 6;
/// … which nobody wins: wait.
const TRUCE: Duration = Duration::from_secs(10);
/// An answer that takes longer is not waited for.
const LOST: Duration = Duration::from_secs(10);

impl Converging {
    pub(super) const fn wish(&self) -> &Dataplane {
        &self.wish
    }

    pub(super) const fn generation(&self) -> u64 {
        self.generation
    }

    /// Something that the wish depends on may have changed.
    pub(super) const fn replan(&mut self) {
        self.stale = true;
    }

    /// Somebody touched what is ours, or netlink lost messages.
    pub(super) const fn look_again(&mut self) {
        self.look_again = true;
    }

    /// Whether the kernel was last seen to be as wanted.
    pub(super) const fn is_settled(&self) -> bool {
        self.settled == self.generation && !self.stale
    }

    pub(super) fn deadline(&self, mode: Mode) -> Option<Instant> {
        if mode == Mode::Observe {
            return None;
        }
        let lost = self.asked.map(|asked| asked + LOST);
        let wanted = self.look_again || self.settled != self.generation;
        let next = if wanted { self.not_before } else { self.audit_at };
        Some(lost.unwrap_or(next))
    }
}

impl Engine {
    /// Asks for the wish to be applied: when it is new, when something of ours was touched, and
    /// every 30 s.
    pub(super) fn converge(&mut self, now: Now) {
        if self.started.is_none() {
            return;
        }
        let disarmed = self.run.armed.take_if(|until| *until <= now.mono).is_some();
        if std::mem::take(&mut self.kernel.stale) || disarmed {
            self.release_spares(now);
            let wish = plan(&self.wanted(now));
            let kernel = &mut self.kernel;
            if wish != kernel.wish || kernel.generation == 0 {
                kernel.wish = wish;
                kernel.generation += 1;
                kernel.asked = None;
                kernel.not_before = now.mono;
            }
        }
        let kernel = &mut self.kernel;
        kernel.asked.take_if(|asked| now.mono.since(*asked) >= LOST);
        let unsettled = kernel.settled != kernel.generation || kernel.look_again;
        let due = (unsettled && kernel.not_before <= now.mono) || kernel.audit_at <= now.mono;
        if self.mode == Mode::Observe || kernel.asked.is_some() || !due {
            return;
        }
        kernel.asked = Some(now.mono);
        kernel.look_again = false;
        kernel.audit_at = now.mono + AUDIT_EVERY;
        let wish = Box::new(kernel.wish.clone());
        self.outputs.push_back(Output::Converge { generation: kernel.generation, wish });
    }

    /// Takes what came of it.
    pub(super) fn applied(&mut self, report: ApplyReport, now: Now) {
        let kernel = &mut self.kernel;
        if report.generation != kernel.generation {
            return;
        }
        kernel.asked = None;
        if let Some(error) = report.errors.first() {
            kernel.failures += 1;
            let pause = Duration::from_secs(1 << kernel.failures.min(5).saturating_sub(1));
            kernel.not_before = now.mono + pause;
            kernel.settled = 0;
            let news = kernel.last_error.replace(error.clone()).as_ref() != Some(error);
            if news {
                self.record(Fact::ApplyFailed { error: report.errors.join("; ") }, now);
            }
            return;
        }
        kernel.failures = 0;
        kernel.last_error = None;
        if kernel.settled == kernel.generation && !report.changes.is_empty() {
            kernel.repairs.retain(|at| now.mono.since(*at) < Duration::from_secs(60));
            kernel.repairs.push(now.mono);
            if kernel.repairs.len() >= FIGHT {
                kernel.not_before = now.mono + TRUCE;
            }
            self.housekeeping.repairs += 1;
            let what: Vec<String> = report.changes.iter().map(ToString::to_string).collect();
            self.record(Fact::Repaired { what: what.join(", ") }, now);
        }
        self.kernel.settled = report.generation;
        self.verify(&report, now);
        self.switch_applied(report.generation, now);
    }

    /// The kernel's own word on where packets to the Internet go: somebody's rule may stand before
    /// ours.
    fn verify(&mut self, report: &ApplyReport, now: Now) {
        for (family, seen) in report.verified.iter() {
            let active = self.active.get(family).uplink.and_then(|id| self.uplinks.get(&id));
            let wanted = active.and_then(|u| u.lines.get(family).way.as_ref());
            let (Some(seen), Some(wanted)) = (*seen, wanted) else {
                continue;
            };
            if seen != wanted.index {
                let by = self.view.links.get(&seen).map_or("another way", |l| l.name.as_str());
                let error = format!(
                    "{family} packets to the Internet leave by {by}, not by {}",
                    wanted.dev
                );
                self.record(Fact::ApplyFailed { error }, now);
            }
        }
    }

    /// Spares of an earlier run: they are right until something better is known.
    pub(super) fn keep_spares(&mut self, spares: &PerFamily<Vec<IfIndex>>) {
        for family in Family::BOTH {
            let found = spares.get(family);
            let stands = |u: &&Uplink| {
                let link = u.attachment.link.as_ref();
                link.is_some_and(|(index, _)| found.contains(index))
            };
            let kept = self.uplinks.values().filter(stands).map(|u| u.id);
            *self.kernel.kept.get_mut(family) = kept.collect();
        }
    }

    /// Once judged, an uplink stands or goes by its own merits.
    fn release_spares(&mut self, now: Now) {
        for family in Family::BOTH {
            let mut kept = std::mem::take(self.kernel.kept.get_mut(family));
            kept.retain(|id| self.stands(*id, family, now) == Some(Standing::Unproven));
            *self.kernel.kept.get_mut(family) = kept;
        }
    }

    fn stands(&self, id: UplinkId, family: Family, now: Now) -> Option<Standing> {
        let u = self.uplinks.get(&id)?;
        let s = u.surroundings(&self.config, &self.household, family, now.mono);
        Some(u.standing(family, &s))
    }

    /// Everything the dataplane depends on, as it stands.
    fn wanted(&self, now: Now) -> Wanted {
        let order = |family: Family| -> Vec<UplinkId> {
            let active = self.active.get(family).uplink;
            let kept = self.kernel.kept.get(family);
            let ready = |id: &UplinkId| {
                kept.contains(id) || self.stands(*id, family, now) == Some(Standing::Ready)
            };
            let spares = self.chain.iter().filter(|id| Some(**id) != active && ready(id));
            active.into_iter().chain(spares.copied()).collect()
        };
        let lan = self.config.lan.as_ref();
        let ports = self.config.web.listen.iter().map(|listen| match listen {
            Listen::Lan(port) => *port,
            Listen::Addr(addr) => addr.port(),
        });
        Wanted {
            uplinks: self.uplinks.values().map(|u| self.wanted_uplink(u)).collect(),
            order: PerFamily { v4: order(Family::V4), v6: order(Family::V6) },
            no_way: PerFamily { v4: self.active.v4.no_way_out, v6: self.active.v6.no_way_out },
            reset_on: self.run.armed.iter().flat_map(|_| &self.chain).copied().gather(),
            lan: lan.map(|lan| self.wanted_lan(lan)),
            page_ports: ports.gather(),
        }
    }

    fn wanted_lan(&self, lan: &LanConfig) -> plan::Lan {
        let mut disputed = subnets(&lan.interfaces, &self.view);
        let overlaps = |net: &IpNet| {
            let of = |u: &Uplink| [u.attachment.overlaps.v4, u.attachment.overlaps.v6];
            self.uplinks.values().any(|u| of(u).contains(&Some(*net)))
        };
        disputed.retain(|net, _| overlaps(net));
        plan::Lan { interfaces: lan.interfaces.clone(), guard: lan.guard, disputed }
    }

    fn wanted_uplink(&self, u: &Uplink) -> plan::Uplink {
        let dev = u.attachment.link.clone();
        let own = self
            .view
            .addresses
            .iter()
            .filter(|a| dev.as_ref().is_some_and(|(index, _)| a.index == *index));
        let addresses: Vec<_> = own.map(|a| a.net.addr()).collect();
        plan::Uplink {
            id: u.id,
            ways: u.attachment.dormant.clone(),
            dev,
            near: u.attachment.near.clone(),
            own6: self.prefixes.own(u.id),
            others6: self.prefixes.others(u.id),
            mtu: u.attachment.mtu,
            addresses,
        }
    }
}
