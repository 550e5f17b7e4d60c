//! A modem that answers names in the name of others when its line is dead, as many home routers do to show a
//! page of their own.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use sparelink::lab::agent::{Agent, Status, config};
use sparelink::lab::script::{Action, LineEvent, Settings};
use sparelink::lab::topology::{Home, Plan};
use tokio::net::UdpSocket;
use tokio::time::{Instant, interval, sleep, timeout};

use crate::figure;
use crate::stage::{AGENT, PROVEN, SOON};

crate::tests![a_modem_that_answers_for_others_is_left];

/// How often a name is asked for.
const EVERY: Duration = Duration::from_millis(50);
/// What is promised is 1.2 s; the machine is shared.
const LEFT: Duration = Duration::from_millis(3_600);
/// A query for the address of `example.com`.
const QUERY: &[u8] =
    b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01";

/// Asks a public resolver for a name again and again.
async fn ask(answers: Arc<AtomicU64>) {
    let mut ticks = interval(EVERY);
    loop {
        ticks.tick().await;
        let asked = async {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
            socket.connect(SocketAddr::new(Ipv4Addr::new(8, 8, 8, 8).into(), 53)).await?;
            socket.send(QUERY).await?;
            socket.recv(&mut [0; 512]).await
        };
        if matches!(timeout(EVERY, asked).await, Ok(Ok(_))) {
            answers.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn a_modem_that_answers_for_others_is_left() -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    let text = config(&Plan::default(), &Settings::default());
    let mut agent = Agent::start(&home, AGENT.as_ref(), &text).await?;
    agent.wait_proven(PROVEN).await?;
    let answers = Arc::new(AtomicU64::new(0));
    let client = home.client.spawn(ask(answers.clone()));
    sleep(Duration::from_secs(2)).await;
    let before = answers.load(Ordering::Relaxed);
    ensure!(before > 5, "control: {before} names were resolved");

    home.apply(&Action::line("cable", LineEvent::Hijack)).await?;
    let (cut, at_cut) = (Instant::now(), answers.load(Ordering::Relaxed));
    let on_mifi = |status: &Status| status.active.as_deref() == Some("mifi");
    agent.wait(SOON, "the traffic on mifi", on_mifi).await?;
    let (left, answered) = (cut.elapsed(), answers.load(Ordering::Relaxed) - at_cut);
    client.abort();
    figure(&format!(
        "left after {:.0} ms, {answered} names answered meanwhile",
        left.as_secs_f64() * 1e3
    ));
    ensure!(left < LEFT, "left after {left:?}");
    ensure!(answered > 2, "control: the modem answered {answered} names in the name of others");
    Ok(())
}
