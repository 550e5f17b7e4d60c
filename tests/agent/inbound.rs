//! What comes in from outside: it is answered by the way it came, stays out of the LAN unless it is
//! forwarded there, and its segments fit.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use nix::sys::socket::{getsockopt, sockopt};
use sparelink::engine::dataplane::nft::{Chain, ChainKind, Hook, HookPoint, Stmt, Table};
use sparelink::lab::agent::config;
use sparelink::lab::internet::ECHO_PORT;
use sparelink::lab::modem::install;
use sparelink::lab::netns::Netns;
use sparelink::lab::script::Settings;
use sparelink::lab::topology::{CLIENT, ECHO4, ECHO6, Home, Plan};
use sparelink::units::IfName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::figure;
use crate::stage::{SOON, Stage, shell};

crate::tests![
    a_port_forward_is_answered_by_a_spare_and_the_lan_is_closed_otherwise,
    segments_fit_the_way_they_take,
];

/// A service of the LAN client, and one of the router; outside they have the same numbers.
const FORWARDED: u16 = 2222;
const OWN: u16 = 2223;
/// How long somebody who is not answered is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// After so long a datagram of the lab has arrived, or never will.
const UNHEARD: Duration = Duration::from_millis(300);
/// The mifi's largest packet.
const SMALL: u32 = 1400;
/// What TCP's timestamps take of every segment (RFC 7323 §3.2), in bytes.
const TIMESTAMPS: u32 = 12;

/// Hands every connection's largest segment out, and holds the connection.
async fn serve(netns: &Netns, at: SocketAddr) -> Result<mpsc::Receiver<u32>> {
    let (tell, told) = mpsc::channel(16);
    let listener = netns.run(async move { TcpListener::bind(at).await }).await??;
    netns.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            if let Ok(mss) = getsockopt(&stream, sockopt::TcpMaxSeg) {
                // Nobody may want to know.
                let _ = tell.send(mss).await;
            }
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    Ok(told)
}

/// Connects and exchanges a word; the largest segment on this side.
async fn call(netns: &Netns, to: SocketAddr) -> Result<u32> {
    let talk = async move {
        let mut stream = TcpStream::connect(to).await?;
        let mss = getsockopt(&stream, sockopt::TcpMaxSeg)?;
        stream.write_all(b"word").await?;
        stream.read_exact(&mut [0; 4]).await?;
        anyhow::Ok(mss)
    };
    let end = netns.run(async move { timeout(PATIENCE, talk).await }).await?;
    end.with_context(|| format!("{to} does not answer"))?
}

/// Port forwards of somebody else, in the router or in a modem, for what comes in by `dev`.
async fn forward_ports(netns: &Netns, dev: &str, to: &[(u16, &str)]) -> Result<()> {
    let dev = IfName::new(dev).context("a name")?;
    let rule = |(port, to): &(u16, &str)| -> Result<Vec<Stmt>> {
        let to: IpAddr = to.parse()?;
        let family = sparelink::units::Family::of(&to);
        Ok(vec![
            Stmt::Iifname(dev.clone()),
            Stmt::Nfproto(family),
            Stmt::L4proto(6),
            Stmt::Dport(*port),
            Stmt::Dnat(to, None),
        ])
    };
    let hook = Hook { kind: ChainKind::Nat, point: HookPoint::Prerouting, priority: -100 };
    let rules = to.iter().map(rule).collect::<Result<_>>()?;
    let table = Table {
        name: "theirs".to_owned(),
        chains: vec![Chain { name: "forwards".to_owned(), hook: Some(hook), rules }],
        ..Table::default()
    };
    install(netns, table).await
}

/// A service on the client and one on the router, both to be reached by the mifi, which is a spare.
async fn with_services() -> Result<(Stage, mpsc::Receiver<u32>, [SocketAddr; 2])> {
    let mut stage = Stage::new().await?;
    let home = &stage.home;
    let told = serve(&home.client, SocketAddr::new("::".parse()?, FORWARDED)).await?;
    drop(serve(&home.router, SocketAddr::new("::".parse()?, OWN)).await?);
    let mifi = &home.uplinks[1];
    let router4 = mifi.at.router4.to_string();
    forward_ports(&mifi.modem, "line", &[(FORWARDED, &router4), (OWN, &router4)]).await?;
    forward_ports(&home.router, "usb0", &[(FORWARDED, CLIENT), (FORWARDED, "fd77::2")]).await?;
    let outside: [IpAddr; 2] = ["100.64.1.2".parse()?, IpAddr::V6(mifi.at.router6)];
    stage.on("cable").await.context("the mifi is a spare")?;
    Ok((stage, told, outside.map(|ip| SocketAddr::new(ip, FORWARDED))))
}

async fn a_port_forward_is_answered_by_a_spare_and_the_lan_is_closed_otherwise() -> Result<()> {
    let (stage, _told, outside) = with_services().await?;
    let home = &stage.home;
    for to in outside {
        call(&home.target, to).await.context("a port forward through a spare")?;
        call(&home.target, SocketAddr::new(to.ip(), OWN)).await.context("a service of the box")?;
    }
    // Somebody at the mifi's modem sends packets straight to the LAN.
    let way =
        "ip route add 192.168.77.0/24 via 192.168.11.2; ip route add fd77::/64 via 2001:db8:11::2";
    shell(&stage.home.uplinks[1].modem, way).await?;
    let lan: [IpAddr; 2] = [CLIENT.parse()?, "fd77::2".parse()?];
    for to in lan {
        ensure!(!arrives(&stage.home, to).await?, "{to} is open to the modem");
    }
    let guarded = shell(&stage.home.router, "nft list counter inet sparelink guarded").await?;
    ensure!(guarded.contains("packets 2 "), "not by the guard: {guarded}");

    // Control: without the guard it is open.
    let text = config(&Plan::default(), &Settings::default());
    stage.agent.configure(&text.replace("[lan]\n", "[lan]\nguard = false\n"))?;
    stage.agent.must(&["reload"]).await?;
    let begun = Instant::now();
    for to in lan {
        while !arrives(&stage.home, to).await? {
            ensure!(begun.elapsed() < SOON, "control: {to} without the guard");
        }
    }
    Ok(())
}

/// Whether a datagram from the mifi's modem reaches the client.
async fn arrives(home: &Home, to: IpAddr) -> Result<bool> {
    let to = SocketAddr::new(to, OWN);
    let socket = home.client.run(async move { UdpSocket::bind(to).await }).await??;
    let send = async move {
        let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
        UdpSocket::bind((any, 0)).await?.send_to(b"anybody in?", to).await
    };
    home.uplinks[1].modem.run(send).await??;
    let heard = async move { timeout(UNHEARD, socket.recv(&mut [0; 64])).await };
    Ok(home.client.run(heard).await?.is_ok())
}

/// What both sides of a connection took for the largest segment, whatever the family: a packet less
/// its headers and timestamps.
fn expected(mtu: u32, to: SocketAddr) -> u32 {
    mtu - TIMESTAMPS - if to.is_ipv4() { 40 } else { 60 }
}

async fn segments_fit_the_way_they_take() -> Result<()> {
    let (mut stage, mut told, outside) = with_services().await?;
    let echoes = [ECHO4, ECHO6].map(|ip| SocketAddr::new(ip, ECHO_PORT));
    // A server beyond, to see the other side of what the LAN begins.
    let far = SocketAddr::new("::".parse()?, FORWARDED);
    let mut far = serve(&stage.home.target, far).await?;
    let beyond = echoes.map(|to| SocketAddr::new(to.ip(), FORWARDED));
    let both = async |stage: &Stage, far: &mut mpsc::Receiver<u32>, to| {
        let near = call(&stage.home.client, to).await?;
        anyhow::Ok([near, far.recv().await.context("the server told nothing")?])
    };
    // An interface like that of many sticks: nobody tells the modem or the far end.
    shell(&stage.home.router, &format!("ip link set usb0 mtu {SMALL}")).await?;
    sleep(Duration::from_millis(500)).await;
    for to in beyond {
        let sizes = both(&stage, &mut far, to).await?;
        ensure!(sizes == [expected(1500, to); 2], "by the cable: {sizes:?} to {to}");
    }
    let mut inbound = Vec::new();
    for to in outside {
        let caller = call(&stage.home.target, to).await?;
        let sizes = [caller, told.recv().await.context("the client told nothing")?];
        ensure!(sizes == [expected(SMALL, to); 2], "in by the spare: {sizes:?} at {to}");
        inbound.extend(sizes);
    }
    stage.agent.must(&["switch", "mifi"]).await?;
    stage.on("mifi").await?;
    for to in beyond {
        let sizes = both(&stage, &mut far, to).await?;
        ensure!(sizes == [expected(SMALL, to); 2], "by the mifi: {sizes:?} to {to}");
    }
    figure(&format!("segments in by a spare of MTU {SMALL}: {inbound:?}"));

    // A client with a smaller packet keeps it: a size is only ever lowered.
    shell(&stage.home.client, "ip link set eth0 mtu 1300").await?;
    for to in beyond {
        let sizes = both(&stage, &mut far, to).await?;
        ensure!(sizes == [expected(1300, to); 2], "raised: {sizes:?} to {to}");
    }
    shell(&stage.home.client, "ip link set eth0 mtu 1500").await?;

    // Control: without the sizes by interface, what comes in by a spare is cut to the cable's.
    stage.agent.end(Signal::SIGKILL).await?;
    let back = "ip route replace default via 192.168.10.1 dev wan0 table 8300 metric 1 proto 83";
    shell(&stage.home.router, back).await?;
    shell(&stage.home.router, "nft flush map inet sparelink mss4").await?;
    let caller = call(&stage.home.target, outside[0]).await?;
    let client = told.recv().await.context("the client told nothing")?;
    ensure!(
        (caller, client) == (expected(SMALL, outside[0]), expected(1500, outside[0])),
        "control: {caller}, {client}"
    );
    Ok(())
}
