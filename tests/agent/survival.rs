//! The agent dies, or all lines do.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::StreamExt;
use netlink_packet_core::NetlinkPayload;
use netlink_packet_route::RouteNetlinkMessage as Message;
use netlink_packet_route::route::RouteProtocol;
use netlink_packet_route::rule::RuleAttribute;
use nix::sys::signal::Signal;
use rtnetlink::MulticastGroup;
use sparelink::io::netlink::conntrack::Conntrack;
use sparelink::io::netlink::nft::Nft;
use sparelink::lab::agent::Status;
use sparelink::lab::script::LineEvent;
use sparelink::lab::topology::Home;
use sparelink::units::Fwmark;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::figure;
use crate::kernel::OURS;
use crate::stage::{PROVEN, SOON, Stage};

crate::tests![
    killed_and_started_again_without_losing_a_packet,
    stopped_and_started_again_without_losing_a_packet,
    when_all_lines_are_dead_it_keeps_trying_and_flushes_nothing,
];

/// How long the box is without an agent.
const DEAD: Duration = Duration::from_secs(2);

async fn killed_and_started_again_without_losing_a_packet() -> Result<()> {
    ends_and_starts(Signal::SIGKILL).await
}

async fn stopped_and_started_again_without_losing_a_packet() -> Result<()> {
    ends_and_starts(Signal::SIGTERM).await
}

async fn ends_and_starts(signal: Signal) -> Result<()> {
    let mut stage = Stage::new().await?;
    let writes = Writes::watch(&stage.home).await?;
    once(&mut stage, signal, "cable", &writes).await.context("on the first uplink")?;
    ensure!(writes.all().is_empty(), "control: somebody writes all the time");
    stage.happens("cable", LineEvent::Sever).await?;
    stage.on("mifi").await?;
    sleep(Duration::from_secs(2)).await;
    ensure!(!writes.all().is_empty(), "control: a switch is seen as a write");
    once(&mut stage, signal, "mifi", &writes).await.context("on the second uplink")
}

/// The agent ends and comes back: nobody notices, and nothing that was right is written again.
async fn once(stage: &mut Stage, signal: Signal, uplink: &str, writes: &Writes) -> Result<()> {
    writes.forget();
    let generation = generation(&stage.home).await?;
    let begun = Instant::now();
    stage.agent.end(signal).await?;
    sleep(DEAD).await;
    stage.start_again().await?;
    stage.on(uplink).await?;
    sleep(Duration::from_secs(4)).await;
    ensure!(
        stage.agent.status().await?.active.as_deref() == Some(uplink),
        "it did not stay on {uplink}"
    );
    stage.nothing_lost_since(begun).await?;
    let written = writes.all();
    ensure!(written.is_empty(), "written although right:\n{}", written.join("\n"));
    // After a failover the set that resets stale connections is armed; a new agent disarms it.
    let now = self::generation(&stage.home).await?;
    ensure!(uplink != "cable" || now == generation, "nftables was changed although it was right");
    Ok(())
}

async fn generation(home: &Home) -> Result<u32> {
    let read = async { Nft::open()?.generation() };
    Ok(home.router.run(read).await??)
}

/// What is written with our protocol number.
struct Writes(Arc<Mutex<Vec<String>>>);

impl Writes {
    async fn watch(home: &Home) -> Result<Self> {
        let all = Arc::new(Mutex::new(Vec::new()));
        let seen = all.clone();
        let watch = async move {
            use MulticastGroup::{Ipv4Route, Ipv4Rule, Ipv6Route, Ipv6Rule};
            let groups = [Ipv4Route, Ipv4Rule, Ipv6Route, Ipv6Rule];
            let (connection, _, mut events) = rtnetlink::new_multicast_connection(&groups)?;
            tokio::spawn(connection);
            tokio::spawn(async move {
                while let Some((event, _)) = events.next().await {
                    if let NetlinkPayload::InnerMessage(message) = event.payload
                        && is_ours(&message)
                    {
                        seen.lock().expect("no panics").push(format!("{message:?}"));
                    }
                }
            });
            anyhow::Ok(())
        };
        home.router.run(watch).await??;
        Ok(Self(all))
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().expect("no panics").clone()
    }

    fn forget(&self) {
        self.0.lock().expect("no panics").clear();
    }
}

fn is_ours(message: &Message) -> bool {
    let ours = RouteProtocol::Other(OURS);
    if let Message::NewRoute(route) | Message::DelRoute(route) = message {
        return route.header.protocol == ours;
    }
    if let Message::NewRule(rule) | Message::DelRule(rule) = message {
        return rule.attributes.contains(&RuleAttribute::Protocol(ours));
    }
    false
}

async fn when_all_lines_are_dead_it_keeps_trying_and_flushes_nothing() -> Result<()> {
    let mut stage = Stage::new().await?;
    let mut call = Call::begin(&stage.home).await?;
    ensure!(call.answers().await, "control: the call works");
    // The spares die first, so that there is never a living one to move to.
    let all = ["phone", "mifi", "cable"];
    let mut longest = Duration::ZERO;
    for back in ["cable", "mifi", "phone"] {
        for uplink in all {
            stage.happens(uplink, LineEvent::Sever).await?;
        }
        let none = |status: &Status| status.active.is_none() && status.active6.is_none();
        stage.agent.wait(SOON, "no way out", none).await?;
        if back == "cable" {
            let code = stage.command(&["status"]).await?.must(1)?;
            ensure!(code.out.contains("cable"), "{code:?}");
        }
        sleep(Duration::from_secs(4)).await;
        if back == "cable" {
            ensure!(calls_in_conntrack(&stage.home).await? > 0, "the call's entry was flushed");
        }
        let begun = stage.happens(back, LineEvent::Restore).await?;
        stage.on(back).await?;
        let gap = stage.gap_after(begun).await.with_context(|| format!("{back} is back"))?;
        longest = longest.max(gap);
        ensure!(gap < Duration::from_secs(10), "{back} was used after {gap:?} only");
        if back == "cable" {
            ensure!(call.answers().await, "the call did not survive");
        }
        for uplink in all {
            stage.happens(uplink, LineEvent::Restore).await?;
        }
        stage.agent.wait_proven(PROVEN).await?;
        stage.on("cable").await?;
    }
    figure(&format!("at most {:.1} s after a return", longest.as_secs_f64()));
    Ok(())
}

/// A TCP connection from the LAN, to the echo server.
struct Call {
    stream: TcpStream,
}

impl Call {
    async fn begin(home: &Home) -> Result<Self> {
        let dial = TcpStream::connect((sparelink::lab::topology::ECHO4, 7));
        Ok(Self { stream: home.client.run(dial).await?? })
    }

    async fn answers(&mut self) -> bool {
        let exchange = async {
            self.stream.write_all(b"hello?").await?;
            self.stream.read_exact(&mut [0; 6]).await
        };
        matches!(timeout(Duration::from_secs(8), exchange).await, Ok(Ok(_)))
    }
}

/// TCP flows that are pinned to the first uplink.
async fn calls_in_conntrack(home: &Home) -> Result<usize> {
    let first = Fwmark { value: 0x0100_0000, mask: 0x0f00_0000 };
    let read = async move { Conntrack::open()?.dump(first) };
    let flows = home.router.run(read).await??;
    Ok(flows.iter().filter(|flow| format!("{flow:?}").contains("Established")).count())
}
