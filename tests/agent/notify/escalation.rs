//! What is critical is told to the next until a person has seen it, and that outlives the agent.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use sparelink::lab::script::LineEvent;
use sparelink::lab::topology::{Home, Plan};
use tokio::time::{Instant, sleep};

use super::server::Server;
use super::{TOLD, text, told, with};
use crate::figure;
use crate::http::{Answer, PORT, ask, host};
use crate::stage::{AGENT, SOON, Stage};

/// The LAN's client, where the server is: it is reached while no uplink works.
const SERVER: &str = "192.168.77.2:8080";
const PAGE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 77, 1));
/// Who is next is told after so long.
const AFTER: Duration = Duration::from_secs(4);

pub(super) async fn what_nobody_has_seen_is_told_to_the_next() -> Result<()> {
    let (server, mut stage) = home_whose_alarms_are_told_here().await?;
    for uplink in ["cable", "mifi", "phone"] {
        stage.happens(uplink, LineEvent::Sever).await?;
    }
    let first = told(&server, 1, SOON).await?.remove(0);
    let message = first.json()?;
    ensure!(first.path == "/first" && text(&message, "severity") == "critical", "{message}");
    let link = text(&message, "ack").to_owned();
    let token = link.rsplit('/').next().context("no token")?.to_owned();
    ensure!(
        link == format!("http://192.168.77.1:{PORT}/ack/{token}") && token.len() == 32,
        "{link}"
    );
    let shown = stage.command(&["notify"]).await?.must(0)?.out;
    ensure!(shown.contains("Nobody has seen it yet.") && shown.contains("is told."), "{shown}");
    ensure!(!shown.contains(&token), "the token is for who got the message");

    let second = told(&server, 2, AFTER + TOLD).await?.remove(1);
    let after = second.at.saturating_duration_since(first.at);
    figure(&format!("the next is told {} ms after the first", after.as_millis()));
    ensure!(second.path == "/second" && second.json()?["id"] == message["id"], "{second:?}");
    ensure!(after > AFTER - Duration::from_secs(1) && after < AFTER + Duration::from_secs(5));

    // Opening the link is not pressing the button, and nobody else's link is one.
    let look = link_asked(&stage, "GET", &token, "").await?;
    let html = String::from_utf8_lossy(&look.body).into_owned();
    ensure!(look.status == 200 && html.contains("<form method=\"post\">"), "{html}");
    let wrong = link_asked(&stage, "POST", &token.replace(|c| c != '0', "1"), "").await?;
    ensure!(wrong.status == 404, "{wrong:?}");
    ensure!(stage.json().await?["messages"]["alarm"]["acknowledged"].is_null());
    let seen = link_asked(&stage, "POST", &token, "").await?;
    ensure!(
        seen.status == 200 && said(&seen)?.starts_with("acknowledged: No Internet"),
        "{seen:?}"
    );
    let again = link_asked(&stage, "POST", &token, "Accept: text/html\r\n").await?;
    let html = String::from_utf8_lossy(&again.body).into_owned();
    ensure!(again.status == 200 && html.contains("It has been acknowledged already"), "{html}");
    let seen_at = Instant::now();

    stage.agent.end(Signal::SIGKILL).await?;
    stage.start_again().await?;
    sleep((AFTER * 2).saturating_sub(seen_at.elapsed())).await;
    ensure!(server.asked().len() == 2, "the third is not told: {:#?}", server.asked());
    let alarm = stage.json().await?["messages"]["alarm"].clone();
    ensure!(text(&alarm["acknowledged"], "by") == "by the link in the message", "{alarm}");
    ensure!(alarm["next"].is_null() && !stage.agent.log().contains(&token), "{alarm}");
    let doubled = stage.command(&["notify", "ack"]).await?.must(0)?.out;
    ensure!(doubled.starts_with("it has been acknowledged already"), "{doubled}");

    // Whoever was told is told of the end, and nobody else.
    stage.happens("phone", LineEvent::Restore).await?;
    stage.on("phone").await?;
    let all = told(&server, 4, SOON).await?;
    let ends: Vec<&str> = all.iter().skip(2).map(|asked| asked.path.as_str()).collect();
    ensure!(ends.contains(&"/first") && ends.contains(&"/second"), "{ends:?}");
    ensure!(all.last().context("none")?.json()?["ack"].is_null());
    ensure!(stage.json().await?["messages"]["alarm"].is_null());
    Ok(())
}

async fn home_whose_alarms_are_told_here() -> Result<(Server, Stage)> {
    let server = Server::new();
    let home = Home::build(&Plan::default()).await?;
    let place: SocketAddr = SERVER.parse()?;
    home.client.spawn(server.clone().serve(place));
    let channels = format!(
        "[[notify]]\nto = \"json://{SERVER}/first\"\nmin = \"critical\"\nafter = \"{}s\"\n\
         escalate = [\"json://{SERVER}/second\", \"json://{SERVER}/third\"]\n",
        AFTER.as_secs()
    );
    let stage = Stage::configured(home, with(&channels), Path::new(AGENT), &[]).await?;
    Ok((server, stage))
}

async fn link_asked(stage: &Stage, method: &str, token: &str, headers: &str) -> Result<Answer> {
    let headers = format!("Host: {}\r\n{headers}", host(PAGE));
    let line = format!("{method} /ack/{token}");
    ask(&stage.home.client, SocketAddr::new(PAGE, PORT), &line, &headers, "").await
}

fn said(answer: &Answer) -> Result<String> {
    let json: Value = answer.json()?;
    Ok(text(&json, "message").to_owned())
}
