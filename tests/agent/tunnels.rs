//! Tunnels and rules of others: what they claim goes their way, whoever was there first, and what they
//! send to `main` follows the active uplink.

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use nix::sys::socket::{setsockopt, sockopt};
use sparelink::lab::internet;
use sparelink::lab::netns::{Netns, cable, end};
use sparelink::lab::script::{LineEvent, Settings};
use sparelink::lab::topology::{ECHO4, ECHO6, Home, Plan};
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep, timeout};

use crate::figure;
use crate::stage::{SOON, Stage, shell};

crate::tests![
    a_full_tunnel_that_was_first_keeps_everything,
    a_full_tunnel_that_came_later_keeps_everything,
    a_better_default_in_main_is_heeded_whoever_was_first,
    a_rule_for_one_client_is_heeded,
    what_is_marked_for_main_follows_the_active_uplink,
    a_host_route_of_main_follows_the_active_uplink,
    a_default_that_rejects_is_no_internet,
    of_two_tunnels_that_claim_everything_the_first_rule_has_it,
    a_tunnel_goes_over_a_tunnel,
    a_thousand_rules_and_a_neighbour_that_builds_anew_leave_it_calm,
];

/// A tunnel's far end, which answers in the Internet's place. The tunnel is a cable: what is looked at is
/// where packets are sent.
struct Tunnel {
    far: Netns,
}

impl Tunnel {
    async fn build(home: &Home) -> Result<Self> {
        Self::build_as(home, 0).await
    }

    /// `wg0`, `wg1` …
    async fn build_as(home: &Home, n: u8) -> Result<Self> {
        let (here, there) = (format!("wg{n}"), format!("far{n}"));
        let far = Netns::new(&there).await?;
        cable(end(&far, &there), end(&home.router, &here)).await?;
        far.address(&there, &format!("10.{}.0.1/24", 66 + n)).await?;
        far.address(&there, &format!("fd{}::1/64", 66 + n)).await?;
        home.router.address(&here, &format!("10.{}.0.2/24", 66 + n)).await?;
        home.router.address(&here, &format!("fd{}::2/64", 66 + n)).await?;
        for server in [ECHO4, ECHO6] {
            far.address("lo", &ipnet::IpNet::from(server).to_string()).await?;
            far.spawn(internet::echo(server));
        }
        let masquerade = format!(
            "nft 'table inet {here} {{ chain nat {{ type nat hook postrouting priority srcnat; \
             oifname {here} masquerade; }}; }}'"
        );
        shell(&home.router, &masquerade).await?;
        Ok(Self { far })
    }

    /// What wg-quick does for `AllowedIPs = 0.0.0.0/0, ::/0`.
    async fn up(home: &Home) -> Result<()> {
        Self::up_as(home, 0).await
    }

    async fn up_as(home: &Home, n: u8) -> Result<()> {
        let table = 51_820 + u32::from(n);
        for family in ["-4", "-6"] {
            let via = far_gateway(family, n);
            let script = format!(
                "ip {family} route add default {via} table {table}
                 ip {family} rule add not fwmark {table} table {table}
                 ip {family} rule add table main suppress_prefixlength 0"
            );
            shell(&home.router, &script).await?;
        }
        Ok(())
    }

    async fn down(home: &Home) -> Result<()> {
        for family in ["-4", "-6"] {
            let script = format!(
                "ip {family} rule del pref 32764
                 ip {family} rule del pref 32765 not fwmark 51820
                 ip {family} route flush table 51820"
            );
            shell(&home.router, &script).await?;
        }
        Ok(())
    }
}

/// A cable needs a next hop where a tunnel needs none.
fn far_gateway(family: &str, n: u8) -> String {
    let net = 66 + n;
    if family == "-4" {
        format!("via 10.{net}.0.1 dev wg{n}")
    } else {
        format!("via fd{net}::1 dev wg{n}")
    }
}

/// Counts there what is on its way to the echo servers.
async fn spy_at(place: &Netns) -> Result<()> {
    let script = format!(
        "nft 'table inet spy {{ counter seen {{ }}; chain seen {{ type filter hook prerouting priority -350; \
         ip daddr {ECHO4} counter name seen; ip6 daddr {ECHO6} counter name seen; }}; }}'"
    );
    shell(place, &script).await.map(drop)
}

/// At every modem.
async fn spy(home: &Home) -> Result<()> {
    for uplink in &home.uplinks {
        spy_at(&uplink.modem).await?;
    }
    Ok(())
}

/// What has been seen there so far.
async fn seen_at(place: &Netns) -> Result<u64> {
    let said = shell(place, "nft list counter inet spy seen").await?;
    let packets = said.split("packets ").nth(1).and_then(|rest| rest.split(' ').next());
    packets.and_then(|n| n.parse().ok()).context("no counter")
}

/// What each modem has seen so far.
async fn seen(home: &Home) -> Result<Vec<u64>> {
    let mut all = Vec::new();
    for uplink in &home.uplinks {
        all.push(seen_at(&uplink.modem).await?);
    }
    Ok(all)
}

/// Asks an echo server once from the box, with this mark.
async fn answered(server: IpAddr, mark: u32) -> Result<bool> {
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).await?;
    if mark != 0 {
        setsockopt(&socket.as_fd(), sockopt::Mark, &mark)?;
    }
    let ask = async {
        socket.send_to(b"there?", (server, 7)).await?;
        socket.recv(&mut [0; 16]).await
    };
    Ok(matches!(timeout(Duration::from_millis(200), ask).await, Ok(Ok(_))))
}

/// How long until the box has an answer.
async fn until_answered(home: &Home, server: IpAddr, mark: u32) -> Result<Duration> {
    let begun = Instant::now();
    while !home.router.run(answered(server, mark)).await?? {
        ensure!(begun.elapsed() < SOON, "no answer from {server} to what is marked {mark:#x}");
    }
    Ok(begun.elapsed())
}

/// Waits until the agent has told something.
async fn told(stage: &Stage, what: &str) -> Result<()> {
    let begun = Instant::now();
    loop {
        let history = stage.agent.command(&["history"]).await?.stdout;
        let history = String::from_utf8_lossy(&history);
        // Lines are broken where the terminal ends.
        if history.split_whitespace().collect::<Vec<_>>().join(" ").contains(what) {
            return Ok(());
        }
        ensure!(begun.elapsed() < SOON, "never told {what:?}:\n{history}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Down the chain and up again, three times; what the modems saw meanwhile.
async fn rounds(stage: &mut Stage) -> Result<u64> {
    let before: u64 = seen(&stage.home).await?.iter().sum();
    for _ in 0..3 {
        stage.happens("cable", LineEvent::Sever).await?;
        stage.on("mifi").await?;
        for server in [ECHO4, ECHO6] {
            ensure!(stage.home.router.run(answered(server, 0)).await??, "the box, to {server}");
        }
        stage.happens("cable", LineEvent::Restore).await?;
        stage.on("cable").await?;
    }
    Ok(seen(&stage.home).await?.iter().sum::<u64>() - before)
}

/// Everything is in the tunnel from now on.
async fn all_in_the_tunnel(stage: &mut Stage, by: &str) -> Result<()> {
    for family in ["IPv4", "IPv6"] {
        told(stage, &format!("all {family} traffic goes by wg0, as {by}")).await?;
    }
    let sentence = stage.json().await?["sentence"].to_string();
    ensure!(sentence.contains("all IPv4 traffic goes by wg0"), "{sentence}");
    // What began before goes on where it is for as long as it lives.
    sleep(Duration::from_millis(300)).await;
    let begun = Instant::now();
    let outside = rounds(stage).await?;
    stage.nothing_lost_since(begun).await?;
    figure(&format!("{outside} packets outside the tunnel in 6 switches"));
    ensure!(outside == 0, "{outside} packets were seen at the modems");
    Ok(())
}

/// Without the tunnel the modems see the LAN's packets.
async fn control(stage: &Stage) -> Result<()> {
    let before = seen(&stage.home).await?;
    let begun = Instant::now();
    while seen(&stage.home).await?[0] < before[0] + 20 {
        ensure!(begun.elapsed() < SOON, "control: nothing is seen at the cable's modem");
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn home_with_a_tunnel() -> Result<(Home, Tunnel)> {
    let home = Home::build(&Plan::default()).await?;
    spy(&home).await?;
    let tunnel = Tunnel::build(&home).await?;
    Ok((home, tunnel))
}

async fn a_full_tunnel_that_was_first_keeps_everything() -> Result<()> {
    let (home, tunnel) = home_with_a_tunnel().await?;
    Tunnel::up(&home).await?;
    let mut stage = Stage::in_home(home, Settings::default(), &[]).await?;
    all_in_the_tunnel(&mut stage, "rule 32765 says").await?;
    Tunnel::down(&stage.home).await?;
    told(&stage, "no longer so: all IPv4 traffic goes by wg0").await?;
    control(&stage).await?;
    drop(tunnel.far);
    Ok(())
}

async fn a_full_tunnel_that_came_later_keeps_everything() -> Result<()> {
    let (home, tunnel) = home_with_a_tunnel().await?;
    let mut stage = Stage::in_home(home, Settings::default(), &[]).await?;
    control(&stage).await?;
    Tunnel::up(&stage.home).await?;
    all_in_the_tunnel(&mut stage, "rule 8299 says").await?;
    drop(tunnel.far);
    Ok(())
}

async fn a_better_default_in_main_is_heeded_whoever_was_first() -> Result<()> {
    let up = "ip route add default via 10.66.0.1 dev wg0 metric 50
              ip -6 route add default via fd66::1 dev wg0 metric 50";
    let (home, tunnel) = home_with_a_tunnel().await?;
    shell(&home.router, up).await?;
    let mut stage = Stage::in_home(home, Settings::default(), &[]).await?;
    all_in_the_tunnel(&mut stage, "the best default route in `main` says").await?;
    shell(&stage.home.router, &up.replace("add", "del")).await?;
    control(&stage).await?;
    // What began outside goes into the tunnel, too; of a flow that it moves the kernel drops one packet.
    shell(&stage.home.router, up).await?;
    sleep(Duration::from_millis(300)).await;
    let before = seen(&stage.home).await?;
    let begun = Instant::now();
    for server in [ECHO4, ECHO6] {
        ensure!(stage.home.router.run(answered(server, 0)).await??, "the box, to {server}");
    }
    stage.nothing_lost_since(begun).await?;
    let after = seen(&stage.home).await?;
    ensure!(before == after, "seen at the modems: {before:?}, then {after:?}");
    drop(tunnel.far);
    Ok(())
}

async fn a_rule_for_one_client_is_heeded() -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    spy(&home).await?;
    let phone = home.uplink("phone")?;
    let script = format!(
        "ip route add default via {} dev {} table 200; ip rule add from 192.168.77.2 lookup 200 pref 10000",
        phone.at.modem4, phone.interface
    );
    shell(&home.router, &script).await?;
    let mut stage = Stage::in_home(home, Settings::default(), &[]).await?;
    told(&stage, "some IPv4 traffic goes by wlan0, as rule 10000 says (from 192.168.77.2/32)")
        .await?;
    let before = seen(&stage.home).await?;
    let begun = Instant::now();
    stage.happens("cable", LineEvent::Sever).await?;
    stage.on("mifi").await?;
    stage.nothing_lost_since(begun).await?;
    let after = seen(&stage.home).await?;
    ensure!(after[..2] == before[..2], "the client's packets went by others: {before:?} {after:?}");
    ensure!(after[2] > before[2], "control: they go by the phone");
    Ok(())
}

/// Tailscale's rules, and a socket with its mark.
async fn what_is_marked_for_main_follows_the_active_uplink() -> Result<()> {
    const MARK: u32 = 0x8_0000;
    let home = Home::build(&Plan::default()).await?;
    for family in ["-4", "-6"] {
        let script = format!(
            "ip {family} rule add fwmark 0x80000/0xff0000 lookup main pref 5210
             ip {family} rule add fwmark 0x80000/0xff0000 lookup default pref 5230
             ip {family} rule add fwmark 0x80000/0xff0000 unreachable pref 5250
             ip {family} rule add lookup 52 pref 5270"
        );
        shell(&home.router, &script).await?;
    }
    let mut stage = Stage::in_home(home, Settings::default(), &[]).await?;
    for server in [ECHO4, ECHO6] {
        until_answered(&stage.home, server, MARK).await?;
    }
    stage.happens("cable", LineEvent::Sever).await?;
    let after4 = until_answered(&stage.home, ECHO4, MARK).await?;
    let after6 = until_answered(&stage.home, ECHO6, MARK).await?;
    figure(&format!("answered again after {after4:?} and {:?}", after4 + after6));
    stage.on("mifi").await?;
    // The LAN is reached by them as ever.
    let lan = shell(&stage.home.router, "ip route get 192.168.77.2 mark 0x80000").await?;
    ensure!(lan.contains("dev lan0"), "{lan}");
    stage.agent.end(Signal::SIGTERM).await?;
    stage.purge().await?.must(0)?;
    let rules = shell(&stage.home.router, "ip rule; ip -6 rule").await?;
    ensure!(rules.matches("0x80000/0xff0000").count() == 6, "theirs, and nothing of ours: {rules}");
    Ok(())
}

async fn a_host_route_of_main_follows_the_active_uplink() -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    let cable = home.uplink("cable")?;
    let (via, dev) = (cable.at.modem4, cable.interface.clone());
    let script = format!(
        "ip route add {ECHO4} via {via} dev {dev}; ip route add 198.51.100.9 via {via} dev {dev}"
    );
    shell(&home.router, &script).await?;
    let text = sparelink::lab::agent::config(&Plan::default(), &Settings::default());
    let text = text.replacen("[[uplink]]\n", "[[uplink]]\nkeep_routes = [\"198.51.100.9\"]\n", 1);
    let mut stage = Stage::in_home_as(home, &text).await?;
    told(&stage, &format!("packets to {ECHO4} follow the active uplink")).await?;
    let leaves_by = async |stage: &Stage, host: &str| -> Result<String> {
        let said = shell(&stage.home.router, &format!("ip route get {host}")).await?;
        let dev = said.split("dev ").nth(1).and_then(|rest| rest.split(' ').next());
        Ok(dev.context("no device")?.to_owned())
    };
    let severed = stage.happens("cable", LineEvent::Sever).await?;
    let gap = stage.gap_after(severed).await?;
    figure(&format!("the host is reached again after {gap:?}"));
    ensure!(leaves_by(&stage, &ECHO4.to_string()).await? == "usb0", "by the spare");
    ensure!(leaves_by(&stage, "198.51.100.9").await? == dev, "keep_routes keeps it");
    stage.happens("cable", LineEvent::Restore).await?;
    stage.on("cable").await?;
    ensure!(leaves_by(&stage, &ECHO4.to_string()).await? == dev, "back with the traffic");
    Ok(())
}

async fn a_default_that_rejects_is_no_internet() -> Result<()> {
    let stage = Stage::new().await?;
    let router = &stage.home.router;
    // The highest metric but one: any other default route stands before it.
    shell(router, "ip route add unreachable default metric 4278198272").await?;
    sleep(Duration::from_millis(300)).await;
    let calm = stage.json().await?["sentence"].to_string();
    ensure!(calm.contains("Internet works"), "control: it is the last: {calm}");
    let all = shell(router, "ip route show default type unicast").await?;
    for route in all.lines() {
        shell(router, &format!("ip route del {route}")).await?;
    }
    told(&stage, "all IPv4 traffic is rejected, as an unreachable default route in `main` says")
        .await?;
    let sentence = stage.json().await?["sentence"].to_string();
    ensure!(sentence.contains("all IPv4 traffic is rejected"), "{sentence}");
    Ok(())
}

/// A home in which two tunnels claim everything, the agent in it, and the two far ends.
async fn home_with_two_tunnels() -> Result<(Stage, [Netns; 2])> {
    let home = Home::build(&Plan::default()).await?;
    spy(&home).await?;
    let far = [Tunnel::build_as(&home, 0).await?.far, Tunnel::build_as(&home, 1).await?.far];
    for far in &far {
        spy_at(far).await?;
    }
    let stage = Stage::in_home(home, Settings::default(), &[]).await?;
    control(&stage).await?;
    for n in 0..2 {
        Tunnel::up_as(&stage.home, n).await?;
        told(&stage, &format!("all IPv4 traffic goes by wg{n}")).await?;
        told(&stage, &format!("all IPv6 traffic goes by wg{n}")).await?;
    }
    Ok((stage, far))
}

/// Asks both echo servers with this mark until both have answered by that far end.
async fn asked_by(stage: &Stage, mark: u32, far: &Netns) -> Result<()> {
    let before = seen_at(far).await?;
    for server in [ECHO4, ECHO6] {
        until_answered(&stage.home, server, mark).await?;
    }
    ensure!(seen_at(far).await? >= before + 2, "answered by another way");
    Ok(())
}

async fn of_two_tunnels_that_claim_everything_the_first_rule_has_it() -> Result<()> {
    let (mut stage, far) = home_with_two_tunnels().await?;
    sleep(Duration::from_millis(300)).await;
    // The kernel puts the rules of the later one before those of the earlier one.
    let idle = seen_at(&far[0]).await?;
    asked_by(&stage, 0, &far[1]).await?;
    let begun = Instant::now();
    let outside = rounds(&mut stage).await?;
    stage.nothing_lost_since(begun).await?;
    ensure!(outside == 0, "{outside} packets were seen at the modems");
    ensure!(seen_at(&far[0]).await? == idle, "the earlier tunnel has no part in it");
    // It has, when the other is gone.
    for family in ["-4", "-6"] {
        let del = format!("ip {family} rule del not fwmark 51821 table 51821");
        shell(&stage.home.router, &del).await?;
    }
    told(&stage, "no longer so: all IPv4 traffic goes by wg1").await?;
    let before: u64 = seen(&stage.home).await?.iter().sum();
    asked_by(&stage, 0, &far[0]).await?;
    ensure!(seen(&stage.home).await?.iter().sum::<u64>() == before, "outside");
    Ok(())
}

/// What carries the mark of the later one, which are its own packets, is claimed by the earlier one, and what
/// carries the earlier one's by nobody: it follows the chain.
async fn a_tunnel_goes_over_a_tunnel() -> Result<()> {
    let (mut stage, far) = home_with_two_tunnels().await?;
    asked_by(&stage, 51_821, &far[0]).await?;
    for cut in [false, true] {
        if cut {
            stage.happens("cable", LineEvent::Sever).await?;
            stage.on("mifi").await?;
        }
        let before: u64 = seen(&stage.home).await?.iter().sum();
        asked_by(&stage, 51_821, &far[0]).await?;
        asked_by(&stage, 0, &far[1]).await?;
        ensure!(seen(&stage.home).await?.iter().sum::<u64>() == before, "outside");
    }
    // Without a rule of its own that mark would still be the later one's; the kernel asks that one first.
    let both = stage.json().await?["claims"].to_string();
    ensure!(both.contains("wg0") && both.contains("wg1"), "{both}");
    Ok(())
}

/// This many rules and routes of others, which lead nobody anywhere.
const RULES: u32 = 1_000;
const ROUTES: u32 = 10_000;
/// For so long somebody takes theirs away and builds them anew.
const ANEW: Duration = Duration::from_secs(8);

async fn a_thousand_rules_and_a_neighbour_that_builds_anew_leave_it_calm() -> Result<()> {
    let (home, tunnel) = home_with_a_tunnel().await?;
    let rules = (0..RULES).map(|n| {
        format!(
            "rule add from 10.{}.{}.0/24 lookup 100 pref {}\n",
            128 + n / 256,
            n % 256,
            10_000 + n
        )
    });
    let routes = (0..ROUTES).map(|n| {
        format!("route add 10.{}.{}.{}/32 dev lo table 100\n", n / 65_536, n / 256 % 256, n % 256)
    });
    let batch = crate::stage::file("many-rules");
    std::fs::write(&batch, rules.chain(routes).collect::<String>())?;
    shell(&home.router, &format!("ip -batch {}", batch.display())).await?;
    let stage = Stage::in_home(home, Settings::default(), &[]).await?;
    Tunnel::up(&stage.home).await?;
    told(&stage, "all IPv4 traffic goes by wg0").await?;
    let begun = Instant::now();
    let mut times = 0;
    while begun.elapsed() < ANEW {
        // Each time with another priority, behind their rule for `main`, which stands at 8298.
        let (old, new) = if times % 2 == 0 { (8299, 8298) } else { (8298, 8299) };
        let script = format!(
            "ip rule del pref {old} not fwmark 51820; ip rule add not fwmark 51820 table 51820 pref {new}"
        );
        shell(&stage.home.router, &script).await?;
        times += 1;
        sleep(Duration::from_millis(300)).await;
    }
    let codes = stage.agent.history().await?;
    let claimed = codes.iter().filter(|code| code.starts_with("claim")).count();
    let late = stage.json().await?["loop_gap_ms"].as_f64().context("no loop_gap_ms")?;
    figure(&format!("built anew {times} times, told {claimed} times; loop late by {late:.1} ms"));
    ensure!(claimed == 2, "once for each IP version: {codes:?}");
    ensure!(codes.iter().all(|code| code != "repaired" && code != "fight"), "{codes:?}");
    // 50 ms on a quiet machine.
    ensure!(late < 500.0, "the loop was late by {late} ms");
    let all = shell(&stage.home.router, "ip rule | grep -c 'lookup 100'").await?;
    ensure!(all.trim() == RULES.to_string(), "{all} rules are left");
    // Between their two commands a packet goes outside, where new flows are answered, too; the long one belongs
    // to the tunnel.
    let (flows, _) = stage.lost_since(begun).await?;
    ensure!(flows == 0, "{flows} new flows were lost");
    drop(tunnel.far);
    Ok(())
}
