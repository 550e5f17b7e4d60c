//! The real agent in the router of the home: the program itself, with a configuration file, spoken
//! to over its socket as any client would.

use std::ffi::OsString;
use std::fmt::Write;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Output};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use http_body_util::{BodyExt, Empty};
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};

use super::page::ADDRESS;
use super::script::{Kind, Settings};
use super::stage;
use super::topology::{Home, LAN_INTERFACE, Plan};

/// Failback in the lab waits this long, so that nobody has to (a real one's default is a minute).
pub const HOLD: Duration = Duration::from_secs(3);
/// How often the status is asked for while something is waited for.
const POLL: Duration = Duration::from_millis(20);
/// The agent ends within this: it gives the disk ten seconds and the kernel one.
const ENDS: Duration = Duration::from_secs(20);
/// How long the agent has for one answer.
const ANSWER: Duration = Duration::from_secs(5);

/// A running agent. Killed when dropped.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    program: PathBuf,
    dir: PathBuf,
}

/// What the agent says of itself: the part of `GET /api/v1/status` that the lab needs.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Status {
    /// The uplink in use for IPv4.
    pub active: Option<String>,
    /// The uplink in use for IPv6.
    pub active6: Option<String>,
    /// Whether the Internet works.
    pub works: bool,
    /// How things are, in words.
    pub sentence: String,
    /// How late its own loop was at worst lately, in milliseconds.
    pub loop_gap_ms: f64,
    /// Whom the box is told to ask for names.
    pub resolvers: Vec<String>,
    /// Spares that could take over now.
    pub spares_ready: u32,
    /// The last switch or interruption.
    pub last_switch: Option<LastSwitch>,
    pub uplinks: Vec<UplinkStatus>,
}

/// The last switch or interruption, as the agent tells it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct LastSwitch {
    pub from: Option<String>,
    pub to: String,
    /// Why, as a word.
    pub cause: String,
    /// How long it was felt, in milliseconds, once known.
    pub felt_ms: Option<f64>,
}

/// One uplink, as the agent sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct UplinkStatus {
    pub name: String,
    /// `active`, `ready`, `not_ready` or `paused`.
    pub role: String,
    /// `unknown`, `up`, `failing`, `down` or `recovering`.
    pub health: String,
    /// `ok`, or what is wrong.
    pub condition: String,
    pub reason: String,
    /// Flows on it, when last counted.
    pub flows: Option<u64>,
}

impl Status {
    #[must_use]
    pub fn uplink(&self, name: &str) -> Option<&UplinkStatus> {
        self.uplinks.iter().find(|uplink| uplink.name == name)
    }

    /// Whether every uplink is in use or could take over now.
    #[must_use]
    pub fn all_proven(&self) -> bool {
        let proven = |u: &UplinkStatus| u.role == "active" || u.role == "ready";
        self.active.is_some() && self.uplinks.iter().all(proven)
    }
}

/// The configuration of the lab's agent: its uplinks and LAN, a short hold, and defaults for the rest.
#[must_use]
pub fn config(plan: &Plan, settings: &Settings) -> String {
    let mut text = String::new();
    let window = |of: Option<&str>| {
        settings
            .windows
            .iter()
            .rfind(|(uplink, _)| uplink.as_deref() == of)
            .map(|(_, window)| *window)
    };
    for uplink in &plan.uplinks {
        let _ = write!(
            text,
            "[[uplink]]\nname = {:?}\ninterface = {:?}\n",
            uplink.name, uplink.interface
        );
        let kind =
            settings.kinds.iter().rfind(|(name, _)| *name == uplink.name).map(|(_, kind)| *kind);
        let _ = match kind.unwrap_or_default() {
            Kind::Wired => Ok(()),
            Kind::Wifi => writeln!(text, "kind = \"wifi\""),
            Kind::Cellular => writeln!(text, "kind = \"cellular\""),
        };
        if settings.metered.contains(&uplink.name) {
            let _ = writeln!(text, "metered = true");
        }
        if let Some((_, policy)) = settings.on_return.iter().rfind(|(of, _)| *of == uplink.name) {
            let _ = writeln!(text, "on_return = {policy:?}");
        }
        if let Some((_, all)) = settings.resolvers.iter().rfind(|(n, _)| *n == uplink.name) {
            let all: Vec<String> = all.iter().map(|ip| format!("\"{ip}\"")).collect();
            let _ = writeln!(text, "resolvers = [{}]", all.join(", "));
        }
        if let Some(window) = window(Some(&uplink.name)) {
            let _ = writeln!(text, "window = \"{}ms\"", window.as_millis());
        }
    }
    let _ = write!(text, "[lan]\ninterfaces = [{LAN_INTERFACE:?}]\n");
    if let Some(window) = window(None) {
        let _ = write!(text, "[probe]\nwindow = \"{}ms\"\n", window.as_millis());
    }
    let (hold, hold_max) = (settings.hold.unwrap_or(HOLD), settings.hold_max.unwrap_or(HOLD));
    let hold_max = hold_max.max(hold);
    let _ = write!(text, "[failback]\nhold = \"{}ms\"\n", hold.as_millis());
    let _ = writeln!(text, "hold_max = \"{}ms\"", hold_max.as_millis());
    // The machine's LEDs are the machine's.
    text.push_str("[leds]\nboard = \"none\"\n");
    // The second for those who come from outside the lab.
    let _ = writeln!(text, "[web]\nlisten = [\"lan:{}\", \"{ADDRESS}\"]", ADDRESS.port());
    text
}

impl Agent {
    /// Starts the agent in the router, with its files in the lab's private directory.
    ///
    /// # Errors
    /// If the program cannot be started.
    pub async fn start(home: &Home, program: &Path, config: &str) -> Result<Self> {
        Self::start_with(home, program, config, &[]).await
    }

    /// The same with more flags for `sparelink run`.
    ///
    /// # Errors
    /// As for [`Self::start`].
    pub async fn start_with(
        home: &Home,
        program: &Path,
        config: &str,
        flags: &[&str],
    ) -> Result<Self> {
        let dir = PathBuf::from(stage::PRIVATE_DIR).join("sparelink-lab");
        fs::create_dir_all(dir.join("run"))?;
        let file = dir.join("sparelink.toml");
        write_config(&dir, config)?;
        let log = File::options().create(true).append(true).open(dir.join("agent.log"))?;
        let args = words(
            &[&["run"], flags, &["--config"]].concat(),
            &[&file, Path::new("--run-dir"), &dir.join("run")],
        );
        let mut command = stage::child(program, &args);
        command.stdout(log.try_clone()?).stderr(log);
        // From the router's thread: the child inherits its namespaces and dies with it.
        let child =
            home.router.run(async move { command.spawn() }).await?.context("starting the agent")?;
        Ok(Self { child, program: program.to_owned(), dir })
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes another configuration, for a reload.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn configure(&self, config: &str) -> Result<()> {
        write_config(&self.dir, config)
    }

    /// Its configuration, for `--config`.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.dir.join("sparelink.toml")
    }

    /// All that it has said so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("agent.log")).unwrap_or_default()
    }

    /// Its run directory, for `--run-dir`.
    #[must_use]
    pub fn run_dir(&self) -> PathBuf {
        self.dir.join("run")
    }

    /// Asks for its status.
    ///
    /// # Errors
    /// If there is no answer, or one that cannot be read.
    pub async fn status(&self) -> Result<Status> {
        serde_json::from_slice(&self.get("/api/v1/status").await?).context("the agent's status")
    }

    /// The codes of what it says has happened since it was started, oldest first.
    ///
    /// # Errors
    /// If there is no answer, or one that cannot be read.
    pub async fn history(&self) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Entry {
            code: String,
        }
        let entries: Vec<Entry> = serde_json::from_slice(&self.get("/api/v1/history").await?)
            .context("the agent's history")?;
        let codes: Vec<String> = entries.into_iter().map(|entry| entry.code).collect();
        let begun = codes.iter().rposition(|code| code == "started").unwrap_or(0);
        Ok(codes.into_iter().skip(begun).collect())
    }

    async fn get(&self, path: &str) -> Result<Bytes> {
        let socket = self.run_dir().join("sparelink.sock");
        let silent = || format!("no answer within {ANSWER:?}\n{}", self.last_words());
        timeout(ANSWER, get(&socket, path)).await.with_context(silent)?
    }

    /// Waits until its status is as wanted.
    ///
    /// # Errors
    /// If it ends, or `limit` passes; with its last words.
    pub async fn wait(
        &mut self,
        limit: Duration,
        what: &str,
        wanted: impl Fn(&Status) -> bool,
    ) -> Result<Status> {
        let start = Instant::now();
        loop {
            let status = self.status().await;
            if let Ok(status) = &status
                && wanted(status)
            {
                return Ok(status.clone());
            }
            if let Some(ended) = self.child.try_wait()? {
                bail!("the agent ended by itself ({ended}):\n{}", self.last_words());
            }
            if start.elapsed() > limit {
                let said =
                    status.map_or_else(|e| format!("{e:#}"), |status| format!("{status:#?}"));
                let lines = self.lines().await.unwrap_or_else(|e| format!("{e:#}"));
                bail!("{what}: not within {limit:?}\n{said}\n{lines}\n{}", self.last_words());
            }
            sleep(POLL).await;
        }
    }

    /// What it says of the lines of each uplink, in either family.
    async fn lines(&self) -> Result<String> {
        let status: serde_json::Value =
            serde_json::from_slice(&self.get("/api/v1/status").await?).context("its status")?;
        let uplinks = status["uplinks"].as_array().map(Vec::as_slice).unwrap_or_default();
        let of = |u: &serde_json::Value| format!("{}: v4 {}, v6 {}", u["name"], u["v4"], u["v6"]);
        Ok(uplinks.iter().map(of).collect::<Vec<_>>().join("\n"))
    }

    /// Waits until every uplink is in use or ready.
    ///
    /// # Errors
    /// As for [`Self::wait`].
    pub async fn wait_proven(&mut self, limit: Duration) -> Result<Status> {
        self.wait(limit, "every uplink proven", Status::all_proven).await
    }

    /// Runs a command of the program against this agent, for example `["switch", "mifi"]`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub async fn command(&self, command: &[&str]) -> Result<Output> {
        let args = words(command, &[Path::new("--run-dir"), &self.run_dir()]);
        let mut command = stage::child(&self.program, &args);
        Ok(tokio::task::spawn_blocking(move || command.output()).await??)
    }

    /// Like [`Self::command`], and it must succeed.
    ///
    /// # Errors
    /// With what it said, if it does not.
    pub async fn must(&self, command: &[&str]) -> Result<()> {
        let output = self.command(command).await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "sparelink {}: {} {}",
            command.join(" "),
            output.status,
            said.trim()
        );
        Ok(())
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Sends it a signal and waits for its end.
    ///
    /// # Errors
    /// If it does not end within the time that it gives the disk and the kernel; where it stands then.
    pub async fn end(&mut self, signal: Signal) -> Result<ExitStatus> {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal)?;
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            ensure!(
                start.elapsed() < ENDS,
                "the agent does not end on {signal}: {}\n{}",
                self.threads(),
                self.last_words()
            );
            sleep(POLL).await;
        }
    }

    /// What each of its threads waits for, as the kernel has it: name, state, place.
    fn threads(&self) -> String {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let of = |path: PathBuf| {
            let read = |name: &str| fs::read_to_string(path.join(name)).unwrap_or_default();
            let state = read("status").lines().find(|l| l.starts_with("State")).map(str::to_owned);
            format!("{} {} {}", read("comm").trim(), state.unwrap_or_default(), read("wchan"))
        };
        let threads: Vec<_> = tasks.into_iter().flatten().flatten().map(|t| of(t.path())).collect();
        threads.join(", ")
    }

    /// The end of its log.
    #[must_use]
    pub fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write_config(dir: &Path, config: &str) -> Result<()> {
    let (file, state) = (dir.join("sparelink.toml"), dir.join("state"));
    let text = format!("{config}[state]\ndir = {state:?}\n");
    fs::write(&file, text).with_context(|| format!("writing {}", file.display()))
}

fn words(first: &[&str], rest: &[&Path]) -> Vec<OsString> {
    let first = first.iter().map(OsString::from);
    first.chain(rest.iter().map(|path| path.as_os_str().to_owned())).collect()
}

/// One GET over the agent's socket.
/// Asks until it is not too busy to answer.
async fn get(socket: &Path, path: &str) -> Result<Bytes> {
    loop {
        let (status, body) = ask(socket, path).await?;
        if status != StatusCode::SERVICE_UNAVAILABLE {
            ensure!(status.is_success(), "GET {path}: {status}");
            return Ok(body);
        }
        sleep(POLL).await;
    }
}

async fn ask(socket: &Path, path: &str) -> Result<(StatusCode, Bytes)> {
    let stream = UnixStream::connect(socket).await.with_context(|| socket.display().to_string())?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request =
        hyper::Request::get(path).header("Host", "localhost").body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    connection.abort();
    Ok((status, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_says_only_what_differs_from_the_defaults() {
        let text = config(&Plan::named(&["cable".to_owned()]), &Settings::default());
        let expected = "[[uplink]]\nname = \"cable\"\ninterface = \"wan0\"\n[lan]\ninterfaces = [\"lan0\"]\n\
                        [failback]\nhold = \"3000ms\"\nhold_max = \"3000ms\"\n[leds]\nboard = \"none\"\n[web]\nlisten = [\"lan:8300\", \"127.0.0.1:8300\"]\n";
        assert_eq!(text, expected);
        let settings = Settings {
            kinds: vec![("mifi".to_owned(), Kind::Cellular)],
            windows: vec![(None, Duration::from_millis(300))],
            ..Settings::default()
        };
        let text = config(&Plan::default(), &settings);
        assert!(text.contains("interface = \"usb0\"\nkind = \"cellular\"\n"), "{text}");
        assert!(text.contains("[probe]\nwindow = \"300ms\"\n"), "{text}");
    }

    #[test]
    fn a_status_is_read_leniently() {
        let status: Status = serde_json::from_str(
            r#"{"active":null,"new":1,"uplinks":[{"name":"a","role":"ready"}]}"#,
        )
        .unwrap();
        assert!(!status.all_proven(), "no uplink is active");
        assert_eq!(status.uplink("a").unwrap().role, "ready");
    }
}
