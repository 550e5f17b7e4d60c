//! The configuration, at the start and when it is read again.

use std::time::Duration;

use crate::config::Config;
use crate::engine::Engine;
use crate::engine::events::facts::Fact;
use crate::engine::output::Output;
use crate::engine::state::SavedState;
use crate::engine::uplink::{Paused, Uplink};
use crate::time::Now;
use crate::units::{Family, UplinkId};

impl Engine {
    /// Numbers the configured uplinks: by name as before, new ones with the lowest free number.
    pub(in crate::engine) fn enrol(&mut self, now: Now) {
        let before = self.run_state();
        let names: Vec<&String> = self.config.uplinks.iter().map(|u| &u.name).collect();
        self.run.numbers.retain(|name, _| names.contains(&name));
        self.run.manual.take_if(|(name, _)| !names.contains(&&*name));
        self.uplinks.chain.clear();
        let mut kept = std::mem::take(&mut self.uplinks.all);
        let mut restored = std::mem::take(&mut self.run.paused);
        for config in self.config.uplinks.clone() {
            let free = || {
                (1..=UplinkId::MAX)
                    .filter_map(UplinkId::new)
                    .find(|id| !self.run.numbers.values().any(|taken| taken == id))
            };
            let known = self.run.numbers.get(&config.name).copied();
            let Some(id) = known.or_else(free) else {
                continue;
            };
            self.run.numbers.insert(config.name.clone(), id);
            self.uplinks.chain.push(id);
            let mut uplink = kept.remove(&id).unwrap_or_else(|| Uplink::new(id, config.clone()));
            // Another uplink by a number that has become free is not the one that was paused.
            uplink.paused.take_if(|_| uplink.config.name != config.name);
            if let Some((until, reason)) = restored.remove(&config.name) {
                uplink.paused = Some(Paused { until, reason });
            }
            uplink.config = config;
            self.uplinks.insert(id, uplink);
        }
        let gone: Vec<UplinkId> = kept.into_keys().collect();
        self.outputs.extend(gone.iter().map(|id| Output::Forget(*id)));
        for family in Family::BOTH {
            let active = self.choice.active.get_mut(family);
            active.uplink.take_if(|id| gone.contains(id));
        }
        if self.run_state() != before {
            self.save_run();
        }
        self.choice.undecided = true;
        if self.life.started.is_some() {
            self.relink(now);
        } else {
            self.learn_resolvers();
        }
    }

    /// Takes up what an earlier run learned.
    pub(in crate::engine) fn restore(&mut self, saved: &SavedState, now: Now) {
        let away = match (saved.saved_at, now.utc) {
            (Some(then), Some(utc)) => Duration::from_millis(utc.0.saturating_sub(then.0)),
            _ => Duration::ZERO,
        };
        self.telling.said.clone_from(&saved.said);
        self.forget_notes();
        for uplink in self.uplinks.values_mut() {
            let name = &uplink.config.name;
            if let Some(learned) = saved.lines.get(name) {
                uplink.lines.v4.learned = learned.v4.clone();
                uplink.lines.v6.learned = learned.v6.clone();
            }
            let ago = saved.departures.get(name).into_iter().flatten();
            uplink.departures = ago
                .map(|seconds| Duration::from_secs(*seconds).saturating_add(away))
                .filter(|ago| *ago < crate::engine::uplink::DEPARTURES_KEPT)
                .map(|ago| now.mono - ago)
                .collect();
        }
    }

    /// Forgets notes on uplinks that are no more.
    fn forget_notes(&mut self) {
        let uplinks = &self.config.uplinks;
        self.telling.said.retain(|name, _| uplinks.iter().any(|uplink| uplink.name == *name));
    }

    /// Takes a new configuration without touching flows.
    pub(in crate::engine) fn reload(&mut self, config: Config, now: Now) {
        if self.config.heartbeat != config.heartbeat {
            self.telling.heartbeats.reset();
        }
        let changes = config.changes_from(&self.config);
        self.names.followers.configure(&self.config.ddns, &config.ddns);
        self.config = config;
        self.enrol(now);
        self.forget_notes();
        self.refresh_shared(now);
        self.refresh_deadlines(now);
        for family in Family::BOTH {
            if self.choice.active.get(family).uplink.is_none() {
                self.first_choice(family, None, now);
            }
        }
        self.record(Fact::Reloaded { changes }, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Mode;
    use crate::engine::input::{Command, Input};
    use crate::engine::state::{Restored, RunState};
    use crate::time::Instant;

    const NOW: Now = Now { mono: Instant::from_micros(1_000_000), utc: None };

    fn config(names: [&str; 2]) -> Config {
        let uplink =
            |name: &str| format!("[[uplink]]\nname = \"{name}\"\ninterface = \"if-{name}\"\n");
        crate::config::parse(&names.map(uplink).concat(), "test").unwrap()
    }

    fn engine(run: RunState) -> Engine {
        let restored = Restored { run, ..Restored::default() };
        Engine::new(config(["cable", "mifi"]), Mode::Steer, restored, 0, NOW)
    }

    /// What was last to be kept in the run directory.
    fn kept(engine: &mut Engine) -> Option<RunState> {
        let outputs = std::iter::from_fn(|| engine.poll_output());
        let runs = outputs.filter_map(|output| {
            let Output::SaveRun(run) = output else { return None };
            Some(*run)
        });
        runs.last()
    }

    #[test]
    fn who_is_paused_outlives_a_restart_but_not_the_name() {
        let mut first = engine(RunState::default());
        let reason = Some("antenna".to_owned());
        let pause = Command::Pause { uplink: "mifi".to_owned(), lasts: None, reason };
        first.handle(Input::Command(1, pause), NOW);
        let run = kept(&mut first).unwrap();
        assert!(run.paused.contains_key("mifi"), "{run:?}");
        let mut second = engine(run.clone());
        assert_eq!(kept(&mut second), None, "nothing is new");
        let paused =
            |engine: &Engine| engine.uplinks.values().filter(|u| u.paused.is_some()).count();
        assert_eq!((paused(&second), second.run_state()), (1, run));
        second.handle(Input::Reload(Box::new(config(["mifi", "cable"]))), NOW);
        assert_eq!(paused(&second), 1, "another order, the same uplinks");
        second.handle(Input::Reload(Box::new(config(["cable", "dsl"]))), NOW);
        assert_eq!(paused(&second), 0, "a new uplink by the old one's number");
        assert_eq!(kept(&mut second).unwrap().paused.len(), 0);
    }
}
