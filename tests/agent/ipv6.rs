//! IPv6 on purpose: whose prefix leaves as it is, what becomes of a dead IPv6 while IPv4 lives.

use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::json;
use sparelink::engine::dataplane::nft::{Chain, ChainKind, Hook, HookPoint, Stmt, Table};
use sparelink::io::netlink::nft::Nft;
use sparelink::lab::agent::{Status, config};
use sparelink::lab::internet::ECHO_PORT;
use sparelink::lab::modem::install;
use sparelink::lab::netifd::{Netifd, networks};
use sparelink::lab::netns::Netns;
use sparelink::lab::script::{LineEvent, Settings};
use sparelink::lab::stage::child;
use sparelink::lab::topology::{ECHO6, Home, Plan};
use sparelink::units::{Family, IfName};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, sleep, timeout};

use crate::stage::{SOON, Stage, file, shell};
use crate::{figure, skip};

crate::tests![
    a_prefix_leaves_as_it_is_by_its_own_uplink_only,
    netifd_says_whose_a_delegated_prefix_is,
    a_line_with_a_delegated_prefix_alone_carries,
    a_line_with_a_delegated_prefix_alone_is_refused_when_it_is_dead,
    new_flows_are_refused_at_once_while_ipv6_is_dead,
    ipv6_goes_with_the_cable_of_the_only_uplink_that_has_it,
    the_lan_is_told_of_a_dead_prefix,
];

/// What cable and mifi delegate, and the LAN's local prefix; the client's address in each.
const CABLES: &str = "2001:db8:a0:1::2";
const MIFIS: &str = "2001:db8:b0:1::2";
const LOCAL: &str = "fd77::2";
/// Packets sent from each source.
const PACKETS: usize = 20;
/// Packets in which no wrong source may be.
const THOUSAND: usize = 1000;
/// A bus that was not there is tried again after half a minute at the latest.
const HEARD: Duration = Duration::from_secs(45);
/// A refusal comes within this on a machine that does other things, too; 5 ms are promised.
const AT_ONCE: Duration = Duration::from_millis(200);
/// How long a client without a refusal is seen to wait.
const PATIENCE: Duration = Duration::from_secs(1);

/// The LAN has an address of the cable's delegated prefix and one of the mifi's; both are routed to
/// it through the Internet of the lab.
async fn delegate(home: &Home) -> Result<()> {
    shell(&home.router, "ip addr add 2001:db8:a0:1::1/64 dev lan0 nodad").await?;
    shell(&home.router, "ip addr add 2001:db8:b0:1::1/64 dev lan0 nodad").await?;
    for (n, prefix, own) in [(0, "2001:db8:a0::/48", CABLES), (1, "2001:db8:b0::/48", MIFIS)] {
        let uplink = &home.uplinks[n];
        shell(&home.client, &format!("ip addr add {own}/64 dev eth0 nodad")).await?;
        let dev = &uplink.interface;
        shell(&home.router, &format!("ip addr add fe80::9/64 dev {dev} nodad")).await?;
        shell(&uplink.modem, &format!("ip -6 route add {prefix} via fe80::9 dev lan")).await?;
        shell(&home.core, &format!("ip -6 route add {prefix} via fe80::2 dev isp{n}")).await?;
    }
    Ok(())
}

/// Counts packets for the echo server that come from the router, by source.
async fn watch(modem: &Netns) -> Result<()> {
    let lan = || Stmt::Iifname(IfName::new("lan").expect("a constant that is a name"));
    let sources = [("cables", "2001:db8:a0::/48"), ("mifis", "2001:db8:b0::/48")];
    let sources = [sources.as_slice(), &[("local", "fc00::/7"), ("all", "::/0")]].concat();
    let mut rules = Vec::new();
    for (name, net) in &sources {
        let (udp, port) = (Stmt::L4proto(17), Stmt::Dport(ECHO_PORT));
        let counter = Stmt::Counter((*name).to_owned());
        rules.push(vec![lan(), Stmt::Saddr(net.parse()?), udp, port, counter]);
    }
    let hook = Hook { kind: ChainKind::Filter, point: HookPoint::Prerouting, priority: -310 };
    let table = Table {
        name: "watch".to_owned(),
        counters: sources.iter().map(|(name, _)| (*name).to_owned()).collect(),
        chains: vec![Chain { name: "count".to_owned(), hook: Some(hook), rules }],
        ..Table::default()
    };
    install(modem, table).await
}

/// What was counted since it was last watched: the cable's, the mifi's, local ones, all.
async fn seen(modem: &Netns) -> Result<[u64; 4]> {
    let counts = modem.run(async { Nft::open()?.counters("watch") }).await??;
    let of = |name| counts.get(name).map(|count| count.packets).context("no such counter");
    Ok([of("cables")?, of("mifis")?, of("local")?, of("all")?])
}

/// Sends packets from one of the client's addresses; how many were answered.
async fn ask(home: &Home, from: &str) -> Result<usize> {
    let from: IpAddr = from.parse()?;
    let talk = async move {
        let socket = UdpSocket::bind((from, 0)).await?;
        socket.connect((ECHO6, ECHO_PORT)).await?;
        let mut answered = 0;
        for n in 0..PACKETS {
            let _ = socket.send(&n.to_be_bytes()).await;
            let answer = timeout(Duration::from_millis(300), socket.recv(&mut [0; 64])).await;
            answered += usize::from(matches!(answer, Ok(Ok(_))));
        }
        io::Result::Ok(answered)
    };
    Ok(home.client.run(talk).await??)
}

/// All of the client's addresses, one after the other; every packet must be answered. What the
/// uplink's modem saw of it.
async fn ask_from_all(home: &Home, n: usize) -> Result<[u64; 4]> {
    watch(&home.uplinks[n].modem).await?;
    for from in [CABLES, MIFIS, LOCAL] {
        let answered = ask(home, from).await?;
        ensure!(answered == PACKETS, "{answered} of {PACKETS} answered from {from}");
    }
    seen(&home.uplinks[n].modem).await
}

async fn on6(stage: &mut Stage, uplink: Option<&str>) -> Result<()> {
    let what = format!("IPv6 on {uplink:?}");
    let is = |status: &Status| status.active6.as_deref() == uplink;
    stage.agent.wait(SOON, &what, is).await.map(drop)
}

async fn a_prefix_leaves_as_it_is_by_its_own_uplink_only() -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    delegate(&home).await?;
    // Nobody says what the cable delegated; of the mifi it is written down.
    let text = config(&Plan::default(), &Settings::default());
    let mifi = "interface = \"usb0\"\n";
    let text = text.replace(mifi, &format!("{mifi}prefixes6 = [\"2001:db8:b0::/48\"]\n"));
    let mut stage = Stage::in_home_as(home, &text).await?;
    on6(&mut stage, Some("cable")).await?;
    let packets = PACKETS as u64;
    let [cables, mifis, local, all] = ask_from_all(&stage.home, 0).await?;
    ensure!(cables == packets, "its own leave as they are: {cables} of {packets}");
    ensure!((mifis, local) == (0, 0), "others are masqueraded: {mifis} mifi's, {local} local");
    ensure!(all == 3 * packets, "control: {all} in all");

    stage.happens("cable", LineEvent::SeverOnly(Family::V6)).await?;
    on6(&mut stage, Some("mifi")).await?;
    let [cables, mifis, local, all] = ask_from_all(&stage.home, 1).await?;
    ensure!(mifis == packets, "its own leave as they are: {mifis} of {packets}");
    ensure!((cables, local) == (0, 0), "others are masqueraded: {cables} cable's, {local} local");
    ensure!(all == 3 * packets, "control: {all} in all");

    // Control: the same without our table.
    stage.agent.end(Signal::SIGKILL).await?;
    stage.home.router.run(async { Nft::open()?.delete("sparelink") }).await??;
    watch(&stage.home.uplinks[1].modem).await?;
    ask(&stage.home, CABLES).await?;
    let [cables, ..] = seen(&stage.home.uplinks[1].modem).await?;
    ensure!(cables == packets, "control: a wrong source is seen: {cables}");
    Ok(())
}

/// As netifd leaves `main`: each delegated prefix is unreachable but for what the LAN has of it, and no route says whose it is.
async fn netifd_says_whose_a_delegated_prefix_is() -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    delegate(&home).await?;
    let mut dump = networks(&home);
    for (n, prefix) in [(0, "2001:db8:a0::"), (1, "2001:db8:b0::")] {
        let route = format!("unreachable {prefix}/48 dev lo proto static metric 2147483647");
        shell(&home.router, &format!("ip -6 route add {route}")).await?;
        dump["interface"][n]["ipv6-prefix"] = json!([{"address": prefix, "mask": 48}]);
    }
    let mut stage = Stage::in_home(home, Settings::default(), &[]).await?;
    on6(&mut stage, Some("cable")).await?;
    let cable = &stage.home.uplinks[0].modem;
    watch(cable).await?;
    ask(&stage.home, MIFIS).await?;
    let [_, mifis, ..] = seen(cable).await?;
    ensure!(mifis == PACKETS as u64, "control: a wrong source while nobody says whose: {mifis}");

    let _netifd = Netifd::start(dump)?;
    let begun = Instant::now();
    loop {
        watch(cable).await?;
        ask(&stage.home, MIFIS).await?;
        let [_, mifis, ..] = seen(cable).await?;
        if mifis == 0 {
            break;
        }
        ensure!(begun.elapsed() < HEARD, "netifd's word changes nothing");
    }
    watch(cable).await?;
    let mut answered = 0;
    for _ in 0..THOUSAND / PACKETS {
        answered += ask(&stage.home, MIFIS).await?;
    }
    // A busy machine may answer one too late.
    ensure!(answered > THOUSAND * 9 / 10, "{answered} of {THOUSAND} answered");
    let [_, mifis, _, all] = seen(cable).await?;
    ensure!((mifis, all) == (0, THOUSAND as u64), "{mifis} of {all} with a wrong source");
    figure(&format!("0 of {all} with a wrong source"));
    // Its own are not translated.
    watch(cable).await?;
    ask(&stage.home, CABLES).await?;
    let [cables, ..] = seen(cable).await?;
    ensure!(cables == PACKETS as u64, "{cables} of {PACKETS} as they are");
    Ok(())
}

/// The cable has no address of its own in IPv6 but a link-local one, as many providers leave it: what it
/// delegates is in the LAN.
async fn delegate_alone(home: &Home) -> Result<()> {
    delegate(home).await?;
    shell(&home.router, "ip -6 addr flush dev wan0 scope global").await?;
    shell(&home.router, "ip addr del 2001:db8:b0:1::1/64 dev lan0").await?;
    let here = shell(&home.router, "ip -6 route show default dev wan0").await?;
    ensure!(here.contains("fe80::1"), "control: it has a gateway: {here}");
    Ok(())
}

async fn a_line_with_a_delegated_prefix_alone_carries() -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    delegate_alone(&home).await?;
    let mut stage = Stage::in_home(home, Settings::default(), &[]).await?;
    on6(&mut stage, Some("cable")).await?;
    watch(&stage.home.uplinks[0].modem).await?;
    let answered = ask(&stage.home, CABLES).await?;
    ensure!(answered == PACKETS, "{answered} of {PACKETS} answered");
    let [cables, _, _, all] = seen(&stage.home.uplinks[0].modem).await?;
    ensure!((cables, all) == (PACKETS as u64, PACKETS as u64), "as they are: {cables} of {all}");

    let cut = stage.happens("cable", LineEvent::SeverOnly(Family::V6)).await?;
    on6(&mut stage, Some("mifi")).await?;
    figure(&format!("severed: left after {} ms", cut.elapsed().as_millis()));
    ensure!(ask(&stage.home, CABLES).await? == PACKETS, "masqueraded by the mifi");
    stage.happens("cable", LineEvent::Restore).await?;
    on6(&mut stage, Some("cable")).await?;
    ensure!(ask(&stage.home, CABLES).await? == PACKETS, "as it was");
    Ok(())
}

async fn a_line_with_a_delegated_prefix_alone_is_refused_when_it_is_dead() -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    delegate_alone(&home).await?;
    for dev in ["usb0", "wlan0"] {
        shell(&home.router, &format!("ip -6 addr flush dev {dev} scope global")).await?;
        shell(&home.router, &format!("ip -6 route del default dev {dev}")).await?;
    }
    shell(&home.client, &format!("ip addr del {MIFIS}/64 dev eth0")).await?;
    let mut stage = Stage::in_home(home, Settings::default(), &[]).await?;
    on6(&mut stage, Some("cable")).await?;
    ensure!(connect(&stage.home).await?.0.is_none(), "control: it connects");
    let cut = stage.happens("cable", LineEvent::SeverOnly(Family::V6)).await?;
    on6(&mut stage, None).await?;
    let tcp = refused(&[connect(&stage.home).await?], io::ErrorKind::ConnectionRefused)?;
    let ms = tcp.as_secs_f64() * 1e3;
    figure(&format!("noticed after {} ms, TCP reset within {ms:.2} ms", cut.elapsed().as_millis()));
    stage.happens("cable", LineEvent::Restore).await?;
    on6(&mut stage, Some("cable")).await?;
    stage.agent.wait_proven(SOON).await?;
    let back = Instant::now();
    while connect(&stage.home).await?.0.is_some() {
        ensure!(back.elapsed() < SOON, "IPv6 is not back");
    }
    Ok(())
}

/// How a client's attempt ended, and after how long.
type Attempt = (Option<io::ErrorKind>, Duration);

/// One TCP connection; `None`: it stood, `TimedOut`: nobody said anything.
async fn connect(home: &Home) -> Result<Attempt> {
    let attempt = async {
        let begun = Instant::now();
        let to = SocketAddr::new(ECHO6, ECHO_PORT);
        let end = timeout(PATIENCE, TcpStream::connect(to)).await;
        (
            end.map_or(Some(io::ErrorKind::TimedOut), |end| end.err().map(|e| e.kind())),
            begun.elapsed(),
        )
    };
    home.client.run(attempt).await
}

/// One datagram and its answer, likewise.
async fn send(home: &Home) -> Result<Attempt> {
    let attempt = async {
        let socket = UdpSocket::bind("[::]:0").await?;
        socket.connect((ECHO6, ECHO_PORT)).await?;
        let begun = Instant::now();
        let talk = async {
            socket.send(b"are you there").await?;
            socket.recv(&mut [0; 64]).await
        };
        let end = timeout(PATIENCE, talk).await;
        let end = end.map_or(Some(io::ErrorKind::TimedOut), |end| end.err().map(|e| e.kind()));
        io::Result::Ok((end, begun.elapsed()))
    };
    Ok(home.client.run(attempt).await??)
}

/// The attempts must all have been refused so; how long the longest took.
fn refused(attempts: &[Attempt], kind: io::ErrorKind) -> Result<Duration> {
    let all = attempts.iter().all(|(end, took)| *end == Some(kind) && *took < AT_ONCE);
    ensure!(all, "not all refused at once as {kind}: {attempts:?}");
    attempts.iter().map(|(_, took)| *took).max().context("no attempts")
}

async fn new_flows_are_refused_at_once_while_ipv6_is_dead() -> Result<()> {
    let mut stage = Stage::new().await?;
    ensure!(connect(&stage.home).await?.0.is_none(), "control: it connects");
    for uplink in ["cable", "mifi", "phone"] {
        stage.happens(uplink, LineEvent::SeverOnly(Family::V6)).await?;
    }
    on6(&mut stage, None).await?;
    let begun = Instant::now();
    let (mut tcp, mut udp) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        tcp.push(connect(&stage.home).await?);
        udp.push(send(&stage.home).await?);
    }
    let tcp = refused(&tcp, io::ErrorKind::ConnectionRefused)?;
    let udp = refused(&udp, io::ErrorKind::PermissionDenied)?;
    let ms = |took: Duration| took.as_secs_f64() * 1e3;
    figure(&format!("TCP reset within {:.2} ms, UDP refused within {:.2} ms", ms(tcp), ms(udp)));

    // The box itself goes on asking, and IPv4 has noticed nothing.
    let asked = async |stage: &Stage| {
        let counters = stage.home.uplinks[2].counters().await?;
        anyhow::Ok(counters.from_router)
    };
    let before = asked(&stage).await?;
    sleep(Duration::from_secs(2)).await;
    ensure!(asked(&stage).await? > before, "its own probes are refused, too");
    stage.nothing_lost_since(begun).await?;

    stage.happens("mifi", LineEvent::Restore).await?;
    on6(&mut stage, Some("mifi")).await?;
    let up = |status: &Status| status.uplink("mifi").is_some_and(|u| u.health == "up");
    stage.agent.wait(SOON, "the mifi proven", up).await?;
    let (end, _) = connect(&stage.home).await?;
    ensure!(end.is_none(), "IPv6 is back: {end:?}");
    ensure!(send(&stage.home).await?.0.is_none(), "IPv6 is back");

    // Control: nobody refuses.
    stage.agent.end(Signal::SIGKILL).await?;
    stage.happens("mifi", LineEvent::SeverOnly(Family::V6)).await?;
    for (end, _) in [connect(&stage.home).await?, send(&stage.home).await?] {
        ensure!(end == Some(io::ErrorKind::TimedOut), "control: {end:?}");
    }
    Ok(())
}

async fn ipv6_goes_with_the_cable_of_the_only_uplink_that_has_it() -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    for dev in ["usb0", "wlan0"] {
        shell(&home.router, &format!("ip -6 addr flush dev {dev} scope global")).await?;
        shell(&home.router, &format!("ip -6 route del default dev {dev}")).await?;
    }
    let mut stage = Stage::in_home(home, Settings::default(), &[]).await?;
    on6(&mut stage, Some("cable")).await?;
    ensure!(send(&stage.home).await?.0.is_none(), "control: it is answered");
    stage.happens("cable", LineEvent::Unplug).await?;
    stage.on("mifi").await?;
    on6(&mut stage, None).await?;
    let udp = [send(&stage.home).await?, send(&stage.home).await?];
    let took = refused(&udp, io::ErrorKind::PermissionDenied)?;
    figure(&format!("UDP refused within {:.2} ms", took.as_secs_f64() * 1e3));
    stage.happens("cable", LineEvent::Restore).await?;
    stage.on("cable").await?;
    stage.agent.wait_proven(SOON).await?;
    ensure!(send(&stage.home).await?.0.is_none(), "it is back");

    // Control: without the last rule a client waits.
    stage.agent.end(Signal::SIGKILL).await?;
    shell(&stage.home.router, "ip -6 rule del pref 32800").await?;
    stage.happens("cable", LineEvent::Unplug).await?;
    let (end, _) = send(&stage.home).await?;
    ensure!(end == Some(io::ErrorKind::TimedOut), "control: {end:?}");
    Ok(())
}

/// What advertises the LAN's prefixes in many routers.
const DNSMASQ: &str = "/usr/sbin/dnsmasq";

/// Ends with the test.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The router's own advertisements, and a client that makes its addresses of them.
async fn advertise(home: &Home) -> Result<Daemon> {
    for key in ["accept_ra", "autoconf"] {
        home.client.sysctl(&format!("net/ipv6/conf/eth0/{key}"), "1").await?;
    }
    let leases = format!("--dhcp-leasefile={}", file("leases").display());
    let words = [
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--user=root",
        "--pid-file=",
        "--port=0",
        "--interface=lan0",
        "--enable-ra",
        "--dhcp-range=::,constructor:lan0,ra-only,64,1h",
        &leases,
    ];
    let words: Vec<OsString> = words.iter().map(OsString::from).collect();
    let mut command = child(Path::new(DNSMASQ), &words);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let started = home.router.run(async move { command.spawn() }).await?;
    Ok(Daemon(started.context("starting dnsmasq")?))
}

/// Whether the client's address of a prefix is deprecated; `None` without such an address.
async fn deprecated(home: &Home, prefix: &str) -> Result<Option<bool>> {
    let all = shell(&home.client, "ip -6 -o addr show dev eth0 scope global").await?;
    let made = |line: &&str| line.contains(prefix) && line.contains("mngtmpaddr");
    Ok(all.lines().find(made).map(|line| line.contains("deprecated")))
}

/// Waits until the client's address of the cable's prefix is, or is not, to be used.
async fn cables_is(home: &Home, wanted: Option<bool>, within: Duration) -> Result<Duration> {
    let begun = Instant::now();
    while deprecated(home, "2001:db8:a0:1:").await? != wanted {
        let all = shell(&home.client, "ip -6 addr show dev eth0").await?;
        ensure!(begun.elapsed() < within, "deprecated is not {wanted:?}:\n{all}");
        sleep(Duration::from_millis(20)).await;
    }
    Ok(begun.elapsed())
}

async fn the_lan_is_told_of_a_dead_prefix() -> Result<()> {
    if !Path::new(DNSMASQ).exists() {
        skip("there is no dnsmasq");
        return Ok(());
    }
    let home = Home::build(&Plan::default()).await?;
    for prefix in ["a0", "b0"] {
        shell(&home.router, &format!("ip addr add 2001:db8:{prefix}:1::1/64 dev lan0 nodad"))
            .await?;
    }
    // The client knows its router from the advertisements alone.
    shell(&home.client, "ip -6 route del default; ip addr del fd77::2/64 dev eth0").await?;
    let mut text = config(&Plan::default(), &Settings::default());
    for (dev, prefix) in [("wan0", "2001:db8:a0::/48"), ("usb0", "2001:db8:b0::/48")] {
        let line = format!("interface = \"{dev}\"\n");
        text = text.replace(&line, &format!("{line}prefixes6 = [\"{prefix}\"]\n"));
    }
    let announcing = text.replace("[lan]\n", "[lan]\nannounce = true\n");
    let mut stage = Stage::in_home_as(home, &announcing).await?;
    // The daemon needs the router to forward, which the agent sees to.
    let _daemon = advertise(&stage.home).await?;
    cables_is(&stage.home, Some(false), SOON).await.context("the client's own address")?;
    let mifis = deprecated(&stage.home, "2001:db8:b0:1:").await?;
    ensure!(mifis == Some(false), "the other prefix: {mifis:?}");
    let router = shell(&stage.home.client, "ip -6 -o route show default").await?;
    ensure!(router.contains("proto ra"), "a default router: {router}");

    stage.happens("cable", LineEvent::SeverOnly(Family::V6)).await?;
    on6(&mut stage, Some("mifi")).await?;
    let took = cables_is(&stage.home, Some(true), SOON).await?;
    let to = format!("ip -6 route get {ECHO6}");
    let way = shell(&stage.home.client, &to).await?;
    ensure!(way.contains("src 2001:db8:b0:1:"), "new connections use the other: {way}");
    ensure!(deprecated(&stage.home, "2001:db8:b0:1:").await? == Some(false), "the other one too");
    let still = shell(&stage.home.client, "ip -6 -o route show default").await?;
    let (gateway, _) = router.split_once(" dev").context("a gateway")?;
    ensure!(still.starts_with(gateway) && still.lines().count() == 1, "the router: {still}");
    figure(&format!("told {} ms after the switch was seen", took.as_millis()));

    stage.happens("cable", LineEvent::Restore).await?;
    cables_is(&stage.home, Some(false), SOON).await.context("told that it lives")?;

    // Control: without the setting nobody is told.
    on6(&mut stage, Some("cable")).await?;
    stage.agent.configure(&text)?;
    stage.agent.must(&["reload"]).await?;
    stage.happens("cable", LineEvent::SeverOnly(Family::V6)).await?;
    on6(&mut stage, Some("mifi")).await?;
    sleep(Duration::from_secs(2)).await;
    cables_is(&stage.home, Some(false), Duration::ZERO).await.context("control")?;
    Ok(())
}
