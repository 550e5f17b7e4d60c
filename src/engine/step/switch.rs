//! A switch, step by step, after it has been decided, until people get answers by the new way.

use std::time::Duration;

use crate::engine::Engine;
use crate::engine::events::facts::{Fact, SwitchKind};
use crate::engine::flows::leftover::Fate;
use crate::engine::policy::hold::hold;
use crate::engine::policy::switch::{ONE_DEPARTURE, Switch};
use crate::engine::status::snapshot::LastSwitch;
use crate::time::{Instant, Now, human};
use crate::units::{Family, UplinkId};

impl Engine {
    /// Moves the traffic of a family, and everything that hangs on it.
    pub(in crate::engine) fn move_to(
        &mut self,
        family: Family,
        to: UplinkId,
        kind: SwitchKind,
        now: Now,
    ) {
        let reason = self.reason_for_move(family, to, kind, now);
        let active = self.active.get_mut(family);
        let from = active.uplink.replace(to);
        active.since = Some(now.mono);
        active.no_way_out = false;
        active.sample_at = None;
        if kind != SwitchKind::First {
            active.provisional_until = None;
        }
        let fate = from.and_then(|from| self.leave(from, family, now));
        self.arrive(to, family);
        if matches!(kind, SwitchKind::Failover | SwitchKind::Quality) {
            self.book_departure(from, now);
        }
        let last_answer = from
            .filter(|_| matches!(fate, Some(Fate::FlushIfSilent(_))))
            .and_then(|id| self.uplinks.get(&id))
            .and_then(|u| u.lines.get(family).last_life());
        *self.switches.get_mut(family) = Some(Switch {
            to,
            at: now.mono,
            generation: self.kernel.generation() + 1,
            applied: None,
            last_answer,
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
            left.departures
                .retain(|at| now.mono.since(*at) < crate::engine::uplink::DEPARTURES_KEPT);
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
        self.switch_count = self.switch_count.saturating_add(1);
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

    fn reason_for_move(&self, family: Family, to: UplinkId, kind: SwitchKind, now: Now) -> String {
        let from = self.active.get(family).uplink;
        let state = |id: UplinkId| {
            let name = self.name(id);
            format!("{name} {}", self.condition(id, family, now).phrase())
        };
        match (kind, from) {
            (SwitchKind::Manual, _) => "preferred manually".to_owned(),
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
                    Some(_) => format!("{} is paused", self.name(id)),
                    None => state(id),
                }
            }
        }
    }

    /// The kernel has carried out a wish.
    pub(in crate::engine) fn switch_applied(&mut self, generation: u64, now: Now) {
        for family in Family::BOTH {
            if let Some(switch) = self.switches.get_mut(family)
                && generation >= switch.generation
            {
                switch.applied.get_or_insert(now.mono);
            }
        }
    }

    /// The first answer by the new way ends what people felt.
    pub(in crate::engine) fn feel_first_answer(&mut self, now: Now) {
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
