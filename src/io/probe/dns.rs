//! DNS queries over UDP.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use tokio::net::UdpSocket;

use crate::engine::probe::dns::{Answer, Query};
use crate::engine::probe::{Outcome, Path};
use crate::io::clock;
use crate::io::socket::{self, words};
use crate::time::Instant;
use crate::units::{Family, Rtt};

/// The port of DNS (RFC 1035 §4.2).
const PORT: u16 = 53;
/// When the question is asked once more: UDP loses packets.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The largest answer that is read, in bytes; without EDNS none is larger than 512 (RFC 1035
/// §2.3.4), but not every server knows that.
const MAX_ANSWER: usize = 4096;

/// Asks a resolver for the addresses of a name, in the uplink's own IP version. Waits for ever.
pub(super) async fn ask(path: &Path, resolver: IpAddr, name: &str, random: u64) -> Outcome {
    let family = Family::of(&path.source);
    let [a, b, c, d, ..] = random.to_be_bytes();
    // Each query has its own number, so that a late answer is not taken for a fast one.
    let ids = [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])];
    let Some(queries) = ids.map(|id| Query::new(id, name, family)).into_iter().collect() else {
        return Outcome::Failed(format!("{name:?} is not a name that can be asked for"));
    };
    let socket = match connected(path, resolver).await {
        Ok(socket) => socket,
        Err(outcome) => return outcome,
    };
    match exchange(&socket, queries).await {
        Ok((rtt, Answer::Addresses(addresses))) => Outcome::Resolved(rtt, addresses),
        Ok((rtt, Answer::NoAddress)) => Outcome::NoSuchName(rtt),
        Err(error) => Outcome::Failed(words(&error)),
    }
}

/// A socket to which the kernel lets nobody but the resolver speak.
async fn connected(path: &Path, resolver: IpAddr) -> Result<UdpSocket, Outcome> {
    let address =
        socket::target(path, resolver, PORT).map_err(|error| Outcome::Failed(error.words()))?;
    let socket = socket::udp(path).map_err(|error| Outcome::Failed(error.words()))?;
    socket.connect(address).await.map_err(|error| Outcome::Failed(words(&error)))?;
    Ok(socket)
}

/// Sends the queries one after the other until one is answered.
async fn exchange(socket: &UdpSocket, queries: Vec<Query>) -> io::Result<(Rtt, Answer)> {
    let mut sent: Vec<(Query, Instant)> = Vec::with_capacity(queries.len());
    for query in queries {
        let now = clock::now().mono;
        socket.send(&query.encode()).await?;
        sent.push((query, now));
        tokio::select! {
            answered = answer(socket, &sent) => return answered,
            () = clock::sleep_until(now + RETRY_AFTER) => {}
        }
    }
    answer(socket, &sent).await
}

/// Waits for the answer to one of the queries; whatever else comes is ignored.
async fn answer(socket: &UdpSocket, sent: &[(Query, Instant)]) -> io::Result<(Rtt, Answer)> {
    let mut buffer = [0; MAX_ANSWER];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let now = clock::now().mono;
        for (query, at) in sent {
            if let Some(answer) = query.decode(&buffer[..length]) {
                return Ok((Rtt(now.since(*at)), answer));
            }
        }
    }
}
