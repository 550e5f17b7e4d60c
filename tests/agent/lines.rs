//! Lines as the field has them: more addresses than one, bridges, next hops that are objects of their own.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use sparelink::lab::agent::{Status, config};
use sparelink::lab::script::{LineEvent, Settings};
use sparelink::lab::topology::{Home, Plan};
use tokio::time::{Instant, sleep};

use crate::figure;
use crate::stage::{AGENT, SOON, Stage, shell};

crate::tests![
    the_source_that_a_route_asks_for_is_the_lines,
    a_bridge_is_told_from_its_port,
    a_next_hop_that_is_deleted_is_noticed,
];

/// How long a client watches.
const WATCH: Duration = Duration::from_secs(2);

/// Two addresses of one subnet, of which the provider takes the second one only.
async fn the_source_that_a_route_asks_for_is_the_lines() -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    shell(
        &home.uplink("cable")?.modem,
        "nft 'table ip provider { chain in { \
        type filter hook prerouting priority -300; ip saddr 192.168.10.5 counter drop; }; }'",
    )
    .await?;
    shell(
        &home.router,
        "ip -4 addr flush dev wan0
        ip addr add 192.168.10.5/24 dev wan0; ip addr add 192.168.10.100/24 dev wan0
        ip route add default via 192.168.10.1 dev wan0 src 192.168.10.100 metric 100",
    )
    .await?;
    let mut stage = Stage::in_home(home, Settings::default(), &[]).await?;
    stage.on("cable").await?;
    let begun = Instant::now();
    sleep(WATCH).await;
    stage.nothing_lost_since(begun).await.context("on the cable")?;
    let route = shell(&stage.home.router, "ip route get 203.0.113.7").await?;
    ensure!(route.contains("src 192.168.10.100"), "the box's own packets: {route}");

    let cut = stage.happens("cable", LineEvent::Sever).await?;
    stage.on("mifi").await?;
    figure(&format!("severed: left after {} ms", cut.elapsed().as_millis()));
    let back = stage.happens("cable", LineEvent::Restore).await?;
    stage.on("cable").await?;
    stage.agent.wait_proven(SOON).await?;
    let (lost, packets) = stage.lost_since(back).await?;
    figure(&format!("the way back: {lost} new flows and {packets} packets of the long one lost"));
    ensure!(lost == 0, "{lost} new flows lost on the way back");

    // The address moves: what was right is wrong now.
    shell(
        &stage.home.router,
        "ip addr add 192.168.10.101/24 dev wan0
        ip route replace default via 192.168.10.1 dev wan0 src 192.168.10.101 metric 100
        ip addr del 192.168.10.100/24 dev wan0",
    )
    .await?;
    let moved = Instant::now();
    while !shell(&stage.home.router, "ip route get 203.0.113.7").await?.contains("10.101") {
        ensure!(moved.elapsed() < SOON, "the other address is not taken");
        sleep(Duration::from_millis(20)).await;
    }
    sleep(WATCH / 2).await;
    let begun = Instant::now();
    sleep(WATCH / 2).await;
    let (lost, _) = stage.lost_since(begun).await?;
    ensure!(lost == 0, "{lost} new flows lost with the other address");

    // Control: plain masquerade takes the address that the provider drops.
    stage.agent.end(Signal::SIGKILL).await?;
    stage.purge().await?.must(0)?;
    let control = "echo 1 > /proc/sys/net/ipv4/ip_forward
        nft 'table ip plain { chain out { type nat hook postrouting priority 100; oifname wan0 masquerade; }; }'";
    shell(&stage.home.router, control).await?;
    sleep(WATCH / 2).await;
    let begun = Instant::now();
    sleep(WATCH / 2).await;
    let (lost, _) = stage.lost_since(begun).await?;
    ensure!(lost > 10, "control: only {lost} flows lost by plain masquerade");
    Ok(())
}

/// The bridge has its port's hardware address, as bridges, VLANs and bonds have.
async fn a_bridge_is_told_from_its_port() -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    shell(
        &home.router,
        "mac=$(cat /sys/class/net/wan0/address)
        ip link add br-wan type bridge; ip link set br-wan address $mac
        ip addr flush dev wan0; ip link set wan0 master br-wan; ip link set br-wan up
        ip addr add 192.168.10.2/24 dev br-wan; ip addr add 2001:db8:10::2/64 dev br-wan nodad
        ip route add default via 192.168.10.1 dev br-wan metric 100
        ip -6 route replace default via fe80::1 dev br-wan metric 100
        ip -6 route del default dev wan0 || true",
    )
    .await?;
    let mac = home.router.mac("wan0").await?.map(|byte| format!("{byte:02x}")).join(":");
    ensure!(home.router.index("wan0").await? < home.router.index("br-wan").await?, "control");
    let by_name = config(&Plan::default(), &Settings::default());
    let by_mac = by_name.replace("interface = \"wan0\"", &format!("match = {{ mac = \"{mac}\" }}"));
    ensure!(by_mac != by_name, "control: the configuration names the interface");
    let mut stage = Stage::configured(home, by_mac, Path::new(AGENT), &[]).await?;
    stage.on("cable").await?;
    let json = stage.json().await?;
    let interface = json["uplinks"][0]["interface"].as_str().unwrap_or_default();
    ensure!(interface == "br-wan", "the cable is {interface}");
    let begun = Instant::now();
    sleep(WATCH / 2).await;
    stage.nothing_lost_since(begun).await?;
    // Without an address and a gateway on it the bridge is still what is meant.
    shell(&stage.home.router, "ip addr flush dev br-wan; ip -6 route flush dev br-wan").await?;
    let faulty = |s: &Status| s.uplink("cable").is_some_and(|u| u.condition == "no_address");
    stage.agent.wait(SOON, "the cable without an address", faulty).await?;
    let json = stage.json().await?;
    ensure!(json["uplinks"][0]["interface"] == "br-wan", "not the bridge: {}", json["uplinks"][0]);
    Ok(())
}

/// The kernel takes out the routes of a next hop that is deleted, and says nothing of them.
async fn a_next_hop_that_is_deleted_is_noticed() -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    shell(
        &home.router,
        "ip -6 route del default dev wan0; ip -6 addr flush dev wan0 scope global
        ip nexthop add id 7 via 192.168.10.1 dev wan0; ip route del default dev wan0
        ip route add default nhid 7 metric 100",
    )
    .await?;
    let mut stage = Stage::in_home(home, Settings::default(), &[]).await?;
    stage.on("cable").await?;
    let gone = Instant::now();
    shell(&stage.home.router, "ip nexthop del id 7").await?;
    let faulty = |s: &Status| s.uplink("cable").is_some_and(|u| u.condition == "no_gateway");
    stage.agent.wait(SOON, "the cable without a gateway", faulty).await?;
    figure(&format!("noticed after {} ms", gone.elapsed().as_millis()));
    stage.on("mifi").await?;

    shell(
        &stage.home.router,
        "ip nexthop add id 8 via 192.168.10.1 dev wan0
        ip route add default nhid 8 metric 100",
    )
    .await?;
    stage.on("cable").await.context("a next hop that is there again")?;
    // Another gateway behind the same number.
    shell(&stage.home.uplink("cable")?.modem, "ip addr add 192.168.10.9/24 dev lan").await?;
    shell(&stage.home.router, "ip nexthop replace id 8 via 192.168.10.9 dev wan0").await?;
    let replaced = Instant::now();
    let ours = "ip route show table 8301";
    while !shell(&stage.home.router, ours).await?.contains("192.168.10.9") {
        ensure!(replaced.elapsed() < SOON, "the other gateway is not taken");
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
