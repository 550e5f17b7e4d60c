//! `notify`: who is told what happens, and whether that works.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::client::Client;
use super::failure::{self, Failure};
use super::terminal;
use super::when::{ago, clock, moment};
use crate::time::human;

/// What is asked of `notify`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Notify {
    Channels,
    /// Send a test by this channel, or by all.
    Test(Option<String>),
}

pub(super) fn notify(client: &Client, what: Notify) -> Result<ExitCode, Failure> {
    match what {
        Notify::Channels => channels(client),
        Notify::Test(channel) => test(client, channel.as_deref()),
    }
}

/// Shows each channel: what waits, when the last message was delivered, what is wrong.
fn channels(client: &Client) -> Result<ExitCode, Failure> {
    let status = client.get("/api/v1/status")?;
    let now = moment(&status["time"]);
    let channels = status["messages"]["channels"].as_array().cloned().unwrap_or_default();
    if channels.is_empty() {
        return terminal::print(
            "Nobody is told: there is no [[notify]] in the configuration. For example:\n\n    \
             [[notify]]\n    to = \"ntfy://ntfy.sh/our-house-7f3k\"\n",
        );
    }
    let wide = channels.iter().map(|c| text(&c["name"]).chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for channel in &channels {
        let last = moment(&channel["last"]).and_then(|at| {
            Some(format!("last delivered {} ({} ago)", clock(at, now)?, ago(at, now)?))
        });
        let waiting = match channel["waiting"].as_u64().unwrap_or(0) {
            0 => "none waiting".to_owned(),
            n => format!("{n} waiting"),
        };
        let last = last.unwrap_or_else(|| "nothing delivered yet".to_owned());
        let name = text(&channel["name"]);
        out += &format!("{name:wide$}  {}: {last}, {waiting}\n", text(&channel["to"]));
        if let Some(why) = channel["failing"].as_str() {
            out += &format!("{:wide$}  the last try failed: {why}\n", "");
        }
    }
    terminal::print(&out)
}

/// Sends a test to one channel or to all; "no" if one of them does not take it.
fn test(client: &Client, channel: Option<&str>) -> Result<ExitCode, Failure> {
    let answer = client.post_patiently("/api/v1/notify/test", &json!({ "channel": channel }))?;
    let tests = answer["tests"].as_array().cloned().unwrap_or_default();
    let mut out = String::new();
    for test in &tests {
        let took = std::time::Duration::from_millis(test["took_ms"].as_f64().unwrap_or(0.0) as u64);
        let result = match test["error"].as_str() {
            None => format!("delivered in {}", human(took)),
            Some(why) => format!("not delivered: {why}"),
        };
        out += &format!("{}: {result}\n", text(&test["channel"]));
    }
    terminal::print(&out)?;
    let all = tests.iter().all(|test| test["delivered"] == Value::Bool(true));
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::from(failure::NO) })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
