//! On OpenWrt: what netifd does to the kernel, and what it says over ubus.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use sparelink::lab::agent::{Agent, Status, config};
use sparelink::lab::netifd::{Netifd, networks};
use sparelink::lab::script::{Action, LineEvent, Settings};
use sparelink::lab::topology::{Home, Plan};
use tokio::time::sleep;

use crate::stage::{AGENT, PROVEN, SOON, shell};

crate::tests![networks_are_followed_and_their_reasons_told, uplinks_without_a_metric_are_all_ready];

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

/// Uplinks that are named as netifd names them, and what it says of those that are not up.
async fn networks_are_followed_and_their_reasons_told() -> Result<()> {
    let plan = Plan::default();
    let home = Home::build(&plan).await?;
    let mut text = config(&plan, &Settings::default());
    for uplink in &plan.uplinks {
        let (by, network) = (
            format!("interface = \"{}\"", uplink.interface),
            format!("network = \"{}\"", uplink.name),
        );
        ensure!(text.contains(&by), "control: {text}");
        text = text.replace(&by, &network);
    }
    let all = networks(&home);
    let spare = plan.uplinks[2].name.as_str();
    let netifd = Netifd::start(all.clone())?;
    let mut agent = Agent::start(&home, AGENT.as_ref(), &text).await?;
    agent.wait_proven(PROVEN).await?;
    let with = |changes: &[(&str, Value)]| {
        let mut all = all.clone();
        for (key, value) in changes {
            all["interface"][2][key] = value.clone();
        }
        all
    };
    let down =
        [("up", false.into()), ("l3_device", Value::Null), ("route", Value::Array(Vec::new()))];
    let down = |more: &[(&'static str, Value)]| with(&[&down, more].concat());
    let off = down(&[("autostart", false.into())]);
    let waits = down(&[("pending", true.into())]);
    let gone = down(&[("available", false.into()), ("device", Value::Null)]);
    for (dump, condition, words) in [
        (off, "switched_off", "switched off"),
        (waits, "no_address", "waits for an address"),
        (gone, "absent", "not plugged in"),
        (
            serde_json::json!({"interface": [all["interface"][0], all["interface"][1]]}),
            "absent",
            "netifd knows",
        ),
    ] {
        netifd.say(dump);
        let told = |s: &Status| {
            s.uplink(spare).is_some_and(|u| u.condition == condition && u.reason.contains(words))
        };
        agent.wait(SOON, words, told).await?;
    }
    netifd.say(all);
    agent.wait_proven(PROVEN).await?;
    Ok(())
}
