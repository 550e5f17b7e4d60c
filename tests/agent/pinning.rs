//! Every flow keeps the uplink on which it began, and other people's mark bits stay.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sparelink::engine::dataplane::nft::{Chain, ChainKind, Hook, HookPoint, Stmt, Table, Verdict};
use sparelink::engine::kernel::flow::Flow;
use sparelink::io::netlink::conntrack::Conntrack;
use sparelink::io::netlink::nft::Nft;
use sparelink::lab::netns::Netns;
use sparelink::lab::topology::{ECHO4, ECHO6, Home};
use sparelink::units::{Fwmark, UplinkId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::{sleep, timeout};

use crate::stage::{Stage, in_netns};

crate::tests![
    flows_keep_their_uplink_and_foreign_mark_bits_stay,
    a_flow_from_outside_is_answered_where_it_came_in,
];

/// IP protocol numbers.
const TCP: u8 = 6;
const UDP: u8 = 17;
/// Bits of somebody else, in the packet's and in the flow's mark.
const FOREIGN: u32 = 0x80ff_ffff;
const THEIR_PACKET: Fwmark = Fwmark { value: 0x8012_3456, mask: FOREIGN };
const THEIR_FLOW: Fwmark = Fwmark { value: 0x80ab_cdef, mask: FOREIGN };
/// Until the next answer comes in, on a flow of the box's own.
const THEIR_OWN: Fwmark = Fwmark { value: 0x8011_2233, mask: FOREIGN };

/// Somebody else marks what is forwarded and every flow, early, and counts at the end what came through with
/// their marks and what without. What the box itself sends with a mark of theirs would go by the uplink in use.
fn their_table() -> Table {
    let chain = |name: &str, point, priority, rules| Chain {
        name: name.to_owned(),
        hook: Some(Hook { kind: ChainKind::Filter, point, priority }),
        rules,
    };
    let (packet, flow) = (vec![Stmt::SetMetaMark(THEIR_PACKET)], vec![Stmt::SetCtMark(THEIR_FLOW)]);
    let unmarked = Fwmark { value: 0, mask: u32::MAX };
    let kept = |mark, flow| {
        vec![
            Stmt::MetaMark(mark),
            Stmt::CtMark(flow),
            Stmt::Counter("kept".to_owned()),
            Stmt::Verdict(Verdict::Return),
        ]
    };
    let rest = vec![Stmt::OifLoopback, Stmt::Verdict(Verdict::Return)];
    // Neighbour discovery is not tracked and has no flow to bear a mark.
    let lost = |protocol| vec![Stmt::L4proto(protocol), Stmt::Counter("lost".to_owned())];
    Table {
        name: "theirs".to_owned(),
        counters: ["kept", "lost"].map(str::to_owned).into(),
        chains: vec![
            chain("in", HookPoint::Prerouting, -160, vec![packet, flow]),
            chain("own", HookPoint::Output, -160, vec![vec![Stmt::SetCtMark(THEIR_OWN)]]),
            chain(
                "end",
                HookPoint::Postrouting,
                200,
                vec![
                    rest,
                    kept(THEIR_PACKET, THEIR_FLOW),
                    kept(unmarked, THEIR_OWN),
                    lost(TCP),
                    lost(UDP),
                ],
            ),
        ],
        ..Table::default()
    }
}

async fn flows_keep_their_uplink_and_foreign_mark_bits_stay() -> Result<()> {
    let stage = Stage::new().await?;
    let home = &stage.home;
    home.router.run(async { Nft::open()?.build(&their_table()) }).await??;
    let mut talks = Vec::new();
    for (who, from) in [("LAN", &home.client), ("own", &*home.router)] {
        for to in [ECHO4, ECHO6] {
            talks.push(Talk::begin(who, from, to, false).await?);
            talks.push(Talk::begin(who, from, to, true).await?);
        }
    }
    for uplink in ["mifi", "phone", "cable", "phone"] {
        stage.agent.must(&["switch", uplink]).await?;
        for talk in &mut talks {
            talk.goes_on().await.with_context(|| format!("on {uplink}"))?;
        }
    }
    let cable = flows(home, 1).await?;
    for talk in &talks {
        let found = cable.iter().find(|flow| flow.original.src.port() == talk.port);
        let found = found.with_context(|| format!("{} left its uplink", talk.name))?;
        let theirs = [THEIR_FLOW.value, THEIR_OWN.value];
        ensure!(theirs.contains(&(found.mark & FOREIGN)), "{}: mark {:#x}", talk.name, found.mark);
    }
    // Control: what begins now is elsewhere.
    let new = Talk::begin("new", &home.client, ECHO4, true).await?;
    let phone = flows(home, 3).await?;
    let phone = phone.iter().find(|flow| flow.original.src.port() == new.port);
    let phone = phone.context("control: a new flow is on the phone")?;
    ensure!(phone.mark & FOREIGN == THEIR_FLOW.value, "mark {:#x}", phone.mark);

    let counts = home.router.run(async { Nft::open()?.counters("theirs") }).await??;
    let packets = |name: &str| counts.get(name).map_or(0, |count| count.packets);
    ensure!(packets("kept") > 100, "control: packets are counted: {counts:?}");
    ensure!(packets("lost") == 0, "somebody's bits were lost: {counts:?}");
    Ok(())
}

/// The flows of an uplink.
async fn flows(home: &Home, number: u8) -> Result<Vec<Flow>> {
    let mark = UplinkId::new(number).context("a number")?.mark();
    Ok(home.router.run(async move { Conntrack::open()?.dump(mark) }).await??)
}

/// A flow to the echo server.
struct Talk {
    name: String,
    port: u16,
    way: Way,
}

enum Way {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Talk {
    async fn begin(who: &'static str, from: &Netns, to: IpAddr, tcp: bool) -> Result<Self> {
        let open = async move {
            let server = SocketAddr::new(to, 7);
            if tcp {
                let stream = TcpStream::connect(server).await?;
                return anyhow::Ok((stream.local_addr()?.port(), Way::Tcp(stream)));
            }
            let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(any).await?;
            socket.connect(server).await?;
            Ok((socket.local_addr()?.port(), Way::Udp(socket)))
        };
        let (port, way) = from.run(open).await??;
        let name = format!("{who} {} to {to}", if tcp { "TCP" } else { "UDP" });
        let mut this = Self { name, port, way };
        this.goes_on().await.context("control: it works at first")?;
        Ok(this)
    }

    /// Two questions, two answers.
    async fn goes_on(&mut self) -> Result<()> {
        let what = format!("{} does not go on", self.name);
        let exchange = async {
            let mut buffer = [0; 4];
            for _ in 0..2 {
                match &mut self.way {
                    Way::Udp(socket) => {
                        socket.send(b"ping").await?;
                        socket.recv(&mut buffer).await?;
                    }
                    Way::Tcp(stream) => {
                        stream.write_all(b"ping").await?;
                        stream.read_exact(&mut buffer).await?;
                    }
                }
            }
            anyhow::Ok(())
        };
        timeout(Duration::from_secs(5), exchange).await.with_context(|| what.clone())?.context(what)
    }
}

/// Where the box's own service listens.
const SERVICE: u16 = 7777;

async fn a_flow_from_outside_is_answered_where_it_came_in() -> Result<()> {
    let mut stage = Stage::new().await?;
    stage.home.router.run(serve()).await??;
    let mifi = stage.home.uplink("mifi")?;
    let (router4, router6) = (mifi.at.router4, mifi.at.router6);
    // What a modem's page calls a port forward.
    let forward = format!(
        "nft -f - <<END\ntable ip forward {{ chain in {{ type nat hook prerouting priority -100;\n\
         iifname line tcp dport {SERVICE} dnat to {router4}\n}}\n}}\nEND\n"
    );
    in_netns(&mifi.modem, "/bin/sh", &["-ec", &forward]).await?.must(0)?;
    // The modem's own address at its provider.
    let outside4 = IpAddr::V4(Ipv4Addr::new(100, 64, 1, 2));
    let ways = [SocketAddr::new(outside4, SERVICE), SocketAddr::new(router6.into(), SERVICE)];
    let wrong = async |stage: &Stage| {
        anyhow::Ok(stage.home.uplink("cable")?.counters().await?.wrong_source)
    };
    for way in ways {
        ensure!(stage.home.target.run(calls(way)).await?, "{way} over the spare gives no answer");
    }
    ensure!(wrong(&stage).await? == 0, "an answer left by the uplink in use");
    // Positive control: without our table the answers take the way of everything else.
    stage.agent.end(nix::sys::signal::Signal::SIGKILL).await?;
    stage.home.router.run(async { Nft::open()?.delete("sparelink") }).await??;
    stage.home.target.run(calls(ways[1])).await?;
    sleep(Duration::from_millis(200)).await;
    ensure!(wrong(&stage).await? > 0, "control: an answer by the uplink in use is seen");
    Ok(())
}

/// A service of the box.
async fn serve() -> Result<()> {
    let listener = TcpListener::bind(("::", SERVICE)).await?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 5];
                stream.read_exact(&mut buffer).await?;
                stream.write_all(&buffer).await
            });
        }
    });
    Ok(())
}

/// Whether somebody outside has an answer.
async fn calls(to: SocketAddr) -> bool {
    let call = async {
        let mut stream = TcpStream::connect(to).await?;
        stream.write_all(b"hello").await?;
        stream.read_exact(&mut [0; 5]).await
    };
    matches!(timeout(Duration::from_secs(5), call).await, Ok(Ok(_)))
}
