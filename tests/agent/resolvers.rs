//! Whom the box asks for names goes with the traffic, and a real dnsmasq goes with it.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow, ensure};
use sparelink::engine::probe::dns::{Answer, Query};
use sparelink::lab::agent::{Agent, Status, config};
use sparelink::lab::netns::Netns;
use sparelink::lab::script::{Action, LineEvent, Settings};
use sparelink::lab::stage::child;
use sparelink::lab::topology::{Home, Plan};
use sparelink::units::Family;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::stage::{AGENT, PROVEN, SOON, Stage, file};
use crate::{figure, skip};

crate::tests![
    learned_ones_that_do_not_answer_give_way_to_public_ones,
    dnsmasq_goes_with_the_switch,
    the_file_goes_with_the_switch_and_is_always_whole,
];

/// How often traffic is moved by hand.
const SWITCHES: usize = 50;
/// What is promised is 100 ms after the switch; the machine is shared.
const REPLACED: Duration = Duration::from_secs(1);
/// The modems, which answer for their lines.
const MODEMS: [(&str, &str); 3] =
    [("cable", "192.168.10.1"), ("mifi", "192.168.11.1"), ("phone", "192.168.12.1")];
/// The LAN's own name server.
const DNSMASQ: &str = "/usr/sbin/dnsmasq";
const ROUTER: &str = "192.168.77.1";
/// The port of the one under test.
const PORT: u16 = 53;
/// The port of one whose file nobody writes.
const FIXED: u16 = 54;

fn settings() -> Settings {
    let known = |(name, ip): (&str, &str)| (name.to_owned(), ip.parse().into_iter().collect());
    Settings { resolvers: MODEMS.map(known).into(), ..Settings::default() }
}

fn modem_of(uplink: &str) -> &'static str {
    MODEMS.iter().find(|(name, _)| *name == uplink).map_or("nobody", |(_, ip)| ip)
}

async fn stage() -> Result<Stage> {
    Stage::in_home(Home::build(&Plan::default()).await?, settings(), &[]).await
}

fn resolv_conf(agent: &Agent) -> PathBuf {
    agent.run_dir().join("resolv.conf")
}

/// Whom a file names first, if it is whole.
fn first_of(text: &str) -> Result<&str> {
    let lines: Vec<&str> = text.lines().collect();
    let whole = text.starts_with("# Written by sparelink") && text.ends_with("attempts:2\n");
    let servers: Vec<&str> = lines.iter().filter_map(|l| l.strip_prefix("nameserver ")).collect();
    ensure!(whole && lines.len() == 6 && servers.len() == 3, "not whole: {text:?}");
    Ok(servers[0])
}

/// Reads a file again and again until told to stop: how often it was read, and how often it was seen
/// to say something else.
fn keep_reading(path: PathBuf, stop: Arc<AtomicBool>) -> thread::JoinHandle<Result<(u64, u64)>> {
    thread::spawn(move || {
        let (mut reads, mut changes, mut last) = (0, 0, String::new());
        while !stop.load(Ordering::Relaxed) {
            let text = fs::read_to_string(&path).context("the file is gone")?;
            first_of(&text)?;
            reads += 1;
            if text != last {
                changes += 1;
                last = text;
            }
            // The machine is for others, too.
            thread::sleep(Duration::from_micros(200));
        }
        Ok((reads, changes))
    })
}

async fn the_file_goes_with_the_switch_and_is_always_whole() -> Result<()> {
    let mut stage = stage().await?;
    let path = resolv_conf(&stage.agent);
    let first = || anyhow::Ok(first_of(&fs::read_to_string(&path)?)?.to_owned());
    ensure!(first()? == modem_of("cable"), "{}", fs::read_to_string(&path)?);

    let stop = Arc::new(AtomicBool::new(false));
    let reader = keep_reading(path.clone(), stop.clone());
    let mut took = Vec::new();
    for n in 0..SWITCHES {
        let to = ["mifi", "phone", "cable"][n % 3];
        stage.agent.must(&["switch", to]).await?;
        let said = Instant::now();
        while first()? != modem_of(to) {
            ensure!(said.elapsed() < REPLACED, "{to}: {}", fs::read_to_string(&path)?);
            sleep(Duration::from_millis(1)).await;
        }
        took.push(said.elapsed());
    }
    stop.store(true, Ordering::Relaxed);
    let reader = reader.join().map_err(|_| anyhow!("the reader panicked"))?;
    let (reads, changes) = reader.context("a reader during the switches")?;
    let enough = SWITCHES as u64 - 5;
    ensure!(changes > enough && reads > changes * 2, "control: {changes} changes in {reads} reads");
    took.sort();
    let (median, worst) = (took[took.len() / 2], took[took.len() - 1]);
    figure(&format!(
        "after {SWITCHES} switches by hand: median {:.1} ms, worst {:.1} ms; whole in {reads} reads of {changes} files",
        ms(median),
        ms(worst)
    ));

    // Positive control: a file that is written in place is seen half-written.
    let torn = file("torn.conf");
    let whole = fs::read_to_string(&path)?;
    fs::write(&torn, &whole)?;
    let stop = Arc::new(AtomicBool::new(false));
    let reader = keep_reading(torn.clone(), stop.clone());
    for _ in 0..200 {
        fs::write(&torn, &whole[..whole.len() / 2])?;
        sleep(Duration::from_millis(1)).await;
        fs::write(&torn, &whole)?;
    }
    stop.store(true, Ordering::Relaxed);
    let seen = reader.join().map_err(|_| anyhow!("the reader panicked"))?;
    ensure!(seen.is_err(), "control: half a file was not noticed");

    stage.agent.must(&["switch", "auto"]).await?;
    stage.on("cable").await?;
    stage.happens("cable", LineEvent::Sever).await?;
    stage.on("mifi").await?;
    let decided = decided_at(&stage).await?;
    let written = fs::metadata(&path)?.modified()?;
    ensure!(first()? == modem_of("mifi"), "{}", fs::read_to_string(&path)?);
    // The file's clock ticks more coarsely than ours.
    let after = written.duration_since(decided).unwrap_or_default();
    ensure!(after < REPLACED, "replaced {after:?} after the failover");
    figure(&format!("after a failover: {:.1} ms", ms(after)));
    Ok(())
}

/// When the last switch was decided, by the wall clock.
async fn decided_at(stage: &Stage) -> Result<SystemTime> {
    let at =
        stage.json().await?["last_switch"]["at"].as_str().context("no last switch")?.to_owned();
    Ok(humantime::parse_rfc3339(&at)?)
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A dnsmasq for the LAN, as a person would set it up. Killed when dropped.
struct Dnsmasq {
    child: Child,
    log: PathBuf,
}

impl Dnsmasq {
    async fn start(home: &Home, port: u16, resolv_file: &Path) -> Result<Self> {
        let log = file(&format!("dnsmasq-{port}.log"));
        let args = [
            "--keep-in-foreground".to_owned(),
            "--conf-file=/dev/null".to_owned(),
            "--pid-file=".to_owned(),
            "--user=root".to_owned(),
            "--no-hosts".to_owned(),
            "--listen-address=192.168.77.1".to_owned(),
            format!("--port={port}"),
            "--bind-interfaces".to_owned(),
            "--log-queries".to_owned(),
            format!("--log-facility={}", log.display()),
            format!("--resolv-file={}", resolv_file.display()),
        ];
        let mut command = child(Path::new(DNSMASQ), &args.map(OsString::from));
        let child = home.router.run(async move { command.spawn() }).await??;
        let this = Self { child, log };
        let begun = Instant::now();
        while !this.said("using nameserver") {
            ensure!(begun.elapsed() < SOON, "dnsmasq does not start: {}", this.words());
            sleep(Duration::from_millis(20)).await;
        }
        Ok(this)
    }

    fn words(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn said(&self, words: &str) -> bool {
        self.words().contains(words)
    }

    /// The nameservers of the file that it read last.
    fn uses(&self) -> Vec<String> {
        let words = self.words();
        let last = words.rsplit(": reading ").next().unwrap_or_default();
        let used = last.lines().filter_map(|line| line.split("using nameserver ").nth(1));
        used.filter_map(|rest| rest.split('#').next()).map(str::to_owned).collect()
    }

    /// Waits until it uses this nameserver first; how long it took.
    async fn follows(&self, nameserver: &str) -> Result<Duration> {
        let begun = Instant::now();
        while self.uses().first().map(String::as_str) != Some(nameserver) {
            ensure!(begun.elapsed() < SOON, "it does not use {nameserver}: {:?}", self.uses());
            sleep(Duration::from_millis(2)).await;
        }
        Ok(begun.elapsed())
    }
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A LAN client that asks for a new name every so often.
struct Asker {
    log: Arc<std::sync::Mutex<Vec<(Instant, bool)>>>,
    task: JoinHandle<()>,
}

impl Asker {
    fn start(client: &Netns, port: u16) -> Self {
        let log = Arc::default();
        let task = client.spawn(Self::ask_on(Arc::clone(&log), port));
        Self { log, task }
    }

    async fn ask_on(log: Arc<std::sync::Mutex<Vec<(Instant, bool)>>>, port: u16) {
        for n in 0..u16::MAX {
            let log = log.clone();
            tokio::spawn(async move {
                let asked = Instant::now();
                let answered = matches!(resolve(n, port).await, Some(Answer::Addresses(_)));
                log.lock().expect("nobody panics with it").push((asked, answered));
            });
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// From an event to the first name asked for after it that was answered, and how many were not.
    fn gap_after(&self, event: Instant) -> Option<(Duration, usize)> {
        let mut log = self.log.lock().expect("nobody panics with it").clone();
        log.sort();
        let after = || log.iter().filter(|(asked, _)| *asked >= event);
        let lost = after().filter(|(_, answered)| !answered).count();
        let last_lost = after().filter(|(_, answered)| !answered).map(|(asked, _)| *asked).max();
        let back = after().find(|(asked, ok)| *ok && last_lost.is_none_or(|lost| *asked > lost))?;
        Some((back.0 - event, lost))
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Asks the router's dnsmasq for a name that nobody has asked for, as often as clients do.
async fn resolve(n: u16, port: u16) -> Option<Answer> {
    let to = SocketAddr::new(ROUTER.parse().ok()?, port);
    let socket = UdpSocket::bind("0.0.0.0:0").await.ok()?;
    socket.connect(to).await.ok()?;
    let query = Query::new(n, &format!("n{n}.example.com"), Family::V4)?;
    socket.send(&query.encode()).await.ok()?;
    let mut buffer = [0; 1500];
    let answer = tokio::time::timeout(Duration::from_millis(900), socket.recv(&mut buffer)).await;
    query.decode(&buffer[..answer.ok()?.ok()?])
}

async fn dnsmasq_goes_with_the_switch() -> Result<()> {
    if !Path::new(DNSMASQ).exists() {
        skip("there is no dnsmasq");
        return Ok(());
    }
    let mut stage = stage().await?;
    let dnsmasq = Dnsmasq::start(&stage.home, PORT, &resolv_conf(&stage.agent)).await?;
    let fixed = file("fixed.conf");
    fs::write(&fixed, format!("nameserver {}\n", modem_of("cable")))?;
    let _fixed = Dnsmasq::start(&stage.home, FIXED, &fixed).await?;
    ensure!(
        dnsmasq.uses().first().map(String::as_str) == Some(modem_of("cable")),
        "{}",
        dnsmasq.words()
    );
    let asker = Asker::start(&stage.home.client, PORT);
    let control = Asker::start(&stage.home.client, FIXED);
    let begun = Instant::now();
    sleep(Duration::from_secs(1)).await;
    for asker in [&asker, &control] {
        let (_, lost) = asker.gap_after(begun).context("control: no answer")?;
        ensure!(lost == 0, "control: {lost} questions lost before anything happened");
    }
    ensure!(dnsmasq.said("to 192.168.10.1"), "control: {}", dnsmasq.words());

    // The modem dies behind its carrier, and with it the resolver.
    let event = stage.happens("cable", LineEvent::Silence).await?;
    stage.on("mifi").await?;
    dnsmasq.follows(modem_of("mifi")).await?;
    let switched = event.elapsed();
    sleep(Duration::from_secs(3)).await;
    let (gap, lost) = asker.gap_after(event).context("names do not resolve again")?;
    ensure!(control.gap_after(event).is_none(), "control: names resolve without the file");
    ensure!(dnsmasq.said("to 192.168.11.1"), "mifi's resolver is not asked: {}", dnsmasq.words());
    figure(&format!(
        "modem dead: the next resolver in dnsmasq after {:.0} ms, names resolve again after {:.0} ms, {lost} questions lost",
        ms(switched),
        ms(gap)
    ));
    ensure!(gap < SOON, "names took {gap:?}");

    // Two switches in the same second: files' times are compared by the second somewhere.
    stage.happens("cable", LineEvent::Restore).await?;
    stage.agent.wait_proven(SOON).await?;
    let mut worst = Duration::ZERO;
    for to in ["phone", "mifi", "phone", "cable", "mifi", "phone"] {
        stage.agent.must(&["switch", to]).await?;
        worst = worst.max(dnsmasq.follows(modem_of(to)).await?);
    }
    figure(&format!("6 quick switches followed, worst after {:.0} ms", ms(worst)));
    Ok(())
}

async fn learned_ones_that_do_not_answer_give_way_to_public_ones() -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    home.apply(&Action::line("cable", LineEvent::BreakResolvers)).await?;
    // Only these processes see this directory.
    let folder = Path::new("/run/resolvconf/interface");
    fs::create_dir_all(folder)?;
    let learn = |text: &str| fs::write(folder.join("wan0.dhclient"), text);
    learn("nameserver 127.0.0.53\nnameserver 192.168.10.1\n")?;
    let text = config(&Plan::default(), &Settings::default());
    let mut agent = Agent::start(&home, AGENT.as_ref(), &text).await?;
    agent.wait_proven(PROVEN).await?;
    let asks = |first: &'static str| {
        move |status: &Status| status.resolvers.first().is_some_and(|ip| ip == first)
    };
    let status = agent.wait(SOON, "public ones first", asks("1.1.1.1")).await?;
    let cable = status.uplink("cable").context("no cable")?;
    ensure!(cable.condition == "dns_broken" && cable.health == "up", "{status:?}");
    ensure!(cable.reason.contains("by public resolvers only"), "{status:?}");
    ensure!(status.active.as_deref() == Some("cable"), "the traffic moved: {status:?}");
    let said = agent.command(&["status"]).await?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    ensure!(said.contains("not cable's own resolvers"), "{said}");
    let file = || fs::read_to_string(resolv_conf(&agent));
    ensure!(file()?.contains("its own do not answer"), "{}", file()?);

    let restored = home.apply(&Action::line("cable", LineEvent::Restore)).await?;
    let calm = Duration::from_secs(60);
    agent.wait(calm, "its own again", asks("192.168.10.1")).await?;
    figure(&format!(
        "its own come first again {:.0} s after they answer",
        restored.elapsed().as_secs_f64()
    ));
    let status = agent.status().await?;
    ensure!(status.uplink("cable").is_some_and(|u| u.condition == "ok"), "{status:?}");
    let log = agent.last_words();
    for words in ["do not answer; public ones are asked first", "answer again and are asked first"]
    {
        ensure!(log.contains(words), "no `{words}` in {log}");
    }

    let begun = Instant::now();
    learn("nameserver 9.9.9.9\nnameserver 192.168.10.1\n")?;
    agent.wait(SOON, "another lease", asks("9.9.9.9")).await?;
    figure(&format!("another lease is followed within {:.0} ms", ms(begun.elapsed())));
    Ok(())
}
