//! Home Assistant, as far as it is MQTT: Debian's mosquitto in the LAN, at which its part is played.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use sparelink::lab::script::LineEvent;
use sparelink::lab::topology::{Home, Plan};
use tokio::time::{Instant, sleep};

use super::mqtt::{BROKER, PLAIN, prepare, there_is_a_broker};
use super::{TOLD, text, with};
use crate::programs::Programs;
use crate::runner::figure;
use crate::stage::{AGENT, SOON, Stage, file, shell};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 77, 2));
const TOPIC: &str = "home/box";

/// A home with a broker, all that was published there since it began, and the agent.
struct Played {
    stage: Stage,
    programs: Programs,
    dir: PathBuf,
}

/// Something published.
#[derive(Clone, Debug)]
struct Published {
    topic: String,
    payload: String,
}

impl Played {
    async fn begin(commands: &str) -> Result<Self> {
        let dir = file("home");
        prepare(&dir, HERE)?;
        let home = Home::build(&Plan::default()).await?;
        let mut programs = Programs(Vec::new());
        let config = dir.join("config").display().to_string();
        programs.start(&home.client, BROKER, &["-c", &config]).await?;
        let listener =
            format!("mosquitto_sub -h {HERE} -p {PLAIN} -u box -P s3cret -t '#' -F '%t %p'");
        let listen = format!(
            "until {listener} -E 2>/dev/null; do sleep 0.1; done; \
             exec {listener} >> {}/published",
            dir.display()
        );
        // It comes back by itself after the broker does, and ends with the test.
        programs.start(&home.client, "/bin/sh", &["-c", &listen]).await?;
        let channel = format!(
            "[[notify]]\nto = \"mqtt://box:s3cret@{HERE}:{PLAIN}/{TOPIC}{commands}\"\nmin = \"critical\"\n"
        );
        let stage = Stage::configured(home, with(&channel), Path::new(AGENT), &[]).await?;
        Ok(Self { stage, programs, dir })
    }

    fn all(&self) -> Vec<Published> {
        let text = fs::read_to_string(self.dir.join("published")).unwrap_or_default();
        let one = |line: &str| {
            let (topic, payload) = line.split_once(' ').unwrap_or((line, ""));
            Published { topic: topic.to_owned(), payload: payload.to_owned() }
        };
        text.lines().map(one).collect()
    }

    /// Waits until the latest that was published there is as wanted.
    async fn until(&self, topic: &str, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let begun = Instant::now();
        loop {
            let last = self.all().into_iter().rev().find(|p| p.topic == topic);
            if let Some(last) = last.filter(|last| wanted(&last.payload)) {
                return Ok(last.payload);
            }
            ensure!(
                begun.elapsed() < SOON,
                "{topic}: {:#?}\n{}",
                self.all(),
                self.stage.agent.log()
            );
            sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// Waits for a state of which this is so.
    async fn state(&self, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
        let text = self.until(&format!("{TOPIC}/state"), |text| wanted(&parsed(text))).await?;
        Ok(parsed(&text))
    }

    /// Publishes what Home Assistant would.
    async fn publish(&self, topic: &str, payload: &str, flags: &str) -> Result<()> {
        let broker = format!("mosquitto_pub -h {HERE} -p {PLAIN} -u box -P s3cret");
        let script = format!("{broker} {flags} -t '{topic}' -m '{payload}'");
        shell(&self.stage.home.client, &script).await.map(drop)
    }

    /// Presses something, and returns what is answered.
    async fn press(&self, below: &str, payload: &str) -> Result<String> {
        let at = format!("{TOPIC}/answer");
        let count = |all: &[Published]| all.iter().filter(|p| p.topic == at).count();
        let before = count(&self.all());
        self.publish(&format!("{TOPIC}/{below}"), payload, "").await?;
        let begun = Instant::now();
        while count(&self.all()) == before {
            ensure!(begun.elapsed() < SOON, "no answer: {:#?}", self.all());
            sleep(std::time::Duration::from_millis(20)).await;
        }
        self.until(&at, |_| true).await
    }

    /// Where it was discovered, and what.
    async fn device(&self) -> Result<(String, Value)> {
        let begun = Instant::now();
        loop {
            let found = |p: &Published| {
                p.topic.starts_with("homeassistant/device/sparelink_")
                    && p.topic.ends_with("/config")
            };
            if let Some(found) = self.all().into_iter().rev().find(found) {
                return Ok((found.topic, serde_json::from_str(&found.payload)?));
            }
            ensure!(begun.elapsed() < SOON, "{:#?}\n{}", self.all(), self.stage.agent.log());
            sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

pub(super) async fn a_home_sees_its_uplinks_and_says_which() -> Result<()> {
    if !there_is_a_broker() {
        return Ok(());
    }
    let mut played = Played::begin("?commands=yes").await?;
    let (place, device) = played.device().await?;
    is_complete(&device)?;
    played.until(&format!("{TOPIC}/online"), |payload| payload == "online").await?;
    played.state(|s| s["internet"] == "ON" && s["uplink"] == "cable" && s["spares"] == 2).await?;
    what_happens_is_seen(&mut played).await?;
    what_is_pressed_is_done(&played).await?;
    an_alarm_is_acknowledged(&played).await?;

    // What it says while we are not here is old when we are; who dies is said to be gone.
    played.stage.agent.end(Signal::SIGKILL).await?;
    played.until(&format!("{TOPIC}/online"), |payload| payload == "offline").await?;
    played.publish(&format!("{TOPIC}/set/pause/phone"), "ON", "-r").await?;
    played.stage.start_again().await?;
    played.until(&format!("{TOPIC}/online"), |payload| payload == "online").await?;
    ensure!(played.device().await?.0 == place, "it is the same device: {:#?}", played.all());
    played.stage.on("cable").await?;
    let paused = played.press("set/pause/mifi", "ON").await?;
    ensure!(paused.starts_with("mifi is paused"), "{paused}");
    played.state(|s| s["uplinks"]["mifi"]["paused"] == "ON").await?;
    let roles = played.stage.json().await?;
    ensure!(roles["uplinks"][2]["role"] != "paused", "what was kept is old: {roles:#}");

    // Home Assistant begins again, and the broker does.
    let devices = |all: &[Published]| all.iter().filter(|p| p.topic == place).count();
    let before = devices(&played.all());
    played.publish("homeassistant/status", "online", "").await?;
    let begun = Instant::now();
    while devices(&played.all()) == before {
        ensure!(begun.elapsed() < SOON, "it is not told again: {:#?}", played.all());
        sleep(std::time::Duration::from_millis(20)).await;
    }
    drop(std::mem::replace(&mut played.programs, Programs(Vec::new())));
    let failing = |json: &Value| json["messages"]["channels"][0]["failing"].is_string();
    let begun = Instant::now();
    while !failing(&played.stage.json().await?) {
        ensure!(begun.elapsed() < SOON, "{}", played.stage.agent.log());
        sleep(std::time::Duration::from_millis(50)).await;
    }
    let config = played.dir.join("config").display().to_string();
    played.programs.start(&played.stage.home.client, BROKER, &["-c", &config]).await?;
    let begun = Instant::now();
    while failing(&played.stage.json().await?) {
        ensure!(begun.elapsed() < SOON, "{}", played.stage.agent.log());
        sleep(std::time::Duration::from_millis(50)).await;
    }
    ensure!(!played.stage.agent.log().contains("s3cret"), "{}", played.stage.agent.log());
    Ok(())
}

/// Every component has what Home Assistant asks of it, and no two are the same.
fn is_complete(device: &Value) -> Result<()> {
    let components = device["components"].as_object().context("no components")?;
    let mut ids: Vec<&str> = components.values().map(|c| text(c, "unique_id")).collect();
    ids.sort_unstable();
    ids.dedup();
    ensure!(ids.len() == components.len() && ids.len() == 5 + 3 * 6 + 3 + 3, "{device:#}");
    for (name, component) in components {
        let platform = text(component, "platform");
        let (read, told) =
            (component["value_template"].is_string(), component["command_topic"].is_string());
        let wanted = match platform {
            "sensor" | "binary_sensor" => (true, false),
            "select" | "switch" => (true, true),
            "button" => (false, true),
            _ => anyhow::bail!("{name}: {platform}"),
        };
        ensure!((read, told) == wanted, "{name}: {component}");
    }
    ensure!(text(&device["origin"], "name") == "sparelink", "{device:#}");
    ensure!(
        text(&device["device"], "configuration_url").starts_with("http://192.168.77.1"),
        "{device:#}"
    );
    ensure!(device["availability_topic"] == format!("{TOPIC}/online"), "{device:#}");
    Ok(())
}

async fn what_happens_is_seen(played: &mut Played) -> Result<()> {
    played.stage.happens("cable", LineEvent::Sever).await?;
    played.stage.on("mifi").await?;
    let begun = Instant::now();
    // One IP version may follow a moment after the other.
    let over = |s: &Value| s["uplink"] == "mifi" && s["uplinks"]["cable"]["works"] == "OFF";
    let seen = played.state(over).await?;
    figure(&format!("seen {} ms after the switch", begun.elapsed().as_millis()));
    ensure!(begun.elapsed() < TOLD, "{seen:#}");
    let of = |uplink: &str, what: &str| seen["uplinks"][uplink][what].clone();
    ensure!(of("mifi", "works") == "ON", "{seen:#}");
    ensure!(of("mifi", "latency").is_number() && of("mifi", "received").is_number(), "{seen:#}");
    Ok(())
}

async fn what_is_pressed_is_done(played: &Played) -> Result<()> {
    let chosen = played.press("set/uplink", "phone").await?;
    ensure!(chosen.contains("phone"), "{chosen}");
    played.state(|s| s["choice"] == "phone" && s["uplink"] == "phone").await?;
    let wrong = played.press("set/uplink", "fibre").await?;
    ensure!(wrong == "there is no such uplink; there are cable, mifi, phone", "{wrong}");
    let nothing = played.press("set/nonsense", "x").await?;
    ensure!(nothing == "this is not something that can be wanted", "{nothing}");
    played.press("set/uplink", "auto").await?;
    played.state(|s| s["choice"] == "auto").await?;
    let tested = played.press("set/test", "PRESS").await?;
    ensure!(tested.starts_with("mqtt (192.168.77.2): delivered in "), "{tested}");
    Ok(())
}

async fn an_alarm_is_acknowledged(played: &Played) -> Result<()> {
    for uplink in ["mifi", "phone"] {
        played.stage.happens(uplink, LineEvent::Sever).await?;
    }
    played.state(|s| s["internet"] == "OFF" && s["alarm"] == "ON").await?;
    let message = played.until(TOPIC, |payload| payload.contains("\"critical\"")).await?;
    let message: Value = serde_json::from_str(&message)?;
    let wrong = played.press("acknowledge", "0123").await?;
    ensure!(wrong == "no message of this box has this link", "{wrong}");
    let seen = played.press("acknowledge", text(&message, "ack")).await?;
    ensure!(seen.starts_with("acknowledged: No Internet since "), "{seen}");
    played.state(|s| s["alarm"] == "OFF").await?;
    let again = played.press("set/acknowledge", "PRESS").await?;
    ensure!(again.contains("already"), "{again}");
    for uplink in ["cable", "mifi", "phone"] {
        played.stage.happens(uplink, LineEvent::Restore).await?;
    }
    played.state(|s| s["internet"] == "ON").await.map(drop)
}
