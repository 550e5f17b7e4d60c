//! `notify`: who is told what happens, and whether that works.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use super::client::Client;
use super::failure::{self, Failure};
use super::terminal;
use super::when::{ago, clock, moment};
use crate::time::{Utc, human};

/// What is asked of `notify`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Notify {
    Channels,
    /// Somebody has seen what is critical.
    Ack,
    /// Send a test by this channel, or by all.
    Test(Option<String>),
}

pub(super) fn notify(client: &Client, what: Notify) -> Result<ExitCode, Failure> {
    match what {
        Notify::Channels => channels(client),
        Notify::Ack => ack(client),
        Notify::Test(channel) => test(client, channel.as_deref()),
    }
}

/// Shows each channel: what waits, when the last message was delivered, what is wrong.
fn channels(client: &Client) -> Result<ExitCode, Failure> {
    let status = client.get("/api/v1/status")?;
    let now = moment(&status["time"]);
    let channels = status["messages"]["channels"].as_array().cloned().unwrap_or_default();
    let beats = status["messages"]["heartbeats"].as_array().is_some_and(|all| !all.is_empty());
    if channels.is_empty() && !beats {
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
        if let Some(after) = channel["escalation_s"].as_u64() {
            let after = human(Duration::from_secs(after));
            out += &format!("{:wide$}  told after {after}, what nobody has acknowledged\n", "");
        }
        if let Some(why) = channel["failing"].as_str() {
            out += &format!("{:wide$}  the last try failed: {why}\n", "");
        }
    }
    for beat in status["messages"]["heartbeats"].as_array().into_iter().flatten() {
        let of = beat["uplink"].as_str().map_or_else(String::new, |name| format!(" of {name}"));
        let last = moment(&beat["last"]).and_then(|at| clock(at, now));
        let last = last.map_or_else(|| "none has arrived".to_owned(), |at| format!("last {at}"));
        out += &format!("heartbeat{of}: {last}\n");
        if let Some(why) = beat["failing"].as_str() {
            out += &format!("  the latest did not arrive: {why}\n");
        }
    }
    terminal::print(&(out + &alarm(&status["messages"]["alarm"], now)))
}

/// What is critical, whether somebody has seen it, and who is told next if not.
fn alarm(alarm: &Value, now: Option<Utc>) -> String {
    let Some(title) = alarm["title"].as_str() else { return String::new() };
    let seen = &alarm["acknowledged"];
    let how = if seen.is_null() {
        let next = &alarm["next"];
        let soon = next["in_s"].as_u64().map(|s| human(Duration::from_secs(s)));
        let next = soon.map_or_else(
            || "sparelink notify ack says that you have.".to_owned(),
            |soon| {
                let to = text(&next["to"]);
                format!("sparelink notify ack says that you have; in {soon} {to} is told.")
            },
        );
        format!("Nobody has seen it yet. {next}")
    } else {
        let at = moment(&seen["at"]).and_then(|at| clock(at, now));
        let at = at.map_or_else(String::new, |at| format!(" at {at}"));
        format!("Acknowledged{at} {}.", text(&seen["by"]))
    };
    format!("\n{title}. {how}\n")
}

/// Says that somebody has seen what is critical; "no" if there is nothing.
fn ack(client: &Client) -> Result<ExitCode, Failure> {
    let answer = client.post("/api/v1/notify/ack", &json!({}))?;
    terminal::print(&format!("{}\n", text(&answer["message"])))
}

/// Sends a test to one channel or to all; "no" if one of them does not take it.
fn test(client: &Client, channel: Option<&str>) -> Result<ExitCode, Failure> {
    let answer = client.post_patiently("/api/v1/notify/test", &json!({ "channel": channel }))?;
    let tests = answer["tests"].as_array().cloned().unwrap_or_default();
    let mut out = String::new();
    for test in &tests {
        let took = Duration::from_millis(test["took_ms"].as_f64().unwrap_or(0.0) as u64);
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
