//! Asks what the engine wants asked, through the uplink it names, and hands back what came of it.

mod dns;
mod http;
mod icmp;
mod tcp;

#[cfg(feature = "lab")]
pub use http::overhear;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::sync::mpsc::Sender;

use crate::engine::probe::{Outcome, ProbeReply, ProbeRequest, Question};
use crate::units::UplinkId;

/// How many probes can wait for their answer at once. Fourteen uplinks in a burst (three targets
/// and a gateway, every 50 ms) whose answers all stay away for 2 s need about as many.
const MAX_OUTSTANDING: usize = 2048;

/// How many of them can have a socket of their own. The agent may open 1024 files (`LimitNOFILE` of its unit);
/// the page's connections and everything else need their share. Echoes of an uplink share one.
const MAX_SOCKETS: usize = 512;

/// Sends probes and hands back one [`ProbeReply`] for each.
pub struct Prober {
    replies: Sender<ProbeReply>,
    outstanding: Arc<Semaphore>,
    sockets: Arc<Semaphore>,
    echo: icmp::EchoSockets,
    random: Random,
}

impl Prober {
    /// A prober whose replies go to `replies`.
    #[must_use]
    pub fn new(replies: Sender<ProbeReply>) -> Self {
        Self {
            replies,
            outstanding: Arc::new(Semaphore::new(MAX_OUTSTANDING)),
            sockets: Arc::new(Semaphore::new(MAX_SOCKETS)),
            echo: icmp::EchoSockets::default(),
            random: Random::new(),
        }
    }

    /// Asks one question and returns at once; the reply follows at the latest when the request's
    /// time is over. Must be called within a tokio runtime.
    pub fn send(&mut self, request: ProbeRequest) {
        let Ok(permit) = Arc::clone(&self.outstanding).try_acquire_owned() else {
            self.refuse(&request);
            return;
        };
        let socket = match request.question {
            Question::Echo(_) => None,
            Question::TcpConnect(..) | Question::Dns { .. } | Question::Http { .. } => {
                match Arc::clone(&self.sockets).try_acquire_owned() {
                    Ok(socket) => Some(socket),
                    Err(_) => return self.refuse(&request),
                }
            }
        };
        let random = self.random.next();
        let ProbeRequest { id, path, question, timeout } = request;
        let uplink = path.uplink;
        let ask: Ask = match question {
            Question::Echo(target) => match self.echo.through(&path, self.random.next()) {
                Ok(echo) => Box::pin(async move { echo.ask(&path, target, timeout, random).await }),
                Err(error) => Box::pin(std::future::ready(Outcome::Failed(error.words()))),
            },
            Question::TcpConnect(target, port) => {
                Box::pin(async move { tcp::ask(&path, target, port).await })
            }
            Question::Dns { resolver, name } => {
                Box::pin(async move { dns::ask(&path, resolver, &name, random).await })
            }
            Question::Http { server, port, host, path: page, expect } => {
                let server = SocketAddr::new(server, port);
                Box::pin(async move { http::ask(&path, server, &host, &page, &expect).await })
            }
        };
        let replies = self.replies.clone();
        tokio::spawn(async move {
            let outcome = tokio::time::timeout(timeout, ask).await.unwrap_or(Outcome::Silent);
            // An error means that nobody listens any more: the agent is going down.
            let _ = replies.send(ProbeReply { id, uplink, outcome }).await;
            drop((permit, socket));
        });
    }

    /// Closes what is kept open for an uplink; echoes on their way through it end as failed.
    pub fn forget(&mut self, uplink: UplinkId) {
        self.echo.forget(uplink);
    }

    fn refuse(&self, request: &ProbeRequest) {
        let reply = ProbeReply {
            id: request.id,
            uplink: request.path.uplink,
            outcome: Outcome::Failed("too many outstanding".to_owned()),
        };
        // A full channel as well means that nobody has read replies for seconds.
        if self.replies.try_send(reply).is_err() {
            tracing::warn!(uplink = %request.path.uplink, "probe dropped: replies are not read");
        }
    }
}

impl fmt::Debug for Prober {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prober")
            .field("outstanding", &(MAX_OUTSTANDING - self.outstanding.available_permits()))
            .finish_non_exhaustive()
    }
}

/// A question on its way.
type Ask = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Numbers that an outsider cannot guess: a keyed hash (SipHash, key from the system) of a count.
struct Random {
    key: RandomState,
    count: u64,
}

impl Random {
    fn new() -> Self {
        Self { key: RandomState::new(), count: 0 }
    }

    fn next(&mut self) -> u64 {
        self.count = self.count.wrapping_add(1);
        self.key.hash_one(self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_leave_files_for_the_rest() {
        let unit = include_str!("../../../systemd/sparelink.service");
        let limit = unit.lines().find_map(|line| line.strip_prefix("LimitNOFILE="));
        let limit: usize = limit.unwrap().parse().unwrap();
        // Each of fourteen uplinks has two sockets for echoes; 128 connections are served; half of what is
        // left then is for netlink, LEDs and files.
        assert!(MAX_SOCKETS + 2 * 14 + 128 <= limit * 3 / 4, "{limit}");
    }
}
