//! The sign of life is given when it is due; it says how things are at that moment.

use super::judge::path;
use crate::engine::notify::heartbeat::{Heartbeat, Works, pause};
use crate::engine::output::Output;
use crate::engine::{Engine, Mode};
use crate::time::{Instant, Now};
use crate::units::Family;

impl Engine {
    pub(in crate::engine) fn give_signs(&mut self, now: Now) {
        let Some(config) = &self.config.heartbeat else { return };
        let (every, each) = (config.every, config.each_uplink);
        let works = if self.proven(now).is_some() { Works::Yes } else { Works::NotYet };
        if self.life.mode != Mode::Steer || !self.telling.heartbeats.take(every, works, now.mono) {
            return;
        }
        let mut signs = vec![Heartbeat { uplink: None }];
        for uplink in self.uplinks.values().filter(|_| each) {
            let costs = uplink.config.metered.then(|| pause(every));
            let lines = Family::BOTH.map(|family| uplink.lines.get(family));
            let there = lines.into_iter().filter(|line| line.egress.is_some());
            let paths: Vec<_> = there.map(|line| path(uplink.id, line)).collect();
            let is_there = !paths.is_empty();
            if is_there && self.telling.heartbeats.take_of(uplink.id, costs, now.mono) {
                let uplink = Some((uplink.config.name.clone(), paths));
                signs.push(Heartbeat { uplink });
            }
        }
        self.outputs.push_back(Output::Heartbeat(signs));
    }

    /// When the next sign is due.
    pub(in crate::engine) fn heartbeat_due(&self) -> Option<Instant> {
        self.config.heartbeat.as_ref().and(self.telling.heartbeats.deadline())
    }
}
