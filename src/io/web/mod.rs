//! HTTP, for people and programs: the same routes on the Unix socket now and on the page later.
//!
//! Nothing here decides. A request becomes an [`Ask`] to the loop, and its answer becomes JSON.

use std::io;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};

use crate::engine::event::Event;
use crate::engine::message::{Command, Refusal};
use crate::engine::snapshot::Snapshot;

mod api;
mod json;

/// What a request asks of the loop. Each carries the way back.
#[derive(Debug)]
pub enum Ask {
    /// The state now.
    Status(oneshot::Sender<Snapshot>),
    /// What happened lately.
    History(oneshot::Sender<Vec<Event>>),
    /// A person wants something.
    Command(Command, oneshot::Sender<Result<String, Refusal>>),
    /// Read the configuration again. The error is the file's mistakes, in words.
    Reload(oneshot::Sender<Result<String, String>>),
}

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
        Ok(listener)
    };
    open().map_err(|source| Error { path: path.clone(), source })
}

/// Serves until the program ends.
pub async fn serve(listener: UnixListener, asks: mpsc::Sender<Ask>) {
    if let Err(error) = axum::serve(listener, api::router(asks)).await {
        tracing::warn!(%error, "the socket is closed");
    }
}
