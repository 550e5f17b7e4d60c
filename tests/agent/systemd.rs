//! The systemd that started the agent: what it hears, and when it hears nothing.

use std::collections::BTreeMap;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sparelink::lab::agent::config;
use sparelink::lab::script::{LineEvent, Settings};
use sparelink::lab::topology::{Home, Plan};
use tokio::time::sleep;

use crate::figure;
use crate::stage::{Stage, file, with_environment};

crate::tests![systemd_hears_the_loop];

/// After so long without a sign of life it would start the agent again.
const LIMIT: Duration = Duration::from_secs(1);

/// What systemd has heard: each message, and how often.
struct Ear(UnixDatagram);

impl Ear {
    fn heard(&self) -> Result<BTreeMap<String, usize>> {
        let mut heard = BTreeMap::new();
        let mut buffer = [0; 4096];
        while let Ok(length) = self.0.recv(&mut buffer) {
            for line in std::str::from_utf8(&buffer[..length])?.lines() {
                *heard.entry(line.to_owned()).or_default() += 1;
            }
        }
        Ok(heard)
    }
}

async fn systemd_hears_the_loop() -> Result<()> {
    let socket = file("notify");
    let ear = UnixDatagram::bind(&socket)?;
    ear.set_nonblocking(true)?;
    let ear = Ear(ear);
    let limit = LIMIT.as_micros().to_string();
    let socket = socket.display().to_string();
    let environment = [("NOTIFY_SOCKET", socket.as_str()), ("WATCHDOG_USEC", &limit)];
    let program = with_environment("managed", &environment)?;
    let home = Home::build(&Plan::default()).await?;
    let text = config(&Plan::default(), &Settings::default());
    let mut stage = Stage::configured(home, text, &program, &[]).await?;

    let begin = ear.heard()?;
    ensure!(begin.get("READY=1") == Some(&1), "{begin:?}");
    ensure!(begin.contains_key("STATUS=Internet works, on cable"), "{begin:?}");
    stage.happens("cable", LineEvent::Sever).await?;
    stage.on("mifi").await?;
    sleep(LIMIT * 4).await;
    let steady = ear.heard()?;
    let signs = steady.get("WATCHDOG=1").copied().unwrap_or_default();
    figure(&format!("{signs} signs of life in some {} s, two wanted in each", LIMIT.as_secs() * 4));
    ensure!(signs >= 4, "{steady:?}");
    let told = steady.keys().any(|line| line.starts_with("STATUS=Internet works, on mifi"));
    ensure!(told, "{steady:?}");

    let pid = Pid::from_raw(i32::try_from(stage.agent.pid())?);
    kill(pid, Signal::SIGSTOP)?;
    ear.heard()?;
    sleep(LIMIT * 2).await;
    let hung = ear.heard()?;
    ensure!(hung.is_empty(), "a loop that hangs is silent: {hung:?}");
    kill(pid, Signal::SIGCONT)?;
    sleep(LIMIT * 2).await;
    ensure!(ear.heard()?.contains_key("WATCHDOG=1"), "control: it goes on");
    stage.agent.end(Signal::SIGTERM).await?;
    ensure!(ear.heard()?.contains_key("STOPPING=1"));
    Ok(())
}
