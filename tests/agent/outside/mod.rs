//! Everything that somebody at an uplink may send, to everybody behind the box and in it: nothing more arrives, and
//! nothing more is answered or relayed, than without the agent.

mod eyes;
mod kinds;
mod place;
mod tag;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use sparelink::lab::agent::Status;
use sparelink::lab::forwarder::packet_socket;
use sparelink::lab::internet::{ECHO_PORT, WEB4, WEB6, echo};
use sparelink::lab::netns::{Netns, cable, end};
use sparelink::lab::script::{LineEvent, Settings};
use sparelink::lab::topology::{Home, Plan};
use sparelink::units::Family;
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep};

use crate::figure;
use crate::packets::Head;
use crate::stage::{SOON, Stage, shell};
use eyes::{Eyes, Place};
use kinds::{Kind, Of, kinds};
use place::{Source, Target};
use tag::TAGS;

crate::tests![
    some_of_all_that_comes_from_outside_is_no_more_than_without_the_agent,
    #[ignore = "long: part of the whole table"]
    nothing_more_comes_in_by_ipv4_than_without_the_agent,
    #[ignore = "long: part of the whole table"]
    nothing_more_comes_in_by_ipv6_than_without_the_agent,
    #[ignore = "long: part of the whole table"]
    nothing_more_comes_in_at_a_strict_box,
];

/// The box's interface in a network that `[lan]` does not name.
const UNLISTED: &str = "guest0";
/// After this long a packet of the lab has arrived, or never will.
const ARRIVED: Duration = Duration::from_millis(500);
/// Whom nobody but these tests asks for echoes.
const ECHOES: [IpAddr; 2] = [IpAddr::V4(WEB4), IpAddr::V6(WEB6)];
/// One in so many cells is played in the short form.
const STEP: usize = 7;
/// So many frames are sent at once.
const AT_ONCE: usize = 32;

/// The home, a network that `[lan]` does not name, and eyes everywhere.
struct World {
    unlisted: Netns,
    eyes: Eyes,
    /// The first tag that no pass has used yet.
    next: u16,
    cells: Vec<Cell>,
}

/// One packet: its kind, the uplink by which it comes, for whom it is.
#[derive(Clone, Copy)]
struct Cell {
    family: Family,
    kind: usize,
    uplink: u8,
    to: Target,
}

/// What became of a cell.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum End {
    LanHost,
    UnlistedHost,
    Box,
    /// Answered, or relayed.
    Out,
}

/// The ends of each cell.
type Ends = Vec<BTreeSet<End>>;

/// What arrives although it should not: where, for whom, of which kind; by which uplinks.
#[derive(Default)]
struct More(BTreeMap<(End, Target, Family, String), Vec<u8>>);

impl More {
    fn at(&self, end: End) -> usize {
        self.0.iter().filter(|((at, ..), _)| *at == end).map(|(_, uplinks)| uplinks.len()).sum()
    }

    fn count(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }
}

impl fmt::Display for More {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = None;
        for ((end, to, family, kind), uplinks) in &self.0 {
            let place = (end, to, family);
            if last.replace(place) != Some(place) {
                write!(f, "\nseen at {end:?}, for {to:?} by {family:?}:")?;
            }
            write!(f, " {kind} {uplinks:?};")?;
        }
        Ok(())
    }
}

impl World {
    async fn build(home: &Home, cells: Vec<Cell>) -> Result<Self> {
        let unlisted = Netns::new("unlisted").await?;
        cable(end(&home.router, UNLISTED), end(&unlisted, "eth0")).await?;
        for (netns, dev, n) in [(&*home.router, UNLISTED, 1), (&unlisted, "eth0", 2)] {
            netns.address(dev, &format!("10.88.0.{n}/24")).await?;
            netns.address(dev, &format!("fd88::{n}/64")).await?;
        }
        unlisted.default_routes("eth0", "10.88.0.1".parse()?, "fd88::1".parse()?, 100).await?;
        // Errors are counted, too, and none must be missing because there were many. Less fits into that network.
        shell(
            &home.router,
            &format!(
                "sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv4.icmp_msgs_per_sec=1000000 net.ipv4.icmp_msgs_burst=1000000 net.ipv6.icmp.ratelimit=0 net.ipv4.ip_forward=0 \
                 net.ipv6.conf.all.forwarding=0 net.ipv4.tcp_invalid_ratelimit=0
                 ip link set {UNLISTED} mtu 1300"
            ),
        )
        .await?;
        for (n, uplink) in (0..).zip(&home.uplinks) {
            let mac = octets_of(uplink.modem.mac("lan").await?);
            let dev = &uplink.interface;
            for family in Family::BOTH {
                let who = Source::Neighbour.address(n, family, 0).context("a neighbour")?;
                let neigh = format!("ip neigh replace {who} lladdr {mac} dev {dev} nud permanent");
                shell(&home.router, &neigh).await?;
            }
            // The modem is where they are seen; it answers nobody in the neighbour's place.
            let drop = "nft 'table inet eye { chain eye { type filter hook prerouting priority -400;
                ip daddr { 192.168.10.66, 192.168.11.66, 192.168.12.66, 198.51.100.0/24 } drop
                ip6 daddr { 2001:db8:10::42, 2001:db8:11::42, 2001:db8:12::42, 2001:db8:aaaa::/64 } drop
            }; }'";
            shell(&uplink.modem, drop).await?;
        }
        let serve = async { tokio::try_join!(echo(ECHOES[0]), echo(ECHOES[1])) };
        home.target.run(serve).await??;
        let eyes = Eyes::open(home, &unlisted).await?;
        Ok(Self { unlisted, eyes, next: TAGS.start, cells })
    }

    /// Everything is sent once; what became of it.
    async fn pass(&mut self, home: &Home) -> Result<Ends> {
        let kinds = kinds();
        let first = self.next;
        self.next = u16::try_from(usize::from(first) + self.cells.len() + 1)?;
        ensure!(self.next < TAGS.end, "more packets than tags");
        let tags = first..;
        for (n, uplink) in (0_u8..).zip(&home.uplinks) {
            let router = home.router.mac(&uplink.interface).await?;
            let modem = uplink.modem.mac("lan").await?;
            let of = |(cell, tag): (&Cell, u16)| {
                (cell.uplink == n).then(|| cell.frames(&kinds[cell.kind], tag, [router, modem]))
            };
            let frames: Vec<Vec<u8>> =
                self.cells.iter().zip(tags.clone()).filter_map(of).flatten().flatten().collect();
            uplink.modem.run(send(frames)).await??;
        }
        let begun = Instant::now();
        while let Some((cell, _)) = self
            .cells
            .iter()
            .zip(tags.clone())
            .find(|(cell, tag)| !self.eyes.saw(*tag, Place::Ingress(cell.uplink.into())))
        {
            ensure!(begun.elapsed() < SOON, "control: not sent: {}", cell.name(&kinds));
            sleep(Duration::from_millis(20)).await;
        }
        sleep(ARRIVED).await;
        let end = |tag| {
            let at = |place| self.eyes.saw(tag, place);
            let ends = [
                (End::LanHost, at(Place::LanHost)),
                (End::UnlistedHost, at(Place::UnlistedHost)),
                (End::Box, at(Place::Box)),
                (End::Out, (0..home.uplinks.len()).any(|n| at(Place::Out(n)))),
            ];
            ends.into_iter().filter(|(_, seen)| *seen).map(|(end, _)| end).collect()
        };
        Ok(self.cells.iter().zip(tags).map(|(_, tag)| end(tag)).collect())
    }

    /// What arrives in the first place and not in the second, and is not as it should be.
    fn more(&self, with: &Ends, without: &Ends, filter: Filter) -> More {
        let kinds = kinds();
        let mut more = More::default();
        for (cell, (with, without)) in self.cells.iter().zip(with.iter().zip(without)) {
            let kind = &kinds[cell.kind];
            for end in with.difference(without).filter(|end| !filter.lets_in(kind.source, **end)) {
                let of = more.0.entry((*end, cell.to, cell.family, kind.name.clone())).or_default();
                of.push(cell.uplink);
            }
        }
        more
    }

    /// Everybody sees what may pass.
    async fn each_eye_sees(&mut self, home: &Home) -> Result<()> {
        let mut askers = Vec::new();
        for server in ECHOES {
            askers.push((&home.client, None, server, Place::LanHost));
            askers.push((&self.unlisted, None, server, Place::UnlistedHost));
            askers.push((&*home.router, None, server, Place::Box));
            for (n, uplink) in home.uplinks.iter().enumerate() {
                askers.push((&*home.router, Some(uplink.interface.clone()), server, Place::Out(n)));
            }
        }
        for (netns, dev, to, place) in askers {
            let tag = self.next;
            self.next += 1;
            let begun = Instant::now();
            while !self.eyes.saw(tag, place) {
                ensure!(begun.elapsed() < SOON, "control: {place:?} sees no packet that may pass");
                netns.run(ask(tag, dev.clone(), to)).await??;
                sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }
}

fn octets_of(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// All that an IP version has.
fn cells(family: Family, kinds: &[Kind]) -> Vec<Cell> {
    let mut cells = Vec::new();
    for (kind, of) in kinds.iter().enumerate() {
        if of.only.is_some_and(|only| only != family) {
            continue;
        }
        for uplink in 0..3 {
            let is = |to: &Target| {
                to.address(uplink, family).is_some()
                    && of.source.address(uplink, family, 0).is_some()
            };
            let cell = |to| Cell { family, kind, uplink, to };
            cells.extend(Target::ALL.into_iter().filter(is).map(cell));
        }
    }
    cells
}

impl Cell {
    fn name(&self, kinds: &[Kind]) -> String {
        let ip = self.to.address(self.uplink, self.family);
        let ip = ip.map(|ip| ip.to_string()).unwrap_or_default();
        format!("{} by uplink {} to {:?} ({ip})", kinds[self.kind].name, self.uplink, self.to)
    }

    fn frames(&self, kind: &Kind, tag: u16, [router, modem]: [[u8; 6]; 2]) -> Option<Vec<Vec<u8>>> {
        let to = self.to.address(self.uplink, self.family)?;
        let from = kind.source.address(self.uplink, self.family, tag)?;
        let own = Target::Own.address(self.uplink, self.family)?;
        let head = Head { tag, ..Head::new(from, to) };
        let of = Of { head, tag, own, mac: modem };
        let frame = |packet: Vec<u8>| {
            let kind: [u8; 2] = if from.is_ipv4() { [8, 0] } else { [0x86, 0xdd] };
            [&link(&packet, router)[..], &modem, &kind, &packet].concat()
        };
        Some((kind.build)(&of).into_iter().map(frame).collect())
    }
}

/// The link-layer address for a packet's destination (RFC 1112 §6.4, RFC 2464 §7).
fn link(packet: &[u8], router: [u8; 6]) -> [u8; 6] {
    match packet {
        [head, ..] if head >> 4 == 4 => match packet[16..20] {
            [255, 255, 255, 255] | [192, 168, 10..=12, 255] => [255; 6],
            [224..=239, b, c, d] => [1, 0, 0x5e, b & 0x7f, c, d],
            _ => router,
        },
        _ => match packet[24..40] {
            [0xff, .., a, b, c, d] => [0x33, 0x33, a, b, c, d],
            _ => router,
        },
    }
}

/// Sends frames by the interface that leads to the router.
async fn send(frames: Vec<Vec<u8>>) -> Result<()> {
    let socket = packet_socket("lan")?;
    for some in frames.chunks(AT_ONCE) {
        for frame in some {
            socket.send(frame).await.context("a frame")?;
        }
        sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

/// Asks an echo server, from a port that tells who asked.
async fn ask(tag: u16, dev: Option<String>, to: IpAddr) -> Result<()> {
    let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let socket = UdpSocket::bind((any, tag)).await?;
    if let Some(dev) = dev {
        socket.bind_device(Some(dev.as_bytes()))?;
    }
    socket.send_to(b"may I?", (to, ECHO_PORT)).await?;
    // As long as somebody listens, an answer is none for a closed port.
    sleep(Duration::from_millis(150)).await;
    Ok(())
}

async fn nothing_more_comes_in_by_ipv4_than_without_the_agent() -> Result<()> {
    whole(Family::V4, Filter::None).await
}

async fn nothing_more_comes_in_by_ipv6_than_without_the_agent() -> Result<()> {
    whole(Family::V6, Filter::None).await
}

async fn nothing_more_comes_in_at_a_strict_box() -> Result<()> {
    whole(Family::V4, Filter::Strict).await
}

/// Every kind, by each uplink or for each target at some time, in a few seconds.
async fn some_of_all_that_comes_from_outside_is_no_more_than_without_the_agent() -> Result<()> {
    let kinds = kinds();
    let all = Family::BOTH.into_iter().flat_map(|family| cells(family, &kinds));
    let home = Home::build(&Plan::default()).await?;
    let mut world = World::build(&home, all.step_by(STEP).collect()).await?;
    let without = world.pass(&home).await?;
    let mut stage = Stage::in_home(home, Settings::default(), &[]).await?;
    world.each_eye_sees(&stage.home).await?;
    let with = world.pass(&stage.home).await?;
    stage.agent.end(Signal::SIGKILL).await?;
    shell(&stage.home.router, "nft delete table inet sparelink").await?;
    let open = world.pass(&stage.home).await?;
    world.judge(Filter::None, &without, &[("with the agent", &with)], &open)
}

/// How the box looks at sources before there is an agent (`rp_filter`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filter {
    None,
    Strict,
}

impl Filter {
    /// What is as it should be although it is more. The strict check takes by an uplink only what it would send there
    /// itself; the agent has the kernel ask less, so that a spare can be proven and answers its callers.
    fn lets_in(self, source: Source, end: End) -> bool {
        let far = matches!(source, Source::Internet | Source::OtherUplink | Source::UnlistedHost);
        self == Self::Strict && far && end != End::LanHost
    }
}

async fn whole(family: Family, filter: Filter) -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    let mut world = World::build(&home, cells(family, &kinds())).await?;
    if filter == Filter::Strict {
        let strict = "for d in all wan0 usb0 wlan0 lan0 guest0; do
            sysctl -qw net.ipv4.conf.$d.rp_filter=1; done";
        shell(&home.router, strict).await?;
    }
    let before = world.pass(&home).await?;
    let mut stage = Stage::in_home(home, Settings::default(), &[]).await?;
    stage.happens("phone", LineEvent::Sever).await?;
    let dead = |status: &Status| status.uplink("phone").is_some_and(|u| u.role == "not_ready");
    stage.agent.wait(SOON, "a dead phone", dead).await?;
    stage.on("cable").await?;
    world.each_eye_sees(&stage.home).await?;
    let with = world.pass(&stage.home).await?;
    stage.agent.end(Signal::SIGKILL).await?;
    let ended = world.pass(&stage.home).await?;
    shell(&stage.home.router, "nft delete table inet sparelink").await?;
    let open = world.pass(&stage.home).await?;
    stage.purge().await?.must(0)?;
    let after = world.pass(&stage.home).await?;
    // What noise has kept from arriving the first time arrives the second time.
    let without: Ends = before.iter().zip(&after).map(|(a, b)| a | b).collect();
    world.judge(filter, &without, &[("with the agent", &with), ("after its end", &ended)], &open)
}

impl World {
    fn judge(
        &self,
        filter: Filter,
        without: &Ends,
        others: &[(&str, &Ends)],
        open: &Ends,
    ) -> Result<()> {
        let all = self.cells.len();
        for (when, ends) in others {
            let more = self.more(ends, without, filter);
            ensure!(more.count() == 0, "{when}, {} of {all}:{more}", more.count());
        }
        let more = self.more(open, without, filter);
        figure(&format!("0 of {all} worse; without our rules {}", more.count()));
        for end in [End::LanHost, End::UnlistedHost, End::Out] {
            ensure!(more.at(end) > 0, "control: nothing at {end:?}:{more}");
        }
        Ok(())
    }
}
