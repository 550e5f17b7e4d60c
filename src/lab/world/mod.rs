//! A simulated network around an [`Engine`], on a virtual clock: a day of a line in a second.
//!
//! Pure: chance comes from a seed, and what happened once happens again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::config::Config;
use crate::engine::dataplane::{Dataplane, Rule};
use crate::engine::events::facts::Event;
use crate::engine::input::{Command, Input};
use crate::engine::names::ddns::outside::OutsideReply;
use crate::engine::names::resolvers::Resolvers;
use crate::engine::notify::Message;
use crate::engine::output::{Output, Refusal};
use crate::engine::probe::{Outcome, ProbeReply, ProbeRequest, Question};
use crate::engine::state::Restored;
use crate::engine::{Engine, Mode};
use crate::time::{Instant, Now, Utc};
use crate::units::{Family, PerFamily, Rtt, UplinkId};

mod check;
pub mod kernel;
pub mod line;
pub mod names;
pub mod net;
pub mod rehearsal;
pub mod rng;
mod strike;
pub mod trouble;
mod watch;

use kernel::Kernel;
use line::{Line, Nature};
use names::NameServer;
use net::Network;
use rng::Rng;
pub use trouble::Fault;
use watch::Watch;

/// What a world is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    pub config: Config,
    /// The line of each uplink of the configuration.
    pub natures: Vec<Nature>,
    /// The IP versions that each line has.
    pub families: Vec<PerFamily<bool>>,
    /// From which all chance follows.
    pub seed: u64,
}

/// One input that the engine was given, and what it asked for then.
#[derive(Clone, Debug, PartialEq)]
pub struct Taped {
    pub now: Now,
    pub input: Input,
    pub outputs: Vec<Output>,
}

/// The engine and everything around it.
#[derive(Clone, Debug)]
pub struct World {
    /// The engine; `None` while the agent does not run.
    pub engine: Option<Engine>,
    pub net: Network,
    /// What the engine recorded, oldest first, since somebody last took it.
    pub events: Vec<Event>,
    /// What people would have been told.
    pub messages: Vec<Message>,
    pub names: NameServer,
    /// What `resolv.conf` says now.
    pub resolvers: Option<Resolvers>,
    /// Answers to commands, by number.
    pub answers: BTreeMap<u64, Result<String, Refusal>>,
    /// How many inputs the engine was given.
    pub handled: u64,
    /// When the last of them was taken.
    pub handled_at: Instant,
    /// Every input and output, if somebody wants to play it again.
    pub tape: Option<Vec<Taped>>,
    config: Config,
    seed: u64,
    now: Instant,
    rng: Rng,
    queue: BTreeMap<(Instant, u64), Happening>,
    next_number: u64,
    stalled_until: Instant,
    /// When the last change to the kernel will have been made.
    free_at: Instant,
    restored: Restored,
    /// The uplinks' numbers, in the order of the chain.
    numbers: Vec<UplinkId>,
    /// Counts what was done to each line: a step of a story that was overtaken does not happen.
    chapters: Vec<u64>,
    /// Rises when the agent ends: answers to the one before are not for the next.
    agent: u64,
    /// What the kernel says is lost until then.
    lost_until: Instant,
    /// How much longer a change of the kernel takes.
    lag: Duration,
    /// By how much the wall clock is off, in milliseconds.
    clock_shift: i64,
    /// When the agent was last started.
    begun: Option<Instant>,
    families: Vec<PerFamily<bool>>,
    /// Uplinks that a person has set aside, until then.
    set_aside: BTreeMap<String, Option<Instant>>,
    /// The rules that the agent last asked for, and its table's name.
    desired: Option<(BTreeSet<Rule>, String)>,
    /// What has been seen; after every step it is looked whether what must hold does.
    watch: Watch,
}

/// What is still to happen.
#[derive(Clone, Debug)]
enum Happening {
    Told(u64, Input),
    Converge(u64, u64, Box<Dataplane>),
    Fault(usize, u64, Fault),
    /// A handshake that nobody answered is asked for again: by which agent, when first, which time.
    AskedAgain(u64, Box<ProbeRequest>, Instant, u32),
    /// Netlink lost messages, and everything is read anew by this agent.
    Resync(u64),
}

/// The clock at the birth of a world: boxes have been up for a while when the agent starts.
const DAWN: Instant = Instant::from_micros(10_000_000);
/// The wall clock then, 2026-01-01 in ms.
const DAWN_UTC: u64 = 1_767_225_600_000;

impl World {
    /// A world in which the agent starts now.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let mut rng = Rng::new(plan.seed);
        let kernel = Kernel::new(&plan.config, &plan.families);
        let line = |nature: &Nature| Line::new(*nature, Rng::new(rng.number()));
        let lines: Vec<Line> = plan.natures.iter().map(line).collect();
        let mut this = Self {
            engine: None,
            chapters: vec![0; lines.len()],
            net: Network::new(kernel, lines),
            events: Vec::new(),
            messages: Vec::new(),
            names: NameServer::default(),
            resolvers: None,
            answers: BTreeMap::new(),
            handled: 0,
            handled_at: Instant::ZERO,
            tape: None,
            config: plan.config,
            seed: plan.seed,
            now: DAWN,
            rng,
            queue: BTreeMap::new(),
            next_number: 0,
            stalled_until: DAWN,
            free_at: DAWN,
            restored: Restored::default(),
            numbers: Vec::new(),
            agent: 0,
            lost_until: DAWN,
            lag: Duration::ZERO,
            clock_shift: 0,
            begun: None,
            families: plan.families.clone(),
            set_aside: BTreeMap::new(),
            desired: None,
            watch: Watch::default(),
        };
        this.net.people.use_v6 = plan.families.iter().any(|f| f.v6);
        this
    }

    pub fn start_agent(&mut self) {
        // Another process, which stands still only when it is told to.
        self.stalled_until = self.now;
        self.begun = Some(self.now);
        // With a socket of its own, which has lost nothing yet.
        self.lost_until = self.now;
        self.desired = None;
        let restored = self.restored.clone();
        let engine =
            Engine::new(self.config.clone(), Mode::Steer, restored, self.seed, self.clock());
        self.engine = Some(engine);
        let adopted = PerFamily {
            v4: self.net.kernel.adoptable(Family::V4),
            v6: self.net.kernel.adoptable(Family::V6),
        };
        let view = self.net.kernel.view.clone();
        // The outputs of its birth come with those of its first input.
        self.tell(Input::Started { view, adopted, spares: PerFamily::default() });
    }

    /// The agent is killed; the kernel goes on as it is.
    pub fn kill_agent(&mut self) {
        self.engine = None;
        self.agent += 1;
    }

    /// The agent is asked to stop.
    pub fn stop_agent(&mut self) {
        self.tell(Input::Stop);
        // Its reconciler ends after what it was asked for.
        self.run_until(self.free_at.max(self.now));
        self.kill_agent();
    }

    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// The time, with the wall clock.
    #[must_use]
    pub fn clock(&self) -> Now {
        let since_dawn = u64::try_from(self.now.since(DAWN).as_millis()).unwrap_or(u64::MAX);
        let utc = DAWN_UTC.saturating_add(since_dawn).saturating_add_signed(self.clock_shift);
        Now { mono: self.now, utc: Some(Utc(utc)) }
    }

    /// The agent's process is not scheduled for this long.
    pub fn stall(&mut self, time: Duration) {
        // One that begins inside another does not end it.
        self.stalled_until = self.stalled_until.max(self.now + time);
    }

    /// Whether the agent's process stands still now.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        self.now < self.stalled_until
    }

    /// Whether a line has a family.
    #[must_use]
    pub fn has_family(&self, uplink: usize, family: Family) -> bool {
        self.families.get(uplink).is_some_and(|families| *families.get(family))
    }

    /// Whether a person has set an uplink aside.
    fn is_set_aside(&self, uplink: usize) -> bool {
        let name = self.config.uplinks.get(uplink).map(|uplink| uplink.name.as_str());
        let until = name.and_then(|name| self.set_aside.get(name));
        until.is_some_and(|until| until.is_none_or(|until| self.now < until))
    }

    /// How often each rule was looked at while it held anything.
    #[must_use]
    pub const fn rules_applied(&self) -> &BTreeMap<&'static str, u64> {
        &self.watch.applied
    }

    /// A person asks for something; the answer is in `answers` under the number returned.
    pub fn command(&mut self, command: Command) -> u64 {
        match &command {
            Command::Pause { uplink, lasts, .. } => {
                let until = lasts.map(|lasts| self.now + lasts);
                self.set_aside.insert(uplink.clone(), until);
            }
            Command::Resume { uplink } => drop(self.set_aside.remove(uplink)),
            Command::Switch { .. }
            | Command::SwitchAuto
            | Command::LedTest
            | Command::Probe { .. }
            | Command::Note { .. }
            | Command::Reported { .. } => {}
        }
        self.next_number += 1;
        let number = self.next_number;
        self.tell(Input::Command(number, command));
        number
    }

    /// Something happens to a line, and ends what was still to happen to it.
    pub fn fault(&mut self, uplink: usize, fault: Fault) {
        if let Some(chapter) = self.chapters.get_mut(uplink) {
            *chapter += 1;
        }
        self.strike(uplink, fault);
    }

    pub fn run_for(&mut self, time: Duration) {
        self.run_until(self.now + time);
    }

    /// Lets time pass until then.
    pub fn run_until(&mut self, end: Instant) {
        while self.step(end) {}
        self.now = self.now.max(end);
        self.net.live(self.now);
        // Also where nothing has happened, as without an agent.
        self.check();
    }

    /// Lets the next thing happen, if it happens by then; returns whether something did.
    pub fn step(&mut self, end: Instant) -> bool {
        let timeout = self.engine.as_ref().and_then(Engine::poll_timeout);
        let timeout = timeout.map(|(at, _)| at.max(self.stalled_until).max(self.now));
        let next = self.queue.first_key_value().map(|(key, _)| *key);
        // Ties go to what is queued: the socket is read before the timer.
        let timeout_first = timeout.filter(|at| next.is_none_or(|(queued, _)| *at < queued));
        if let Some(at) = timeout_first {
            if at > end {
                return false;
            }
            self.now = at;
            self.tell(Input::Timeout);
        } else {
            let Some(key) = next.filter(|(at, _)| *at <= end) else {
                return false;
            };
            if let Some(happening) = self.queue.remove(&key) {
                self.now = self.now.max(key.0);
                self.happen(happening);
            }
        }
        self.check();
        true
    }

    fn happen(&mut self, happening: Happening) {
        let waits = !matches!(happening, Happening::Fault(..) | Happening::AskedAgain(..))
            && self.now < self.stalled_until;
        if waits {
            self.schedule(self.stalled_until, happening);
            return;
        }
        match happening {
            Happening::Told(agent, input) if agent == self.agent => self.tell(input),
            Happening::Told(..) => {}
            Happening::AskedAgain(agent, request, first, times) if agent == self.agent => {
                self.probe(*request, first, times);
            }
            Happening::AskedAgain(..) => {}
            Happening::Converge(agent, generation, desired) if agent == self.agent => {
                self.net.live(self.now);
                let took = Duration::from_millis(2);
                let report = self.net.kernel.converge(generation, *desired, took, self.now);
                self.watch.converged(&report, self.now);
                self.tell(Input::Applied(Box::new(report)));
            }
            Happening::Converge(..) => {}
            Happening::Resync(agent) if agent == self.agent => {
                // Lost again meanwhile, it is read once more.
                if self.now >= self.lost_until {
                    self.tell(Input::View(self.net.kernel.view.clone()));
                }
            }
            Happening::Resync(_) => {}
            Happening::Fault(uplink, chapter, fault) => {
                if self.chapters.get(uplink) == Some(&chapter) {
                    self.strike(uplink, fault);
                }
            }
        }
    }

    fn schedule(&mut self, at: Instant, happening: Happening) {
        self.next_number += 1;
        self.queue.insert((at, self.next_number), happening);
    }

    /// Gives the engine an input and does what it asks for.
    pub fn tell(&mut self, input: Input) {
        if self.now < self.stalled_until {
            self.schedule(self.stalled_until, Happening::Told(self.agent, input));
            return;
        }
        let now = self.clock();
        let Some(engine) = &mut self.engine else {
            return;
        };
        self.handled += 1;
        self.handled_at = self.now;
        let taped = self.tape.as_ref().map(|_| input.clone());
        engine.handle(input, now);
        let mut outputs = Vec::new();
        while let Some(output) = self.engine.as_mut().and_then(Engine::poll_output) {
            if taped.is_some() {
                outputs.push(output.clone());
            }
            self.carry_out(output);
        }
        if let (Some(input), Some(tape)) = (taped, &mut self.tape) {
            tape.push(Taped { now, input, outputs });
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Probe(request) => self.probe(request, self.now, 0),
            Output::ReadCounters { bytes } => {
                let counters = self.net.counters(&self.numbers, &bytes, self.now);
                self.answer(Duration::from_micros(200), Input::Counters(counters));
            }
            Output::Converge { generation, desired, .. } => {
                self.desired = Some((desired.rules.clone(), desired.nft.name.clone()));
                let (least, most) = (Duration::from_millis(1), Duration::from_millis(3));
                // One after the other, as in one place.
                let at = self.now + self.rng.between(least, most) + self.lag;
                let at = at.max(self.free_at + Duration::from_micros(1));
                self.free_at = at;
                self.schedule(at, Happening::Converge(self.agent, generation, desired));
            }
            Output::Refuse(families) => self.net.kernel.refuse(families, self.now),
            Output::Flush(request) => {
                self.watch.flushes(&request, &self.numbers, self.now);
                let took = Duration::from_millis(5);
                let report = self.net.flush(&request, &self.numbers, took);
                self.answer(took, Input::Flushed(report));
            }
            Output::CountFlows(_) => {
                let flows = self.net.flows(&self.numbers);
                self.answer(Duration::from_millis(5), Input::Flows(flows));
            }
            Output::LookAtFirewalls(_) => {
                let nobody = PerFamily::default();
                self.answer(Duration::from_millis(2), Input::Firewalls(nobody));
            }
            Output::Resolvers(resolvers) => self.resolvers = Some(resolvers),
            Output::Heartbeat(_) => {}
            Output::Outside(request) => {
                let (uplink, source) = (request.path.uplink, request.path.source);
                let seen = Err("nobody answers".to_owned());
                let reply = OutsideReply { uplink, source, seen };
                self.answer(Duration::from_millis(60), Input::Outside(reply));
            }
            Output::Name(request) => {
                let reply = self.names.ask(&request, self.now);
                self.answer(Duration::from_millis(60), Input::Name(reply));
            }
            Output::Notify(messages, known) => {
                self.messages.extend(messages);
                self.restored.known = *known;
            }
            Output::Record(event) => {
                self.watch.recorded(&event, self.config.failback.hold);
                self.events.push(event);
            }
            Output::SaveState(state) => self.restored.saved = *state,
            Output::SaveRun(run) => {
                let number = |u: &crate::config::UplinkConfig| run.numbers.get(&u.name).copied();
                self.numbers = self.config.uplinks.iter().filter_map(number).collect();
                self.restored.run = *run;
            }
            Output::Answer(number, answer) => {
                self.answers.insert(number, answer);
            }
            Output::Forget(_)
            | Output::Advertise(_)
            | Output::FlushUnNated
            | Output::Leds(_)
            | Output::Listen(_) => {}
        }
    }

    /// Sends a question. Kernels ask for a handshake again after 1, 3, 7 … seconds (RFC 6298 §5.5).
    fn probe(&mut self, request: ProbeRequest, first: Instant, times: u32) {
        self.watch.asks(&request, &self.numbers, &self.net.kernel);
        let (after, outcome) = self.net.probe(&request, self.now);
        let waited = self.now.since(first);
        let again = Duration::from_secs(1 << times.min(8));
        let handshake = matches!(request.question, Question::TcpConnect(..));
        if handshake && outcome == Outcome::Silent && waited + again < request.timeout {
            let next = Happening::AskedAgain(self.agent, Box::new(request), first, times + 1);
            self.schedule(self.now + again, next);
            return;
        }
        let outcome = if let Outcome::Answered(rtt) = outcome {
            Outcome::Answered(Rtt(rtt.0 + waited))
        } else {
            outcome
        };
        let after = if outcome == Outcome::Silent { after.saturating_sub(waited) } else { after };
        let (id, uplink) = (request.id, request.path.uplink);
        self.answer(after, Input::Probe(ProbeReply { id, uplink, outcome }));
    }

    fn answer(&mut self, after: Duration, input: Input) {
        self.schedule(self.now + after, Happening::Told(self.agent, input));
    }
}
