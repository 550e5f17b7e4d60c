//! LAN clients that keep talking to the modems themselves, their DNS proxies and their pages: life
//! on the cable that says nothing about the Internet.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::topology::Home;

/// How often each modem's DNS proxy is asked; its page once in [`PAGE_ONCE_IN`] times.
const EVERY: Duration = Duration::from_millis(50);
const PAGE_ONCE_IN: u64 = 5;
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_millis(500);
/// A query for the address of `example.com`.
const QUERY: &[u8] =
    b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01";

/// Clients that talk to every modem. They stop when this is dropped.
#[derive(Debug)]
pub struct Chatter {
    answers: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<()>>,
}

impl Chatter {
    #[must_use]
    pub fn start(home: &Home) -> Self {
        let answers = Arc::new(AtomicU64::new(0));
        let talk_to = |modem| home.client.spawn(talk(IpAddr::V4(modem), answers.clone()));
        let tasks = home.uplinks.iter().map(|uplink| talk_to(uplink.at.modem4)).collect();
        Self { answers, tasks }
    }

    /// How many answers there have been.
    #[must_use]
    pub fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }
}

impl Drop for Chatter {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn talk(modem: IpAddr, answers: Arc<AtomicU64>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    for turn in 0u64.. {
        ticks.tick().await;
        let answered = if turn.is_multiple_of(PAGE_ONCE_IN) {
            timeout(PATIENCE, page(modem)).await
        } else {
            timeout(PATIENCE, dns(modem)).await
        };
        if matches!(answered, Ok(Ok(()))) {
            answers.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn dns(modem: IpAddr) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    socket.connect(SocketAddr::new(modem, 53)).await?;
    socket.send(QUERY).await?;
    socket.recv(&mut [0; 512]).await.map(drop)
}

async fn page(modem: IpAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(SocketAddr::new(modem, 80)).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: modem\r\nConnection: close\r\n\r\n").await?;
    stream.read_to_end(&mut Vec::new()).await.map(drop)
}
