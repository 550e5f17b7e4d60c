//! Signs of life for a service outside: when they stay away, it tells people that the box or all of its uplinks are
//! dead. One sentence, then the state.

use std::collections::BTreeMap;

use hyper::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::post;
use super::services::{Post, authorization};
use crate::config::{HeartbeatConfig, UPLINK};
use crate::engine::notify::HeartbeatState;
use crate::engine::notify::heartbeat::Heartbeat;
use crate::io::client::{Addresses, Reach, Way};
use crate::io::clock;

/// What the house is called where an uplink's name would be.
const HOUSE: &str = "house";

type Of = Option<String>;

/// The signs on their way, and how the last ones went.
#[derive(Debug, Default)]
pub(super) struct Beating {
    under_way: JoinSet<(Of, Result<(), String>)>,
    /// With whether one is on its way.
    states: BTreeMap<Of, (HeartbeatState, bool)>,
}

impl Beating {
    /// Gives signs; those whose last one is still on its way wait for the next time.
    pub(super) fn give(
        &mut self,
        config: &HeartbeatConfig,
        signs: Vec<Heartbeat>,
        state: &Value,
        addresses: &Addresses,
    ) {
        let body = body(state);
        for sign in signs {
            let (of, paths) = sign.uplink.map_or((None, Vec::new()), |(name, p)| (Some(name), p));
            let new = || HeartbeatState { uplink: of.clone(), last: None, failing: None };
            let (_, busy) = self.states.entry(of.clone()).or_insert_with(|| (new(), false));
            if std::mem::replace(busy, true) {
                continue;
            }
            let post = request(config, of.as_deref(), &body);
            let way = if of.is_some() { Way::By(paths) } else { Way::Any(Reach::Everywhere) };
            let addresses = addresses.clone();
            self.under_way.spawn(async move {
                let sent = post::send(post, &addresses, way).await;
                (of, sent.map(drop).map_err(|failure| failure.why))
            });
        }
    }

    /// Waits until one has ended, and takes note of it.
    pub(super) async fn ended(&mut self) {
        let Some(ended) = self.under_way.join_next().await else {
            return std::future::pending().await;
        };
        let Ok((of, result)) = ended else { return };
        let Some((state, busy)) = self.states.get_mut(&of) else { return };
        *busy = false;
        let called = of.as_ref().map_or_else(String::new, |name| format!(" of {name}"));
        match result {
            Ok(()) => {
                state.last = clock::now().utc;
                if state.failing.take().is_some() {
                    tracing::info!("heartbeat{called}: it arrives again");
                }
            }
            Err(why) => {
                if state.failing.as_ref() != Some(&why) {
                    tracing::warn!("heartbeat{called}: {why}");
                }
                state.failing = Some(why);
            }
        }
    }

    /// As people are shown it.
    pub(super) fn shown(&self) -> Vec<HeartbeatState> {
        self.states.values().map(|(state, _)| state.clone()).collect()
    }
}

/// The house has the URL as it is written; an uplink its name where [`UPLINK`] stands, or at the end of the path.
fn request(config: &HeartbeatConfig, uplink: Option<&str>, body: &str) -> Post {
    let name = utf8_percent_encode(uplink.unwrap_or(HOUSE), NON_ALPHANUMERIC).to_string();
    let path = config.path.reveal();
    let path = if path.contains(UPLINK) {
        path.replace(UPLINK, &name)
    } else if uplink.is_some() {
        let (path, query) = path.split_at(path.find('?').unwrap_or(path.len()));
        format!("{}/{name}{query}", path.trim_end_matches('/'))
    } else {
        path.to_owned()
    };
    Post {
        method: Method::POST,
        server: config.server.clone(),
        path,
        kind: "text/plain; charset=utf-8",
        headers: authorization(&config.login).into_iter().collect(),
        body: body.as_bytes().to_vec(),
    }
}

/// What people read, and below it what programs do: few kilobytes are kept by any service.
fn body(state: &Value) -> String {
    let of = |uplink: &Value| json!({ "name": uplink["name"], "role": uplink["role"], "health": uplink["health"] });
    let uplinks: Vec<Value> = state["uplinks"].as_array().into_iter().flatten().map(of).collect();
    let short = json!({
        "version": state["version"],
        "time": state["time"],
        "works": state["works"],
        "active": state["active"],
        "active6": state["active6"],
        "redundancy": state["redundancy"],
        "uplinks": uplinks,
    });
    format!("{}\n{short}\n", state["sentence"].as_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn each_uplink_has_an_address_of_its_own() {
        let path = |url: &str, uplink| {
            let text = format!(
                "[[uplink]]\nname = \"a\"\ninterface = \"eth1\"\n[heartbeat]\nurl = \"{url}\"\n"
            );
            let config = config::parse(&text, "test").unwrap().heartbeat.unwrap();
            request(&config, uplink, "").path
        };
        let plain = "https://hc-ping.com/4711?create=1";
        assert_eq!(path(plain, None), "/4711?create=1");
        assert_eq!(path(plain, Some("mifi 2")), "/4711/mifi%202?create=1");
        let named = "https://hc-ping.com/key/home-{uplink}";
        assert_eq!(path(named, Some("mifi")), "/key/home-mifi");
        assert_eq!(path(named, None), "/key/home-house");
    }
}
