//! Many flows at once, of every kind: from the LAN and the box's own, UDP and TCP, both IP versions.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sparelink::lab::netns::Netns;
use sparelink::lab::topology::{ECHO4, ECHO6, Home};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// How often each flow says something.
const EVERY: Duration = Duration::from_millis(100);
/// How long a new connection may take.
const PATIENCE: Duration = Duration::from_secs(2);
const WORDS: &[u8] = b"one of many";

/// Flows that keep talking to the echo server. They end when this is dropped.
pub(crate) struct Crowd {
    kinds: Vec<(&'static str, Arc<AtomicU64>)>,
    tasks: Vec<JoinHandle<()>>,
}

impl Crowd {
    /// Begins so many flows, as many of each kind.
    pub(crate) fn begin(home: &Home, count: usize) -> Self {
        let mut crowd = Self { kinds: Vec::new(), tasks: Vec::new() };
        let each = count.div_ceil(8);
        crowd.of_kind("LAN UDP", &home.client, ECHO4, udp, each);
        crowd.of_kind("LAN UDPv6", &home.client, ECHO6, udp, each);
        crowd.of_kind("LAN TCP", &home.client, ECHO4, tcp, each);
        crowd.of_kind("LAN TCPv6", &home.client, ECHO6, tcp, each);
        crowd.of_kind("own UDP", &home.router, ECHO4, udp, each);
        crowd.of_kind("own UDPv6", &home.router, ECHO6, udp, each);
        crowd.of_kind("own TCP", &home.router, ECHO4, tcp, each);
        crowd.of_kind("own TCPv6", &home.router, ECHO6, tcp, each);
        crowd
    }

    fn of_kind<F>(
        &mut self,
        kind: &'static str,
        from: &Netns,
        to: IpAddr,
        flow: fn(SocketAddr, Arc<AtomicU64>) -> F,
        each: usize,
    ) where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let answers = Arc::new(AtomicU64::new(0));
        let server = SocketAddr::new(to, 7);
        for _ in 0..each {
            let answers = answers.clone();
            self.tasks.push(from.spawn(async move {
                loop {
                    // A flow that ended is begun again; until there is a way that fails at once.
                    let _ = flow(server, answers.clone()).await;
                    sleep(EVERY).await;
                }
            }));
        }
        self.kinds.push((kind, answers));
    }

    /// How many answers each kind has had.
    pub(crate) fn answers(&self) -> Vec<(&'static str, u64)> {
        self.kinds.iter().map(|(kind, n)| (*kind, n.load(Ordering::Relaxed))).collect()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn udp(server: SocketAddr, answers: Arc<AtomicU64>) -> io::Result<()> {
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    let (mut ticks, mut buffer) = (interval(EVERY), [0; 64]);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            // What the kernel refuses now it may take later.
            _ = ticks.tick() => drop(socket.try_send(WORDS)),
            got = socket.recv(&mut buffer) => {
                answers.fetch_add(u64::from(got.is_ok()), Ordering::Relaxed);
            }
        }
    }
}

async fn tcp(server: SocketAddr, answers: Arc<AtomicU64>) -> io::Result<()> {
    let mut stream = timeout(PATIENCE, TcpStream::connect(server)).await??;
    stream.set_nodelay(true)?;
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut buffer = [0; WORDS.len()];
    loop {
        ticks.tick().await;
        stream.write_all(WORDS).await?;
        stream.read_exact(&mut buffer).await?;
        answers.fetch_add(1, Ordering::Relaxed);
    }
}
