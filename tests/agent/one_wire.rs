//! Two uplinks on one wire: every interface of the box hears who is asked for, and only the one that has
//! the address may answer.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use sparelink::lab::agent::config;
use sparelink::lab::internet::ECHO_PORT;
use sparelink::lab::netns::{Netns, cable, end};
use sparelink::lab::script::Settings;
use sparelink::lab::stage::child;
use sparelink::lab::topology::{ECHO4, Home, Plan};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle as Task;
use tokio::time::{Instant, sleep, timeout};

use crate::figure;
use crate::kernel::dump;
use crate::stage::{Stage, shell};

crate::tests![two_uplinks_on_one_switch, two_uplinks_on_one_interface];

/// New flows by each uplink.
const FLOWS: usize = 25;
/// The modems forget who has an address this often, and ask for it aloud.
const FORGET_EVERY: Duration = Duration::from_millis(200);

/// Whoever is asked answers, as is the kernel's way.
const ANSWER_ALL: &str = "for dev in wan0 usb0 nic0; do
    file=/proc/sys/net/ipv4/conf/$dev/arp_ignore; [ ! -e $file ] || echo 0 > $file; done";
/// Within this a modem has learned the wrong hardware address, and its line is silent.
const BITES: Duration = Duration::from_secs(20);
const FORGET: &str = "PATH=/usr/sbin:/sbin:/bin ip neigh flush dev lan";

/// A switch with the first two modems on it.
async fn switch(home: &Home) -> Result<Netns> {
    let switch = Netns::new("switch").await?;
    shell(&switch, "ip link add sw type bridge; ip link set sw up").await?;
    for (n, uplink) in home.uplinks.iter().take(2).enumerate() {
        home.router.delete(&uplink.interface).await?;
        let port = format!("modem{n}");
        cable(end(&switch, &port), end(&uplink.modem, "lan")).await?;
        shell(&switch, &format!("ip link set {port} master sw")).await?;
        uplink.modem.address("lan", &format!("{}/24", uplink.at.modem4)).await?;
    }
    Ok(switch)
}

/// What DHCP would leave on the router's two interfaces.
async fn addresses(home: &Home) -> Result<()> {
    for (n, uplink) in home.uplinks.iter().take(2).enumerate() {
        let (dev, own, modem) = (&uplink.interface, uplink.at.router4, uplink.at.modem4);
        let script = format!(
            "ip link set {dev} up; ip addr add {own}/24 dev {dev}
            ip route add default via {modem} dev {dev} metric 10{n}"
        );
        shell(&home.router, &script).await?;
    }
    Ok(())
}

/// Two modems that keep forgetting whom they know, until this is dropped.
struct Forgetful(Vec<Task<()>>);

impl Forgetful {
    fn new(home: &Home) -> Self {
        Self(home.uplinks.iter().take(2).map(|uplink| uplink.modem.spawn(forget())).collect())
    }
}

async fn forget() {
    loop {
        let mut command = child(Path::new("/bin/sh"), &["-c".into(), FORGET.into()]);
        let _ = tokio::task::spawn_blocking(move || command.output()).await;
        sleep(FORGET_EVERY).await;
    }
}

impl Drop for Forgetful {
    fn drop(&mut self) {
        self.0.iter().for_each(Task::abort);
    }
}

/// New flows of the client; how many of them are answered.
async fn flows(home: &Home) -> Result<usize> {
    let ask = async {
        let mut answered = 0;
        for _ in 0..FLOWS {
            let socket = UdpSocket::bind("0.0.0.0:0").await?;
            socket.connect(SocketAddr::new(ECHO4, ECHO_PORT)).await?;
            socket.send(b"which way?").await?;
            let answer = timeout(Duration::from_secs(1), socket.recv(&mut [0; 16])).await;
            answered += usize::from(matches!(answer, Ok(Ok(_))));
            sleep(Duration::from_millis(40)).await;
        }
        std::io::Result::Ok(answered)
    };
    Ok(home.client.run(ask).await??)
}

/// The agent proves both, every flow is answered by each, and purge leaves nothing.
async fn both_work(home: Home) -> Result<()> {
    let before = dump(&home).await?;
    let two = Plan { uplinks: Plan::default().uplinks.into_iter().take(2).collect() };
    let text = config(&two, &Settings::default());
    let _forgetful = Forgetful::new(&home);
    let mut stage = Stage::in_home_as(home, &text).await?;
    for uplink in ["cable", "mifi", "cable", "mifi"] {
        stage.agent.must(&["switch", uplink]).await?;
        stage.on(uplink).await?;
        let begun = Instant::now();
        let answered = flows(&stage.home).await?;
        ensure!(answered == FLOWS, "by {uplink}: {answered} of {FLOWS} flows");
        let status = stage.agent.status().await?;
        ensure!(status.all_proven(), "both stay proven: {status:#?}");
        stage.nothing_lost_since(begun).await.with_context(|| format!("by {uplink}"))?;
    }
    figure(&format!("{FLOWS} of {FLOWS} flows by each of two, twice"));
    // Control: every interface answers for all, as often as the agent says otherwise.
    let begun = Instant::now();
    while stage.agent.status().await?.all_proven() {
        ensure!(begun.elapsed() < BITES, "control: it makes no difference who answers");
        shell(&stage.home.router, ANSWER_ALL).await?;
        sleep(Duration::from_millis(50)).await;
    }
    stage.agent.end(Signal::SIGTERM).await?;
    stage.purge().await?.must(0)?;
    let after = dump(&stage.home).await?;
    before.must_equal(&after)
}

async fn two_uplinks_on_one_switch() -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    let switch = switch(&home).await?;
    for uplink in home.uplinks.iter().take(2) {
        let port = format!("to-{}", uplink.interface);
        cable(end(&home.router, &uplink.interface), end(&switch, &port)).await?;
        shell(&switch, &format!("ip link set {port} master sw")).await?;
    }
    addresses(&home).await?;
    both_work(home).await
}

/// Two hardware addresses on one interface of the box (macvlan).
async fn two_uplinks_on_one_interface() -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    let switch = switch(&home).await?;
    cable(end(&home.router, "nic0"), end(&switch, "to-nic0")).await?;
    shell(&switch, "ip link set to-nic0 master sw").await?;
    for uplink in home.uplinks.iter().take(2) {
        let dev = &uplink.interface;
        shell(&home.router, &format!("ip link add {dev} link nic0 type macvlan mode bridge"))
            .await?;
    }
    addresses(&home).await?;
    both_work(home).await
}
