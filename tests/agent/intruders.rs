//! Packets that nobody asked for, from somebody on the far side of an uplink: they end at the router.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use sparelink::lab::agent::config;
use sparelink::lab::script::Settings;
use sparelink::lab::topology::{CLIENT, ECHO4, Home, Plan};
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep, timeout};

use crate::packets::{ACK, FIN, Head, ICMP, RST, SYN, TCP, UDP, icmp, tcp, udp};
use crate::stage::{SOON, Stage, shell};

crate::tests![
    what_nobody_asked_for_ends_at_the_router,
    without_the_guard_names_are_not_borrowed_and_nothing_is_relayed,
    a_spares_routes_carry_nothing,
];

/// Of each kind.
const EACH: u64 = 5;
/// After this long a packet of the lab has arrived, or never will.
const ARRIVED: Duration = Duration::from_millis(300);
/// The neighbour: the mifi's modem, as the router sees it.
const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(192, 168, 11, 1);
/// The router on the mifi.
const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 168, 11, 2);
/// The router in the LAN.
const GATE: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 1);
/// A host of a network that `[lan]` does not name.
const GUEST: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 2);
/// A host in the Internet that the neighbour reaches through the router.
const BEYOND: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 9);
/// A service of the box.
const SERVICE: u16 = 5300;

/// What arrived, of [`EACH`] of a kind.
#[derive(Debug, Default, PartialEq, Eq)]
struct Arrived {
    /// TCP out of nowhere, with wrong checksums, and answers to no echo, at a LAN host.
    client: u64,
    /// UDP at a host of another network behind the router.
    guest: u64,
    /// UDP in the name of a LAN client, at a service of the box.
    in_lans_name: u64,
    /// UDP at the box's address in the LAN.
    gate: u64,
    /// UDP that goes out again by another uplink.
    relayed: u64,
}

/// How many kinds are sent to the LAN host.
const KINDS: u64 = 5;
const ALL: Arrived =
    Arrived { client: KINDS * EACH, guest: EACH, in_lans_name: EACH, gate: EACH, relayed: EACH };

/// A home in which everything that the neighbour sends is counted where it arrives.
async fn watched() -> Result<Stage> {
    let stage = Stage::new().await?;
    let home = &stage.home;
    // A network behind which nobody answers.
    let guests = format!(
        "ip link add guest0 type veth peer name guest1; ip addr add 10.88.0.1/24 dev guest0
        ip link set guest0 up; ip link set guest1 up
        ip neigh add {GUEST} lladdr 02:00:00:00:00:02 dev guest0
        nft add table ip eye
        nft add chain ip eye eye '{{ type filter hook postrouting priority 400; }}'
        nft add rule ip eye eye ip daddr {GUEST} counter"
    );
    shell(&home.router, &guests).await?;
    let routes = format!(
        "for to in {CLIENT} {GATE} {GUEST} {BEYOND}; do
        ip route replace $to via {ROUTER}; done"
    );
    shell(&home.uplinks[1].modem, &routes).await?;
    let count = |from: &str| {
        format!(
            "nft add table ip eye; nft add chain ip eye eye \
             '{{ type filter hook prerouting priority -400; }}'; nft add rule ip eye eye {from} counter"
        )
    };
    let neighbour = format!("ip saddr {NEIGHBOUR}");
    shell(&home.client, &count(&neighbour)).await?;
    shell(&home.uplinks[0].modem, &count(&format!("ip daddr {BEYOND}"))).await?;
    Ok(stage)
}

/// How many packets the eye of that namespace has seen.
async fn seen(netns: &sparelink::lab::netns::Netns) -> Result<u64> {
    let listed = shell(netns, "nft list chain ip eye eye").await?;
    let words: Vec<&str> = listed.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "packets").context("no counter")?;
    Ok(words.get(at + 1).context("no number")?.parse()?)
}

/// Sends everything, and tells what arrived.
async fn intrude(home: &Home) -> Result<Arrived> {
    let service = home.router.run(async { UdpSocket::bind(("0.0.0.0", SERVICE)).await }).await??;
    let before =
        (seen(&home.client).await?, seen(&home.router).await?, seen(&home.uplinks[0].modem).await?);
    let client: Ipv4Addr = CLIENT.parse()?;
    home.uplinks[1].modem.run(async move { send_all(client) }).await??;
    let (mut in_lans_name, mut gate) = (0, 0);
    let hear = async {
        let mut room = [0; 64];
        while let Ok(Ok((_, from))) = timeout(ARRIVED, service.recv_from(&mut room)).await {
            let lan = from.ip() == client;
            *(if lan { &mut in_lans_name } else { &mut gate }) += 1;
        }
    };
    hear.await;
    sleep(ARRIVED).await;
    Ok(Arrived {
        client: seen(&home.client).await? - before.0,
        guest: seen(&home.router).await? - before.1,
        in_lans_name,
        gate,
        relayed: seen(&home.uplinks[0].modem).await? - before.2,
    })
}

fn send_all(client: Ipv4Addr) -> Result<()> {
    let raw = socket2::Socket::new(
        socket2::Domain::IPV4,
        socket2::Type::RAW,
        Some(socket2::Protocol::from(libc_raw())),
    )?;
    for n in 0..EACH {
        let port = 40_000 + u16::try_from(n)?;
        let send = |from: Ipv4Addr, to: Ipv4Addr, protocol: u8, body: &[u8]| {
            let packet = Head::new(from.into(), to.into()).packet(protocol, body);
            raw.send_to(&packet, &SocketAddr::from((to, 0)).into())
        };
        let segment = |port, flags| tcp(NEIGHBOUR.into(), client.into(), [443, port], flags);
        for flags in [SYN | ACK, RST, FIN | ACK] {
            let port = port + 1000 * u16::from(flags) % 9000;
            send(NEIGHBOUR, client, TCP, &segment(port, flags))?;
        }
        let mut wrong = segment(port + 500, SYN);
        wrong[16] ^= 0x55;
        send(NEIGHBOUR, client, TCP, &wrong)?;
        // An answer to an echo that nobody sent (RFC 792).
        let [high, low] = port.to_be_bytes();
        let ends = [NEIGHBOUR.into(), client.into()];
        send(NEIGHBOUR, client, ICMP, &icmp(ends, [0, 0], [high, low, 0, 1], &[]))?;
        for (from, to) in
            [(NEIGHBOUR, GUEST), (client, ROUTER), (NEIGHBOUR, GATE), (NEIGHBOUR, BEYOND)]
        {
            let datagram = udp(from.into(), to.into(), [port, SERVICE], b"hey!");
            send(from, to, UDP, &datagram)?;
        }
    }
    Ok(())
}

/// `IPPROTO_RAW`: the header comes with the packet (raw(7)).
const fn libc_raw() -> i32 {
    255
}

async fn what_nobody_asked_for_ends_at_the_router() -> Result<()> {
    let mut stage = watched().await?;
    let arrived = intrude(&stage.home).await?;
    ensure!(arrived == Arrived::default(), "by the mifi came {arrived:?}");
    let counters = shell(&stage.home.router, "nft list counters table inet sparelink").await?;
    ensure!(!counters.contains("forged {\n\t\tpackets 0"), "not told apart: {counters}");

    // Control: without the table all of it arrives, forwarding being on.
    stage.agent.end(Signal::SIGKILL).await?;
    shell(&stage.home.router, "nft delete table inet sparelink").await?;
    let arrived = intrude(&stage.home).await?;
    ensure!(arrived == ALL, "control: {arrived:?}, not {ALL:?}");
    Ok(())
}

async fn without_the_guard_names_are_not_borrowed_and_nothing_is_relayed() -> Result<()> {
    let stage = watched().await?;
    let text = config(&Plan::default(), &Settings::default());
    stage.agent.configure(&text.replace("[lan]\n", "[lan]\nguard = false\n"))?;
    stage.agent.must(&["reload"]).await?;
    let open = Arrived { in_lans_name: 0, relayed: 0, ..ALL };
    let begun = Instant::now();
    loop {
        let arrived = intrude(&stage.home).await?;
        if arrived == open {
            return Ok(());
        }
        ensure!(begun.elapsed() < SOON, "without the guard: {arrived:?}, not {open:?}");
    }
}

/// Which device the router sends a packet to that address by.
async fn leaves_by(home: &Home, to: &str) -> Result<String> {
    let said = shell(&home.router, &format!("ip route get {to}")).await?;
    let after = said.split_whitespace().skip_while(|word| *word != "dev").nth(1);
    Ok(after.context("no way")?.to_owned())
}

async fn a_spares_routes_carry_nothing() -> Result<()> {
    let mut stage = Stage::new().await?;
    let home = &stage.home;
    let eye = format!(
        "nft add table ip eye; nft add chain ip eye eye \
         '{{ type filter hook prerouting priority -400; }}'
         nft add rule ip eye eye ip daddr {ECHO4} counter"
    );
    shell(&home.uplinks[1].modem, &eye).await?;
    let before = seen(&home.uplinks[1].modem).await?;
    // A lease of the mifi's, a modem's page, somebody's tunnel.
    let routes = "ip route add 0.0.0.0/1 via 192.168.11.1 dev usb0 proto dhcp
        ip route add 128.0.0.0/1 via 192.168.11.1 dev usb0 proto dhcp
        ip route add 192.168.100.1 dev wan0 scope link
        ip link add tun9 type veth peer name tun8; ip link set tun8 up
        ip link set tun9 up; ip route add 8.0.0.0/7 dev tun9
        ip route add 8.0.0.0/8 via 192.168.11.1 dev usb0 proto dhcp";
    let begun = Instant::now();
    shell(&home.router, routes).await?;
    loop {
        let told = stage.agent.command(&["history"]).await?.stdout;
        if String::from_utf8_lossy(&told).contains("are ignored") {
            break;
        }
        ensure!(begun.elapsed() < SOON, "nothing is said of it");
        sleep(Duration::from_millis(20)).await;
    }
    sleep(Duration::from_millis(500)).await;
    let at_once = seen(&home.uplinks[1].modem).await?;
    crate::figure(&format!("{} packets left before it was noticed", at_once - before));
    stage.nothing_lost_since(Instant::now()).await?;
    ensure!(
        seen(&stage.home.uplinks[1].modem).await? == at_once,
        "traffic leaves by the mifi's routes"
    );
    let home = &stage.home;
    let ways = [
        ("192.168.100.1", "wan0"),
        ("192.168.77.2", "lan0"),
        ("192.168.11.1", "usb0"),
        ("8.1.1.1", "tun9"),
        ("203.0.113.99", "wan0"),
    ];
    for (to, dev) in ways {
        let by = leaves_by(home, to).await?;
        ensure!(by == dev, "{to} is reached by {by}, not {dev}");
    }
    // The routes go, and all is as before.
    shell(&home.router, "ip route del 0.0.0.0/1; ip route del 128.0.0.0/1; ip route del 8.0.0.0/8")
        .await?;
    let begun = Instant::now();
    while !shell(&home.router, "ip rule").await?.contains("8300:\tfrom all lookup main") {
        ensure!(begun.elapsed() < SOON, "still passed over");
        sleep(Duration::from_millis(20)).await;
    }
    // Control: without the agent those routes do win.
    stage.agent.end(Signal::SIGKILL).await?;
    let lease = "ip route add 0.0.0.0/1 via 192.168.11.1 dev usb0 proto dhcp
        ip route add 128.0.0.0/1 via 192.168.11.1 dev usb0 proto dhcp";
    shell(&stage.home.router, lease).await?;
    ensure!(leaves_by(&stage.home, "203.0.113.99").await? == "usb0", "control");
    Ok(())
}
