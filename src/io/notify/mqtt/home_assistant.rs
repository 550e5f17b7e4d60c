//! What Home Assistant is told by MQTT, and what it may say: the documents of its device discovery (the form of
//! 2024.11), the state to which they point, and the words of its buttons.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::config::{Commands, Mqtt};
use crate::engine::input::Command;
use crate::engine::notify::Acknowledge;
use crate::engine::notify::alarm::By;
use crate::io::notify::services::page;

/// A state of Home Assistant holds so many characters.
const LONGEST_STATE: usize = 255;
/// Where it says that it has begun, below the prefix of its discovery.
pub(super) const BIRTH: &str = "status";

/// What stands behind the topic of a channel.
pub(super) const ONLINE: &str = "online";
pub(super) const STATE: &str = "state";
pub(super) const ACKNOWLEDGE: &str = "acknowledge";
pub(super) const ANSWER: &str = "answer";
pub(super) const SET: &str = "set";

/// What is there, by the key under which Home Assistant knows it.
pub(super) type Components = BTreeMap<String, Value>;
/// The same, with nothing but the platform of each (`sensor`), by which it is taken away again.
pub(in crate::io::notify) type Platforms = BTreeMap<String, String>;

/// What is to be remembered of components.
pub(super) fn platforms(components: &Components) -> Platforms {
    let platform =
        |component: &Value| component["platform"].as_str().unwrap_or_default().to_owned();
    components.iter().map(|(key, component)| (key.clone(), platform(component))).collect()
}

/// What somebody at the broker wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Acknowledge(Acknowledge),
    /// Send a test to all channels.
    Test,
    Command(Command),
}

/// The wish that stands at a topic below the channel's; `None` if there is none, or it is not allowed.
pub(super) fn wish(commands: Commands, below: &str, payload: &str) -> Option<Wish> {
    let mut parts = below.splitn(3, '/');
    let place = (parts.next()?, parts.next(), parts.next());
    if place == (ACKNOWLEDGE, None, None) {
        // The link of the message will do, too.
        let token = payload.trim().rsplit('/').next().unwrap_or_default().to_owned();
        return Some(Wish::Acknowledge(Acknowledge::One(token)));
    }
    if commands == Commands::Refused {
        return None;
    }
    let lasts: Option<Duration> = None;
    match place {
        (SET, Some("test"), None) => Some(Wish::Test),
        (SET, Some(ACKNOWLEDGE), None) => Some(Wish::Acknowledge(Acknowledge::All(By::Broker))),
        (SET, Some("uplink"), None) if payload == "auto" => {
            Some(Wish::Command(Command::SwitchAuto))
        }
        (SET, Some("uplink"), None) => {
            Some(Wish::Command(Command::Switch { uplink: payload.to_owned(), lasts }))
        }
        (SET, Some("pause"), Some(uplink)) => {
            let uplink = uplink.to_owned();
            match payload {
                "ON" => Some(Wish::Command(Command::Pause { uplink, lasts, reason: None })),
                "OFF" => Some(Wish::Command(Command::Resume { uplink })),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The state, from the status document.
pub(super) fn state(status: &Value) -> Value {
    let on = |yes| if yes { "ON" } else { "OFF" };
    let sentence: String =
        status["sentence"].as_str().unwrap_or_default().chars().take(LONGEST_STATE).collect();
    let alarm = &status["messages"]["alarm"];
    let uplink = |u: &Value| {
        // As selection sees it: what is in use carries, if anything does, and what is ready could.
        let works = match u["role"].as_str() {
            Some("active") => status["works"] == true,
            Some(role) => role == "ready",
            None => false,
        };
        let role = u["role"].as_str().unwrap_or_default();
        let megabytes = |bytes: &Value| bytes.as_f64().map(|b| (b / 1e5).round() / 10.0);
        let of = json!({
            "works": on(works),
            "role": role.replace('_', " "),
            "latency": u["rtt_ms"],
            "loss": u["loss_pct"],
            "received": megabytes(&u["rx_bytes"]),
            "sent": megabytes(&u["tx_bytes"]),
            "paused": on(role == "paused"),
        });
        (name(u).to_owned(), of)
    };
    json!({
        "internet": on(status["works"] == true),
        "sentence": sentence,
        "uplink": status["active"].as_str().or(status["active6"].as_str()).unwrap_or("none"),
        "spares": status["spares_ready"],
        "alarm": on(alarm.is_object() && alarm["acknowledged"].is_null()),
        "choice": status["manual"].as_str().unwrap_or("auto"),
        "uplinks": uplinks(status).map(uplink).collect::<Map<_, _>>(),
    })
}

fn uplinks(status: &Value) -> impl Iterator<Item = &Value> {
    status["uplinks"].as_array().into_iter().flatten()
}

fn name(uplink: &Value) -> &str {
    uplink["name"].as_str().unwrap_or_default()
}

/// The device as Home Assistant finds it, with what it is to take away.
pub(super) fn discovery(id: &str, to: &Mqtt, status: &Value, gone: &Platforms) -> Value {
    let mut components: Map<String, Value> =
        gone.iter().map(|(key, platform)| (key.clone(), json!({ "platform": platform }))).collect();
    components.extend(self::components(id, to, status));
    let version = status["version"].clone();
    let mut device = json!({
        "identifiers": [format!("sparelink_{id}")],
        "name": status["host"].as_str().map_or_else(|| "sparelink".to_owned(), |host| format!("sparelink on {host}")),
        "manufacturer": "sparelink",
        "sw_version": version,
    });
    if let Some(page) = page(status) {
        device["configuration_url"] = page.into();
    }
    json!({
        "device": device,
        "origin": { "name": "sparelink", "sw_version": version },
        "availability_topic": format!("{}/{ONLINE}", to.topic),
        "state_topic": format!("{}/{STATE}", to.topic),
        "components": components,
    })
}

/// All that is there now.
pub(super) fn components(id: &str, to: &Mqtt, status: &Value) -> Components {
    let mut all = Shelf { id, to, components: Components::new() };
    let value = |of: &str| format!("{{{{ value_json.{of} }}}}");
    all.add(
        "internet",
        "binary_sensor",
        "Internet",
        &value("internet"),
        json!({ "device_class": "connectivity" }),
    );
    all.add(
        "sentence",
        "sensor",
        "Status",
        &value("sentence"),
        json!({ "icon": "mdi:message-text" }),
    );
    all.add("uplink", "sensor", "Uplink in use", &value("uplink"), json!({ "icon": "mdi:wan" }));
    let measured = json!({ "icon": "mdi:backup-restore", "state_class": "measurement" });
    all.add("spares", "sensor", "Spares ready", &value("spares"), measured);
    all.add(
        "alarm",
        "binary_sensor",
        "Alarm",
        &value("alarm"),
        json!({ "device_class": "problem" }),
    );
    let names: Vec<&str> = uplinks(status).map(name).collect();
    for uplink in &names {
        all.add_uplink(uplink);
    }
    if to.commands == Commands::Taken {
        let options: Vec<&str> = ["auto"].into_iter().chain(names.iter().copied()).collect();
        all.add_control("choice", "select", "Preferred uplink", "uplink", json!({ "options": options, "value_template": value("choice"), "icon": "mdi:swap-vertical" }));
        all.add_control(
            "test",
            "button",
            "Send a test message",
            "test",
            json!({ "entity_category": "diagnostic" }),
        );
        all.add_control(
            "acknowledge",
            "button",
            "Acknowledge the alarm",
            ACKNOWLEDGE,
            json!({ "icon": "mdi:check" }),
        );
        for uplink in &names {
            let paused = json!({ "value_template": value(&format!("uplinks['{uplink}'].paused")), "icon": "mdi:pause" });
            all.add_control(
                &format!("{uplink}_pause"),
                "switch",
                &format!("{uplink}: pause"),
                &format!("pause/{uplink}"),
                paused,
            );
        }
    }
    all.components
}

/// Where components are put.
struct Shelf<'a> {
    id: &'a str,
    to: &'a Mqtt,
    components: Components,
}

impl Shelf<'_> {
    fn add(&mut self, key: &str, platform: &str, name: &str, template: &str, more: Value) {
        let mut component = json!({ "value_template": template });
        merge(&mut component, more);
        self.put(key, platform, name, component);
    }

    /// Something that can be pressed or chosen.
    fn add_control(&mut self, key: &str, platform: &str, name: &str, at: &str, more: Value) {
        let mut component = json!({ "command_topic": format!("{}/{SET}/{at}", self.to.topic) });
        merge(&mut component, more);
        self.put(key, platform, name, component);
    }

    fn add_uplink(&mut self, uplink: &str) {
        let of = |what: &str| format!("{{{{ value_json.uplinks['{uplink}'].{what} }}}}");
        let figure = |unit: &str| json!({ "unit_of_measurement": unit, "state_class": "measurement", "suggested_display_precision": 1 });
        let data = || json!({ "unit_of_measurement": "MB", "device_class": "data_size", "state_class": "total_increasing" });
        let connectivity = json!({ "device_class": "connectivity" });
        for (what, platform, called, more) in [
            ("works", "binary_sensor", "", connectivity),
            ("role", "sensor", ": role", json!({ "icon": "mdi:swap-vertical" })),
            ("latency", "sensor", ": latency", figure("ms")),
            ("loss", "sensor", ": loss", figure("%")),
            ("received", "sensor", ": received", data()),
            ("sent", "sensor", ": sent", data()),
        ] {
            self.add(
                &format!("{uplink}_{what}"),
                platform,
                &format!("{uplink}{called}"),
                &of(what),
                more,
            );
        }
    }

    fn put(&mut self, key: &str, platform: &str, name: &str, mut component: Value) {
        let unique = format!("sparelink_{}_{key}", self.id);
        merge(&mut component, json!({ "platform": platform, "name": name, "unique_id": unique }));
        self.components.insert(key.to_owned(), component);
    }
}

fn merge(into: &mut Value, more: Value) {
    if let (Some(into), Value::Object(more)) = (into.as_object_mut(), more) {
        into.extend(more);
    }
}
