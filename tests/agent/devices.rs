//! Interfaces as they are: taken down and up, unplugged and another with the same number, renamed,
//! without a link layer.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sparelink::lab::agent::{Status, config};
use sparelink::lab::script::{LineEvent, Settings};
use sparelink::lab::topology::{ECHO6, Home, Plan};
use tokio::time::{Instant, sleep};

use crate::kernel::{Dump, dump};
use crate::stage::{AGENT, PROVEN, SOON, Stage, echo, file, in_netns, in_router};
use crate::{figure, skip};

crate::tests![
    an_interface_is_taken_down_and_up,
    another_interface_has_the_number,
    an_interface_is_renamed,
    a_new_name_lets_no_lan_address_out,
    an_uplink_without_a_link_layer_needs_no_gateway,
    #[ignore = "long: a hundred blips"]
    a_carrier_that_blips_is_left_once,
];

/// Nobody wants to wait in a test.
const HOLD: Duration = Duration::from_millis(300);
/// What ifupdown and its like do, but for taking it down.
const UP: &str = "ip link set wan0 up
    ip -6 addr replace 2001:db8:10::2/64 dev wan0 nodad
    ip route replace default via 192.168.10.1 dev wan0 proto dhcp metric 100
    ip -6 route replace default via fe80::1 dev wan0 proto ra metric 100";

fn settings() -> Settings {
    Settings { hold: Some(HOLD), hold_max: Some(HOLD), ..Settings::default() }
}

async fn stage() -> Result<Stage> {
    Stage::in_home(Home::build(&Plan::default()).await?, settings(), &[]).await
}

async fn in_the_router(stage: &Stage, script: &str) -> Result<()> {
    in_router(&stage.home, "/bin/sh", &["-ec", script]).await?.must(0).map(drop)
}

/// Both IP versions are on the cable, and everything else is ready.
async fn is_well(stage: &mut Stage) -> Result<()> {
    let both = |s: &Status| {
        s.all_proven() && [&s.active, &s.active6].iter().all(|a| a.as_deref() == Some("cable"))
    };
    stage.agent.wait(PROVEN, "everything on the cable", both).await.map(drop)
}

/// Without the kernel's own routes, which name link-local addresses.
fn ours(mut dump: Dump) -> Dump {
    dump.routes.retain(|route| route.contains("protocol: Other(83)"));
    dump
}

/// Waits until everything of ours stands as before.
async fn stands(stage: &Stage, whole: &Dump) -> Result<()> {
    let begun = Instant::now();
    loop {
        let now = ours(dump(&stage.home).await?);
        if now == *whole {
            return Ok(());
        }
        ensure!(begun.elapsed() < SOON, "not as before:\n{}", whole.difference(&now));
        sleep(Duration::from_millis(20)).await;
    }
}

/// The sysctls of an interface that let the kernel survive a lost carrier alone.
async fn ignores_dead_routes(stage: &Stage, dev: &str) -> Result<()> {
    for family in ["ipv4", "ipv6"] {
        let path = format!("net/{family}/conf/{dev}/ignore_routes_with_linkdown");
        let value = stage.home.router.read_sysctl(&path).await?;
        ensure!(value == "1", "{path} is {value}");
    }
    Ok(())
}

async fn no_wrong_source(stage: &Stage) -> Result<u64> {
    let mut wrong = 0;
    for uplink in &stage.home.uplinks {
        wrong += uplink.counters().await?.wrong_source;
    }
    Ok(wrong)
}

async fn an_interface_is_taken_down_and_up() -> Result<()> {
    let mut stage = stage().await?;
    is_well(&mut stage).await?;
    let whole = ours(dump(&stage.home).await?);
    ensure!(whole.routes.len() > 8, "control: routes: {:?}", whole.routes);
    in_the_router(&stage, "ip link set wan0 down").await?;
    stage.on("mifi").await?;
    ensure!(ours(dump(&stage.home).await?) != whole, "control: that takes routes away");
    let begun = Instant::now();
    in_the_router(&stage, UP).await?;
    is_well(&mut stage).await?;
    stage.nothing_lost_since(begun).await.context("the way back")?;
    stands(&stage, &whole).await?;
    ignores_dead_routes(&stage, "wan0").await?;
    // So quickly that the agent may see only the end of it.
    in_the_router(&stage, &format!("ip link set wan0 down\n{UP}")).await?;
    is_well(&mut stage).await?;
    stands(&stage, &whole).await.context("down and up at once")?;
    // A device that is plugged in again begins with the kernel's own values.
    stage.happens("cable", LineEvent::Vanish).await?;
    stage.on("mifi").await?;
    stage.happens("cable", LineEvent::Restore).await?;
    is_well(&mut stage).await?;
    ignores_dead_routes(&stage, "wan0").await?;
    ensure!(no_wrong_source(&stage).await? == 0, "packets with a wrong source");
    Ok(())
}

async fn another_interface_has_the_number() -> Result<()> {
    let mut stage = stage().await?;
    is_well(&mut stage).await?;
    let whole = ours(dump(&stage.home).await?);
    let index = stage.home.router.index("wan0").await?;
    // Itself, at once: the agent may not even see it go.
    stage.home.uplink("cable")?.comes_back_as(index);
    stage.happens("cable", LineEvent::Vanish).await?;
    stage.happens("cable", LineEvent::Restore).await?;
    is_well(&mut stage).await.context("the same number at once")?;
    stands(&stage, &whole).await.context("the same number at once")?;

    // Another uplink.
    for uplink in ["cable", "mifi"] {
        stage.happens(uplink, LineEvent::Vanish).await?;
    }
    stage.on("phone").await?;
    stage.home.uplink("mifi")?.comes_back_as(index);
    stage.happens("mifi", LineEvent::Restore).await?;
    stage.on("mifi").await?;
    ensure!(stage.home.router.index("usb0").await? == index, "control: the number is reused");
    let begun = Instant::now();
    sleep(Duration::from_secs(1)).await;
    stage.nothing_lost_since(begun).await.context("by the number of another")?;
    let status = stage.agent.status().await?;
    let absent = status.uplink("cable").is_some_and(|u| u.condition == "absent");
    ensure!(absent, "the cable is not there: {status:?}");
    stage.happens("cable", LineEvent::Restore).await?;
    is_well(&mut stage).await?;
    ensure!(no_wrong_source(&stage).await? == 0, "packets with a wrong source");
    Ok(())
}

async fn an_interface_is_renamed() -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    let mac = home.router.mac("wan0").await?.map(|byte| format!("{byte:02x}")).join(":");
    let by_name = config(&Plan::default(), &settings());
    let by_mac = by_name.replace("interface = \"wan0\"", &format!("match = {{ mac = \"{mac}\" }}"));
    ensure!(by_mac != by_name, "control: the configuration names the interface");
    let mut stage = Stage::configured(home, by_mac, Path::new(AGENT), &[]).await?;
    is_well(&mut stage).await?;
    let switches = || {
        let log = fs::read_to_string(file("agent.log")).unwrap_or_default();
        log.matches("code=\"switched\"").count()
    };
    let before = switches();
    let begun = Instant::now();
    if in_the_router(&stage, "ip link set wan0 name eth9").await.is_err() {
        // Before Linux 6.2 only an interface that is down could be renamed.
        let script = format!("ip link set wan0 down\nip link set wan0 name eth9\n{UP}");
        in_the_router(&stage, &script.replace("wan0", "eth9")).await?;
    }
    let rules = "nft list set inet sparelink uplinks | grep -q eth9";
    while in_the_router(&stage, rules).await.is_err() {
        ensure!(begun.elapsed() < SOON, "the rules do not know the new name");
    }
    let took = begun.elapsed();
    sleep(Duration::from_secs(2)).await;
    let (lost, _) = stage.lost_since(begun).await?;
    let wrong = no_wrong_source(&stage).await?;
    is_well(&mut stage).await.context("matched by its hardware address")?;
    ensure!(switches() == before, "another name is no reason to leave");
    ignores_dead_routes(&stage, "eth9").await?;
    figure(&format!(
        "renamed under traffic: rules follow within {} ms, {lost} flows lost, {wrong} packets with \
         a LAN source",
        took.as_millis()
    ));
    let begun = Instant::now();
    sleep(Duration::from_secs(1)).await;
    stage.nothing_lost_since(begun).await?;
    ensure!(no_wrong_source(&stage).await? == wrong, "packets with a wrong source");

    let is = |what: &'static str| {
        move |s: &Status| s.uplink("mifi").is_some_and(|u| u.condition == what)
    };
    in_the_router(&stage, "ip link set usb0 down; ip link set usb0 name eth8").await?;
    stage.agent.wait(SOON, "no interface of that name", is("absent")).await?;
    let script = "ip link set eth8 name usb0\n".to_owned()
        + &UP
            .replace("wan0", "usb0")
            .replace("192.168.10", "192.168.11")
            .replace("8:10:", "8:11:")
            .replace("metric 100", "metric 101");
    in_the_router(&stage, &script).await?;
    is_well(&mut stage).await.context("matched by name")
}

/// A plug with a bad contact: that often no carrier, for so long, and in between it is there.
const BLIPS: usize = 100;
const AWAY: Duration = Duration::from_millis(200);
const THERE: Duration = Duration::from_millis(100);

async fn a_carrier_that_blips_is_left_once() -> Result<()> {
    let mut stage = Stage::new().await?;
    is_well(&mut stage).await?;
    let switched = async |stage: &Stage| {
        anyhow::Ok(stage.agent.history().await?.iter().filter(|code| *code == "switched").count())
    };
    stage.happens("cable", LineEvent::Unplug).await?;
    stage.on("mifi").await?;
    let (begun, before) = (Instant::now(), switched(&stage).await?);
    for _ in 0..BLIPS {
        stage.happens("cable", LineEvent::Restore).await?;
        sleep(THERE).await;
        stage.happens("cable", LineEvent::Unplug).await?;
        sleep(AWAY).await;
    }
    let switches = switched(&stage).await? - before;
    let (flows, stream) = stage.lost_since(begun).await?;
    figure(&format!(
        "{BLIPS} blips: {switches} more switches, {flows} flows and {stream} packets lost"
    ));
    ensure!((switches, flows, stream) == (0, 0, 0), "it moved, or people noticed");
    stage.happens("cable", LineEvent::Restore).await?;
    is_well(&mut stage).await?;
    ensure!(switched(&stage).await? > before, "control: it is gone back to");
    ensure!(no_wrong_source(&stage).await? == 0, "packets with a wrong source");
    Ok(())
}

/// With the agent standing still the moment until it follows is as long as one likes.
async fn a_new_name_lets_no_lan_address_out() -> Result<()> {
    let mut stage = stage().await?;
    is_well(&mut stage).await?;
    let pid = Pid::from_raw(stage.agent.pid().cast_signed());
    let left =
        async |stage: &Stage| anyhow::Ok(stage.home.uplink("cable")?.counters().await?.from_router);
    let before = left(&stage).await?;
    kill(pid, Signal::SIGSTOP)?;
    let begun = Instant::now();
    if in_the_router(&stage, "ip link set wan0 name eth9").await.is_err() {
        skip("before Linux 6.2 only an interface that is down can be renamed");
        return Ok(());
    }
    sleep(Duration::from_secs(1)).await;
    let echoed = stage.home.client.run(echo(ECHO6)).await?;
    let (flows, stream) = stage.lost_since(begun).await?;
    let (wrong, packets) = (no_wrong_source(&stage).await?, left(&stage).await? - before);
    figure(&format!(
        "{packets} packets by an interface with another name, {wrong} of them with a LAN source; \
         {flows} new flows and {stream} packets of the long one lost"
    ));
    ensure!(packets > 100, "control: packets leave by it: {packets}");
    ensure!(wrong == 0, "{wrong} packets with a LAN source");
    ensure!(echoed && (flows, stream) == (0, 0), "{flows} and {stream} lost; IPv6: {echoed}");
    in_the_router(&stage, "ip link set eth9 name wan0").await?;
    kill(pid, Signal::SIGCONT)?;
    is_well(&mut stage).await
}

async fn an_uplink_without_a_link_layer_needs_no_gateway() -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    // The nearest thing to a PPP line that every kernel has: no neighbours to be looked for, and
    // as all packets bear the sender's own hardware address both ends have the same.
    let mac = home.router.mac("wan0").await?.map(|byte| format!("{byte:02x}")).join(":");
    let modem = format!("ip link set lan address {mac}; ip link set lan arp off");
    in_netns(&home.uplink("cable")?.modem, "/bin/sh", &["-ec", &modem]).await?.must(0)?;
    let router = "ip link set wan0 arp off
        ip route del default dev wan0; ip route add default dev wan0 proto static metric 100
        ip -6 route del default dev wan0; ip -6 route add default dev wan0 proto static metric 100";
    in_router(&home, "/bin/sh", &["-ec", router]).await?.must(0)?;
    let mut stage = Stage::in_home(home, settings(), &[]).await?;
    is_well(&mut stage).await?;
    for family in ["-4", "-6"] {
        for table in ["8300", "8301"] {
            let words = [family, "route", "show", "table", table];
            let said = in_router(&stage.home, "/bin/ip", &words).await?.must(0)?;
            let first = said.out.lines().next().unwrap_or_default();
            ensure!(first.starts_with("default dev wan0"), "{family} {table}: {first:?}");
        }
    }
    ensure!(stage.home.client.run(echo(ECHO6)).await?, "no IPv6 for the LAN");
    let begun = Instant::now();
    sleep(Duration::from_secs(1)).await;
    stage.nothing_lost_since(begun).await?;
    stage.happens("cable", LineEvent::Sever).await?;
    stage.on("mifi").await?;
    stage.happens("cable", LineEvent::Restore).await?;
    is_well(&mut stage).await?;
    ensure!(no_wrong_source(&stage).await? == 0, "packets with a wrong source");
    Ok(())
}
