//! How long the house is cut off: measured by a LAN client that opens a new flow every 5 ms, on the
//! real kernel in namespaces, beside the shell loop that people write first.
//!
//! `make bench` runs it. It reports and asserts nothing: the machine may be busy. A run in which the
//! agent's own loop was late by more than 100 ms is repeated, and counted.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sparelink::engine::dataplane::nft::{Chain, ChainKind, Hook, HookPoint, Set, Stmt, Table};
use sparelink::io::netlink::nft::Nft;
use sparelink::lab::agent::{self, Agent, Status};
use sparelink::lab::chatter::Chatter;
use sparelink::lab::meter::Meter;
use sparelink::lab::script::{Action, Kind, LineEvent, Settings};
use sparelink::lab::stage;
use sparelink::lab::topology::{ECHO4, Home, Plan};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

/// The loop's own delay that makes a run worthless.
const LATE: f64 = 100.0;
/// How long the fate of the last flows takes to be known.
const SETTLE: Duration = Duration::from_millis(1500);
/// How long a cut line stays cut at the least.
const REPAIR: Duration = Duration::from_secs(3);
/// Where a server hangs.
const HANGS: u16 = 8099;
/// Nothing that is waited for takes longer.
const LIMIT: Duration = Duration::from_secs(40);

fn main() -> ExitCode {
    let options = Options::read();
    if options.list {
        return ExitCode::SUCCESS;
    }
    stage::enter(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let done =
            runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(bench(&options)));
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                say(&format!("error: {error:#}"));
                ExitCode::FAILURE
            }
        }
    })
}

/// `--runs N`, `--agent FILE`, and names of the parts to run; all of them if there are none.
struct Options {
    runs: usize,
    agent: PathBuf,
    parts: Vec<String>,
    list: bool,
}

impl Options {
    fn read() -> Self {
        let mut this = Self {
            runs: 20,
            agent: env!("CARGO_BIN_EXE_sparelink").into(),
            parts: Vec::new(),
            list: false,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--runs" => this.runs = words.next().and_then(|n| n.parse().ok()).unwrap_or(20),
                "--agent" => this.agent = words.next().unwrap_or_default().into(),
                "--bench" => {}
                "--list" => this.list = true,
                part => this.parts.push(part.to_owned()),
            }
        }
        this
    }

    fn wants(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|wanted| wanted == part)
    }
}

async fn bench(options: &Options) -> Result<()> {
    say(&format!(
        "{:<52} {:>9} {:>9} {:>9}  runs",
        "milliseconds until a new flow is answered", "median", "19 of 20", "worst"
    ));
    let defaults = Settings::default();
    if options.wants("defaults") {
        chain(options, "", &defaults).await?;
    }
    if options.wants("window") {
        let window = vec![(None, Duration::from_millis(300))];
        let earned = Settings { windows: window, ..Settings::default() };
        severed(options, "severed, window 300 ms", &earned).await?;
    }
    if options.wants("chatter") {
        let chatter = Settings { chatter: true, ..Settings::default() };
        severed(options, "severed, LAN keeps asking the modem", &chatter).await?;
    }
    if options.wants("cellular") {
        let kinds = vec![("mifi".to_owned(), Kind::Cellular)];
        let cellular = Settings { kinds, ..Settings::default() };
        chain(options, ", second is cellular", &cellular).await?;
    }
    if options.wants("messages") {
        messages(options).await?;
    }
    if options.wants("start") {
        start(options).await?;
    }
    if options.wants("dead") {
        without_agent(options).await?;
    }
    if options.wants("reboot") {
        reboot(options).await?;
    }
    if options.wants("rest") {
        at_rest(options).await?;
    }
    if options.wants("baseline") {
        baseline(options).await?;
    }
    Ok(())
}

/// A home with an agent and a client.
struct Stage {
    home: Home,
    agent: Agent,
    meter: Meter,
    _chatter: Option<Chatter>,
}

impl Stage {
    async fn new(options: &Options, settings: &Settings) -> Result<Self> {
        Self::with(options, settings, "").await
    }

    /// With more in the configuration.
    async fn with(options: &Options, settings: &Settings, more: &str) -> Result<Self> {
        let plan = Plan::default();
        let home = Home::build(&plan).await?;
        home.target.spawn(hang());
        let text = agent::config(&plan, settings) + more;
        let mut agent = Agent::start(&home, &options.agent, &text).await?;
        let meter = Meter::start(&home.client, ECHO4).await?;
        let chatter = settings.chatter.then(|| Chatter::start(&home));
        agent.wait_proven(LIMIT).await?;
        sleep(SETTLE).await;
        Ok(Self { home, agent, meter, _chatter: chatter })
    }

    /// Something happens; how long until a new flow is answered, once traffic is on `to`.
    async fn gap(&mut self, uplink: &str, event: LineEvent, to: &str) -> Result<Duration> {
        let begun = self.home.apply(&Action::line(uplink, event)).await?;
        self.on(to).await?;
        sleep(SETTLE).await;
        Ok(self.meter.gap_after(begun).context("the client still has no answer")?.gap)
    }

    /// Everything is well again; how many flows were lost until traffic was back on `to`.
    async fn failback(&mut self, uplinks: &[&str], to: &str) -> Result<u64> {
        // A line that answers again within seconds of its verdict was judged too early, thinks the
        // agent, and is patient from then on: the digger takes longer than that.
        sleep(REPAIR).await;
        let begun = Instant::now();
        for uplink in uplinks {
            self.home.apply(&Action::line(uplink, LineEvent::Restore)).await?;
        }
        self.on(to).await?;
        sleep(SETTLE).await;
        let lost = self.meter.flows(begun, Instant::now() - SETTLE / 2).lost;
        self.agent.wait_proven(LIMIT).await?;
        Ok(lost)
    }

    async fn on(&mut self, uplink: &str) -> Result<Status> {
        let is = |status: &Status| status.active.as_deref() == Some(uplink);
        self.agent.wait(LIMIT, &format!("traffic on {uplink}"), is).await
    }

    /// Whether the agent's own loop was late: then the machine was measured, not the agent.
    async fn was_late(&self) -> Result<bool> {
        Ok(self.agent.status().await?.loop_gap_ms > LATE)
    }
}

/// Carrier loss, a severed line, a second one, and the ways back.
async fn chain(options: &Options, note: &str, settings: &Settings) -> Result<()> {
    let mut stage = Stage::new(options, settings).await?;
    let (mut carrier, mut first, mut second) = (Sample::new(), Sample::new(), Sample::new());
    let (mut lost, mut failbacks) = (Vec::new(), 0);
    while first.times.len() < options.runs {
        let gap = stage.gap("cable", LineEvent::Unplug, "mifi").await?;
        carrier.take(gap, stage.was_late().await?);
        lost.push(stage.failback(&["cable"], "cable").await?);
        let one = stage.gap("cable", LineEvent::Sever, "mifi").await?;
        let two = stage.gap("mifi", LineEvent::Sever, "phone").await?;
        let late = stage.was_late().await?;
        first.take(one, late);
        second.take(two, late);
        lost.push(stage.failback(&["cable", "mifi"], "cable").await?);
        failbacks += 2;
    }
    carrier.print(&format!("carrier lost{note}"));
    first.print(&format!("severed beyond the modem{note}"));
    second.print(&format!("second failover{note}"));
    let worst = lost.iter().max().copied().unwrap_or(0);
    let sum: u64 = lost.iter().sum();
    say(&format!(
        "{:<52} {sum} lost in all, {worst} at worst, {failbacks} failbacks",
        format!("failback{note}")
    ));
    Ok(())
}

async fn severed(options: &Options, title: &str, settings: &Settings) -> Result<()> {
    let mut stage = Stage::new(options, settings).await?;
    let mut sample = Sample::new();
    while sample.times.len() < options.runs {
        let gap = stage.gap("cable", LineEvent::Sever, "mifi").await?;
        sample.take(gap, stage.was_late().await?);
        stage.failback(&["cable"], "cable").await?;
    }
    sample.print(title);
    Ok(())
}

/// Takes connections and says nothing.
async fn hang() {
    let Ok(listener) = TcpListener::bind((ECHO4, HANGS)).await else { return };
    let mut held = Vec::new();
    while let Ok((stream, _)) = listener.accept().await {
        held.push(stream);
    }
}

/// A severed line while nobody is told anything, and while every channel has a message that hangs.
async fn messages(options: &Options) -> Result<()> {
    let at = format!("{ECHO4}:{HANGS}");
    let script = std::env::temp_dir().join(format!("sparelink-hangs-{}", std::process::id()));
    std::fs::write(&script, "#!/bin/sh\nexec sleep 60\n")?;
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let all = [
        format!("json://{at}/hook"),
        format!("ntfy://{at}/topic"),
        format!("gotify://{at}/TOKEN"),
        format!("mailto://me:secret@{at}?to=a@home.example&from=b@home.example"),
        format!("mqtt://me:secret@{at}/topic"),
        format!("hilink://{at}/+4915112345678?uplink=phone"),
        format!("exec://{}", script.display()),
    ];
    let channels: String =
        all.iter().map(|to| format!("[[notify]]\nto = {to:?}\nmin = \"notice\"\n")).collect();
    let heartbeat =
        format!("[heartbeat]\nurl = \"http://{at}/\"\nevery = \"10s\"\neach_uplink = true\n");
    let mut medians = Vec::new();
    for (title, more) in [
        ("severed, nobody is told", String::new()),
        ("severed, every channel hangs", channels + &heartbeat),
    ] {
        let mut stage = Stage::with(options, &Settings::default(), &more).await?;
        let mut sample = Sample::new();
        while sample.times.len() < options.runs {
            let gap = stage.gap("cable", LineEvent::Sever, "mifi").await?;
            sample.take(gap, stage.was_late().await?);
            stage.failback(&["cable"], "cable").await?;
        }
        let late = stage.agent.status().await?.loop_gap_ms;
        sample.print(title);
        say(&format!("{:<52} {late:>9.1}", "  the agent's loop, late by at most"));
        sample.times.sort_unstable();
        medians.extend(sample.times.get(sample.times.len() / 2).map(Duration::as_secs_f64));
    }
    std::fs::remove_file(&script)?;
    if let [without, with] = medians[..] {
        say(&format!("{:<52} {:>9.2}", "  ratio of the medians", with / without));
    }
    Ok(())
}

/// The agent starts in a home whose links are up: how long until the LAN is online, and until an uplink is
/// chosen because it was proven.
async fn start(options: &Options) -> Result<()> {
    let plan = Plan::default();
    let config = agent::config(&plan, &Settings::default());
    let (mut online, mut proven) = (Sample::new(), Sample::new());
    while online.times.len() < options.runs {
        let home = Home::build(&plan).await?;
        let meter = Meter::start(&home.client, ECHO4).await?;
        sleep(SETTLE).await;
        let begun = Instant::now();
        let mut agent = Agent::start(&home, &options.agent, &config).await?;
        let is = |status: &Status| {
            let active = status.active.as_deref().and_then(|name| status.uplink(name));
            active.is_some_and(|uplink| uplink.health == "up")
        };
        agent.wait(LIMIT, "a proven uplink in use", is).await?;
        let chosen = begun.elapsed();
        sleep(SETTLE).await;
        let first = meter.gap_after(begun).context("the client still has no answer")?.gap;
        let late = agent.status().await?.loop_gap_ms > LATE;
        online.take(first, late);
        proven.take(chosen, late);
    }
    online.print("start: the LAN's first answer");
    proven.print("start: on a proven uplink");
    Ok(())
}

/// Carrier loss while the agent is dead: the kernel alone.
async fn without_agent(options: &Options) -> Result<()> {
    let mut sample = Sample::new();
    let settings = Settings::default();
    while sample.times.len() < options.runs {
        let mut stage = Stage::new(options, &settings).await?;
        stage.agent.end(nix::sys::signal::Signal::SIGKILL).await?;
        sleep(SETTLE).await;
        let begun = stage.home.apply(&Action::line("cable", LineEvent::Unplug)).await?;
        sleep(SETTLE * 2).await;
        let gap = stage.meter.gap_after(begun).context("the client still has no answer")?;
        sample.take(gap.gap, false);
    }
    sample.print("carrier lost, agent dead");
    Ok(())
}

/// A modem reboots: carrier comes back long before the Internet does.
async fn reboot(options: &Options) -> Result<()> {
    let mut stage = Stage::new(options, &Settings::default()).await?;
    let begun = stage.home.apply(&Action::line("cable", LineEvent::Reboot)).await?;
    stage.on("mifi").await?;
    sleep(SETTLE).await;
    let gap = stage.meter.gap_after(begun).context("the client still has no answer")?;
    let moved = Instant::now();
    sleep(Duration::from_secs(66)).await;
    stage.on("cable").await?;
    sleep(SETTLE).await;
    let lost = stage.meter.flows(moved, Instant::now() - SETTLE / 2).lost;
    let first = gap.gap.as_millis();
    say(&format!(
        "{:<52} {first} ms at first, then {lost} flows lost",
        "modem reboots, line dead for 60 s"
    ));
    Ok(())
}

/// Memory and CPU of the agent with three uplinks and no LAN traffic.
async fn at_rest(options: &Options) -> Result<()> {
    let plan = Plan::default();
    let home = Home::build(&plan).await?;
    let config = agent::config(&plan, &Settings::default());
    let mut agent = Agent::start(&home, &options.agent, &config).await?;
    agent.wait_proven(LIMIT).await?;
    sleep(Duration::from_secs(5)).await;
    let (pid, span) = (agent.pid(), Duration::from_secs(60));
    let before = cpu_ticks(pid)?;
    sleep(span).await;
    let ticks = cpu_ticks(pid)? - before;
    // USER_HZ is 100 on every architecture that Linux runs a shell on.
    let percent = ticks as f64 / span.as_secs_f64();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let rss = status.lines().find(|line| line.starts_with("VmRSS")).context("no VmRSS")?;
    let rss: u64 = rss.split_whitespace().nth(1).context("no size")?.parse()?;
    say(&format!(
        "{:<52} RSS {:.1} MB, CPU {percent:.2} % of a core",
        "at rest, three uplinks",
        rss as f64 / 1e3
    ));
    Ok(())
}

fn cpu_ticks(pid: u32) -> Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let rest = stat.rsplit_once(") ").context("an odd stat")?.1;
    let fields: Vec<&str> = rest.split(' ').collect();
    let field = |n: usize| -> Result<u64> { Ok(fields.get(n).context("a short stat")?.parse()?) };
    Ok(field(11)? + field(12)?)
}

/// The shell loop, in the same home.
async fn baseline(options: &Options) -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    home.router.run(async { masquerade() }).await??;
    let meter = Meter::start(&home.client, ECHO4).await?;
    let (mut carrier, mut first, mut second) = (Sample::new(), Sample::new(), Sample::new());
    let mut lost = Vec::new();
    let _script = PingLoop::start(&home).await?;
    sleep(Duration::from_secs(5)).await;
    for _ in 0..options.runs.min(20) {
        let gap = answered_after(&home, &meter, "cable", LineEvent::Unplug).await?;
        carrier.take(gap, false);
        lost.push(quiet_return(&home, &meter, &["cable"]).await?);
        first.take(answered_after(&home, &meter, "cable", LineEvent::Sever).await?, false);
        second.take(answered_after(&home, &meter, "mifi", LineEvent::Sever).await?, false);
        lost.push(quiet_return(&home, &meter, &["cable", "mifi"]).await?);
    }
    carrier.print("baseline, a 20-line ping loop: carrier lost");
    first.print("baseline: severed beyond the modem");
    second.print("baseline: second failover");
    let sum: u64 = lost.iter().sum();
    let worst = lost.iter().max().copied().unwrap_or(0);
    say(&format!(
        "{:<52} {sum} lost in all, {worst} at worst, {} failbacks",
        "baseline: failback",
        lost.len()
    ));
    Ok(())
}

async fn answered_after(
    home: &Home,
    meter: &Meter,
    uplink: &str,
    event: LineEvent,
) -> Result<Duration> {
    let begun = home.apply(&Action::line(uplink, event)).await?;
    while begun.elapsed() < LIMIT {
        sleep(SETTLE).await;
        if let Some(gap) = meter.gap_after(begun) {
            return Ok(gap.gap);
        }
    }
    bail!("the shell loop never moved the traffic")
}

async fn quiet_return(home: &Home, meter: &Meter, uplinks: &[&str]) -> Result<u64> {
    let begun = Instant::now();
    for uplink in uplinks {
        home.apply(&Action::line(uplink, LineEvent::Restore)).await?;
    }
    sleep(Duration::from_secs(8)).await;
    Ok(meter.flows(begun, Instant::now() - SETTLE).lost)
}

/// What a router has before any agent comes.
fn masquerade() -> Result<()> {
    let hook = Hook { kind: ChainKind::Nat, point: HookPoint::Postrouting, priority: 100 };
    let out = |name: &str| {
        let name = sparelink::units::IfName::new(name)?;
        Some(vec![Stmt::Oifname(name), Stmt::Masquerade])
    };
    let rules = ["wan0", "usb0", "wlan0"].into_iter().filter_map(out).collect();
    let chain = Chain { name: "nat".to_owned(), hook: Some(hook), rules };
    let sets = std::collections::BTreeMap::<String, Set>::new();
    let table =
        Table { name: "baseline".to_owned(), sets, chains: vec![chain], ..Table::default() };
    Nft::open()?.build(&table)?;
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
    for dev in ["wan0", "usb0", "wlan0"] {
        std::fs::write(format!("/proc/sys/net/ipv4/conf/{dev}/rp_filter"), "2")?;
    }
    Ok(())
}

/// The running shell loop; killed when dropped.
struct PingLoop(Child);

impl PingLoop {
    async fn start(home: &Home) -> Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/ping-loop.sh");
        let mut args: Vec<OsString> = vec![script.into()];
        for uplink in &home.uplinks {
            args.push(uplink.interface.clone().into());
            args.push(uplink.at.modem4.to_string().into());
        }
        let mut command = stage::child(Path::new("/bin/sh"), &args);
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        let child = home.router.run(async move { command.spawn() }).await??;
        Ok(Self(child))
    }
}

impl Drop for PingLoop {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Times of one kind, and how many runs were thrown away.
struct Sample {
    times: Vec<Duration>,
    repeated: usize,
}

impl Sample {
    const fn new() -> Self {
        Self { times: Vec::new(), repeated: 0 }
    }

    fn take(&mut self, time: Duration, late: bool) {
        if late {
            self.repeated += 1;
        } else {
            self.times.push(time);
        }
    }

    fn print(&mut self, title: &str) {
        self.times.sort();
        let at = |share: f64| {
            let last = self.times.len().saturating_sub(1);
            let position = ((self.times.len() as f64 * share).ceil() as usize).saturating_sub(1);
            let time = self.times.get(position.min(last)).copied().unwrap_or_default();
            format!("{:.1}", time.as_secs_f64() * 1e3)
        };
        let runs = self.times.len();
        let repeated = match self.repeated {
            0 => String::new(),
            n => format!(", {n} repeated"),
        };
        say(&format!(
            "{title:<52} {:>9} {:>9} {:>9}  {runs}{repeated}",
            at(0.5),
            at(0.95),
            at(1.0)
        ));
    }
}

fn say(text: &str) {
    use std::io::Write as _;
    // Where nobody reads, nothing is lost.
    drop(writeln!(std::io::stdout(), "{text}"));
}
