//! ubus, OpenWrt's message bus: what netifd says of its networks is listened to.
//!
//! Without it, refused by it or misunderstood, everything goes on by netlink alone.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Map;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

pub(crate) use self::frame::{Frame, Kind, Wire, Words};
use crate::engine::input::Input;
use crate::engine::kernel::network::Networks;

mod blob;
mod frame;
mod netifd;
#[cfg(test)]
mod tests;

/// Where ubusd listens.
pub const SOCKET: &str = "/var/run/ubus/ubus.sock";
/// netifd answers within milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// A change comes as an event and as a notification, and seldom alone.
const SETTLED: Duration = Duration::from_millis(50);
/// How long after a failure it is tried again: doubled each time, between these.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// netifd's object.
const NETWORKS: &str = "network.interface";

/// What netifd says of its networks now; `None`: there is no ubus on this box.
///
/// # Errors
///
/// When it does not answer, or refuses.
pub async fn networks(socket: &Path) -> io::Result<Option<Networks>> {
    let stream = match UnixStream::connect(socket).await {
        Ok(stream) => stream,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bus = Bus::open(stream).await?;
    let netifd = bus.object(NETWORKS).await?;
    bus.networks(netifd).await.map(Some)
}

/// Tells of netifd's networks, now and whenever something changes, for as long as somebody listens. While nobody answers,
/// what was said last stays true: who goes away takes nothing along.
pub fn watch(socket: &Path, tell: mpsc::Sender<Input>) {
    tokio::spawn(follow(socket.to_owned(), tell));
}

async fn follow(socket: PathBuf, tell: mpsc::Sender<Input>) {
    let (least, most) = AGAIN;
    let mut again = least;
    let mut known = None;
    while !tell.is_closed() {
        let begun = Instant::now();
        let ended = match UnixStream::connect(&socket).await {
            Ok(stream) => listen(stream, &tell, &mut known).await,
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "ubus says nothing of networks");
        }
        // What has lasted is no failure of the same kind.
        again = if begun.elapsed() > most { least } else { again };
        sleep(again).await;
        again = (again * 2).min(most);
    }
}

/// Listens until nobody wants to hear it any more.
async fn listen(
    stream: UnixStream,
    tell: &mpsc::Sender<Input>,
    known: &mut Option<Networks>,
) -> io::Result<()> {
    let mut bus = Bus::open(stream).await?;
    let netifd = bus.object(NETWORKS).await?;
    let me = bus.add_object().await?;
    bus.subscribe(me, netifd).await?;
    loop {
        let networks = bus.networks(netifd).await?;
        if known.as_ref() != Some(&networks) {
            *known = Some(networks.clone());
            if tell.send(Input::Networks(networks)).await.is_err() {
                return Ok(());
            }
        }
        bus.told().await?;
    }
}

/// A conversation with ubusd.
struct Bus {
    wire: Wire,
    sequence: u16,
    /// A notification came while an answer was waited for.
    was_told: bool,
}

impl Bus {
    /// ubusd speaks first.
    async fn open(stream: UnixStream) -> io::Result<Self> {
        let mut wire = Wire::new(stream);
        let first = timeout(PATIENCE, wire.next()).await??;
        if first.kind != Some(Kind::Hello) {
            return Err(nonsense("it does not say hello"));
        }
        Ok(Self { wire, sequence: 0, was_told: false })
    }

    /// Asks something, and gives what is answered before the status that ends it.
    async fn ask(&mut self, kind: Kind, peer: u32, words: Words) -> io::Result<Vec<Words>> {
        self.sequence = self.sequence.wrapping_add(1);
        let sequence = self.sequence;
        let question = Frame { kind: Some(kind), sequence, peer, words };
        let answered = async {
            self.wire.send(&question).await?;
            let mut answers = Vec::new();
            loop {
                let frame = self.wire.next().await?;
                match frame.kind {
                    Some(Kind::Data) if frame.sequence == sequence => answers.push(frame.words),
                    Some(Kind::Status) if frame.sequence == sequence => {
                        return match frame.words.status {
                            Some(0) => Ok(answers),
                            status => Err(nonsense(refused(status))),
                        };
                    }
                    _ => self.was_told |= is_news(&frame)?,
                }
            }
        };
        timeout(PATIENCE, answered).await?
    }

    /// The number of the object at this path.
    async fn object(&mut self, path: &str) -> io::Result<u32> {
        let words = Words { path: Some(path.to_owned()), ..Words::default() };
        let found = self.ask(Kind::Lookup, 0, words).await?;
        // Whoever may not know of it is told that there is none.
        found
            .first()
            .and_then(|words| words.object)
            .ok_or_else(|| nonsense("there is no netifd, or it is not for us"))
    }

    /// An object of our own, to which notifications go.
    async fn add_object(&mut self) -> io::Result<u32> {
        let made = self.ask(Kind::AddObject, 0, Words::default()).await?;
        made.first().and_then(|words| words.object).ok_or_else(|| nonsense("it gives us no object"))
    }

    async fn subscribe(&mut self, me: u32, target: u32) -> io::Result<()> {
        let words = Words { object: Some(me), target: Some(target), ..Words::default() };
        self.ask(Kind::Subscribe, 0, words).await.map(drop)
    }

    async fn networks(&mut self, netifd: u32) -> io::Result<Networks> {
        let words = Words {
            object: Some(netifd),
            method: Some("dump".to_owned()),
            data: Some(Map::new()),
            ..Words::default()
        };
        let said = self.ask(Kind::Invoke, netifd, words).await?;
        let dump = said.into_iter().find_map(|words| words.data);
        let dump = dump.ok_or_else(|| nonsense("the dump is empty"))?;
        netifd::networks(dump).map_err(|error| nonsense(&format!("the dump: {error}")))
    }

    /// Waits until something has changed, and until what comes with it has come as well.
    async fn told(&mut self) -> io::Result<()> {
        while !std::mem::take(&mut self.was_told) {
            self.was_told = is_news(&self.wire.next().await?)?;
        }
        let settled = Instant::now() + SETTLED;
        while let Ok(frame) = tokio::time::timeout_at(settled, self.wire.next()).await {
            is_news(&frame?)?;
        }
        Ok(())
    }
}

/// Whether a frame that answers nothing says that a network has changed.
fn is_news(frame: &Frame) -> io::Result<bool> {
    match frame.kind {
        Some(Kind::Invoke) => Ok(true),
        // The object that we listened to is no more: netifd has ended.
        Some(Kind::Unsubscribe) => Err(nonsense("netifd is gone")),
        _ => Ok(false),
    }
}

fn nonsense(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// What a status says, in ubus's own words.
fn refused(status: Option<u32>) -> &'static str {
    match status {
        Some(2) => "invalid argument",
        Some(3) => "method not found",
        Some(4) => "not found",
        Some(5) => "no data",
        Some(6) => "permission denied",
        Some(7) => "timeout",
        _ => "it fails",
    }
}
