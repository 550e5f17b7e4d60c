//! What is said of clients that were told is what they got.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use sparelink::lab::internet::ECHO_PORT;
use sparelink::lab::script::LineEvent;
use sparelink::lab::topology::ECHO4;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::figure;
use crate::stage::{SOON, Stage, shell};

crate::tests![clients_count_as_told_by_the_resets_that_they_got];

/// Somebody's rule that lets nothing pass that conntrack picks up on its way.
const STRICT: &str = "nft 'table inet strict { chain pre { type filter hook prerouting priority mangle; \
    iifname lan0 tcp flags & (fin | syn | rst | ack) != syn ct state new drop; }; }'";

/// Idle clients, of which none sends anything by itself.
const CLIENTS: usize = 5;

/// What the history says of flushes.
async fn told(stage: &Stage) -> Result<Vec<String>> {
    let events = stage.events().await?;
    let flushed = events.iter().filter(|event| event["code"] == "flushed");
    Ok(flushed.filter_map(|event| Some(event["text"].as_str()?.to_owned())).collect())
}

/// How many clients are said to have been notified.
fn notified(said: &str) -> usize {
    let words: Vec<&str> = said.split_whitespace().collect();
    let counts =
        words.windows(3).filter(|three| three[1] == "clients" && three[2].starts_with("notified"));
    counts.filter_map(|three| three[0].parse::<usize>().ok()).sum()
}

/// What the history says of a flush of the cable, and how many clients got a reset by then.
async fn severed(stage: &mut Stage) -> Result<(String, usize)> {
    let open = async {
        let mut idle = Vec::new();
        for _ in 0..CLIENTS {
            idle.push(TcpStream::connect(SocketAddr::new(ECHO4, ECHO_PORT)).await?);
        }
        anyhow::Ok(idle)
    };
    let idle = stage.home.client.run(open).await??;
    let before = told(stage).await?.len();
    stage.happens("cable", LineEvent::Sever).await?;
    stage.on("mifi").await?;
    let begun = Instant::now();
    let said = loop {
        let told = told(stage).await?.split_off(before);
        // That of IPv6 flows is another one, and tells of no client.
        if told.len() >= 2 {
            break told.join(" | ");
        }
        ensure!(begun.elapsed() < SOON, "nothing is said of a flush");
        sleep(Duration::from_millis(50)).await;
    };
    let ended = async move {
        let mut ended = 0;
        for mut stream in idle {
            let mut buffer = [0; 4];
            let read = timeout(Duration::from_millis(200), stream.read(&mut buffer)).await;
            ended += usize::from(matches!(read, Ok(Err(_))));
        }
        ended
    };
    Ok((said, stage.home.client.run(ended).await?))
}

async fn clients_count_as_told_by_the_resets_that_they_got() -> Result<()> {
    let mut stage = Stage::new().await?;
    let (said, ended) = severed(&mut stage).await?;
    ensure!(ended == CLIENTS, "control: {ended} clients got a reset: {said}");
    // Somebody else of the LAN may have had a connection, too.
    ensure!(notified(&said) >= CLIENTS, "{said}");
    let mut stage = Stage::new().await?;
    shell(&stage.home.router, STRICT).await?;
    let (strictly, ended) = severed(&mut stage).await?;
    figure(&format!("said: `{said}`; where resets cannot be sent: `{strictly}`, {ended} got one"));
    ensure!(ended == 0, "control: {ended} clients got a reset all the same");
    ensure!(!strictly.contains("notified"), "nobody was: {strictly}");
    Ok(())
}
