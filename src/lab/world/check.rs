//! What must hold after every step, whatever happens to lines and box. What does not is a violation of the kernel's.
//!
//! Each rule waits until the box has had the time that is promised: a box on which changes are refused, lost or slow has
//! none, and one that has just been struck or mended begins anew.

use std::time::Duration;

use super::World;
use super::watch::Watch;
use crate::engine::dataplane::{Route, RuleAction};
use crate::time::Instant;
use crate::units::{Family, Metric, PerFamily, TableId};

/// Where an uplink has worked for so long, traffic is where something works: proof, hold and a busy box among it.
const FOUND: Duration = Duration::from_secs(25);
/// What the kernel has refused is tried again every four seconds.
const REPAIRED: Duration = Duration::from_secs(6);
/// What others take is put back at once; six times in a minute are a fight, in which there are pauses of ten seconds.
const PUT_BACK: Duration = Duration::from_secs(12);
/// The same if nobody heard of it: the audit finds it.
const AUDITED: Duration = Duration::from_secs(34);
/// How often all that was asked for is compared with what is there.
const COMPARED: Duration = Duration::from_millis(200);
/// What refuses ends so long after the agent.
const REFUSED: Duration = Duration::from_secs(10);
/// One violation is enough to fail, and the first are those that tell why.
const MOST: usize = 8;

impl World {
    /// Looks at everything.
    pub(super) fn check(&mut self) {
        let now = self.now();
        let mut watch = std::mem::take(&mut self.watch);
        watch.remember(self, now);
        let mut found = std::mem::take(&mut watch.found);
        for family in Family::BOTH {
            found.extend(watch.one_choice(self, family));
            found.extend(watch.traffic_flows(self, family, now));
            found.extend(watch.nothing_is_refused_in_vain(self, family, now));
        }
        found.extend(watch.stays_repaired(self, now));
        // A comparison of everything, and nobody minds it a little later.
        if watch.compared.is_none_or(|at| now.since(at) > COMPARED) {
            watch.compared = Some(now);
            found.extend(watch.nothing_stays_missing(self, now));
        }
        found.extend(watch.nothing_leaves_bare(self, now));
        self.watch = watch;
        let violations = &mut self.net.kernel.violations;
        let room = MOST.saturating_sub(violations.len());
        let told = found.into_iter().map(|what| format!("{:.3} s: {what}", seconds(now)));
        violations.extend(told.take(room));
    }
}

impl Watch {
    fn remember(&mut self, world: &World, now: Instant) {
        self.working.resize(world.net.lines.len(), PerFamily::default());
        for (uplink, since) in self.working.iter_mut().enumerate() {
            for family in Family::BOTH {
                let place = since.get_mut(family);
                let usable = works_well(world, uplink, family) && !world.is_set_aside(uplink);
                *place = if usable { place.or(Some(now)) } else { None };
            }
        }
        for family in Family::BOTH {
            let place = self.stuck.get_mut(family);
            let carries = world.net.kernel.active(family);
            let well = carries.is_some_and(|uplink| carries_something(world, uplink, family));
            *place = if well { None } else { place.or(Some(now)) };
        }
        self.absent = if world.engine.is_some() { None } else { self.absent.or(Some(now)) };
    }

    /// For how long the box has had nothing to fight with.
    fn calm_for(&self, world: &World, now: Instant) -> Duration {
        if !world.is_calm() || world.engine.is_none() {
            return Duration::ZERO;
        }
        let since = [self.troubled, world.begun].into_iter().flatten().max();
        since.map_or(Duration::MAX, |since| now.since(since))
    }

    /// One uplink is the chosen one, or none.
    fn one_choice(&mut self, world: &World, family: Family) -> Option<String> {
        self.count("choice");
        let routes = world.net.kernel.plane.routes.iter();
        let first =
            |r: &&Route| r.family == family && r.table == TableId::ACTIVE && r.metric == Metric(1);
        let count = routes.filter(first).count();
        (count > 1).then(|| format!("{family}: {count} first choices"))
    }

    /// If an uplink works, traffic flows.
    fn traffic_flows(&mut self, world: &World, family: Family, now: Instant) -> Option<String> {
        let stuck = (*self.stuck.get(family))?;
        let calm = self.calm_for(world, now);
        let usable = |(uplink, since): (usize, &PerFamily<Option<Instant>>)| {
            Some((uplink, now.since((*since.get(family))?)))
        };
        let best = self.working.iter().enumerate().filter_map(usable).max_by_key(|(_, time)| *time);
        let (uplink, works) = best?;
        self.count("liveness");
        let late = now.since(stuck).min(works).min(calm) > FOUND;
        let carries = world.net.kernel.active(family);
        late.then(|| {
            format!(
                "{family}: uplink {uplink} has worked for {works:?}, and traffic is on {carries:?}"
            )
        })
    }

    /// Nothing is refused where something works, nor long after the agent.
    fn nothing_is_refused_in_vain(
        &mut self,
        world: &World,
        family: Family,
        now: Instant,
    ) -> Option<String> {
        if !world.net.kernel.refuses(family, now) {
            return None;
        }
        self.count("refusal");
        if let Some(absent) = self.absent.filter(|absent| now.since(*absent) > REFUSED) {
            return Some(format!("{family} is refused {:?} after the agent", now.since(absent)));
        }
        let calm = self.calm_for(world, now);
        let works = self.working.iter().filter_map(|since| *since.get(family));
        let longest = works.map(|since| now.since(since)).max()?;
        (longest.min(calm) > FOUND)
            .then(|| format!("{family} is refused, and an uplink has worked for {longest:?}"))
    }

    /// What the kernel refused is put there when it does not any more.
    fn stays_repaired(&mut self, world: &World, now: Instant) -> Option<String> {
        let calm = self.calm_for(world, now);
        let broken = self.broken?;
        self.count("repair");
        let bound = if self.unheard { AUDITED } else { REPAIRED };
        let late = now.since(broken).min(calm) > bound;
        late.then(|| format!("the kernel is not as asked for, for {:?}", now.since(broken)))
    }

    /// Rules and table are those that were last asked for; where the routes lead the traffic shows.
    fn nothing_stays_missing(&mut self, world: &World, now: Instant) -> Option<String> {
        let plane = &world.net.kernel.plane;
        let desired = world.desired.as_ref().filter(|_| world.engine.is_some());
        let stands =
            desired.is_none_or(|(rules, table)| plane.nft.name == *table && plane.rules == *rules);
        if stands {
            self.missing = None;
            return None;
        }
        self.count("missing");
        let since = *self.missing.get_or_insert(now);
        let bound = if self.unheard { AUDITED } else { PUT_BACK };
        let late = now.since(since).min(self.calm_for(world, now)) > bound;
        late.then(|| format!("rules or table are missing for {:?}", now.since(since)))
    }

    /// Where packets are steered, the table that gives them their source is there.
    fn nothing_leaves_bare(&mut self, world: &World, now: Instant) -> Option<String> {
        let plane = &world.net.kernel.plane;
        let steered =
            plane.rules.iter().any(|rule| rule.then == RuleAction::LookUp(TableId::ACTIVE));
        if !steered || !plane.nft.name.is_empty() {
            self.bare = None;
            return None;
        }
        self.count("bare");
        let since = *self.bare.get_or_insert(now);
        let late = now.since(since).min(self.calm_for(world, now)) > REPAIRED;
        late.then(|| format!("packets are steered without a table for {:?}", now.since(since)))
    }
}

/// Whether an uplink is one that nobody can complain of.
fn works_well(world: &World, uplink: usize, family: Family) -> bool {
    let Some(line) = world.net.lines.get(uplink) else { return false };
    let faults = &line.faults;
    let slow = faults.slow || faults.bloated.is_some() || !faults.delay.is_zero();
    let blind = faults.portal || faults.dns_broken || faults.resolvers_broken || faults.no_echoes;
    world.has_family(uplink, family)
        && world.net.kernel.has_carrier(uplink)
        && !line.is_dead(family)
        && !(slow || blind || faults.hijacks || faults.poses_as.is_some())
        && faults.loss <= 0.0
}

/// Whether packets of an uplink arrive at all.
fn carries_something(world: &World, uplink: usize, family: Family) -> bool {
    let Some(line) = world.net.lines.get(uplink) else { return false };
    world.net.kernel.has_carrier(uplink) && !line.is_dead(family)
}

fn seconds(at: Instant) -> f64 {
    at.as_micros() as f64 / 1e6
}
