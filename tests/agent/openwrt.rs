//! On OpenWrt: what netifd does to the kernel, and what it says over ubus.

use std::time::Duration;

use anyhow::{Result, ensure};
use sparelink::lab::agent::{Agent, config};
use sparelink::lab::netifd::{Netifd, networks};
use sparelink::lab::script::{Action, LineEvent, Settings};
use sparelink::lab::topology::{Home, Plan};
use tokio::time::sleep;

use crate::stage::{AGENT, PROVEN, SOON, shell};

crate::tests![uplinks_without_a_metric_are_all_ready];

/// As netifd leaves `main` where no network has a metric: with one default route, the last one's.
async fn without_metrics(home: &Home) -> Result<()> {
    for family in ["-4", "-6"] {
        let spares = home.uplinks.iter().skip(1);
        for uplink in spares {
            shell(&home.router, &format!("ip {family} route del default dev {}", uplink.interface))
                .await?;
        }
    }
    Ok(())
}

async fn uplinks_without_a_metric_are_all_ready() -> Result<()> {
    let plan = Plan::default();
    let home = Home::build(&plan).await?;
    without_metrics(&home).await?;
    let text = config(&plan, &Settings::default());
    let mut agent = Agent::start(&home, AGENT.as_ref(), &text).await?;
    let first = &plan.uplinks[0].name;
    agent.wait(PROVEN, "the first in use", |s| s.active.as_deref() == Some(first)).await?;
    sleep(Duration::from_secs(3)).await;
    let alone = agent.status().await?;
    ensure!(
        alone.spares_ready == 0,
        "control: without netifd nobody says where the gateways are: {alone:?}"
    );
    let netifd = Netifd::start(networks(&home))?;
    agent.wait_proven(PROVEN).await?;
    home.apply(&Action::line(first, LineEvent::Sever)).await?;
    agent
        .wait(SOON, "a spare in use", |s| s.active.is_some() && s.active.as_deref() != Some(first))
        .await?;
    // What it has said stays true while it is away.
    drop(netifd);
    home.apply(&Action::line(first, LineEvent::Restore)).await?;
    agent.wait_proven(SOON).await?;
    Ok(())
}
