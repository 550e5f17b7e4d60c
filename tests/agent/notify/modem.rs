//! SMS by the real ModemManager, with a modem that is a stub (`modem.py`).

use std::ffi::OsString;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sparelink::lab::script::LineEvent;
use sparelink::lab::stage::child;
use sparelink::lab::topology::{Home, Plan};
use tokio::time::{Instant, sleep};

use super::with;
use crate::runner::{figure, skip};
use crate::stage::{SOON, Stage, file, with_environment};

const PYTHON: &str = "/usr/bin/python3";

/// ModemManager and what it needs; killed when dropped.
struct Manager(Child);

impl Manager {
    /// `None`, with the reason printed: it is not here.
    async fn start(home: &Home) -> Result<Option<Self>> {
        let mock = Command::new(PYTHON).args(["-c", "import dbusmock"]).output();
        let have = mock.is_ok_and(|output| output.status.success());
        if !have || !Path::new("/usr/sbin/ModemManager").exists() {
            skip("there is no modemmanager, or no python3-dbusmock");
            return Ok(None);
        }
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/agent/notify/modem.py");
        let words = [script.to_owned(), file("modem").display().to_string()];
        let mut command = child(Path::new(PYTHON), &words.map(OsString::from));
        let mut this = Self(home.router.run(async move { command.spawn() }).await??);
        let begun = Instant::now();
        while !file("modem").join("ready").exists() {
            ensure!(this.0.try_wait()?.is_none(), "ModemManager does not start: {}", Self::log());
            let late = begun.elapsed() > Duration::from_secs(30);
            ensure!(!late, "ModemManager has no modem: {}", Self::log());
            sleep(Duration::from_millis(50)).await;
        }
        figure(&format!("a modem after {} ms", begun.elapsed().as_millis()));
        Ok(Some(this))
    }

    fn log() -> String {
        std::fs::read_to_string(file("modem").join("log")).unwrap_or_default()
    }

    /// What was sent, as PDUs.
    fn pdus() -> Vec<String> {
        let text = std::fs::read_to_string(file("modem").join("pdus")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// What becomes of an SMS from now on.
    fn fate(word: &str) -> Result<()> {
        Ok(std::fs::write(file("modem").join("fate"), word)?)
    }

    /// Ends a program of it as a crash would.
    fn crash(program: &str) -> Result<()> {
        let pids = std::fs::read_to_string(file("modem").join("pids"))?;
        let line = pids.lines().find_map(|line| line.strip_prefix(program)).context("no pid")?;
        Ok(kill(Pid::from_raw(line.trim().parse()?), Signal::SIGKILL)?)
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// What is critical is sent while nothing else works, and the answer to it is seen.
async fn an_answer_acknowledges(stage: &Stage) -> Result<()> {
    for uplink in ["cable", "mifi", "phone"] {
        stage.happens(uplink, LineEvent::Sever).await?;
    }
    let texts = || std::fs::read_to_string(file("modem").join("texts")).unwrap_or_default();
    let begun = Instant::now();
    let asked = loop {
        if let Some((_, rest)) = texts().split_once("Answer ") {
            break rest.chars().take_while(char::is_ascii_digit).collect::<String>();
        }
        ensure!(begun.elapsed() < SOON, "no SMS asks: {}\n{}", texts(), stage.agent.log());
        sleep(Duration::from_millis(50)).await;
    };
    for (from, number, seen) in [
        ("+4917099999999", &asked, false),
        (NUMBER, &"9".to_owned(), false),
        (NUMBER, &asked, true),
    ] {
        std::fs::write(file("modem").join("incoming"), format!("{from} ok {number}"))?;
        let begun = Instant::now();
        let limit = if seen { Duration::from_secs(40) } else { Duration::from_secs(12) };
        let by = loop {
            let alarm = stage.json().await?["messages"]["alarm"].clone();
            let by = alarm["acknowledged"]["by"].as_str().map(str::to_owned);
            if by.is_some() || begun.elapsed() > limit {
                break by;
            }
            sleep(Duration::from_millis(200)).await;
        };
        ensure!(by.as_deref() == seen.then_some("by SMS"), "{from} {number}: {by:?}");
    }
    Ok(())
}

const NUMBER: &str = "+4915112345678";

pub(super) async fn an_sms_goes_by_modem_manager() -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    let Some(_manager) = Manager::start(&home).await? else { return Ok(()) };
    let bus = format!("unix:path={}", file("modem").join("bus").display());
    let agent = with_environment("on-the-bus", &[("DBUS_SYSTEM_BUS_ADDRESS", &bus)])?;
    let channels = format!("[[notify]]\nto = \"sms://{NUMBER}\"\nmin = \"critical\"\n");
    let stage = Stage::configured(home, with(&channels), &agent, &[]).await?;
    let test = async |code| stage.command(&["notify", "test"]).await?.must(code);
    let said = test(0).await?.out;
    ensure!(said.starts_with("sms (…5678): delivered in "), "{said}");
    let pdus = Manager::pdus();
    // The number with its digits in pairs, seven bits a letter, 38 letters: one part.
    let right = |pdu: &String| pdu.contains("0D91945111325476F8") && pdu.contains("000026");
    ensure!(pdus.len() == 1 && pdus.iter().all(right), "{pdus:?}");
    Manager::fate("refuse")?;
    let said = test(1).await?.out;
    ensure!(said.contains("not delivered: the modem did not send the SMS ("), "{said}");
    // The next is sent as before.
    Manager::fate("")?;
    test(0).await?;
    an_answer_acknowledges(&stage).await?;
    Manager::fate("hang")?;
    let crash = async {
        let sent = Manager::pdus().len();
        while Manager::pdus().len() == sent {
            sleep(Duration::from_millis(20)).await;
        }
        Manager::crash("ModemManager ")
    };
    let (said, crashed) = tokio::join!(test(1), crash);
    crashed?;
    let said = said?.out;
    ensure!(said.contains("ModemManager does not say whether the SMS was sent"), "{said}");
    let said = test(1).await?.out;
    ensure!(said.contains("ModemManager does not run on this box"), "{said}");
    ensure!(!stage.agent.log().contains("15112345678"), "{}", stage.agent.log());
    Ok(())
}
