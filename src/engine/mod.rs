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

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::time::{Instant, Now};
use crate::units::{IfIndex, PerFamily, UplinkId};

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
use events::causes::Cause;
use events::facts::{Event, Fact};
use events::history::History;
use events::story::Stories;
use events::timeline::Timeline;
use input::Input;
use kernel::view::KernelView;
use names::resolvers::{Named, Resolvers};
use output::Output;
use policy::select::Why;
use state::{Restored, RunState};
use status::housekeeping::Housekeeping;
use uplink::{Household, Uplink};

/// Whether the agent may write to the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It steers.
    #[default]
    Steer,
    /// It only looks, and tells what it would do.
    Observe,
}

/// The uplink that carries a family's traffic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Active {
    uplink: Option<UplinkId>,
    since: Option<Instant>,
    /// Taken at the start without proof, until then.
    provisional_until: Option<Instant>,
    /// It was taken without proof, and until then nobody else takes its place for being proven first.
    proving_until: Option<Instant>,
    /// It is dead and no other is alive.
    no_way_out: bool,
    /// And that has been said.
    told_no_way_out: bool,
    /// A person ended what kept traffic away from another uplink; when, and why traffic moves if that
    /// is all that it takes.
    let_go: Option<(Instant, Cause)>,
    /// Why each uplink carries the traffic, or does not, as last decided.
    whys: BTreeMap<UplinkId, Why>,
    /// It is degraded: when it is next measured beside the spares.
    sample_at: Option<Instant>,
}

impl Active {
    /// The uplink that takes over when its hold is over, and when that is.
    fn waiting(&self) -> Option<(Instant, UplinkId)> {
        self.whys.iter().find_map(|(id, why)| {
            let Why::Holding(until) = why else { return None };
            Some((*until, *id))
        })
    }
}

/// Decides. See the module's words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Engine {
    config: Config,
    mode: Mode,
    uplinks: BTreeMap<UplinkId, Uplink>,
    chain: Vec<UplinkId>,
    run: RunState,
    view: KernelView,
    prefixes: lan::prefixes::Prefixes,
    announcing: lan::deprecation::Announcing,
    started: Option<Instant>,
    household: Household,
    active: PerFamily<Active>,
    stories: Stories,
    switch_count: u64,
    /// A person put an uplink first and it has not been left since.
    manual_fresh: bool,
    undecided: bool,
    kernel: dataplane::settling::Converging,
    strays: flows::strays::Strays,
    polls: kernel::polls::Polls,
    /// Resolvers as the system names them.
    named: Named,
    /// Whom the box was last told to ask for names.
    resolvers: Option<Resolvers>,
    housekeeping: Housekeeping,
    leds: status::leds::Leds,
    history: History,
    timeline: Timeline,
    /// Where the page is to be found, as last said.
    page: BTreeSet<lan::listen::Place>,
    next_probe: u64,
    last_handled: Option<Instant>,
    #[serde(skip)]
    outputs: VecDeque<Output>,
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
            mode,
            uplinks: BTreeMap::new(),
            chain: Vec::new(),
            run: restored.run,
            view: KernelView::default(),
            prefixes: lan::prefixes::Prefixes::default(),
            announcing: lan::deprecation::Announcing::default(),
            started: None,
            household: Household::default(),
            active: PerFamily::default(),
            stories: Stories::default(),
            switch_count: restored.saved.switches,
            manual_fresh: false,
            undecided: false,
            kernel: dataplane::settling::Converging::default(),
            strays: flows::strays::Strays::default(),
            polls: kernel::polls::Polls::default(),
            named: Named::default(),
            resolvers: None,
            housekeeping: Housekeeping::born(now.mono),
            leds: status::leds::Leds::default(),
            history: History::default(),
            timeline: Timeline::new(now.mono),
            page: BTreeSet::new(),
            next_probe: seed & 0xffff_ffff,
            last_handled: None,
            outputs: VecDeque::new(),
        };
        this.enrol(now);
        this.restore(&restored.saved, now);
        this
    }

    /// Takes one input.
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
        self.last_handled = Some(now.mono);
    }

    /// The next thing to do, in order; `None`: wait.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to come back with [`Input::Timeout`], and why.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        self.started?;
        let steers = self.mode == Mode::Steer;
        let mut next = Next::default();
        // One walk, without a list in between: this is asked twice for each input.
        for uplink in self.uplinks.values() {
            next.wants(Some(uplink.due.v4.min(uplink.due.v6)), "a line");
            for leftover in [&uplink.leftover.v4, &uplink.leftover.v6].into_iter().flatten() {
                next.wants(leftover.deadline(), "old flows");
            }
            next.wants(uplink.paused.as_ref().and_then(|paused| paused.until), "a pause");
        }
        for active in [&self.active.v4, &self.active.v6] {
            next.wants(active.waiting().map(|(at, _)| at), "the hold");
            next.wants(active.provisional_until, "the first choice");
            next.wants(active.proving_until, "the first choice");
            next.wants(active.sample_at, "a comparison");
        }
        next.wants(self.run.armed, "the resets");
        next.wants(self.run.manual.as_ref().and_then(|(_, until)| *until), "a switch by hand");
        next.wants(self.announcing.deadline(), "a word to the LAN");
        next.wants(Some(self.housekeeping.deadline()), "the house");
        next.wants(self.leds.deadline(), "the LEDs");
        next.wants(self.stories.deadline(), "the end of a story");
        if steers {
            next.wants(self.kernel.deadline(), "the dataplane");
            next.wants(Some(self.polls.deadline()), "the counters");
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

    /// What happened lately.
    #[must_use]
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// Names the uplink with that number.
    #[must_use]
    pub fn name(&self, id: UplinkId) -> String {
        self.uplinks.get(&id).map_or_else(|| id.to_string(), |u| u.config.name.clone())
    }

    /// Books and passes on what happened.
    fn record(&mut self, fact: Fact, now: Now) {
        let id = self.history.next_id();
        let event = Event { id, at: now.mono, utc: now.utc, fact };
        self.history.push(event.clone());
        self.outputs.push_back(Output::Record(event));
    }
}
