//! Modems that all hand out the same subnet, and one that hands out the LAN's.

use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use sparelink::lab::agent::Status;
use sparelink::lab::meter::Meter;
use sparelink::lab::script::{LineEvent, Settings};
use sparelink::lab::topology::{CLIENT, ECHO4, Home, Plan};
use tokio::time::{Instant, sleep};

use crate::figure;
use crate::kernel::dump;
use crate::stage::{PROVEN, SOON, Stage, shell};

crate::tests![
    three_modems_with_one_subnet_and_one_address,
    an_uplink_with_the_lans_subnet_is_refused_and_the_lan_does_not_notice,
];

/// How long a client watches.
const WATCH: Duration = Duration::from_secs(2);

/// Every modem is 192.168.1.1 and calls the router 192.168.1.2.
async fn three_modems_with_one_subnet_and_one_address() -> Result<()> {
    let mut plan = Plan::default();
    plan.uplinks.iter_mut().for_each(|uplink| uplink.subnet = Some(1));
    let home = Home::build(&plan).await?;
    let addresses = shell(&home.router, "ip -4 -o addr show").await?;
    ensure!(addresses.matches("192.168.1.2/24").count() == 3, "control: {addresses}");
    // As strict as some distributions are: the agent has to raise it.
    for dev in ["all", "wan0", "usb0", "wlan0"] {
        let value = if dev == "all" { "0" } else { "1" };
        home.router.sysctl(&format!("net/ipv4/conf/{dev}/rp_filter"), value).await?;
    }
    // Every uplink is proven here, or there would be no stage.
    let mut stage = Stage::in_home(home, Settings::default(), &[]).await?;
    let mut took = Vec::new();
    for (uplink, n) in [("mifi", 1), ("phone", 2), ("cable", 0)] {
        let seen = stage.home.uplinks[n].counters().await?.from_router;
        stage.agent.must(&["switch", uplink]).await?;
        stage.on(uplink).await?;
        let begun = Instant::now();
        sleep(WATCH / 2).await;
        stage.nothing_lost_since(begun).await?;
        let by = stage.home.uplinks[n].counters().await?.from_router - seen;
        ensure!(by > 150, "only {by} packets went by {uplink}");
        took.push(by);
    }
    stage.agent.must(&["switch", "auto"]).await?;
    let cut = stage.happens("cable", LineEvent::Sever).await?;
    stage.on("mifi").await?;
    sleep(WATCH).await;
    let gap = stage.meter.gap_after(cut).map(|gap| gap.gap);
    let restored = stage.happens("cable", LineEvent::Restore).await?;
    stage.on("cable").await?;
    let (flows, stream) = stage.lost_since(restored).await?;
    ensure!((flows, stream) == (0, 0), "failback lost {flows} flows, {stream} packets");
    let (mut packets, mut wrong) = (0, 0);
    for uplink in &stage.home.uplinks {
        let counters = uplink.counters().await?;
        (packets, wrong) = (packets + counters.from_router, wrong + counters.wrong_source);
    }
    ensure!(wrong == 0, "{wrong} of {packets} packets had a wrong source");
    figure(&format!("gap when severed {gap:?}, 0 of {packets} packets with a wrong source"));
    Ok(())
}

/// The phone hands out the LAN's subnet, on an interface that comes before the LAN's.
async fn an_uplink_with_the_lans_subnet_is_refused_and_the_lan_does_not_notice() -> Result<()> {
    let mut stage = Stage::new().await?;
    let standing = dump(&stage.home).await?;
    let begun = Instant::now();
    let steal = "ip addr del 192.168.12.2/24 dev wlan0; \
                 ip addr add 192.168.77.50/24 dev wlan0 noprefixroute; \
                 ip route prepend 192.168.77.0/24 dev wlan0 src 192.168.77.50; \
                 ip route add default via 192.168.77.254 dev wlan0 metric 102";
    shell(&stage.home.router, steal).await?;
    let refused =
        |status: &Status| status.uplink("phone").is_some_and(|u| u.condition == "overlaps_lan");
    let status = stage.agent.wait(SOON, "the phone refused", refused).await?;
    let phone = status.uplink("phone").cloned().unwrap_or_default();
    ensure!(phone.reason.contains("192.168.77.0/24"), "in words: {phone:?}");
    ensure!(phone.role == "not_ready", "{phone:?}");
    let log = stage.agent.last_words();
    ensure!(log.contains("phone has the LAN's own subnet 192.168.77.0/24"), "{log}");

    // Main sends the LAN's packets to the phone; the agent does not.
    let main = shell(&stage.home.router, "ip route show table main 192.168.77.0/24").await?;
    ensure!(main.starts_with("192.168.77.0/24 dev wlan0"), "control: {main}");
    // The kernel follows what the agent says within milliseconds.
    let refused = Instant::now();
    while shell(&stage.home.router, "ip rule show pref 8299").await?.is_empty() {
        ensure!(refused.elapsed() < WATCH, "the LAN is not shielded");
    }
    let settled = Instant::now();
    sleep(WATCH).await;
    stage.nothing_lost_since(settled).await?;
    let asked = format!("ip route get {CLIENT}");
    let way = shell(&stage.home.router, &asked).await?;
    ensure!(way.contains("dev lan0 table 8320 src 192.168.77.1"), "{way}");
    let (lost, _) = stage.lost_since(begun).await?;
    figure(&format!("{lost} flows of 200 a second lost until it was shielded"));

    // Failover goes past the refused one.
    stage.happens("cable", LineEvent::Sever).await?;
    stage.on("mifi").await?;
    stage.happens("cable", LineEvent::Restore).await?;
    stage.on("cable").await?;

    // The modem is set to another subnet: proven like any other, and the shield is gone.
    let give_back = "ip addr del 192.168.77.50/24 dev wlan0; \
                     ip addr add 192.168.12.2/24 dev wlan0; \
                     ip route add default via 192.168.12.1 dev wlan0 metric 102; \
                     ip route show table 8320; ip rule show pref 8299";
    shell(&stage.home.router, give_back).await?;
    stage.agent.wait_proven(PROVEN).await?;
    let now = dump(&stage.home).await?;
    ensure!(now.rules == standing.rules, "{}", standing.difference(&now));

    // Control: without the shield the LAN's packets are gone.
    stage.agent.end(Signal::SIGKILL).await?;
    shell(&stage.home.router, steal).await?;
    let meter = Meter::start(&stage.home.client, ECHO4).await?;
    let begun = Instant::now();
    sleep(WATCH / 2).await;
    let flows = meter.flows(begun, Instant::now());
    ensure!(flows.sent > 50 && flows.lost == flows.sent, "control: {flows:?}");
    Ok(())
}
