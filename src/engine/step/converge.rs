//! From what is decided to what is wanted in the kernel, and what came of it.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use crate::config::{LanConfig, Listen};
use crate::engine::Engine;
use crate::engine::dataplane::diff::Change;
use crate::engine::dataplane::plan::plan;
use crate::engine::dataplane::report::ApplyReport;
use crate::engine::dataplane::settling::{
    AUDIT_EVERY, Damage, FIGHT, LOST, MINUTE, ONCE_MORE, PAUSE, QUIET, TOO_MANY, TRUCE,
};
use crate::engine::dataplane::wanted::{self, Answers, Narrowed, Wanted};
use crate::engine::events::facts::Fact;
use crate::engine::kernel::view::{Address, LinkKind};
use crate::engine::output::Output;
use crate::engine::uplink::Uplink;
use crate::engine::uplink::attachment::subnets;
use crate::engine::uplink::standing::Standing;
use crate::time::Now;
use crate::units::{Family, Gather as _, IfIndex, IfName, PerFamily, UplinkId};

impl Engine {
    /// Asks for the desired state to be applied: when it is new, when something of ours was touched, and
    /// every 30 s.
    pub(in crate::engine) fn converge(&mut self, now: Now) {
        if self.life.started.is_none() {
            return;
        }
        let disarmed = self.run.armed.take_if(|until| *until <= now.mono).is_some();
        if std::mem::take(&mut self.kernel.stale) || disarmed {
            self.release_spares(now);
            let wanted = self.wanted(now);
            let desired = plan(&wanted);
            self.kernel.refusing = wanted.refused;
            let kernel = &mut self.kernel;
            if desired != kernel.desired || kernel.generation == 0 {
                kernel.desired = desired;
                kernel.generation += 1;
                kernel.undone = false;
                kernel.asked = None;
                kernel.not_before = now.mono;
            }
        }
        self.tell_of_repair(now);
        let kernel = &mut self.kernel;
        if let Some(families) = kernel.renew(now.mono) {
            self.outputs.push_back(Output::Refuse(families));
        }
        kernel.asked.take_if(|asked| now.mono.since(*asked) >= LOST);
        let unsettled = kernel.settled != kernel.generation || kernel.look_again;
        let due = (unsettled && kernel.not_before <= now.mono) || kernel.audit_at <= now.mono;
        if kernel.asked.is_some() || !due {
            return;
        }
        kernel.asked = Some(now.mono);
        kernel.look_again = false;
        kernel.audit_at = now.mono + AUDIT_EVERY;
        let desired = Box::new(kernel.desired.clone());
        let generation = kernel.generation;
        let target = |family| self.config.probe.targets.get(family).first().copied();
        let towards = PerFamily { v4: target(Family::V4), v6: target(Family::V6) };
        self.outputs.push_back(Output::Converge { generation, desired, towards });
    }

    /// Takes what came of it.
    pub(in crate::engine) fn applied(&mut self, report: &ApplyReport, now: Now) {
        let kernel = &mut self.kernel;
        if report.generation != kernel.generation {
            return;
        }
        kernel.asked = None;
        kernel.repairs.retain(|at| now.mono.since(*at) < MINUTE);
        let again = kernel.settled == kernel.generation;
        let undone = kernel.undone || again;
        kernel.undone = undone && !report.errors.is_empty();
        kernel.counted &= !again;
        let counts = !kernel.counted || kernel.damage.is_some();
        if undone && counts && report.changes.iter().any(|change| kernel.undoes(change)) {
            kernel.counted = true;
            self.repaired(report, now);
        }
        let builds = |change: &Change| matches!(change, Change::BuildTable(_));
        let stands = report.observed_digest.is_some() || report.changes.iter().any(builds);
        let lacking = !stands && !report.errors.is_empty();
        self.kernel.no_table = lacking.then(|| report.errors.join("; "));
        if !report.errors.is_empty() {
            self.refused(&report.errors, now);
            return;
        }
        let kernel = &mut self.kernel;
        kernel.failures = 0;
        kernel.last_error = None;
        if kernel.fight && kernel.repairs.is_empty() {
            kernel.fight = false;
            self.record(Fact::FightOver, now);
        }
        self.kernel.settled = report.generation;
        self.offload_seen(&report.offloaded, now);
        self.verify(report, now);
        self.switch_applied(report.generation, now);
    }

    /// Not everything could be made as wanted. What is so for a moment only is not told.
    fn refused(&mut self, errors: &[String], now: Now) {
        let kernel = &mut self.kernel;
        kernel.settled = 0;
        kernel.failures += 1;
        let pause = kernel.failures.checked_sub(2).map_or(ONCE_MORE, |n| PAUSE * (1 << n.min(2)));
        kernel.not_before = kernel.not_before.max(now.mono + pause);
        if kernel.failures > 1 && kernel.last_error.as_ref() != errors.first() {
            kernel.last_error = errors.first().cloned();
            self.record(Fact::ApplyFailed { error: errors.join("; ") }, now);
        }
    }

    /// Something of ours had been changed by others, and is back.
    fn repaired(&mut self, report: &ApplyReport, now: Now) {
        let kernel = &mut self.kernel;
        if let Some(damage) = &mut kernel.damage {
            damage.last = now.mono;
            damage.drift.add(report.drift.clone());
            damage.took += report.took;
            damage.repairs += 1;
            if damage.repairs >= TOO_MANY {
                kernel.not_before = now.mono + TRUCE;
            }
            return;
        }
        let (since, drift, took) = (now.mono, report.drift.clone(), report.took);
        kernel.damage = Some(Damage { since, last: since, drift, took, repairs: 1 });
        kernel.repairs.push(now.mono);
        if kernel.repairs.len() >= FIGHT {
            kernel.not_before = now.mono + TRUCE;
        }
    }

    /// Tells what others did, when they are through with it.
    fn tell_of_repair(&mut self, now: Now) {
        let through = |damage: &mut Damage| damage.over_at() <= now.mono;
        let Some(Damage { drift, took, repairs, .. }) = self.kernel.damage.take_if(through) else {
            return;
        };
        self.telling.housekeeping.repairs += 1;
        let what = drift.undone();
        for kind in what.kinds() {
            *self.telling.housekeeping.repairs_of.entry(kind).or_default() += 1;
        }
        let times = self.kernel.repairs.len().max(repairs);
        if self.kernel.repairs.len() < FIGHT && repairs < TOO_MANY {
            self.record(Fact::Repaired { what, took }, now);
        } else if !std::mem::replace(&mut self.kernel.fight, true) {
            self.record(Fact::Repaired { what: what.clone(), took }, now);
            self.record(Fact::Fight { what, times, pause: TRUCE }, now);
        }
    }

    /// Flowtables came or went: with them, fewer packets bear witness.
    fn offload_seen(&mut self, devices: &BTreeSet<String>, now: Now) {
        if self.kernel.offloaded == *devices {
            return;
        }
        let before = self.offloaded_uplinks();
        self.kernel.offloaded.clone_from(devices);
        let after = self.offloaded_uplinks();
        let names = |ids: &BTreeSet<UplinkId>, others: &BTreeSet<UplinkId>| -> Vec<String> {
            ids.difference(others).map(|id| self.name(*id)).collect()
        };
        let (begun, ended) = (names(&after, &before), names(&before, &after));
        for (uplinks, offloaded) in [(begun, true), (ended, false)] {
            if !uplinks.is_empty() {
                self.record(Fact::Offload { uplinks, offloaded }, now);
            }
        }
        self.refresh_shared(now);
    }

    /// Uplinks whose interface is in somebody's flowtable.
    pub(in crate::engine) fn offloaded_uplinks(&self) -> BTreeSet<UplinkId> {
        let offloaded = |u: &&Uplink| {
            let link = u.attachment.link.as_ref();
            link.is_some_and(|(_, dev)| self.kernel.offloaded.contains(dev.as_str()))
        };
        self.uplinks.values().filter(offloaded).map(|u| u.id).collect()
    }

    /// The kernel's own word on where packets to the Internet go: somebody's rule may stand before
    /// ours. It is said when it has been seen twice, once, and not fought.
    fn verify(&mut self, report: &ApplyReport, now: Now) {
        for (family, seen) in report.verified.iter() {
            let active = self.choice.active.get(family).uplink.and_then(|id| self.uplinks.get(&id));
            let wanted = active.and_then(|u| Some((u, u.lines.get(family).egress.as_ref()?.index)));
            let (Some(seen), Some((active, wanted))) = (*seen, wanted) else {
                continue;
            };
            let link = |index| self.seen.view.links.get(&index);
            let claimed = self.seen.claims.whole(family).and_then(|claim| claim.dev.as_ref());
            let as_claimed = claimed.is_some() && claimed == link(seen).map(|link| &link.name);
            let astray = (seen != wanted && !as_claimed).then_some(seen);
            let kernel = &mut self.kernel;
            let doubted = std::mem::replace(kernel.doubted.get_mut(family), astray);
            if astray.is_some() && astray != doubted {
                kernel.audit_at = kernel.audit_at.min(now.mono + QUIET);
                continue;
            }
            let before = std::mem::replace(kernel.astray.get_mut(family), astray);
            if astray.is_some() && astray != before {
                let by = link(seen).map_or("another way", |l| l.name.as_str()).to_owned();
                let uplink = active.config.name.clone();
                self.record(Fact::Astray { uplink, family, by }, now);
            }
        }
    }

    /// Spares of an earlier run: they are right until something better is known.
    pub(in crate::engine) fn keep_spares(&mut self, spares: &PerFamily<Vec<IfIndex>>) {
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
        Some(u.standing(&self.config, &self.uplinks.shared, family, now.mono))
    }

    /// Everything the dataplane depends on, as it stands.
    fn wanted(&self, now: Now) -> Wanted {
        let order = |family: Family| -> Vec<UplinkId> {
            let active = self.choice.active.get(family).uplink;
            let kept = self.kernel.kept.get(family);
            let ready = |id: &UplinkId| {
                let standing = self.stands(*id, family, now);
                kept.contains(id) || standing.is_some_and(Standing::may_carry)
            };
            let spares = self.uplinks.chain.iter().filter(|id| Some(**id) != active && ready(id));
            let chosen: Vec<_> = active.into_iter().chain(spares.copied()).collect();
            if chosen.iter().any(|id| self.has_egress(*id, family)) {
                return chosen;
            }
            chosen.into_iter().chain(self.last_resort(family)).collect()
        };
        let narrowed = |family| Narrowed::new(&self.detours(), &self.seen.view.routes, family);
        let lan = self.config.lan.as_ref();
        let ports = self.config.web.listen.iter().map(|listen| match listen {
            Listen::Lan(port) => *port,
            Listen::Addr(addr) => addr.port(),
        });
        let mut wanted = Wanted {
            uplinks: self.uplinks.values().map(|u| self.wanted_uplink(u)).collect(),
            order: PerFamily { v4: order(Family::V4), v6: order(Family::V6) },
            refused: PerFamily {
                v4: self.choice.active.v4.all_down && !self.kernel.ending,
                v6: self.choice.active.v6.all_down && !self.kernel.ending,
            },
            narrowed: PerFamily { v4: narrowed(Family::V4), v6: narrowed(Family::V6) },
            reset_on: self.run.armed.iter().flat_map(|_| &self.uplinks.chain).copied().gather(),
            lan: lan.map(|lan| self.wanted_lan(lan)),
            page_ports: ports.gather(),
            ..Wanted::default()
        };
        self.want_what_others_want(&mut wanted);
        wanted
    }

    /// What `main` leads over uplinks past the choice.
    pub(in crate::engine) fn detours(&self) -> BTreeSet<(IfIndex, IpNet)> {
        let of = |u: &Uplink| {
            let (index, _) = u.attachment.link.clone()?;
            Some(u.attachment.detours.iter().map(move |net| (index, *net)).collect::<Vec<_>>())
        };
        self.uplinks.values().filter_map(of).flatten().gather()
    }

    /// Whether the kernel can hold a default route of this uplink.
    fn has_egress(&self, id: UplinkId, family: Family) -> bool {
        let held = |u: &Uplink| u.attachment.dormant.get(family).is_some();
        self.uplinks.get(&id).is_some_and(held)
    }

    /// Where traffic waits when the interface of the active uplink has vanished and no other is ready:
    /// an uplink that nobody has paused. Without one the kernel keeps what stands there.
    fn last_resort(&self, family: Family) -> Option<UplinkId> {
        let mut chain = self.uplinks.chain.iter().filter_map(|id| self.uplinks.get(id));
        chain.find(|u| self.has_egress(u.id, family) && u.paused.is_none()).map(|u| u.id)
    }

    fn wanted_lan(&self, lan: &LanConfig) -> wanted::Lan {
        let overlaps = |net: &IpNet| {
            let of = |u: &Uplink| [u.attachment.overlaps.v4, u.attachment.overlaps.v6];
            self.uplinks.values().any(|u| of(u).contains(&Some(*net)))
        };
        let subnets = subnets(&lan.interfaces, &self.seen.view).into_iter();
        let (disputed, rest): (BTreeMap<_, _>, BTreeMap<_, _>) =
            subnets.partition(|(net, _)| overlaps(net));
        let nets = rest.into_keys().collect();
        wanted::Lan { nets, guard: lan.guard, disputed }
    }

    fn wanted_uplink(&self, u: &Uplink) -> wanted::Uplink {
        let dev = u.attachment.link.clone();
        let own = dev.as_ref().map(|(index, _)| self.addresses_on(*index)).unwrap_or_default();
        let source = u.attachment.dormant.v4.as_ref().map(|egress| egress.source);
        wanted::Uplink {
            answers: Answers::of(&own, source),
            parent: dev.as_ref().and_then(|(index, _)| self.carrier_of(*index)),
            addresses: own.iter().map(|a| a.net.addr()).collect(),
            id: u.id,
            egress: u.attachment.dormant.clone(),
            dev,
            near: [u.attachment.near.as_slice(), &u.attachment.also_near].concat(),
            routed: u.config.prefixes.clone(),
            own6: self.lan.prefixes.own(u.id),
            others6: self.lan.prefixes.others(u.id),
            mtu: u.attachment.mtu,
        }
    }

    fn addresses_on(&self, index: IfIndex) -> Vec<Address> {
        self.seen.view.addresses.iter().filter(|a| a.index == index).copied().collect()
    }

    /// What a macvlan rides on, and for whom that answers.
    fn carrier_of(&self, index: IfIndex) -> Option<(IfName, Answers)> {
        let links = &self.seen.view.links;
        let link = links.get(&index).filter(|link| link.kind == LinkKind::Macvlan)?;
        let parent = links.get(&link.parent?)?;
        Some((parent.name.clone(), Answers::of(&self.addresses_on(parent.index), None)))
    }
}

#[cfg(test)]
mod tests;
