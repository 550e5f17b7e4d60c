//! A crowd at the page: connections that say nothing, or say it slowly, and many that watch. The loop
//! must not notice.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sparelink::lab::script::{LineEvent, Settings};
use sparelink::lab::topology::{Home, Plan};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::figure;
use crate::http::{PORT, get, watch_from};
use crate::rest::rss_kb;
use crate::stage::{SOON, Stage};

crate::tests![
    #[ignore = "long: two minutes and more"]
    a_crowd_at_the_page_for_two_minutes,
    a_crowd_at_the_page,
];

const LAN: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 77, 1));
/// Machines from which the crowd comes: each has its own slots.
const MACHINES: u8 = 10;
/// Those who watch.
const WATCHERS: usize = 16;
/// A busy machine makes single failovers slow; a crowd that disturbs makes all of them slow.
const AT_MOST: f64 = 1.2;

/// The address of a machine in the LAN.
fn machine(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 77, 100 + n)
}

/// Connections that stay as long as they may and come again, from several machines.
struct Crowd {
    tasks: JoinSet<()>,
    begun: Arc<AtomicUsize>,
}

impl Crowd {
    fn gather(home: &Home, size: usize) -> Result<Self> {
        let begun = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        for n in 0..size {
            let from = machine(u8::try_from(n % usize::from(MACHINES))?);
            let (count, slow) = (begun.clone(), n % 2 == 0);
            let one = home.client.spawn(async move {
                loop {
                    if stay(from, slow).await.is_ok() {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                    sleep(Duration::from_secs(1)).await;
                }
            });
            tasks.spawn(async move { drop(one.await) });
        }
        Ok(Self { tasks, begun })
    }
}

/// One connection of the crowd, until it is let go.
async fn stay(from: Ipv4Addr, slow: bool) -> Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((from, 0)))?;
    let mut stream = socket.connect(SocketAddr::new(LAN, PORT)).await?;
    if slow {
        for byte in b"GET / HTTP/1.1\r\nHost: 192.168.77.1\r\nX: ".iter().cycle() {
            stream.write_all(&[*byte]).await?;
            sleep(Duration::from_millis(250)).await;
        }
    }
    let mut end = Vec::new();
    stream.read_to_end(&mut end).await?;
    Ok(())
}

/// Severs the cable and brings it back, so many times; the gaps that the client felt, in order.
async fn failovers(stage: &mut Stage, times: usize) -> Result<Vec<Duration>> {
    let mut gaps = Vec::new();
    for _ in 0..times {
        let severed = stage.happens("cable", LineEvent::Sever).await?;
        stage.on("mifi").await?;
        gaps.push(stage.gap_after(severed).await?);
        stage.happens("cable", LineEvent::Restore).await?;
        stage.on("cable").await?;
        stage.agent.wait_proven(SOON).await?;
    }
    gaps.sort();
    Ok(gaps)
}

fn median(gaps: &[Duration]) -> f64 {
    gaps[gaps.len() / 2].as_secs_f64()
}

async fn machines(home: &Home) -> Result<()> {
    for n in 0..MACHINES {
        home.client.address("eth0", &format!("{}/24", machine(n))).await?;
    }
    Ok(())
}

/// Failovers without and with a crowd and those who watch.
async fn crowd(size: usize, times: usize, at_least: Duration) -> Result<(f64, f64)> {
    // A line that is back within seconds of the verdict is given more time the next time; here every
    // failover has the same.
    let windows = vec![(None, Duration::from_millis(600))];
    let settings = Settings { windows, ..Settings::default() };
    let home = Home::build(&Plan::default()).await?;
    let mut stage = Stage::in_home(home, settings, &[]).await?;
    machines(&stage.home).await?;
    let alone = failovers(&mut stage, times).await?;
    let mut watchers = Vec::new();
    for n in 0..WATCHERS {
        // Half a dozen on each of a few machines that are not of the crowd.
        let own = Ipv4Addr::new(192, 168, 77, 90 + u8::try_from(n / 6)?);
        if n % 6 == 0 {
            stage.home.client.address("eth0", &format!("{own}/24")).await?;
        }
        watchers.push(watch_from(&stage.home.client, Some(own), LAN).await?);
    }
    let quiet = rss_kb(stage.agent.pid())?;
    let mut crowd = Crowd::gather(&stage.home, size)?;
    sleep(Duration::from_secs(2)).await;
    let begun = Instant::now();
    let (mut gaps, mut late) = (Vec::new(), Vec::new());
    while gaps.len() < times || begun.elapsed() < at_least {
        gaps.extend(failovers(&mut stage, 1).await?);
        late.push(stage.agent.status().await?.loop_gap_ms);
    }
    gaps.sort();
    late.sort_by(f64::total_cmp);
    let full = rss_kb(stage.agent.pid())?;
    // Somebody who is not of the crowd still gets the page.
    let answer = get(&stage.home.client, LAN, "/api/v1/status").await?;
    ensure!(answer.status == 200, "the page does not answer: {}", answer.status);
    for (n, watcher) in watchers.iter_mut().enumerate() {
        let (mut seen, mut states) = (false, 0);
        while let Ok(event) = watcher.try_recv() {
            states += 1;
            seen |= event.name == "status" && event.data["active"] == "mifi";
        }
        ensure!(seen, "watcher {n} saw {states} events and missed the failovers");
        timeout(SOON, watcher.recv()).await?.context("a stream ended")?;
    }
    crowd.tasks.abort_all();
    let (alone, crowded) = (median(&alone), median(&gaps));
    let came = crowd.begun.load(Ordering::Relaxed);
    figure(&format!(
        "median failover {:.0} ms alone, {:.0} ms with {size} slow connections ({came} were let go) and \
         {WATCHERS} who watch; loop late by at most {:.1} ms in half of the failovers, {:.1} ms in all; \
         RSS {:.1} MB with those who watch, {:.1} MB with the crowd",
        alone * 1e3,
        crowded * 1e3,
        late[late.len() / 2],
        late[late.len() - 1],
        quiet as f64 / 1e3,
        full as f64 / 1e3
    ));
    ensure!(came > size / 4, "control: the crowd came: {came}");
    Ok((alone, crowded))
}

async fn a_crowd_at_the_page_for_two_minutes() -> Result<()> {
    let (alone, crowded) = crowd(500, 9, Duration::from_secs(120)).await?;
    // A tenth of a second is the machine's own noise.
    ensure!(crowded <= alone * AT_MOST + 0.1, "{crowded:.3} s instead of {alone:.3} s");
    Ok(())
}

async fn a_crowd_at_the_page() -> Result<()> {
    let (_, crowded) = crowd(200, 1, Duration::ZERO).await?;
    // One failover says little about the time it takes; that it happens says enough.
    ensure!(crowded <= 3.0, "{crowded:.3} s");
    Ok(())
}
