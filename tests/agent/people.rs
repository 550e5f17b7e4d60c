//! What people ask of a running agent: another configuration, another uplink, how things are.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use sparelink::lab::agent::{Agent, config};
use sparelink::lab::meter::Meter;
use sparelink::lab::script::{LineEvent, Settings};
use sparelink::lab::topology::{ECHO4, Home, Plan};
use tokio::time::{Instant, sleep};

use crate::kernel::device_of;
use crate::stage::{AGENT, PROVEN, SOON, Stage};

crate::tests![
    another_order_is_taken_up_without_losing_a_flow,
    a_new_uplink_is_taken_up_by_sighup,
    a_wrong_configuration_changes_nothing,
    the_status_has_every_field,
    a_manual_choice_survives_a_restart,
    a_choice_for_a_while_ends_by_itself,
    a_paused_uplink_is_left_alone,
];

fn with_order(names: [&str; 3]) -> Result<String> {
    let Plan { uplinks } = Plan::default();
    let mut ordered = Vec::new();
    for name in names {
        let found = uplinks.iter().find(|uplink| uplink.name == name);
        ordered.push(found.context("no such uplink")?.clone());
    }
    let plan = Plan { uplinks: ordered };
    Ok(config(&plan, &Settings::default()))
}

async fn another_order_is_taken_up_without_losing_a_flow() -> Result<()> {
    let mut stage = Stage::new().await?;
    let begun = Instant::now();
    let numbers = async |stage: &Stage| {
        let read = async {
            anyhow::Ok([device_of(8301).await?, device_of(8302).await?, device_of(8303).await?])
        };
        stage.home.router.run(read).await?
    };
    let before = numbers(&stage).await?;
    stage.agent.configure(&with_order(["mifi", "phone", "cable"])?)?;
    stage.agent.must(&["reload"]).await?;
    stage.on("mifi").await?;
    sleep(Duration::from_secs(2)).await;
    let after = numbers(&stage).await?;
    ensure!(before == after, "numbers are kept by name: {before:?}, then {after:?}");
    let json = stage.json().await?;
    ensure!(json["uplinks"][0]["name"] == "mifi", "{json}");
    stage.nothing_lost_since(begun).await
}

async fn a_new_uplink_is_taken_up_by_sighup() -> Result<()> {
    let names = ["cable", "mifi", "phone", "dish"].map(str::to_owned);
    let four = Plan::named(&names);
    let three = Plan::named(&names[..3]);
    let home = Home::build(&four).await?;
    let text = config(&three, &Settings::default());
    let mut agent = Agent::start(&home, AGENT.as_ref(), &text).await?;
    let meter = Meter::start(&home.client, ECHO4).await?;
    agent.wait_proven(PROVEN).await?;
    sleep(Duration::from_secs(1)).await;
    let begun = Instant::now();
    agent.configure(&config(&four, &Settings::default()))?;
    kill(Pid::from_raw(agent.pid().cast_signed()), Signal::SIGHUP)?;
    let ready = |status: &sparelink::lab::agent::Status| {
        status.uplink("dish").is_some_and(|u| u.role == "ready")
    };
    agent.wait(SOON, "the new uplink ready", ready).await?;
    ensure!(agent.status().await?.active.as_deref() == Some("cable"), "it moved");
    let device = home.router.run(device_of(8304)).await??;
    ensure!(device == home.router.index("eth3").await?, "its table leads elsewhere");
    let end = Instant::now();
    sleep(Duration::from_secs(1)).await;
    let (flows, stream) = (meter.flows(begun, end), meter.stream(begun, end));
    ensure!(flows.sent > 20 && flows.lost + stream.lost == 0, "{flows:?} {stream:?}");
    Ok(())
}

async fn a_wrong_configuration_changes_nothing() -> Result<()> {
    let stage = Stage::new().await?;
    stage
        .agent
        .configure("[[uplink]]\nname = \"x\"\nintreface = \"wan0\"\n[failback]\nhold = 3\n")?;
    let said = stage.command(&["reload"]).await?;
    ensure!(said.code != Some(0), "{said:?}");
    for words in ["sparelink.toml:3:", "sparelink.toml:5:", "interface"] {
        ensure!(said.err.contains(words), "no `{words}` in {said:?}");
    }
    sleep(Duration::from_millis(500)).await;
    let status = stage.agent.status().await?;
    ensure!(status.all_proven() && status.uplinks.len() == 3, "{status:?}");
    Ok(())
}

/// What a field of the contract must be.
#[derive(Clone, Copy)]
enum Is {
    Text,
    Number,
    Bool,
    Object,
    List,
    MaybeNumber,
}

impl Is {
    fn met_by(self, value: &Value) -> bool {
        match self {
            Self::Text => value.is_string(),
            Self::Number => value.is_number(),
            Self::Bool => value.is_boolean(),
            Self::Object => value.is_object(),
            Self::List => value.is_array(),
            Self::MaybeNumber => value.is_number() || value.is_null(),
        }
    }
}

/// Fields of `status --json`: of the whole, of the last switch, of each uplink.
const WHOLE: &[(&str, Is)] = &[
    ("version", Is::Text),
    ("active", Is::Text),
    ("active6", Is::Text),
    ("since", Is::Text),
    ("sentence", Is::Text),
    ("last_switch", Is::Object),
    ("spares_ready", Is::Number),
    ("resolvers", Is::List),
];
const SWITCH: &[(&str, Is)] = &[
    ("at", Is::Text),
    ("from", Is::Text),
    ("to", Is::Text),
    ("reason", Is::Text),
    ("felt_ms", Is::Number),
];
const UPLINK: &[(&str, Is)] = &[
    ("name", Is::Text),
    ("interface", Is::Text),
    ("role", Is::Text),
    ("health", Is::Text),
    ("condition", Is::Text),
    ("resolvers", Is::List),
    ("v4", Is::Object),
    ("v6", Is::Object),
    ("reason", Is::Text),
    ("next", Is::Text),
    ("rtt_ms", Is::MaybeNumber),
    ("jitter_ms", Is::MaybeNumber),
    ("loss_pct", Is::MaybeNumber),
    ("window_ms", Is::Number),
    ("metered", Is::Bool),
    ("flows", Is::MaybeNumber),
    ("rx_bytes", Is::Number),
    ("tx_bytes", Is::Number),
];

async fn the_status_has_every_field() -> Result<()> {
    let mut stage = Stage::new().await?;
    stage.happens("cable", LineEvent::Sever).await?;
    stage.on("mifi").await?;
    // Probes at rest, so that every number is known; flows are counted now and then.
    sleep(Duration::from_secs(11)).await;
    let status = stage.json().await?;
    has_fields(&status, WHOLE)?;
    has_fields(&status["last_switch"], SWITCH)?;
    let uplinks = status["uplinks"].as_array().context("no uplinks")?;
    ensure!(uplinks.len() == 3, "{status}");
    for one in uplinks {
        has_fields(one, UPLINK)?;
    }
    ensure!(uplinks[1]["rtt_ms"].is_number() && uplinks[1]["flows"].is_number(), "{status:#}");
    ensure!(status["last_switch"]["to"] == "mifi" && status["spares_ready"] == 1, "{status:#}");
    let felt = status["last_switch"]["felt_ms"].as_f64().unwrap_or(0.0);
    ensure!(felt > 50.0 && felt < 4000.0, "felt {felt} ms");
    let text = stage.command(&["status"]).await?.must(0)?;
    ensure!(
        text.out.starts_with("Internet works, on mifi") && !text.out.contains('\x1b'),
        "{text:?}"
    );
    let history = stage.command(&["history"]).await?.must(0)?;
    ensure!(history.out.contains("cable to mifi") || history.out.contains("mifi"), "{history:?}");
    let all = stage.events().await?;
    ensure!(all.iter().any(|entry| entry["code"] == "switched"), "{all:?}");
    Ok(())
}

fn has_fields(object: &Value, fields: &[(&str, Is)]) -> Result<()> {
    for (name, is) in fields {
        let value = object.get(name).with_context(|| format!("no field {name} in {object:#}"))?;
        ensure!(is.met_by(value), "{name} is {value} in {object:#}");
    }
    Ok(())
}

async fn a_manual_choice_survives_a_restart() -> Result<()> {
    let mut stage = Stage::new().await?;
    let begun = Instant::now();
    stage.agent.must(&["switch", "phone"]).await?;
    stage.on("phone").await?;
    let unknown = stage.command(&["switch", "phnoe"]).await?.must(2)?;
    ensure!(unknown.err.contains("phone"), "it names what there is: {unknown:?}");
    stage.agent.end(Signal::SIGTERM).await?;
    let nobody = stage.command(&["status"]).await?.must(2)?;
    ensure!(nobody.err.starts_with("error: ") && nobody.err.contains("hint"), "{nobody:?}");
    stage.start_again().await?;
    stage.on("phone").await?;
    stage.agent.wait_proven(PROVEN).await?;
    // Longer than the hold.
    sleep(Duration::from_secs(4)).await;
    ensure!(stage.agent.status().await?.active.as_deref() == Some("phone"), "it left");
    ensure!(stage.json().await?["manual"] == "phone", "it forgot whose choice it was");
    stage.agent.must(&["switch", "auto"]).await?;
    stage.on("cable").await?;
    stage.nothing_lost_since(begun).await
}

async fn a_choice_for_a_while_ends_by_itself() -> Result<()> {
    let mut stage = Stage::new().await?;
    let begun = Instant::now();
    stage.agent.must(&["switch", "mifi", "--for", "3s"]).await?;
    stage.on("mifi").await?;
    sleep(Duration::from_secs(1)).await;
    ensure!(stage.agent.status().await?.active.as_deref() == Some("mifi"), "it left early");
    stage.on("cable").await?;
    stage.nothing_lost_since(begun).await
}

async fn a_paused_uplink_is_left_alone() -> Result<()> {
    let mut stage = Stage::new().await?;
    let begun = Instant::now();
    let pause = ["pause", "cable", "--for", "4s", "--reason", "the electrician is here"];
    stage.agent.must(&pause).await?;
    stage.on("mifi").await?;
    let status = stage.command(&["status"]).await?;
    ensure!(status.out.contains("paused") && status.out.contains("electrician"), "{status:?}");
    let paused = |status: &sparelink::lab::agent::Status| {
        status.uplink("cable").is_some_and(|u| u.role == "paused")
    };
    ensure!(paused(&stage.agent.status().await?), "it is not paused");
    stage.on("cable").await?;
    stage.agent.must(&["pause", "mifi"]).await?;
    stage.nothing_lost_since(begun).await?;
    stage.happens("cable", LineEvent::Sever).await?;
    stage.on("phone").await?;
    stage.agent.must(&["resume", "mifi"]).await?;
    stage.on("mifi").await
}
