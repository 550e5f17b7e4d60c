//! TCP handshakes.

use std::io;
use std::net::IpAddr;

use nix::errno::Errno;
use tokio::net::TcpStream;

use crate::engine::probe::{Outcome, Path};
use crate::io::clock;
use crate::io::socket::{self, words};
use crate::units::Rtt;

/// Completes one handshake and resets the connection at once.
pub(super) async fn ask(path: &Path, target: IpAddr, port: u16) -> Outcome {
    let start = clock::now().mono;
    match connect(path, target, port).await {
        Ok(_closed_here) => Outcome::Answered(Rtt(clock::now().mono.since(start))),
        Err(outcome) => outcome,
    }
}

/// A connection through an uplink, or what a probe says instead.
pub(super) async fn connect(path: &Path, target: IpAddr, port: u16) -> Result<TcpStream, Outcome> {
    let address =
        socket::target(path, target, port).map_err(|error| Outcome::Failed(error.words()))?;
    let socket = socket::tcp(path).map_err(|error| Outcome::Failed(error.words()))?;
    socket.connect(address).await.map_err(|error| unanswered(&error))
}

/// The kernel gave up before the probe's time was over: that is silence, not a refusal.
fn unanswered(error: &io::Error) -> Outcome {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ETIMEDOUT) => Outcome::Silent,
        _ => Outcome::Failed(words(error)),
    }
}
