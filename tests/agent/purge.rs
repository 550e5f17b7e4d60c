//! In the end nothing is left: whatever happened to the agent and around it, `sparelink purge` leaves
//! the kernel as it was before the agent came.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use sparelink::lab::script::{LineEvent, Settings};
use sparelink::lab::topology::{Home, Plan};
use tokio::time::sleep;

use crate::guard::shell;
use crate::kernel::dump;
use crate::stage::{PROVEN, Stage, file};

crate::tests![
    purged_after_a_kill_and_twenty_switches,
    purged_after_restarts_and_a_lost_interface,
    values_that_follow_forwarding_are_put_back,
];

/// What other programs show of it.
const LOOK: &str = "echo rules; ip rule; ip -6 rule; echo routes; ip route show table all; \
                    ip -6 route show table all | sed 's/ expires [0-9]*sec//'; echo nft; nft -s list ruleset";

/// Rules, routes, tables and settings of somebody else, some in the places next to ours.
const FOREIGN: &str = "
    ip rule add pref 8299 fwmark 0x100/0xff00 lookup 200
    ip rule add pref 8391 from 192.168.77.99 lookup 200 protocol 99
    ip -6 rule add pref 8350 from fd77::99 lookup 200
    ip route add blackhole 192.0.2.0/24 table 200
    ip route add 198.51.100.0/24 dev lan0 table 8400
    nft 'table inet sparelink2 { set sparelink { type ipv4_addr; elements = { 192.0.2.1 }; }; chain c { type filter hook forward priority -10; policy accept; counter; }; }'
    nft 'table ip sparelink { chain forward { type filter hook forward priority 0; }; }'
    echo 1 > /proc/sys/net/ipv4/conf/wan0/rp_filter
    echo 0 > /proc/sys/net/ipv4/conf/all/accept_redirects
    echo 1 > /proc/sys/net/ipv4/conf/usb0/forwarding
    echo 1 > /proc/sys/net/ipv6/conf/usb0/forwarding
    echo 0 > /proc/sys/net/netfilter/nf_conntrack_tcp_loose
    echo 2 > /proc/sys/net/ipv6/conf/usb0/accept_ra
";

/// A home with other people's things in it, and what it looks like before the agent comes.
async fn home() -> Result<(Home, String, crate::kernel::Dump)> {
    let home = Home::build(&Plan::default()).await?;
    shell(&home, FOREIGN).await.context("other people's things")?;
    let (look, dump) = (shell(&home, LOOK).await?, dump(&home).await?);
    Ok((home, look, dump))
}

/// Purges, and compares everything with how it was.
async fn purge(stage: &Stage, look: &str, before: &crate::kernel::Dump) -> Result<()> {
    let standing = dump(&stage.home).await?;
    ensure!(standing.rules.len() > before.rules.len() + 6, "control: nothing stands");
    let settings = |key: &&String| standing.sysctls.get(*key) != before.sysctls.get(*key);
    let changed = before.sysctls.keys().filter(settings).count();
    ensure!(changed >= 10, "control: {changed} sysctls differ");
    let said = stage.purge().await?.must(0)?;
    let named = said.out.contains(" dev usb0 table 830") && !said.out.contains('#');
    ensure!(named, "interfaces are not named: {}", said.out);
    ensure!(said.out.contains("no longer forwarded"), "not said of the LAN: {}", said.out);
    ensure!(said.out.contains("nothing of sparelink is left"), "{said:?}");
    before.must_equal(&dump(&stage.home).await?)?;
    let after = shell(&stage.home, LOOK).await?;
    ensure!(after == look, "before:\n{look}\nafter:\n{after}");
    ensure!(!file("run").join("sysctls.json").exists(), "old values are kept for nothing");
    crate::figure(&format!("{changed} sysctls put back"));
    Ok(())
}

async fn purged_after_a_kill_and_twenty_switches() -> Result<()> {
    let (home, look, before) = home().await?;
    let mut stage = Stage::in_home(home, Settings::default(), &[]).await?;
    for n in 0..20 {
        stage.agent.must(&["switch", ["mifi", "phone", "cable"][n % 3]]).await?;
    }
    stage.on("phone").await?;
    let refused = stage.purge().await?.must(2)?;
    ensure!(refused.err.contains("the agent is still running"), "{refused:?}");
    ensure!(stage.agent.status().await?.all_proven(), "the agent was disturbed");
    stage.agent.end(Signal::SIGKILL).await?;
    purge(&stage, &look, &before).await
}

async fn purged_after_restarts_and_a_lost_interface() -> Result<()> {
    let (home, look, before) = home().await?;
    let mut stage = Stage::in_home(home, Settings::default(), &[]).await?;
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        stage.agent.end(signal).await?;
        stage.start_again().await?;
        stage.agent.wait_proven(PROVEN).await?;
    }
    stage.happens("phone", LineEvent::Vanish).await?;
    sleep(Duration::from_millis(300)).await;
    stage.agent.end(Signal::SIGKILL).await?;
    // What was the phone's went with it, for others too.
    let of_the_phone = |line: &str| line.contains("wlan0") || line.contains("Oif(4)");
    let mut before = before;
    before.sysctls.retain(|path, _| !of_the_phone(path));
    let now = dump(&stage.home).await?;
    before.routes.retain(|line| now.routes.contains(line));
    ensure!(before.routes.len() > 10, "control: others' routes are there: {}", before.routes.len());
    let look: Vec<&str> = look.lines().filter(|line| !of_the_phone(line)).collect();
    purge(&stage, &(look.join("\n") + "\n"), &before).await
}

/// The kernel switches forwarding of all devices along with that of the box, and resets another value.
async fn values_that_follow_forwarding_are_put_back() -> Result<()> {
    let (home, look, before) = home().await?;
    let value = |path: &str| before.sysctls.get(&format!("/proc/sys/net/{path}")).cloned();
    for (path, expected) in [
        ("ipv4/ip_forward", "0"),
        ("ipv4/conf/usb0/forwarding", "1"),
        ("ipv6/conf/all/forwarding", "0"),
        ("ipv6/conf/usb0/forwarding", "1"),
        ("ipv4/conf/all/accept_redirects", "0"),
    ] {
        ensure!(value(path).as_deref() == Some(expected), "control: {path} is {:?}", value(path));
    }
    let mut stage = Stage::in_home(home, Settings::default(), &[]).await?;
    stage.agent.end(Signal::SIGTERM).await?;
    let control = "echo 0 > /proc/sys/net/ipv4/ip_forward; cat /proc/sys/net/ipv4/conf/usb0/forwarding \
                   /proc/sys/net/ipv4/conf/all/accept_redirects; echo 1 > /proc/sys/net/ipv4/ip_forward";
    let alone = shell(&stage.home, control).await?;
    ensure!(alone == "0\n1\n", "control: the kernel changes the others by itself: {alone}");
    purge(&stage, &look, &before).await
}
