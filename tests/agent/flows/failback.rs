//! What the household's clients notice of the way back: nothing, until the time to drain is over.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sparelink::io::netlink::conntrack::Conntrack;
use sparelink::lab::internet::ECHO_PORT;
use sparelink::lab::script::{Action, LineEvent, Settings};
use sparelink::lab::topology::Home;
use sparelink::units::UplinkId;
use tokio::time::{Instant, sleep};

use super::failover::{home, on};
use super::fleet::{BOTH, Fleet, Habit};
use crate::figure;
use crate::stage::{AGENT, SOON};

crate::tests![flows_in_progress_finish_on_the_backup_until_their_time_is_up];

/// Connections, and as many calls.
const EACH: usize = 50;
/// Flows that begin after the way back.
const NEW: usize = 10;
/// How often everybody talks.
const OFTEN: Duration = Duration::from_millis(50);
/// How long old flows may stay on the backup.
const DRAIN: Duration = Duration::from_secs(8);

async fn flows_in_progress_finish_on_the_backup_until_their_time_is_up() -> Result<()> {
    let limit = ("mifi".to_owned(), format!("drain:{}s", DRAIN.as_secs()));
    let settings = Settings { on_return: vec![limit], ..Settings::default() };
    let (home, mut agent) = home(Path::new(AGENT), &settings).await?;
    home.apply(&Action::line("cable", LineEvent::Unplug)).await?;
    on(&mut agent, "mifi").await?;
    let connections = Fleet::tcp(&home.client, EACH, &BOTH, Habit::Talks(OFTEN)).await?;
    let calls = Fleet::udp(&home.client, EACH, &BOTH, OFTEN).await?;
    ensure!(echoes(&home, 2).await? == 2 * EACH, "control: they are on the backup");

    home.apply(&Action::line("cable", LineEvent::Restore)).await?;
    on(&mut agent, "cable").await?;
    let back = Instant::now();
    let new = Fleet::udp(&home.client, NEW, &BOTH, OFTEN).await?;
    sleep(DRAIN / 2).await;
    let old = echoes(&home, 2).await?;
    ensure!(old == 2 * EACH, "{old} of {} flows are still on the backup", 2 * EACH);
    ensure!(echoes(&home, 1).await? == NEW, "new ones are on the cable, all of them and no other");
    let ended = connections.lives().iter().filter(|life| life.end.is_some()).count();
    ensure!(ended == 0, "{ended} connections were reset before their time");
    let lost = calls.lost().await + new.lost().await;
    ensure!(lost == 0, "{lost} packets were lost");
    let told = agent.command(&["status"]).await?;
    let told = String::from_utf8_lossy(&told.stdout);
    ensure!(told.contains("old flows") && told.contains("finish on it"), "said: {told}");

    // Their time is up.
    let ends = connections.wait(DRAIN + SOON, "all reset", |f| f.ends_after(back)).await?;
    let how = |life: super::fleet::Life| life.end.map(|(_, how)| how);
    let reset = connections.lives().into_iter().map(how);
    ensure!(reset.into_iter().all(|how| how == Some(ErrorKind::ConnectionReset)), "by a reset");
    let first = ends.iter().min().context("there are some")?;
    ensure!(*first > DRAIN / 2, "control: not before: {first:?}");
    let a_second_later = back + *first + Duration::from_secs(1);
    sleep(a_second_later.saturating_duration_since(Instant::now())).await;
    let left = echoes(&home, 2).await?;
    figure(&format!("{} flows drained, {lost} packets lost; {left} left a second after", 2 * EACH));
    ensure!(left == 0, "{left} flows are still on the backup");
    connections.wait(SOON, "all connected again", |fleet| fleet.again_after(back)).await?;
    let now = Instant::now();
    calls.wait(SOON, "the calls go on", |fleet| fleet.answered_after(now)).await.map(drop)
}

/// Flows of clients to the echo servers that are pinned to an uplink.
async fn echoes(home: &Home, uplink: u8) -> Result<usize> {
    let mark = UplinkId::new(uplink).context("a number")?.mark();
    let flows = home.router.run(async move { Conntrack::open()?.dump(mark) }).await??;
    Ok(flows.iter().filter(|flow| flow.original.dst.port() == ECHO_PORT).count())
}
