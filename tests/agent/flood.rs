//! A hostile network on a spare that advertises itself without end, and a box full of interfaces and
//! addresses: neither moves the traffic, and the agent stays as small as it was.

use std::net::{Ipv6Addr, SocketAddrV6};
use std::time::Duration;

use anyhow::{Result, ensure};
use socket2::{Domain, Protocol, Socket, Type};
use sparelink::lab::agent::Status;
use sparelink::lab::meter::Tally;
use sparelink::lab::netns::Netns;
use sparelink::lab::script::Settings;
use sparelink::lab::topology::{Home, Plan};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::figure;
use crate::quantity::{at_rest, failover, recording_of};
use crate::rest::rss_kb;
use crate::stage::{SOON, Stage, file, shell};

crate::tests![
    advertisements_of_a_hostile_spare,
    #[ignore = "long: addresses by the thousand"]
    advertisements_that_nothing_limits,
    #[ignore = "long: half a minute of it at each of two rates"]
    advertisements_of_a_hostile_spare_for_long,
    thousands_of_interfaces_and_addresses_of_others,
];

/// On-link prefixes in an advertisement, each of which makes a route and an address (RFC 4862) …
const PREFIXES: u16 = 40;
/// … and routes beyond the router (RFC 4191): more fit into no packet.
const ROUTES: u16 = 9;
/// For how long everything in them is valid, in seconds.
const VALID: u32 = 7200;
/// The same of the router itself.
const LIFETIME: u16 = 1800;
/// All that hear advertisements (RFC 4291 §2.7.1).
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// So many routers. All namespaces of a machine have one table of IPv6 neighbours, a thousand in all, and
/// others test beside this.
const ROUTERS: u16 = 16;
/// A line that is back within seconds of the verdict is given more time the next time; here every
/// failover has the same.
const WINDOW: Duration = Duration::from_millis(600);

/// The `n`th advertisement: another router, other prefixes, other routes.
fn advertisement(n: u16) -> Vec<u8> {
    // Hop limit 64, no flags; no word about timers.
    let mut bytes = vec![134, 0, 0, 0, 64, 0];
    bytes.extend(LIFETIME.to_be_bytes());
    bytes.extend([0; 8]);
    let prefix = |kind: u16, at: u16| Ipv6Addr::new(0x2001, 0xdb8, kind, n, at, 0, 0, 0);
    for at in 0..PREFIXES {
        // A /64 that is on the link and to make an address of.
        let prefix = Ipv6Addr::new(0x2001, 0xdb9, n, at, 0, 0, 0, 0);
        bytes.extend([3, 4, 64, 0xc0]);
        bytes.extend(VALID.to_be_bytes());
        bytes.extend(VALID.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(prefix.octets());
    }
    for at in 0..ROUTES {
        // Preferred to others.
        bytes.extend([24, 2, 64, 0x08]);
        bytes.extend(VALID.to_be_bytes());
        bytes.extend(&prefix(0xbad, at).octets()[..8]);
    }
    bytes
}

/// Sends that many advertisements a second out of the modem, for so long.
async fn flood(modem: &Netns, a_second: u32, time: Duration) -> Result<JoinHandle<Result<u16>>> {
    modem.sysctl("net/ipv6/ip_nonlocal_bind", "1").await?;
    let index = modem.index("lan").await?;
    let send = async move {
        let mut tick = interval(Duration::from_secs(1) / a_second);
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let end = Instant::now() + time;
        let mut n = 0;
        while Instant::now() < end {
            tick.tick().await;
            let router = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xbad, n % ROUTERS);
            let router = SocketAddrV6::new(router, 0, 0, index);
            let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
            socket.bind(&router.into())?;
            // Those who hear it take it for one of their link (RFC 4861 §6.1.2).
            socket.set_multicast_hops_v6(255)?;
            let all = SocketAddrV6::new(ALL_NODES, 0, 0, index);
            socket.send_to(&advertisement(n), &all.into())?;
            n += 1;
        }
        Ok(n)
    };
    Ok(modem.spawn(send))
}

/// What the spare's interface has got of it.
struct Got {
    routes: u32,
    beyond: u32,
    routers: u32,
    addresses: u32,
}

async fn got(home: &Home) -> Result<Got> {
    let of = |what: &str, has: &str| format!("ip -6 {what} dev wlan0 | grep -c '{has}' || true");
    let count = async |script: String| {
        anyhow::Ok(shell(&home.router, &script).await?.trim().parse::<u32>()?)
    };
    Ok(Got {
        routes: count(of("route show", "^2001:db9:")).await?,
        beyond: count(of("route show", "^2001:db8:bad:")).await?,
        routers: count(of("route show", "default via fe80::bad:")).await?,
        addresses: count(of("addr show", "inet6 2001:db9:")).await?,
    })
}

/// Looks at the status until the flood is over: the traffic stays where it is, and something works.
async fn stays(stage: &Stage, flood: JoinHandle<Result<u16>>) -> Result<u16> {
    let cable = Some("cable");
    while !flood.is_finished() {
        let status = stage.agent.status().await?;
        let on = (status.active.as_deref(), status.active6.as_deref());
        ensure!(on == (cable, cable) && status.works, "{on:?}: {}", status.sentence);
        sleep(Duration::from_millis(100)).await;
    }
    flood.await?
}

/// As [`failover`], and IPv6 is back on the cable, too.
async fn failover_and_back(stage: &mut Stage) -> Result<Duration> {
    let gap = failover(stage).await?;
    let back = |status: &Status| status.active6.as_deref() == Some("cable") && status.all_proven();
    stage.agent.wait(SOON, "IPv6 on the cable", back).await?;
    Ok(gap)
}

/// What the box takes from the spare's routers: everything, as a box may do that takes more than the kernel
/// would by itself.
async fn takes_everything(home: &Home) -> Result<()> {
    home.router.sysctl("net/ipv6/conf/wlan0/accept_ra_rt_info_max_plen", "64").await?;
    home.router.sysctl("net/ipv6/conf/wlan0/max_addresses", "0").await
}

/// The same as long as the task runs: the agent puts back what it has set.
fn keeps_taking_everything(home: &Home) -> JoinHandle<()> {
    home.router.spawn(async {
        loop {
            for (key, value) in [("accept_ra_rt_info_max_plen", "64"), ("max_addresses", "0")] {
                // The control says whether it worked.
                drop(std::fs::write(format!("/proc/sys/net/ipv6/conf/wlan0/{key}"), value));
            }
            sleep(Duration::from_millis(1)).await;
        }
    })
}

/// `limited`: as the agent has set it, and not as somebody sets it again and again.
async fn with_a_hostile_spare(
    rates: &[(u32, Duration)],
    rest: Duration,
    limited: bool,
) -> Result<()> {
    let windows = vec![(None, WINDOW)];
    let settings = Settings { windows, ..Settings::default() };
    let home = Home::build(&Plan::default()).await?;
    takes_everything(&home).await?;
    let mut stage = Stage::in_home(home, settings, &[]).await?;
    let alone = failover_and_back(&mut stage).await?;
    let rss_alone = rss_kb(stage.agent.pid())?;
    let somebody = (!limited).then(|| keeps_taking_everything(&stage.home));
    let modem = &stage.home.uplink("phone")?.modem;
    let (mut sent, begun, before) = (0, Instant::now(), switches(&stage).await?);
    for (a_second, time) in rates {
        sent += stays(&stage, flood(modem, *a_second, *time).await?).await?;
    }
    somebody.iter().for_each(JoinHandle::abort);
    let end = Instant::now() - Duration::from_secs(1);
    let (flows, late) = (stage.meter.flows(begun, end), stage.agent.status().await?.loop_gap_ms);
    let Got { routes, beyond, routers, addresses } = got(&stage.home).await?;
    if !limited {
        let (percent, _) = at_rest(&stage, rest).await?;
        figure(&format!("CPU {percent:.1} % right after it"));
    }
    let (percent, rss) = at_rest(&stage, rest).await?;
    let (switched, repairs) = (switches(&stage).await? - before, stage.repairs().await?);
    let among = failover_and_back(&mut stage).await?;
    let kept = recording_of(&stage, 4).await?;
    let header = kept.lines().next().map_or(0, str::len);
    figure(&format!(
        "{sent} advertisements, of which {routes} prefixes, {beyond} routes, {routers} routers and {addresses} \
         addresses: {} of {} new flows lost meanwhile; failover {} ms, {} ms before; CPU {percent:.1} %; RSS {:.1} MB, \
         {:.1} MB before; loop late by {late:.1} ms; {switched} switches; recording {} kB, its header {} kB; {repairs} repairs",
        flows.lost,
        flows.sent,
        among.as_millis(),
        alone.as_millis(),
        rss as f64 / 1e3,
        rss_alone as f64 / 1e3,
        kept.len() / 1000,
        header / 1000,
    ));
    ensure!(routers > 0 && routes > 1000, "control: advertisements are heard");
    ensure!(!limited || beyond == 0, "{beyond} routes beyond their router");
    ensure!(!limited || addresses <= 16, "{addresses} addresses");
    ensure!(limited || addresses > 1000, "control: {addresses} addresses without a limit");
    ensure!(header < 500_000, "the header of the recording is {header} bytes");
    Figures { alone, among, rss_alone, rss, percent, late, lost: flows, switched }.hold()
}

/// What was measured, with what is wanted of it. Bounds are for a machine that does other things, too.
struct Figures {
    alone: Duration,
    among: Duration,
    rss_alone: u64,
    rss: u64,
    percent: f64,
    late: f64,
    lost: Tally,
    /// Switches while nothing happened to the line in use.
    switched: usize,
}

impl Figures {
    fn hold(&self) -> Result<()> {
        let Self { alone, among, rss_alone, rss, percent, late, lost, switched } = self;
        ensure!(*switched == 0, "{switched} needless switches");
        ensure!(lost.sent > 100 && lost.lost * 50 <= lost.sent, "flows meanwhile: {lost:?}");
        // Some of it is what the recording holds of what happened.
        ensure!(*rss <= rss_alone + 14_000, "RSS {rss} kB, {rss_alone} kB before");
        ensure!(*percent <= 5.0, "CPU {percent:.1} %");
        ensure!(*late <= 300.0, "the loop was late by {late:.1} ms");
        ensure!(
            *among <= *alone + Duration::from_millis(700),
            "failover {among:?}, {alone:?} before"
        );
        Ok(())
    }
}

/// How often the traffic has moved.
async fn switches(stage: &Stage) -> Result<usize> {
    Ok(stage.agent.history().await?.iter().filter(|code| *code == "switched").count())
}

async fn advertisements_of_a_hostile_spare() -> Result<()> {
    with_a_hostile_spare(&[(50, Duration::from_secs(6))], Duration::from_secs(3), true).await
}

async fn advertisements_that_nothing_limits() -> Result<()> {
    with_a_hostile_spare(&[(50, Duration::from_secs(6))], Duration::from_secs(3), false).await
}

async fn advertisements_of_a_hostile_spare_for_long() -> Result<()> {
    let time = Duration::from_secs(30);
    with_a_hostile_spare(&[(10, time), (50, time)], Duration::from_secs(8), true).await
}

/// Pairs of interfaces of others.
const PAIRS: u32 = 500;
/// Addresses of others, on one of them.
const ADDRESSES: u32 = 10_000;

async fn thousands_of_interfaces_and_addresses_of_others() -> Result<()> {
    let windows = vec![(None, WINDOW)];
    let settings = Settings { windows, ..Settings::default() };
    let home = Home::build(&Plan::default()).await?;
    let mut stage = Stage::in_home(home, settings, &[]).await?;
    let alone = failover_and_back(&mut stage).await?;
    let rss_alone = rss_kb(stage.agent.pid())?;
    let pair =
        |n| format!("link add x{n} type veth peer name y{n}\nlink set x{n} up\nlink set y{n} up\n");
    let address = |n: u32| {
        format!("addr add 10.{}.{}.{}/32 dev x0\n", 100 + (n >> 16), (n >> 8) & 255, n & 255)
    };
    let name = file("interfaces-and-addresses");
    std::fs::write(
        &name,
        (0..PAIRS).map(pair).chain((0..ADDRESSES).map(address)).collect::<String>(),
    )?;
    let (begun, before) = (Instant::now(), switches(&stage).await?);
    // For the same reason.
    stage.home.router.sysctl("net/ipv6/conf/default/disable_ipv6", "1").await?;
    let script = format!("ip -batch {}; ip -4 -o addr show dev x0 | wc -l", name.display());
    let there = shell(&stage.home.router, &script).await?;
    ensure!(there.trim() == ADDRESSES.to_string(), "control: {there} addresses are there");
    let added = begun.elapsed();
    let flows = stage.meter.flows(begun, Instant::now() - Duration::from_secs(1));
    let late = stage.agent.status().await?.loop_gap_ms;
    sleep(Duration::from_secs(2)).await;
    let (percent, rss) = at_rest(&stage, Duration::from_secs(3)).await?;
    let switched = switches(&stage).await? - before;
    let among = failover_and_back(&mut stage).await?;
    let kept = recording_of(&stage, 4).await?.len() / 1000;
    figure(&format!(
        "{} interfaces and {ADDRESSES} addresses of others, there after {:.1} s: {} of {} new flows lost meanwhile; \
         failover {} ms, {} ms before; CPU {percent:.1} %; RSS {:.1} MB, {:.1} MB before; loop late by {late:.1} ms; \
         {switched} switches; recording {kept} kB",
        2 * PAIRS,
        added.as_secs_f64(),
        flows.lost,
        flows.sent,
        among.as_millis(),
        alone.as_millis(),
        rss as f64 / 1e3,
        rss_alone as f64 / 1e3,
    ));
    Figures { alone, among, rss_alone, rss, percent, late, lost: flows, switched }.hold()
}
