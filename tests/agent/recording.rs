//! It can be run again: the same inputs, the same decisions.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use sparelink::lab::agent::config;
use sparelink::lab::script::{LineEvent, Settings};
use sparelink::lab::topology::{Home, Plan};
use tokio::time::sleep;

use crate::figure;
use crate::stage::{AGENT, Stage, file, in_router};

crate::tests![
    two_failovers_are_decided_again,
    the_last_switch_is_explained,
    a_recording_with_an_odd_number_is_told_from_a_fault,
    #[ignore = "long: it writes tests/replay/interruption.jsonl, when the format of recordings has changed"]
    the_kept_interruption_is_recorded_again,
];

/// An interruption of this version's, which `tests/texts` decides again.
const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/replay/interruption.jsonl");

/// A cable and a MiFi, the cable is cut, and comes back.
async fn the_kept_interruption_is_recorded_again() -> Result<()> {
    let path = file("interruption.jsonl");
    let plan = Plan::named(&["cable".to_owned(), "mifi".to_owned()]);
    let home = Home::build(&plan).await?;
    let text = config(&plan, &Settings::default());
    let flags = ["--record", &path.display().to_string()];
    let mut stage = Stage::configured(home, text, AGENT.as_ref(), &flags).await?;
    stage.happens("cable", LineEvent::Sever).await?;
    stage.on("mifi").await?;
    stage.happens("cable", LineEvent::Restore).await?;
    stage.on("cable").await?;
    stage.agent.end(Signal::SIGTERM).await?;
    let text = fs::read_to_string(&path)?;
    fs::write(KEPT, &text)?;
    figure(&format!("{} lines, {} kB", text.lines().count(), text.len() / 1000));
    Ok(())
}

/// Numbers that nobody wrote.
const ODD: [&str; 5] = ["0", "-1", "9007199254740992", "18446744073709551615", "1e308"];
/// This many of the numbers of a recording are tried, evenly spread.
const TRIED: usize = 60;

async fn a_recording_with_an_odd_number_is_told_from_a_fault() -> Result<()> {
    let path = file("odd.jsonl");
    let name = path.display().to_string();
    let mut stage = Stage::with(&["--record", &name]).await?;
    stage.happens("cable", LineEvent::Sever).await?;
    stage.on("mifi").await?;
    stage.agent.end(Signal::SIGTERM).await?;
    let text = fs::read_to_string(&path)?;
    in_router(&stage.home, AGENT, &["replay", &name]).await?.must(0)?;
    let bytes = text.as_bytes();
    let begins =
        |at: &usize| bytes[*at].is_ascii_digit() && matches!(bytes[*at - 1], b':' | b'[' | b',');
    let numbers: Vec<usize> = (1..bytes.len()).filter(begins).collect();
    ensure!(numbers.len() > 1000, "control: {} numbers", numbers.len());
    let (mut same, mut other, mut refused) = (0, 0, 0);
    for (n, at) in numbers.iter().step_by(numbers.len() / TRIED).enumerate() {
        let end = (*at..bytes.len()).find(|end| !bytes[*end].is_ascii_digit()).unwrap_or(*at);
        fs::write(&path, format!("{}{}{}", &text[..*at], ODD[n % ODD.len()], &text[end..]))?;
        let said = in_router(&stage.home, AGENT, &["replay", &name]).await?;
        match said.code {
            Some(0) => same += 1,
            Some(1) => other += 1,
            Some(2) => refused += 1,
            _ => anyhow::bail!("{} at byte {at}: {said:?}", ODD[n % ODD.len()]),
        }
        ensure!(said.code != Some(2) || said.err.starts_with("error: "), "{said:?}");
    }
    figure(&format!("{same} the same, {other} otherwise, {refused} refused"));
    Ok(())
}

async fn two_failovers_are_decided_again() -> Result<()> {
    let path = file("recording.jsonl");
    let name = path.display().to_string();
    let mut stage = Stage::with(&["--record", &name]).await?;
    stage.happens("cable", LineEvent::Sever).await?;
    stage.on("mifi").await?;
    stage.happens("mifi", LineEvent::Unplug).await?;
    stage.on("phone").await?;
    stage.agent.must(&["switch", "auto"]).await?;
    stage.happens("cable", LineEvent::Restore).await?;
    stage.on("cable").await?;
    stage.agent.end(Signal::SIGTERM).await?;
    let said = in_router(&stage.home, AGENT, &["replay", &name]).await?.must(0)?;
    ensure!(said.out.contains("mifi to phone"), "{said:?}");
    let text = fs::read_to_string(&path)?;
    figure(&format!("{} lines, {} kB", text.lines().count(), text.len() / 1000));

    // Somebody changed a decision.
    let switched =
        text.lines().position(|line| line.contains("\"switched\"") && line.contains("\"out\""));
    let at = switched.context("no switch in the recording")?;
    let tampered: Vec<String> = text
        .lines()
        .enumerate()
        .map(|(i, line)| if i == at { line.replacen("cable", "mifi", 1) } else { line.to_owned() })
        .collect();
    ensure!(tampered.join("\n") != text.trim_end(), "control: nothing was changed");
    fs::write(&path, tampered.join("\n") + "\n")?;
    let said = in_router(&stage.home, AGENT, &["replay", &name]).await?.must(1)?;
    ensure!(said.out.contains("gives something else now"), "{said:?}");

    // Cut off in the middle of a line, as by a power cut.
    fs::write(&path, &text[..text.len() - 20])?;
    let cut = in_router(&stage.home, AGENT, &["replay", &name]).await?;
    ensure!(matches!(cut.code, Some(0 | 2)), "{cut:?}");
    fs::write(&path, "not a recording\n")?;
    let said = in_router(&stage.home, AGENT, &["replay", &name]).await?.must(2)?;
    ensure!(said.err.starts_with("error: "), "{said:?}");
    Ok(())
}

async fn the_last_switch_is_explained() -> Result<()> {
    let mut stage = Stage::new().await?;
    let none = stage.command(&["replay", "last"]).await?.must(2)?;
    ensure!(none.err.starts_with("error: "), "{none:?}");
    stage.happens("cable", LineEvent::Sever).await?;
    stage.on("mifi").await?;
    // The recording is cut out a few seconds after the switch, so that it shows what came of it.
    sleep(Duration::from_secs(8)).await;
    let said = stage.command(&["replay", "last"]).await?.must(0)?;
    ensure!(said.out.contains("cable to mifi"), "{said:?}");
    Ok(())
}
