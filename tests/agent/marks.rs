//! Marks of others on the box: tunnels, traffic shapers, firewalls. Their packets go where their marks say, and
//! what they see of a mark is what they set.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use nix::sys::socket::{setsockopt, sockopt};
use sparelink::io::netlink::conntrack::Conntrack;
use sparelink::lab::internet::ECHO_PORT;
use sparelink::lab::netns::Netns;
use sparelink::lab::script::LineEvent;
use sparelink::lab::topology::{ECHO4, Home};
use sparelink::units::UplinkId;
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep, timeout};

use crate::figure;
use crate::stage::{SOON, Stage, shell};

crate::tests![
    a_tunnels_own_packets_follow_the_chain,
    others_see_the_marks_that_they_set,
    a_claimed_mark_is_left_as_it_is_from_the_first_hook_on,
];

/// What wg-quick and Mullvad put on the packets of their tunnels.
const TUNNELS: [u32; 2] = [0xca6c, 0x6d6f_6c65];
/// How often a tunnel is asked to carry something.
const EVERY: Duration = Duration::from_millis(100);
/// How long an answer may take.
const ANSWERED: Duration = Duration::from_millis(400);
/// What is promised for a severed line is 1.2 s; the machine is shared.
const MOVED: Duration = Duration::from_millis(3_600);

/// A tunnel's outer socket: its packets bear a mark, by which they are told from what goes into the tunnel.
struct Tunnel {
    socket: UdpSocket,
    mark: u32,
}

impl Tunnel {
    async fn open(home: &Home, mark: u32) -> Result<Self> {
        let open = async move {
            let socket = UdpSocket::bind("0.0.0.0:0").await?;
            setsockopt(&socket.as_fd(), sockopt::Mark, &mark)?;
            // Not connected, as a tunnel's is not: its source address is chosen for each packet.
            anyhow::Ok(Self { socket, mark })
        };
        home.router.run(open).await?
    }

    /// One question; whether it left the box and was answered.
    async fn asks(&self) -> bool {
        let ask = async {
            let mut buffer = [0; 16];
            self.socket.send_to(b"a tunnel", (ECHO4, ECHO_PORT)).await?;
            self.socket.recv_from(&mut buffer).await
        };
        matches!(timeout(ANSWERED, ask).await, Ok(Ok(_)))
    }

    /// The number of the uplink on which its flow is.
    async fn uplink(&self, home: &Home) -> Result<Option<u8>> {
        let port = self.socket.local_addr()?.port();
        for n in 1..=3 {
            let mark = UplinkId::new(n).context("a number")?.mark();
            let flows = home.router.run(async move { Conntrack::open()?.dump(mark) }).await??;
            if flows.iter().any(|flow| flow.original.src.port() == port) {
                return Ok(Some(n));
            }
        }
        Ok(None)
    }

    /// Waits until it is answered by that uplink; how long, and how many questions were lost.
    async fn comes_to(&self, home: &Home, uplink: u8, since: Instant) -> Result<(Duration, u32)> {
        let mut lost = 0;
        loop {
            let (begun, answered) = (Instant::now(), self.asks().await);
            if answered && self.uplink(home).await? == Some(uplink) {
                return Ok((since.elapsed(), lost));
            }
            lost += u32::from(!answered);
            ensure!(since.elapsed() < SOON, "{:#x} is not on uplink {uplink}", self.mark);
            sleep(EVERY.saturating_sub(begun.elapsed())).await;
        }
    }
}

/// Everything goes into a tunnel that nobody answers in, but what bears its mark.
fn full_tunnel(mark: u32) -> String {
    format!(
        "ip link add tun0 type veth peer name tun1; ip addr add 10.66.0.2/24 dev tun0
         ip link set tun0 up; ip link set tun1 up
         ip route replace default dev tun0 table 600
         ip rule add not fwmark {mark} lookup 600 pref 5209"
    )
}

async fn a_tunnels_own_packets_follow_the_chain() -> Result<()> {
    for mark in TUNNELS {
        let stage = Stage::new().await?;
        let home = &stage.home;
        shell(&home.router, &full_tunnel(mark)).await?;
        let tunnel = Tunnel::open(home, mark).await?;
        let mut answered = 0;
        for _ in 0..8 {
            answered += u32::from(tunnel.asks().await);
        }
        ensure!(answered == 8, "{mark:#x}: {answered} of 8 left by the uplink in use");
        ensure!(tunnel.uplink(home).await? == Some(1), "its flow can be found by the uplink");
        // Control: what bears no mark goes into the tunnel.
        let plain = Tunnel::open(home, 0).await?;
        ensure!(!plain.asks().await, "control: everything else goes into the tunnel");

        let cut = stage.happens("cable", LineEvent::Sever).await?;
        let (down, lost_down) = tunnel.comes_to(home, 2, cut).await?;
        ensure!(down < MOVED, "{mark:#x} moved after {down:?}");
        let restored = stage.happens("cable", LineEvent::Restore).await?;
        let (up, lost_up) = tunnel.comes_to(home, 1, restored).await?;
        figure(&format!(
            "{mark:#x}: 8 of 8; severed: moved after {} ms, {lost_down} lost; back after {:.1} s, {lost_up} lost",
            down.as_millis(),
            up.as_secs_f64()
        ));
        ensure!(lost_up <= 2, "{lost_up} questions were lost on the way back");
    }
    Ok(())
}

/// Somebody shapes traffic by marks: counts at each later place who bears exactly the mark that was set, and who
/// does not.
const SHAPER: &str = "nft -f - <<END
table inet theirs {
    counter seen_early {}
    counter seen_forward {}
    counter seen_out {}
    counter answers {}
    counter bits {}
    chain shape {
        type filter hook prerouting priority -160
        iifname lan0 udp sport 40006 meta mark set 6
    }
    chain at_first {
        type filter hook forward priority -20
        meta mark 6 counter name seen_early
    }
    chain at_forward {
        type filter hook forward priority 0
        meta mark 6 counter name seen_forward
    }
    chain at_input {
        type filter hook input priority 0
        meta mark & 0x7f000000 != 0 counter name bits
    }
    chain at_last {
        type filter hook postrouting priority 300
        oifname wan0 meta mark 6 counter name seen_out
        oifname lan0 udp dport 40006 counter name answers
        meta mark & 0x7f000000 != 0 counter name bits
    }
}
END";

/// One of the shaper's counters.
async fn counted(router: &Netns, name: &str) -> Result<u64> {
    let text = shell(router, &format!("nft list counter inet theirs {name}")).await?;
    let packets = text.split("packets ").nth(1).and_then(|rest| rest.split(' ').next());
    packets.and_then(|n| n.parse().ok()).with_context(|| format!("no counter: {text}"))
}

/// The port of the flow that the shaper marks.
const SHAPED: u16 = 40_006;

/// Twenty questions of one flow of the LAN's; how many were answered.
async fn twenty(home: &Home) -> Result<u32> {
    let ask = async {
        let socket = UdpSocket::bind(("0.0.0.0", SHAPED)).await?;
        socket.connect(SocketAddr::new(ECHO4, ECHO_PORT)).await?;
        let (mut answered, mut buffer) = (0, [0; 16]);
        for _ in 0..20 {
            socket.send(b"marked").await?;
            answered += u32::from(timeout(ANSWERED, socket.recv(&mut buffer)).await.is_ok());
        }
        anyhow::Ok(answered)
    };
    home.client.run(ask).await?
}

async fn others_see_the_marks_that_they_set() -> Result<()> {
    let mut stage = Stage::new().await?;
    let router = &stage.home.router;
    shell(router, SHAPER).await?;
    ensure!(twenty(&stage.home).await? == 20, "control: the flow works");
    let [forward, out, back] = [
        counted(router, "seen_forward").await?,
        counted(router, "seen_out").await?,
        counted(router, "answers").await?,
    ];
    let bits = counted(router, "bits").await?;
    figure(&format!("{forward} of 20 in forward, {out} of 20 on their way out; ours seen: {bits}"));
    ensure!((forward, out) == (20, 20), "{forward} and {out} of 20 bear exactly the mark");
    ensure!(back == 20, "control: {back} answers");
    ensure!(bits == 0, "{bits} packets show our bits after routing");
    // They keep their uplink all the same.
    ensure!(
        counted(router, "seen_early").await? < 20,
        "control: they bear our bits while they are routed"
    );
    stage.on("cable").await
}

/// Whoever routes by a whole mark finds it whole: a proxy's rule would not fit any more once our bits are in it.
async fn a_claimed_mark_is_left_as_it_is_from_the_first_hook_on() -> Result<()> {
    let mut stage = Stage::new().await?;
    let router = stage.home.router.clone();
    // So that the element is not taken out again.
    stage.agent.end(Signal::SIGKILL).await?;
    shell(&router, SHAPER).await?;
    ensure!(twenty(&stage.home).await? == 20, "control: the flow works");
    let unclaimed = counted(&router, "seen_early").await?;
    ensure!(unclaimed < 20, "control: it bears our bits: {unclaimed}");
    shell(&router, "nft add element inet sparelink claimed_marks { 6 }").await?;
    ensure!(twenty(&stage.home).await? == 20, "the claimed flow works");
    let claimed = counted(&router, "seen_early").await? - unclaimed;
    figure(&format!("{claimed} of 20 as they were, {unclaimed} of 20 unclaimed"));
    ensure!(claimed == 20, "{claimed} of 20 are as they were");
    // It is still found by its uplink.
    let mark = UplinkId::new(1).context("a number")?.mark();
    let flows = router.run(async move { Conntrack::open()?.dump(mark) }).await??;
    ensure!(flows.iter().any(|flow| flow.mark & 0x0f00_0000 == mark.value), "no flow is pinned");
    Ok(())
}
