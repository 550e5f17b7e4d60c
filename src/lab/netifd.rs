//! Stands for ubusd and netifd on an OpenWrt box: a socket, at which networks can be asked for and listened to.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::topology::Home;
use crate::io::ubus::{Frame, Kind, SOCKET, Wire, Words};

/// The object `network.interface`, and what each client is given for itself.
const NETIFD: u32 = 0x7865_0dc0;
const CLIENT: u32 = 0x142d_5323;

/// A running netifd. It ends when it is dropped.
#[derive(Debug)]
pub struct Netifd {
    says: watch::Sender<Arc<Value>>,
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
        let serving = tokio::spawn(async move {
            let mut clients = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                clients.spawn(serve(stream, said.clone()));
            }
        });
        Ok(Self { says, serving })
    }

    /// Something is different now: whoever listens is told.
    pub fn say(&self, dump: Value) {
        self.says.send_replace(Arc::new(dump));
    }
}

impl Drop for Netifd {
    fn drop(&mut self) {
        self.serving.abort();
    }
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

async fn serve(stream: UnixStream, mut said: watch::Receiver<Arc<Value>>) {
    let mut wire = Wire::new(stream);
    let hello =
        Frame { kind: Some(Kind::Hello), sequence: 0, peer: CLIENT, words: Words::default() };
    let mut going = wire.send(&hello).await;
    said.mark_unchanged();
    while going.is_ok() {
        going = tokio::select! {
            frame = wire.next() => match frame {
                Ok(frame) => {
                    let dump = Arc::clone(&said.borrow());
                    answer(&mut wire, &frame, &dump).await
                }
                Err(error) => Err(error),
            },
            Ok(()) = said.changed() => {
                let method = Some("interface.update".to_owned());
                let words = Words { object: Some(CLIENT), method, wants_no_reply: true, ..Words::default() };
                wire.send(&Frame { kind: Some(Kind::Invoke), sequence: 1, peer: NETIFD, words }).await
            }
        };
    }
}

async fn answer(wire: &mut Wire, asked: &Frame, dump: &Value) -> std::io::Result<()> {
    let data = match asked.kind {
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
