//! What happened outlives the agent, however it ends.

use std::fs::{self, remove_file};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use sparelink::io::history::verify;
use sparelink::lab::agent::config;
use sparelink::lab::script::{LineEvent, Settings};
use sparelink::lab::topology::{Home, Plan};
use tokio::time::{Instant, sleep};

use crate::figure;
use crate::stage::{AGENT, Said, Stage, file, in_router, with_environment};

crate::tests![
    the_history_goes_on_after_a_kill_and_after_a_stop,
    without_an_agent_the_history_is_read_from_the_disk,
    what_happens_on_a_full_disk_is_kept_when_it_can_be,
    the_history_is_followed,
    the_report_tells_of_a_line_that_was_cut_and_of_a_changed_record,
];

/// What waits is written once a minute.
const WRITTEN: Duration = Duration::from_secs(75);

fn state_dir() -> PathBuf {
    file("state")
}

fn ids(events: &[Value]) -> Vec<u64> {
    events.iter().filter_map(|event| event["id"].as_u64()).collect()
}

fn only_grows(events: &[Value]) -> Result<()> {
    let ids = ids(events);
    ensure!(ids.len() == events.len() && ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    let order = |event: &Value| event["mono_ms"].as_u64();
    ensure!(events.is_sorted_by_key(order), "one boot, one clock: {events:?}");
    Ok(())
}

fn count(events: &[Value], code: &str) -> usize {
    events.iter().filter(|event| event["code"] == code).count()
}

/// `sparelink history` with the agent's own configuration.
async fn history(stage: &Stage, words: &[&str]) -> Result<Said> {
    command(stage, "history", words).await
}

async fn command(stage: &Stage, name: &str, words: &[&str]) -> Result<Said> {
    let config = file("sparelink.toml").display().to_string();
    let run = stage.agent.run_dir().display().to_string();
    let common = ["--config", &config, "--run-dir", &run];
    in_router(&stage.home, AGENT, &[&[name], words, &common].concat()).await
}

fn events_of(said: &Said) -> Result<Vec<Value>> {
    let lines = said.out.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().with_context(|| format!("{said:?}"))
}

async fn the_history_goes_on_after_a_kill_and_after_a_stop() -> Result<()> {
    let mut stage = Stage::new().await?;
    let (mut before, mut last) = (Vec::new(), 0);
    for round in 0..6 {
        let event = if round % 2 == 0 { LineEvent::Sever } else { LineEvent::Restore };
        stage.happens("cable", event).await?;
        stage.on(if round % 2 == 0 { "mifi" } else { "cable" }).await?;
        let told = stage.events().await?;
        only_grows(&told)?;
        ensure!(count(&told, "switched") > round, "{told:?}");
        // What is worth a person's eye was on its way to the disk at once.
        sleep(Duration::from_millis(500)).await;
        let signal = if round == 3 { Signal::SIGTERM } else { Signal::SIGKILL };
        stage.agent.end(signal).await?;
        stage.start_again().await?;
        stage.on(if round % 2 == 0 { "mifi" } else { "cable" }).await?;
        let after = stage.events().await?;
        only_grows(&after)?;
        let is_new = |event: &&Value| event["id"].as_u64().is_some_and(|id| id > last);
        let serious =
            |event: &&Value| event["severity"] == "notice" || event["severity"] == "warning";
        let kept = ids(&after);
        for event in told.iter().filter(is_new).filter(serious) {
            let id = event["id"].as_u64().context("an id")?;
            ensure!(kept.contains(&id), "lost in round {round}: {event}");
        }
        let newest = *ids(&told).last().context("nothing was told")?;
        let begun = after.iter().rfind(|event| event["code"] == "started").context("no start")?;
        ensure!(begun["id"].as_u64() > Some(newest), "{newest} was told before {begun}");
        if signal == Signal::SIGTERM {
            ensure!(count(&after, "stopped") == 1, "{after:?}");
            ensure!(begun["id"].as_u64() < Some(newest + 100), "no gap after an orderly end");
        }
        let same = |id: &u64| before.contains(id) == kept.contains(id) || *id > last;
        ensure!(before.iter().all(same), "what was kept once stays");
        (before, last) = (ids(&after), newest);
    }
    stage.agent.end(Signal::SIGTERM).await?;
    let verified = verify(&state_dir())?;
    ensure!(verified.broken.is_none() && verified.lines > 10, "{verified:?}");
    // Control: a hand is found.
    let log = state_dir().join("history.log");
    let text = fs::read(&log)?;
    let mut changed = text.clone();
    changed[text.len() / 2] ^= 1;
    fs::write(&log, changed)?;
    let broken = verify(&state_dir())?.broken.context("a changed byte was not found")?;
    figure(&format!("{} lines over 7 runs; {broken}", verified.lines));
    Ok(())
}

async fn without_an_agent_the_history_is_read_from_the_disk() -> Result<()> {
    let mut stage = Stage::new().await?;
    stage.happens("cable", LineEvent::Sever).await?;
    stage.on("mifi").await?;
    let all = events_of(&history(&stage, &["--all", "--json"]).await?.must(0)?)?;
    ensure!(count(&all, "health") > 0, "control: details are in RAM: {all:?}");
    let shown = events_of(&history(&stage, &["--json"]).await?.must(0)?)?;
    ensure!(shown.iter().all(|event| event["severity"] != "debug"), "{shown:?}");
    stage.agent.end(Signal::SIGTERM).await?;
    let said = history(&stage, &["--json"]).await?.must(0)?;
    ensure!(said.err.contains("no agent is running") && said.err.lines().count() == 1, "{said:?}");
    let kept = events_of(&said)?;
    only_grows(&kept)?;
    ensure!(kept.starts_with(&shown) && count(&kept, "stopped") == 1, "{kept:#?} {shown:#?}");
    let two = events_of(&history(&stage, &["--json", "-n", "2"]).await?.must(0)?)?;
    ensure!(two == kept[kept.len() - 2..], "{two:?}");
    let mifi = events_of(&history(&stage, &["--json", "--uplink", "mifi"]).await?.must(0)?)?;
    ensure!(!mifi.is_empty() && mifi.len() < kept.len(), "{mifi:?}");
    let none = history(&stage, &["--json", "--since", "2100-01-01"]).await?.must(0)?;
    ensure!(none.out.is_empty(), "{none:?}");
    let recent = events_of(&history(&stage, &["--json", "--since", "1h"]).await?.must(0)?)?;
    ensure!(recent == kept, "{recent:?}");
    let table = history(&stage, &[]).await?.must(0)?;
    ensure!(table.out.starts_with("TIME ") && table.out.contains("cable to mifi"), "{table:?}");
    let wrong = history(&stage, &["--since", "noon"]).await?.must(2)?;
    ensure!(wrong.err.contains("hint:"), "{wrong:?}");
    Ok(())
}

async fn the_report_tells_of_a_line_that_was_cut_and_of_a_changed_record() -> Result<()> {
    let mut stage = Stage::new().await?;
    // Proven, and at rest.
    sleep(Duration::from_secs(2)).await;
    let cut = Instant::now();
    stage.happens("cable", LineEvent::Sever).await?;
    stage.on("mifi").await?;
    sleep(Duration::from_secs(3)).await;
    let dead = cut.elapsed().as_secs_f64();
    stage.happens("cable", LineEvent::Restore).await?;
    stage.on("cable").await?;
    let first = |said: &Said| -> Result<Value> {
        let report: Value = serde_json::from_str(&said.out).with_context(|| format!("{said:?}"))?;
        let uplinks = report["uplinks"].as_array().context("no uplinks")?;
        let cable = uplinks.iter().find(|one| one["name"] == "cable").context("no cable")?;
        let incidents = cable["incidents"].as_array().context("no incidents")?;
        ensure!(incidents.len() == 1, "{report:#}");
        Ok(incidents[0].clone())
    };
    let running = first(&command(&stage, "report", &["--json"]).await?.must(0)?)?;
    let off = running["seconds"].as_f64().context("no figure")? - dead;
    ensure!(running["cause"] == "beyond_modem" && off.abs() < 2.0, "{off:.2} s off: {running:#}");
    let others = running["others"].as_array().context("no others")?;
    let mifi = others.iter().find(|one| one["name"] == "mifi").context("mifi worked")?;
    ensure!(mifi["throughout"] == true, "{running:#}");
    stage.agent.end(Signal::SIGTERM).await?;
    let said = command(&stage, "report", &["--json"]).await?.must(0)?;
    ensure!(said.err.contains("no agent is running"), "{said:?}");
    let kept = first(&said)?;
    ensure!(kept == running, "on disk: {kept:#}, the agent said: {running:#}");
    let text = command(&stage, "report", &["--uplink", "cable"]).await?.must(0)?;
    ensure!(text.out.contains("no Internet behind the modem"), "{text:?}");
    ensure!(text.out.lines().all(|line| line.chars().count() <= 80), "{text:?}");
    let whole = command(&stage, "report", &["--verify"]).await?.must(0)?;
    ensure!(whole.out.contains("as they were written"), "{whole:?}");
    let log = state_dir().join("history.log");
    let mut bytes = fs::read(&log)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&log, bytes)?;
    let changed = command(&stage, "report", &["--verify"]).await?.must(1)?;
    ensure!(changed.out.starts_with("Not as it was written: record "), "{changed:?}");
    figure(&format!("dead for {dead:.2} s, reckoned {off:+.2} s off; {}", changed.out.trim()));
    Ok(())
}

async fn what_happens_on_a_full_disk_is_kept_when_it_can_be() -> Result<()> {
    let broken = file("history-disk-is-broken");
    drop(remove_file(&broken));
    let name = broken.display().to_string();
    let program = with_environment("history-disk", &[("SPARELINK_BROKEN_DISK", &name)])?;
    let home = Home::build(&Plan::default()).await?;
    let text = config(&Plan::default(), &Settings::default());
    let mut stage = Stage::configured(home, text, &program, &[]).await?;
    fs::write(&broken, "")?;
    stage.happens("cable", LineEvent::Sever).await?;
    stage.on("mifi").await?;
    sleep(Duration::from_secs(1)).await;
    let on_disk = || -> Result<usize> {
        let kept = sparelink::io::history::read(&state_dir())?;
        Ok(kept.iter().filter(|entry| entry.code == "switched").count())
    };
    let before = on_disk()?;
    let told = count(&stage.events().await?, "switched");
    ensure!(told > before, "control: the disk fails, RAM does not: {told}, {before}");
    let said = stage.agent.log().matches("kept in RAM only").count();
    ensure!(said >= 1, "control: nobody was told: {}", stage.agent.log());
    remove_file(&broken)?;
    let begun = Instant::now();
    while on_disk()? < told {
        ensure!(begun.elapsed() < WRITTEN, "never written");
        sleep(Duration::from_millis(200)).await;
    }
    figure(&format!("written {:.0} s after the disk worked again", begun.elapsed().as_secs_f64()));
    let verified = verify(&state_dir())?;
    ensure!(verified.broken.is_none(), "{verified:?}");
    Ok(())
}

async fn the_history_is_followed() -> Result<()> {
    let mut stage = Stage::new().await?;
    let run = stage.agent.run_dir().display().to_string();
    let followed = file("followed");
    let script = format!(
        "timeout -s INT 8 {AGENT} history -n 0 -f --json --run-dir {run} > {} || true",
        followed.display()
    );
    let router = stage.home.router.clone();
    let following = async { crate::stage::shell(&router, &script).await };
    let happening = async {
        sleep(Duration::from_secs(1)).await;
        stage.agent.must(&["switch", "mifi"]).await?;
        stage.on("mifi").await
    };
    let (said, happened) = tokio::join!(following, happening);
    said?;
    happened?;
    let text = fs::read_to_string(&followed)?;
    let events: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    only_grows(&events)?;
    ensure!(count(&events, "switched") == 1 && count(&events, "started") == 0, "{events:?}");
    Ok(())
}
