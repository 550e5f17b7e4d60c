//! Decides. Pure: no clock, socket, file, log, thread, async or randomness.
//!
//! [`Engine::handle`] takes one input and the time, [`Engine::poll_output`] hands out what is to be
//! done, [`Engine::poll_timeout`] says when to come back. Everything else is private to the house:
//!
//! ```text
//! observe   link, kernel     what netlink said, and what each uplink has of it
//! judge     health, probe    each line by itself: probes, evidence, verdict
//! select    policy           one uplink per family, with a reason for each
//! plan      dataplane        the wish as one value
//! move      switching        what people feel of it
//!           leftover         the flows that the old uplink still has
//! tell      event, snapshot  one fact, many readers
//! ```

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::time::{Instant, Now};
use crate::units::{IfIndex, UplinkId};

pub mod dataplane;
pub mod doctor;
pub mod events;
mod flows;
pub mod health;
pub mod input;
pub mod kernel;
pub mod lan;
pub mod names;
pub mod output;
pub mod policy;
pub mod probe;
pub mod state;
pub mod status;
mod step;
pub mod uplink;

use dataplane::Dataplane;
use events::facts::{Event, Fact};
use events::history::History;
use input::Input;
use kernel::Seen;
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

/// Decides. See the module's words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Engine {
    config: Config,
    run: RunState,
    uplinks: Uplinks,
    choice: Choice,
    kernel: dataplane::settling::Converging,
    seen: Seen,
    strays: flows::strays::Strays,
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
            strays: flows::strays::Strays::default(),
            lan: Lan::default(),
            names: Names::default(),
            telling: Telling::new(now.mono),
            life: Life { mode, started: None, last_handled: None, next_probe: seed & 0xffff_ffff },
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
            Input::Resolvers(named) => self.resolvers_named(named),
            Input::Watched => self.watched(now),
            Input::Command(number, command) => self.command(number, command, now),
            Input::Reload(config) => self.reload(*config, now),
            Input::Stop => self.stop(now),
        }
        // A decision may give a line another duty, for which something is due at once.
        for _ in 0..ROUNDS {
            self.run_lines(now);
            self.decide(now);
            if self.lines_due().is_none_or(|at| at > now.mono) {
                break;
            }
        }
        self.run_leftovers(now);
        self.converge(now);
        self.flush_leftovers(now);
        self.announce(now);
        self.poll_counters(now);
        self.follow_stories(now);
        self.keep_house(now);
        self.watch_time(now);
        self.light(now);
        self.answers_last();
        self.life.last_handled = Some(now.mono);
    }

    /// The next thing to do, in order; `None`: wait.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to come back with [`Input::Timeout`], and why.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        self.life.started?;
        let steers = self.life.mode == Mode::Steer;
        let mut next = Next::default();
        // One walk, without a list in between: this is asked twice for each input.
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
        if steers {
            next.wants(self.kernel.deadline(), "the dataplane");
            next.wants(Some(self.seen.polls.deadline()), "the counters");
        }
        next.0
    }

    /// The configuration in force.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The dataplane that is wanted now.
    #[must_use]
    pub const fn wish(&self) -> &Dataplane {
        self.kernel.wish()
    }

    /// The interfaces of all uplinks, as they are now.
    fn interfaces(&self) -> Vec<IfIndex> {
        let links = self.uplinks.values().filter_map(|u| u.attachment.link.as_ref());
        links.map(|(index, _)| *index).collect()
    }

    #[must_use]
    pub const fn history(&self) -> &History {
        &self.telling.history
    }

    /// Names the uplink with that number.
    #[must_use]
    pub fn name(&self, id: UplinkId) -> String {
        self.uplinks.get(&id).map_or_else(|| id.to_string(), |u| u.config.name.clone())
    }

    /// Books and passes on what happened.
    fn record(&mut self, fact: Fact, now: Now) {
        let id = self.telling.history.next_id();
        let event = Event { id, at: now.mono, utc: now.utc, fact };
        self.telling.history.push(event.clone());
        self.outputs.push_back(Output::Record(event));
    }
}
