//! However much of others' there is on the box: it is none of the agent's business, and costs it nothing.

use std::fs::{read_to_string, remove_file, write};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use sparelink::daemon::LAST_RECORDING;
use sparelink::lab::agent::{Agent, Status, config};
use sparelink::lab::script::{LineEvent, Settings};
use sparelink::lab::topology::{Home, Plan};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::figure;
use crate::http::PORT;
use crate::rest::{rss_kb, ticks};
use crate::stage::{SOON, Stage, file, shell, with_environment};

crate::tests![
    thousands_of_routes_of_others,
    one_who_asks_all_the_time,
    a_disk_that_takes_seconds,
    a_disk_that_fails,
    an_answer_is_given_when_the_kernel_has_followed,
];

/// Routes of others: so many in a table of their own, as many in `main` by a spare's gateway, and as many
/// of IPv6 as its router advertisements would make.
const ROUTES: u32 = 60_000;
/// In which CPU time is counted.
const REST: Duration = Duration::from_secs(8);

/// What the agent takes while nothing happens: percent of a core and kB.
pub(crate) async fn at_rest(stage: &Stage, span: Duration) -> Result<(f64, u64)> {
    let pid = stage.agent.pid();
    let before = ticks(pid)?;
    sleep(span).await;
    // USER_HZ is 100 wherever Linux runs a shell.
    let percent = (ticks(pid)? - before) as f64 / span.as_secs_f64();
    Ok((percent, rss_kb(pid)?))
}

/// The recording that is cut out some seconds after this many switches.
pub(crate) async fn recording_of(stage: &Stage, switches: usize) -> Result<String> {
    let recording = stage.agent.run_dir().join(LAST_RECORDING);
    let kept = async {
        loop {
            let text = read_to_string(&recording).unwrap_or_default();
            if text.matches("\"switched\"").count() >= switches {
                return text;
            }
            sleep(Duration::from_millis(200)).await;
        }
    };
    timeout(SOON * 2, kept).await.context("the recording begins after the first switch")
}

/// Severs the cable and, when both IP versions have left it, brings it back: the gap that the client felt.
pub(crate) async fn failover(stage: &mut Stage) -> Result<Duration> {
    let severed = stage.happens("cable", LineEvent::Sever).await?;
    stage.on("mifi").await?;
    let gap = stage.gap_after(severed).await?;
    let both = |status: &Status| status.active6.as_deref() == Some("mifi");
    stage.agent.wait(SOON, "IPv6 on the MiFi", both).await?;
    stage.happens("cable", LineEvent::Restore).await?;
    stage.on("cable").await?;
    stage.agent.wait_proven(SOON).await?;
    Ok(gap)
}

/// The routes, as lines for `ip -batch`.
fn routes() -> (String, String) {
    let prefixes =
        (0..ROUTES).map(|n| format!("{}.{}.{}.0/24", 20 + (n >> 16), (n >> 8) & 255, n & 255));
    let v4: String = prefixes
        .map(|prefix| {
            let by = "via 192.168.12.1 dev wlan0";
            format!("route add {prefix} {by} table 100\nroute add {prefix} {by} proto ra\n")
        })
        .collect();
    let v6 =
        (0..ROUTES / 5).map(|n| format!("route add 2001:db8:{n:x}:7::/64 dev wlan0 proto ra\n"));
    (v4, v6.collect())
}

async fn thousands_of_routes_of_others() -> Result<()> {
    // A line that is back within seconds of the verdict is given more time the next time; here every
    // failover has the same.
    let windows = vec![(None, Duration::from_millis(600))];
    let settings = Settings { windows, ..Settings::default() };
    let home = Home::build(&Plan::default()).await?;
    let mut stage = Stage::in_home(home, settings, &[]).await?;
    let alone = failover(&mut stage).await?;
    let (percent_alone, rss_alone) = at_rest(&stage, REST).await?;

    let (v4, v6) = routes();
    let names = [file("routes-of-others"), file("routes-of-others6")];
    write(&names[0], v4)?;
    write(&names[1], v6)?;
    let [four, six] = names.each_ref().map(|name| name.display());
    let begun = Instant::now();
    let script =
        format!("ip -batch {four}; ip -6 -batch {six}; ip -4 route show table 100 | wc -l");
    let there = shell(&stage.home.router, &script).await?;
    ensure!(there.trim().parse::<u32>()? == ROUTES, "control: {there} routes are there");
    let (added, switched) = (begun.elapsed(), stage.json().await?["active"].clone());
    let flows = stage.meter.flows(begun, Instant::now());
    ensure!(switched == "cable", "it moved to {switched}");
    sleep(Duration::from_secs(2)).await;

    let (percent, rss) = at_rest(&stage, REST).await?;
    let among = failover(&mut stage).await?;
    let late = stage.agent.status().await?.loop_gap_ms;
    let kept = recording_of(&stage, 4).await?;
    let header = kept.lines().next().map_or(0, str::len);
    figure(&format!(
        "{} routes of others, there after {:.1} s ({} of {} new flows lost meanwhile): failover {} ms, \
         {} ms without; CPU {percent:.1} %, {percent_alone:.1} % without; RSS {:.1} MB, {:.1} MB without; \
         loop late by {late:.1} ms; recording {} kB, its header {} kB",
        ROUTES * 2 + ROUTES / 5,
        added.as_secs_f64(),
        flows.lost,
        flows.sent,
        among.as_millis(),
        alone.as_millis(),
        rss as f64 / 1e3,
        rss_alone as f64 / 1e3,
        kept.len() / 1000,
        header / 1000,
    ));
    let first: Value = serde_json::from_str(kept.lines().nth(1).context("an empty recording")?)?;
    ensure!(first.get("in").is_some() || first.get("out").is_some(), "not a line: {first}");
    ensure!(header < 500_000, "the header of the recording is {header} bytes");
    ensure!(rss <= rss_alone + 6000, "RSS {rss} kB, {rss_alone} kB without");
    ensure!(percent <= percent_alone + 5.0, "CPU {percent:.1} %, {percent_alone:.1} % without");
    ensure!(among <= alone + Duration::from_millis(700), "failover {among:?}, {alone:?} without");
    Ok(())
}

/// Connections that ask, each as soon as it is answered.
const ASKERS: usize = 12;
/// For so long.
const ASKING: Duration = Duration::from_secs(4);

/// Asks for the status on one connection until it is told to stop; how many answers came.
async fn keeps_asking(until: Instant) -> Result<usize> {
    let lan = SocketAddr::from(([192, 168, 77, 1], PORT));
    let mut stream = TcpStream::connect(lan).await?;
    let mut buffer = vec![0; 64 * 1024];
    let mut answers = 0;
    while Instant::now() < until {
        stream.write_all(b"GET /api/v1/status HTTP/1.1\r\nHost: 192.168.77.1:8300\r\n\r\n").await?;
        let mut got = Vec::new();
        // The answer ends with its JSON's last brace.
        while !got.ends_with(b"}") {
            let length = stream.read(&mut buffer).await?;
            ensure!(length > 0, "closed after {answers} answers");
            got.extend_from_slice(&buffer[..length]);
        }
        ensure!(got.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&got));
        answers += 1;
    }
    Ok(answers)
}

async fn one_who_asks_all_the_time() -> Result<()> {
    let path = file("asked.jsonl");
    let mut stage = Stage::with(&["--record", &path.display().to_string()]).await?;
    let until = Instant::now() + ASKING;
    let askers: Vec<_> =
        (0..ASKERS).map(|_| stage.home.client.spawn(keeps_asking(until))).collect();
    let mut answers = 0;
    for asker in askers {
        answers += asker.await??;
    }
    let late = stage.agent.status().await?.loop_gap_ms;
    stage.agent.end(Signal::SIGTERM).await?;
    let watched = read_to_string(&path)?.matches("\"watched\"").count();
    figure(&format!(
        "{answers} answers in {ASKING:?}, {watched} of them in the recording, loop late by {late:.1} ms"
    ));
    ensure!(answers > ASKERS * 20, "control: they were answered: {answers}");
    ensure!(answers < 8000, "nobody needs {answers} answers");
    ensure!(watched <= 60, "{watched} questions are in the recording");
    Ok(())
}

async fn a_disk_that_takes_seconds() -> Result<()> {
    let slow = with_environment("slow-disk", &[("SPARELINK_SLOW_DISK_MS", "3000")])?;
    let home = Home::build(&Plan::default()).await?;
    let text = config(&Plan::default(), &Settings::default());
    // The first sysctls are written down before the first route is made.
    let begun = Instant::now();
    let mut agent = Agent::start(&home, &slow, &text).await?;
    while !shell(&home.router, "ip route show table all").await?.contains("table 8300") {
        ensure!(begun.elapsed() < Duration::from_millis(2500), "no route 2.5 s after the start");
        sleep(Duration::from_millis(20)).await;
    }
    let routed = begun.elapsed();
    agent.end(Signal::SIGKILL).await?;
    let mut stage = Stage::configured(home, text, &slow, &[]).await?;
    // What people choose is kept on disk.
    let begun = Instant::now();
    stage.agent.must(&["pause", "phone"]).await?;
    let answered = begun.elapsed();
    let severed = stage.happens("cable", LineEvent::Sever).await?;
    stage.on("mifi").await?;
    let moved = stage.gap_after(severed).await?;
    let late = stage.agent.status().await?.loop_gap_ms;
    figure(&format!(
        "first route after {} ms, answered after {} ms, on the other uplink after {} ms, \
         loop late by {late:.1} ms",
        routed.as_millis(),
        answered.as_millis(),
        moved.as_millis()
    ));
    ensure!(answered < Duration::from_millis(2500), "a person waited {answered:?}");
    ensure!(moved < Duration::from_millis(2500), "{moved:?} until the other uplink carried");
    ensure!(late < 1000.0, "the loop was late by {late} ms");
    // Written in the end.
    let run = stage.agent.run_dir().join("run.json");
    let kept = async {
        while !read_to_string(&run).unwrap_or_default().contains("phone") {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(SOON, kept).await.context("never kept on disk")?;
    Ok(())
}

async fn a_disk_that_fails() -> Result<()> {
    let broken = file("disk-is-broken");
    // Left by a run before.
    drop(remove_file(&broken));
    let name = broken.display().to_string();
    let program = with_environment("broken-disk", &[("SPARELINK_BROKEN_DISK", &name)])?;
    let home = Home::build(&Plan::default()).await?;
    let text = config(&Plan::default(), &Settings::default());
    let mut stage = Stage::configured(home, text, &program, &[]).await?;
    write(&broken, "")?;
    stage.agent.must(&["pause", "phone"]).await?;
    stage.happens("cable", LineEvent::Sever).await?;
    stage.on("mifi").await?;
    let run = stage.agent.run_dir().join("run.json");
    let kept = || read_to_string(&run).unwrap_or_default();
    ensure!(!kept().contains("\"phone\":["), "control: the disk fails: {}", kept());
    remove_file(&broken)?;
    stage.agent.must(&["resume", "phone"]).await?;
    stage.agent.must(&["pause", "phone"]).await?;
    let written = async {
        while !kept().contains("\"phone\":[") {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(SOON, written).await.with_context(|| format!("never kept on disk: {}", kept()))?;
    Ok(())
}

async fn an_answer_is_given_when_the_kernel_has_followed() -> Result<()> {
    let stage = Stage::new().await?;
    let mut early = 0;
    for n in 0..20 {
        let (to, dev) = if n % 2 == 0 { ("mifi", "usb0") } else { ("cable", "wan0") };
        stage.agent.must(&["switch", to]).await?;
        let table = shell(&stage.home.router, "ip -4 route show table 8300 metric 1").await?;
        ensure!(table.contains("default"), "control: {table}");
        early += usize::from(!table.contains(&format!("dev {dev} ")));
    }
    figure(&format!("{early} of 20 answers came before the kernel had changed"));
    ensure!(early == 0, "{early} of 20 answers came before the kernel had changed");
    Ok(())
}
