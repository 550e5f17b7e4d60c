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
        let before = self.run.clone();
        let names: Vec<&String> = self.config.uplinks.iter().map(|u| &u.name).collect();
        self.run.numbers.retain(|name, _| names.contains(&name));
        self.run.paused.retain(|name, _| names.contains(&name));
        self.run.manual.take_if(|(name, _)| !names.contains(&&*name));
        self.uplinks.chain.clear();
        let mut kept = std::mem::take(&mut self.uplinks.all);
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
            let paused = self.run.paused.get(&config.name).cloned();
            let mut uplink = kept.remove(&id).unwrap_or_else(|| Uplink::new(id, config.clone()));
            uplink.config = config;
            uplink.paused = paused.map(|(until, reason)| Paused { until, reason });
            self.uplinks.insert(id, uplink);
        }
        let gone: Vec<UplinkId> = kept.into_keys().collect();
        self.outputs.extend(gone.iter().map(|id| Output::Forget(*id)));
        for family in Family::BOTH {
            let active = self.choice.active.get_mut(family);
            active.uplink.take_if(|id| gone.contains(id));
        }
        if self.run != before {
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

    /// Takes a new configuration without touching flows.
    pub(in crate::engine) fn reload(&mut self, config: Config, now: Now) {
        self.config = config;
        self.enrol(now);
        self.refresh_household(now);
        self.refresh_deadlines(now);
        for family in Family::BOTH {
            if self.choice.active.get(family).uplink.is_none() {
                self.first_choice(family, None, now);
            }
        }
        self.record(Fact::Reloaded, now);
    }
}
