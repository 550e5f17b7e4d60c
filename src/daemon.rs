//! The agent: one loop. It waits for one input, lets the engine handle it, carries out what the
//! engine asks for, and waits again. Nothing else in the program changes anything.

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::config::{self, HistoryOn};
use crate::engine::dataplane::Left;
use crate::engine::events::causes::Deed;
use crate::engine::events::facts::{Event, Fact};
use crate::engine::input::Input;
use crate::engine::kernel::view::KernelView;
use crate::engine::names::resolvers::Named;
use crate::engine::output::Output;
use crate::engine::probe::ProbeReply;
use crate::engine::state::Restored;
use crate::engine::status::snapshot::Snapshot;
use crate::engine::{Engine, Mode};
use crate::io::advertise::Advertiser;
use crate::io::ddns::Names;
use crate::io::flows::Flows;
use crate::io::leds::Leds;
use crate::io::lock::Lock;
use crate::io::netlink::nft::Nft;
use crate::io::notify::{self, Notifier, Wants};
use crate::io::probe::Prober;
use crate::io::record::{self, Line, Recorder, Start};
use crate::io::systemd::Systemd;
use crate::io::web::{self, Ask, Web};
use crate::io::{clock, disk, faults, resolvers, store, sysctl, ubus};
use crate::time::{Instant, Now};
use crate::units::Severity;

mod answers;
mod asked;
mod auto;
mod board;
mod crash;
mod days;
mod evidence;
mod firewalls;
mod history;
mod keeping;
mod on_ubus;
mod options;
mod publish;
mod reconciler;
mod recording;
mod showing;
mod thread;
mod watching;

pub use auto::Auto;
pub use options::Options;
use recording::header;
#[cfg(feature = "replay")]
pub use recording::open_recording;

/// Where the recording of the last switch is kept, below the run directory.
pub const LAST_RECORDING: &str = "last-switch.jsonl";
/// A recording is cut out this long after a switch, so that it shows what came of it.
const AFTERMATH: Duration = Duration::from_secs(6);
/// Probe ends that may wait: three uplinks in a burst make some 200 a second.
const REPLIES: usize = 1024;
/// From a socket to the loop: the event loop sees that it is readable, the task that reads it runs, and the
/// task that asked.
const READING: usize = 3;
/// The engine is told this often that people look.
const LOOKING: Duration = Duration::from_secs(1);
/// Other queues: people are slow, and the kernel answers one at a time.
const QUEUE: usize = 64;

/// Everything around the engine.
struct Agent {
    engine: Engine,
    options: Options,
    recorder: Recorder,
    prober: Prober,
    reconciler: Option<reconciler::Reconciler>,
    evidence: Option<Nft>,
    flows: Option<Flows>,
    firewalls: Option<firewalls::Firewalls>,
    advertiser: Advertiser,
    notifier: Notifier,
    names: Option<Names>,
    leds: Leds,
    web: Web,
    shown: publish::Shown,
    shared: publish::Shared,
    systemd: Option<Systemd>,
    pending: VecDeque<Input>,
    answers: answers::Answers,
    keeper: keeping::Keeper,
    history: history::History,
    days: days::DayBook,
    failing: keeping::Failing,
    /// When the engine was last told that people look.
    watched_at: Option<Instant>,
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
    let (reconciler, flows, left) = match options.mode {
        Mode::Observe => (None, None, Left::default()),
        Mode::Steer => {
            let opened = reconciler::open(run_dir.clone(), done.clone()).await?;
            (Some(opened.reconciler), opened.flows, opened.left)
        }
    };
    let (mut changed, view) = watching::start().await?;
    let files = web::Files {
        password: web::password::file(&options.config_file),
        configuration: Some(options.config_file.clone())
            .filter(|file| options.auto.is_none() && !config::is_uci(file)),
    };
    let web = Web::start(web::listen(&run_dir)?, asks.clone(), files, watching::neighbours())
        .context("cannot start to serve")?;
    on_ubus::answer(web.feed().clone(), asks);
    web.configure(&options.config.web);
    if options.mode == Mode::Steer
        && let Err(error) = sysctl::allow_ping(&run_dir)
    {
        tracing::debug!(%error, "echoes need CAP_NET_RAW");
    }
    let steers = options.mode == Mode::Steer;
    let (mut agent, mut wants) = Agent::new(options, replies, reconciler, flows, web)?;
    let state_dir = agent.engine.config().state_dir.clone();
    agent.evidence = steers.then(Nft::open).transpose()?;
    agent.names = steers.then(|| Names::start(state_dir, done.clone())).transpose()?;
    agent.firewalls = steers.then(|| firewalls::Firewalls::start(done.clone())).transpose()?;
    ubus::watch(Path::new(ubus::SOCKET), done.clone());
    let named = resolvers::watch(Path::new("/"), done);
    let mut written = agent.keeper.done();
    agent.begin(named, view, left);

    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut alarm = clock::Alarm::new().context("cannot make a timer")?;
    loop {
        let turn = tokio::select! {
            Some(reply) = answered.recv() => Turn::Take(Input::Probe(reply)),
            Some(input) = inputs.recv() => Turn::Take(input),
            Some(input) = changed.recv() => Turn::Take(input),
            Some(ask) = asked.recv() => Turn::Answer(ask),
            _ = hangup.recv() => Turn::Reload,
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = alarm.wait_until(agent.due()) => Turn::Take(Input::Timeout),
            () = agent.time_to_show() => Turn::Show,
            () = agent.time_to_share() => Turn::Share,
            Some(wants) = wants.recv() => Turn::Want(wants),
            Ok(()) = written.changed() => Turn::Written(*written.borrow_and_update()),
        };
        agent.hear(&mut answered).await;
        agent.turn(turn);
    }
    agent.end(inputs).await;
    Ok(())
}

/// What the loop does next.
enum Turn {
    Take(Input),
    Answer(Ask),
    /// Whoever tells people wants something.
    Want(Wants),
    Reload,
    Show,
    /// Those who watch from outside are to be told how things are.
    Share,
    /// Everything up to this number is on disk.
    Written(u64),
}

impl Agent {
    fn new(
        mut options: Options,
        replies: mpsc::Sender<ProbeReply>,
        reconciler: Option<reconciler::Reconciler>,
        flows: Option<Flows>,
        web: Web,
    ) -> anyhow::Result<(Self, mpsc::Receiver<Wants>)> {
        let now = clock::now();
        board::fit(&mut options.config);
        notify::add_hooks(&mut options.config, &options.config_file);
        let leds = board::leds(&options.config, options.mode);
        let (config, mode, seed) = (options.config.clone(), options.mode, clock::seed());
        let (history, events) = history::History::open(&config, now);
        let dir = (config.history == HistoryOn::Disk).then(|| config.state_dir.clone());
        let days = days::DayBook::start(dir, now.mono).context("cannot start to reckon days")?;
        let channels = if mode == Mode::Steer { config.notify.clone() } else { Vec::new() };
        let (notifier, wants, known) = Notifier::start(channels, config.state_dir.clone())
            .context("cannot start to send messages")?;
        let kept = store::restore(&config.state_dir, &config.run_dir);
        let restored = Restored { events, known, ..kept };
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
        let agent = Self {
            engine: Engine::new(config, mode, restored, seed, now),
            options,
            recorder,
            prober: Prober::new(replies),
            reconciler,
            evidence: None,
            flows,
            firewalls: None,
            names: None,
            notifier,
            advertiser: Advertiser::default(),
            leds,
            web,
            shown: publish::Shown::default(),
            shared: publish::Shared::default(),
            systemd: Systemd::find(),
            pending: VecDeque::new(),
            answers: answers::Answers::default(),
            history,
            days,
            keeper: keeping::Keeper::start().context("cannot start to write")?,
            failing: keeping::Failing::default(),
            watched_at: None,
            cut_at: None,
        };
        Ok((agent, wants))
    }

    /// Leaves the traffic as it is, and waits for those who still write.
    async fn end(mut self, inputs: mpsc::Receiver<Input>) {
        if let Some(systemd) = &self.systemd {
            systemd.stopping();
        }
        self.take(Input::Stop);
        // Its answers are of no use any more.
        drop(inputs);
        if let Some(reconciler) = self.reconciler.take() {
            reconciler.shut().await;
        }
        self.leds.stop();
        self.recorder.flush();
        self.history.end(&self.keeper);
        self.keeper.end().await;
        self.notifier.end().await;
    }

    fn begin(&mut self, named: Named, view: KernelView, left: Left) {
        // What the engine has asked for since its birth comes before all inputs, in a recording too.
        self.drain(clock::now());
        self.take(Input::Resolvers(named));
        self.take(Input::Started { view, adopted: left.active, spares: left.spares });
        if let Some(why) = self.options.undone.take() {
            self.take(Input::Did(Deed::Undo { why }));
        }
        self.follow_system();
        if let Some(systemd) = &mut self.systemd {
            systemd.ready();
            systemd.alive(clock::now().mono);
        }
    }

    /// When the loop has something to do, whatever comes.
    fn due(&self) -> Instant {
        let next = self.engine.poll_timeout().map(|(at, _)| at);
        let sign = self.systemd.as_ref().and_then(Systemd::due);
        let answer = self.answers.deadline(self.engine.converging_since());
        let write = self.history.due();
        let day = Some(self.days.due());
        let due = [next, self.cut_at, sign, answer, write, day].into_iter().flatten().min();
        due.unwrap_or_else(|| clock::now().mono + Duration::from_secs(3600))
    }

    /// Takes in the answers that have arrived, before anything else is judged by the time: after the loop
    /// was kept busy they may be at the sockets still, and the tasks that read them have to run first.
    async fn hear(&mut self, answered: &mut mpsc::Receiver<ProbeReply>) {
        for _ in 0..READING {
            tokio::task::yield_now().await;
            while let Ok(reply) = answered.try_recv() {
                self.take(Input::Probe(reply));
            }
        }
    }

    fn turn(&mut self, turn: Turn) {
        match turn {
            Turn::Take(input) => {
                let of_kernel = matches!(input, Input::Kernel(_) | Input::View(_));
                self.take(input);
                if of_kernel {
                    self.follow_system();
                }
            }
            Turn::Answer(ask) => self.answer(ask),
            Turn::Want(wants) => self.want(wants),
            Turn::Reload => drop(self.reload()),
            Turn::Show => self.show(),
            Turn::Share => self.share(),
            Turn::Written(number) => self.answers.written(number),
        }
        let now = clock::now();
        self.history.run(&self.keeper, now);
        self.days.look(|| self.history.all(), now);
        self.answers.release(self.engine.converging_since(), now.mono);
        if let Some(systemd) = &mut self.systemd {
            systemd.alive(now.mono);
        }
    }

    /// Gives the engine one input, and those that its own outputs bring forth.
    fn take(&mut self, input: Input) {
        self.pending.push_back(input);
        while let Some(input) = self.pending.pop_front() {
            let now = clock::now();
            if self.recorder.wants_segment(now.mono) {
                let start = Start::Midway(Box::new(&self.engine));
                self.recorder.begin_segment(&header(start), now.mono);
            }
            self.recorder.line(&Line::In(now, input.clone()));
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
            Output::ReadCounters { bytes } => self.read_counters(bytes),
            Output::Converge { generation, desired, towards } => {
                if let Some(reconciler) = &self.reconciler {
                    reconciler.converge(generation, desired, towards);
                }
            }
            Output::Refuse(families) => {
                if let Some(reconciler) = &self.reconciler {
                    reconciler.refuse(families);
                }
            }
            Output::LookAtFirewalls(ways) => {
                if let Some(firewalls) = &self.firewalls {
                    firewalls.look(ways);
                }
            }
            output @ (Output::FlushUnNated | Output::Flush(_) | Output::CountFlows(_)) => {
                self.see_to_flows(output);
            }
            Output::Resolvers(now) => {
                let written = resolvers::write(&config.run_dir, &now.text());
                self.failing.tried("who answers names", written);
            }
            Output::Advertise(advert) => self.advertiser.send(&advert),
            Output::Leds(lamps) => self.leds.show(lamps),
            Output::Listen(places) => self.web.listen(places),
            Output::Record(event) => self.tell(&event, now),
            Output::SaveState(state) => {
                let dir = config.state_dir.clone();
                let number =
                    self.keeper.keep("what was learned", move || store::save_state(&dir, &state));
                self.answers.writes(number, now.mono);
            }
            Output::SaveRun(run) => {
                let dir = config.run_dir.clone();
                let number =
                    self.keeper.keep("what people chose", move || store::save_run(&dir, &run));
                self.answers.writes(number, now.mono);
            }
            Output::Notify(messages, known) => {
                self.notifier.tell(messages, known, web::document(&self.snapshot(now)));
            }
            Output::Heartbeat(signs) => {
                let state = web::document(&self.snapshot(now));
                if let Some(config) = &self.engine.config().heartbeat {
                    self.notifier.beat(config.clone(), signs, state);
                }
            }
            output @ (Output::Name(_) | Output::Outside(_)) => self.ask_for_names(output),
            Output::Answer(number, answer) => self.answers.command(number, answer),
        }
    }

    /// Has done what is to be done for flows.
    fn see_to_flows(&self, output: Output) {
        let Some(flows) = &self.flows else { return };
        if let Output::Flush(request) = output {
            flows.flush(request);
        } else if let Output::CountFlows(except) = output {
            flows.count(except);
        } else {
            flows.flush_un_nated();
        }
    }

    /// Has done what is to be done for names.
    fn ask_for_names(&self, output: Output) {
        let Some(names) = &self.names else { return };
        if let Output::Name(request) = output {
            let mut all = self.engine.config().ddns.iter();
            if let Some(config) = all.find(|config| config.name == request.name) {
                names.ask(request, config.clone());
            }
        } else if let Output::Outside(request) = output {
            names.ask_outside(request);
        }
    }

    /// One fact, one line in the log.
    fn tell(&mut self, event: &Event, now: Now) {
        let entry = self.history.take(event, now);
        self.web.feed().outdate();
        self.web.feed().entry(&entry);
        self.shown.outdate();
        self.shared.outdate();
        let (code, uplink) = (event.fact.code().word(), event.fact.uplink());
        match event.fact.severity() {
            Severity::Debug => tracing::debug!(code, uplink, "{}", event.fact),
            Severity::Info | Severity::Notice => tracing::info!(code, uplink, "{}", event.fact),
            Severity::Warning => tracing::warn!(code, uplink, "{}", event.fact),
            Severity::Critical => tracing::error!(code, uplink, "{}", event.fact),
        }
        if let Some(systemd) = &mut self.systemd {
            systemd.say(&self.engine.snapshot(now).sentence);
        }
        if matches!(event.fact, Fact::Switched { .. } | Fact::AllUplinksDown { .. }) {
            self.cut_at.get_or_insert(now.mono + AFTERMATH);
        }
    }

    /// Keeps the minutes around a switch, a little after it.
    fn cut_recording(&mut self, now: Now) {
        if self.cut_at.take_if(|at| *at <= now.mono).is_none() {
            return;
        }
        let cut = self.recorder.cut();
        let path = self.engine.config().run_dir.join(LAST_RECORDING);
        self.keeper.keep("the recording of a switch", move || record::keep(&path, &cut));
        self.recorder.flush();
    }

    /// The state as everybody is told it.
    fn snapshot(&self, now: Now) -> Snapshot {
        Snapshot {
            messages: self.notifier.shown(),
            history_head: self.history.head(),
            ..self.engine.snapshot(now)
        }
    }
}
