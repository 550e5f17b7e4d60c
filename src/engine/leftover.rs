//! What becomes of the flows on an uplink that gets no new ones.
//!
//! While it lives they finish where they began (drain), for as long as `on_return` says. When it is
//! dead, or their time is up, they are flushed, so that they begin anew over the active uplink.
//! Afterwards somebody looks whether any is left.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::dataplane::nft::host;
use super::event::Fact;
use super::health::{Health, Transition};
use super::message::{FlowCount, FlushReport, FlushRequest, Output};
use super::snapshot::Draining;
use super::uplink::Uplink;
use super::{Engine, Mode};
use crate::config::OnReturn;
use crate::time::{Instant, Now};
use crate::units::{Family, Gather as _, PerFamily, UplinkId};

/// The flows that an uplink still has in one family, although new ones go elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Leftover {
    /// Since when it gets no new ones.
    since: Instant,
    fate: Fate,
    /// When they are counted next, in order.
    looks: Vec<Instant>,
    /// A count for such a look is under way.
    looking: bool,
    /// As last counted.
    seen: Option<FlowCount>,
    /// It has been said that some are left.
    told: bool,
}

/// What is to become of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Fate {
    /// They finish where they are; until then, if there is a limit.
    Drain(Option<Instant>),
    /// The uplink is dead if it stays silent until then: a wrong verdict costs no flow.
    FlushIfSilent(Instant),
    /// It is dead beyond doubt, or their time is up: as soon as the route has moved.
    Flush,
    /// Done.
    Flushed,
}

/// Looks, counted from when the uplink was left or its flows were flushed.
const LOOKS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];
/// While flows drain they are counted this often, to know when the last one is gone.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// Flows are counted for people at most this often: a dump of a large table is not for free.
const COUNT_EVERY: Duration = Duration::from_secs(10);
/// Where flows are cut although their uplink lives: what is on the way when new ones go elsewhere may arrive.
const ON_THE_WAY: Duration = Duration::from_secs(1);
/// Stale connections are reset for so long after flows were flushed.
const ARMED_FOR: Duration = Duration::from_secs(3600);

impl Fate {
    /// Whether connections will be cut off, so that their clients have to be told.
    pub(super) const fn cuts(self) -> bool {
        matches!(self, Self::Flush | Self::FlushIfSilent(_))
    }
}

impl Leftover {
    fn new(since: Instant, fate: Fate) -> Self {
        let looks = LOOKS.map(|after| since + after).to_vec();
        Self { since, fate, looks, looking: false, seen: None, told: false }
    }

    /// When something is next due. What waits for the kernel comes with the kernel's answer.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let fate = match self.fate {
            Fate::Drain(until) => until,
            Fate::FlushIfSilent(until) => Some(until),
            Fate::Flush | Fate::Flushed => None,
        };
        [fate, self.looks.first().copied()].into_iter().flatten().min()
    }

    /// Takes the next look off the list if its time has come.
    fn take_look(&mut self, now: Instant) -> bool {
        let due = self.looks.iter().take_while(|at| **at <= now).count();
        self.looks.drain(..due);
        self.looking |= due > 0;
        due > 0
    }
}

impl Engine {
    /// The uplink is left: says what becomes of its flows, and begins it.
    pub(super) fn leave(&mut self, from: UplinkId, family: Family, now: Now) -> Option<Fate> {
        let fate = self.fate_of(from, family, now)?;
        if fate.cuts() {
            self.arm(now);
        }
        let uplink = self.uplinks.get_mut(&from)?;
        *uplink.leftover.get_mut(family) = Some(Leftover::new(now.mono, fate));
        self.remember_drains();
        Some(fate)
    }

    /// The uplink gets new flows from now on: its old ones are where they belong.
    pub(super) fn arrive(&mut self, to: UplinkId, family: Family) {
        if let Some(uplink) = self.uplinks.get_mut(&to) {
            *uplink.leftover.get_mut(family) = None;
            self.remember_drains();
        }
    }

    /// A line that gets no new flows has died with those that it still had.
    pub(super) fn line_died(&mut self, id: UplinkId, family: Family, change: Transition, now: Now) {
        let died = change.from.is_alive() && matches!(change.to, Health::Down { .. });
        if died && self.mode == Mode::Steer && self.active.get(family).uplink != Some(id) {
            self.leave(id, family, now);
        }
    }

    fn fate_of(&self, id: UplinkId, family: Family, now: Now) -> Option<Fate> {
        let u = self.uplinks.get(&id)?;
        let line = u.lines.get(family);
        Some(match line.health {
            Health::Down { condition, .. } if condition.is_hard() => Fate::Flush,
            Health::Down { .. } => {
                let s = u.surroundings(&self.config, &self.household, family, now.mono);
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
    pub(super) fn resume_drains(&mut self, now: Now) {
        for (name, until) in self.run.drains.clone() {
            for family in Family::BOTH {
                let active = self.active.get(family).uplink;
                let named = |u: &&mut Uplink| u.config.name == name && Some(u.id) != active;
                if let Some(u) = self.uplinks.values_mut().find(named) {
                    let drain = Leftover::new(now.mono, Fate::Drain(Some(until)));
                    *u.leftover.get_mut(family) = Some(drain);
                }
            }
        }
    }

    /// Does what old flows are due for, short of flushing them.
    pub(super) fn run_leftovers(&mut self, now: Now) {
        if !self.has_leftover(|_| true) {
            return;
        }
        let mut count = false;
        for id in self.chain.clone() {
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
    pub(super) fn flush_leftovers(&mut self, now: Now) {
        if !self.kernel.is_settled() || !self.has_leftover(|left| left.fate == Fate::Flush) {
            return;
        }
        for family in Family::BOTH {
            let active = self.active.get(family).uplink.and_then(|id| self.uplinks.get(&id));
            let dead = |u: &Uplink| matches!(u.lines.get(family).health, Health::Down { .. });
            if active.is_none_or(dead) {
                continue;
            }
            for id in self.chain.clone() {
                let left = self.uplinks.get_mut(&id).map(|u| u.leftover.get_mut(family));
                let Some(left) = left.and_then(Option::as_mut) else { continue };
                if left.fate == Fate::Flush {
                    left.fate = Fate::Flushed;
                    left.looks = LOOKS.map(|after| now.mono + after).to_vec();
                    left.since = now.mono;
                    self.flush(id, family);
                }
            }
        }
    }

    fn has_leftover(&self, wanted: impl Fn(&Leftover) -> bool) -> bool {
        let of = |u: &Uplink| u.leftover.iter().any(|(_, left)| left.as_ref().is_some_and(&wanted));
        self.uplinks.values().any(of)
    }

    fn flush(&mut self, uplink: UplinkId, family: Family) {
        let own = self.view.addresses.iter().map(|a| a.net.addr()).collect();
        self.outputs.push_back(Output::Flush(FlushRequest { uplink, family, own }));
    }

    pub(super) fn flushed(&mut self, report: FlushReport, now: Now) {
        let uplink = self.name(report.uplink);
        let FlushReport { flows, poked, destroyed, .. } = report;
        let fact = match report.error {
            None => Fact::Flushed { uplink, flows, poked, destroyed },
            Some(error) => Fact::ApplyFailed { error },
        };
        self.record(fact, now);
    }

    /// Counts flows, for a look at what is left or for people.
    fn count_flows(&mut self, now: Now) {
        self.polls.flows_at = Some(now.mono);
        let own = self.view.addresses.iter().map(|a| host(a.net.addr()));
        let near = self.uplinks.values().flat_map(|u| u.attachment.near.iter().copied());
        self.outputs.push_back(Output::CountFlows(own.chain(near).collect()));
    }

    /// Somebody looks at the status: count flows, at most every ten seconds.
    pub(super) fn watched(&mut self, now: Now) {
        let last = self.polls.flows_at;
        if self.mode == Mode::Steer && last.is_none_or(|at| now.mono.since(at) >= COUNT_EVERY) {
            self.count_flows(now);
        }
    }

    pub(super) fn flows_counted(
        &mut self,
        flows: &BTreeMap<UplinkId, PerFamily<FlowCount>>,
        now: Now,
    ) {
        for id in self.chain.clone() {
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
                self.flush(id, family);
            }
            Fate::Flushed if left.looks.is_empty() => *place = None,
            Fate::Flushed | Fate::FlushIfSilent(_) | Fate::Flush => {}
        }
    }

    /// The flows that drain on an uplink, for people.
    pub(super) fn draining(u: &Uplink, now: Now) -> Option<Draining> {
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
