//! Whose source address a packet has: others' NAT decides first, and a subnet that a provider routes to the box
//! is nobody's to translate.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ipnet::IpNet;
use nix::sys::signal::Signal;
use sparelink::lab::agent::{Status, config};
use sparelink::lab::netns::{Netns, cable, end};
use sparelink::lab::script::{LineEvent, Settings};
use sparelink::lab::topology::{CLIENT, ECHO4, ECHO6, Home, Plan};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::{Instant, sleep, timeout};

use crate::figure;
use crate::stage::{AGENT, SOON, Stage, in_netns, shell};

crate::tests![
    others_decide_about_sources_first,
    a_routed_subnet_works_in_and_out_over_three_failovers,
    #[ignore = "long: ten failovers"]
    a_routed_subnet_works_in_and_out_over_ten_failovers,
];

/// Where those listen who say whom they see.
const MIRROR: u16 = 5005;
/// The addresses of the echo server, as text.
const BEYOND: [&str; 2] = ["203.0.113.7", "2001:db8:cafe::7"];
/// How long somebody who is not answered is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// Whoever is refused hears of it in that time; a lab of three boxes takes a millisecond.
const AT_ONCE: Duration = Duration::from_millis(300);

/// Answers everybody with the address that it sees, by UDP and TCP, at these addresses: among several the kernel
/// might choose another one to answer from.
async fn mirror(netns: &Netns, at: &[&str]) -> Result<()> {
    for address in at {
        let at = SocketAddr::new(address.parse()?, MIRROR);
        let open =
            async move { anyhow::Ok((UdpSocket::bind(at).await?, TcpListener::bind(at).await?)) };
        let (udp, tcp) = netns.run(open).await??;
        netns.spawn(async move {
            let mut buffer = [0; 64];
            while let Ok((_, from)) = udp.recv_from(&mut buffer).await {
                // Somebody who is gone by now needs no answer.
                let _ = udp.send_to(seen(from).as_bytes(), from).await;
            }
        });
        netns.spawn(async move {
            while let Ok((mut stream, from)) = tcp.accept().await {
                let _ = stream.write_all(seen(from).as_bytes()).await;
            }
        });
    }
    Ok(())
}

fn seen(from: SocketAddr) -> String {
    from.ip().to_string()
}

/// How somebody is asked.
#[derive(Clone, Copy, Debug)]
enum By {
    Udp,
    Tcp,
}

/// Whom somebody there sees; an error: nobody, and why.
async fn asks(from: &Netns, to: IpAddr, by: By) -> Result<String> {
    let to = SocketAddr::new(to, MIRROR);
    let ask = async move {
        let mut buffer = [0; 64];
        let length = match by {
            By::Udp => {
                let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(any).await?;
                socket.connect(to).await?;
                socket.send(b"whom do you see?").await?;
                socket.recv(&mut buffer).await?
            }
            By::Tcp => TcpStream::connect(to).await?.read(&mut buffer).await?,
        };
        anyhow::Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
    };
    from.run(async move { timeout(PATIENCE, ask).await }).await?.context("no answer")?
}

/// One rule for one client, as a firewall of the household may have it.
const THEIR_NAT: &str = "ip addr add 192.168.10.102/24 dev wan0
nft -f - <<END
table ip theirs {
    chain post {
        type nat hook postrouting priority srcnat
        oifname wan0 ip saddr 192.168.77.2 snat to 192.168.10.102
    }
}
END";

/// Which sources the cable's modem has seen of those who ask the mirror.
const MODEM_LOOKS: &str = "nft -f - <<END
table ip look {
    counter theirs {}
    counter ours {}
    chain looks {
        type filter hook prerouting priority -300
        iifname lan ip saddr 192.168.10.102 udp dport 5005 counter name theirs
        iifname lan ip saddr 192.168.10.2 udp dport 5005 counter name ours
    }
}
END";

async fn others_decide_about_sources_first() -> Result<()> {
    for order in ["before", "after"] {
        let home = Home::build(&Plan::default()).await?;
        mirror(&home.target, &BEYOND).await?;
        if order == "before" {
            shell(&home.router, THEIR_NAT).await?;
        }
        let stage = Stage::in_home(home, Settings::default(), &[]).await?;
        if order == "after" {
            shell(&stage.home.router, THEIR_NAT).await?;
        }
        let modem = &stage.home.uplink("cable")?.modem;
        shell(modem, MODEM_LOOKS).await?;
        for _ in 0..5 {
            asks(&stage.home.client, ECHO4, By::Udp).await?;
        }
        let own = shell(modem, "nft list counter ip look ours").await?;
        let snat = shell(modem, "nft list counter ip look theirs").await?;
        ensure!(snat.contains("packets 5 "), "loaded {order} the agent: {snat} {own}");
        // Others on the same line are masqueraded as ever.
        asks(&stage.home.router, ECHO4, By::Udp).await?;
        let own = shell(modem, "nft list counter ip look ours").await?;
        ensure!(own.contains("packets 1 "), "control: {own}");
        figure(&format!("loaded {order} the agent: 5 of 5 as the rule says"));
    }
    Ok(())
}

/// What the provider of the cable routes to the box, and the box to its servers.
const SUBNETS: &str = "[\"198.18.5.0/29\", \"2001:db8:5::/48\"]";
const SERVER: [&str; 2] = ["198.18.5.2", "2001:db8:5::2"];

/// A home with a server that has addresses of its own in the Internet, over the cable.
async fn with_server() -> Result<(Home, Netns)> {
    let home = Home::build(&Plan::default()).await?;
    let dmz = Netns::new("server").await?;
    cable(end(&dmz, "eth0"), end(&home.router, "dmz0")).await?;
    for (netns, dev, host) in [(&dmz, "eth0", 2), (&*home.router, "dmz0", 1)] {
        netns.address(dev, &format!("198.18.5.{host}/29")).await?;
        netns.address(dev, &format!("2001:db8:5::{host}/64")).await?;
    }
    dmz.default_routes("eth0", "198.18.5.1".parse()?, "2001:db8:5::1".parse()?, 100).await?;
    let uplink = home.uplink("cable")?;
    let to_box = format!(
        "ip route add 198.18.5.0/29 via {}; ip -6 route add 2001:db8:5::/48 via {}
         nft insert rule inet lab_modem nat ip saddr 198.18.5.0/29 return",
        uplink.at.router4, uplink.at.router6
    );
    shell(&uplink.modem, &to_box).await?;
    let to_provider = "ip route add 198.18.5.0/29 via 198.18.0.2 dev isp0
                       ip -6 route add 2001:db8:5::/48 via fe80::2 dev isp0";
    shell(&home.core, to_provider).await?;
    mirror(&home.target, &BEYOND).await?;
    mirror(&dmz, &SERVER).await?;
    Ok((home, dmz))
}

/// The server is seen as what it is, and reached, in both IP versions, by UDP and TCP.
async fn works(home: &Home, dmz: &Netns) -> Result<()> {
    for (server, beyond) in SERVER.into_iter().zip([ECHO4, ECHO6]) {
        for by in [By::Udp, By::Tcp] {
            let seen =
                asks(dmz, beyond, by).await.with_context(|| format!("{by:?} to {beyond}"))?;
            ensure!(seen == server, "{server} is seen as {seen}");
            let caller = asks(&home.target, server.parse()?, by).await;
            let caller = caller.with_context(|| format!("{by:?} in to {server}"))?;
            // Which of its own addresses it calls from is the far machine's choice.
            let servers = IpNet::new(beyond, if beyond.is_ipv4() { 24 } else { 64 })?.trunc();
            ensure!(servers.contains(&caller.parse::<IpAddr>()?), "the server sees {caller}");
        }
    }
    Ok(())
}

/// By another uplink no answer could ever come back, so it is said at once.
async fn is_refused_at_once(dmz: &Netns) -> Result<Duration> {
    let mut longest = Duration::ZERO;
    for beyond in [ECHO4, ECHO6] {
        for by in [By::Udp, By::Tcp] {
            let begun = Instant::now();
            let refused = asks(dmz, beyond, by).await;
            let took = begun.elapsed();
            ensure!(refused.is_err(), "{by:?} to {beyond} left by another uplink: {refused:?}");
            ensure!(took < AT_ONCE, "{by:?} to {beyond} was not refused within {took:?}");
            longest = longest.max(took);
        }
    }
    Ok(longest)
}

/// Waits until it works.
async fn works_soon(home: &Home, dmz: &Netns) -> Result<Duration> {
    let begun = Instant::now();
    loop {
        match works(home, dmz).await {
            Ok(()) => return Ok(begun.elapsed()),
            Err(error) => ensure!(begun.elapsed() < SOON, "{error:#}"),
        }
        sleep(Duration::from_millis(50)).await;
    }
}

async fn a_routed_subnet_works_in_and_out_over_three_failovers() -> Result<()> {
    a_routed_subnet_over(3).await
}

async fn a_routed_subnet_works_in_and_out_over_ten_failovers() -> Result<()> {
    a_routed_subnet_over(10).await
}

/// Waits until both IP versions are on the mifi: each is judged by itself.
async fn on_mifi(stage: &mut Stage) -> Result<()> {
    let on_it = |s: &Status| [&s.active, &s.active6].iter().all(|a| a.as_deref() == Some("mifi"));
    stage.agent.wait(SOON, "everything on the mifi", on_it).await.map(drop)
}

async fn a_routed_subnet_over(failovers: u32) -> Result<()> {
    let (home, dmz) = with_server().await?;
    let text = config(&Plan::default(), &Settings::default());
    let routed = format!("interface = \"wan0\"\nprefixes = {SUBNETS}\n");
    let with = text.replacen("interface = \"wan0\"\n", &routed, 1);
    ensure!(with != text, "control: {text}");
    let mut stage = Stage::configured(home, with, Path::new(AGENT), &[]).await?;
    works(&stage.home, &dmz).await?;
    let mut refused = Duration::ZERO;
    for _ in 0..failovers {
        stage.happens("cable", LineEvent::Sever).await?;
        on_mifi(&mut stage).await?;
        refused = refused.max(is_refused_at_once(&dmz).await?);
        stage.happens("cable", LineEvent::Restore).await?;
        stage.on("cable").await?;
        works_soon(&stage.home, &dmz).await?;
    }
    figure(&format!("{failovers} failovers; elsewhere refused within {} ms", refused.as_millis()));
    what_is_not_routed_stays_closed(&stage).await?;
    // Control: without the key the server has no way in, and others see the box.
    stage.agent.configure(&text)?;
    stage.agent.must(&["reload"]).await?;
    let begun = Instant::now();
    while asks(&dmz, ECHO4, By::Udp).await.is_ok_and(|seen| seen == SERVER[0]) {
        ensure!(begun.elapsed() < SOON, "control: it is translated without the key");
    }
    ensure!(asks(&stage.home.target, SERVER[0].parse()?, By::Tcp).await.is_err(), "control: in");
    // Control: without an agent the network is as it was built.
    stage.agent.end(Signal::SIGTERM).await?;
    stage.purge().await?.must(0)?;
    // Which includes that the router does not forward.
    stage.home.router.forward().await?;
    works_soon(&stage.home, &dmz).await?;
    Ok(())
}

/// The guard is open for that subnet on that uplink alone, and others' firewalls still decide.
async fn what_is_not_routed_stays_closed(stage: &Stage) -> Result<()> {
    let home = &stage.home;
    mirror(&home.client, &[CLIENT]).await?;
    let cable = &home.uplink("cable")?.modem;
    shell(cable, "ip route add 192.168.77.0/24 via 192.168.10.2").await?;
    ensure!(asks(cable, CLIENT.parse()?, By::Udp).await.is_err(), "the LAN is open to the modem");
    let mifi = &home.uplink("mifi")?.modem;
    shell(mifi, "ip route add 198.18.5.0/29 via 192.168.11.2").await?;
    ensure!(asks(mifi, SERVER[0].parse()?, By::Udp).await.is_err(), "it is open by the mifi");
    let wall = "nft 'table inet wall { chain f { type filter hook forward priority 0; tcp dport 5005 oifname dmz0 drop; }; }'";
    in_netns(&home.router, "/bin/sh", &["-ec", &format!("PATH=/usr/sbin:/sbin:/bin {wall}")])
        .await?
        .must(0)?;
    let server = SERVER[0].parse()?;
    ensure!(asks(&home.target, server, By::Tcp).await.is_err(), "somebody's firewall is passed by");
    ensure!(asks(&home.target, server, By::Udp).await.is_ok(), "control: what it allows");
    shell(&home.router, "nft delete table inet wall").await?;
    Ok(())
}
