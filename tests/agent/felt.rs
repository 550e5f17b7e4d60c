//! What the agent says of an interruption, against what a client in the LAN had of it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sparelink::lab::script::LineEvent;
use tokio::time::{Instant, sleep};

use crate::runner::figure;
use crate::stage::Stage;

crate::tests![
    interruptions_are_told_as_they_are_felt,
    #[ignore = "long: twenty failovers"]
    twenty_interruptions_are_told_as_they_are_felt,
];

/// How far the agent's figure may be off.
const OFF: f64 = 100.0;
/// The story is told when the other IP version would have moved, too.
const TOLD: Duration = Duration::from_secs(3);

async fn interruptions_are_told_as_they_are_felt() -> Result<()> {
    interrupted(3).await
}

async fn twenty_interruptions_are_told_as_they_are_felt() -> Result<()> {
    interrupted(20).await
}

/// The cable is severed so often, while nobody uses IPv6.
async fn interrupted(times: u32) -> Result<()> {
    let mut stage = Stage::new().await?;
    let mut off = Vec::new();
    for n in 0..times {
        stage.on("cable").await?;
        // At another moment of the agent's second each time.
        sleep(TOLD + Duration::from_millis(137) * n).await;
        let cut = stage.happens("cable", LineEvent::Sever).await?;
        stage.on("mifi").await?;
        sleep(TOLD).await;
        let now = Instant::now();
        let last = stage.agent.status().await?.last_switch.context("no last switch")?;
        let hole = stage.meter.longest_hole(cut, now).as_secs_f64() * 1e3;
        ensure!(hole > 300.0, "control: the client noticed: {hole} ms");
        ensure!(
            (last.from.as_deref(), last.to.as_str()) == (Some("cable"), "mifi")
                && last.cause == "beyond_modem",
            "{last:?}"
        );
        off.push(last.felt_ms.context("it is not known how long it was felt")? - hole);
        stage.happens("cable", LineEvent::Restore).await?;
    }
    let worst = off.iter().fold(0.0_f64, |worst, off| worst.max(off.abs()));
    figure(&format!("off by {worst:.0} ms at most"));
    ensure!(worst <= OFF, "off by {off:.0?} ms");
    let codes = stage.agent.history().await?;
    let told = |code: &str| codes.iter().filter(|told| *told == code).count();
    let expected = 2 * times as usize - 1;
    ensure!(told("switched") >= expected, "one a failover, and one a failback: {codes:?}");
    Ok(())
}
