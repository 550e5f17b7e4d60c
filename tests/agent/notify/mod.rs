//! People are told what happens, once, in order, whatever dies meanwhile.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use sparelink::lab::agent::config;
use sparelink::lab::script::{LineEvent, Settings};
use sparelink::lab::topology::{ECHO4, Home, Plan};
use tokio::time::{Instant, sleep};

use crate::figure;
use crate::stage::{AGENT, SOON, Stage, file};

mod encrypted;
mod escalation;
mod foreign;
mod heartbeat;
mod hilink;
mod home_assistant;
mod hooks;
mod modem;
mod mqtt;
mod oracles;
pub(crate) mod server;
mod storm;

use encrypted::mails_and_webhooks_go_by_tls_alone;
use escalation::what_nobody_has_seen_is_told_to_the_next;
use foreign::{
    a_message_finds_its_server_while_no_name_resolves,
    services_that_are_not_known_get_their_own_words,
};
use heartbeat::signs_of_life_go_through_their_uplinks;
use hilink::{
    a_channel_that_goes_is_not_asked_for_an_answer, an_sms_goes_by_the_router_that_is_meant,
};
use home_assistant::a_home_sees_its_uplinks_and_says_which;
use hooks::programs_beside_the_configuration_are_run;
use modem::an_sms_goes_by_modem_manager;
use mqtt::messages_are_published_by_mqtt;
use oracles::{the_stand_in_of_a_mobile_router_is_taken_for_one, what_apprise_sends_we_send};
use server::{Asked, Manner, Server, says};
use storm::fifty_transitions_and_twenty_kills_lose_no_message;

crate::tests![
    a_failover_and_the_return_are_one_story,
    an_outage_is_told_when_it_is_over_whoever_was_killed,
    a_channel_that_hangs_holds_up_nobody,
    each_service_is_asked_as_it_wants,
    services_that_are_not_known_get_their_own_words,
    a_message_finds_its_server_while_no_name_resolves,
    a_program_is_run_with_the_message,
    what_nobody_has_seen_is_told_to_the_next,
    signs_of_life_go_through_their_uplinks,
    programs_beside_the_configuration_are_run,
    #[ignore = "long: an outage of ten minutes"]
    fifty_transitions_and_twenty_kills_lose_no_message,
    mails_and_webhooks_go_by_tls_alone,
    an_sms_goes_by_the_router_that_is_meant,
    a_channel_that_goes_is_not_asked_for_an_answer,
    what_apprise_sends_we_send,
    the_stand_in_of_a_mobile_router_is_taken_for_one,
    an_sms_goes_by_modem_manager,
    messages_are_published_by_mqtt,
    a_home_sees_its_uplinks_and_says_which,
];

/// A switch is told in two seconds; a busy machine gets a little more.
const TOLD: Duration = Duration::from_secs(4);

/// Where the server is, in the Internet of the lab.
fn place(port: u16) -> SocketAddr {
    SocketAddr::new(ECHO4, port)
}

/// A home with a server in its Internet, and an agent that has these channels.
async fn home_that_tells(server: &Server, channels: &str) -> Result<Stage> {
    let home = Home::build(&Plan::default()).await?;
    home.target.spawn(server.clone().serve(place(8080)));
    Stage::configured(home, with(channels), Path::new(AGENT), &[]).await
}

/// A configuration with these channels.
fn with(channels: &str) -> String {
    config(&Plan::default(), &Settings::default()) + channels
}

fn webhook(min: &str) -> String {
    format!("[[notify]]\nto = \"json://{}/hook\"\nmin = \"{min}\"\n", place(8080))
}

/// Waits until the server has been told so many messages; all of them.
async fn told(server: &Server, many: usize, limit: Duration) -> Result<Vec<Asked>> {
    let begun = Instant::now();
    loop {
        let asked = server.asked();
        if asked.len() >= many {
            return Ok(asked);
        }
        ensure!(begun.elapsed() < limit, "{many} messages did not come: {asked:#?}");
        sleep(Duration::from_millis(20)).await;
    }
}

fn text<'a>(message: &'a Value, key: &str) -> &'a str {
    message[key].as_str().unwrap_or_default()
}

async fn a_failover_and_the_return_are_one_story() -> Result<()> {
    let server = Server::new();
    let mut stage = home_that_tells(&server, &webhook("notice")).await?;
    let severed = stage.happens("cable", LineEvent::Sever).await?;
    stage.on("mifi").await?;
    let switched = Instant::now();
    let first = told(&server, 1, TOLD).await?.remove(0);
    let took = first.at.saturating_duration_since(switched);
    figure(&format!(
        "told {} ms after the switch, {} ms after the cut",
        took.as_millis(),
        first.at.saturating_duration_since(severed).as_millis()
    ));
    let message = first.json()?;
    ensure!(first.path == "/hook" && first.header("content-type") == Some("application/json"));
    ensure!(text(&message, "title").starts_with("On mifi since "), "{message}");
    ensure!(
        text(&message, "text").starts_with("Cable has no Internet behind its modem."),
        "{message}"
    );
    ensure!(text(&message, "text").contains("without Internet."), "{message}");
    ensure!(text(&message, "next") == "Left to fall back on: phone.", "{message}");
    ensure!(text(&message, "severity") == "notice" && text(&message, "uplink") == "mifi");
    ensure!(message["state"]["active"] == "mifi" && message["state"].get("login").is_none());
    stage.happens("cable", LineEvent::Restore).await?;
    stage.on("cable").await?;
    let back = told(&server, 2, TOLD).await?.remove(1).json()?;
    ensure!(text(&back, "title").starts_with("Back on cable since "), "{back}");
    ensure!(text(&back, "next").starts_with("Left to fall back on: mifi"), "{back}");
    ensure!(back["story"] == message["story"] && back["id"] != message["id"], "{back}");
    // Both IP versions moved twice, and nobody was told twice.
    sleep(Duration::from_secs(3)).await;
    ensure!(server.asked().len() == 2, "{:#?}", server.asked());
    let shown = stage.command(&["notify"]).await?.must(0)?.out;
    ensure!(shown.contains("webhook (203.0.113.7): last delivered"), "{shown}");
    ensure!(shown.contains("none waiting"), "{shown}");
    let json = stage.json().await?;
    ensure!(json["messages"]["waiting"] == 0 && json["messages"]["last"].is_string(), "{json}");
    Ok(())
}

/// All lines are cut for a while, the agent is killed meanwhile and starts again.
async fn an_outage_is_told_when_it_is_over_whoever_was_killed() -> Result<()> {
    let server = Server::new();
    let mut stage = home_that_tells(&server, &webhook("notice")).await?;
    stage.happens("cable", LineEvent::Sever).await?;
    stage.on("mifi").await?;
    let begun = Instant::now();
    while stage.json().await?["messages"]["last"].is_null() {
        ensure!(begun.elapsed() < SOON, "nothing is delivered");
        sleep(Duration::from_millis(20)).await;
    }
    for uplink in ["mifi", "phone"] {
        stage.happens(uplink, LineEvent::Sever).await?;
    }
    let dark = |status: &sparelink::lab::agent::Status| status.active.is_none();
    stage.agent.wait(SOON, "no Internet", dark).await?;
    let begun = Instant::now();
    while stage.json().await?["messages"]["waiting"] == 0 {
        ensure!(begun.elapsed() < SOON, "nothing waits");
        sleep(Duration::from_millis(50)).await;
    }
    for _ in 0..3 {
        stage.agent.end(Signal::SIGKILL).await?;
        stage.start_again().await?;
        sleep(Duration::from_millis(1500)).await;
    }
    ensure!(server.asked().len() == 1, "control: nothing gets out");
    stage.happens("phone", LineEvent::Restore).await?;
    stage.on("phone").await?;
    let asked = told(&server, 3, SOON).await?;
    sleep(Duration::from_secs(2)).await;
    let messages: Vec<Value> = server.asked().iter().map(Asked::json).collect::<Result<_>>()?;
    let titles: Vec<&str> = messages.iter().map(|m| text(m, "title")).collect();
    let ids: BTreeSet<&str> = messages.iter().map(|m| text(m, "id")).collect();
    figure(&format!("{} messages, {titles:?}", asked.len()));
    let all: Vec<_> = messages.iter().map(|m| (text(m, "id"), text(m, "title"))).collect();
    ensure!(ids.len() == messages.len(), "each once: {all:#?}\n{}", stage.agent.log());
    ensure!(titles[1].starts_with("No Internet ") && !titles[1].contains("since"), "{titles:?}");
    ensure!(titles[2].starts_with("No Internet since "), "{titles:?}");
    ensure!(text(&messages[1], "severity") == "critical", "{messages:#?}");
    Ok(())
}

async fn a_channel_that_hangs_holds_up_nobody() -> Result<()> {
    let (server, dead) = (Server::new(), Server::new());
    dead.behave(Manner::Hangs);
    let hanging = format!(
        "[[notify]]\nto = \"ntfy://{}/deadtopic\"\nmin = \"notice\"\n\
         [[notify]]\nto = \"exec:///bin/cat\"\nmin = \"notice\"\n",
        place(8081)
    );
    let home = Home::build(&Plan::default()).await?;
    home.target.spawn(server.clone().serve(place(8080)));
    home.target.spawn(dead.clone().serve(place(8081)));
    let channels = webhook("notice") + &hanging;
    let mut stage = Stage::configured(home, with(&channels), Path::new(AGENT), &[]).await?;
    for (n, event) in
        [LineEvent::Sever, LineEvent::Restore, LineEvent::Sever].into_iter().enumerate()
    {
        let begun = stage.happens("cable", event).await?;
        stage.on(if matches!(event, LineEvent::Sever) { "mifi" } else { "cable" }).await?;
        let asked = told(&server, n + 1, TOLD).await?;
        if matches!(event, LineEvent::Sever) {
            let gap = stage.gap_after(begun).await?;
            figure(&format!("failover in {} ms, told as message {}", gap.as_millis(), asked.len()));
        }
    }
    let late = stage.json().await?["loop_gap_ms"].as_f64().context("no loop_gap_ms")?;
    let shown = stage.command(&["notify"]).await?.must(0)?.out;
    figure(&format!("loop late by {late:.1} ms"));
    ensure!(shown.contains("ntfy (deadt…): nothing delivered yet, 3 waiting"), "{shown}");
    // 20 ms on a quiet machine.
    ensure!(late < 500.0, "the loop was late by {late} ms");
    Ok(())
}

async fn each_service_is_asked_as_it_wants() -> Result<()> {
    let server = Server::new();
    let at = place(8080);
    let channels = format!(
        "[[notify]]\nto = \"ntfy://tk_secret@{at}/our-house\"\n\
         [[notify]]\nto = \"gotify://{at}/sub/AbCdEf\"\n\
         [[notify]]\nto = \"json://user:pass@{at}/a?b=c\"\n"
    );
    let stage = home_that_tells(&server, &channels).await?;
    let said = stage.command(&["notify", "test"]).await?.must(0)?.out;
    ensure!(said.lines().count() == 3 && said.matches(": delivered in ").count() == 3, "{said}");
    ensure!(!said.contains("secret") && !said.contains("AbC") && !said.contains("pass"), "{said}");
    let asked = told(&server, 3, TOLD).await?;
    let by = |path: &str| asked.iter().find(|a| a.path == path).context(path.to_owned());
    let ntfy = by("/")?;
    ensure!(ntfy.header("authorization") == Some("Bearer tk_secret"), "{ntfy:?}");
    ensure!(ntfy.json()?["topic"] == "our-house" && ntfy.json()?["priority"] == 3, "{ntfy:?}");
    ensure!(ntfy.json()?["title"] == "Test of sparelink", "{ntfy:?}");
    let gotify = by("/sub/message")?;
    ensure!(gotify.header("x-gotify-key") == Some("AbCdEf"), "{gotify:?}");
    ensure!(gotify.json()?["message"] == "This channel works.", "{gotify:?}");
    let hook = by("/a?b=c")?;
    ensure!(hook.header("authorization") == Some("Basic dXNlcjpwYXNz"), "{hook:?}");
    // One that refuses is told in words, and the others are not touched by it.
    server.behave(says(401, "{\"error\":\"unauthorized\"}"));
    let said = stage.command(&["notify", "test", "gotify"]).await?.must(1)?.out;
    ensure!(said.contains("not delivered: the server refuses the login or token (401"), "{said}");
    let said = stage.command(&["notify", "test", "ntfi"]).await?.must(2)?.err;
    ensure!(said.contains("did you mean ntfy? the channels are gotify, ntfy, webhook"), "{said}");
    let log = stage.agent.log();
    ensure!(
        !log.contains("tk_secret") && !log.contains("AbCdEf") && !log.contains("pass"),
        "{log}"
    );
    Ok(())
}

async fn a_program_is_run_with_the_message() -> Result<()> {
    let (script, got) = (file("hook"), file("hook-got"));
    std::fs::write(&script, format!("#!/bin/sh\necho it ran\ncat > {}\n", got.display()))?;
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let channel = format!("[[notify]]\nto = \"exec://{}\"\n", script.display());
    let stage = home_that_tells(&Server::new(), &channel).await?;
    stage.command(&["notify", "test"]).await?.must(0)?;
    let document: Value = serde_json::from_str(&std::fs::read_to_string(&got)?)?;
    ensure!(text(&document, "title") == "Test of sparelink", "{document}");
    ensure!(document["state"]["active"] == "cable", "{document}");
    ensure!(stage.agent.log().contains("hook: it ran"), "{}", stage.agent.log());
    // One that does not end is ended, and what it has started, too.
    std::fs::write(&script, "#!/bin/sh\nsleep 1000 & sleep 1001\n")?;
    let begun = Instant::now();
    let said = stage.command(&["notify", "test"]).await?.must(1)?.out;
    ensure!(
        said.contains("was ended after 10 s") && begun.elapsed() < Duration::from_secs(20),
        "{said}"
    );
    std::fs::write(&script, "#!/bin/sh\nexit 3\n")?;
    let said = stage.command(&["notify", "test", "exec"]).await?.must(1)?.out;
    ensure!(said.contains("failed: exit status: 3"), "{said}");
    Ok(())
}
