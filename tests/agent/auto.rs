//! An agent that nobody has told anything: the chain is what the system itself uses.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use sparelink::lab::agent::{Agent, Status};
use sparelink::lab::meter::Meter;
use sparelink::lab::script::{Action, LineEvent};
use sparelink::lab::topology::{ECHO4, Home, Plan};
use tokio::time::{Instant, sleep, timeout};

use crate::figure;
use crate::stage::{AGENT, PROVEN, SOON};

crate::tests![
    without_a_configuration_the_systems_own_routes_are_the_chain,
    a_phone_that_is_plugged_in_while_all_is_dead_carries_traffic,
    without_any_route_it_waits_for_one,
];

/// What stands where a configuration would; who read it would say so.
const NOT_READ: &str = "this is no TOML [";
/// From the address of a new uplink to the first answer by it: what is promised.
const CARRIED: Duration = Duration::from_secs(5);

/// The agent in a box that forwards already, as routers do: that is how it knows the LAN.
async fn start(home: &Home) -> Result<Agent> {
    home.router.sysctl("net/ipv4/ip_forward", "1").await?;
    Agent::start_with(home, Path::new(AGENT), NOT_READ, &["--auto"]).await
}

async fn on(agent: &mut Agent, uplink: &str) -> Result<Status> {
    let is = |status: &Status| status.active.as_deref() == Some(uplink);
    agent.wait(SOON, &format!("traffic on {uplink}"), is).await
}

fn chain(status: &Status) -> Vec<&str> {
    status.uplinks.iter().map(|uplink| uplink.name.as_str()).collect()
}

/// Waits for the end of the client's gap since then.
async fn answered(meter: &Meter, event: Instant) -> Result<Duration> {
    let ends = async {
        loop {
            if let Some(gap) = meter.gap_after(event) {
                break gap.gap;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    Ok(timeout(SOON, ends).await?)
}

async fn without_a_configuration_the_systems_own_routes_are_the_chain() -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    let mut agent = start(&home).await?;
    let meter = Meter::start(&home.client, ECHO4).await?;
    let status = agent.wait_proven(PROVEN).await?;
    ensure!(agent.log().contains("LAN: lan0"), "{}", agent.log());
    ensure!(chain(&status) == ["wan0", "usb0", "wlan0"], "{:?}", chain(&status));
    on(&mut agent, "wan0").await?;
    sleep(Duration::from_secs(1)).await;
    let cut = home.apply(&Action::line("cable", LineEvent::Sever)).await?;
    on(&mut agent, "usb0").await?;
    let gap = answered(&meter, cut).await?;
    let log = agent.log();
    ensure!(log.contains("automatic: wan0 (Ethernet, metric "), "{log}");
    ensure!(log.contains("is not read"), "{log}");
    // A line that is pulled keeps its place.
    home.apply(&Action::line("phone", LineEvent::Vanish)).await?;
    let gone = |status: &Status| status.uplink("wlan0").is_some_and(|u| u.condition != "ok");
    let status = agent.wait(SOON, "wlan0 gone", gone).await?;
    ensure!(chain(&status) == ["wan0", "usb0", "wlan0"], "{:?}", chain(&status));
    agent.must(&["reload"]).await?;
    figure(&format!("on usb0 after {} ms", gap.as_millis()));
    Ok(())
}

async fn a_phone_that_is_plugged_in_while_all_is_dead_carries_traffic() -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    home.apply(&Action::line("phone", LineEvent::Vanish)).await?;
    let mut agent = start(&home).await?;
    let meter = Meter::start(&home.client, ECHO4).await?;
    let status = agent.wait_proven(PROVEN).await?;
    ensure!(chain(&status) == ["wan0", "usb0"], "control: {:?}", chain(&status));
    on(&mut agent, "wan0").await?;
    sleep(Duration::from_secs(1)).await;
    let dead = home.apply(&Action::line("cable", LineEvent::Sever)).await?;
    home.apply(&Action::line("mifi", LineEvent::Sever)).await?;
    sleep(Duration::from_secs(5)).await;
    ensure!(meter.gap_after(dead).is_none(), "control: something answers");
    ensure!(meter.round_trip().is_some(), "control: nothing ever answered");
    home.apply(&Action::line("phone", LineEvent::Restore)).await?;
    let there = Instant::now();
    on(&mut agent, "wlan0").await?;
    answered(&meter, dead).await?;
    let carried = there.elapsed();
    ensure!(carried <= CARRIED, "{carried:?}");
    figure(&format!("answered {:.1} s after its address", carried.as_secs_f64()));
    Ok(())
}

async fn without_any_route_it_waits_for_one() -> Result<()> {
    let home = Home::build(&Plan::named(&["cable".to_owned()])).await?;
    home.apply(&Action::line("cable", LineEvent::Vanish)).await?;
    let mut agent = start(&home).await?;
    let none = |status: &Status| status.uplinks.is_empty();
    agent.wait(SOON, "an agent without an uplink", none).await?;
    ensure!(agent.log().contains("no default route yet"), "{}", agent.log());
    home.apply(&Action::line("cable", LineEvent::Restore)).await?;
    let status = on(&mut agent, "wan0").await?;
    ensure!(chain(&status) == ["wan0"], "{:?}", chain(&status));
    Ok(())
}
