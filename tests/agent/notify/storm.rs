//! An outage of ten minutes with fifty transitions, in which the agent is killed twenty times.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use sparelink::lab::script::LineEvent;
use tokio::time::{Instant, sleep};

use super::server::{Asked, Server};
use super::{home_that_tells, text, webhook};
use crate::figure;
use crate::stage::{SOON, Stage};

const OUTAGE: Duration = Duration::from_secs(600);
const TRANSITIONS: usize = 50;
const KILLS: usize = 20;

pub(super) async fn fifty_transitions_and_twenty_kills_lose_no_message() -> Result<()> {
    let server = Server::new();
    let mut stage = home_that_tells(&server, &webhook("notice")).await?;
    for uplink in ["cable", "mifi", "phone"] {
        stage.happens(uplink, LineEvent::Sever).await?;
    }
    let begun = Instant::now();
    for n in 0..TRANSITIONS {
        // Cables are pulled and plugged in again, and lead nowhere but for a moment.
        let uplink = ["cable", "mifi"][n / 2 % 2];
        if n % 2 == 0 {
            stage.happens(uplink, LineEvent::Unplug).await?;
        } else {
            stage.happens(uplink, LineEvent::Restore).await?;
            stage.happens(uplink, LineEvent::Sever).await?;
        }
        // Sooner or later after it, never at the same point.
        sleep(Duration::from_millis(137 * (n as u64 * 7 % 23))).await;
        if n % 5 < 2 {
            stage.agent.end(Signal::SIGKILL).await?;
            stage.start_again().await?;
        }
        let due = OUTAGE * u32::try_from(n + 1)? / u32::try_from(TRANSITIONS)?;
        sleep(due.saturating_sub(begun.elapsed())).await;
    }
    ensure!(KILLS == (0..TRANSITIONS).filter(|n| n % 5 < 2).count());
    stage.happens("phone", LineEvent::Restore).await?;
    stage.on("phone").await?;
    until_nothing_waits(&stage).await?;
    let asked: Vec<Value> = server.asked().iter().map(Asked::json).collect::<Result<_>>()?;
    figure(&format!("{} messages after {} s", asked.len(), begun.elapsed().as_secs()));

    let titles: Vec<_> = asked.iter().map(|m| (text(m, "id"), text(m, "title"))).collect();
    ensure!(text(&asked[0], "event") == "internet-back", "the digest first: {titles:#?}");
    let numbers: Vec<u64> = asked.iter().map(number).collect::<Result<_>>()?;
    let told: BTreeSet<u64> = numbers.iter().copied().collect();
    ensure!(told.len() == numbers.len(), "each once: {titles:#?}");
    let last = told.last().copied().unwrap_or(0);
    ensure!(told == (1..=last).collect(), "none is lost: {titles:#?}");
    // In the moments between, one may have been over; what sums up goes first each time.
    let (digests, others): (Vec<&Value>, Vec<&Value>) =
        asked.iter().partition(|m| text(m, "event") == "internet-back");
    for part in [digests, others] {
        let numbers: Vec<u64> = part.into_iter().map(number).collect::<Result<_>>()?;
        ensure!(numbers.is_sorted(), "in order: {titles:#?}");
    }
    let facts: BTreeSet<_> = asked.iter().map(|m| (text(m, "at"), text(m, "title"))).collect();
    ensure!(facts.len() == asked.len(), "nothing under two ids: {titles:#?}");
    Ok(())
}

/// The number in a message's id, which rises by one with each.
fn number(message: &Value) -> Result<u64> {
    let id = text(message, "id");
    id.rsplit('-').next().and_then(|number| number.parse().ok()).with_context(|| id.to_owned())
}

async fn until_nothing_waits(stage: &Stage) -> Result<()> {
    let begun = Instant::now();
    loop {
        let messages = stage.json().await?["messages"].clone();
        if messages["waiting"] == 0 && messages["last"].is_string() {
            return Ok(());
        }
        ensure!(begun.elapsed() < SOON, "some wait for ever: {messages}");
        sleep(Duration::from_millis(100)).await;
    }
}
