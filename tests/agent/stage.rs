//! What most tests begin with: a home, the agent in its router, a client that keeps asking.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sparelink::lab::agent::{Agent, config};
use sparelink::lab::meter::{Meter, Tally};
use sparelink::lab::netns::Netns;
use sparelink::lab::script::{Action, LineEvent, Settings};
use sparelink::lab::stage::{PRIVATE_DIR, child};
use sparelink::lab::topology::{ECHO4, Home, Plan};
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep, timeout};

/// The agent under test.
pub(crate) const AGENT: &str = env!("CARGO_BIN_EXE_sparelink");
/// How long the agent has to prove every uplink.
pub(crate) const PROVEN: Duration = Duration::from_secs(15);
/// How long a switch may take on a machine that does other things, too.
pub(crate) const SOON: Duration = Duration::from_secs(12);
/// How long an echo may take, by whatever way.
const ECHOED: Duration = Duration::from_secs(3);
/// In less time the client asks too little to tell.
const ASKED: Duration = Duration::from_millis(500);
/// When the last flow's answer has come, or never will.
const SETTLED: Duration = Duration::from_secs(1);

/// A home with a running agent and a client.
pub(crate) struct Stage {
    pub(crate) text: String,
    pub(crate) program: PathBuf,
    pub(crate) home: Home,
    pub(crate) agent: Agent,
    pub(crate) meter: Meter,
}

impl Stage {
    /// The usual home, with every uplink proven.
    pub(crate) async fn new() -> Result<Self> {
        Self::with(&[]).await
    }

    /// The same, with flags for `sparelink run`.
    pub(crate) async fn with(flags: &[&str]) -> Result<Self> {
        let home = Home::build(&Plan::default()).await?;
        Self::in_home(home, Settings::default(), flags).await
    }

    /// The agent in a home that stands already.
    pub(crate) async fn in_home(home: Home, settings: Settings, flags: &[&str]) -> Result<Self> {
        let text = config(&Plan::default(), &settings);
        Self::configured(home, text, Path::new(AGENT), flags).await
    }

    /// The agent in a home that stands already, with a configuration of its own.
    pub(crate) async fn in_home_as(home: Home, text: &str) -> Result<Self> {
        Self::configured(home, text.to_owned(), Path::new(AGENT), &[]).await
    }

    /// The same with something that becomes the agent.
    pub(crate) async fn configured(
        home: Home,
        text: String,
        program: &Path,
        flags: &[&str],
    ) -> Result<Self> {
        let program = program.to_owned();
        let mut agent = Agent::start_with(&home, &program, &text, flags).await?;
        let meter = Meter::start(&home.client, ECHO4).await?;
        agent.wait_proven(PROVEN).await?;
        // The counters have been read, the first flows have gone through.
        sleep(SETTLED).await;
        Ok(Self { text, program, home, agent, meter })
    }

    /// Starts the agent again, after its end.
    pub(crate) async fn start_again(&mut self) -> Result<()> {
        self.agent = Agent::start(&self.home, &self.program, &self.text).await?;
        Ok(())
    }

    /// Something happens to an uplink; when.
    pub(crate) async fn happens(&self, uplink: &str, event: LineEvent) -> Result<Instant> {
        self.home.apply(&Action::line(uplink, event)).await
    }

    /// Waits until traffic is on an uplink.
    pub(crate) async fn on(&mut self, uplink: &str) -> Result<()> {
        let what = format!("traffic on {uplink}");
        let is = |status: &sparelink::lab::agent::Status| status.active.as_deref() == Some(uplink);
        self.agent.wait(SOON, &what, is).await.map(drop)
    }

    /// The gap that the client felt, once it has answers again.
    pub(crate) async fn gap_after(&self, event: Instant) -> Result<Duration> {
        let ends = async {
            loop {
                match self.meter.gap_after(event) {
                    Some(gap) => break gap.gap,
                    None => sleep(Duration::from_millis(20)).await,
                }
            }
        };
        timeout(SOON, ends).await.context("the client has no answers")
    }

    /// Flows and packets of the stream that were lost since then; it waits for the last answers.
    pub(crate) async fn lost_since(&self, begun: Instant) -> Result<(u64, u64)> {
        sleep(ASKED.saturating_sub(begun.elapsed())).await;
        let end = Instant::now();
        sleep(SETTLED).await;
        let (flows, stream) = (self.meter.flows(begun, end), self.meter.stream(begun, end));
        let enough = |tally: Tally| tally.sent > 5;
        ensure!(
            enough(flows) && enough(stream),
            "control: the client asked nothing: {flows:?} {stream:?}"
        );
        Ok((flows.lost, stream.lost))
    }

    /// Nobody noticed anything since then.
    pub(crate) async fn nothing_lost_since(&self, begun: Instant) -> Result<()> {
        let (flows, stream) = self.lost_since(begun).await?;
        ensure!(
            (flows, stream) == (0, 0),
            "{flows} new flows and {stream} packets of the long one were lost"
        );
        Ok(())
    }

    /// `status --json`.
    pub(crate) async fn json(&self) -> Result<Value> {
        let output = self.agent.command(&["status", "--json"]).await?;
        serde_json::from_slice(&output.stdout).context("status --json")
    }

    /// Everything that the history shows, details as well.
    pub(crate) async fn events(&self) -> Result<Vec<Value>> {
        let said = self.command(&["history", "--all", "--json"]).await?.must(0)?;
        let lines = said.out.lines().map(serde_json::from_str);
        lines.collect::<Result<_, _>>().context("history --json")
    }

    /// How often the agent has put something back.
    pub(crate) async fn repairs(&self) -> Result<u64> {
        self.json().await?["repairs"].as_u64().context("no repairs")
    }

    /// `sparelink purge`, in the router.
    pub(crate) async fn purge(&self) -> Result<Said> {
        let dir = self.agent.run_dir().display().to_string();
        in_router(&self.home, AGENT, &["purge", "--run-dir", &dir]).await
    }

    /// A command for the running agent: exit code, stdout, stderr.
    pub(crate) async fn command(&self, words: &[&str]) -> Result<Said> {
        self.agent.command(words).await.map(Said::from)
    }
}

/// What a program said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

impl Said {
    /// It must have ended with this exit code.
    pub(crate) fn must(self, code: i32) -> Result<Self> {
        ensure!(self.code == Some(code), "not exit code {code}: {self:?}");
        Ok(self)
    }
}

/// Something that becomes the agent, with these variables in its environment.
pub(crate) fn with_environment(name: &str, variables: &[(&str, &str)]) -> Result<PathBuf> {
    let program = file(name);
    let set: Vec<String> =
        variables.iter().map(|(key, value)| format!("{key}='{value}'")).collect();
    std::fs::write(&program, format!("#!/bin/sh\n{} exec {AGENT} \"$@\"\n", set.join(" ")))?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, mode)?;
    Ok(program)
}

/// A file in the lab's private directory.
pub(crate) fn file(name: &str) -> PathBuf {
    let dir = Path::new(PRIVATE_DIR).join("sparelink-lab");
    // Where it cannot be made, the file cannot be written either, and that is told.
    drop(std::fs::create_dir_all(&dir));
    dir.join(name)
}

/// Runs a shell script in a namespace; it must succeed. What it wrote.
pub(crate) async fn shell(netns: &Netns, script: &str) -> Result<String> {
    let script = format!("set -e; PATH=/usr/sbin:/sbin:/usr/bin:/bin; {script}");
    let mut command = child(Path::new("/bin/sh"), &[OsString::from("-c"), script.clone().into()]);
    let run = async move { tokio::task::spawn_blocking(move || command.output()).await };
    let said = Said::from(netns.run(run).await???);
    ensure!(said.code == Some(0), "in {}: {script}: {said:?}", netns.name());
    Ok(said.out)
}

/// Runs a program in the router and waits for its end.
pub(crate) async fn in_router(home: &Home, program: &str, words: &[&str]) -> Result<Said> {
    in_netns(&home.router, program, words).await
}

/// Runs a program in a namespace and waits for its end.
pub(crate) async fn in_netns(netns: &Netns, program: &str, words: &[&str]) -> Result<Said> {
    let words: Vec<OsString> = words.iter().map(OsString::from).collect();
    let mut command = child(Path::new(program), &words);
    let run = async move { tokio::task::spawn_blocking(move || command.output()).await };
    Ok(Said::from(netns.run(run).await???))
}

/// Asks an echo server until it answers.
pub(crate) async fn echo(server: IpAddr) -> bool {
    let ask = async {
        let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).await?;
        socket.connect((server, 7)).await?;
        loop {
            let _ = socket.send(b"still there?").await;
            let mut buffer = [0; 16];
            let answer = socket.recv(&mut buffer);
            if let Ok(Ok(_)) = timeout(Duration::from_millis(100), answer).await {
                return anyhow::Ok(());
            }
        }
    };
    matches!(timeout(ECHOED, ask).await, Ok(Ok(())))
}
