//! The lines: what each does when its time has come, and what follows from its news.

use std::time::Duration;

use crate::engine::Engine;
use crate::engine::events::facts::Fact;
use crate::engine::health::Condition;
use crate::engine::health::line::News;
use crate::engine::health::line::{Context, Line};
use crate::engine::output::Output;
use crate::engine::probe::window::Range;
use crate::engine::probe::{Asker, Path, ProbeRequest};
use crate::engine::status::usage;
use crate::engine::uplink::{SharedContext, Uplink, context};
use crate::time::Now;
use crate::units::{Family, IfIndex, PerFamily, UplinkId};

/// A gap in the agent's own loop longer than this voids the silence that it covers.
const STALL: Duration = Duration::from_millis(500);

impl Engine {
    /// Draws the consequences of a line's news.
    pub(in crate::engine) fn line_news(
        &mut self,
        id: UplinkId,
        family: Family,
        news: News,
        now: Now,
    ) {
        let uplink = self.name(id);
        match news {
            News::Health(transition) => {
                self.choice.undecided = true;
                let condition = self.condition(id, family, now);
                let (from, to) = (transition.from, transition.to);
                self.record(Fact::Health { uplink, family, from, to, condition }, now);
                self.note_turn(id, family, transition, now);
                self.follow_suspicion(id, family, transition, now);
                self.line_died(id, family, transition, now);
            }
            News::Quality => {
                self.choice.undecided = true;
                self.quality_changed(id, family, now);
            }
            News::Premature => {
                let Some(u) = self.uplinks.get(&id) else {
                    return;
                };
                let learned = &u.lines.get(family).learned;
                let window = learned.window(Range::of(u.config.kind));
                self.record(Fact::Premature { uplink, window }, now);
            }
            News::Resolvers { silent } => {
                self.choice.undecided = true;
                let in_use = self.choice.active.get(family).uplink == Some(id);
                self.record(Fact::Resolvers { uplink, family, silent, in_use }, now);
            }
            News::Proof | News::Confirmed | News::Sampled => self.choice.undecided = true,
        }
    }

    /// The condition of a line, for people.
    pub(in crate::engine) fn condition(&self, id: UplinkId, family: Family, now: Now) -> Condition {
        let Some(u) = self.uplinks.get(&id) else {
            return Condition::Absent;
        };
        let s = u.context(&self.config, &self.uplinks.shared, family, now.mono);
        let condition = u.lines.get(family).condition(&s);
        if self.uplinks.shared.barred(id, family) {
            return condition.max(Condition::Barred);
        }
        condition
    }

    /// Brings up to date what is the same for all lines; they may want to be woken earlier now.
    pub(in crate::engine) fn refresh_shared(&mut self, now: Now) {
        let passed = |family: Family| {
            // What a line saw before it died says nothing of now.
            let page = |u: &Uplink| {
                let line = u.lines.get(family);
                line.health.is_alive()
                    && *line.proof.http() == crate::engine::health::proof::Finding::Passed
            };
            self.uplinks.values().any(page)
        };
        let alive = |u: &Uplink| u.present().any(|(_, line): (_, &Line)| line.health.is_alive());
        let shared = SharedContext {
            active: PerFamily {
                v4: self.choice.active.v4.uplink,
                v6: self.choice.active.v6.uplink,
            },
            desperate: !self.uplinks.values().any(alive),
            page_works: PerFamily { v4: passed(Family::V4), v6: passed(Family::V6) },
            offloaded: self.offloaded_uplinks(),
            barred: self.barred_uplinks(),
        };
        if shared != self.uplinks.shared {
            self.uplinks.shared = shared;
            self.refresh_deadlines(now);
        }
    }

    /// Lets a line do something, sends what it asks, and listens to its news.
    pub(in crate::engine) fn with_line<R>(
        &mut self,
        id: UplinkId,
        family: Family,
        now: Now,
        act: impl FnOnce(&mut Line, &Context<'_>, &mut Asker<'_>, &mut Vec<News>) -> R,
    ) -> Option<R> {
        let uplink = self.uplinks.all.get_mut(&id)?;
        let line = uplink.lines.get_mut(family);
        let s = context(
            id,
            (&uplink.config, &uplink.resolvers),
            &self.config,
            &self.uplinks.shared,
            family,
            now.mono,
        );
        let mut requests: Vec<ProbeRequest> = Vec::new();
        let mut news = Vec::new();
        let path = path(id, line);
        let mut asker =
            Asker { next_id: &mut self.life.next_probe, requests: &mut requests, path: &path };
        let result = act(line, &s, &mut asker, &mut news);
        *uplink.due.get_mut(family) = line.deadline(&s);
        for request in &requests {
            self.telling.timeline.spend(id, usage::price(&request.question, family));
        }
        self.outputs.extend(requests.into_iter().map(Output::Probe));
        for item in news {
            self.line_news(id, family, item, now);
        }
        Some(result)
    }

    /// Whether some line's time has come.
    pub(in crate::engine) fn is_line_due(&self, now: Now) -> bool {
        self.uplinks.values().any(|u| u.due.v4.min(u.due.v6) <= now.mono)
    }

    /// Runs every line whose time has come; returns whether there was one.
    pub(in crate::engine) fn run_lines(&mut self, now: Now) -> bool {
        if !self.is_line_due(now) {
            return false;
        }
        let due: Vec<(UplinkId, Family)> = self
            .uplinks
            .values()
            .flat_map(|u| u.due.iter().map(move |(family, at)| (u.id, family, *at)))
            .filter(|(_, _, at)| *at <= now.mono)
            .map(|(id, family, _)| (id, family))
            .collect();
        for (id, family) in due {
            self.with_line(id, family, now, Line::timeout);
        }
        true
    }

    /// Works out anew when every line wants to be woken: their surroundings have changed.
    pub(in crate::engine) fn refresh_deadlines(&mut self, now: Now) {
        let all: Vec<UplinkId> = self.uplinks.keys().copied().collect();
        for id in all {
            for family in Family::BOTH {
                self.with_line(id, family, now, |_, _, _, _| ());
            }
        }
    }

    /// Silence counts only while the agent itself is awake to hear.
    pub(in crate::engine) fn notice_stall(&mut self, now: Now) {
        let (Some(last), Some((due, _))) = (self.life.last_handled, self.poll_timeout()) else {
            return;
        };
        let gap = now.mono.since(due.max(last));
        self.telling.housekeeping.book_delay(gap, now.mono);
        if gap <= STALL {
            return;
        }
        self.telling.timeline.gap(due.max(last), gap);
        self.telling.look = true;
        self.record(Fact::Stalled { gap }, now);
        for uplink in self.uplinks.values_mut() {
            uplink.lines.v4.void(now.mono);
            uplink.lines.v6.void(now.mono);
        }
        self.refresh_deadlines(now);
    }
}

/// The device and source by which a line's probes leave.
pub(super) fn path(id: UplinkId, line: &Line) -> Path {
    let unspecified = std::net::IpAddr::from(std::net::Ipv4Addr::UNSPECIFIED);
    let (dev, index, source) = line.egress.as_ref().map_or_else(
        || (crate::units::IfName::loopback(), IfIndex(0), unspecified),
        |egress| (egress.dev.clone(), egress.index, egress.source),
    );
    Path { uplink: id, dev, index, mark: id.mark(), source }
}
