//! Random faults on the real agent for minutes, and what must hold all the time.
//!
//! `make soak MINUTES=30 SEED=7` plays for as long as one likes; a seed plays the same faults in the same order again,
//! as far as a kernel and a clock allow. What happened last is told when a promise is broken.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sparelink::lab::agent::{Agent, config};
use sparelink::lab::asked;
use sparelink::lab::meter::Meter;
use sparelink::lab::modem::Condition;
use sparelink::lab::script::{Action, LineEvent, Settings};
use sparelink::lab::topology::{ECHO4, Home, Plan};
use sparelink::lab::world::rng::Rng;
use sparelink::units::Family;
use tokio::time::{Instant, sleep};

use crate::guard::shell;
use crate::kernel::{Dump, device_of, dump, ours};
use crate::rest::rss_kb;
use crate::runner::{SOAK_MINUTES, SOAK_SEED};
use crate::stage::{AGENT, PROVEN, file, in_router};
use crate::{figure, skip};

crate::tests![
    #[ignore = "long: minutes"]
    random_faults_break_no_promise,
    #[ignore = "long: minutes"]
    agents_that_break_a_promise_are_found_out,
];

/// How long it takes if nobody says.
const MINUTES: u64 = 3;
/// How often it is looked whether everything holds.
const LOOK: Duration = Duration::from_millis(100);
/// 1 s is promised for putting back what others undo; the machine is shared.
const REPAIRED: Duration = Duration::from_secs(3);
/// An uplink that has worked for 5 s carries the traffic, after the hold (3 s here); the machine is shared.
const LIVES: Duration = Duration::from_secs(20);
/// In this time before, some flow has been answered.
const ANSWERED: Duration = Duration::from_secs(4);
/// The last answers may still be on their way.
const ON_ITS_WAY: Duration = Duration::from_secs(1);
/// How long everything may take to be proven again when all faults are over.
const HEALED: Duration = Duration::from_secs(60);
/// Most memory, with symbols and the lab in the program, in kB.
const RSS_KB: u64 = 24_000;
/// How many files more than at the beginning are open at most, when all is well: clients come and go.
const FILES: usize = 4;
/// How many files are open at most at any time: probes have sockets.
const FILES_EVER: usize = 300;
/// How many threads there are at most at any time: some write files, and go after a while.
const THREADS_EVER: usize = 12;
/// By hand, at the end, from one line that is fine to another.
const SWITCHES: usize = 10;
/// The table that carries the traffic.
const ACTIVE: u32 = 8300;
/// How much of the story is told after a failure.
const TOLD: usize = 30;

/// Something that happens.
#[derive(Clone, Debug)]
enum Deed {
    Happens(Action),
    /// An interface goes down and comes up, with its addresses and routes.
    Flap(usize),
    /// Others take out what is ours.
    Flush(&'static str),
    /// The agent is killed, and started again after a while.
    Kill(Duration),
    /// The agent stands still.
    Stall(Duration),
    Reload,
    Switch(Option<String>),
    /// Everything is in order again.
    Heal,
}

const UPLINKS: [(&str, &str, u64); 3] =
    [("cable", "wan0", 100), ("mifi", "usb0", 200), ("phone", "wlan0", 300)];
const FLUSHES: [&str; 3] = [
    "nft flush ruleset",
    "ip rule flush; ip rule add pref 32766 lookup main; ip -6 rule flush; ip -6 rule add pref 32766 lookup main",
    "ip route flush table 8300; ip -6 route flush table 8300",
];

fn deed(rng: &mut Rng) -> Deed {
    let mut below = |n: u64| usize::try_from(rng.number() % n).unwrap_or(0);
    let uplink = below(3);
    let name = UPLINKS[uplink].0;
    let line = |event| Deed::Happens(Action::line(name, event));
    match below(36) {
        0..=3 => line(LineEvent::Sever),
        4 => line(LineEvent::SeverOnly(Family::V4)),
        5 => line(LineEvent::SeverOnly(Family::V6)),
        6 => line(LineEvent::Lose([10, 30, 60, 100][below(4)])),
        7 | 8 => line(LineEvent::Unplug),
        9 => line(LineEvent::Silence),
        10 => line(LineEvent::Slow),
        11 => line(LineEvent::Portal),
        12 => line(LineEvent::BreakDns),
        13 => line(LineEvent::Vanish),
        14 => Deed::Flap(uplink),
        15 | 16 => Deed::Flush(FLUSHES[below(3)]),
        17..=19 => Deed::Kill(Duration::from_millis(rng.number() % 3000)),
        20 | 21 => Deed::Stall(Duration::from_millis(200 + rng.number() % 3000)),
        22 => Deed::Reload,
        23 => Deed::Switch(Some(name.to_owned())),
        24 => Deed::Switch(None),
        25 => Deed::Heal,
        _ => line(LineEvent::Restore),
    }
}

/// Whether a line carries packets, without any doubt.
fn is_fine(now: Condition) -> bool {
    let broken =
        now.unplugged || now.severed || now.silent || now.vanished || now.portal || now.mute;
    let odd = now.no_echoes || now.slow || now.bloat || now.dns_broken || now.resolvers_broken;
    !broken && !odd && now.loss == 0 && now.severed_only.is_none()
}

/// What the agent holds of the system.
#[derive(Clone, Copy, Debug, Default)]
struct Vitals {
    files: usize,
    threads: usize,
}

impl Vitals {
    fn of(pid: u32) -> Result<Self> {
        let count = |what: &str| {
            Ok::<_, std::io::Error>(fs::read_dir(format!("/proc/{pid}/{what}"))?.count())
        };
        Ok(Self { files: count("fd")?, threads: count("task")? })
    }
}

struct Soak {
    /// What runs as the agent.
    program: PathBuf,
    home: Home,
    meter: Meter,
    text: String,
    agent: Option<Agent>,
    recordings: Vec<PathBuf>,
    begun: Instant,
    /// Since when each line has been fine.
    fine: Vec<Option<Instant>>,
    /// Since when the agent has been at work.
    awake: Instant,
    /// When others last undid something.
    undone: Option<Instant>,
    /// Packets with a wrong source that left while nothing of ours stood.
    excused: u64,
    /// What stands while nothing is wrong: the rules depend on the configuration alone.
    rules: Vec<String>,
    /// The sysctls before the agent came.
    sysctls: BTreeMap<String, String>,
    /// Most that was seen.
    most: Vitals,
    /// How often it was seen that all holds.
    looks: u64,
    deeds: u64,
    story: VecDeque<String>,
}

/// From the environment.
fn number(name: &str) -> Result<Option<u64>> {
    asked::number(name).map_err(anyhow::Error::msg)
}

async fn random_faults_break_no_promise() -> Result<()> {
    let seed = number(SOAK_SEED)?.unwrap_or(0);
    let minutes = number(SOAK_MINUTES)?.unwrap_or(MINUTES);
    let mut soak = Soak::begin(AGENT.into()).await?;
    let played = soak.play(seed, Duration::from_secs(60 * minutes)).await;
    let told: Vec<String> = soak.story.iter().cloned().collect();
    let agent = soak.agent.as_ref().map(Agent::last_words).unwrap_or_default();
    played.with_context(|| {
        format!("make soak MINUTES={minutes} SEED={seed}\n{}\n{agent}", told.join("\n"))
    })?;
    let Soak { looks, deeds, excused, most: Vitals { files, threads }, .. } = soak;
    let starts = soak.recordings.len();
    figure(&format!(
        "seed {seed}: {deeds} deeds, {starts} starts, {looks} looks; {excused} packets with a wrong source while all was \
         flushed; at most {files} open files and {threads} threads"
    ));
    Ok(())
}

/// Agents with something beside them that breaks a promise again and again: its name, what it does, and
/// what is said of it.
const BROKEN: [(&str, &str, &[&str]); 4] = [
    (
        "neither-masquerade-nor-guard",
        "nft flush chain inet sparelink masq; nft flush chain inet sparelink guard_up; sleep 0.05",
        &["packets left with a wrong source"],
    ),
    ("a-rule-is-missing", "ip rule del pref 32765; sleep 0.01", &["rules"]),
    (
        "a-switch-drops-packets",
        // It stands still meanwhile: one that is awake puts things right before a packet is missed. An empty
        // table would not do, as there are the routes of `main`.
        "now=$(ip route show table 8300 metric 1)
        [ \"$now\" = \"$last\" ] || { kill -STOP $me; ip route add blackhole default table 8300; sleep 0.05
        ip route del blackhole default table 8300; kill -CONT $me; }
        last=$now; sleep 0.02",
        &["lost by switches"],
    ),
    (
        "sysctls-are-left",
        "echo 7 > /proc/sys/net/ipv4/conf/wan0/rp_filter; sleep 0.05",
        &["sysctls"],
    ),
];

async fn agents_that_break_a_promise_are_found_out() -> Result<()> {
    let seed = number(SOAK_SEED)?.unwrap_or(0);
    for (name, script, said) in BROKEN {
        let program = file(name);
        fs::write(
            &program,
            format!(
                "#!/bin/sh\nPATH=/usr/sbin:/sbin:/usr/bin:/bin\nme=$$\n\
                 ( ( while kill -0 $me; do {script}; done ) > /dev/null 2>&1 & )\nexec {AGENT} \"$@\"\n"
            ),
        )?;
        fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let begun = Instant::now();
        let mut soak = Soak::begin(program).await?;
        let played = soak.play(seed, Duration::from_secs(20)).await;
        let error =
            format!("{:#}", played.err().with_context(|| format!("{name}: nothing was noticed"))?);
        ensure!(
            said.iter().any(|said| error.contains(said)),
            "{name}: it was another promise: {error}"
        );
        let words: String = error.lines().next().unwrap_or_default().chars().take(100).collect();
        figure(&format!("{name} after {} s: {words}", begun.elapsed().as_secs()));
    }
    Ok(())
}

impl Soak {
    async fn begin(program: PathBuf) -> Result<Self> {
        let plan = Plan::default();
        let home = Home::build(&plan).await?;
        let meter = Meter::start(&home.client, ECHO4).await?;
        let now = Instant::now();
        let sysctls = dump(&home).await?.sysctls;
        Ok(Self {
            program,
            home,
            meter,
            text: config(&plan, &Settings::default()),
            agent: None,
            recordings: Vec::new(),
            begun: now,
            fine: vec![Some(now); UPLINKS.len()],
            awake: now,
            undone: None,
            excused: 0,
            rules: Vec::new(),
            sysctls,
            most: Vitals::default(),
            looks: 0,
            deeds: 0,
            story: VecDeque::new(),
        })
    }

    async fn play(&mut self, seed: u64, time: Duration) -> Result<()> {
        if shell(&self.home, "command -v nft ip").await.is_err() {
            skip("there is no nft or ip");
            return Ok(());
        }
        let mut rng = Rng::new(seed);
        self.start().await?;
        self.agent()?.wait_proven(PROVEN).await?;
        let first = Vitals::of(self.agent()?.pid())?;
        self.rules = ours(&self.home).await?.rules;
        let end = Instant::now() + time;
        while Instant::now() < end {
            let deed = deed(&mut rng);
            let pause = rng.between(LOOK, Duration::from_secs(6));
            self.tell(&format!("{deed:?}"));
            self.act(deed).await?;
            self.look_for(pause).await?;
        }
        self.heal().await?;
        self.switches_lose_nothing().await?;
        self.is_as_in_the_beginning(&first).await?;
        self.leaves_nothing().await?;
        self.is_decided_again().await
    }

    fn tell(&mut self, text: &str) {
        self.deeds += 1;
        let at = self.begun.elapsed().as_secs_f64();
        self.story.push_back(format!("{at:8.1} s {text}"));
        if self.story.len() > TOLD {
            self.story.pop_front();
        }
    }

    fn agent(&mut self) -> Result<&mut Agent> {
        self.agent.as_mut().context("there is no agent")
    }

    async fn start(&mut self) -> Result<()> {
        let path = file(&format!("soak-{}.jsonl", self.recordings.len()));
        let flags = ["--record", &path.display().to_string()];
        self.agent = Some(Agent::start_with(&self.home, &self.program, &self.text, &flags).await?);
        self.recordings.push(path);
        self.awake = Instant::now();
        Ok(())
    }

    async fn act(&mut self, deed: Deed) -> Result<()> {
        match deed {
            Deed::Happens(action) => {
                self.look().await?;
                self.home.apply(&action).await?;
                self.note_lines();
            }
            Deed::Flap(n) => {
                let (_, dev, metric) = UPLINKS[n];
                if self.home.uplinks[n].condition().vanished {
                    return Ok(());
                }
                // Its line is as good afterwards, but not in between.
                self.fine[n] = None;
                let net = 10 + n;
                shell(&self.home, &format!("ip link set {dev} down; sleep 0.3; ip link set {dev} up
                    ip -6 addr replace 2001:db8:{net}::2/64 dev {dev} nodad
                    ip route replace default via 192.168.{net}.1 dev {dev} proto dhcp metric {metric} || true
                    ip -6 route replace default via fe80::1 dev {dev} proto ra metric {metric} || true"))
                .await?;
                self.note_lines();
            }
            Deed::Flush(script) => {
                self.look().await?;
                self.undone = Some(Instant::now());
                shell(&self.home, script).await?;
            }
            Deed::Kill(pause) => self.die(pause).await?,
            Deed::Stall(pause) => {
                let pid = Pid::from_raw(self.agent()?.pid().cast_signed());
                kill(pid, Signal::SIGSTOP)?;
                sleep(pause).await;
                kill(pid, Signal::SIGCONT)?;
                self.awake = Instant::now();
            }
            Deed::Reload => {
                self.agent()?.must(&["reload"]).await?;
            }
            // It may be refused, in words.
            Deed::Switch(to) => {
                drop(self.agent()?.command(&["switch", to.as_deref().unwrap_or("auto")]).await?);
            }
            Deed::Heal => self.heal().await?,
        }
        Ok(())
    }

    /// The agent is killed; what it made stays as it is until it is there again.
    async fn die(&mut self, pause: Duration) -> Result<()> {
        let pid = Pid::from_raw(self.agent()?.pid().cast_signed());
        let no_longer_undone = self.undone.is_none_or(|at| at.elapsed() > REPAIRED);
        kill(pid, Signal::SIGSTOP)?;
        let before = ours(&self.home).await;
        self.agent()?.end(Signal::SIGKILL).await?;
        self.agent = None;
        if let (Ok(before), Ok(after), true) = (before, ours(&self.home).await, no_longer_undone) {
            before.must_equal(&after).context("a kill changed the kernel")?;
        }
        self.look_for(pause).await?;
        self.start().await
    }

    fn note_lines(&mut self) {
        let now = Instant::now();
        for (since, uplink) in self.fine.iter_mut().zip(&self.home.uplinks) {
            *since = is_fine(uplink.condition()).then(|| since.unwrap_or(now));
        }
    }

    async fn look_for(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.look().await?;
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// What must hold at any time.
    async fn look(&mut self) -> Result<()> {
        self.looks += 1;
        self.no_wrong_source().await?;
        self.traffic_flows()?;
        let undone = self.undone.is_some_and(|at| at.elapsed() < REPAIRED);
        let young = self.agent.is_some() && self.awake.elapsed() < REPAIRED;
        if !undone && !young {
            self.stands().await?;
        }
        let Some(agent) = &mut self.agent else {
            return Ok(());
        };
        if let Some(how) = agent.ended()? {
            bail!("the agent ended by itself: {how}");
        }
        let rss = rss_kb(agent.pid())?;
        ensure!(rss <= RSS_KB, "RSS {rss} kB");
        let zombies = children(agent.pid())?;
        ensure!(zombies == 0, "{zombies} children");
        let Vitals { files, threads } = Vitals::of(agent.pid())?;
        ensure!(files <= FILES_EVER && threads <= THREADS_EVER, "{files} files, {threads} threads");
        self.most.files = self.most.files.max(files);
        self.most.threads = self.most.threads.max(threads);
        Ok(())
    }

    /// No packet leaves with a source that is not the uplink's own, but for those that left while others had
    /// taken away what would have held them.
    async fn no_wrong_source(&mut self) -> Result<()> {
        let mut wrong = 0;
        for uplink in &self.home.uplinks {
            wrong += uplink.counters().await?.wrong_source;
        }
        if self.undone.is_some_and(|at| at.elapsed() < REPAIRED) {
            self.excused = wrong;
        }
        let excused = self.excused;
        ensure!(wrong <= excused, "{} packets left with a wrong source", wrong - excused);
        Ok(())
    }

    /// Where an uplink has been fine for long enough, some flow is answered.
    fn traffic_flows(&self) -> Result<()> {
        let longest = self.fine.iter().flatten().map(|since| *since.max(&self.awake)).min();
        let undone = self.undone.unwrap_or(self.begun);
        let Some(since) = longest.filter(|_| self.agent.is_some()).map(|at| at.max(undone)) else {
            return Ok(());
        };
        if since.elapsed() < LIVES + ANSWERED + ON_ITS_WAY {
            return Ok(());
        }
        let end = Instant::now() - ON_ITS_WAY;
        let flows = self.meter.flows(end - ANSWERED, end);
        ensure!(flows.sent > 10, "control: the client asks: {flows:?}");
        ensure!(
            flows.lost < flows.sent,
            "a line has been fine for {:?}, and nothing is answered: {flows:?}",
            since.elapsed()
        );
        Ok(())
    }

    /// What is ours is in the kernel, with the agent and without.
    async fn stands(&self) -> Result<()> {
        // An error: it changes while it is read.
        let Ok(Dump { rules, nft, .. }) = ours(&self.home).await else { return Ok(()) };
        ensure!(rules.len() > 6, "rules: {rules:?}");
        let lost: Vec<_> = steady(&self.rules).filter(|rule| !rules.contains(rule)).collect();
        ensure!(lost.is_empty(), "rules: without {lost:?}: {rules:?}");
        ensure!(!nft.is_empty(), "no table of ours");
        let any = self.fine.iter().flatten().any(|since| since.elapsed() > LIVES);
        if any && self.awake.elapsed() > LIVES {
            self.home.router.run(device_of(ACTIVE)).await??;
        }
        Ok(())
    }

    /// Everything is in order again, and is found out to be.
    async fn heal(&mut self) -> Result<()> {
        for (name, ..) in UPLINKS {
            self.home.apply(&Action::line(name, LineEvent::Restore)).await?;
        }
        self.note_lines();
        drop(self.agent()?.command(&["switch", "auto"]).await?);
        let begun = Instant::now();
        loop {
            self.look().await?;
            let status = self.agent()?.status().await;
            if status
                .as_ref()
                .is_ok_and(|s| s.all_proven() && s.active.as_deref() == Some(UPLINKS[0].0))
            {
                return Ok(());
            }
            ensure!(begun.elapsed() < HEALED, "not healed within {HEALED:?}: {status:#?}");
            sleep(LOOK).await;
        }
    }

    /// To leave a line that lives costs nobody a packet.
    async fn switches_lose_nothing(&mut self) -> Result<()> {
        let begun = Instant::now();
        for n in 0..SWITCHES {
            self.agent()?.must(&["switch", UPLINKS[n % 2].0]).await?;
            self.look_for(3 * LOOK).await?;
        }
        self.agent()?.must(&["switch", "auto"]).await?;
        sleep(ON_ITS_WAY).await;
        let end = Instant::now() - ON_ITS_WAY;
        let (flows, stream) = (self.meter.flows(begun, end), self.meter.stream(begun, end));
        ensure!(flows.sent > 10 && stream.sent > 100, "control: {flows:?} {stream:?}");
        ensure!(flows.lost + stream.lost == 0, "{flows:?} {stream:?} lost by switches");
        Ok(())
    }

    /// When nothing happens nothing is written, and nothing has been kept that was only needed for a while.
    async fn is_as_in_the_beginning(&mut self, first: &Vitals) -> Result<()> {
        // Threads that wrote files wait a while for more.
        self.look_for(Duration::from_secs(15)).await?;
        let before = dump(&self.home).await?;
        self.look_for(Duration::from_secs(3)).await?;
        before.ours().must_equal(&dump(&self.home).await?.ours()).context("at rest")?;
        let last = Vitals::of(self.agent()?.pid())?;
        ensure!(last.files <= first.files + FILES, "open files: {first:?}, now {last:?}");
        ensure!(last.threads <= first.threads + 1, "threads: {first:?}, now {last:?}");
        Ok(())
    }

    async fn leaves_nothing(&mut self) -> Result<()> {
        let dir = self.agent()?.run_dir().display().to_string();
        self.agent()?.end(Signal::SIGTERM).await?;
        let standing = ours(&self.home).await?;
        ensure!(!standing.nft.is_empty(), "control: it leaves its work behind");
        let said = in_router(&self.home, AGENT, &["purge", "--run-dir", &dir]).await?.must(0)?;
        ensure!(said.out.contains("nothing of sparelink is left"), "{said:?}");
        let left = ours(&self.home).await?;
        let empty = left.rules.is_empty() && left.routes.is_empty() && left.nft.is_empty();
        ensure!(empty, "left behind: {left:?}");
        let sysctls = dump(&self.home).await?.sysctls;
        let other: Vec<_> =
            sysctls.iter().filter(|(k, v)| self.sysctls.get(*k) != Some(v)).collect();
        ensure!(other.is_empty(), "sysctls: {other:?}");
        let purged = Instant::now();
        sleep(2 * ON_ITS_WAY).await;
        let flows = self.meter.flows(purged, purged + ON_ITS_WAY);
        ensure!(
            flows.sent > 10 && flows.lost == flows.sent,
            "control: the client would notice: {flows:?}"
        );
        Ok(())
    }

    /// Every recording gives the same decisions; one that a kill cut off may end in the middle.
    async fn is_decided_again(&self) -> Result<()> {
        let mut again = 0;
        for path in &self.recordings {
            let name = path.display().to_string();
            let said = in_router(&self.home, AGENT, &["replay", &name]).await?;
            ensure!(matches!(said.code, Some(0 | 2)), "replay of {name}: {said:?}");
            again += usize::from(said.code == Some(0));
        }
        ensure!(again > 0, "control: none of {} recordings could be read", self.recordings.len());
        Ok(())
    }
}

/// Rules that depend on the configuration alone. Those in front of the others, up to 8300, follow what an
/// uplink's routes in `main` are, and for a moment those are odd when an interface comes up.
fn steady(rules: &[String]) -> impl Iterator<Item = &String> {
    let moves = |rule: &&String| (8290..=8300).any(|n| rule.contains(&format!("Priority({n})")));
    rules.iter().filter(move |rule| !moves(rule))
}

/// How many processes a process has started that are still there, ended or not.
fn children(pid: u32) -> Result<usize> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    Ok(list.split_whitespace().count())
}
