//! What others forward beside us: television by multicast, and guests on the same bridge as an uplink.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sparelink::lab::agent::config;
use sparelink::lab::internet::ECHO_PORT;
use sparelink::lab::netns::{Netns, cable, end};
use sparelink::lab::script::{LineEvent, Settings};
use sparelink::lab::stage::child;
use sparelink::lab::topology::{ECHO4, Home, Plan};
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep, timeout};

use crate::stage::{AGENT, SOON, Stage, file, shell};
use crate::{figure, skip};

crate::tests![
    television_comes_through_as_the_multicast_routes_say,
    guests_on_an_uplinks_bridge_are_not_ours,
];

/// Groups in which somebody sends, and a port.
const GROUP4: Ipv4Addr = Ipv4Addr::new(239, 35, 10, 4);
const GROUP6: Ipv6Addr = Ipv6Addr::new(0xff0e, 0, 0, 0, 0, 0, 0x3510, 4);
const CHANNEL: u16 = 5004;
/// After so long a datagram of the lab has arrived, or never will.
const UNHEARD: Duration = Duration::from_millis(500);

/// What igmpproxy and mld6igmp tell the kernel: from the cable to the LAN, of the modem's groups.
const PROXY: &str = r#"
import socket, struct, sys, time
def index(name): return socket.if_nametoindex(name)
def mr4():
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP)
    s.setsockopt(socket.IPPROTO_IP, 200, 1)
    for vif, dev in ((0, "wan0"), (1, "lan0")):
        s.setsockopt(socket.IPPROTO_IP, 202, struct.pack("HBBIiI", vif, 8, 1, 0, index(dev), 0))
    ttls = bytes([0, 1] + [0] * 30)
    mfc = socket.inet_aton("192.168.10.1") + socket.inet_aton("239.35.10.4")
    s.setsockopt(socket.IPPROTO_IP, 204, mfc + struct.pack("H", 0) + ttls + b"\0\0" + struct.pack("IIIi", 0, 0, 0, 0))
    return s
def mr6():
    s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    s.setsockopt(socket.IPPROTO_IPV6, 200, 1)
    for mif, dev in ((0, "wan0"), (1, "lan0")):
        s.setsockopt(socket.IPPROTO_IPV6, 202, struct.pack("HBBHI", mif, 0, 1, index(dev), 0))
    def addr(text): return struct.pack("HHI", socket.AF_INET6, 0, 0) + socket.inet_pton(socket.AF_INET6, text) + struct.pack("I", 0)
    ifs = struct.pack("8I", 2, 0, 0, 0, 0, 0, 0, 0)
    s.setsockopt(socket.IPPROTO_IPV6, 204, addr("2001:db8:10::1") + addr("ff0e::3510:4") + struct.pack("HH", 0, 0) + ifs)
    return s
try:
    kept = [mr4(), mr6()]
except OSError as e:
    print("no", e, flush=True); sys.exit(0)
print("yes", flush=True)
time.sleep(120)
"#;

/// Hears the groups in the LAN.
async fn television(client: &Netns) -> Result<[UdpSocket; 2]> {
    let eth0 = client.index("eth0").await?;
    let join = async move {
        let v4 = UdpSocket::bind(SocketAddr::from((GROUP4, CHANNEL))).await?;
        v4.join_multicast_v4(GROUP4, "192.168.77.2".parse()?)?;
        let v6 = UdpSocket::bind(SocketAddr::from((GROUP6, CHANNEL))).await?;
        v6.join_multicast_v6(&GROUP6, eth0)?;
        anyhow::Ok([v4, v6])
    };
    client.run(join).await?
}

/// The modem sends a hundred packets to both groups; how many are heard of each.
async fn hundred(home: &Home, sets: &[UdpSocket; 2]) -> Result<[u32; 2]> {
    let modem = &home.uplink("cable")?.modem;
    let lan = modem.index("lan").await?;
    let send = async move {
        let v4 = UdpSocket::bind("192.168.10.1:0").await?;
        v4.set_multicast_ttl_v4(8)?;
        let v6 = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::DGRAM, None)?;
        v6.set_multicast_hops_v6(8)?;
        v6.set_multicast_if_v6(lan)?;
        v6.set_nonblocking(true)?;
        v6.bind(&SocketAddr::new("2001:db8:10::1".parse()?, 0).into())?;
        let v6 = UdpSocket::from_std(v6.into())?;
        for _ in 0..100 {
            v4.send_to(b"a picture", (GROUP4, CHANNEL)).await?;
            v6.send_to(b"a picture", (GROUP6, CHANNEL)).await?;
            sleep(Duration::from_millis(2)).await;
        }
        anyhow::Ok(())
    };
    modem.run(send).await??;
    let mut heard = [0; 2];
    for (count, set) in heard.iter_mut().zip(sets) {
        let mut buffer = [0; 64];
        while let Ok(Ok(_)) = timeout(UNHEARD, set.recv(&mut buffer)).await {
            *count += 1;
        }
    }
    Ok(heard)
}

async fn television_comes_through_as_the_multicast_routes_say() -> Result<()> {
    let python = Path::new("/usr/bin/python3");
    if !python.exists() {
        skip("there is no python3");
        return Ok(());
    }
    let mut stage = Stage::new().await?;
    let script = file("proxy.py");
    std::fs::write(&script, PROXY)?;
    let output = file("proxy.out");
    let mut command = child(python, &[script.into()]);
    command.stdout(std::fs::File::create(&output)?);
    let mut proxy = stage.home.router.run(async move { command.spawn() }).await??;
    let begun = Instant::now();
    let said = loop {
        let said = std::fs::read_to_string(&output)?;
        if said.ends_with('\n') {
            break said;
        }
        ensure!(begun.elapsed() < SOON, "nothing of the proxy");
        sleep(Duration::from_millis(20)).await;
    };
    let played = async {
        if !said.starts_with("yes") {
            skip(&format!("this kernel has no multicast routing: {}", said.trim()));
            return Ok(());
        }
        let sets = television(&stage.home.client).await?;
        let heard = hundred(&stage.home, &sets).await?;
        figure(&format!("{} of 100 by IPv4, {} of 100 by IPv6", heard[0], heard[1]));
        ensure!(heard == [100, 100], "{heard:?} of 100 came through");
        stage.happens("cable", LineEvent::Sever).await?;
        stage.on("mifi").await?;
        // The provider's television may outlive its Internet.
        let heard = hundred(&stage.home, &sets).await?;
        ensure!(heard == [100, 100], "{heard:?} of 100 came through after a switch");
        anyhow::Ok(())
    };
    let played = played.await;
    proxy.kill()?;
    proxy.wait()?;
    played?;
    if !said.starts_with("yes") {
        return Ok(());
    }
    // Control: without such a route nothing comes through.
    let sets = television(&stage.home.client).await?;
    let heard = hundred(&stage.home, &sets).await?;
    ensure!(heard == [0, 0], "control: {heard:?} without a multicast route");
    Ok(())
}

/// The cable's interface is one port of a bridge, a guest's another; bridged packets meet the box's firewall.
const BRIDGE: &str = "ip link add br-wan type bridge
ip addr flush dev wan0; ip -6 route flush dev wan0; ip link set wan0 master br-wan; ip link set guest0 master br-wan
ip link set br-wan up; ip link set guest0 up
ip addr add 192.168.10.2/24 dev br-wan; ip addr add 2001:db8:10::2/64 dev br-wan nodad
ip route add default via 192.168.10.1 dev br-wan metric 100
ip -6 route add default via fe80::1 dev br-wan metric 100";

async fn guests_on_an_uplinks_bridge_are_not_ours() -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    let guest = Netns::new("guest").await?;
    cable(end(&guest, "eth0"), end(&home.router, "guest0")).await?;
    guest.address("eth0", "192.168.10.200/24").await?;
    shell(&guest, "ip route add default via 192.168.10.1").await?;
    shell(&home.router, BRIDGE).await?;
    if home.router.sysctl("net/bridge/bridge-nf-call-iptables", "1").await.is_err() {
        skip("this kernel has no br_netfilter");
        return Ok(());
    }
    let looks = "nft -f - <<END
table ip look {
    counter guests {}
    counter others {}
    chain looks {
        type filter hook prerouting priority -300
        iifname lan udp sport 4000 ip saddr 192.168.10.200 counter name guests
        iifname lan udp sport 4000 ip saddr != 192.168.10.200 counter name others
    }
}
END";
    let modem = &home.uplink("cable")?.modem;
    shell(modem, looks).await?;
    let text = config(&Plan::default(), &Settings::default()).replace("wan0", "br-wan");
    // The control below has a route with a source of its own.
    let text = text.replacen("[[uplink]]\n", "[[uplink]]\nkeep_routes = [\"203.0.113.9\"]\n", 1);
    let stage = Stage::configured(home, text, Path::new(AGENT), &[]).await?;
    let (home, at) = (&stage.home, "192.168.10.200:4000");
    let ask = async move {
        let socket = UdpSocket::bind(at).await?;
        let (mut answered, mut buffer) = (0, [0; 16]);
        for _ in 0..4 {
            socket.send_to(b"a guest", (ECHO4, ECHO_PORT)).await?;
            answered += u32::from(timeout(UNHEARD, socket.recv(&mut buffer)).await.is_ok());
        }
        anyhow::Ok(answered)
    };
    let before = held_back(&home.router).await?;
    let answered = guest.run(ask).await??;
    let modem = &home.uplink("cable")?.modem;
    let seen = shell(modem, "nft list counter ip look guests").await?;
    let other = shell(modem, "nft list counter ip look others").await?;
    let held = held_back(&home.router).await? - before;
    figure(&format!("{answered} of 4 guests' questions answered, {held} held back"));
    ensure!(answered == 4, "{answered} of 4 were answered: {seen} {other}");
    ensure!(seen.contains("packets 4 ") && other.contains("packets 0 "), "{seen} {other}");
    ensure!(held == 0, "{held} packets were held back for their source");
    // Control: what the LAN sends by the same bridge is masqueraded, and others' sources are held back.
    let begun = Instant::now();
    sleep(Duration::from_secs(1)).await;
    stage.nothing_lost_since(begun).await?;
    let wrong = "ip addr add 198.51.100.9/32 dev lan0; ip route add 203.0.113.9 via 192.168.10.1 dev br-wan src 198.51.100.9
                 nft 'table ip raw { chain o { type filter hook output priority -300; ip daddr 203.0.113.9 notrack; }; }'
                 echo x | timeout 1 bash -c 'cat > /dev/udp/203.0.113.9/9' 2>/dev/null || true";
    shell(&home.router, wrong).await?;
    ensure!(held_back(&home.router).await? > before, "control: the guard is at work");
    Ok(())
}

/// How many packets were held back for their source so far.
async fn held_back(router: &Netns) -> Result<u64> {
    let text = shell(router, "nft list counter inet sparelink wrong_source").await?;
    let packets = text.split("packets ").nth(1).and_then(|rest| rest.split(' ').next());
    packets.and_then(|n| n.parse().ok()).with_context(|| format!("no counter: {text}"))
}
