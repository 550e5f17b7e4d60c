//! What is done by the hour and by the day, and the news about spares.

use crate::engine::Engine;
use crate::engine::events::facts::Fact;
use crate::engine::output::Output;
use crate::engine::probe::window::Range;
use crate::engine::state::{RunState, SavedState};
use crate::engine::status::housekeeping::{LEARN_EVERY, SAVE_EVERY, SETTLE_FOR, SPARELESS_FOR};
use crate::engine::uplink::Uplink;
use crate::time::Now;
use crate::units::{Family, Gather as _, PerFamily};

impl Engine {
    /// What is done by the hour and by the day, and the news about spares.
    pub(in crate::engine) fn keep_house(&mut self, now: Now) {
        if self.telling.housekeeping.learn_at <= now.mono {
            self.telling.housekeeping.learn_at = now.mono + LEARN_EVERY;
            self.learn(now);
        }
        if self.telling.housekeeping.save_at <= now.mono {
            self.telling.housekeeping.save_at = now.mono + SAVE_EVERY;
            self.save(now);
        }
        self.watch_spares(now);
    }

    /// Losing the last spare is news even while everything works.
    fn watch_spares(&mut self, now: Now) {
        let Some(started) = self.life.started else { return };
        let settled = now.mono.since(started) >= SETTLE_FOR;
        let house = &mut self.telling.housekeeping;
        let due = house.spareless_at().is_some_and(|at| at <= now.mono);
        let settles = std::mem::replace(&mut house.settled, settled) != settled;
        if !self.telling.look && !due && !settles {
            return;
        }
        let works = Family::BOTH.iter().any(|family| self.carrying(*family, now).is_some());
        if self.uplinks.chain.len() < 2 || !settled || !works {
            // There is worse news than a missing spare now; what was not said yet is not due.
            self.telling.housekeeping.spareless.take_if(|(_, said)| !*said);
            return;
        }
        let spare = self.ready_spares(now).next().map(|u| u.config.name.clone());
        match (spare, self.telling.housekeeping.spareless) {
            (None, None) => self.telling.housekeeping.spareless = Some((now.mono, false)),
            (None, Some((since, false))) if now.mono.since(since) >= SPARELESS_FOR => {
                self.telling.housekeeping.spareless = Some((since, true));
                let others = self.others(now);
                self.record(Fact::NoSpareLeft { others }, now);
            }
            (Some(uplink), Some((_, said))) => {
                self.telling.housekeeping.spareless = None;
                if said {
                    self.record(Fact::SpareBack { uplink }, now);
                }
            }
            (None, Some(_)) | (Some(_), None) => {}
        }
    }

    /// Keeps what was learned.
    pub(in crate::engine) fn save(&mut self, now: Now) {
        let of = |u: &Uplink| {
            let learned =
                PerFamily { v4: u.lines.v4.learned.clone(), v6: u.lines.v6.learned.clone() };
            (u.config.name.clone(), learned)
        };
        let departures = |u: &Uplink| {
            let ago = u.departures.iter().map(|left| now.mono.since(*left).as_secs()).collect();
            (u.config.name.clone(), ago)
        };
        let state = SavedState {
            lines: self.uplinks.values().map(of).gather(),
            departures: self.uplinks.values().map(departures).gather(),
            switches: self.choice.switch_count,
            said: self.telling.said.clone(),
            names: self.names.followers.keep(&self.config.ddns),
            saved_at: now.utc,
        };
        self.outputs.push_back(Output::SaveState(Box::new(state)));
    }

    pub(in crate::engine) fn save_run(&mut self) {
        self.outputs.push_back(Output::SaveRun(Box::new(self.run_state())));
    }

    /// What outlives a restart, as it is now. Who is paused the uplinks know; what an earlier run left of it is
    /// theirs as soon as there are any.
    pub(in crate::engine) fn run_state(&self) -> RunState {
        let paused = self.uplinks.values().filter_map(|u| {
            let paused = u.paused.as_ref()?;
            Some((u.config.name.clone(), (paused.until, paused.reason.clone())))
        });
        let mut run = self.run.clone();
        run.paused.extend(paused);
        run
    }

    /// The lines have been watched for a while: their windows move.
    pub(in crate::engine) fn learn(&mut self, now: Now) {
        let time = now.mono.since(self.telling.housekeeping.learned_until);
        self.telling.housekeeping.learned_until = now.mono;
        for uplink in self.uplinks.values_mut() {
            let range = Range::of(uplink.config.kind);
            for family in Family::BOTH {
                let line = uplink.lines.get_mut(family);
                if line.health.is_alive() {
                    line.learned.watched(time, range);
                }
            }
        }
    }

    pub(in crate::engine) fn stop(&mut self, now: Now) {
        self.learn(now);
        self.save(now);
        self.record(Fact::Stopped, now);
        self.kernel.ending = true;
        self.kernel.replan();
        self.leave_leds();
    }
}
