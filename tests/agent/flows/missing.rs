//! A kernel that lacks a part: the agent says which, pins nothing, and fails over all the same.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sparelink::io::netlink::conntrack::Conntrack;
use sparelink::lab::agent::{Agent, config};
use sparelink::lab::script::{Action, LineEvent, Settings};
use sparelink::lab::topology::{Home, Plan};
use sparelink::units::Fwmark;
use tokio::time::sleep;

use super::fleet::{BOTH, Fleet, Habit};
use crate::figure;
use crate::stage::{AGENT, PROVEN, SOON, file};

crate::tests![without_conntrack_netlink_it_fails_over, without_conntrack_marks_it_fails_over,];

async fn without_conntrack_netlink_it_fails_over() -> Result<()> {
    lacking("nf_conntrack_netlink").await
}

async fn without_conntrack_marks_it_fails_over() -> Result<()> {
    lacking("CONFIG_NF_CONNTRACK_MARK").await
}

async fn lacking(part: &str) -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    let text = config(&Plan::default(), &Settings::default());
    let mut agent = Agent::start(&home, &pretending(part)?, &text).await?;
    agent.wait_proven(PROVEN).await?;
    let often = Duration::from_millis(50);
    let calls = Fleet::udp(&home.client, 10, &BOTH, often).await?;
    let talking = Fleet::tcp(&home.client, 10, &BOTH, Habit::Talks(often)).await?;
    ensure!(pinned(&home).await? == 0, "flows were pinned");
    let cut = home.apply(&Action::line("cable", LineEvent::Unplug)).await?;
    agent.wait(SOON, "traffic on mifi", |s| s.active.as_deref() == Some("mifi")).await?;
    let again = talking.wait(SOON, "all connected again", |f| f.again_after(cut)).await?;
    sleep(Duration::from_secs(1)).await;
    let udp = calls.answered_after(cut).context("a UDP flow was not answered again")?;
    ensure!(pinned(&home).await? == 0, "flows were pinned");
    figure(&format!("UDP {}; TCP connected again {}", super::spread(&udp), super::spread(&again)));
    let log = fs::read_to_string(file("agent.log"))?;
    let said: Vec<&str> = log.lines().filter(|line| line.contains(part)).collect();
    let [said] = said.as_slice() else {
        anyhow::bail!("said {} times:\n{log}", said.len());
    };
    ensure!(said.contains("WARN") && said.contains("module"), "{said}");
    ensure!(!log.contains("the kernel refused"), "{log}");
    Ok(())
}

/// A program that becomes the agent of a kernel without that part.
fn pretending(part: &str) -> Result<PathBuf> {
    let script = file("lacking");
    fs::write(&script, format!("#!/bin/sh\nSPARELINK_LACKING={part} exec {AGENT} \"$@\"\n"))?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    Ok(script)
}

/// Flows with an uplink's mark.
async fn pinned(home: &Home) -> Result<u64> {
    let count = async {
        let counts = Conntrack::open()?.count_by(Fwmark::UPLINK_MASK, &[])?;
        let marked = counts.iter().filter(|(mark, _)| **mark != 0);
        anyhow::Ok(marked.map(|(_, count)| (count.v4 + count.v6).flows).sum())
    };
    home.router.run(count).await?
}
