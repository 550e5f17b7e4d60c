//! HTTP, for people and programs: the page and its API at the LAN's addresses, and the same API on
//! the Unix socket for the command line.
//!
//! Nothing here decides. A request becomes an [`Ask`] to the loop, and its answer becomes JSON. All
//! of it lives on a thread of its own: however slow or many the clients are, the loop hears of them
//! only by a bounded queue of questions.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use tokio::sync::{mpsc, watch};

use crate::config::WebConfig;
use crate::engine::lan::listen::Place;

mod access;
mod ack;
mod api;
mod ask;
mod assets;
mod changes;
mod days;
mod events;
mod feed;
mod guard;
mod history;
mod json;
mod latest;
mod login;
mod metrics;
mod new_password;
mod notice;
#[cfg(feature = "lab")]
mod overhear;
mod own_names;
pub mod password;
mod problem;
mod proxy;
mod said;
mod server;
mod sessions;
#[cfg(feature = "settings")]
mod settings;
mod site;
mod slots;
mod tries;
mod via;

pub use ask::Ask;
pub use feed::Feed;
pub use json::document;
#[cfg(feature = "lab")]
pub use overhear::Overheard;
pub use site::Files;
pub use slots::Neighbours;

/// The name of the socket in the run directory.
const SOCKET: &str = "sparelink.sock";

/// Why the socket could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {}", path.display())]
pub struct Error {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Opens the socket in the run directory. The caller holds the agent's lock, so that a socket that
/// is there already is a dead agent's.
///
/// # Errors
///
/// When the directory cannot be written.
pub fn listen(run_dir: &Path) -> Result<UnixListener, Error> {
    let path = run_dir.join(SOCKET);
    let open = || {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o660);
        std::fs::set_permissions(&path, mode)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    open().map_err(|source| Error { path: path.clone(), source })
}

/// The way to the thread that serves.
#[derive(Debug)]
pub struct Web {
    places: watch::Sender<BTreeSet<Place>>,
    config: watch::Sender<WebConfig>,
    feed: Feed,
}

impl Web {
    /// Starts the thread. It answers on `socket` at once, and nowhere else until it is told where.
    /// `neighbours` tells machines apart that have many addresses.
    ///
    /// # Errors
    ///
    /// When the kernel gives no thread, or no event loop for it.
    pub fn start(
        socket: UnixListener,
        asks: mpsc::Sender<Ask>,
        files: Files,
        neighbours: Neighbours,
    ) -> io::Result<Self> {
        let (places, places_seen) = watch::channel(BTreeSet::new());
        let feed = Feed::default();
        let config = watch::Sender::default();
        let site = site::Site::new(asks, feed.clone(), files, config.subscribe());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = super::thread::named("web");
        thread.spawn(move || {
            if let Err(error) = runtime.block_on(server::run(socket, places_seen, site, neighbours))
            {
                tracing::warn!(%error, "the socket is closed");
            }
        })?;
        Ok(Self { places, config, feed })
    }

    /// The page is to be found at these addresses, and at no other.
    pub fn listen(&self, places: BTreeSet<Place>) {
        self.places.send_replace(places);
    }

    /// What the configuration says of names and proxies from now on. Where the page listens is said by
    /// [`Self::listen`].
    pub fn configure(&self, config: &WebConfig) {
        self.config.send_replace(config.clone());
    }

    /// Where those who watch hear what is new.
    #[must_use]
    pub const fn feed(&self) -> &Feed {
        &self.feed
    }
}

#[cfg(test)]
mod tests;
