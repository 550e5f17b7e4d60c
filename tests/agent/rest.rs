//! What the agent takes when nothing happens.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::time::sleep;

use crate::figure;
use crate::stage::Stage;

crate::tests![at_rest_it_is_small];

/// Of the program as it is tested, with symbols and the lab in it; the bench weighs the real one.
const RSS_KB: u64 = 20_000;

async fn at_rest_it_is_small() -> Result<()> {
    let stage = Stage::new().await?;
    let pid = stage.agent.pid();
    let span = Duration::from_secs(15);
    let before = ticks(pid)?;
    sleep(span).await;
    // USER_HZ is 100 wherever Linux runs a shell.
    let percent = (ticks(pid)? - before) as f64 / span.as_secs_f64();
    let rss = rss_kb(pid)?;
    let megabytes = rss as f64 / 1e3;
    figure(&format!(
        "RSS {megabytes:.1} MB, CPU {percent:.2} % of a core with 200 new flows a second"
    ));
    ensure!(rss <= RSS_KB, "RSS {rss} kB");
    Ok(())
}

/// What a process holds of the memory, in kB.
pub(crate) fn rss_kb(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let rss = rss.and_then(|rest| rest.split_whitespace().next()).context("no VmRSS")?;
    Ok(rss.parse()?)
}

/// User and system time of a process, in ticks.
fn ticks(pid: u32) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields = stat.rsplit_once(") ").context("an odd stat")?.1;
    let mut fields = fields.split(' ').skip(11).map(str::parse::<u64>);
    let mut next = || fields.next().context("a short stat");
    Ok(next()?? + next()??)
}
