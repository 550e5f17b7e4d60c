//! A sign of life of the house, and one of each uplink through that uplink; silence where one is dead.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sparelink::lab::script::LineEvent;
use sparelink::lab::topology::{Home, Plan};
use tokio::time::{Instant, sleep};

use super::server::{Asked, Server};
use super::{place, told, with};
use crate::figure;
use crate::stage::{AGENT, SOON, Stage};

pub(super) async fn signs_of_life_go_through_their_uplinks() -> Result<()> {
    let server = Server::new();
    let home = Home::build(&Plan::default()).await?;
    home.target.spawn(server.clone().serve(place(8080)));
    let url = format!("http://{}/ping/4711", place(8080));
    // Seldom enough for a test, often enough to see that one stays away.
    let more = format!("[heartbeat]\nurl = \"{url}\"\nevery = \"10s\"\neach_uplink = true\n");
    let mut stage = Stage::configured(home, with(&more), Path::new(AGENT), &[]).await?;

    let first = told(&server, 4, SOON).await?;
    let mut paths: Vec<&str> = first.iter().map(|asked| asked.path.as_str()).collect();
    paths.sort_unstable();
    ensure!(
        paths == ["/ping/4711", "/ping/4711/cable", "/ping/4711/mifi", "/ping/4711/phone"],
        "{paths:?}"
    );
    let house = of(&first, "/ping/4711").context("no sign of the house")?;
    ensure!(house.header("content-type") == Some("text/plain; charset=utf-8"), "{house:?}");
    let (sentence, state) = house.body.split_once('\n').context("one sentence and the state")?;
    let state: Value = serde_json::from_str(state)?;
    ensure!(!sentence.is_empty() && state["uplinks"][0]["name"] == "cable", "{sentence}: {state}");

    // The first of the chain dies: its own sign stays away, the others come, the house says where traffic is.
    stage.happens("cable", LineEvent::Sever).await?;
    stage.on("mifi").await?;
    let cut = Instant::now();
    let later = |asked: &Asked| asked.at > cut;
    let begun = Instant::now();
    let signs = loop {
        let signs: Vec<Asked> = server.asked().into_iter().filter(later).collect();
        let has = |path| of(&signs, path).is_some();
        if has("/ping/4711") && has("/ping/4711/mifi") {
            break signs;
        }
        ensure!(begun.elapsed() < Duration::from_secs(30), "no more signs: {signs:#?}");
        sleep(Duration::from_millis(100)).await;
    };
    let house = of(&signs, "/ping/4711").context("no sign of the house")?;
    ensure!(house.body.contains("\"active\":\"mifi\""), "{}", house.body);
    let begun = Instant::now();
    let beats = loop {
        let beats = stage.json().await?["messages"]["heartbeats"].clone();
        let cable = beats.as_array().into_iter().flatten().find(|beat| beat["uplink"] == "cable");
        if cable.is_some_and(|beat| beat["failing"].is_string()) {
            break beats;
        }
        ensure!(
            begun.elapsed() < SOON,
            "nobody says that the sign of cable did not arrive: {beats}"
        );
        sleep(Duration::from_millis(100)).await;
    };
    ensure!(of(&signs, "/ping/4711/cable").is_none(), "a dead line gives no sign: {signs:#?}");
    ensure!(beats[0]["uplink"].is_null() && beats[0]["failing"].is_null(), "{beats}");
    let shown = stage.command(&["notify"]).await?.must(0)?.out;
    ensure!(
        shown.contains("heartbeat of cable: last") && shown.contains("did not arrive:"),
        "{shown}"
    );
    ensure!(!shown.contains("4711") && !stage.agent.log().contains("4711"), "the path is a secret");
    let why = beats.as_array().into_iter().flatten().find_map(|beat| beat["failing"].as_str());
    figure(&format!("the sign of the dead line: {}", why.unwrap_or_default()));
    Ok(())
}

fn of<'a>(asked: &'a [Asked], path: &str) -> Option<&'a Asked> {
    asked.iter().find(|asked| asked.path == path)
}
