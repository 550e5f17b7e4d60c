//! `[heartbeat]`: a sign of life to a service outside, which tells people when it stays away.

use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::channel_url;
use super::channels::{HeartbeatConfig, Login, Secret, Server};
use super::notes::Wrong;
use super::raw::Section;
use super::value;

const EVERY: Duration = Duration::from_secs(60);
const SOONEST: Duration = Duration::from_secs(10);
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
