//! The agent: one loop. It waits for one input, lets the engine handle it, carries out what the
//! engine asks for, and waits again. Nothing else in the program changes anything.

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::config::{self, Config};
use crate::engine::events::facts::{Event, Fact, Severity};
use crate::engine::input::Input;
use crate::engine::kernel::view::KernelView;
use crate::engine::names::resolvers::Named;
use crate::engine::output::Output;
use crate::engine::probe::ProbeReply;
use crate::engine::{Engine, Mode};
use crate::io::advertise::Advertiser;
use crate::io::flows::Flows;
use crate::io::leds::Leds;
use crate::io::lock::Lock;
use crate::io::manager::Manager;
use crate::io::netlink::nfnl::NfnlError;
use crate::io::netlink::{self, Monitor};
use crate::io::probe::Prober;
use crate::io::record::{self, Header, Line, Recorder, Start};
use crate::io::web::{self, Ask, Web};
use crate::io::{clock, disk, faults, resolvers, store, sysctl};
use crate::time::{Instant, Now};
use crate::units::{IfIndex, Metric, PerFamily, TableId};

mod answers;
mod board;
mod crash;
mod door;
mod keeping;
mod publish;

/// How the agent is to run.
#[derive(Debug)]
pub struct Options {
    /// The file that a reload reads again.
    pub config_file: PathBuf,
    /// What it says now, with the run directory already applied.
    pub config: Config,
    /// The run directory from the command line, to be applied again after a reload.
    pub run_dir: Option<PathBuf>,
    /// Whether it writes to the kernel.
    pub mode: Mode,
    /// Records inputs and outputs to this file.
    pub record: Option<PathBuf>,
}

/// Where the recording of the last switch is kept, below the run directory.
pub const LAST_RECORDING: &str = "last-switch.jsonl";
/// A recording is cut out this long after a switch, so that it shows what came of it.
const AFTERMATH: Duration = Duration::from_secs(6);
/// Probe ends that may wait: three uplinks in a burst make some 200 a second.
const REPLIES: usize = 1024;
/// Other queues: people are slow, and the kernel answers one at a time.
const QUEUE: usize = 64;

/// Everything around the engine.
struct Agent {
    engine: Engine,
    options: Options,
    recorder: Recorder,
    prober: Prober,
    door: Option<door::Door>,
    flows: Option<Flows>,
    advertiser: Advertiser,
    leds: Leds,
    web: Web,
    shown: publish::Shown,
    manager: Option<Manager>,
    pending: VecDeque<Input>,
    answers: answers::Answers,
    keeping: keeping::Keeping,
    cut_at: Option<Instant>,
}

/// Is the agent until a signal ends it; traffic then goes on as it is.
///
/// # Errors
///
/// When it may not run here: another agent runs, a permission or a part of the kernel is missing.
/// Nothing has been changed then.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let run_dir = options.config.run_dir.clone();
    disk::public_directory(&run_dir)
        .with_context(|| format!("cannot make the run directory {}", run_dir.display()))?;
    let lock = Lock::take(&run_dir)?;
    tokio::spawn(async move { lock.be_seen().await });
    if crash::happened(&run_dir) {
        store::set_all_aside(&options.config.state_dir, &run_dir);
    }
    crash::watch(&run_dir);
    let (done, mut inputs) = mpsc::channel(QUEUE);
    let (replies, mut answered) = mpsc::channel(REPLIES);
    let (asks, mut asked) = mpsc::channel(QUEUE);
    let (door, flows, adopted) = match options.mode {
        Mode::Observe => (None, None, Left::default()),
        Mode::Steer => {
            let mut door = netlink::Door::open(&run_dir).await?;
            door.check_filter()?;
            let flows = flows(&mut door, done.clone())?;
            let adopted = adopted(&mut door).await?;
            (Some(door::start(door, done.clone())), flows, adopted)
        }
    };
    let (mut monitor, view) = Monitor::open().await?;
    let password = web::password::file(&options.config_file);
    let web =
        Web::start(web::listen(&run_dir)?, asks, password).context("cannot start to serve")?;
    if options.mode == Mode::Steer
        && let Err(error) = sysctl::allow_ping(&run_dir)
    {
        tracing::debug!(%error, "echoes need CAP_NET_RAW");
    }
    let mut agent = Agent::new(options, replies, door, flows, web)?;
    let named = resolvers::watch(Path::new("/"), done);
    agent.begin(named, view, adopted);

    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    loop {
        tokio::select! {
            event = monitor.next() => agent.take(match event {
                netlink::Event::Changes(changes) => Input::Kernel(changes),
                netlink::Event::View(view) => Input::View(view),
            }),
            Some(input) = inputs.recv() => agent.take(input),
            Some(reply) = answered.recv() => agent.take(Input::Probe(reply)),
            Some(ask) = asked.recv() => agent.answer(ask),
            _ = hangup.recv() => drop(agent.reload()),
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = clock::sleep_until(agent.due()) => agent.take(Input::Timeout),
            () = agent.time_to_show() => agent.show(),
        }
        agent.went_round();
    }
    if let Some(manager) = &agent.manager {
        manager.stopping();
    }
    agent.take(Input::Stop);
    // Its answers are of no use any more.
    drop(inputs);
    if let Some(door) = agent.door.take() {
        door.shut().await;
    }
    agent.leds.stop();
    agent.recorder.flush();
    Ok(())
}

/// The thread for flows. A kernel without a part of conntrack still has uplinks that die: their flows
/// are not pinned then, so that they follow the route by themselves.
fn flows(door: &mut netlink::Door, done: mpsc::Sender<Input>) -> Result<Option<Flows>, NfnlError> {
    match door.check_pinning() {
        Ok(()) => Flows::start(done).map(Some),
        Err(missing @ NfnlError::Missing { .. }) => {
            tracing::warn!(
                "flows cannot be kept on their uplink, nor moved off a dead one; \
                 failover works all the same: {missing}"
            );
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// What an earlier run left in table 8300: where it points, and the spares behind.
type Left = (PerFamily<Option<IfIndex>>, PerFamily<Vec<IfIndex>>);

async fn adopted(door: &mut netlink::Door) -> anyhow::Result<Left> {
    let found = door.observe(&crate::engine::dataplane::Dataplane::default()).await?;
    let mut left = Left::default();
    for route in found.routes {
        if route.table != TableId::ACTIVE || route.dev == IfIndex(0) {
            continue;
        }
        if route.metric == Metric(1) {
            *left.0.get_mut(route.family) = Some(route.dev);
        } else {
            left.1.get_mut(route.family).push(route.dev);
        }
    }
    Ok(left)
}

impl Agent {
    fn new(
        mut options: Options,
        replies: mpsc::Sender<ProbeReply>,
        door: Option<door::Door>,
        flows: Option<Flows>,
        web: Web,
    ) -> anyhow::Result<Self> {
        let now = clock::now();
        board::fit(&mut options.config);
        let leds = board::leds(&options.config, options.mode);
        let (config, mode, seed) = (options.config.clone(), options.mode, clock::seed());
        let restored = store::restore(&config.state_dir, &config.run_dir);
        faults::panic_if_restored(restored.saved.switches);
        let start = Start::<Engine>::Born {
            config: Box::new(config.clone()),
            mode,
            seed,
            restored: Box::new(restored.clone()),
            now,
        };
        let create = |path: &PathBuf| {
            File::create(path).with_context(|| format!("cannot record to {}", path.display()))
        };
        let file = options.record.as_ref().map(create).transpose()?;
        let recorder = Recorder::new(&header(start), file, now.mono)?;
        Ok(Self {
            engine: Engine::new(config, mode, restored, seed, now),
            options,
            recorder,
            prober: Prober::new(replies),
            door,
            flows,
            advertiser: Advertiser::default(),
            leds,
            web,
            shown: publish::Shown::default(),
            manager: Manager::find(),
            pending: VecDeque::new(),
            answers: answers::Answers::default(),
            keeping: keeping::Keeping::default(),
            cut_at: None,
        })
    }

    fn begin(&mut self, named: Named, view: KernelView, (adopted, spares): Left) {
        // What the engine has wished for since its birth comes before all inputs, in a recording too.
        self.drain(clock::now());
        self.take(Input::Resolvers(named));
        self.take(Input::Started { view, adopted, spares });
        if let Some(manager) = &mut self.manager {
            manager.ready();
            manager.alive(clock::now().mono);
        }
    }

    /// When the loop has something to do, whatever comes.
    fn due(&self) -> Instant {
        let next = self.engine.poll_timeout().map(|(at, _)| at);
        let sign = self.manager.as_ref().and_then(Manager::due);
        let due = [next, self.cut_at, sign, self.answers.deadline()].into_iter().flatten().min();
        due.unwrap_or_else(|| clock::now().mono + Duration::from_secs(3600))
    }

    /// What comes with each round of the loop.
    fn went_round(&mut self) {
        let now = clock::now().mono;
        self.answers.release(now);
        if let Some(manager) = &mut self.manager {
            manager.alive(now);
        }
    }

    /// Gives the engine one input, and those that its own wishes bring forth.
    fn take(&mut self, input: Input) {
        self.pending.push_back(input);
        while let Some(input) = self.pending.pop_front() {
            let now = clock::now();
            if self.recorder.wants_segment(now.mono) {
                let start = Start::Midway(Box::new(&self.engine));
                self.recorder.begin_segment(&header(start), now.mono);
            }
            self.recorder.line(&Line::In(now, input.clone()));
            if let Input::Applied(report) = &input {
                self.answers.applied(report.generation);
            }
            self.engine.handle(input, now);
            self.drain(now);
            self.cut_recording(now);
        }
    }

    /// Carries out what the engine asks for, in order.
    fn drain(&mut self, now: Now) {
        while let Some(output) = self.engine.poll_output() {
            self.recorder.line(&Line::Out(output.clone()));
            self.carry_out(output, now);
        }
    }

    fn carry_out(&mut self, output: Output, now: Now) {
        let config = self.engine.config();
        match output {
            Output::Probe(request) => self.prober.send(request),
            Output::Forget(uplink) => self.prober.forget(uplink),
            Output::ReadCounters { bytes } => {
                if let Some(door) = &self.door {
                    door.read_counters(bytes.then(|| self.engine.interfaces()));
                }
            }
            Output::Converge { generation, wish } => {
                if let Some(door) = &self.door {
                    door.converge(generation, wish, config.probe.targets.clone());
                    self.answers.begins(generation, now.mono);
                }
            }
            Output::Refuse(families) => {
                if let Some(door) = &self.door {
                    door.refuse(families);
                }
            }
            Output::FlushStrays => {
                if let Some(flows) = &self.flows {
                    flows.flush_strays();
                }
            }
            Output::Flush(request) => {
                if let Some(flows) = &self.flows {
                    flows.flush(request);
                }
            }
            Output::CountFlows(except) => {
                if let Some(flows) = &self.flows {
                    flows.count(except);
                }
            }
            Output::Resolvers(now) => {
                let written = resolvers::write(&config.run_dir, &now.text());
                self.keeping.tried("who answers names", written);
            }
            Output::Advertise(advert) => self.advertiser.send(&advert),
            Output::Leds(lamps) => self.leds.show(lamps),
            Output::Listen(places) => self.web.listen(places),
            Output::Record(event) => self.tell(&event, now),
            Output::SaveState(state) => {
                let saved = store::save_state(&config.state_dir, &state);
                self.keeping.tried("what was learned", saved);
            }
            Output::SaveRun(run) => {
                self.keeping.tried("what people chose", store::save_run(&config.run_dir, &run));
            }
            Output::Answer(number, answer) => self.answers.command(number, answer),
        }
    }

    /// One fact, one line in the log.
    fn tell(&mut self, event: &Event, now: Now) {
        self.web.feed().entry(event);
        self.shown.outdate();
        let code = event.fact.code();
        match event.fact.severity() {
            Severity::Debug => tracing::debug!(code, "{}", event.fact),
            Severity::Info | Severity::Notice => tracing::info!(code, "{}", event.fact),
            Severity::Warning => tracing::warn!(code, "{}", event.fact),
        }
        if let Some(manager) = &mut self.manager
            && event.fact.severity() != Severity::Debug
        {
            manager.say(&self.engine.snapshot(now).sentence);
        }
        if matches!(event.fact, Fact::Switched { .. } | Fact::NoWayOut { .. }) {
            self.cut_at.get_or_insert(now.mono + AFTERMATH);
        }
    }

    /// Keeps the minutes around a switch, a little after it.
    fn cut_recording(&mut self, now: Now) {
        if self.cut_at.take_if(|at| *at <= now.mono).is_none() {
            return;
        }
        let text = self.recorder.cut();
        let path = self.engine.config().run_dir.join(LAST_RECORDING);
        let keeping = self.keeping.clone();
        tokio::task::spawn_blocking(move || {
            keeping.tried("the recording of a switch", record::keep(&path, &text));
        });
        self.recorder.flush();
    }

    fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::Status(way) => {
                self.take(Input::Watched);
                self.answers.give(way, self.engine.snapshot(clock::now()));
            }
            Ask::Timeline(way) => drop(way.send(self.engine.timeline(clock::now()))),
            Ask::History(way) => drop(way.send(self.engine.history().iter().cloned().collect())),
            Ask::Command(command, way) => {
                let number = self.answers.expect(way);
                self.take(Input::Command(number, command));
            }
            Ask::Reload(way) => {
                let done = self.reload();
                self.answers.give(way, done);
            }
        }
    }

    /// Reads the configuration again. A wrong one changes nothing.
    fn reload(&mut self) -> Result<String, String> {
        let file = &self.options.config_file;
        match config::load(file) {
            Ok(mut config) => {
                if let Some(run_dir) = &self.options.run_dir {
                    config.run_dir.clone_from(run_dir);
                }
                board::fit(&mut config);
                let message = format!("configuration reloaded: {}", file.display());
                self.take(Input::Reload(Box::new(config)));
                Ok(message)
            }
            Err(mistakes) => {
                tracing::warn!("the new configuration is wrong; the old one stays\n{mistakes}");
                Err(mistakes.to_string())
            }
        }
    }
}

fn header<E>(start: Start<E>) -> Header<E> {
    Header { version: env!("CARGO_PKG_VERSION").to_owned(), format: record::FORMAT, start }
}

/// The engine of a recording, for `replay`.
///
/// # Errors
///
/// When the file cannot be read or is no recording.
#[cfg(feature = "replay")]
pub fn open_recording(
    path: &Path,
) -> anyhow::Result<(Engine, impl Iterator<Item = std::io::Result<Line>>)> {
    let (header, lines) = record::read::<Engine>(path)
        .with_context(|| format!("cannot read the recording {}", path.display()))?;
    let engine = match header.start {
        Start::Born { config, mode, seed, restored, now } => {
            Engine::new(*config, mode, *restored, seed, now)
        }
        Start::Midway(engine) => *engine,
    };
    Ok((engine, lines))
}
