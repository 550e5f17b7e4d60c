//! Decides. Pure: no clock, socket, file, log, thread, async or randomness.
//!
//! [`Engine::handle`] takes one input and the time, [`Engine::poll_output`] hands out what is to be
//! done, [`Engine::poll_timeout`] says when to come back. Everything else is private to the house:
//!
//! ```text
//! observe   link, kernel     what netlink said, and what each uplink has of it
//! judge     health, probe    each line by itself: probes, evidence, verdict
//! select    policy           one uplink per family, with a reason for each
//! plan      dataplane        the desired state as one value
//! move      switching        what people feel of it
//!           leftover         the flows that the old uplink still has
//! tell      event, snapshot  one fact, many readers
//! ```

use std::borrow::Cow;
use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::time::{Instant, Now};
use crate::units::{Fwmark, IfIndex, UplinkId};

pub mod dataplane;
pub mod doctor;
pub mod events;
mod flows;
pub mod health;
pub mod input;
pub mod kernel;
pub mod lan;
pub mod names;
pub mod notify;
pub mod output;
pub mod policy;
pub mod probe;
pub mod report;
pub mod state;
pub mod status;
mod step;
pub mod uplink;

use dataplane::Dataplane;
use events::facts::{Event, Fact};
use input::Input;
use kernel::Seen;
use kernel::view::KernelView;
use lan::Lan;
use names::Names;
use output::Output;
use policy::choice::Choice;
use state::{Restored, RunState};
use status::Telling;
use uplink::Uplinks;

/// Whether the agent may write to the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    #[default]
    Steer,
    /// It only looks, and tells what it would do.
    Observe,
}

impl Mode {
    /// What leaves the engine. The engine decides the same in either mode; an observer changes nothing on the
    /// box and asks nothing of what it would have put there.
    fn lets_out(self, output: Output) -> Option<Output> {
        match (self, output) {
            (Self::Steer, output) => Some(output),
            // There are no rules that a mark could match.
            (Self::Observe, Output::Probe(mut request)) => {
                request.path.mark = Fwmark { value: 0, mask: 0 };
                Some(Output::Probe(request))
            }
            (
                Self::Observe,
                output @ (Output::Forget(_)
                | Output::Listen(_)
                | Output::Record(_)
                | Output::SaveState(_)
                | Output::SaveRun(_)
                | Output::Answer(..)),
            ) => Some(output),
            (
                Self::Observe,
                Output::ReadCounters { .. }
                | Output::Converge { .. }
                | Output::Refuse(_)
                | Output::FlushUnNated
                | Output::Flush(_)
                | Output::CountFlows(_)
                | Output::LookAtFirewalls(_)
                | Output::Resolvers(_)
                | Output::Advertise(_)
                | Output::Notify(..)
                | Output::Heartbeat(_)
                | Output::Name(_)
                | Output::Outside(_)
                | Output::Leds(_),
            ) => None,
        }
    }
}

/// Decides. See the module's words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Engine {
    config: Config,
    run: RunState,
    uplinks: Uplinks,
    choice: Choice,
    kernel: dataplane::settling::Converging,
    seen: Seen,
    un_nated: flows::un_nated::UnNatedFlows,
    lan: Lan,
    names: Names,
    telling: Telling,
    life: Life,
    #[serde(skip)]
    outputs: VecDeque<Output>,
}

/// How the engine runs, and since when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Life {
    mode: Mode,
    started: Option<Instant>,
    last_handled: Option<Instant>,
    /// When the next thing was due after that, and what.
    #[serde(default)]
    next: Option<(Instant, Cow<'static, str>)>,
    /// The number of the next probe.
    next_probe: u64,
}

/// Lines and decisions settle in so many rounds.
const ROUNDS: usize = 4;

/// The first of several deadlines, and what for.
#[derive(Clone, Copy, Debug, Default)]
struct Next(Option<(Instant, &'static str)>);

impl Next {
    fn wants(&mut self, at: Option<Instant>, why: &'static str) {
        if let Some(at) = at
            && self.0.is_none_or(|(first, _)| at < first)
        {
            self.0 = Some((at, why));
        }
    }
}

impl Engine {
    /// What netlink said of the box.
    #[must_use]
    pub const fn view(&self) -> &KernelView {
        &self.seen.view
    }

    /// An engine for this configuration. The seed varies probe numbers from run to run.
    #[must_use]
    pub fn new(config: Config, mode: Mode, restored: Restored, seed: u64, now: Now) -> Self {
        let restored = restored.bounded(now);
        let mut this = Self {
            config,
            run: restored.run,
            uplinks: Uplinks::default(),
            choice: Choice { switch_count: restored.saved.switches, ..Choice::default() },
            kernel: dataplane::settling::Converging::default(),
            seen: Seen::default(),
            un_nated: flows::un_nated::UnNatedFlows::default(),
            lan: Lan::default(),
            names: Names {
                followers: names::ddns::all::Followers::restored(&restored.saved.names, now),
                ..Names::default()
            },
            telling: Telling::new(restored.events, restored.known, now.mono),
            life: Life {
                mode,
                started: None,
                last_handled: None,
                next: None,
                next_probe: seed & 0xffff_ffff,
            },
            outputs: VecDeque::new(),
        };
        this.enrol(now);
        this.restore(&restored.saved, now);
        this
    }

    pub fn handle(&mut self, input: Input, now: Now) {
        self.notice_stall(now);
        match input {
            Input::Timeout => {}
            Input::Started { view, adopted, spares } => {
                self.start(view, adopted, now);
                self.keep_spares(&spares);
                self.resume_drains(now);
            }
            Input::Kernel(changes) => self.kernel_changed(&changes, now),
            Input::View(view) => self.view_changed(view, now),
            Input::Probe(reply) => self.probe_ended(&reply, now),
            Input::Counters(counters) => self.counters_read(&counters, now),
            Input::Applied(report) => self.applied(&report, now),
            Input::Flushed(report) => self.flushed(report, now),
            Input::Flows(flows) => self.flows_counted(&flows, now),
            Input::Firewalls(closed) => self.firewalls_seen(&closed, now),
            Input::Resolvers(named) => self.resolvers_named(named),
            Input::Networks(networks) => self.networks_named(networks, now),
            Input::NetifdIsSilent => self.seen.view.netifd_is_silent = true,
            Input::Name(reply) => self.name_asked(&reply, now),
            Input::Outside(reply) => self.seen_outside(&reply, now),
            Input::Watched => self.watched(now),
            Input::Command(number, command) => self.command(number, command, now),
            Input::Did(deed) => self.record(Fact::Manual { deed }, now),
            Input::Reload(config) => self.reload(*config, now),
            Input::Stop => self.stop(now),
        }
        // A decision may give a line another duty, for which something is due at once.
        for _ in 0..ROUNDS {
            let ran = self.run_lines(now);
            let decided = self.decide(now);
            if !(ran || decided) || !self.is_line_due(now) {
                break;
            }
        }
        self.watch_service(now);
        self.tell_claims(now);
        self.run_leftovers(now);
        self.converge(now);
        self.flush_leftovers(now);
        self.announce(now);
        self.poll_counters(now);
        self.look_at_firewalls(now);
        self.follow_stories(now);
        self.keep_house(now);
        self.notify(now);
        self.give_signs(now);
        self.follow_names(now);
        self.watch_time(now);
        self.light(now);
        self.answers_last();
        self.life.last_handled = Some(now.mono);
        self.life.next = self.work_out_next().map(|(at, why)| (at, Cow::Borrowed(why)));
    }

    /// The next thing to do, in order; `None`: wait.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        while let Some(output) = self.outputs.pop_front() {
            if let Some(output) = self.life.mode.lets_out(output) {
                return Some(output);
            }
        }
        None
    }

    /// When to come back with [`Input::Timeout`], and why.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, &str)> {
        self.life.next.as_ref().map(|(at, why)| (*at, why.as_ref()))
    }

    /// Looks through everything that has a deadline of its own. Nothing changes but by an input, so once
    /// for each is enough.
    fn work_out_next(&self) -> Option<(Instant, &'static str)> {
        self.life.started?;
        let mut next = Next::default();
        for uplink in self.uplinks.values() {
            next.wants(Some(uplink.due.v4.min(uplink.due.v6)), "a line");
            for leftover in [&uplink.leftover.v4, &uplink.leftover.v6].into_iter().flatten() {
                next.wants(leftover.deadline(), "old flows");
            }
            next.wants(uplink.paused.as_ref().and_then(|paused| paused.until), "a pause");
        }
        for active in [&self.choice.active.v4, &self.choice.active.v6] {
            next.wants(active.waiting().map(|(at, _)| at), "the hold");
            next.wants(active.provisional_until, "the first choice");
            next.wants(active.proving_until, "the first choice");
            next.wants(active.sample_at, "a comparison");
        }
        next.wants(self.run.armed, "the resets");
        next.wants(self.run.manual.as_ref().and_then(|(_, until)| *until), "a switch by hand");
        next.wants(self.lan.announcing.deadline(), "a word to the LAN");
        next.wants(Some(self.telling.housekeeping.deadline()), "the house");
        next.wants(self.telling.leds.deadline(), "the LEDs");
        next.wants(self.telling.stories.deadline(), "the end of a story");
        next.wants(self.telling.teller.deadline(), "a message");
        next.wants(self.seen.claims.deadline(), "the end of a claim");
        next.wants(self.heartbeat_due(), "a sign of life");
        next.wants(self.names_due(), "a name");
        // What an observer asks of the kernel is never answered, so it need not be asked in time.
        if self.life.mode == Mode::Steer {
            next.wants(self.kernel.deadline(), "the dataplane");
            next.wants(Some(self.seen.polls.deadline()), "the counters");
            next.wants(self.firewalls_due(), "others' firewalls");
        }
        next.0
    }

    /// Since when the kernel has been on its way to what was last asked for; `None`: it has followed, or nothing
    /// is asked of it.
    #[must_use]
    pub fn converging_since(&self) -> Option<Instant> {
        self.kernel.asked.filter(|_| self.life.mode == Mode::Steer)
    }

    /// The configuration in force.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The dataplane that is wanted now.
    #[must_use]
    pub const fn desired(&self) -> &Dataplane {
        self.kernel.desired()
    }

    /// The interfaces of all uplinks, as they are now.
    fn interfaces(&self) -> Vec<IfIndex> {
        let links = self.uplinks.values().filter_map(|u| u.attachment.link.as_ref());
        links.map(|(index, _)| *index).collect()
    }

    /// Names the uplink with that number.
    #[must_use]
    pub fn name(&self, id: UplinkId) -> String {
        self.uplinks.get(&id).map_or_else(|| id.to_string(), |u| u.config.name.clone())
    }

    /// Books and passes on what happened.
    fn record(&mut self, fact: Fact, now: Now) {
        self.telling.events += 1;
        let event = Event { id: self.telling.events, at: now.mono, utc: now.utc, fact };
        self.telling.teller.heard(&event);
        self.outputs.push_back(Output::Record(event));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::kernel::view::{Address, ForeignRoute, KernelView, Link, RouteKind};
    use crate::units::{Metric, PerFamily, TableId};

    /// Half a minute with an uplink that answers nothing, and somebody who looks.
    fn asked_for(mode: Mode) -> Vec<Output> {
        let text = "[[uplink]]\nname = \"cable\"\ninterface = \"wan0\"\n[lan]\ninterfaces = [\"br-lan\"]\n\
                    ";
        let config = crate::config::parse(text, "test").unwrap();
        let at = |ms: u64| Now { mono: Instant::from_micros(ms * 1000), utc: None };
        let mut engine = Engine::new(config, mode, Restored::default(), 0, at(0));
        let cable = Link::wired(IfIndex(2), "wan0");
        let address = Address {
            index: IfIndex(2),
            net: "192.0.2.10/24".parse().unwrap(),
            peer: None,
            global: true,
            deprecated: false,
        };
        let route = ForeignRoute {
            table: TableId::MAIN,
            dst: "0.0.0.0/0".parse().unwrap(),
            src: None,
            gateway: Some("192.0.2.1".parse().unwrap()),
            dev: IfIndex(2),
            metric: Metric(100),
            protocol: 16,
            onlink: false,
            mtu: None,
            prefsrc: None,
            kind: RouteKind::Unicast,
        };
        let view = KernelView {
            links: [(IfIndex(2), cable)].into(),
            addresses: vec![address],
            routes: vec![route],
            ..KernelView::default()
        };
        let (adopted, spares) = (PerFamily::default(), PerFamily::default());
        engine.handle(Input::Started { view, adopted, spares }, at(0));
        for ms in (0..30_000).step_by(100) {
            engine.handle(if ms == 100 { Input::Watched } else { Input::Timeout }, at(ms));
        }
        std::iter::from_fn(|| engine.poll_output()).collect()
    }

    #[test]
    fn an_observer_asks_and_tells_and_changes_nothing() {
        let touches = |output: &Output| {
            !matches!(
                output,
                Output::Probe(_)
                    | Output::Forget(_)
                    | Output::Listen(_)
                    | Output::Record(_)
                    | Output::SaveState(_)
                    | Output::SaveRun(_)
                    | Output::Answer(..)
            )
        };
        let marks = |all: &[Output]| {
            let mark = |output: &Output| {
                let Output::Probe(request) = output else { return None };
                Some(request.path.mark.mask)
            };
            all.iter().filter_map(mark).map(|mask| mask != 0).collect::<Vec<_>>()
        };
        let observer = asked_for(Mode::Observe);
        assert_eq!(observer.iter().find(|output| touches(output)), None);
        assert!(!marks(&observer).is_empty() && !marks(&observer).contains(&true));
        let agent = asked_for(Mode::Steer);
        assert!(!marks(&agent).contains(&false));
        let has = |is: fn(&Output) -> bool| assert!(agent.iter().any(is), "the control");
        has(|output| matches!(output, Output::Converge { .. }));
        has(|output| matches!(output, Output::Refuse(_)));
        has(|output| matches!(output, Output::ReadCounters { .. }));
        has(|output| matches!(output, Output::CountFlows(_)));
        has(|output| matches!(output, Output::Resolvers(_)));
        // Beside those that are told of it, the two do the same.
        assert_eq!(marks(&observer).len(), marks(&agent).len());
    }
}
