//! What a client in the LAN sees: it opens a new flow every few milliseconds to a server far beyond
//! the uplinks, and writes down which were answered.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::internet::ECHO_PORT;
use super::netns::Netns;

/// How often a new flow begins.
pub const EVERY: Duration = Duration::from_millis(5);
/// How long a flow waits for its answer.
pub const PATIENCE: Duration = Duration::from_secs(3);
/// How often the long-lived flow sends.
const STREAM_EVERY: Duration = Duration::from_millis(20);
/// Flows remembered: five minutes.
const REMEMBERED: usize = 60_000;
/// A flow that began less than this long before the newest may still get its answer.
const UNDECIDED: Duration = Duration::from_millis(200);
/// Source ports, each used once in a round: a port that came again while a router on the way still
/// remembers the flow before would make an old flow of a new one.
const PORTS: Range<u16> = 10_000..60_000;
/// The next port, for all meters of the process.
static NEXT_PORT: AtomicU16 = AtomicU16::new(PORTS.start);

/// A running measurement. Ends when dropped.
#[derive(Debug)]
pub struct Meter {
    log: Arc<Mutex<Log>>,
    tasks: Vec<JoinHandle<()>>,
}

/// How long the client was cut off after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// From the cut to the moment when the first flow began that was answered again; zero if no
    /// flow was lost.
    pub gap: Duration,
    /// From the cut to the arrival of that answer; the gap and one round trip.
    pub answer: Duration,
    /// Flows between the event and that flow that were never answered.
    pub lost: u64,
}

/// Flows in a stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Flows that began in it.
    pub sent: u64,
    /// Those of them that have had no answer.
    pub lost: u64,
}

#[derive(Debug, Default)]
struct Log {
    flows: Record,
    stream: Record,
}

/// Packets in the order in which they were sent.
#[derive(Debug, Default)]
struct Record {
    /// The number of the oldest that is remembered.
    first: u64,
    flows: VecDeque<Flow>,
}

#[derive(Clone, Copy, Debug)]
struct Flow {
    sent: Instant,
    answered: Option<Instant>,
}

impl Meter {
    /// Starts measuring from a namespace towards an echo server.
    ///
    /// # Errors
    /// If the long-lived flow's socket is refused.
    pub async fn start(client: &Netns, server: IpAddr) -> Result<Self> {
        let log = Arc::new(Mutex::new(Log::default()));
        let server = SocketAddr::new(server, ECHO_PORT);
        let flows = client.spawn(new_flows(server, log.clone()));
        let stream = client.run(async move { open(server, 0) }).await??;
        let stream = client.spawn(one_flow(stream, log.clone()));
        Ok(Self { log, tasks: vec![flows, stream] })
    }

    /// How long the client was cut off after `event`; `None` while it still is.
    ///
    /// The gap begins with the event, or with the first flow that was lost: a busy machine may take
    /// seconds to carry the event out, and traffic flows meanwhile. It ends with the first answered
    /// flow that began after an unanswered one.
    #[must_use]
    pub fn gap_after(&self, event: Instant) -> Option<Gap> {
        self.log().flows.gap_after(event)
    }

    /// The longest stretch within these bounds in which no flow was answered: from the first flow
    /// without an answer to the next one that has one. Zero if none was lost.
    #[must_use]
    pub fn longest_hole(&self, from: Instant, to: Instant) -> Duration {
        self.log().flows.longest_hole(from, to)
    }

    /// New flows that began in a stretch of time. Ask [`PATIENCE`] (or a round trip) after its end.
    #[must_use]
    pub fn flows(&self, from: Instant, to: Instant) -> Tally {
        self.log().flows.tally(from, to)
    }

    /// Packets that the one long-lived flow sent in a stretch of time.
    #[must_use]
    pub fn stream(&self, from: Instant, to: Instant) -> Tally {
        self.log().stream.tally(from, to)
    }

    /// Round trip of the newest answered flow.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        let log = self.log();
        log.flows.flows.iter().rev().find_map(|flow| Some(flow.answered? - flow.sent))
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        lock(&self.log)
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Record {
    fn sent(&mut self, sent: Instant) -> u64 {
        if self.flows.len() >= REMEMBERED {
            self.flows.pop_front();
            self.first += 1;
        }
        self.flows.push_back(Flow { sent, answered: None });
        self.first + self.flows.len() as u64 - 1
    }

    fn answered(&mut self, number: u64, at: Instant) {
        let index = number.checked_sub(self.first).and_then(|i| usize::try_from(i).ok());
        if let Some(flow) = index.and_then(|i| self.flows.get_mut(i)) {
            flow.answered.get_or_insert(at);
        }
    }

    fn since(&self, event: Instant) -> impl Iterator<Item = &Flow> {
        self.flows.range(self.flows.partition_point(|flow| flow.sent < event)..)
    }

    fn tally(&self, from: Instant, to: Instant) -> Tally {
        let flows = self.since(from).take_while(|flow| flow.sent < to);
        flows.fold(Tally::default(), |tally, flow| Tally {
            sent: tally.sent + 1,
            lost: tally.lost + u64::from(flow.answered.is_none()),
        })
    }

    fn longest_hole(&self, from: Instant, to: Instant) -> Duration {
        let (mut longest, mut began) = (Duration::ZERO, None);
        for flow in self.since(from).take_while(|flow| flow.sent < to) {
            let start = *began.get_or_insert(flow.sent);
            if flow.answered.is_some() {
                longest = longest.max(flow.sent - start);
                began = None;
            }
        }
        longest.max(began.map_or(Duration::ZERO, |start| to - start))
    }

    fn gap_after(&self, event: Instant) -> Option<Gap> {
        let answered = |flow: &&Flow| flow.answered.is_some();
        let mut after_the_edge = self.since(event).skip_while(answered).peekable();
        let newest = self.flows.back()?.sent;
        let undecided = after_the_edge.peek().is_none_or(|flow| newest - flow.sent < UNDECIDED);
        // The last flow that was answered began at most so long before the first that was lost.
        let cut = after_the_edge.peek().map_or(event, |flow| event.max(flow.sent - EVERY));
        for (lost, flow) in (0..).zip(after_the_edge) {
            if let Some(answer) = flow.answered {
                return Some(Gap { gap: flow.sent - cut, answer: answer - cut, lost });
            }
        }
        if !undecided {
            return None;
        }
        let answer = self.since(event).next()?.answered?;
        Some(Gap { gap: Duration::ZERO, answer: answer - event, lost: 0 })
    }
}

fn lock(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    // The log is whole after every statement.
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Begins a new flow every few milliseconds.
async fn new_flows(server: SocketAddr, log: Arc<Mutex<Log>>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let number = lock(&log).flows.sent(Instant::now());
        // A flow that the kernel refuses to begin is a lost one.
        let Ok(socket) = open(server, next_port()) else {
            continue;
        };
        let log = log.clone();
        tokio::spawn(async move {
            if exchange(&socket, number).await.is_some() {
                lock(&log).flows.answered(number, Instant::now());
            }
        });
    }
}

fn next_port() -> u16 {
    let next = |port| Some(if port + 1 < PORTS.end { port + 1 } else { PORTS.start });
    NEXT_PORT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or(PORTS.start)
}

/// One datagram there and back.
async fn exchange(socket: &UdpSocket, number: u64) -> Option<()> {
    let payload = number.to_be_bytes();
    socket.send(&payload).await.ok()?;
    let mut buffer = [0; 64];
    let answer = async {
        loop {
            // ICMP errors are no answer; the flow may still get one.
            if let Ok(length) = socket.recv(&mut buffer).await
                && buffer[..length] == payload
            {
                return;
            }
        }
    };
    timeout(PATIENCE, answer).await.ok()
}

/// Traffic of one long-lived flow.
async fn one_flow(socket: UdpSocket, log: Arc<Mutex<Log>>) {
    let mut ticks = interval(STREAM_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut buffer = [0; 64];
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let number = lock(&log).stream.sent(Instant::now());
                let payload = number.to_be_bytes();
                // An ICMP error that an earlier packet met is told by the next call, which then sends nothing.
                if socket.try_send(&payload).is_err() {
                    let _ = socket.try_send(&payload);
                }
            }
            Ok(length) = socket.recv(&mut buffer) => {
                if let Ok(number) = buffer[..length].try_into() {
                    lock(&log).stream.answered(u64::from_be_bytes(number), Instant::now());
                }
            }
        }
    }
}

fn open(server: SocketAddr, port: u16) -> io::Result<UdpSocket> {
    let any = match server {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = std::net::UdpSocket::bind((any, port))?;
    socket.set_nonblocking(true)?;
    socket.connect(server)?;
    UdpSocket::from_std(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A flow every 5 ms, answered 10 ms later where the pattern has a `+`.
    fn record(pattern: &str) -> (Record, Instant) {
        let mut record = Record::default();
        let start = Instant::now();
        for (i, mark) in pattern.chars().enumerate() {
            let sent = start + EVERY * u32::try_from(i).unwrap();
            let number = record.sent(sent);
            if mark == '+' {
                record.answered(number, sent + 10 * MS);
            }
        }
        (record, start)
    }

    #[test]
    fn the_gap_ends_with_the_first_answered_flow() {
        let cases = [
            ("++++----++", 8, Some((25, 4))),
            ("+---------------------------------------------", 46, None),
            ("+---", 4, Some((0, 0))),
            ("++++++", 6, Some((0, 0))),
            ("-+", 2, Some((5, 1))),
            ("", 0, None),
        ];
        for (pattern, _, expected) in cases {
            let (record, start) = record(pattern);
            let gap = record
                .gap_after(start)
                .map(|g| (u64::try_from(g.gap.as_millis()).unwrap(), g.lost));
            assert_eq!(gap, expected, "{pattern}");
        }
    }

    #[test]
    fn the_longest_hole_is_found() {
        let (record, start) = record("+-+---++-");
        assert_eq!(record.longest_hole(start, start + 40 * MS), 15 * MS);
        assert_eq!(record.longest_hole(start, start + 90 * MS), 50 * MS, "the last one is open");
        assert_eq!(record.longest_hole(start, start + 5 * MS), Duration::ZERO);
    }

    #[test]
    fn a_tally_counts_one_stretch() {
        let (record, start) = record("+-+--+");
        assert_eq!(record.tally(start, start + 20 * MS), Tally { sent: 4, lost: 2 });
        assert_eq!(record.tally(start + 20 * MS, start + MS * 1000), Tally { sent: 2, lost: 1 });
    }

    #[test]
    fn memory_is_bounded() {
        let mut record = Record::default();
        let now = Instant::now();
        for _ in 0..REMEMBERED + 10 {
            record.sent(now);
        }
        assert_eq!(record.flows.len(), REMEMBERED);
        record.answered(3, now);
        record.answered(record.first + 1, now);
        assert_eq!(record.tally(now, now + MS).lost, REMEMBERED as u64 - 1);
    }
}
