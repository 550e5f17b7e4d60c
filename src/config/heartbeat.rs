//! `[heartbeat]`: a sign of life to a service outside, which tells people when it stays away.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use toml::Spanned;
use toml::de::DeValue;

use super::channel_url;
use super::channels::{Login, Secret, Server};
use super::notes::Wrong;
use super::raw::Section;
use super::value;

const EVERY: Duration = Duration::from_secs(60);
const SOONEST: Duration = Duration::from_secs(10);
/// In a URL, this stands for the uplink's name.
pub const UPLINK: &str = "{uplink}";

/// Where the sign of life goes, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatConfig {
    pub server: Server,
    pub login: Login,
    /// Path and query, which may be what makes it this box's. [`UPLINK`] in it is for a name.
    pub path: Secret,
    pub every: Duration,
    /// Whether each uplink gives its own sign, through itself.
    pub each_uplink: bool,
}

pub(super) fn heartbeat(section: Option<Section<'_>>) -> Option<HeartbeatConfig> {
    let mut section = section?;
    let url = section.read("url", url).map(Spanned::into_inner);
    if !section.has_like("url") {
        let hint = "add url = \"https://hc-ping.com/UUID\", the address of your check";
        section.missing("this heartbeat goes nowhere", hint);
    }
    let every = section.read_or("every", every, EVERY);
    let each_uplink = section.read_or("each_uplink", value::flag, false);
    section.finish();
    let (server, login, path) = url?;
    Some(HeartbeatConfig { server, login, path, every, each_uplink })
}

fn url(value: &DeValue<'_>) -> Result<(Server, Login, Secret), Wrong> {
    let url = value::string(value, "\"https://hc-ping.com/UUID\"")?;
    channel_url::http(url).ok_or_else(|| {
        let hint = "for example \"https://hc-ping.com/UUID\"";
        Wrong::new("this is not the URL of a web server", hint)
    })
}

fn every(value: &DeValue<'_>) -> Result<Duration, Wrong> {
    let every = value::duration(value)?;
    if every < SOONEST {
        let text = format!("{} is more often than any service wants", value::written(every));
        return Err(Wrong::new(text, "for example \"60s\""));
    }
    Ok(every)
}
