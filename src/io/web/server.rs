//! Listeners and connections: accepts, bounds what a client may take, and lets go of those who stall.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::Service as _;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::api;
use super::site::Site;
use super::slots::{ConnectionSlot, ConnectionSlots, Neighbours};
use super::via::Via;
use crate::engine::lan::listen::Place;
use crate::io::socket::{Stream, words};

/// The head of a request must be there within this long, and the next one on the same connection.
const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// The largest head, in bytes, and the most headers.
const MAX_HEAD: usize = 8 * 1024;
const MAX_HEADERS: usize = 64;
/// What a connection may hold of what was read and is not understood yet, in bytes.
const MAX_BUFFER: usize = 16 * 1024;
/// A connection takes no new requests after this long. A stream of events goes on.
const MAX_AGE: Duration = Duration::from_secs(60);
/// A client that takes or acknowledges nothing for this long is gone (`TCP_USER_TIMEOUT`, tcp(7)).
const GONE_AFTER: Duration = Duration::from_secs(20);
/// Of one connection this many requests are answered at once …
const AT_ONCE: u32 = 64;
/// … and others one in each of these: who asks all the time is not to keep a small processor busy.
const STEP: Duration = Duration::from_millis(20);
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 64;
/// A place that cannot be had is tried again, at first after the shortest pause.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];

/// Serves until the program ends.
pub(super) async fn run(
    socket: std::os::unix::net::UnixListener,
    places: watch::Receiver<BTreeSet<Place>>,
    site: Site,
    neighbours: Neighbours,
) -> io::Result<()> {
    #[cfg(feature = "settings")]
    tokio::spawn(site.desk.clone().watch());
    let router = api::router(site);
    let socket = UnixListener::from_std(socket)?;
    tokio::join!(answer_socket(socket, router.clone()), follow(places, router, neighbours));
    Ok(())
}

/// Listens at the places there are, and at no other. What is no place any more takes its connections
/// with it.
async fn follow(
    mut places: watch::Receiver<BTreeSet<Place>>,
    router: Router,
    neighbours: Neighbours,
) {
    let slots = ConnectionSlots::default();
    let mut open: BTreeMap<Place, JoinSet<()>> = BTreeMap::new();
    loop {
        let wanted = places.borrow_and_update().clone();
        open.retain(|place, _| wanted.contains(place));
        for place in wanted {
            open.entry(place).or_insert_with_key(|place| {
                let mut task = JoinSet::new();
                let (slots, neighbours) = (slots.clone(), neighbours.clone());
                task.spawn(answer_place(place.clone(), router.clone(), slots, neighbours));
                task
            });
        }
        if places.changed().await.is_err() {
            return;
        }
    }
}

async fn answer_socket(listener: UnixListener, router: Router) {
    // Those who may use the socket have slots of their own: a crowd at the page is not in their way.
    let (slots, nobody) = (ConnectionSlots::default(), IpAddr::from([0, 0, 0, 0]));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    if let Some(slot) = slots.take(nobody, None) {
                        let talk = converse(Box::new(stream), Via::Socket, slot, router.clone());
                        connections.spawn(talk);
                    }
                }
                Err(error) => stumble(&error).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer_place(
    place: Place,
    router: Router,
    slots: ConnectionSlots,
    neighbours: Neighbours,
) {
    let listener = open(&place).await;
    let index = place.dev.as_ref().map(|(index, _)| *index);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let Ok(local) = stream.local_addr() else { continue };
                    let (local, peer) = (local.ip().to_canonical(), peer.ip().to_canonical());
                    let neighbour = index.and_then(|index| neighbours(peer, index));
                    if let Some(slot) = slots.take(peer, neighbour) {
                        let via = Via::Page { local, peer };
                        connections.spawn(converse(Box::new(stream), via, slot, router.clone()));
                    }
                }
                Err(error) => stumble(&error).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Too many open files, most likely: those that are open must end first.
async fn stumble(error: &io::Error) {
    tracing::debug!(%error, "a connection could not be accepted");
    sleep(PAUSES[0]).await;
}

/// Listens at a place; tries until it can, and says once why it cannot.
async fn open(place: &Place) -> TcpListener {
    let mut pause = PAUSES[0];
    let mut told = false;
    loop {
        match bind(place) {
            Ok(listener) => {
                tracing::info!("the page is at http://{}/", place.addr);
                return listener;
            }
            // The one before at the same place may need a moment to close.
            Err(error) if !told && pause > PAUSES[0] * 4 => {
                told = true;
                let error = words(&error);
                tracing::warn!(error, "the page cannot be at {}; tried again", place.addr);
            }
            Err(_) => {}
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSES[1]);
    }
}

fn bind(place: &Place) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(place.addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    if place.addr.is_ipv6() {
        // The IPv4 addresses have places of their own.
        socket.set_only_v6(place.addr.ip().is_loopback() || place.dev.is_some())?;
    }
    if let Some((_, dev)) = &place.dev {
        match socket.bind_device(Some(dev.as_str().as_bytes())) {
            // Old kernels want CAP_NET_RAW for it; there the packet filter has to be enough.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            bound => bound?,
        }
    }
    socket.set_tcp_user_timeout(Some(GONE_AFTER))?;
    socket.bind(&place.addr.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// How fast one connection is answered: a page with all it needs at once, then one thing after the other.
#[derive(Default)]
struct Pace(Mutex<Option<Instant>>);

impl Pace {
    /// How long the next request waits.
    fn next(&self, now: Instant) -> Duration {
        let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = next.unwrap_or(now).max(now);
        *next = Some(due + STEP);
        (due - now).saturating_sub(STEP * AT_ONCE)
    }
}

/// HTTP within the bounds of every connection.
pub(super) fn http() -> Builder {
    let mut http = Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_header_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_BUFFER);
    http
}

/// One connection from its first request to its end.
pub(super) async fn converse(
    stream: Box<dyn Stream>,
    via: Via,
    slot: ConnectionSlot,
    router: Router,
) {
    let routes = TowerToHyperService::new(router);
    let pace = Pace::default();
    let service = hyper::service::service_fn(|request: hyper::Request<Incoming>| {
        slot.asked();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(via);
        let (wait, answer) = (pace.next(Instant::now()), routes.call(request));
        async move {
            sleep(wait).await;
            answer.await
        }
    });
    let mut talk = std::pin::pin!(http().serve_connection(TokioIo::new(stream), service));
    let whole = async {
        tokio::select! {
            ended = talk.as_mut() => return ended,
            () = sleep(MAX_AGE) => talk.as_mut().graceful_shutdown(),
        }
        talk.as_mut().await
    };
    let ended = tokio::select! {
        ended = whole => ended,
        () = slot.is_needed() => return,
    };
    if let Err(error) = ended {
        tracing::trace!(%error, ?via, "a connection broke off");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_comes_at_once_and_a_flood_of_questions_does_not() {
        let (pace, now) = (Pace::default(), Instant::now());
        let waits: Vec<Duration> = (0..66).map(|_| pace.next(now)).collect();
        assert!(waits[..64].iter().all(Duration::is_zero), "{waits:?}");
        assert_eq!(waits[65], STEP, "{waits:?}");
        let later = now + Duration::from_secs(60);
        assert_eq!(pace.next(later), Duration::ZERO, "after a rest it is as at the beginning");
    }
}
