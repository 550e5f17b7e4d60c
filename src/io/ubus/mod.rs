//! ubus, OpenWrt's message bus: what netifd says of its networks is listened to, and who asks is told how things are.
//!
//! Without it, refused by it or misunderstood, everything goes on by netlink alone.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::bus::{Again, Bus, nonsense};
#[cfg(feature = "lab")]
pub(crate) use self::frame::Wire;
pub(crate) use self::frame::Words;
#[cfg(any(test, feature = "lab"))]
pub(crate) use self::frame::{Frame, Kind};
pub use self::object::{Facts, serve};
use crate::engine::input::Input;
use crate::engine::kernel::network::Networks;

mod blob;
mod bus;
mod frame;
mod netifd;
mod object;
#[cfg(test)]
mod tests;

/// Where ubusd listens.
pub const SOCKET: &str = "/var/run/ubus/ubus.sock";
/// A change comes as an event and as a notification, and seldom alone.
const SETTLED: Duration = Duration::from_millis(50);
/// netifd's object.
const NETWORKS: &str = "network.interface";

/// Whether this box should have one, and has none.
#[must_use]
pub fn is_missing() -> bool {
    Path::new("/etc/openwrt_release").exists() && !Path::new(SOCKET).exists()
}

/// Reads what may be frames of a bus, and the networks in them, up to what is none; how many there were.
#[must_use]
pub fn overhear(mut bytes: Vec<u8>) -> usize {
    let mut read = 0;
    while let Ok(Some(frame)) = frame::take(&mut bytes) {
        read += 1;
        drop(frame.encode());
        drop(frame.words.data.map(netifd::networks));
    }
    read
}

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
    dump(&mut bus, netifd).await.map(Some)
}

async fn dump(bus: &mut Bus, netifd: u32) -> io::Result<Networks> {
    let dump = bus.call(netifd, "dump").await?.ok_or_else(|| nonsense("the dump is empty"))?;
    netifd::networks(dump).map_err(|error| nonsense(&format!("the dump: {error}")))
}

/// Tells of netifd's networks, now and whenever something changes, for as long as somebody listens. While nobody answers,
/// what was said last stays true: who goes away takes nothing along.
pub fn watch(socket: &Path, tell: mpsc::Sender<Input>) {
    tokio::spawn(follow(socket.to_owned(), tell));
}

async fn follow(socket: PathBuf, tell: mpsc::Sender<Input>) {
    let mut again = Again::new();
    let mut known = None;
    while !tell.is_closed() {
        let begun = Instant::now();
        if let Err(error) = listen(&socket, &tell, &mut known).await {
            tracing::debug!(%error, "ubus says nothing of networks");
            // What was said once stays true.
            let should = error.kind() != io::ErrorKind::NotFound || is_missing();
            if known.is_none() && should && tell.send(Input::NetifdIsSilent).await.is_err() {
                return;
            }
        }
        again.wait(begun).await;
    }
}

/// Listens until nobody wants to hear it any more.
async fn listen(
    socket: &Path,
    tell: &mpsc::Sender<Input>,
    known: &mut Option<Networks>,
) -> io::Result<()> {
    let mut bus = Bus::connect(socket).await?;
    let netifd = bus.object(NETWORKS).await?;
    let me = bus.add_object(Words::default()).await?;
    bus.subscribe(me, netifd).await?;
    loop {
        let networks = dump(&mut bus, netifd).await?;
        if known.as_ref() != Some(&networks) {
            *known = Some(networks.clone());
            if tell.send(Input::Networks(networks)).await.is_err() {
                return Ok(());
            }
        }
        bus.told(SETTLED).await?;
    }
}
