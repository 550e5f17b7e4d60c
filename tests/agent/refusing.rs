//! What refuses new flows of the LAN while nothing works: for as long as the agent says so, and not
//! much longer.

use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use sparelink::lab::script::LineEvent;
use tokio::time::{Instant, sleep};

use crate::figure;
use crate::stage::{SOON, Stage, shell};

crate::tests![what_refuses_lasts_as_long_as_the_agent];

/// What is promised.
const GONE: Duration = Duration::from_secs(10);
/// Longer than the kernel remembers by itself.
const LONG: Duration = Duration::from_secs(12);

/// Whether new IPv4 flows are refused.
async fn refuses(stage: &Stage) -> Result<bool> {
    Ok(shell(&stage.home.router, "nft list set inet sparelink no_way").await?.contains("ipv4"))
}

/// Waits until it is so.
async fn until(stage: &Stage, refused: bool, limit: Duration) -> Result<Duration> {
    let begun = Instant::now();
    while refuses(stage).await? != refused {
        ensure!(begun.elapsed() < limit, "refused is not {refused} after {limit:?}");
        sleep(Duration::from_millis(50)).await;
    }
    Ok(begun.elapsed())
}

async fn what_refuses_lasts_as_long_as_the_agent() -> Result<()> {
    let mut stage = Stage::new().await?;
    for signal in [Signal::SIGKILL, Signal::SIGTERM] {
        for uplink in ["cable", "mifi", "phone"] {
            stage.happens(uplink, LineEvent::Sever).await?;
        }
        until(&stage, true, SOON).await?;
        // Control: while the agent lives it does not end.
        let begun = Instant::now();
        while begun.elapsed() < LONG {
            ensure!(refuses(&stage).await?, "ended after {:?}, the agent living", begun.elapsed());
            sleep(Duration::from_millis(200)).await;
        }
        stage.agent.end(signal).await?;
        let limit = if signal == Signal::SIGKILL { GONE } else { Duration::from_secs(1) };
        let took = until(&stage, false, limit).await?;
        figure(&format!("{signal}: refused for {:.1} s more", took.as_secs_f64()));
        for uplink in ["cable", "mifi", "phone"] {
            stage.happens(uplink, LineEvent::Restore).await?;
        }
        sleep(Duration::from_millis(500)).await;
        stage.nothing_lost_since(Instant::now()).await?;
        if signal == Signal::SIGKILL {
            stage.start_again().await?;
            stage.agent.wait_proven(SOON * 2).await?;
        }
    }
    Ok(())
}
