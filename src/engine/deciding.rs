//! From the health of the lines to the uplink that carries the traffic, and the switch that follows.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::dataplane::nft::host;
use super::event::{Fact, SwitchKind};
use super::health::line::Line;
use super::health::quality::{BETTER_BY, CALM, SAMPLE_AGAIN};
use super::health::{Health, Transition};
use super::link::main_default;
use super::message::{FlushReport, FlushRequest, Output};
use super::policy::hold::hold;
use super::policy::select::{Candidate, Decision, Incumbent, Standing, select};
use super::snapshot::LastSwitch;
use super::switching::{Flush, LOOKS, Switch};
use super::uplink::Uplink;
use super::{Active, Engine, Mode};
use crate::time::{Instant, Now, human};
use crate::units::{Family, Gather as _, IfIndex, PerFamily, UplinkId};

/// Before anything is proven the first choice may still change, without a hold.
const PROVISIONAL_FOR: Duration = Duration::from_secs(10);
/// One outage makes both families leave; it is one departure.
const ONE_DEPARTURE: Duration = Duration::from_secs(5);
/// Flows are counted for people at most this often: a dump of a large table is not for free.
const COUNT_EVERY: Duration = Duration::from_secs(10);
/// Stale connections are reset for so long after a failover.
const ARMED_FOR: Duration = Duration::from_secs(3600);

impl Engine {
    /// Where traffic goes before the first verdict: where an earlier run left it, where `main`
    /// sends it, else the first uplink that has a way out.
    pub(super) fn first_choice(&mut self, family: Family, adopted: Option<IfIndex>, now: Now) {
        let on = |index: IfIndex| {
            let fits = |u: &&Uplink| u.attachment.link.as_ref().is_some_and(|l| l.0 == index);
            self.uplinks.values().find(fits).map(|u| u.id)
        };
        let has_way = |id: &&UplinkId| {
            self.uplinks
                .get(id)
                .is_some_and(|u| u.lines.get(family).way.is_some() && u.paused.is_none())
        };
        let as_main = || main_default(&self.view, family).and_then(on);
        // What an earlier run left is dead if it has lost its way meanwhile.
        let left = adopted.and_then(on);
        let adopted = left.filter(|id| has_way(&id));
        let choice = adopted
            .or_else(|| as_main().filter(|id| has_way(&id)))
            .or_else(|| self.chain.iter().find(has_way).copied())
            .or(left);
        if choice.is_none() {
            return;
        }
        *self.active.get_mut(family) = Active {
            uplink: choice,
            since: Some(now.mono),
            provisional_until: adopted.is_none().then_some(now.mono + PROVISIONAL_FOR),
            ..Active::default()
        };
        self.undecided = true;
    }

    /// Decides again if anything has changed or a hold is over.
    pub(super) fn decide(&mut self, now: Now) {
        self.expire_wishes_of_people(now);
        for family in Family::BOTH {
            let active = self.active.get_mut(family);
            let hold_over = active.waiting.is_some_and(|(at, _)| at <= now.mono);
            let settled = active
                .provisional_until
                .take_if(|at| *at <= now.mono)
                .is_some();
            self.undecided |= hold_over || settled;
            if active.sample_at.take_if(|at| *at <= now.mono).is_some() {
                self.sample(family, now);
            }
        }
        // A decision may bring news (candidates are asked at once); a few rounds settle everything.
        for _ in 0..4 {
            if !std::mem::take(&mut self.undecided) || self.started.is_none() {
                return;
            }
            self.kernel.replan();
            self.refresh_household(now);
            for family in Family::BOTH {
                self.decide_family(family, now);
            }
        }
    }

    fn decide_family(&mut self, family: Family, now: Now) {
        if self.active.get(family).uplink.is_none() {
            self.first_choice(family, None, now);
        }
        let Some(incumbent) = self.incumbent(family, now) else {
            return;
        };
        self.call_candidates(family, !incumbent.alive, now);
        let candidates = self.candidates(family, now);
        let decision = select(&candidates, Some(incumbent), now.mono);
        let active = self.active.get_mut(family);
        active.waiting = None;
        if incumbent.alive {
            active.no_way_out = false;
        }
        // The first choice is settled once it works and none before it may still turn out to work.
        let own_place = candidates
            .iter()
            .find(|c| c.id == incumbent.id)
            .map(|c| c.place);
        let open = |c: &Candidate| Some(c.place) < own_place && c.standing == Standing::Unproven;
        if incumbent.alive && decision == Decision::Stay && !candidates.iter().any(open) {
            active.provisional_until = None;
        }
        match decision {
            Decision::Stay => {}
            Decision::StayUntil(at, id) => active.waiting = Some((at, id)),
            Decision::Move(to, kind) => self.move_to(family, to, kind, now),
            Decision::NoWayOut => self.say_no_way_out(family, incumbent.id, now),
        }
    }

    fn incumbent(&self, family: Family, now: Now) -> Option<Incumbent> {
        let active = self.active.get(family);
        let u = self.uplinks.get(&active.uplink?)?;
        let line = u.lines.get(family);
        let hard = match line.health {
            Health::Down { condition, .. } => condition.is_hard(),
            Health::Unknown
            | Health::Up { .. }
            | Health::Failing { .. }
            | Health::Recovering { .. } => u.paused.is_some(),
        };
        Some(Incumbent {
            id: u.id,
            alive: line.health.is_alive() && u.paused.is_none(),
            hard,
            provisional: active.provisional_until.is_some(),
            proving: {
                let s = u.surroundings(&self.config, &self.household, family, now.mono);
                u.standing(family, &s) == Standing::Unproven
            },
        })
    }

    fn candidates(&self, family: Family, now: Now) -> Vec<Candidate> {
        let active = self.active.get(family).uplink;
        let own = active
            .and_then(|id| self.uplinks.get(&id))
            .map(|u| u.lines.get(family));
        let own_sample = own
            .filter(|l| l.quality.is_degraded())
            .map(|l| l.sampled.and_then(|s| s.loss()));
        let candidate = |(place, id): (usize, &UplinkId)| {
            let u = self.uplinks.get(id)?;
            let line = u.lines.get(family);
            let s = u.surroundings(&self.config, &self.household, family, now.mono);
            let manual = self
                .run
                .manual
                .as_ref()
                .is_some_and(|(name, _)| *name == u.config.name);
            let own_hurt = |line: &Line| line.dns_is_broken() || line.shows_portal();
            let worse = |own: Option<_>| !is_better(line, own);
            let troubled = if Some(*id) == active {
                own_hurt(line) || own_sample.flatten().is_some()
            } else {
                let hurt = line.quality.is_degraded() || own_hurt(line);
                hurt || own_sample.is_some_and(worse)
            };
            let up_since = match line.health {
                Health::Up { since } => since,
                Health::Failing { up_since, .. } => up_since,
                Health::Unknown | Health::Down { .. } | Health::Recovering { .. } => now.mono,
            };
            let wait = hold(self.config.failback, &u.departures, now.mono);
            Some(Candidate {
                id: *id,
                place,
                standing: u.standing(family, &s),
                manual,
                troubled,
                confirmed: line.is_confirmed(),
                up_since,
                hold: if manual && self.manual_fresh {
                    Duration::ZERO
                } else {
                    wait
                },
                calm: !line.quality.is_degraded()
                    && line.loss.verdict().is_none_or(|loss| loss.0 <= CALM),
            })
        };
        self.chain
            .iter()
            .enumerate()
            .filter_map(candidate)
            .collect()
    }

    /// While the active line is suspected or dead, the others are asked at once; else no longer.
    fn call_candidates(&mut self, family: Family, wanted: bool, now: Now) {
        let active = self.active.get(family).uplink;
        let suspected = active
            .and_then(|id| self.uplinks.get(&id))
            .is_some_and(|u| matches!(u.lines.get(family).health, Health::Failing { .. }));
        for id in self.chain.clone() {
            if Some(id) == active {
                continue;
            }
            let paused = self.uplinks.get(&id).is_none_or(|u| u.paused.is_some());
            self.with_line(id, family, now, |line, s, asker, news| {
                if (wanted || suspected) && !paused {
                    line.become_candidate(now.mono);
                    line.timeout(s, asker, news);
                } else {
                    line.end_candidacy();
                }
            });
        }
    }

    /// A change of a line's health that concerns others: the spares are asked the moment that the
    /// active line is suspected.
    pub(super) fn follow_suspicion(
        &mut self,
        id: UplinkId,
        family: Family,
        change: Transition,
        now: Now,
    ) {
        let active = self.active.get(family).uplink == Some(id);
        if active && matches!(change.to, Health::Failing { .. }) {
            self.call_candidates(family, true, now);
            // What ails one family may ail the other; it is asked, and judged, by itself.
            for other in Family::BOTH.into_iter().filter(|other| *other != family) {
                self.with_line(id, other, now, |line, s, asker, news| {
                    line.probe_soon(now.mono);
                    line.timeout(s, asker, news);
                });
            }
        }
    }

    fn move_to(&mut self, family: Family, to: UplinkId, kind: SwitchKind, now: Now) {
        let reason = self.reason_for_move(family, to, kind, now);
        let active = self.active.get_mut(family);
        let from = active.uplink.replace(to);
        active.since = Some(now.mono);
        active.no_way_out = false;
        active.sample_at = None;
        if kind != SwitchKind::First {
            active.provisional_until = None;
        }
        let flush = self.flush_for(from, family, now);
        if matches!(kind, SwitchKind::Failover | SwitchKind::Quality)
            && let Some(left) = from.and_then(|id| self.uplinks.get_mut(&id))
        {
            let again = |last: &Instant| now.mono.since(*last) < ONE_DEPARTURE;
            if !left.departures.last().is_some_and(again) {
                left.departures.push(now.mono);
                left.departures
                    .retain(|at| now.mono.since(*at) < super::uplink::DEPARTURES_KEPT);
            }
            let name = &left.config.name;
            self.manual_fresh &= !self
                .run
                .manual
                .as_ref()
                .is_some_and(|(manual, _)| manual == name);
        }
        if flush != Flush::Never {
            let alive = |u: &&Uplink| u.present().any(|(_, l)| l.health.is_alive());
            let living: BTreeSet<_> = self.uplinks.values().filter(alive).map(|u| u.id).gather();
            self.kernel.armed = Some((living, now.mono + ARMED_FOR));
        }
        let last_answer = from
            .and_then(|id| self.uplinks.get(&id))
            .and_then(|u| u.lines.get(family).last_life())
            .filter(|_| !matches!(flush, Flush::WhenApplied | Flush::Never));
        *self.switches.get_mut(family) = Some(Switch {
            from,
            to,
            kind,
            at: now.mono,
            generation: self.kernel.generation() + 1,
            applied: None,
            last_answer,
            looks: if flush == Flush::Never {
                Vec::new()
            } else {
                LOOKS.to_vec()
            },
            looking: None,
            flush,
            felt: None,
        });
        self.switch_count += 1;
        let (from, to_name) = (from.map(|id| self.name(id)), self.name(to));
        self.last_switch = Some(LastSwitch {
            at: now.mono,
            from: from.clone(),
            to: to_name.clone(),
            reason: reason.clone(),
            felt: None,
        });
        self.record(
            Fact::Switched {
                family,
                from,
                to: to_name,
                kind,
                reason,
            },
            now,
        );
        self.undecided = true;
        self.with_line(to, family, now, |line, s, asker, news| {
            line.probe_soon(now.mono);
            line.timeout(s, asker, news);
        });
    }

    /// What becomes of the flows on the uplink that is being left.
    fn flush_for(&self, from: Option<UplinkId>, family: Family, now: Now) -> Flush {
        let Some(u) = from.and_then(|id| self.uplinks.get(&id)) else {
            return Flush::Never;
        };
        let line = u.lines.get(family);
        let Health::Down { condition, .. } = line.health else {
            return Flush::Never;
        };
        if condition.is_hard() {
            return Flush::WhenApplied;
        }
        let s = u.surroundings(&self.config, &self.household, family, now.mono);
        Flush::IfSilentUntil(now.mono + line.window(&s))
    }

    fn reason_for_move(&self, family: Family, to: UplinkId, kind: SwitchKind, now: Now) -> String {
        let from = self.active.get(family).uplink;
        let state = |id: UplinkId| {
            let name = self.name(id);
            format!("{name} {}", self.condition(id, family, now).phrase())
        };
        match (kind, from) {
            (SwitchKind::Manual, _) => "asked for by hand".to_owned(),
            (SwitchKind::First, _) | (_, None) => {
                format!("{} is the first in the chain that works", self.name(to))
            }
            (SwitchKind::Failback, Some(_)) => {
                let wait = self.uplinks.get(&to).map_or(Duration::ZERO, |u| {
                    hold(self.config.failback, &u.departures, now.mono)
                });
                format!("{} has been good for {}", self.name(to), human(wait))
            }
            (SwitchKind::Failover | SwitchKind::Quality, Some(id)) => {
                match self.uplinks.get(&id).and_then(|u| u.paused.as_ref()) {
                    Some(_) => format!("{} is set aside by hand", self.name(id)),
                    None => state(id),
                }
            }
        }
    }

    fn say_no_way_out(&mut self, family: Family, stays_on: UplinkId, now: Now) {
        let down = self
            .uplinks
            .get(&stays_on)
            .is_some_and(|u| matches!(u.lines.get(family).health, Health::Down { .. }));
        let active = self.active.get_mut(family);
        if down && !std::mem::replace(&mut active.no_way_out, true) {
            let stays_on = Some(self.name(stays_on));
            self.record(Fact::NoWayOut { stays_on, family }, now);
        }
    }

    pub(super) fn quality_changed(&mut self, id: UplinkId, family: Family, now: Now) {
        let Some(u) = self.uplinks.get(&id) else {
            return;
        };
        let line = u.lines.get(family);
        let degraded = line.quality.is_degraded();
        let loss = line.loss.percent().unwrap_or_default().0;
        let fact = Fact::Quality {
            uplink: u.config.name.clone(),
            degraded,
            loss,
        };
        self.record(fact, now);
        if degraded && self.active.get(family).uplink == Some(id) {
            self.sample(family, now);
        }
    }

    /// The active line is degraded: measure it and the spares side by side.
    fn sample(&mut self, family: Family, now: Now) {
        let active = self.active.get(family).uplink;
        let degraded = active
            .and_then(|id| self.uplinks.get(&id))
            .is_some_and(|u| u.lines.get(family).quality.is_degraded());
        if !degraded {
            return;
        }
        self.active.get_mut(family).sample_at = Some(now.mono + SAMPLE_AGAIN);
        for id in self.chain.clone() {
            self.with_line(id, family, now, |line, s, asker, news| {
                if line.health.is_alive() && !line.is_sampling() {
                    line.begin_sampling(now.mono);
                    line.timeout(s, asker, news);
                }
            });
        }
    }

    /// Does what a switch under way is due for.
    pub(super) fn run_switches(&mut self, now: Now) {
        for family in Family::BOTH {
            let Some(mut switch) = self.switches.get(family).clone() else {
                continue;
            };
            while let Some(after) = switch.looks.first().copied() {
                if switch.at + after > now.mono {
                    break;
                }
                switch.looks.remove(0);
                switch.looking = Some(after);
                self.count_flows(now);
            }
            if let (Flush::IfSilentUntil(at), Some(from), Some(_)) =
                (switch.flush, switch.from, switch.applied)
            {
                let heard = self
                    .uplinks
                    .get(&from)
                    .and_then(|u| u.lines.get(family).last_life())
                    .is_some_and(|life| life > switch.at);
                if heard {
                    switch.flush = Flush::Never;
                } else if at <= now.mono {
                    switch.flush = Flush::Done;
                    self.flush(from, family);
                }
            }
            *self.switches.get_mut(family) = Some(switch);
        }
    }

    fn flush(&mut self, uplink: UplinkId, family: Family) {
        self.outputs
            .push_back(Output::Flush(FlushRequest { uplink, family }));
    }

    /// The kernel has carried out a wish: flows may follow the route.
    pub(super) fn switch_applied(&mut self, generation: u64, now: Now) {
        for family in Family::BOTH {
            let Some(switch) = self.switches.get_mut(family) else {
                continue;
            };
            if switch.applied.is_some() || generation < switch.generation {
                continue;
            }
            switch.applied = Some(now.mono);
            if let (Flush::WhenApplied, Some(from)) = (switch.flush, switch.from) {
                switch.flush = Flush::Done;
                self.flush(from, family);
            }
        }
    }

    pub(super) fn flushed(&mut self, report: &FlushReport, now: Now) {
        let uplink = self.name(report.request.uplink);
        match &report.error {
            None => self.record(
                Fact::Flushed {
                    uplink,
                    flows: report.flows,
                },
                now,
            ),
            Some(error) => self.record(
                Fact::ApplyFailed {
                    error: error.clone(),
                },
                now,
            ),
        }
    }

    /// Counts flows, for a look after a switch or for people.
    fn count_flows(&mut self, now: Now) {
        self.polls.flows_at = Some(now.mono);
        let own = self.view.addresses.iter().map(|a| host(a.net.addr()));
        let near = self
            .uplinks
            .values()
            .flat_map(|u| u.attachment.near.iter().copied());
        self.outputs
            .push_back(Output::CountFlows(own.chain(near).collect()));
    }

    /// Somebody looks at the status: count flows, at most every ten seconds.
    pub(super) fn watched(&mut self, now: Now) {
        let last = self.polls.flows_at;
        if self.mode == Mode::Steer && last.is_none_or(|at| now.mono.since(at) >= COUNT_EVERY) {
            self.count_flows(now);
        }
    }

    pub(super) fn flows_counted(&mut self, flows: &BTreeMap<UplinkId, PerFamily<u64>>, now: Now) {
        let on = |id: &UplinkId| flows.get(id).copied().unwrap_or_default();
        for (id, u) in &mut self.uplinks {
            u.flows = Some(on(id).v4 + on(id).v6);
        }
        for family in Family::BOTH {
            let Some(switch) = self.switches.get_mut(family) else {
                continue;
            };
            let looked = switch.looking.take();
            let (Some(after), Some(from), Flush::Done) = (looked, switch.from, switch.flush) else {
                continue;
            };
            let left = *on(&from).get(family);
            if left > 0 {
                let uplink = self.name(from);
                self.record(
                    Fact::FlowsLeft {
                        uplink,
                        flows: left,
                        after,
                    },
                    now,
                );
                self.flush(from, family);
            }
        }
    }

    /// The first answer by the new way ends what people felt.
    pub(super) fn feel_first_answer(&mut self, now: Now) {
        for family in Family::BOTH {
            let Some(switch) = self.switches.get(family) else {
                continue;
            };
            let life = self
                .uplinks
                .get(&switch.to)
                .and_then(|u| u.lines.get(family).last_life());
            let (Some(applied), Some(life), true) =
                (switch.applied, life, switch.is_felt(now.mono))
            else {
                continue;
            };
            if life < applied {
                continue;
            }
            let gap = life.since(switch.last_answer.unwrap_or(switch.at));
            let to = self.name(switch.to);
            if let Some(switch) = self.switches.get_mut(family) {
                switch.felt = Some(gap);
            }
            if let Some(last) = self.last_switch.as_mut().filter(|last| last.to == to) {
                last.felt.get_or_insert(gap);
            }
            self.record(Fact::Felt { to, gap }, now);
        }
    }

    /// Pauses and switches by hand that were asked for a time.
    fn expire_wishes_of_people(&mut self, now: Now) {
        let over = |until: &Option<Instant>| until.is_some_and(|at| at <= now.mono);
        let mut expired = Vec::new();
        if self.run.manual.take_if(|(_, until)| over(until)).is_some() {
            expired.push("the switch by hand is over; following the chain".to_owned());
        }
        for u in self.uplinks.values_mut() {
            if u.paused.take_if(|paused| over(&paused.until)).is_some() {
                self.run.paused.remove(&u.config.name);
                expired.push(format!("the pause of {} is over", u.config.name));
            }
        }
        if !expired.is_empty() {
            self.undecided = true;
            self.save_run();
        }
        for what in expired {
            self.record(Fact::ByHand { what }, now);
        }
    }
}

/// Whether a line was sampled to lose fewer packets than the active one, by enough.
fn is_better(line: &Line, own: Option<crate::units::LossPercent>) -> bool {
    let other = line.sampled.and_then(|sample| sample.loss());
    matches!((other, own), (Some(other), Some(own)) if other.0 + BETTER_BY <= own.0)
}
