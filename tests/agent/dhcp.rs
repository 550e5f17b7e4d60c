//! Leases as they are: a real DHCP server and router advertisements in the cable's modem, a real
//! client in the router.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ipnet::{IpNet, Ipv6Net};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sparelink::engine::dataplane::nft::{
    Chain, ChainKind, Hook, HookPoint, Stmt, Table, Verdict, host,
};
use sparelink::io::netlink::nft::Nft;
use sparelink::lab::agent::Status;
use sparelink::lab::netns::{Netns, Route};
use sparelink::lab::script::Settings;
use sparelink::lab::stage::child;
use sparelink::lab::topology::{ECHO6, Home, Plan, TARGETS};
use sparelink::units::IfName;
use tokio::time::{Instant, sleep};

use crate::figure;
use crate::stage::{PROVEN, SOON, Stage, echo, file, in_netns, in_router};

crate::tests![
    #[ignore = "long: leases of two minutes"]
    a_lease_that_expires_and_comes_back,
    #[ignore = "long: neighbours are believed for a minute"]
    another_router_behind_the_same_address,
    leases_change_gateway_and_subnet_and_end,
    prefixes_and_routers_come_and_go,
];

/// The cable's subnet at first, and the one after the provider has changed his mind.
const FIRST: Lease = Lease { server: "192.168.10.1", address: "192.168.10.50" };
const SECOND: Lease = Lease { server: "10.99.0.1", address: "10.99.0.50" };
/// Another gateway of the first one.
const OTHER_GATEWAY: &str = "192.168.10.254";
/// Nobody wants to wait in a test.
const HOLD: Duration = Duration::from_millis(300);
/// Within so long after a change packets leave from the new address; 1 s is promised, and the
/// machine is shared.
const REOPENED: Duration = Duration::from_secs(4);

#[derive(Clone, Copy)]
struct Lease {
    server: &'static str,
    address: &'static str,
}

/// A process of a test; killed when dropped.
struct Helper(Child);

impl Helper {
    async fn start(netns: &Netns, program: &str, words: &[&str]) -> Result<Self> {
        let words: Vec<_> = words.iter().map(std::ffi::OsString::from).collect();
        let mut command = child(Path::new(program), &words);
        let log = fs::File::options().create(true).append(true).open(file("helpers.log"))?;
        command.stdout(log.try_clone()?).stderr(log);
        let spawned = netns.run(async move { command.spawn() }).await?;
        Ok(Self(spawned.with_context(|| program.to_owned())?))
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill(Pid::from_raw(self.0.id().cast_signed()), signal)?)
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The modem's DHCP server, which also sends router advertisements.
async fn serve(modem: &Netns, lease: Lease, gateway: &str, more: &[&str]) -> Result<Helper> {
    let range = format!("--dhcp-range={},{},255.255.255.0,2m", lease.address, lease.address);
    let router = format!("--dhcp-option=3,{gateway}");
    let fixed = [
        "--no-daemon",
        "--conf-file=/dev/null",
        "--user=root",
        "--port=0",
        "--interface=lan",
        "--except-interface=lo",
        "--leasefile-ro",
        "--dhcp-authoritative",
        "--no-ping",
        "--enable-ra",
        "--dhcp-range=::,constructor:lan,ra-only,64,2m",
        &range,
        &router,
    ];
    Helper::start(modem, "/usr/sbin/dnsmasq", &[&fixed, more].concat()).await
}

/// What a distribution's script for udhcpc does. With a file `gently` beside it the old address
/// stays until the new one is there, as better clients have it.
const CLIENT: &str = r#"#!/bin/sh
PATH=/usr/sbin:/usr/bin:/sbin:/bin
here=${0%/*}
echo "$1 $ip/$mask via $router" >&2
case $1 in
deconfig)
    [ -e $here/gently ] || ip -4 addr flush dev $interface
    ip link set up dev $interface ;;
bound | renew)
    ip -4 addr replace $ip/$mask dev $interface
    ip -4 route replace default via ${router%% *} dev $interface proto dhcp metric 100
    ip -4 -o addr show dev $interface | while read -r _ _ _ other _; do
        [ "$other" = "$ip/$mask" ] || ip -4 addr del "$other" dev $interface
    done ;;
esac
"#;

/// A home whose cable has a lease.
struct Leased {
    stage: Stage,
    server: Option<Helper>,
    client: Helper,
    sources: Sources,
}

impl Leased {
    async fn new() -> Result<Self> {
        let home = Home::build(&Plan::default()).await?;
        let cable = home.uplink("cable")?;
        // What the lab has set by hand comes from the server instead.
        let bare = "ip -4 addr flush dev wan0; ip -6 addr flush dev wan0 scope global
                    ip -6 route del default dev wan0";
        in_router(&home, "/bin/sh", &["-ec", bare]).await?.must(0)?;
        let script = file("lease.sh");
        fs::write(&script, CLIENT)?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        let mut sources = Sources { known: Vec::new(), strange: Vec::new() };
        sources.expect(&cable.modem, &[FIRST.address, "2001:db8:10::/64"]).await?;
        let server = serve(&cable.modem, FIRST, FIRST.server, &[]).await?;
        // The program looks at its own name, which the lab gives to what it starts.
        let run = format!("exec busybox udhcpc -f -i wan0 -s {} -t 3 -T 1 -A 1", script.display());
        let client = Helper::start(&home.router, "/bin/sh", &["-c", &run]).await?;
        until("the first lease", async || has(&home.router, FIRST.address).await).await?;
        until("a prefix", async || Ok(prefix_of(&home.router, "2001:db8:10:").await?.is_some()))
            .await?;
        let settings = Settings { hold: Some(HOLD), hold_max: Some(HOLD), ..Settings::default() };
        let stage = Stage::in_home(home, settings, &[]).await?;
        let this = Self { stage, server: Some(server), client, sources };
        this.is_seen(FIRST.address).await?;
        Ok(this)
    }

    fn modem(&self) -> Result<&Netns> {
        Ok(&self.stage.home.uplink("cable")?.modem)
    }

    async fn in_modem(&self, script: &str) -> Result<()> {
        in_netns(self.modem()?, "/bin/sh", &["-ec", script]).await?.must(0).map(drop)
    }

    /// The server is another one now.
    async fn serves(&mut self, lease: Lease, gateway: &str, more: &[&str]) -> Result<()> {
        drop(self.server.take());
        self.server = Some(serve(self.modem()?, lease, gateway, more).await?);
        Ok(())
    }

    /// Waits until the cable's line is asked from that address; how long that took since the router
    /// has the address.
    async fn is_seen(&self, address: &str) -> Result<Duration> {
        let router = &self.stage.home.router;
        until(address, async || has(router, address).await).await?;
        let begun = Instant::now();
        let address: IpAddr = address.parse()?;
        let seen = async || Ok(self.sources.asked(self.modem()?, address).await? > 0);
        until(&format!("probes from {address}"), seen).await?;
        let took = begun.elapsed();
        ensure!(took < REOPENED, "probes from {address} came after {took:?} only");
        Ok(took)
    }

    /// Everything is proven, and traffic is on the cable.
    async fn is_well(&mut self) -> Result<()> {
        let both = |s: &Status| {
            s.all_proven() && [&s.active, &s.active6].iter().all(|a| a.as_deref() == Some("cable"))
        };
        self.stage.agent.wait(PROVEN, "everything on the cable", both).await.map(drop)
    }

    /// The gateway of a table of ours.
    async fn gateway(&self, table: u32) -> Result<String> {
        let words = ["-4", "route", "show", "table", &table.to_string()];
        Ok(in_router(&self.stage.home, "/bin/ip", &words).await?.must(0)?.out)
    }
}

/// Waits for something.
async fn until(what: &str, done: impl AsyncFn() -> Result<bool>) -> Result<()> {
    let begun = Instant::now();
    while !done().await? {
        ensure!(
            begun.elapsed() < SOON,
            "{what}: not within {SOON:?}\n{}",
            fs::read_to_string(file("helpers.log")).unwrap_or_default()
        );
        sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// Whether the router has this address on the cable.
async fn has(router: &Netns, address: &str) -> Result<bool> {
    Ok(addresses(router).await?.iter().any(|a| a.addr().to_string() == address))
}

/// The router's address on the cable with that beginning.
async fn prefix_of(router: &Netns, beginning: &str) -> Result<Option<IpAddr>> {
    let all = addresses(router).await?;
    Ok(all.iter().map(IpNet::addr).find(|a| a.to_string().starts_with(beginning)))
}

async fn addresses(router: &Netns) -> Result<Vec<IpNet>> {
    let said =
        in_netns(router, "/bin/ip", &["-o", "addr", "show", "dev", "wan0"]).await?.must(0)?;
    let words = said.out.lines().filter_map(|line| line.split_whitespace().nth(3));
    Ok(words.filter_map(|word| word.parse().ok()).collect())
}

/// Counts what comes to the cable's modem from the router, by source.
struct Sources {
    known: Vec<IpNet>,
    strange: Vec<String>,
}

const TABLE: &str = "sources";
/// Where others come from: the LAN, the cable at another time, anywhere.
const SUSPECTS: [&str; 6] =
    ["192.168.77.0/24", FIRST.address, SECOND.address, "0.0.0.0/0", "fd77::/16", "::/0"];

impl Sources {
    /// From now on no other sources than these are expected.
    async fn expect(&mut self, modem: &Netns, known: &[&str]) -> Result<()> {
        let strangers = self.strangers(modem).await?;
        self.strange.extend(strangers);
        self.known = known.iter().map(|k| net(k)).collect::<Result<_>>()?;
        let from_router = |more: Vec<Stmt>| {
            let lan = IfName::new("lan").map(Stmt::Iifname);
            lan.into_iter().chain(more).collect::<Vec<_>>()
        };
        let leave = || Stmt::Verdict(Verdict::Return);
        let mut rules = Vec::new();
        let mut counters = Vec::new();
        for (n, known) in self.known.iter().enumerate() {
            counters.push(format!("asked{n}"));
            for target in TARGETS.iter().filter_map(|t| t.parse::<IpAddr>().ok()) {
                if target.is_ipv4() == known.addr().is_ipv4() {
                    let count = Stmt::Counter(format!("asked{n}"));
                    let to = Stmt::Daddr(host(target));
                    rules.push(from_router(vec![Stmt::Saddr(*known), to, count]));
                }
            }
            rules.push(from_router(vec![Stmt::Saddr(*known), leave()]));
        }
        // Before there is an address, between neighbours, and the modem's own broadcasts, of which
        // the kernel gives it a copy.
        let own = [FIRST.server, OTHER_GATEWAY, SECOND.server];
        for always in [&["0.0.0.0/32", "::/128", "fe80::/10"], &own[..]].concat() {
            rules.push(from_router(vec![Stmt::Saddr(net(always)?), leave()]));
        }
        for suspect in SUSPECTS {
            counters.push(suspect.to_owned());
            rules.push(from_router(vec![
                Stmt::Saddr(net(suspect)?),
                Stmt::Counter(suspect.to_owned()),
                leave(),
            ]));
        }
        let hook = Hook { kind: ChainKind::Filter, point: HookPoint::Prerouting, priority: -320 };
        let chain = Chain { name: "count".to_owned(), hook: Some(hook), rules };
        let table = Table {
            name: TABLE.to_owned(),
            counters: counters.into_iter().collect(),
            chains: vec![chain],
            ..Table::default()
        };
        Ok(modem.run(async move { Nft::open()?.build(&table) }).await??)
    }

    /// Packets with other sources since they were last expected, and which.
    async fn strangers(&self, modem: &Netns) -> Result<Vec<String>> {
        if self.known.is_empty() {
            return Ok(Vec::new());
        }
        let counts = modem.run(async { Nft::open()?.counters(TABLE) }).await??;
        let of = |suspect: &&str| {
            let packets = counts.get(*suspect).map(|count| count.packets).filter(|n| *n > 0)?;
            Some(format!("{packets} of {suspect}, when {:?} were expected", self.known))
        };
        Ok(SUSPECTS.iter().filter_map(of).collect())
    }

    /// Probes from a source that is expected.
    async fn asked(&self, modem: &Netns, source: IpAddr) -> Result<u64> {
        let at = self.known.iter().position(|known| known.contains(&source));
        count(modem, &format!("asked{}", at.context("an expected source")?)).await
    }
}

async fn count(modem: &Netns, name: &str) -> Result<u64> {
    let counts = modem.run(async { Nft::open()?.counters(TABLE) }).await??;
    Ok(counts.get(name).context("no such counter")?.packets)
}

fn net(text: &str) -> Result<IpNet> {
    if text.contains('/') { Ok(text.parse()?) } else { Ok(host(text.parse()?)) }
}

async fn leases_change_gateway_and_subnet_and_end() -> Result<()> {
    let mut home = Leased::new().await?;
    let begun = Instant::now();
    let moved = home.only_the_gateway_changes().await.context("another gateway")?;
    home.stage.nothing_lost_since(begun).await.context("another gateway")?;
    let gently = home.the_subnet_changes_gently().await.context("gently to another subnet")?;
    let roughly = home.the_subnet_changes_roughly().await.context("to another subnet")?;
    let ended = home.a_lease_ends().await.context("the end of a lease")?;
    figure(&format!(
        "another gateway in use after {} ms; probes from another address after {} ms, after {} ms \
         where it was gone in between; off the uplink without one after {} ms",
        moved.as_millis(),
        gently.as_millis(),
        roughly.as_millis(),
        ended.as_millis()
    ));
    home.nothing_was_strange().await
}

impl Leased {
    async fn only_the_gateway_changes(&mut self) -> Result<Duration> {
        let other = OTHER_GATEWAY;
        self.in_modem(&format!("ip addr add {other}/24 dev lan")).await?;
        self.serves(FIRST, other, &[]).await?;
        let switches = switches();
        self.client.signal(Signal::SIGUSR1)?;
        until("the gateway in main", async || Ok(self.gateway(254).await?.contains(other))).await?;
        let begun = Instant::now();
        for table in [8301, 8300] {
            let there = async || Ok(self.gateway(table).await?.contains(other));
            until(&format!("the gateway in {table}"), there).await?;
        }
        let took = begun.elapsed();
        self.is_well().await?;
        ensure!(switches == self::switches(), "it left the uplink");
        Ok(took)
    }

    /// As good clients do it: the new address is there before the old one goes.
    async fn the_subnet_changes_gently(&mut self) -> Result<Duration> {
        fs::write(file("gently"), "")?;
        self.expect(&[FIRST.address, SECOND.address]).await?;
        self.in_modem(&format!("ip addr add {}/24 dev lan", SECOND.server)).await?;
        self.serves(SECOND, SECOND.server, &[]).await?;
        let switches = switches();
        self.client.signal(Signal::SIGUSR1)?;
        let took = self.is_seen(SECOND.address).await?;
        until("the old one gone", async || Ok(!has(self.router(), FIRST.address).await?)).await?;
        self.is_well().await?;
        ensure!(switches == self::switches(), "it left the uplink");
        self.settles_on(SECOND).await?;
        fs::remove_file(file("gently"))?;
        Ok(took)
    }

    /// As simple ones do: a while without any address.
    async fn the_subnet_changes_roughly(&mut self) -> Result<Duration> {
        self.expect(&[FIRST.address, SECOND.address]).await?;
        self.serves(FIRST, FIRST.server, &[]).await?;
        let switches = switches();
        self.client.signal(Signal::SIGUSR1)?;
        let took = self.is_seen(FIRST.address).await?;
        self.is_well().await?;
        ensure!(switches != self::switches(), "control: a switch is noticed");
        self.settles_on(FIRST).await?;
        Ok(took)
    }

    async fn a_lease_ends(&mut self) -> Result<Duration> {
        self.client.signal(Signal::SIGUSR2)?;
        until("no address", async || Ok(!has(self.router(), FIRST.address).await?)).await?;
        let begun = Instant::now();
        self.stage.on("mifi").await?;
        let took = begun.elapsed();
        let says_why = |status: &Status| {
            status.uplink("mifi").is_some_and(|u| u.reason.contains("cable has no address"))
        };
        self.stage.agent.wait(SOON, "the reason said", says_why).await?;
        self.client.signal(Signal::SIGUSR1)?;
        self.is_seen(FIRST.address).await?;
        self.is_well().await?;
        Ok(took)
    }

    /// From now on there is only this lease, and the LAN is online by it.
    async fn settles_on(&mut self, lease: Lease) -> Result<()> {
        self.expect(&[lease.address]).await?;
        let settled = Instant::now();
        loop {
            let begun = Instant::now();
            sleep(Duration::from_secs(1)).await;
            let (flows, stream) = self.stage.lost_since(begun).await?;
            ensure!(flows == 0, "{flows} new flows were lost");
            // The kernel forgets an old flow of an address that is gone when it finds the time.
            if stream == 0 {
                return Ok(());
            }
            ensure!(settled.elapsed() < REOPENED, "{stream} packets of the long flow were lost");
        }
    }

    /// These, and what the first prefix has.
    async fn expect(&mut self, known: &[&str]) -> Result<()> {
        let modem = &self.stage.home.uplink("cable")?.modem;
        self.sources.expect(modem, &[known, &["2001:db8:10::/64"]].concat()).await
    }

    fn router(&self) -> &Netns {
        &self.stage.home.router
    }

    /// No packet had a source that was not the cable's at that time; and one would have been seen.
    async fn nothing_was_strange(mut self) -> Result<()> {
        let now = self.sources.strangers(self.modem()?).await?;
        let strange = [std::mem::take(&mut self.sources.strange), now].concat();
        ensure!(strange.is_empty(), "packets had sources of another time: {strange:#?}");
        self.stage.agent.end(Signal::SIGKILL).await?;
        self.router().run(async { Nft::open()?.delete("sparelink") }).await??;
        sleep(Duration::from_millis(300)).await;
        let strange = self.sources.strangers(self.modem()?).await?;
        ensure!(!strange.is_empty(), "control: a source that is not the cable's is seen");
        Ok(())
    }
}

/// How often the agent has moved traffic, by its log.
fn switches() -> usize {
    let log = fs::read_to_string(file("agent.log")).unwrap_or_default();
    log.matches("code=\"switched\"").count()
}

async fn prefixes_and_routers_come_and_go() -> Result<()> {
    let mut home = Leased::new().await?;
    let cable = home.stage.home.uplink("cable")?;
    let (first, second) = (cable.at.prefix6, "2001:db8:20::".parse()?);
    let customers = Route::fixed(Ipv6Net::new(second, 64)?.into(), "fe80::2".parse()?, "isp0");
    home.stage.home.core.route(customers).await?;

    let modem = &home.stage.home.uplink("cable")?.modem;
    let all = [FIRST.address, "2001:db8:10::/64", "2001:db8:20::/64"];
    home.sources.expect(modem, &all).await?;
    home.in_modem(&format!("ip addr del {first}1/64 dev lan; ip addr add {second}1/64 dev lan"))
        .await?;
    let router = &home.stage.home.router;
    let new = async || prefix_of(router, "2001:db8:20:").await;
    until("another prefix", async || Ok(new().await?.is_some())).await?;
    let address = new().await?.context("a new address")?.to_string();
    let took = home.is_seen(&address).await?;
    home.is_well().await.context("another prefix")?;
    let ask = echo(ECHO6);
    ensure!(home.stage.home.client.run(ask).await?, "the LAN has no answer by the new prefix");
    figure(&format!("probes from another prefix after {} ms", took.as_millis()));

    home.serves(FIRST, FIRST.server, &["--ra-param=lan,4,0"]).await?;
    let split =
        |s: &Status| s.active6.as_deref() == Some("mifi") && s.active.as_deref() == Some("cable");
    home.stage.agent.wait(SOON, "IPv6 on the spare", split).await?;
    ensure!(home.stage.home.client.run(echo(ECHO6)).await?, "the LAN has no IPv6 by the spare");
    home.serves(FIRST, FIRST.server, &[]).await?;
    home.is_well().await.context("the router is back")?;
    home.nothing_was_strange().await
}

async fn a_lease_that_expires_and_comes_back() -> Result<()> {
    let mut home = Leased::new().await?;
    drop(home.server.take());
    let gone = |s: &Status| s.active.as_deref() == Some("mifi");
    home.stage.agent.wait(Duration::from_secs(150), "the end of the lease", gone).await?;
    ensure!(!has(home.router(), FIRST.address).await?, "the lease is over");
    let begun = Instant::now();
    home.serves(FIRST, FIRST.server, &[]).await?;
    home.is_well().await?;
    home.stage.nothing_lost_since(begun).await?;
    home.nothing_was_strange().await
}

async fn another_router_behind_the_same_address() -> Result<()> {
    let mut home = Leased::new().await?;
    // A new router has no reason to ask for us: it knows none of our flows.
    let shy = "nft -f - <<END
        table arp shy {
        chain out { type filter hook output priority 0; arp operation request drop; }
        }
        table ip6 shy {
        chain out { type filter hook output priority 0; icmpv6 type nd-neighbor-solicit drop; }
        }
END
        ip neigh show dev lan | while read -r whom _ mac _; do
        echo ip neigh replace $whom lladdr $mac dev lan nud permanent; done > /run/neighbours";
    home.in_modem(shy).await?;
    let begun = Instant::now();
    home.in_modem("ip link set dev lan address 02:00:00:00:00:99; sh -e /run/neighbours").await?;
    home.stage.on("mifi").await?;
    sleep(Duration::from_secs(1)).await;
    let gap = home.stage.gap_after(begun).await?;
    let back = |s: &Status| s.active.as_deref() == Some("cable");
    home.stage.agent.wait(Duration::from_secs(150), "the cable again", back).await?;
    figure(&format!(
        "LAN without answers for {} ms, the neighbour found again after {:.0} s",
        gap.as_millis(),
        begun.elapsed().as_secs_f64()
    ));
    home.nothing_was_strange().await
}
