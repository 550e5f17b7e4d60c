//! What becomes of the flows that an uplink still has when new ones go elsewhere.

use std::collections::BTreeMap;

use crate::config::OnReturn;
use crate::engine::Engine;
use crate::engine::dataplane::nft::host;
use crate::engine::events::facts::Fact;
use crate::engine::health::{Health, Transition};
use crate::engine::input::FlushReport;
use crate::engine::kernel::flow::{FlowCount, FlushScope};
use crate::engine::output::{FlushRequest, Output};
use crate::engine::status::snapshot::Draining;
use crate::engine::uplink::Uplink;
use crate::engine::uplink::leftover::{
    ARMED_FOR, COUNT_EVERY, Fate, LOOK_AGAIN, Leftover, ON_THE_WAY,
};
use crate::time::{Instant, Now};
use crate::units::{Family, Gather as _, PerFamily, UplinkId};

impl Engine {
    /// The uplink is left: says what becomes of its flows, and begins it.
    pub(in crate::engine) fn leave(
        &mut self,
        from: UplinkId,
        family: Family,
        now: Now,
    ) -> Option<Fate> {
        let fate = self.fate_of(from, family, now)?;
        if fate.cuts() {
            self.arm(now);
        }
        let uplink = self.uplinks.get_mut(&from)?;
        *uplink.leftover.get_mut(family) = Some(Leftover::new(now.mono, fate));
        self.remember_drains();
        Some(fate)
    }

    /// Flows that began on an uplink although it was not chosen begin again.
    pub(in crate::engine) fn cut_off(&mut self, id: UplinkId, family: Family, now: Now) {
        self.arm(now);
        if let Some(uplink) = self.uplinks.get_mut(&id) {
            *uplink.leftover.get_mut(family) = Some(Leftover::new(now.mono, Fate::Flush));
        }
    }

    /// The uplink gets new flows from now on: its old ones are where they belong.
    pub(in crate::engine) fn arrive(&mut self, to: UplinkId, family: Family) {
        if let Some(uplink) = self.uplinks.get_mut(&to) {
            *uplink.leftover.get_mut(family) = None;
            self.remember_drains();
        }
    }

    /// A line that gets no new flows has died with those that it still had.
    pub(in crate::engine) fn line_died(
        &mut self,
        id: UplinkId,
        family: Family,
        change: Transition,
        now: Now,
    ) {
        let died = change.from.is_alive() && matches!(change.to, Health::Down { .. });
        if died && self.choice.active.get(family).uplink != Some(id) {
            self.leave(id, family, now);
        }
    }

    fn fate_of(&self, id: UplinkId, family: Family, now: Now) -> Option<Fate> {
        let u = self.uplinks.get(&id)?;
        let line = u.lines.get(family);
        Some(match line.health {
            Health::Down { condition, .. } if condition.is_hard() => Fate::Flush,
            Health::Down { .. } => {
                let s = u.context(&self.config, &self.uplinks.shared, family, now.mono);
                Fate::FlushIfSilent(now.mono + line.window(&s))
            }
            Health::Unknown
            | Health::Up { .. }
            | Health::Failing { .. }
            | Health::Recovering { .. } => drain(u, now.mono),
        })
    }

    /// Flows that are flushed now or soon are told by a reset.
    fn arm(&mut self, now: Now) {
        self.run.armed = Some(now.mono + ARMED_FOR);
        self.kernel.replan();
        self.save_run();
    }

    /// Keeps the limits of drains for a restart of the agent.
    fn remember_drains(&mut self) {
        let limit = |u: &Uplink| {
            let limits = u.leftover.iter().filter_map(|(_, l)| match l.as_ref()?.fate {
                Fate::Drain(until) => until,
                Fate::FlushIfSilent(_) | Fate::Flush | Fate::Flushed => None,
            });
            Some((u.config.name.clone(), limits.max()?))
        };
        let drains: BTreeMap<_, _> = self.uplinks.values().filter_map(limit).gather();
        if drains != self.run.drains {
            self.run.drains = drains;
            self.save_run();
        }
    }

    /// Takes up the drains of an earlier run.
    pub(in crate::engine) fn resume_drains(&mut self, now: Now) {
        for (name, until) in self.run.drains.clone() {
            for family in Family::BOTH {
                let active = self.choice.active.get(family).uplink;
                let named = |u: &&mut Uplink| u.config.name == name && Some(u.id) != active;
                if let Some(u) = self.uplinks.values_mut().find(named) {
                    let drain = Leftover::new(now.mono, Fate::Drain(Some(until)));
                    *u.leftover.get_mut(family) = Some(drain);
                }
            }
        }
    }

    /// Does what old flows are due for, short of flushing them.
    pub(in crate::engine) fn run_leftovers(&mut self, now: Now) {
        if !self.has_leftover(|_| true) {
            return;
        }
        let mut count = false;
        for id in self.uplinks.chain.clone() {
            for family in Family::BOTH {
                let Some(u) = self.uplinks.get_mut(&id) else { continue };
                let life = u.lines.get(family).last_life();
                let gentle = drain(u, now.mono);
                let Some(left) = u.leftover.get_mut(family) else { continue };
                count |= left.take_look(now.mono);
                match left.fate {
                    Fate::Drain(Some(until)) if until <= now.mono => {
                        left.fate = Fate::Flush;
                        let after = now.mono.since(left.since);
                        let uplink = u.config.name.clone();
                        self.record(Fact::DrainOver { uplink, family, after }, now);
                        self.arm(now);
                        self.remember_drains();
                    }
                    // It lives after all.
                    Fate::FlushIfSilent(_) if life.is_some_and(|life| life > left.since) => {
                        left.fate = gentle;
                        self.remember_drains();
                    }
                    Fate::FlushIfSilent(until) if until <= now.mono => left.fate = Fate::Flush,
                    Fate::Drain(_) | Fate::FlushIfSilent(_) | Fate::Flush | Fate::Flushed => {}
                }
            }
        }
        if count {
            self.count_flows(now);
        }
    }

    /// Flushes what is to be flushed, once the kernel is as wanted: route first, then flows. Without
    /// a living uplink to go to they stay.
    pub(in crate::engine) fn flush_leftovers(&mut self, now: Now) {
        let due = |left: &Leftover| left.fate == Fate::Flush || left.unanswered;
        if !self.kernel.is_settled() || !self.has_leftover(due) {
            return;
        }
        for family in Family::BOTH {
            let active = self.choice.active.get(family).uplink.and_then(|id| self.uplinks.get(&id));
            let dead = |u: &Uplink| matches!(u.lines.get(family).health, Health::Down { .. });
            if active.is_none_or(dead) {
                continue;
            }
            for id in self.uplinks.chain.clone() {
                let left = self.uplinks.get_mut(&id).map(|u| u.leftover.get_mut(family));
                let Some(left) = left.and_then(Option::as_mut) else { continue };
                if let Some(scope) = left.take_flush(now.mono) {
                    self.flush(id, family, scope);
                }
            }
        }
    }

    fn has_leftover(&self, wanted: impl Fn(&Leftover) -> bool) -> bool {
        let of = |u: &Uplink| u.leftover.iter().any(|(_, left)| left.as_ref().is_some_and(&wanted));
        self.uplinks.values().any(of)
    }

    fn flush(&mut self, uplink: UplinkId, family: Family, scope: FlushScope) {
        let own = self.seen.view.addresses.iter().map(|a| a.net.addr()).collect();
        // Without a carrier nobody is near.
        let attachment = self.uplinks.get(&uplink).map(|u| &u.attachment);
        let near = attachment.filter(|a| a.carrier).map_or_else(Vec::new, |a| a.near.clone());
        self.outputs.push_back(Output::Flush(FlushRequest { uplink, family, scope, own, near }));
    }

    pub(in crate::engine) fn flushed(&mut self, report: FlushReport, now: Now) {
        let uplink = self.name(report.uplink);
        let FlushReport { scope, flows, notified, destroyed, .. } = report;
        let fact = match report.error {
            // Not yet the end of the others, which is told.
            None if scope == FlushScope::Unanswered => return,
            None => Fact::Flushed { uplink, flows, notified, destroyed },
            Some(error) => Fact::ApplyFailed { error },
        };
        self.record(fact, now);
    }

    /// Counts flows, for a look at what is left or for people.
    fn count_flows(&mut self, now: Now) {
        self.seen.polls.flows_at = Some(now.mono);
        let own = self.seen.view.addresses.iter().map(|a| host(a.net.addr()));
        let near = self.uplinks.values().flat_map(|u| u.attachment.near.iter().copied());
        self.outputs.push_back(Output::CountFlows(own.chain(near).collect()));
    }

    /// Somebody looks at the status: count flows, at most every ten seconds.
    pub(in crate::engine) fn watched(&mut self, now: Now) {
        let last = self.seen.polls.flows_at;
        if last.is_none_or(|at| now.mono.since(at) >= COUNT_EVERY) {
            self.count_flows(now);
        }
    }

    pub(in crate::engine) fn flows_counted(
        &mut self,
        flows: &BTreeMap<UplinkId, PerFamily<FlowCount>>,
        now: Now,
    ) {
        for id in self.uplinks.chain.clone() {
            let seen = flows.get(&id).copied().unwrap_or_default();
            if let Some(u) = self.uplinks.get_mut(&id) {
                u.flows = Some((seen.v4 + seen.v6).flows);
            }
            for family in Family::BOTH {
                self.see_leftover(id, family, *seen.get(family), now);
            }
        }
    }

    fn see_leftover(&mut self, id: UplinkId, family: Family, seen: FlowCount, now: Now) {
        let uplink = self.name(id);
        let Some(u) = self.uplinks.get_mut(&id) else { return };
        let place = u.leftover.get_mut(family);
        let Some(left) = place else { return };
        left.seen = Some(seen);
        if !std::mem::take(&mut left.looking) {
            return;
        }
        let FlowCount { flows, bytes } = seen;
        let after = now.mono.since(left.since);
        match left.fate {
            Fate::Drain(_) if flows == 0 => {
                let told = left.told;
                *place = None;
                if told {
                    self.record(Fact::Drained { uplink, family, after }, now);
                }
                self.remember_drains();
            }
            Fate::Drain(until) => {
                if left.looks.is_empty() {
                    left.looks.push(now.mono + LOOK_AGAIN);
                }
                if !std::mem::replace(&mut left.told, true) {
                    let lasts = until.map(|until| until.since(now.mono));
                    self.record(Fact::Draining { uplink, family, flows, bytes, lasts }, now);
                }
            }
            Fate::Flushed if flows > 0 => {
                self.record(Fact::FlowsLeft { uplink, flows, after }, now);
                self.flush(id, family, FlushScope::All);
            }
            Fate::Flushed if left.looks.is_empty() => *place = None,
            Fate::Flushed | Fate::FlushIfSilent(_) | Fate::Flush => {}
        }
    }

    /// The flows that drain on an uplink, for people.
    pub(in crate::engine) fn draining(u: &Uplink, now: Now) -> Option<Draining> {
        let drains = u.leftover.iter().filter_map(|(_, left)| {
            let left = left.as_ref()?;
            let Fate::Drain(until) = left.fate else { return None };
            left.seen.filter(|seen| seen.flows > 0).map(|seen| (seen, until))
        });
        drains.fold(None, |sum: Option<Draining>, (seen, until)| {
            let sum = sum.unwrap_or_default();
            Some(Draining {
                flows: sum.flows + seen.flows,
                bytes: sum.bytes + seen.bytes,
                lasts: sum.lasts.max(until.map(|until| until.since(now.mono))),
            })
        })
    }
}

/// How old flows leave an uplink that lives.
fn drain(u: &Uplink, now: Instant) -> Fate {
    match u.config.on_return {
        OnReturn::Drain => Fate::Drain(None),
        OnReturn::DrainFor(lasts) => Fate::Drain(Some(now + lasts)),
        OnReturn::Cut => Fate::Drain(Some(now + ON_THE_WAY)),
    }
}

impl Engine {
    /// Takes how many packets were held back so far for their source address.
    pub(in crate::engine) fn un_nated_packets(&mut self, packets: u64, now: Now) {
        if self.un_nated.look(packets, now.mono) {
            self.outputs.push_back(Output::FlushUnNated);
        }
    }
}
