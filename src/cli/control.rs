//! `switch`, `pause`, `resume`, `probe` and `reload`: requests to the running agent.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use super::client::Client;
use super::failure::Failure;
use super::terminal;

/// Moves the traffic to an uplink (or `auto`, to the chain), for a while or until told otherwise.
pub(super) fn switch(
    client: &Client,
    to: String,
    limit: Option<Duration>,
) -> Result<ExitCode, Failure> {
    ask(client, "switch", &json!({ "uplink": to, "for_s": seconds(limit) }))
}

/// Stops using an uplink.
pub(super) fn pause(
    client: &Client,
    uplink: &str,
    limit: Option<Duration>,
    reason: Option<String>,
) -> Result<ExitCode, Failure> {
    ask(client, "pause", &json!({ "uplink": uplink, "for_s": seconds(limit), "reason": reason }))
}

/// Uses a paused uplink again.
pub(super) fn resume(client: &Client, uplink: &str) -> Result<ExitCode, Failure> {
    ask(client, "resume", &json!({ "uplink": uplink }))
}

/// Tests an uplink now.
pub(super) fn probe(client: &Client, uplink: &str) -> Result<ExitCode, Failure> {
    ask(client, "probe", &json!({ "uplink": uplink }))
}

/// Lets the agent read its configuration again.
pub(super) fn reload(client: &Client) -> Result<ExitCode, Failure> {
    ask(client, "reload", &json!({}))
}

/// Posts a request and prints what the agent says to it.
pub(super) fn ask(client: &Client, route: &str, body: &Value) -> Result<ExitCode, Failure> {
    let answer = client.post(&format!("/api/v1/{route}"), body)?;
    let message = answer.get("message").and_then(Value::as_str).unwrap_or("done");
    terminal::print(&format!("{message}\n"))
}

/// Whole seconds, rounded up: a limit is never shorter than asked for.
fn seconds(limit: Option<Duration>) -> Option<u64> {
    limit.map(|d| d.as_secs() + u64::from(d.subsec_nanos() > 0))
}
