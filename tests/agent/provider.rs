//! What a customer holds against the provider: notes, what was reported, and what the records prove.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use sparelink::io::clock;
use sparelink::io::history::verify;
use sparelink::lab::agent::config;
use sparelink::lab::script::{LineEvent, Settings};
use sparelink::lab::topology::{Home, Plan};
use tokio::time::{Instant, sleep};

use crate::figure;
use crate::stage::{AGENT, SOON, Said, Stage, file, in_router};

crate::tests![
    a_note_outlives_the_agent_and_is_told_everywhere,
    the_report_reckons_from_the_report_and_the_hash_proves_it,
];

/// A program that keeps what it is told, a line each, and the channel that runs it.
fn told_to(name: &str) -> Result<(std::path::PathBuf, String)> {
    let (program, kept) = (file(&format!("{name}.sh")), file(&format!("{name}.jsonl")));
    fs::write(&program, format!("#!/bin/sh\ncat >> {0}\necho >> {0}\n", kept.display()))?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    let channel = format!("[[notify]]\nto = \"exec://{}\"\nmin = \"notice\"\n", program.display());
    Ok((kept, channel))
}

/// The lab's configuration in which cable has a provider.
fn with_provider(provider: &str) -> String {
    let text = config(&Plan::default(), &Settings::default());
    text.replacen("name = \"cable\"\n", &format!("name = \"cable\"\nprovider = {provider}\n"), 1)
}

fn cable(status: &Value) -> Value {
    let all = status["uplinks"].as_array().into_iter().flatten();
    all.clone().find(|uplink| uplink["name"] == "cable").cloned().unwrap_or_default()
}

async fn a_note_outlives_the_agent_and_is_told_everywhere() -> Result<()> {
    let (kept, channel) = told_to("noted")?;
    let text = with_provider(
        "{ name = \"Example Cable\", account = \"C-4711\", phone = \"+44 800 1234\" }",
    ) + &channel;
    let mut stage = Stage::in_home_as(Home::build(&Plan::default()).await?, &text).await?;
    let none = stage.command(&["note", "cable"]).await?.must(1)?;
    ensure!(none.out == "cable has no note\n", "{none:?}");
    let today = clock::today().context("no clock")?;
    let due = today.plus(3);
    let words = format!("ticket 4711, repair promised {due}");
    stage.command(&["note", "cable", &words]).await?.must(0)?;
    // The answer came when it was on disk.
    stage.agent.end(Signal::SIGKILL).await?;
    stage.start_again().await?;
    stage.on("cable").await?;
    let status = cable(&stage.json().await?);
    ensure!(
        status["note"]["text"] == *words && status["note"]["due"] == due.to_string(),
        "{status}"
    );
    ensure!(status["note"]["countdown"] == "in 3 days", "{status}");
    ensure!(status["provider"]["account"] == "C-4711", "by the socket: {status}");
    let shown = stage.command(&["note", "cable"]).await?.must(0)?;
    ensure!(shown.out.starts_with(&format!("{words} (in 3 days)  (written ")), "{shown:?}");
    let told = stage.command(&["status"]).await?;
    ensure!(told.out.contains("Note:  cable: ticket 4711"), "{told:?}");
    let wrong = stage.command(&["note", "cabel", "x"]).await?.must(2)?;
    ensure!(wrong.err.contains("did you mean cable?"), "{wrong:?}");
    let wrong = stage.command(&["note", "cable", "a\u{1b}b"]).await?.must(2)?;
    ensure!(wrong.err.contains("without control characters"), "{wrong:?}");
    stage.command(&["note", "cable", "--reported"]).await?.must(0)?;
    stage.happens("cable", LineEvent::Sever).await?;
    stage.on("mifi").await?;
    let message = message(&kept, "switched").await?;
    let said = message["text"].as_str().unwrap_or_default();
    ensure!(said.contains(&format!("Note on cable: {words} (in 3 days).")), "{message}");
    let state = cable(&message["state"]);
    ensure!(state["note"]["text"] == *words, "{state}");
    ensure!(state["provider"]["account"].is_null(), "not for the world: {state}");
    ensure!(state["reported"]["at"].is_string(), "{state}");
    stage.command(&["note", "cable", "--clear"]).await?.must(0)?;
    stage.command(&["note", "cable"]).await?.must(1)?;
    let again = stage.command(&["note", "cable", ""]).await?.must(1)?;
    ensure!(again.err.contains("cable has no note"), "{again:?}");
    stage.agent.end(Signal::SIGTERM).await?;
    let records = sparelink::io::history::read(&file("state"))?;
    let codes: Vec<&str> = records.iter().map(|entry| entry.code.as_str()).collect();
    let notes = codes.iter().filter(|code| **code == "noted").count();
    ensure!(notes == 2 && codes.contains(&"reported"), "{codes:?}");
    ensure!(verify(&file("state"))?.broken.is_none(), "each is a link of the chain");
    figure(&format!("{notes} notes and a report among {} records", records.len()));
    Ok(())
}

/// `sparelink report` with the agent's own configuration.
async fn report(stage: &Stage, words: &[&str]) -> Result<Said> {
    let config = file("sparelink.toml").display().to_string();
    let run = stage.agent.run_dir().display().to_string();
    let common = ["--config", &config, "--run-dir", &run];
    in_router(&stage.home, AGENT, &[&["report"], words, &common].concat()).await
}

/// What is owed for the one outage there was, once both IP versions are known to be dead.
async fn owed(stage: &Stage) -> Result<Value> {
    let begun = Instant::now();
    loop {
        match owed_now(stage).await {
            Err(error) if begun.elapsed() > SOON => return Err(error),
            Err(_) => sleep(Duration::from_millis(100)).await,
            owed => return owed,
        }
    }
}

async fn owed_now(stage: &Stage) -> Result<Value> {
    let said = report(stage, &["--json"]).await?.must(0)?;
    let report: Value = serde_json::from_str(&said.out)?;
    let cable = cable(&report);
    let losses = cable["compensation"]["losses"].as_array().context("no losses")?;
    ensure!(losses.len() == 1 && cable["compensation"]["estimate"] == true, "{report:#}");
    Ok(losses[0].clone())
}

async fn the_report_reckons_from_the_report_and_the_hash_proves_it() -> Result<()> {
    let (kept, channel) = told_to("proven")?;
    let provider = "{ name = \"Example Cable\", country = \"DE\", monthly = \"39.90 EUR\" }";
    let text = with_provider(provider) + &channel;
    let mut stage = Stage::in_home_as(Home::build(&Plan::default()).await?, &text).await?;
    stage.happens("cable", LineEvent::Sever).await?;
    stage.on("mifi").await?;
    let open = owed(&stage).await?;
    ensure!(open["state"] == "report_now" && open["to"].is_null(), "{open}");
    let shown = report(&stage, &[]).await?.must(0)?;
    ensure!(shown.out.contains("report it now, the clock starts with"), "{shown:?}");
    ensure!(shown.out.lines().all(|line| line.chars().count() <= 80), "{shown:?}");
    stage.command(&["note", "cable", "--reported"]).await?.must(0)?;
    let told = owed(&stage).await?;
    let today = clock::today().context("no clock")?;
    let later = |days| today.plus(days).to_string();
    // At midnight it may be another day.
    let days = [later(2), later(3), later(4)];
    let from = told["due_from"].as_str().unwrap_or_default().to_owned();
    ensure!(told["state"] == "waits" && days.contains(&from), "{told}");
    let page = report(&stage, &["--html"]).await?.must(0)?;
    ensure!(page.out.contains("no legal advice") && page.out.contains("§ 58 (3) TKG"), "{page:?}");
    stage.happens("cable", LineEvent::Restore).await?;
    let back = message(&kept, "returned").await?;
    let head = back["history_head"].as_str().context("no hash in the message")?.to_owned();
    ensure!(back["state"]["history_head"] == *head && head.len() == 12, "{back}");
    stage.agent.end(Signal::SIGTERM).await?;
    let whole = report(&stage, &["--verify", "--head", &head]).await?.must(0)?;
    ensure!(whole.out.contains("nothing was changed up to it"), "{whole:?}");
    let none = report(&stage, &["--verify", "--head", "0123456789ab"]).await?.must(1)?;
    ensure!(none.out.starts_with("No record has the hash"), "{none:?}");
    report(&stage, &["--head", &head]).await?.must(2)?;
    let log = file("state").join("history.log");
    let mut bytes = fs::read(&log)?;
    bytes[40] ^= 1;
    fs::write(&log, bytes)?;
    let changed = report(&stage, &["--verify", "--head", &head]).await?.must(1)?;
    ensure!(changed.out.contains("Before it: record 1 "), "{changed:?}");
    figure(&format!("due from {from}; {}", whole.out.trim()));
    Ok(())
}

/// Waits until the program was told of such an event; the last such message.
async fn message(kept: &std::path::Path, event: &str) -> Result<Value> {
    let begun = Instant::now();
    loop {
        let text = fs::read_to_string(kept).unwrap_or_default();
        let mut all = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        if let Some(found) = all.rfind(|message| message["event"] == event) {
            return Ok(found);
        }
        ensure!(begun.elapsed() < SOON, "never told of {event}: {text}");
        sleep(Duration::from_millis(50)).await;
    }
}
