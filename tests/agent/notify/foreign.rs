//! Services that the program does not know, by the words that the configuration has for them; and servers whose names
//! nobody resolves any more.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use sparelink::lab::script::LineEvent;
use sparelink::lab::topology::{Home, Plan};
use tokio::time::Instant;

use super::server::Server;
use super::{TOLD, home_that_tells, place, text, told, with};
use crate::figure;
use crate::stage::{SOON, Stage, file, shell, with_environment};

/// As docs/MONITORING.md has them, but for the server.
const EXAMPLES: &str = r#"
[[notify]]                                          # Slack
to = "json://AT/services/T000/B000/TOKEN"
body = '{"text": "{title}: {message}"}'
min = "notice"

[[notify]]                                          # Discord
to = "json://AT/api/webhooks/4711/TOKEN"
body = '{"content": "**{title}** {message}"}'
min = "notice"

[[notify]]                                          # Matrix
to = "json://syt_secret@AT/_matrix/client/v3/rooms/!room:example.org/send/m.room.message/{id}"
method = "PUT"
body = '{"msgtype": "m.text", "body": "{title}: {message}"}'
min = "notice"

[[notify]]                                          # Twilio
to = "json://AC4711:s3cret@AT/2010-04-01/Accounts/AC4711/Messages.json"
body = "From=%2B15005550006&To=%2B4915112345678&Body={title}:%20{text}"
min = "notice"
"#;

pub(super) async fn services_that_are_not_known_get_their_own_words() -> Result<()> {
    let server = Server::new();
    let channels = EXAMPLES.replace("AT/", &format!("{}/", place(8080)));
    let mut stage = home_that_tells(&server, &channels).await?;
    stage.happens("cable", LineEvent::Sever).await?;
    stage.on("mifi").await?;
    let asked = told(&server, 4, TOLD).await?;
    let by =
        |start: &str| asked.iter().find(|a| a.path.starts_with(start)).context(start.to_owned());
    let words = "Cable has no Internet behind its modem.";
    let json = "application/json";
    let slack = by("/services/T000/B000/TOKEN")?;
    let said = slack.json()?;
    ensure!(slack.method == "POST" && slack.header("content-type") == Some(json), "{slack:?}");
    ensure!(text(&said, "text").starts_with("On mifi since ") && is_alone(&said), "{said}");
    let discord = by("/api/webhooks/4711/TOKEN")?.json()?;
    ensure!(
        text(&discord, "content").starts_with("**On mifi since ") && is_alone(&discord),
        "{discord}"
    );
    let matrix = by("/_matrix/client/v3/rooms/!room:example.org/send/m.room.message/")?;
    let id = matrix.path.rsplit('/').next().unwrap_or_default();
    ensure!(matrix.method == "PUT" && id.len() > 8 && !id.contains('{'), "{matrix:?}");
    ensure!(matrix.header("authorization") == Some("Bearer syt_secret"), "{matrix:?}");
    let said = matrix.json()?;
    ensure!(text(&said, "msgtype") == "m.text", "{said}");
    ensure!(text(&said, "body").contains(words), "{said}");
    let twilio = by("/2010-04-01/")?;
    let form = "application/x-www-form-urlencoded";
    ensure!(twilio.header("content-type") == Some(form), "{twilio:?}");
    ensure!(twilio.header("authorization") == Some("Basic QUM0NzExOnMzY3JldA=="), "{twilio:?}");
    let head = "From=%2B15005550006&To=%2B4915112345678&Body=On%20mifi%20since%20";
    ensure!(twilio.body.starts_with(head), "{twilio:?}");
    ensure!(twilio.body.matches('&').count() == 2 && !twilio.body.contains(' '), "{twilio:?}");
    let log = stage.agent.log();
    ensure!(!log.contains("secret") && !log.contains("s3cret"), "{log}");
    Ok(())
}

fn is_alone(document: &Value) -> bool {
    document.as_object().is_some_and(|fields| fields.len() == 1)
}

/// The name of the server is in a file of the box at first, and then nowhere; there is no resolver at any time.
pub(super) async fn a_message_finds_its_server_while_no_name_resolves() -> Result<()> {
    let (hosts, resolvers) = (file("hosts"), file("resolvers"));
    let server = Server::new();
    let address = place(8080).ip();
    std::fs::write(&hosts, format!("127.0.0.1 localhost\n{address} push.example\n"))?;
    std::fs::write(&resolvers, "nameserver 192.0.2.53\n")?;
    let home = Home::build(&Plan::default()).await?;
    home.target.spawn(server.clone().serve(place(8080)));
    let over = |from: &Path, to: &str| format!("mount --bind {} {to}", from.display());
    shell(&home.router, &over(&hosts, "/etc/hosts")).await?;
    shell(&home.router, &over(&resolvers, "/etc/resolv.conf")).await?;
    let agent = with_environment("without-names", &[])?;
    let section =
        |host: &str| format!("[[notify]]\nto = \"json://{host}:8080/{host}\"\nmin = \"notice\"\n");
    let channels = section("push.example") + &section("other.example");
    let mut stage = Stage::configured(home, with(&channels), &agent, &[]).await?;
    stage.command(&["notify", "test", "webhook"]).await?.must(0)?;
    std::fs::write(&hosts, "127.0.0.1 localhost\n")?;
    for (n, uplink) in ["mifi", "phone"].into_iter().enumerate() {
        let before = ["cable", "mifi"][n];
        stage.happens(before, LineEvent::Sever).await?;
        stage.on(uplink).await?;
        let begun = Instant::now();
        told(&server, 2 + n, TOLD).await.with_context(|| stage.agent.log())?;
        figure(&format!("told {} ms after the switch", begun.elapsed().as_millis()));
        // What is remembered outlives the agent.
        stage.agent.end(Signal::SIGKILL).await?;
        stage.start_again().await?;
        let ready = |status: &sparelink::lab::agent::Status| status.spares_ready > 0;
        stage.on(uplink).await?;
        if n == 0 {
            stage.agent.wait(SOON, "a spare", ready).await?;
        }
    }
    let said = stage.command(&["notify", "test", "webhook-2"]).await?.must(1)?.out;
    ensure!(said.contains("cannot look up other.example"), "control: {said}");
    ensure!(
        server.asked().iter().all(|asked| asked.path == "/push.example"),
        "{:?}",
        server.asked()
    );
    Ok(())
}
