//! Messages that go by TLS: to real mail servers, and to HTTPS servers with good certificates and others.

use std::ffi::OsString;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use sparelink::lab::script::LineEvent;
use sparelink::lab::stage::child;
use sparelink::lab::topology::{ECHO4, Home, Plan};
use tokio::time::{Instant, sleep};

use super::{TOLD, text, with};
use crate::runner::{figure, skip};
use crate::stage::{Stage, file, with_environment};

/// Debian's, for which `.ci/setup` installs aiosmtpd.
const PYTHON: &str = "/usr/bin/python3";
/// `pä?s@`, as it stands in a URL.
const LOGIN: &str = "box%40home.example:p%C3%A4%3Fs%40";

/// The servers in `servers.py`; killed when dropped.
pub(super) struct Servers(Child);

impl Servers {
    /// `None`, with the reason printed: what they need is not here.
    pub(super) async fn start(home: &Home, name: &str) -> Result<Option<Self>> {
        let have = std::process::Command::new(PYTHON).args(["-c", "import aiosmtpd"]).output();
        if !have.is_ok_and(|output| output.status.success()) {
            skip("there is no python3-aiosmtpd");
            return Ok(None);
        }
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/agent/notify/servers.py");
        let dir = file(name);
        let words = [script.to_owned(), ECHO4.to_string(), dir.display().to_string()];
        let mut command = child(Path::new(PYTHON), &words.map(OsString::from));
        let this = Self(home.target.run(async move { command.spawn() }).await??);
        let begun = Instant::now();
        while !dir.join("ready").exists() {
            ensure!(begun.elapsed() < Duration::from_secs(20), "the servers do not start");
            sleep(Duration::from_millis(50)).await;
        }
        Ok(Some(this))
    }

    /// The mails that were taken, at a port and in all.
    fn mails(port: u64) -> Result<(Vec<Value>, usize)> {
        let text = std::fs::read_to_string(file("servers").join("mails")).unwrap_or_default();
        let mails: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let all = mails.len();
        Ok((mails.into_iter().filter(|mail| mail["port"] == port).collect(), all))
    }

    /// Waits until so many were taken at a port.
    async fn taken(port: u64, many: usize) -> Result<Vec<Value>> {
        let begun = Instant::now();
        loop {
            let (mails, _) = Self::mails(port)?;
            if mails.len() >= many {
                return Ok(mails);
            }
            ensure!(begun.elapsed() < 2 * TOLD, "{many} mails did not come: {mails:#?}");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn section(to: &str) -> String {
    format!("[[notify]]\nto = \"{to}\"\n")
}

/// Each with what comes of a test of it.
fn channels() -> Vec<(String, &'static str)> {
    let mail = |scheme: &str, port: u16, to: &str| {
        format!("{scheme}://{LOGIN}@{ECHO4}:{port}?from=box@home.example&to={to}@home.example")
    };
    let bad = |user: &str, port: u16| {
        format!("mailtos://box%40home.example:{user}@{ECHO4}:{port}?to={user}@home.example")
    };
    let https = |port: u16| format!("jsons://{ECHO4}:{port}/");
    vec![
        (mail("mailtos", 465, "anna"), "delivered in "),
        (mail("mailto", 587, "bert"), "delivered in "),
        (bad("wrong", 465), "the server refuses the login (535: "),
        (mail("mailtos", 465, "nobody"), "the server refuses the mail (550: 5.1.1 no such reader)"),
        (mail("mailtos", 465, "zoe"), "delivered in "),
        (mail("mailtos", 4651, "other"), "203.0.113.7: its certificate is for another name"),
        (mail("mailto", 5874, "plain"), "203.0.113.7: its certificate is not from an authority"),
        (https(443), "delivered in "),
        (https(4431), "203.0.113.7: its certificate is for another name"),
        (https(4432), "203.0.113.7: its certificate has expired"),
        (https(4433), "203.0.113.7: its certificate is not valid yet; is the clock of this"),
        (https(4434), "203.0.113.7: its certificate is not from an authority that this box trusts"),
        (
            "mailtos://u:p@no.such.example?to=unknown@home.example".to_owned(),
            "cannot look up no.such.example: ",
        ),
        (mail("mailtos", 465, "grey"), "does not take it yet (451: 4.7.1 greylisted, come back)"),
        (mail("mailto", 587, "lost"), "delivered in "),
    ]
}

/// By which a channel is known in what is printed.
fn shown(n: usize, to: &str) -> String {
    let reader = to.rsplit_once("to=").and_then(|(_, reader)| reader.chars().next());
    reader.map_or_else(|| format!("webhook {n}"), |first| format!("email ({first}…@home.example)"))
}

pub(super) async fn mails_and_webhooks_go_by_tls_alone() -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    let Some(_servers) = Servers::start(&home, "servers").await? else { return Ok(()) };
    let trusted = file("servers").join("authority.pem").display().to_string();
    let agent = with_environment("trusting", &[("SSL_CERT_FILE", &trusted)])?;
    let channels = channels();
    let all: String = channels.iter().map(|(to, _)| section(to)).collect();
    // This one is told of a switch, too.
    let all = all + "min = \"notice\"\n";
    let mut stage = Stage::configured(home, with(&all), &agent, &[]).await?;
    each_is_told_in_a_sentence(&stage, &channels).await?;
    what_arrived_is_what_was_sent()?;
    a_mail_whose_answer_is_lost_comes_again(&mut stage).await
}

async fn each_is_told_in_a_sentence(stage: &Stage, channels: &[(String, &str)]) -> Result<()> {
    let said = stage.command(&["notify", "test"]).await?.must(1)?.out;
    let mut hooks = said.lines().filter(|line| line.starts_with("webhook (203.0.113.7)"));
    for (n, (to, why)) in channels.iter().enumerate() {
        let name = shown(n, to);
        let line = if name.starts_with("webhook") {
            hooks.next()
        } else {
            said.lines().find(|line| line.starts_with(&name))
        };
        ensure!(line.is_some_and(|line| line.contains(why)), "{to}: no {why:?} in {said}");
    }
    let log = stage.agent.log();
    ensure!(!said.contains("anna@") && !log.contains("pä?s@") && !log.contains("anna@"), "{log}");
    figure(&format!("{} sentences", said.lines().count()));
    Ok(())
}

fn what_arrived_is_what_was_sent() -> Result<()> {
    let (anna, _) = Servers::mails(465)?;
    let to: Vec<&str> = anna.iter().filter_map(|mail| mail["to"][0].as_str()).collect();
    ensure!(to.len() == 2 && to.contains(&"anna@home.example"), "{anna:#?}");
    let (bert, all) = Servers::mails(587)?;
    let bert = bert.iter().find(|mail| mail["to"][0] == "bert@home.example").context("bert")?;
    ensure!(bert["from"] == "box@home.example" && bert["subject"] == "Test of sparelink", "{bert}");
    ensure!(text(bert, "text").trim_end() == "This channel works.", "{bert}");
    ensure!(text(bert, "id").ends_with("@home.example>"), "{bert}");
    ensure!(all == 4, "nothing was taken by a server that is not to be trusted: {all}");
    Ok(())
}

async fn a_mail_whose_answer_is_lost_comes_again(stage: &mut Stage) -> Result<()> {
    stage.happens("cable", LineEvent::Sever).await?;
    stage.on("mifi").await?;
    let switched = Instant::now();
    let mails = Servers::taken(587, 4).await?;
    figure(&format!("mailed twice, {} ms after the switch", switched.elapsed().as_millis()));
    let [.., first, moved] = mails.as_slice() else { bail!("{mails:#?}") };
    ensure!(first == moved, "whoever reads it is shown it once: {mails:#?}");
    ensure!(text(moved, "subject").starts_with("On mifi since "), "{moved}");
    ensure!(text(moved, "text").contains("Left to fall back on: phone."), "{moved}");
    Ok(())
}
