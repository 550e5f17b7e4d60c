//! The lasting sessions with brokers: which there are, and what Home Assistant has of this box.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::mqtt::session::{Farewell, News, Platforms, Session};
use crate::config::{Mqtt, NotifyConfig, Service};
use crate::io::client::Addresses;
use crate::io::{clock, disk};

/// What Home Assistant has of this box, below the state directory: so that it is told what is there no more, and
/// so that a box is the same device after a reboot.
const FILE: &str = "messages/home-assistant.json";
const MOST_FILE: u64 = 256 * 1024;
/// News that wait for the thread.
const QUEUE: usize = 16;

/// What is kept of them.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    /// What is this box's alone.
    id: String,
    /// What Home Assistant has, by where it was told.
    #[serde(default)]
    devices: BTreeMap<String, Platforms>,
}

/// One that stands, or is tried again.
struct Running {
    config: NotifyConfig,
    ends: oneshot::Sender<Farewell>,
    failing: Option<String>,
}

/// All of them.
pub(super) struct Sessions {
    running: BTreeMap<String, Running>,
    tasks: JoinSet<()>,
    states: watch::Sender<Value>,
    news: mpsc::Sender<(String, News)>,
    told: mpsc::Receiver<(String, News)>,
    state_dir: PathBuf,
    known: Known,
}

impl Sessions {
    pub(super) fn new(state_dir: PathBuf) -> Self {
        let kept = disk::read_own(&state_dir.join(FILE), MOST_FILE).ok().flatten();
        let known: Option<Known> = kept.and_then(|text| serde_json::from_slice(&text).ok());
        let (news, told) = mpsc::channel(QUEUE);
        Self {
            running: BTreeMap::new(),
            tasks: JoinSet::new(),
            states: watch::Sender::new(Value::Null),
            news,
            told,
            state_dir,
            known: known.unwrap_or_default(),
        }
    }

    /// Has a session for each channel that is to have one, and ends the others.
    pub(super) fn configure<'c>(
        &mut self,
        channels: impl Iterator<Item = &'c NotifyConfig>,
        addresses: &Addresses,
    ) {
        let mut wanted: BTreeMap<String, (NotifyConfig, Mqtt)> = BTreeMap::new();
        for config in channels.filter(|config| config.escalation.is_none()) {
            if let Service::Mqtt(to) = &config.to
                && to.discovery.is_some()
                && !wanted.values().any(|(_, other)| place(other) == place(to))
            {
                wanted.insert(config.name.clone(), (config.clone(), to.clone()));
            }
        }
        for (name, running) in std::mem::take(&mut self.running) {
            match wanted.get(&name) {
                Some((config, _)) if *config == running.config => {
                    wanted.remove(&name);
                    self.running.insert(name, running);
                }
                _ => {
                    let Service::Mqtt(old) = &running.config.to else { continue };
                    let stays = wanted.values().any(|(_, new)| place(new) == place(old));
                    if !stays {
                        self.known.devices.remove(&place(old));
                        self.keep();
                    }
                    // Where its task has ended there is nobody to say good-bye.
                    let _ =
                        running.ends.send(if stays { Farewell::Offline } else { Farewell::Gone });
                }
            }
        }
        for (name, (config, to)) in wanted {
            self.start(name, config, to, addresses.clone());
        }
    }

    fn start(&mut self, name: String, config: NotifyConfig, to: Mqtt, addresses: Addresses) {
        if self.known.id.is_empty() {
            let id = clock::random::<4>().unwrap_or_default();
            self.known.id = id.iter().map(|byte| format!("{byte:02x}")).collect();
            self.keep();
        }
        let (ends, ended) = oneshot::channel();
        let session = Session {
            before: self.known.devices.get(&place(&to)).cloned().unwrap_or_default(),
            told: BTreeMap::new(),
            to,
            secret: config.secret_file.clone().map(|file| (file, self.state_dir.clone())),
            id: self.known.id.clone(),
            states: self.states.subscribe(),
            news: self.news.clone(),
            channel: name.clone(),
            ends: ended,
        };
        self.running.insert(name, Running { config, ends, failing: None });
        self.tasks.spawn(session.work(addresses));
    }

    /// How things stand now.
    pub(super) fn state(&self, state: &Value) {
        self.states.send_replace(state.clone());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Why a channel's session does not stand, if so.
    pub(super) fn failing(&self, channel: &str) -> Option<String> {
        self.running.get(channel)?.failing.clone()
    }

    /// The next that comes in by one of them.
    pub(super) async fn next(&mut self) -> (String, News) {
        while self.tasks.try_join_next().is_some() {}
        // There is always one of ours at the other end.
        match self.told.recv().await {
            Some(news) => news,
            None => std::future::pending().await,
        }
    }

    /// The agent ends: each says so, and is waited for.
    pub(super) async fn end(&mut self) {
        for (_, running) in std::mem::take(&mut self.running) {
            let _ = running.ends.send(Farewell::Offline);
        }
        while self.tasks.join_next().await.is_some() {}
    }

    fn keep(&self) {
        let file = self.state_dir.join(FILE);
        let written = || disk::replace_below(&file, &serde_json::to_vec(&self.known)?);
        if let Err(error) = written() {
            tracing::debug!(%error, "what Home Assistant has is not kept");
        }
    }

    pub(super) fn stands(&mut self, channel: &str, has: Platforms) {
        let Some(running) = self.running.get_mut(channel) else { return };
        let Service::Mqtt(to) = &running.config.to else { return };
        if running.failing.take().is_some() {
            tracing::info!("{}: the session stands again", running.config.to);
        }
        if self.known.devices.insert(place(to), has.clone()) != Some(has) {
            self.keep();
        }
    }

    pub(super) fn fails(&mut self, channel: &str, why: String) {
        let Some(running) = self.running.get_mut(channel) else { return };
        if running.failing.as_ref() != Some(&why) {
            tracing::warn!("{}: {why}", running.config.to);
        }
        running.failing = Some(why);
    }
}

/// Where a device of Home Assistant is.
fn place(to: &Mqtt) -> String {
    format!("{}/{}/{}", to.server, to.discovery.as_deref().unwrap_or_default(), to.topic)
}
