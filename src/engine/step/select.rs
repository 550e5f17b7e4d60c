//! From the health of the lines to the uplink that carries the traffic.

use std::time::Duration;

use crate::engine::Engine;
use crate::engine::events::causes::{Deed, Scope};
use crate::engine::events::facts::Fact;
use crate::engine::health::quality::{CALM, SAMPLE_AGAIN};
use crate::engine::health::{Health, Transition};
use crate::engine::policy::choice::Active;
use crate::engine::policy::hold::{MEMORY, hold};
use crate::engine::policy::select::{
    Candidate, Choice, Decision, Footing, Incumbent, Loss, Selection, select,
};
use crate::engine::uplink::Uplink;
use crate::engine::uplink::attachment::main_default;
use crate::engine::uplink::standing::Standing;
use crate::time::{Instant, Now};
use crate::units::{Family, IfIndex, UplinkId};

/// Before anything is proven the first choice may still change, without a hold.
const PROVISIONAL_FOR: Duration = Duration::from_secs(10);

/// When the others are asked whether they could take over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    /// Now.
    All,
    /// Now, if the active line is suspected.
    IfSuspected,
}

impl Engine {
    /// Where traffic goes before the first verdict: where an earlier run left it, where `main`
    /// sends it, else the first uplink that has a way out.
    pub(in crate::engine) fn first_choice(
        &mut self,
        family: Family,
        adopted: Option<IfIndex>,
        now: Now,
    ) {
        let on = |index: IfIndex| {
            let fits = |u: &&Uplink| u.attachment.link.as_ref().is_some_and(|l| l.0 == index);
            self.uplinks.values().find(fits).map(|u| u.id)
        };
        let has_egress = |id: &&UplinkId| {
            self.uplinks
                .get(id)
                .is_some_and(|u| u.lines.get(family).egress.is_some() && u.paused.is_none())
        };
        let as_main = || main_default(&self.seen.view, family).and_then(on);
        // What an earlier run left is dead if it has lost its way meanwhile.
        let left = adopted.and_then(on);
        let adopted = left.filter(|id| has_egress(&id));
        let choice = adopted
            .or_else(|| as_main().filter(|id| has_egress(&id)))
            .or_else(|| self.uplinks.chain.iter().find(has_egress).copied())
            .or(left);
        if choice.is_none() {
            return;
        }
        *self.choice.active.get_mut(family) = Active {
            uplink: choice,
            since: Some(now.mono),
            proving_until: Some(now.mono + PROVISIONAL_FOR),
            provisional_until: adopted.is_none().then_some(now.mono + PROVISIONAL_FOR),
            ..Active::default()
        };
        self.choice.undecided = true;
    }

    /// Decides again if anything has changed or a hold is over; returns whether anything came of it that
    /// lines may be due for.
    pub(in crate::engine) fn decide(&mut self, now: Now) -> bool {
        self.expire_choices(now);
        let mut decided = false;
        for family in Family::BOTH {
            let active = self.choice.active.get_mut(family);
            let hold_over = active.waiting().is_some_and(|(at, _)| at <= now.mono);
            let settled = active.provisional_until.take_if(|at| *at <= now.mono).is_some();
            let proven_or_not = active.proving_until.take_if(|at| *at <= now.mono).is_some();
            self.choice.undecided |= hold_over || settled || proven_or_not;
            if active.sample_at.take_if(|at| *at <= now.mono).is_some() {
                self.sample(family, now);
                decided = true;
            }
        }
        // A decision may bring news (candidates are asked at once); a few rounds settle everything.
        for _ in 0..4 {
            if !std::mem::take(&mut self.choice.undecided) || self.life.started.is_none() {
                return decided;
            }
            decided = true;
            self.kernel.replan();
            self.lan.announcing.look();
            self.telling.look = true;
            self.refresh_shared(now);
            for family in Family::BOTH {
                self.decide_family(family, now);
            }
            self.follow_resolvers();
        }
        decided
    }

    fn decide_family(&mut self, family: Family, now: Now) {
        if self.choice.active.get(family).uplink.is_none() {
            self.first_choice(family, None, now);
        }
        let Some(incumbent) = self.incumbent(family, now) else {
            return;
        };
        let call = if incumbent.footing.is_alive() { Call::IfSuspected } else { Call::All };
        self.call_candidates(family, call, now);
        let candidates = self.candidates(family, now);
        let Selection { decision, whys } = select(&candidates, Some(incumbent), now.mono);
        let active = self.choice.active.get_mut(family);
        active.whys = whys;
        // The first choice is settled once it works and none before it may still turn out to work.
        let own_place = candidates.iter().find(|c| c.id == incumbent.id).map(|c| c.place);
        let open = |c: &Candidate| Some(c.place) < own_place && c.standing == Standing::Unproven;
        if incumbent.footing.is_alive() {
            active.told_all_down = None;
            let revived = std::mem::take(&mut active.all_down);
            for other in Family::BOTH {
                // If this dies again, nothing works again.
                let told = &mut self.choice.active.get_mut(other).told_all_down;
                *told = told.map(|_| Scope::Family);
            }
            if revived {
                self.telling.stories.revived(family, self.kernel.generation() + 1, now.mono);
            }
            let active = self.choice.active.get_mut(family);
            active.proving_until = None;
            let stays = decision == Decision::Stay && active.waiting().is_none();
            if stays && !candidates.iter().any(open) {
                active.provisional_until = None;
            }
        }
        match decision {
            Decision::Stay => {}
            Decision::Move(to, kind) => self.move_to(family, to, kind, now),
            Decision::AllDown => self.say_all_down(family, incumbent.id, now),
        }
    }

    /// What would be decided for a family now.
    pub(in crate::engine) fn selection(&self, family: Family, now: Now) -> Option<Selection> {
        let incumbent = self.incumbent(family, now)?;
        Some(select(&self.candidates(family, now), Some(incumbent), now.mono))
    }

    fn incumbent(&self, family: Family, now: Now) -> Option<Incumbent> {
        let active = self.choice.active.get(family);
        let u = self.uplinks.get(&active.uplink?)?;
        let health = u.lines.get(family).health;
        let gone = match health {
            Health::Down { condition, .. } => condition.is_hard(),
            Health::Unknown
            | Health::Up { .. }
            | Health::Failing { .. }
            | Health::Recovering { .. } => u.paused.is_some(),
        };
        let standing = u.standing(&self.config, &self.uplinks.shared, family, now.mono);
        let open = active.provisional_until.is_some();
        let alive = health.is_alive() && u.paused.is_none();
        let proving = standing == Standing::Unproven && active.proving_until.is_some();
        let footing = match (alive, open) {
            (true, true) => Footing::Open,
            (true, false) => Footing::Firm,
            (false, _) if proving => Footing::Proving,
            (false, true) => Footing::Failed,
            (false, false) if gone => Footing::Gone,
            (false, false) => Footing::Silent,
        };
        Some(Incumbent { id: u.id, footing })
    }

    fn candidates(&self, family: Family, now: Now) -> Vec<Candidate> {
        let candidate = |(place, id): (usize, &UplinkId)| {
            let u = self.uplinks.get(id)?;
            let line = u.lines.get(family);
            let chosen = self.run.manual.as_ref().is_some_and(|(name, _)| *name == u.config.name);
            let left = u.departures.iter().filter(|left| now.mono.since(**left) < MEMORY).count();
            let calm = line.loss.verdict().is_none_or(|loss| loss.0 <= CALM);
            Some(Candidate {
                id: *id,
                place,
                standing: u.standing(&self.config, &self.uplinks.shared, family, now.mono),
                choice: match chosen {
                    false => Choice::None,
                    true if self.choice.manual_fresh => Choice::Fresh,
                    true => Choice::Left,
                },
                loss: Loss {
                    lately: line.loss.percent().unwrap_or_default(),
                    beside: line.sampled.and_then(|sample| sample.loss()),
                    calm: calm && !line.quality.is_degraded(),
                },
                left: u8::try_from(left).unwrap_or(u8::MAX),
                confirmed: line.is_confirmed(),
                up_since: match line.health {
                    Health::Up { since } => since,
                    Health::Failing { up_since, .. } => up_since,
                    Health::Unknown | Health::Down { .. } | Health::Recovering { .. } => now.mono,
                },
                hold: hold(self.config.failback, &u.departures, now.mono),
            })
        };
        self.uplinks.chain.iter().enumerate().filter_map(candidate).collect()
    }

    /// While the active line is suspected or dead, the others are asked at once; else no longer.
    fn call_candidates(&mut self, family: Family, call: Call, now: Now) {
        let active = self.choice.active.get(family).uplink;
        let suspected = active
            .and_then(|id| self.uplinks.get(&id))
            .is_some_and(|u| matches!(u.lines.get(family).health, Health::Failing { .. }));
        for id in self.uplinks.chain.clone() {
            if Some(id) == active {
                continue;
            }
            let paused = self.uplinks.get(&id).is_none_or(|u| u.paused.is_some());
            self.with_line(id, family, now, |line, s, asker, news| {
                if (call == Call::All || suspected) && !paused {
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
    pub(in crate::engine) fn follow_suspicion(
        &mut self,
        id: UplinkId,
        family: Family,
        change: Transition,
        now: Now,
    ) {
        let active = self.choice.active.get(family).uplink == Some(id);
        if active && matches!(change.to, Health::Failing { .. }) {
            self.call_candidates(family, Call::All, now);
            // What ails one family may ail the other; it is asked, and judged, by itself.
            for other in Family::BOTH.into_iter().filter(|other| *other != family) {
                self.with_line(id, other, now, |line, s, asker, news| {
                    line.probe_soon(now.mono);
                    line.timeout(s, asker, news);
                });
            }
        }
    }

    /// The line in use is dead, and no other is alive.
    fn say_all_down(&mut self, family: Family, stays_on: UplinkId, now: Now) {
        let is_down = |u: &Uplink| matches!(u.lines.get(family).health, Health::Down { .. });
        if !self.uplinks.get(&stays_on).is_some_and(is_down) {
            return;
        }
        self.tell_death(family, stays_on, now);
        self.choice.active.get_mut(family).all_down = true;
        if self.choice.active.get(family).told_all_down.is_some() {
            return;
        }
        let other = Family::BOTH.into_iter().find(|other| *other != family);
        let whole = Some(Scope::Whole);
        if other.is_some_and(|other| self.choice.active.get(other).told_all_down == whole) {
            // Of both it has been said that nothing works.
            self.choice.active.get_mut(family).told_all_down = whole;
            return;
        }
        // While it is open whether the other family has died, too, one sentence for both may follow.
        let scope = match other.map(|other| self.how_it_goes(other, now)) {
            Some(Footing::Firm | Footing::Open) => Scope::Family,
            Some(Footing::Silent | Footing::Gone | Footing::Failed) | None => Scope::Whole,
            Some(Footing::Proving) => return,
        };
        for family in Family::BOTH {
            let active = self.choice.active.get_mut(family);
            if active.all_down {
                active.told_all_down = Some(scope);
            }
        }
        let stays_on = Some(self.name(stays_on));
        self.record(Fact::AllUplinksDown { stays_on, family, scope }, now);
    }

    /// How it stands with a family, as far as it is known; one that is suspected may be dead.
    fn how_it_goes(&self, family: Family, now: Now) -> Footing {
        let Some(incumbent) = self.incumbent(family, now) else { return Footing::Gone };
        let u = self.uplinks.get(&incumbent.id);
        let suspected = |u: &Uplink| matches!(u.lines.get(family).health, Health::Failing { .. });
        if u.is_some_and(suspected) { Footing::Proving } else { incumbent.footing }
    }

    pub(in crate::engine) fn quality_changed(&mut self, id: UplinkId, family: Family, now: Now) {
        let Some(u) = self.uplinks.get(&id) else {
            return;
        };
        let line = u.lines.get(family);
        let degraded = line.quality.is_degraded();
        let loss = line.loss.percent().unwrap_or_default().0;
        let fact = Fact::Quality { uplink: u.config.name.clone(), degraded, loss };
        self.record(fact, now);
        if degraded && self.choice.active.get(family).uplink == Some(id) {
            self.sample(family, now);
        }
    }

    /// The active line is degraded: measure it and the spares side by side.
    fn sample(&mut self, family: Family, now: Now) {
        let active = self.choice.active.get(family).uplink;
        let degraded = active
            .and_then(|id| self.uplinks.get(&id))
            .is_some_and(|u| u.lines.get(family).quality.is_degraded());
        if !degraded {
            return;
        }
        self.choice.active.get_mut(family).sample_at = Some(now.mono + SAMPLE_AGAIN);
        for id in self.uplinks.chain.clone() {
            self.with_line(id, family, now, |line, s, asker, news| {
                if line.health.is_alive() && !line.is_sampling() {
                    line.begin_sampling(now.mono);
                    line.timeout(s, asker, news);
                }
            });
        }
    }

    /// Pauses and manual switches that were asked for a time.
    fn expire_choices(&mut self, now: Now) {
        let over = |until: &Option<Instant>| until.is_some_and(|at| at <= now.mono);
        let mut expired = Vec::new();
        if self.run.manual.take_if(|(_, until)| over(until)).is_some() {
            expired.push(Deed::ChoiceOver);
        }
        for u in self.uplinks.values_mut() {
            if u.paused.take_if(|paused| over(&paused.until)).is_some() {
                expired.push(Deed::PauseOver { uplink: u.config.name.clone() });
            }
        }
        if !expired.is_empty() {
            self.choice.undecided = true;
            self.save_run();
        }
        for deed in expired {
            self.let_go(&deed, now);
            self.record(Fact::Manual { deed }, now);
        }
    }
}
