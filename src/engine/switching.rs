//! A switch, step by step, after it has been decided: flows that must move, and what is left over.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::dataplane::nft::host;
use super::event::{Fact, SwitchKind};
use super::health::Health;
use super::message::{FlowCount, FlushReport, FlushRequest, Output};
use super::policy::hold::hold;
use super::snapshot::LastSwitch;
use super::uplink::Uplink;
use super::{Engine, Mode};
use crate::time::{Instant, Now, human};
use crate::units::{Family, Gather as _, PerFamily, UplinkId};

/// A switch under way in one family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Switch {
    /// The uplink that was left.
    pub from: Option<UplinkId>,
    /// The uplink that carries the traffic now.
    pub to: UplinkId,
    /// What kind of move.
    pub kind: SwitchKind,
    /// When it was decided.
    pub at: Instant,
    /// The wish that carries it out.
    pub generation: u64,
    /// When the kernel had carried it out.
    pub applied: Option<Instant>,
    /// When something last came back by the old way.
    pub last_answer: Option<Instant>,
    /// What becomes of the old flows.
    pub flush: Flush,
    /// Looks at what is left over, still to come.
    pub looks: Vec<Duration>,
    /// A look that is under way.
    pub looking: Option<Duration>,
    /// How long people felt it, once known.
    pub felt: Option<Duration>,
}

/// What becomes of the flows on an uplink that was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Flush {
    /// They stay: the old uplink lives.
    Never,
    /// They are dead beyond doubt: at once, as soon as the route has moved.
    WhenApplied,
    /// They are dead if the old uplink stays silent until then: a wrong verdict costs no flow.
    IfSilentUntil(Instant),
    /// Done.
    Done,
}

/// One outage makes both families leave; it is one departure.
const ONE_DEPARTURE: Duration = Duration::from_secs(5);
/// Flows are counted for people at most this often: a dump of a large table is not for free.
const COUNT_EVERY: Duration = Duration::from_secs(10);
/// Stale connections are reset for so long after a failover.
const ARMED_FOR: Duration = Duration::from_secs(3600);
/// Looks after a switch.
const LOOKS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];
/// A first answer that takes longer than that is not the switch's doing.
const FEEL_FOR: Duration = Duration::from_secs(30);

impl Switch {
    /// When something is next due.
    #[must_use]
    pub(super) fn deadline(&self) -> Option<Instant> {
        let look = self.looks.first().map(|after| self.at + *after);
        match self.flush {
            Flush::IfSilentUntil(at) if self.applied.is_some() => {
                Some(look.map_or(at, |l| l.min(at)))
            }
            Flush::Never | Flush::WhenApplied | Flush::IfSilentUntil(_) | Flush::Done => look,
        }
    }

    /// Whether the first answer by the new way is still awaited.
    #[must_use]
    pub(super) fn is_felt(&self, now: Instant) -> bool {
        self.felt.is_none() && now.since(self.at) < FEEL_FOR
    }
}

impl Engine {
    /// Moves the traffic of a family, and everything that hangs on it.
    pub(super) fn move_to(&mut self, family: Family, to: UplinkId, kind: SwitchKind, now: Now) {
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
        if matches!(kind, SwitchKind::Failover | SwitchKind::Quality) {
            self.book_departure(from, now);
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
            looks: if flush == Flush::Never { Vec::new() } else { LOOKS.to_vec() },
            looking: None,
            flush,
            felt: None,
        });
        self.undecided = true;
        self.tell_move(family, from, to, kind, reason, now);
        self.with_line(to, family, now, |line, s, asker, news| {
            line.probe_soon(now.mono);
            line.timeout(s, asker, news);
        });
    }

    /// An uplink had to be left: the hold before the way back grows.
    fn book_departure(&mut self, from: Option<UplinkId>, now: Now) {
        let Some(left) = from.and_then(|id| self.uplinks.get_mut(&id)) else { return };
        let again = |last: &Instant| now.mono.since(*last) < ONE_DEPARTURE;
        if !left.departures.last().is_some_and(again) {
            left.departures.push(now.mono);
            left.departures.retain(|at| now.mono.since(*at) < super::uplink::DEPARTURES_KEPT);
        }
        let manual = self.run.manual.as_ref();
        if manual.is_some_and(|(name, _)| *name == left.config.name) {
            self.manual_fresh = false;
        }
    }

    fn tell_move(
        &mut self,
        family: Family,
        from: Option<UplinkId>,
        to: UplinkId,
        kind: SwitchKind,
        reason: String,
        now: Now,
    ) {
        self.switch_count += 1;
        let (from, to) = (from.map(|id| self.name(id)), self.name(to));
        self.last_switch = Some(LastSwitch {
            at: now.mono,
            from: from.clone(),
            to: to.clone(),
            reason: reason.clone(),
            felt: None,
        });
        self.record(Fact::Switched { family, from, to, kind, reason }, now);
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
        let own = self.view.addresses.iter().map(|a| a.net.addr()).collect();
        self.outputs.push_back(Output::Flush(FlushRequest { uplink, family, own }));
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
        let uplink = self.name(report.uplink);
        let FlushReport { flows, poked, destroyed, .. } = *report;
        match &report.error {
            None => self.record(Fact::Flushed { uplink, flows, poked, destroyed }, now),
            Some(error) => self.record(Fact::ApplyFailed { error: error.clone() }, now),
        }
    }

    /// Counts flows, for a look after a switch or for people.
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
        let on = |id: &UplinkId| flows.get(id).copied().unwrap_or_default();
        for (id, u) in &mut self.uplinks {
            let all = on(id).v4 + on(id).v6;
            (u.flows, u.flow_bytes) = (Some(all.flows), Some(all.bytes));
        }
        for family in Family::BOTH {
            let Some(switch) = self.switches.get_mut(family) else {
                continue;
            };
            let looked = switch.looking.take();
            let (Some(after), Some(from), Flush::Done) = (looked, switch.from, switch.flush) else {
                continue;
            };
            let left = on(&from).get(family).flows;
            if left > 0 {
                let uplink = self.name(from);
                self.record(Fact::FlowsLeft { uplink, flows: left, after }, now);
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
            let life = self.uplinks.get(&switch.to).and_then(|u| u.lines.get(family).last_life());
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
}
