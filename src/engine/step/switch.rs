//! A switch, step by step, after it has been decided, until people get answers by the new way.

use std::time::Duration;

use crate::engine::Engine;
use crate::engine::events::causes::{Cause, Scope};
use crate::engine::events::facts::{Fact, SwitchKind};
use crate::engine::events::story::{TOGETHER, Turn};
use crate::engine::health::{Condition, Health};
use crate::engine::policy::hold::hold;
use crate::engine::policy::select::{Decision, Why};
use crate::time::{Instant, Now};
use crate::units::{Family, UplinkId};

/// One outage makes both families leave; it is one departure.
const ONE_DEPARTURE: Duration = Duration::from_secs(5);

/// So long after the agent has asked for a page its packets may still be on their way, or counted.
const OWN_LOOK: Duration = Duration::from_millis(4500);

impl Engine {
    /// Moves the traffic of a family, and everything that hangs on it.
    pub(in crate::engine) fn move_to(
        &mut self,
        family: Family,
        to: UplinkId,
        kind: SwitchKind,
        now: Now,
    ) {
        let from = self.choice.active.get(family).uplink;
        let cause = self.cause_of_move(family, to, kind, now);
        let scope = self.scope(family, from, to, now);
        let turn = Turn {
            slot: family,
            from: from.map(|id| self.name(id)),
            to: (to, self.name(to)),
            cause: cause.clone(),
            last_answer: self.last_answer(family, kind, now),
            generation: Some(self.kernel.generation() + 1),
        };
        let active = self.choice.active.get_mut(family);
        active.uplink = Some(to);
        active.since = Some(now.mono);
        (active.all_down, active.told_all_down) = (false, None);
        (active.sample_at, active.let_go) = (None, None);
        if kind != SwitchKind::First {
            active.provisional_until = None;
        }
        if let Some(from) = from {
            self.leave(from, family, now);
        }
        self.arrive(to, family);
        if matches!(kind, SwitchKind::Failover | SwitchKind::Quality) {
            self.book_departure(from, now);
        }
        self.choice.undecided = true;
        self.choice.switch_count = self.choice.switch_count.saturating_add(1);
        let (old, new) = (turn.from.clone(), turn.to.1.clone());
        let order = self.telling.stories.moved(turn, kind, now.mono);
        let fact = Fact::Switched { family, from: old, to: new, kind, cause, order, scope };
        self.record(fact, now);
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
            self.choice.manual_fresh = false;
        }
    }

    fn cause_of_move(&self, family: Family, to: UplinkId, kind: SwitchKind, now: Now) -> Cause {
        let active = self.choice.active.get(family);
        let from = active.uplink.and_then(|id| self.uplinks.get(&id));
        match (kind, from) {
            (SwitchKind::Manual, _) => Cause::Chosen,
            (SwitchKind::First, _) | (_, None) => Cause::FirstThatWorks,
            (SwitchKind::Failback, Some(_)) => {
                let Some(u) = self.uplinks.get(&to) else { return Cause::FirstThatWorks };
                let hold = hold(self.config.failback, &u.departures, now.mono);
                // What a person let go of would have moved long ago.
                let due = match u.lines.get(family).health {
                    Health::Up { since } => Some(since + hold),
                    Health::Unknown
                    | Health::Failing { .. }
                    | Health::Down { .. }
                    | Health::Recovering { .. } => None,
                };
                let let_go = active.let_go.as_ref();
                let let_go = let_go.filter(|(at, _)| due.is_some_and(|due| due <= *at));
                let_go.map_or(Cause::Stable { hold }, |(_, cause)| cause.clone())
            }
            (SwitchKind::Failover | SwitchKind::Quality, Some(u)) => {
                let uplink = u.config.name.clone();
                let condition = self.condition(u.id, family, now);
                if u.paused.is_some() {
                    Cause::Paused { uplink }
                } else if condition == Condition::Ok {
                    Cause::FirstThatWorks
                } else {
                    Cause::Failed { uplink, condition }
                }
            }
        }
    }

    /// Whether the other family of an uplink that is left goes on working there, for all that is known. One
    /// that follows now, or so soon that it is the same story, does not.
    fn scope(&self, family: Family, left: Option<UplinkId>, to: UplinkId, now: Now) -> Scope {
        let stays = |other: &Family| {
            let there = self.choice.active.get(*other).uplink.filter(|id| Some(*id) == left);
            let u = there.and_then(|id| self.uplinks.get(&id)).filter(|u| u.paused.is_none());
            u.is_some_and(|u| matches!(u.lines.get(*other).health, Health::Up { .. }))
                && !self.follows(*other, to, now)
        };
        let other = Family::BOTH.into_iter().find(|other| *other != family);
        if other.is_some_and(|other| stays(&other)) { Scope::Family } else { Scope::Whole }
    }

    /// Whether a family's traffic moves to an uplink, too, in time to be one story.
    fn follows(&self, family: Family, to: UplinkId, now: Now) -> bool {
        let next = self.selection(family, now);
        let soon = |why: &Why| matches!(why, Why::Holding(at) if at.since(now.mono) < TOGETHER);
        next.is_some_and(|next| match next.decision {
            Decision::Move(id, _) => id == to,
            Decision::Stay | Decision::AllDown => next.whys.get(&to).is_some_and(soon),
        })
    }

    /// When the last answer came by the line that is left.
    pub(in crate::engine) fn last_answer(
        &self,
        family: Family,
        kind: SwitchKind,
        now: Now,
    ) -> Instant {
        let id = self.choice.active.get(family).uplink;
        let Some(u) = id.and_then(|id| self.uplinks.get(&id)).filter(|u| u.paused.is_none()) else {
            return now.mono;
        };
        let line = u.lines.get(family);
        let last = match line.health {
            Health::Down { condition, .. } if condition.is_hard() => None,
            Health::Down { .. } => line.last_answer(),
            // It answers probes, but perhaps nobody else.
            Health::Unknown
            | Health::Up { .. }
            | Health::Failing { .. }
            | Health::Recovering { .. } => {
                let silent = line.traffic.one_sided_since(now.mono);
                silent.filter(|_| kind == SwitchKind::Quality)
            }
        };
        last.unwrap_or(now.mono)
    }

    /// A line in use died and no other is alive: the story begins, or goes on.
    pub(in crate::engine) fn tell_death(&mut self, family: Family, id: UplinkId, now: Now) {
        let name = self.name(id);
        let condition = self.condition(id, family, now);
        let turn = Turn {
            slot: family,
            from: Some(name.clone()),
            to: (id, name.clone()),
            cause: Cause::Failed { uplink: name, condition },
            last_answer: self.last_answer(family, SwitchKind::Failover, now),
            generation: None,
        };
        self.telling.stories.died(turn, now.mono);
        if Family::BOTH.iter().all(|family| self.carrying(*family, now).is_none()) {
            self.telling.stories.nothing_works();
        }
    }

    /// The kernel is as it was desired.
    pub(in crate::engine) fn switch_applied(&mut self, generation: u64, now: Now) {
        self.telling.stories.applied(generation, now.mono);
    }

    /// The first answer by the new way ends what people felt.
    pub(in crate::engine) fn feel_first_answer(&mut self, now: Now) {
        for family in Family::BOTH {
            let by = self.telling.stories.awaited_by(family).and_then(|id| self.uplinks.get(&id));
            if let Some(life) = by.and_then(|u| u.lines.get(family).last_life()) {
                self.telling.stories.answered(family, life, now.mono);
            }
        }
    }

    /// Takes note of who uses what, and tells of a story that has ended.
    pub(in crate::engine) fn follow_stories(&mut self, now: Now) {
        let Some(story) = self.telling.stories.tick(now.mono) else { return };
        let (uplink, gap) = (story.to, story.felt);
        if story.outage {
            self.record(Fact::BackOnline { uplink: uplink.clone(), gap }, now);
        }
        if let Some(gap) = gap {
            self.record(Fact::Felt { to: uplink, gap }, now);
        }
    }

    /// People use the families whose traffic moves.
    pub(in crate::engine) fn see_use(&mut self) {
        for family in Family::BOTH {
            let active = self.choice.active.get(family).uplink.and_then(|id| self.uplinks.get(&id));
            let Some(line) = active.map(|u| u.lines.get(family)) else { continue };
            let Some(moved) = line.traffic.moved() else { continue };
            // The agent's own look at a page passes for traffic, but nobody used it.
            let own = |at: Instant| at <= moved && moved.since(at) < OWN_LOOK;
            if !line.proof.pages_asked().is_some_and(own) {
                self.telling.stories.seen_in_use(family, moved);
            }
        }
    }
}
