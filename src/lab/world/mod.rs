//! A simulated network around an [`Engine`], on a virtual clock: a day of a line in a second.
//!
//! Pure: chance comes from a seed, and what happened once happens again.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::config::Config;
use crate::engine::dataplane::Dataplane;
use crate::engine::events::facts::Event;
use crate::engine::input::{Command, Input};
use crate::engine::kernel::view::KernelChange;
use crate::engine::names::ddns::outside::OutsideReply;
use crate::engine::names::resolvers::Resolvers;
use crate::engine::notify::Message;
use crate::engine::output::{Output, Refusal};
use crate::engine::probe::{Outcome, ProbeReply, ProbeRequest, Question};
use crate::engine::state::Restored;
use crate::engine::{Engine, Mode};
use crate::time::{Instant, Now, Utc};
use crate::units::{PerFamily, Rtt, UplinkId};

pub mod kernel;
pub mod line;
pub mod names;
pub mod net;
pub mod rehearsal;
pub mod rng;

use kernel::{Cable, Kernel};
use line::{Faults, Line, Nature};
use names::NameServer;
use net::Network;
use rng::Rng;

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

/// Something that happens to the line of one uplink.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// The cable is pulled, or put back.
    Carrier(bool),
    /// The line is cut beyond the modem in these families, or mended.
    Sever(PerFamily<bool>),
    /// The line is cut beyond a modem that answers names and plain web pages in the name of others.
    Hijack,
    /// The modem answers echoes in the name of this target from now on, whatever its line does.
    Pose(IpAddr),
    /// Answers take this much longer.
    Delay(Duration),
    /// The modem dies behind its carrier, or lives again.
    ModemDead(bool),
    /// This much more is lost.
    Loss(f64),
    /// Echoes to the Internet are thrown away on the way.
    NoEchoes,
    /// Answers take 800 ms longer.
    Slow(bool),
    /// An upload fills the modem's queue, or ends.
    Bloat(bool),
    /// The modem wants to be signed in to.
    Portal(bool),
    DnsBroken(bool),
    /// The line's own resolvers do not answer.
    ResolversBroken(bool),
    /// The modem restarts: no carrier for two seconds, then a dead line for a minute.
    Reboot,
    /// The interface is gone, or back under another index.
    Absent(bool),
    /// Everything is well again.
    Restore,
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
}

/// What is still to happen.
#[derive(Clone, Debug)]
enum Happening {
    Told(u64, Input),
    Converge(u64, u64, Box<Dataplane>),
    Fault(usize, u64, Fault),
    /// A handshake that nobody answered is asked for again: by which agent, when first, which time.
    AskedAgain(u64, Box<ProbeRequest>, Instant, u32),
}

/// The clock at the birth of a world: boxes have been up for a while when the agent starts.
const DAWN: Instant = Instant::from_micros(10_000_000);
/// The wall clock then, 2026-01-01 in ms.
const DAWN_UTC: u64 = 1_767_225_600_000;
/// How long the modem of the story has no carrier, and how long its line is dead after that.
const REBOOT: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));

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
        };
        this.net.people.use_v6 = plan.families.iter().any(|f| f.v6);
        this
    }

    pub fn start_agent(&mut self) {
        // Another process, which stands still only when it is told to.
        self.stalled_until = self.now;
        let restored = self.restored.clone();
        let engine =
            Engine::new(self.config.clone(), Mode::Steer, restored, self.seed, self.clock());
        self.engine = Some(engine);
        let adopted = PerFamily {
            v4: self.net.kernel.adoptable(crate::units::Family::V4),
            v6: self.net.kernel.adoptable(crate::units::Family::V6),
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
        Now { mono: self.now, utc: Some(Utc(DAWN_UTC.saturating_add(since_dawn))) }
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

    /// A person asks for something; the answer is in `answers` under the number returned.
    pub fn command(&mut self, command: Command) -> u64 {
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
            return true;
        }
        let Some(key) = next.filter(|(at, _)| *at <= end) else {
            return false;
        };
        if let Some(happening) = self.queue.remove(&key) {
            self.now = self.now.max(key.0);
            self.happen(happening);
        }
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
                let report = self.net.kernel.converge(generation, &desired, took, self.now);
                self.tell(Input::Applied(Box::new(report)));
            }
            Happening::Converge(..) => {}
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
                let (least, most) = (Duration::from_millis(1), Duration::from_millis(3));
                // One after the other, as in one place.
                let at = self.now + self.rng.between(least, most);
                let at = at.max(self.free_at + Duration::from_micros(1));
                self.free_at = at;
                self.schedule(at, Happening::Converge(self.agent, generation, desired));
            }
            Output::Refuse(families) => self.net.kernel.refuse(families, self.now),
            Output::Flush(request) => {
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
            Output::Record(event) => self.events.push(event),
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

    fn strike(&mut self, uplink: usize, fault: Fault) {
        self.net.live(self.now);
        let now = self.now;
        let Some(line) = self.net.lines.get_mut(uplink) else {
            return;
        };
        let faults = &mut line.faults;
        let kernel = &mut self.net.kernel;
        let mut changes: Vec<KernelChange> = Vec::new();
        match fault {
            Fault::Carrier(true) => changes = kernel.plug(uplink, Cable::In),
            Fault::Carrier(false) => changes = kernel.plug(uplink, Cable::Out),
            Fault::Sever(severed) => faults.severed = severed,
            Fault::Hijack => {
                faults.severed = PerFamily { v4: true, v6: true };
                faults.hijacks = true;
            }
            Fault::Pose(target) => faults.poses_as = Some(target),
            Fault::Delay(delay) => faults.delay = delay,
            Fault::ModemDead(dead) => faults.modem_dead = dead,
            Fault::Loss(loss) => faults.loss = loss,
            Fault::NoEchoes => faults.no_echoes = true,
            Fault::Slow(slow) => faults.slow = slow,
            Fault::Bloat(true) => faults.bloated = Some(now),
            Fault::Bloat(false) => line.end_bloat(now),
            Fault::Portal(portal) => faults.portal = portal,
            Fault::DnsBroken(broken) => faults.dns_broken = broken,
            Fault::ResolversBroken(broken) => faults.resolvers_broken = broken,
            Fault::Reboot => {
                changes = kernel.plug(uplink, Cable::Out);
                faults.severed = PerFamily { v4: true, v6: true };
                let chapter = self.chapters.get(uplink).copied().unwrap_or_default();
                let back = Happening::Fault(uplink, chapter, Fault::Carrier(true));
                let well = Happening::Fault(uplink, chapter, Fault::Restore);
                self.schedule(now + REBOOT.0, back);
                self.schedule(now + REBOOT.0 + REBOOT.1, well);
            }
            Fault::Absent(true) => changes = kernel.vanish(uplink),
            Fault::Absent(false) => changes = kernel.appear(uplink),
            Fault::Restore => {
                if faults.bloated.is_some() {
                    line.end_bloat(now);
                }
                line.faults = Faults::default();
                changes = kernel.appear(uplink);
                changes.extend(kernel.plug(uplink, Cable::In));
            }
        }
        if !changes.is_empty() {
            self.tell(Input::Kernel(changes));
        }
    }
}
