//! Stands for ubusd and netifd on an OpenWrt box: a socket, at which networks can be asked for and listened to, and through
//! which the agent's own object is asked.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

use super::topology::Home;
use crate::io::ubus::{Frame, Kind, SOCKET, Wire, Words};

/// The object `network.interface`, what each client is given for itself, and the object that takes events.
const NETIFD: u32 = 0x7865_0dc0;
const CLIENT: u32 = 0x142d_5323;
const EVENTS: u32 = 1;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A running netifd. It ends when it is dropped.
#[derive(Debug)]
pub struct Netifd {
    says: watch::Sender<Arc<Value>>,
    others: Others,
    serving: JoinHandle<()>,
}

impl Netifd {
    /// Listens where ubusd does, and says that of its networks: what `ubus call network.interface dump` would.
    ///
    /// # Errors
    ///
    /// If the socket cannot be made.
    pub fn start(dump: Value) -> Result<Self> {
        let path = Path::new(SOCKET);
        std::fs::create_dir_all(path.parent().context("no folder")?)?;
        drop(std::fs::remove_file(path));
        let listener = UnixListener::bind(path).context("no socket")?;
        let (says, said) = watch::channel(Arc::new(dump));
        let others = Others {
            asked: broadcast::Sender::new(16),
            answers: broadcast::Sender::new(16),
            events: broadcast::Sender::new(64),
        };
        let between = others.clone();
        let serving = tokio::spawn(async move {
            let mut clients = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                clients.spawn(serve(stream, said.clone(), between.clone()));
            }
        });
        Ok(Self { says, others, serving })
    }

    /// Something is different now: whoever listens is told.
    pub fn say(&self, dump: Value) {
        self.says.send_replace(Arc::new(dump));
    }

    /// What `ubus call sparelink METHOD` would give, or the status that says why not.
    ///
    /// # Errors
    ///
    /// If nobody answers.
    pub async fn call(&self, method: &str) -> Result<Result<Value, u32>> {
        let mut answers = self.others.answers.subscribe();
        self.others.asked.send(method.to_owned()).context("there is no object")?;
        Ok(tokio::time::timeout(PATIENCE, answers.recv()).await.context("no answer")??)
    }

    /// What `ubus listen sparelink` would show from now on.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Value> {
        self.others.events.subscribe()
    }
}

impl Drop for Netifd {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// What the clients have to do with each other.
#[derive(Clone, Debug)]
struct Others {
    /// What one of them is asked: a method, and where the answer goes.
    asked: broadcast::Sender<String>,
    answers: broadcast::Sender<Result<Value, u32>>,
    events: broadcast::Sender<Value>,
}

/// The home's uplinks as networks of netifd's, each up, with its gateways.
#[must_use]
pub fn networks(home: &Home) -> Value {
    let one = |uplink: &Arc<super::uplink::Uplink>| {
        json!({
            "interface": uplink.name, "up": true, "pending": false, "available": true, "autostart": true,
            "l3_device": uplink.interface, "proto": "dhcp", "device": uplink.interface,
            "route": [{"target": "0.0.0.0", "mask": 0, "nexthop": uplink.at.modem4},
                      {"target": "::", "mask": 0, "nexthop": super::uplink::GATEWAY6}],
            "ipv6-prefix": [], "dns-server": [], "inactive": {"route": [], "dns-server": []}, "errors": [],
        })
    };
    json!({ "interface": home.uplinks.iter().map(one).collect::<Vec<_>>() })
}

async fn serve(stream: UnixStream, mut said: watch::Receiver<Arc<Value>>, others: Others) {
    let mut wire = Wire::new(stream);
    // Nobody asks a client that has no object.
    let mut asked: Option<broadcast::Receiver<String>> = None;
    let hello =
        Frame { kind: Some(Kind::Hello), sequence: 0, peer: CLIENT, words: Words::default() };
    let mut going = wire.send(&hello).await;
    said.mark_unchanged();
    while going.is_ok() {
        going = tokio::select! {
            frame = wire.next() => match frame {
                Ok(frame) => {
                    if frame.kind == Some(Kind::AddObject) && frame.words.path.is_some() {
                        asked = Some(others.asked.subscribe());
                    }
                    let dump = Arc::clone(&said.borrow());
                    answer(&mut wire, frame, &dump, &others).await
                }
                Err(error) => Err(error),
            },
            Some(method) = question(&mut asked) => {
                let words = Words {
                    object: Some(CLIENT),
                    method: Some(method),
                    data: Some(serde_json::Map::new()),
                    ..Words::default()
                };
                wire.send(&Frame { kind: Some(Kind::Invoke), sequence: 2, peer: 3, words }).await
            }
            Ok(()) = said.changed() => {
                let method = Some("interface.update".to_owned());
                let words = Words { object: Some(CLIENT), method, wants_no_reply: true, ..Words::default() };
                wire.send(&Frame { kind: Some(Kind::Invoke), sequence: 1, peer: NETIFD, words }).await
            }
        };
    }
}

async fn question(asked: &mut Option<broadcast::Receiver<String>>) -> Option<String> {
    asked.as_mut()?.recv().await.ok()
}

async fn answer(
    wire: &mut Wire,
    asked: Frame,
    dump: &Value,
    others: &Others,
) -> std::io::Result<()> {
    let data = match asked.kind {
        // What a client answers that was asked itself. Whoever wanted to know may have gone.
        Some(Kind::Data) => {
            drop(others.answers.send(Ok(asked.words.data.unwrap_or_default().into())));
            return Ok(());
        }
        Some(Kind::Status) => {
            let refused = asked.words.status.filter(|&status| status != 0);
            drop(refused.map(|status| others.answers.send(Err(status))));
            return Ok(());
        }
        Some(Kind::Invoke) if asked.words.object == Some(EVENTS) => {
            drop(others.events.send(asked.words.data.unwrap_or_default().into()));
            None
        }
        Some(Kind::Lookup) => Some(Words { object: Some(NETIFD), ..Words::default() }),
        Some(Kind::AddObject) => Some(Words { object: Some(CLIENT), ..Words::default() }),
        Some(Kind::Invoke) => Some(Words { data: dump.as_object().cloned(), ..Words::default() }),
        _ => None,
    };
    let (sequence, peer) = (asked.sequence, asked.peer);
    if let Some(words) = data {
        wire.send(&Frame { kind: Some(Kind::Data), sequence, peer, words }).await?;
    }
    let words = Words { status: Some(0), ..Words::default() };
    wire.send(&Frame { kind: Some(Kind::Status), sequence, peer, words }).await
}
