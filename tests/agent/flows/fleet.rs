//! Fleets of clients in the LAN (or in the router itself), each with a connection of its own to the
//! echo server beyond the uplinks, and a note of what became of it.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use sparelink::lab::internet::ECHO_PORT;
use sparelink::lab::netns::Netns;
use sparelink::lab::topology::{ECHO4, ECHO6};
use sparelink::units::{Family, PerFamily};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval, sleep, timeout};

/// How long everybody has to begin.
const BEGIN: Duration = Duration::from_secs(10);

/// What a client does once it is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// Waits for what the server may have to say.
    Idle,
    /// Says something so often.
    Talks(Duration),
}

/// What became of one client's connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Life {
    /// It works.
    pub(crate) begun: bool,
    /// Questions that are not answered yet, of those who speak UDP.
    pub(crate) open: BTreeSet<u32>,
    /// Answers, and when they came.
    pub(crate) answers: Vec<Instant>,
    /// The connection's end: when the client noticed, and how.
    pub(crate) end: Option<(Instant, ErrorKind)>,
    /// The IP version that it speaks.
    pub(crate) family: Option<Family>,
    /// The answer on a new connection after that.
    pub(crate) again: Option<Instant>,
    /// New connections that were refused.
    pub(crate) refused: u32,
}

/// Clients that live as long as this.
#[derive(Debug)]
pub(crate) struct Fleet {
    lives: Arc<Mutex<Vec<Life>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Where a client notes what happens to it.
#[derive(Clone)]
struct Diary {
    lives: Arc<Mutex<Vec<Life>>>,
    number: usize,
}

impl Diary {
    fn note(&self, what: impl FnOnce(&mut Life)) {
        what(&mut self.lives.lock().expect("no panics")[self.number]);
    }
}

impl Fleet {
    /// TCP clients to these servers in turn, all connected when this returns.
    pub(crate) async fn tcp(
        at: &Netns,
        count: usize,
        servers: &[IpAddr],
        habit: Habit,
    ) -> Result<Self> {
        let fleet = Self::launch(at, count, servers, |server, diary| tcp(server, habit, diary));
        fleet.all_begun().await
    }

    /// UDP clients that ask so often, all answered when this returns.
    pub(crate) async fn udp(
        at: &Netns,
        count: usize,
        servers: &[IpAddr],
        every: Duration,
    ) -> Result<Self> {
        let fleet = Self::launch(at, count, servers, |server, diary| async move {
            // Errors here are the network's, and the client goes on asking.
            let _ = udp(server, every, &diary).await;
        });
        fleet.all_begun().await
    }

    /// A client that makes a new TCP connection every so often and notes whether it was refused.
    pub(crate) async fn dialler(at: &Netns, server: IpAddr, every: Duration) -> Result<Self> {
        let fleet = Self::launch(at, 1, &[server], |server, diary| dial(server, every, diary));
        fleet.all_begun().await
    }

    fn launch<F>(
        at: &Netns,
        count: usize,
        servers: &[IpAddr],
        client: impl Fn(SocketAddr, Diary) -> F,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let lives = Arc::new(Mutex::new(vec![Life::default(); count]));
        let servers = servers.iter().map(|ip| SocketAddr::new(*ip, ECHO_PORT)).cycle();
        let begin = |(number, server): (usize, SocketAddr)| {
            let diary = Diary { lives: lives.clone(), number };
            diary.note(|life| life.family = Some(Family::of(&server.ip())));
            at.spawn(client(server, diary))
        };
        let tasks = (0..count).zip(servers).map(begin).collect();
        Self { lives, tasks }
    }

    async fn all_begun(self) -> Result<Self> {
        let start = Instant::now();
        while !self.lives().iter().all(|life| life.begun) {
            let begun = self.lives().iter().filter(|life| life.begun).count();
            ensure!(start.elapsed() < BEGIN, "only {begun} of {} clients began", self.tasks.len());
            sleep(Duration::from_millis(10)).await;
        }
        Ok(self)
    }

    /// What has become of them so far.
    pub(crate) fn lives(&self) -> Vec<Life> {
        self.lives.lock().expect("no panics").clone()
    }

    /// How long after `event` each connection had ended; `None`: not all have.
    pub(crate) fn ends_after(&self, event: Instant) -> Option<Vec<Duration>> {
        self.lives().iter().map(|l| Some(l.end?.0.saturating_duration_since(event))).collect()
    }

    /// How long after the flush of its flow each connection had ended; `None`: not all have.
    pub(crate) fn ends_after_flush(
        &self,
        flushed: PerFamily<Option<Instant>>,
    ) -> Option<Vec<Duration>> {
        let after = |life: Life| {
            let flushed = (*flushed.get(life.family?))?;
            Some(life.end?.0.saturating_duration_since(flushed))
        };
        self.lives().into_iter().map(after).collect()
    }

    /// How long after `event` each client was answered on a new connection.
    pub(crate) fn again_after(&self, event: Instant) -> Option<Vec<Duration>> {
        self.lives().iter().map(|l| Some(l.again?.saturating_duration_since(event))).collect()
    }

    /// For each client, how long after `event` it was answered again: the end of the longest gap
    /// between answers that touches the two seconds after it.
    pub(crate) fn answered_after(&self, event: Instant) -> Option<Vec<Duration>> {
        self.lives().iter().map(|life| answered_after(life, event)).collect()
    }

    /// How many questions until now, of those who speak UDP, are never answered.
    pub(crate) async fn lost(&self) -> usize {
        let open: Vec<BTreeSet<u32>> = self.lives().into_iter().map(|life| life.open).collect();
        sleep(Duration::from_secs(1)).await;
        let lives = self.lives();
        let lost =
            open.iter().zip(&lives).map(|(open, life)| open.intersection(&life.open).count());
        lost.sum()
    }

    /// Waits until all of something.
    pub(crate) async fn wait<T>(
        &self,
        limit: Duration,
        what: &str,
        all: impl Fn(&Self) -> Option<T>,
    ) -> Result<T> {
        let start = Instant::now();
        loop {
            if let Some(found) = all(self) {
                return Ok(found);
            }
            if start.elapsed() > limit {
                let lives = self.lives();
                let done = |is: fn(&Life) -> bool| lives.iter().filter(|life| is(life)).count();
                let (ended, again) = (done(|l| l.end.is_some()), done(|l| l.again.is_some()));
                let all = lives.len();
                bail!("{what}: not within {limit:?}; of {all}: {ended} ended, {again} again");
            }
            sleep(Duration::from_millis(10)).await;
        }
    }
}

fn answered_after(life: &Life, event: Instant) -> Option<Duration> {
    let before = life.answers.iter().rev().find(|at| **at <= event);
    let after = life.answers.iter().filter(|at| **at > event);
    let mut last = before.copied().unwrap_or(event);
    let mut longest = (Duration::ZERO, None);
    for answer in after {
        if last.saturating_duration_since(event) > Duration::from_secs(2) {
            break;
        }
        let gap = answer.saturating_duration_since(last);
        if gap > longest.0 {
            longest = (gap, Some(*answer));
        }
        last = *answer;
    }
    // Answers that were under way at the cut still arrive; silence is what comes then.
    longest.1.map(|at| at.saturating_duration_since(event))
}

/// Connects and is answered once.
async fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    stream.write_all(b"?").await?;
    stream.read_exact(&mut [0]).await?;
    Ok(stream)
}

async fn tcp(server: SocketAddr, habit: Habit, diary: Diary) {
    let Ok(stream) = connect(server).await else { return };
    diary.note(|life| life.begun = true);
    let error = live(stream, habit, &diary).await;
    diary.note(|life| life.end = Some((Instant::now(), error.kind())));
    loop {
        // A SYN that is lost is sent again by the kernel after a second.
        match timeout(Duration::from_secs(8), connect(server)).await {
            Ok(Ok(stream)) => {
                diary.note(|life| life.again = Some(Instant::now()));
                // Kept, as a real client would.
                let _ = live(stream, Habit::Idle, &diary).await;
                return;
            }
            Ok(Err(_)) => diary.note(|life| life.refused += 1),
            Err(_) => {}
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Uses a connection until it ends.
async fn live(stream: TcpStream, habit: Habit, diary: &Diary) -> io::Error {
    let (mut from, mut to) = stream.into_split();
    let talk = async {
        match habit {
            Habit::Idle => std::future::pending().await,
            Habit::Talks(every) => {
                let mut ticks = interval(every);
                loop {
                    ticks.tick().await;
                    if let Err(error) = to.write_all(b"?").await {
                        return error;
                    }
                }
            }
        }
    };
    let listen = async {
        let mut buffer = [0; 512];
        loop {
            match from.read(&mut buffer).await {
                Ok(0) => return ErrorKind::UnexpectedEof.into(),
                Ok(_) => diary.note(|life| life.answers.push(Instant::now())),
                Err(error) => return error,
            }
        }
    };
    tokio::select! {
        error = talk => error,
        error = listen => error,
    }
}

async fn udp(server: SocketAddr, every: Duration, diary: &Diary) -> io::Result<()> {
    let any: IpAddr = if server.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
    socket.connect(server).await?;
    let mut ticks = interval(every);
    let mut buffer = [0; 4];
    let mut number = 0_u32;
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                number += 1;
                diary.note(|life| {
                    life.open.insert(number);
                });
                let _ = socket.send(&number.to_be_bytes()).await;
            }
            Ok(4) = socket.recv(&mut buffer) => diary.note(|life| {
                life.begun = true;
                life.open.remove(&u32::from_be_bytes(buffer));
                life.answers.push(Instant::now());
            }),
        }
    }
}

async fn dial(server: SocketAddr, every: Duration, diary: Diary) {
    let mut ticks = interval(every);
    loop {
        ticks.tick().await;
        let diary = diary.clone();
        tokio::spawn(async move {
            match timeout(Duration::from_secs(8), TcpStream::connect(server)).await {
                Ok(Ok(_)) => diary.note(|life| {
                    life.begun = true;
                    life.answers.push(Instant::now());
                }),
                Ok(Err(_)) | Err(_) => diary.note(|life| life.refused += 1),
            }
        });
    }
}

/// The echo server in both IP versions.
pub(crate) const BOTH: [IpAddr; 2] = [ECHO4, ECHO6];
