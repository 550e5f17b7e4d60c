//! What the engine makes of what it is told: links, probe ends, counters, news of lines.

use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::event::Fact;
use super::health::line::{Line, News};
use super::health::traffic::Packets;
use super::health::{Condition, Health, Signal};
use super::kernel::{KernelChange, KernelView};
use super::link::{Attachment, subnets};
use super::message::{Counters, Output, RunState, SavedState};
use super::probe::ProbeReply;
use super::uplink::{Household, Paused, Uplink};
use super::{Engine, Mode};
use crate::config::Config;
use crate::engine::probe::window::Range;
use crate::time::{Instant, Now};
use crate::units::{Family, Gather as _, IfIndex, PerFamily, UplinkId};

/// When the evidence counters are read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Polls {
    next: Instant,
    bytes_at: Instant,
    /// When flows were last counted.
    pub(super) flows_at: Option<Instant>,
    /// A question that has not been answered yet.
    asked: Option<Instant>,
}

/// While somebody is suspected, or a switch waits for its first answer.
const POLL_SUSPECTED: Duration = Duration::from_millis(50);
/// While traffic flows: the last sign of life must be known to a tenth of a second.
const POLL_BUSY: Duration = Duration::from_millis(100);
/// At rest.
const POLL_IDLE: Duration = Duration::from_secs(1);
/// Byte counts are for people.
const BYTES_EVERY: Duration = Duration::from_secs(5);
/// An answer that takes longer is not waited for.
const POLL_LOST: Duration = Duration::from_secs(2);

impl Polls {
    pub(super) fn deadline(&self, mode: Mode) -> Option<Instant> {
        let next = self.asked.map_or(self.next, |asked| asked + POLL_LOST);
        (mode == Mode::Steer).then_some(next)
    }
}

impl Engine {
    /// Numbers the configured uplinks: by name as before, new ones with the lowest free number.
    pub(super) fn enrol(&mut self, now: Now) {
        let before = self.run.clone();
        let names: Vec<&String> = self.config.uplinks.iter().map(|u| &u.name).collect();
        self.run.numbers.retain(|name, _| names.contains(&name));
        self.run.paused.retain(|name, _| names.contains(&name));
        self.run.manual.take_if(|(name, _)| !names.contains(&&*name));
        self.chain.clear();
        let mut kept = std::mem::take(&mut self.uplinks);
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
            self.chain.push(id);
            let paused = self.run.paused.get(&config.name).cloned();
            let mut uplink = kept.remove(&id).unwrap_or_else(|| Uplink::new(id, config.clone()));
            uplink.config = config;
            uplink.paused = paused.map(|(until, reason)| Paused { until, reason });
            self.uplinks.insert(id, uplink);
        }
        let gone: Vec<UplinkId> = kept.into_keys().collect();
        self.outputs.extend(gone.iter().map(|id| Output::Forget(*id)));
        for family in Family::BOTH {
            let active = self.active.get_mut(family);
            active.uplink.take_if(|id| gone.contains(id));
        }
        if self.run != before {
            self.save_run();
        }
        self.undecided = true;
        if self.started.is_some() {
            self.relink(now);
        } else {
            self.learn_resolvers();
        }
    }

    /// Takes up what an earlier run learned.
    pub(super) fn restore(&mut self, saved: &SavedState, now: Now) {
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
                .map(|seconds| Duration::from_secs(*seconds) + away)
                .filter(|ago| *ago < super::uplink::DEPARTURES_KEPT)
                .map(|ago| now.mono - ago)
                .collect();
        }
    }

    /// Keeps what was learned.
    pub(super) fn save(&mut self, now: Now) {
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
            switches: self.switch_count,
            saved_at: now.utc,
        };
        self.outputs.push_back(Output::SaveState(Box::new(state)));
    }

    pub(super) fn save_run(&mut self) {
        let run: RunState = self.run.clone();
        self.outputs.push_back(Output::SaveRun(Box::new(run)));
    }

    /// The lines have been watched for a while: their windows move.
    pub(super) fn learn(&mut self, now: Now) {
        let time = now.mono.since(self.housekeeping.learned_until);
        self.housekeeping.learned_until = now.mono;
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

    pub(super) fn start(
        &mut self,
        view: KernelView,
        adopted: PerFamily<Option<IfIndex>>,
        now: Now,
    ) {
        self.started = Some(now.mono);
        let chain = self.chain.iter().map(|id| self.name(*id)).collect();
        self.record(Fact::Started { chain }, now);
        self.view = view;
        self.relink(now);
        for family in Family::BOTH {
            self.first_choice(family, *adopted.get(family), now);
        }
    }

    pub(super) fn view_changed(&mut self, view: KernelView, now: Now) {
        self.view = view;
        self.kernel.look_again();
        self.relink(now);
    }

    pub(super) fn kernel_changed(&mut self, changes: &[KernelChange], now: Now) {
        let mut foreign = false;
        for change in changes {
            match change {
                KernelChange::Ours(_) => self.kernel.look_again(),
                KernelChange::LinkGone(_) => {
                    // Its IPv4 routes went without a word, and its sysctls with it; the next device
                    // may look the same.
                    self.kernel.look_again();
                    foreign = true;
                    self.view.apply(change);
                }
                KernelChange::Link(_)
                | KernelChange::Address(_)
                | KernelChange::AddressGone(_)
                | KernelChange::Route(_)
                | KernelChange::RouteGone(_) => {
                    foreign = true;
                    self.view.apply(change);
                }
            }
        }
        if foreign {
            self.relink(now);
        }
    }

    /// Compares what each uplink has now with what it had.
    fn relink(&mut self, now: Now) {
        let interfaces = self.config.lan.as_ref().map_or(&[][..], |lan| &lan.interfaces);
        let lan: Vec<IpNet> = subnets(interfaces, &self.view).into_keys().collect();
        for id in self.chain.clone() {
            let Some(uplink) = self.uplinks.get_mut(&id) else {
                continue;
            };
            let attachment = Attachment::of(&uplink.config, &self.view, &lan);
            if attachment == uplink.attachment && uplink.lines.v4.health != Health::Unknown {
                continue;
            }
            let before = std::mem::replace(&mut uplink.attachment, attachment.clone());
            let overlap = attachment.overlap().filter(|_| before.overlap().is_none());
            // Sockets are bound to a name, but a device by another name is still the same line.
            if before.link != attachment.link && before.link.is_some() {
                self.outputs.push_back(Output::Forget(id));
            }
            let device = |a: &Attachment| a.link.as_ref().map(|(index, _)| *index);
            let moved = device(&before) != device(&attachment);
            for family in Family::BOTH {
                self.relink_line(id, family, &attachment, moved, now);
            }
            if let Some(subnet) = overlap {
                let uplink = self.name(id);
                self.record(Fact::OverlapsLan { uplink, subnet }, now);
            }
            self.undecided = true;
        }
        let before = self.prefixes.clone();
        self.prefixes.learn(&self.chain, self.uplinks.values(), &self.view);
        // Routes that are no way out may still say whose a prefix is.
        self.undecided |= self.prefixes != before;
        self.learn_resolvers();
        self.follow_lan();
    }

    fn relink_line(
        &mut self,
        id: UplinkId,
        family: Family,
        attachment: &Attachment,
        moved: bool,
        now: Now,
    ) {
        let way = attachment.ways.get(family).clone();
        let fault = self.uplinks.get(&id).map_or(Condition::Absent, |u| u.fault(family));
        let forget = self.with_line(id, family, now, |line, s, _, news| {
            match (line.way.clone(), way) {
                (None, None) => {
                    // A family that was never here is missing, not broken.
                    if attachment.fault.is_some() || line.health != Health::Unknown {
                        line.signal(Signal::Hard(fault), s, news);
                    }
                    false
                }
                (Some(_), None) => {
                    line.relink(None, now.mono);
                    line.signal(Signal::Hard(fault), s, news);
                    true
                }
                (old, Some(new)) if moved || old.is_none() => {
                    line.relink(Some(new), now.mono);
                    // Another interface is another line: it has to be proven anew.
                    if line.health.is_alive() {
                        line.signal(Signal::Hard(Condition::Absent), s, news);
                    }
                    line.signal(Signal::Linked, s, news);
                    false
                }
                (Some(old), Some(new)) => {
                    let other_address = old.source != new.source;
                    let other_gateway = old.gateway != new.gateway;
                    line.way = Some(new);
                    if other_address || other_gateway {
                        line.signal(Signal::Suspected, s, news);
                    }
                    other_address
                }
                (None, Some(_)) => false,
            }
        });
        if forget == Some(true) {
            self.outputs.push_back(Output::Forget(id));
        }
    }

    pub(super) fn probe_ended(&mut self, reply: &ProbeReply, now: Now) {
        // A probe belongs to one family; the other does not know its number.
        for family in Family::BOTH {
            self.with_line(reply.uplink, family, now, |line, s, asker, news| {
                line.reply(reply.id, &reply.outcome, s, asker, news);
            });
        }
        self.feel_first_answer(now);
    }

    pub(super) fn counters_read(&mut self, counters: &Counters, now: Now) {
        self.polls.asked = None;
        for uplink in self.uplinks.values_mut() {
            let index = uplink.attachment.link.as_ref().map(|(index, _)| *index);
            if let Some(bytes) = index.and_then(|index| counters.bytes.get(&index)) {
                uplink.bytes = Some(*bytes);
            }
        }
        if counters.absent {
            return;
        }
        self.stray_packets(counters.strays, now);
        for id in self.chain.clone() {
            for family in Family::BOTH {
                let seen = Packets {
                    inward: counters.inward.get(&id).map_or(0, |c| *c.get(family)),
                    outward: counters.outward.get(&id).map_or(0, |c| *c.get(family)),
                };
                let line = self.uplinks.get_mut(&id).map(|u| u.lines.get_mut(family));
                let quiet =
                    |line: &mut Line| line.way.is_none() || line.traffic.is_quiet(seen, now.mono);
                if line.is_none_or(quiet) {
                    continue;
                }
                self.with_line(id, family, now, |line, s, _, news| {
                    line.counters(seen, s, news);
                });
            }
        }
        self.feel_first_answer(now);
    }

    /// Asks for the counters when it is time.
    pub(super) fn poll_counters(&mut self, now: Now) {
        if self.mode == Mode::Observe || self.started.is_none() {
            return;
        }
        let pause = self.poll_interval(now);
        let next = now.mono + pause;
        // At rest they are read when the probes are sent.
        let next = if pause < POLL_IDLE { next } else { next.on_the_beat(POLL_IDLE) };
        self.polls.next = self.polls.next.min(next);
        let lost = self.polls.asked.is_some_and(|asked| now.mono.since(asked) >= POLL_LOST);
        if (self.polls.asked.is_some() && !lost) || self.polls.next > now.mono {
            return;
        }
        let bytes = self.polls.bytes_at <= now.mono;
        if bytes {
            self.polls.bytes_at = now.mono + BYTES_EVERY;
        }
        self.polls.asked = Some(now.mono);
        self.polls.next = next;
        self.outputs.push_back(Output::ReadCounters { bytes });
    }

    fn poll_interval(&self, now: Now) -> Duration {
        let felt =
            self.switches.iter().any(|(_, s)| s.as_ref().is_some_and(|s| s.is_felt(now.mono)));
        let mut interval = if felt { POLL_SUSPECTED } else { POLL_IDLE };
        for (family, id) in self.household.active.iter() {
            let line = id.and_then(|id| self.uplinks.get(&id)).map(|u| u.lines.get(family));
            let Some(line) = line else { continue };
            if matches!(line.health, Health::Failing { .. }) {
                interval = interval.min(POLL_SUSPECTED);
            } else if line.health.is_alive() && line.traffic.is_busy(now.mono) {
                interval = interval.min(POLL_BUSY);
            }
        }
        interval
    }

    /// Draws the consequences of a line's news.
    pub(super) fn line_news(&mut self, id: UplinkId, family: Family, news: News, now: Now) {
        let uplink = self.name(id);
        match news {
            News::Health(transition) => {
                self.undecided = true;
                let condition = self.condition(id, family, now);
                let (from, to) = (transition.from.word().into(), transition.to.word().into());
                self.record(Fact::Health { uplink, family, from, to, condition }, now);
                self.follow_suspicion(id, family, transition, now);
                self.line_died(id, family, transition, now);
            }
            News::Quality => {
                self.undecided = true;
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
                self.undecided = true;
                let in_use = self.active.get(family).uplink == Some(id);
                self.record(Fact::Resolvers { uplink, family, silent, in_use }, now);
            }
            News::Proof | News::Confirmed | News::Sampled => self.undecided = true,
        }
    }

    /// The condition of a line, for people.
    pub(super) fn condition(&self, id: UplinkId, family: Family, now: Now) -> Condition {
        let Some(u) = self.uplinks.get(&id) else {
            return Condition::Absent;
        };
        let s = u.surroundings(&self.config, &self.household, family, now.mono);
        u.lines.get(family).condition(&s)
    }

    /// Brings up to date what is the same for all lines; they may want to be woken earlier now.
    pub(super) fn refresh_household(&mut self, now: Now) {
        let passed = |family: Family| {
            // What a line saw before it died says nothing of now.
            let page = |u: &Uplink| {
                let line = u.lines.get(family);
                line.health.is_alive()
                    && *line.proof.http() == super::health::proof::Finding::Passed
            };
            self.uplinks.values().any(page)
        };
        let alive = |u: &Uplink| u.present().any(|(_, line): (_, &Line)| line.health.is_alive());
        let household = Household {
            active: PerFamily { v4: self.active.v4.uplink, v6: self.active.v6.uplink },
            desperate: !self.uplinks.values().any(alive),
            page_works: PerFamily { v4: passed(Family::V4), v6: passed(Family::V6) },
            offloaded: self.offloaded_uplinks(),
        };
        if household != self.household {
            self.household = household;
            self.refresh_deadlines(now);
        }
    }

    /// Takes a new configuration without touching flows.
    pub(super) fn reload(&mut self, config: Config, now: Now) {
        self.config = config;
        self.enrol(now);
        self.refresh_household(now);
        self.refresh_deadlines(now);
        for family in Family::BOTH {
            if self.active.get(family).uplink.is_none() {
                self.first_choice(family, None, now);
            }
        }
        self.record(Fact::Reloaded, now);
    }
}
