//! More flows than a home ever has: entries that are written into the router's conntrack.

use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use netlink_sys::{Socket, SocketAddr};
use nix::sys::socket::{MsgFlags, recv, send, setsockopt, sockopt};
use sparelink::engine::input::{FlushReport, Input};
use sparelink::engine::kernel::flow::FlushScope;
use sparelink::engine::output::FlushRequest;
use sparelink::io::flows::Flows;
use sparelink::io::netlink::attrs::Attrs;
use sparelink::io::netlink::conntrack::Conntrack;
use sparelink::lab::netns::Netns;
use sparelink::lab::script::{LineEvent, Settings};
use sparelink::lab::topology::{CLIENT, Home, Plan};
use sparelink::units::{Family, Fwmark, UplinkId};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::stage::{SOON, Stage, file};
use crate::{figure, skip};

crate::tests![a_full_table_is_flushed_in_time, a_full_table_at_a_failover,];

const MANY: usize = 50_000;
/// How many of them are TCP connections.
const TCP: usize = 5_000;
/// Flows on another uplink, which stay.
const OTHERS: usize = 1_000;

/// Conntrack and its messenger alone: the flush, and the whole work.
async fn a_full_table_is_flushed_in_time() -> Result<()> {
    let router = Netns::new("router").await?;
    if !has_room(&router).await? {
        return Ok(());
    }
    let work = async {
        let (first, second) = (uplink(1), uplink(2));
        let mut conntrack = Conntrack::open()?;
        inject(first.mark(), MANY)?;
        inject(second.mark(), OTHERS)?;
        let start = Instant::now();
        conntrack.flush(first.mark(), Family::V4)?;
        let flush = start.elapsed();
        ensure!(left(&mut conntrack, first)? == 0, "some were left");
        ensure!(left(&mut conntrack, second)? == OTHERS as u64, "others were flushed too");

        inject(first.mark(), MANY)?;
        let (done, mut inputs) = mpsc::channel(4);
        let flows = Flows::start(done)?;
        let start = Instant::now();
        flows.flush(FlushRequest {
            uplink: first,
            family: Family::V4,
            scope: FlushScope::All,
            own: Vec::new(),
            near: Vec::new(),
        });
        let report = report(&mut inputs).await?;
        let whole = start.elapsed();
        ensure!(report.flows == MANY as u64 && report.error.is_none(), "{report:?}");
        ensure!(left(&mut conntrack, first)? == 0, "some were left");
        ensure!(left(&mut conntrack, second)? == OTHERS as u64, "others were flushed too");
        anyhow::Ok((flush, report.took, whole))
    };
    let (flush, listed_too, whole) = router.run(work).await??;
    let ms = |time: Duration| time.as_millis();
    figure(&format!(
        "{MANY} flows (at most 300 ms): flush {} ms, with the list {} ms, all of the work {} ms",
        ms(flush),
        ms(listed_too),
        ms(whole)
    ));
    ensure!(flush < Duration::from_secs(2), "the flush took {flush:?}");
    Ok(())
}

/// The whole agent, with a client that keeps asking.
async fn a_full_table_at_a_failover() -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    if !has_room(&home.router).await? {
        return Ok(());
    }
    let mut stage = Stage::in_home(home, Settings::default(), &["--verbose"]).await?;
    let mark = uplink(1).mark();
    let fill = async move { inject(mark, MANY) };
    stage.home.router.run(fill).await??;
    let before = stage.agent.status().await?.loop_gap_ms;
    let cut = stage.happens("cable", LineEvent::Unplug).await?;
    stage.on("mifi").await?;
    let words = flushed(&stage).await?;
    let gap = stage.meter.longest_hole(cut, Instant::now());
    let count = async move {
        let mut conntrack = Conntrack::open()?;
        left(&mut conntrack, uplink(1))
    };
    let left = stage.home.router.run(count).await??;
    let delay = stage.agent.status().await?.loop_gap_ms;
    figure(&format!("{words}; the client's longest gap {} ms", gap.as_millis()));
    figure(&format!("the loop was at most {delay:.1} ms late (at most 100; before: {before:.1})"));
    // Probes on the dead uplink, which go on.
    ensure!(left < 100, "{left} flows were left");
    ensure!(delay < 500.0, "the loop stood still for {delay} ms");
    Ok(())
}

/// What the agent's log says of the large flush.
async fn flushed(stage: &Stage) -> Result<String> {
    let start = Instant::now();
    loop {
        let log = std::fs::read_to_string(file("agent.log"))?;
        let number = |line: &str, word: &str| -> Option<u64> {
            let rest = &line[line.find(word)? + word.len()..];
            rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        };
        let large = |line: &&str| number(line, " flows=").is_some_and(|flows| flows >= MANY as u64);
        // Nobody is there who could be told, so the words may end here.
        let large_event = |line: &str| {
            let (before, _) = line.split_once(" flows of cable flushed")?;
            let flows: u64 = before.rsplit(' ').next()?.parse().ok()?;
            (flows >= MANY as u64).then(|| number(line, "flushed; ").unwrap_or(0))
        };
        let told = log.lines().find_map(large_event);
        if let (Some(line), Some(told)) = (log.lines().find(large), told) {
            let ms = |word| number(line, word).map_or(0, |micros| micros / 1000);
            let flows = number(line, " flows=").unwrap_or(0);
            let (listed, flushed) = (ms(" listed="), ms(" flushed="));
            return Ok(format!(
                "{flows} flows listed in {listed} ms, flushed in {flushed} ms, {told} clients told"
            ));
        }
        ensure!(start.elapsed() < SOON, "no such flush: {}", stage.agent.last_words());
        sleep(Duration::from_millis(50)).await;
    }
}

fn uplink(number: u8) -> UplinkId {
    UplinkId::new(number).expect("a small number")
}

async fn report(inputs: &mut mpsc::Receiver<Input>) -> Result<FlushReport> {
    match timeout(SOON, inputs.recv()).await.context("no report")? {
        Some(Input::Flushed(report)) => Ok(report),
        other => anyhow::bail!("not a report: {other:?}"),
    }
}

fn left(conntrack: &mut Conntrack, uplink: UplinkId) -> Result<u64> {
    let counts = conntrack.count_by(Fwmark::UPLINK_MASK, &[])?;
    Ok(counts.get(&uplink.mark().value).map_or(0, |count| (count.v4 + count.v6).flows))
}

/// Whether this machine tracks that many flows; it says so if not.
async fn has_room(router: &Netns) -> Result<bool> {
    let max: usize = router.read_sysctl("net/netfilter/nf_conntrack_max").await?.parse()?;
    let is_enough = max > 2 * MANY;
    if !is_enough {
        skip(&format!("this machine tracks {max} flows only (nf_conntrack_max)"));
    }
    Ok(is_enough)
}

/// Writes flows of the LAN client into conntrack (`IPCTNL_MSG_CT_NEW`), masqueraded, of which a
/// tenth are TCP connections.
fn inject(mark: Fwmark, count: usize) -> Result<()> {
    const NETFILTER: isize = 12;
    const NEW: u16 = 1 << 8;
    // NLM_F_REQUEST, NLM_F_CREATE, NLM_F_EXCL
    const FLAGS: u16 = 0x1 | 0x400 | 0x200;
    /// Messages in one datagram.
    const TOGETHER: usize = 100;
    let mut socket = Socket::new(NETFILTER)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    setsockopt(&socket, sockopt::SndBuf, &(1 << 20))?;
    let numbers: Vec<usize> = (0..count).collect();
    for some in numbers.chunks(TOGETHER) {
        let mut bytes = Vec::new();
        for number in some {
            let body = entry(mark, *number)?;
            let body = body.as_bytes();
            bytes.extend(u32::try_from(20 + body.len())?.to_ne_bytes());
            bytes.extend(NEW.to_ne_bytes());
            bytes.extend(FLAGS.to_ne_bytes());
            bytes.extend([0; 8]);
            // NFPROTO_IPV4
            bytes.extend([2, 0, 0, 0]);
            bytes.extend(body);
        }
        send(socket.as_raw_fd(), &bytes, MsgFlags::empty())?;
        // Nothing is answered but errors.
        let mut answer = [0; 512];
        if let Ok(length) = recv(socket.as_raw_fd(), &mut answer, MsgFlags::MSG_DONTWAIT) {
            let code = answer.get(16..20.min(length)).and_then(|code| code.try_into().ok());
            let code = code.map_or(0, i32::from_ne_bytes);
            return Err(io::Error::from_raw_os_error(-code)).context("writing a flow");
        }
    }
    Ok(())
}

/// One flow, as ctnetlink has it (linux/netfilter/nfnetlink_conntrack.h).
fn entry(mark: Fwmark, number: usize) -> Result<Attrs> {
    const UDP: u8 = 17;
    let client: std::net::Ipv4Addr = CLIENT.parse()?;
    let number = u32::try_from(number)?;
    // Thousands of ports to some servers each.
    let port = 10_000 + u16::try_from(number % 50_000)?;
    let server = [198, 51, u8::try_from(mark.value >> 24)?, u8::try_from(number % 200)?];
    let protocol = if (number as usize) < TCP { 6 } else { UDP };
    let tuple = |src: [u8; 4], dst: [u8; 4], sport: u16, dport: u16| {
        let ip = Attrs::new().bytes(1, &src).bytes(2, &dst);
        let ports = Attrs::new().bytes(1, &[protocol]);
        let ports = ports.bytes(2, &sport.to_be_bytes()).bytes(3, &dport.to_be_bytes());
        Attrs::new().nest(1, &ip).nest(2, &ports)
    };
    let attrs = Attrs::new()
        .nest(1, &tuple(client.octets(), server, port, 443))
        .nest(2, &tuple(server, [192, 168, 10, 2], 443, port))
        .be32(7, 600)
        .be32(8, mark.value);
    let established = Attrs::new().nest(1, &Attrs::new().bytes(1, &[3]));
    Ok(if protocol == UDP { attrs } else { attrs.nest(4, &established) })
}
