//! Firewalls of others that do not know an uplink: what doctor prints helps, in both directions, and the agent does not
//! say that the Internet works where the LAN gets none.

use std::path::Path;
use std::process::Child;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sparelink::lab::agent::Status;
use sparelink::lab::netns::Netns;
use sparelink::lab::stage::child;
use sparelink::lab::topology::{ECHO4, Home};
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep, timeout};

use crate::stage::{AGENT, SOON, Stage, in_router, shell};
use crate::{figure, skip};

crate::tests![
    doctor_opens_plain_nftables,
    doctor_opens_iptables,
    doctor_opens_docker,
    doctor_opens_ufw,
    doctor_opens_firewalld,
    a_zone_that_lacks_an_uplink_is_found,
    what_the_lan_may_not_use_is_left_and_told,
    a_firewall_that_is_loaded_again_and_again_is_no_news,
];

/// New connections that a client of the LAN tries.
const TRIES: usize = 10;
/// How long each has for its answer.
const ANSWERED: Duration = Duration::from_millis(400);
/// A daemon has so long to start.
const STARTS: Duration = Duration::from_secs(20);

/// How many of ten new connections are answered.
async fn answered(home: &Home) -> Result<usize> {
    let asks = (0..TRIES).map(|_| {
        home.client.spawn(async {
            let socket = UdpSocket::bind("0.0.0.0:0").await?;
            socket.connect((ECHO4, 7)).await?;
            socket.send(b"hello?").await?;
            let answer = timeout(ANSWERED, socket.recv(&mut [0; 16])).await;
            anyhow::Ok(matches!(answer, Ok(Ok(_))))
        })
    });
    let mut count = 0;
    for ask in asks.collect::<Vec<_>>() {
        count += usize::from(ask.await??);
    }
    Ok(count)
}

/// What doctor says of firewalls: level, what, and the lines that mend it.
async fn doctor(home: &Home) -> Result<Vec<(String, String, String)>> {
    let path = crate::stage::file("sparelink.toml").display().to_string();
    let said = in_router(home, AGENT, &["doctor", "--json", "--config", &path]).await?;
    let report: Value = serde_json::from_str(&said.out).with_context(|| format!("{said:?}"))?;
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let findings = report["findings"].as_array().context("findings")?.iter();
    let all = findings.map(|f| (text(f, "level"), text(f, "what"), text(f, "mend")));
    Ok(all.filter(|(_, what, _)| what.contains("firewall")).collect())
}

/// A firewall closes every uplink to the LAN; what doctor prints is run as it stands, and opens them.
async fn opened_by_doctor(stage: &Stage, firewall: &str) -> Result<()> {
    let home = &stage.home;
    std::fs::write(crate::stage::file("sparelink.toml"), &stage.text)?;
    let control = answered(home).await?;
    ensure!(control == TRIES, "control: {control} of {TRIES} without the firewall");
    ensure!(doctor(home).await?.is_empty(), "control: {:?}", doctor(home).await?);
    mended_by_doctor(stage, firewall).await
}

/// The same where the firewall may be in the way already.
async fn mended_by_doctor(stage: &Stage, firewall: &str) -> Result<()> {
    let home = &stage.home;
    std::fs::write(crate::stage::file("sparelink.toml"), &stage.text)?;
    shell(&home.router, &exported(firewall)).await?;
    let before = answered(home).await?;
    let said = doctor(home).await?;
    // As many times as it finds something: a second table may stand behind the first.
    let mut lines = 0;
    for _ in 0..2 {
        for (level, what, mend) in doctor(home).await? {
            ensure!(level == "wrong", "{level}: {what}");
            lines += mend.lines().count();
            shell(&home.router, &exported(&mend)).await.with_context(|| what)?;
        }
    }
    let after = answered(home).await?;
    figure(&format!("{before} of {TRIES} answered, {after} after {lines} lines"));
    ensure!(before == 0, "{before} of {TRIES} got through: {said:?}");
    ensure!(!said.is_empty(), "doctor found nothing");
    ensure!(after == TRIES, "{after} of {TRIES} after:\n{said:#?}");
    let rest = doctor(home).await?;
    ensure!(rest.is_empty(), "doctor still says {rest:?}");
    Ok(())
}

fn exported(script: &str) -> String {
    format!("export PATH\n{script}")
}

/// Whether a program is missing; then the test says so.
fn lacks(program: &str) -> bool {
    let missing = !Path::new(program).exists();
    if missing {
        skip(&format!("there is no {program}"));
    }
    missing
}

async fn doctor_opens_plain_nftables() -> Result<()> {
    const FIREWALL: &str = "nft 'table inet mine {
        set known { type ifname; elements = { \"docker0\", \"eth9\" }; }
        chain more { ct state invalid drop; oifname @known accept; }
        chain forward { type filter hook forward priority 10; policy drop; jump more; }
    }'";
    opened_by_doctor(&Stage::new().await?, FIREWALL).await
}

async fn doctor_opens_iptables() -> Result<()> {
    if lacks("/usr/sbin/iptables-nft") {
        return Ok(());
    }
    // What leaves is let out, and its answer is not.
    const FIREWALL: &str = "iptables-nft -P FORWARD DROP; ip6tables-nft -P FORWARD DROP
        iptables-nft -A FORWARD -i lan0 -m conntrack --ctstate NEW -j ACCEPT
        iptables-nft -A FORWARD -i docker0 -m state --state NEW,ESTABLISHED -j ACCEPT";
    opened_by_doctor(&Stage::new().await?, FIREWALL).await
}

/// The rules that dockerd 28 makes for its default network.
const DOCKER: &str = "
    iptables-nft -P FORWARD DROP
    for c in DOCKER DOCKER-FORWARD DOCKER-BRIDGE DOCKER-CT DOCKER-USER; do iptables-nft -N $c; done
    iptables-nft -A FORWARD -j DOCKER-USER
    iptables-nft -A FORWARD -j DOCKER-FORWARD
    iptables-nft -A DOCKER ! -i docker0 -o docker0 -j DROP
    iptables-nft -A DOCKER-BRIDGE -o docker0 -j DOCKER
    iptables-nft -A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
    iptables-nft -A DOCKER-FORWARD -j DOCKER-CT
    iptables-nft -A DOCKER-FORWARD -j DOCKER-BRIDGE
    iptables-nft -A DOCKER-FORWARD -i docker0 -j ACCEPT";

async fn doctor_opens_docker() -> Result<()> {
    if lacks("/usr/sbin/iptables-nft") {
        return Ok(());
    }
    opened_by_doctor(&Stage::new().await?, DOCKER).await
}

/// Gives the router files of its own in a directory of the machine.
async fn own_copy(home: &Home, directory: &str) -> Result<()> {
    let copy = format!("/run/own{}", directory.replace('/', "-"));
    let script = format!("cp -a {directory} {copy}; mount --bind {copy} {directory}");
    shell(&home.router, &exported(&script)).await.map(drop)
}

async fn doctor_opens_ufw() -> Result<()> {
    if lacks("/usr/sbin/ufw") {
        return Ok(());
    }
    let stage = Stage::new().await?;
    own_copy(&stage.home, "/etc/ufw").await?;
    own_copy(&stage.home, "/etc/default").await?;
    opened_by_doctor(&stage, "ufw --force enable").await
}

/// A daemon in the router; killed when dropped.
struct Daemon(Child);

impl Daemon {
    async fn start(router: &Netns, script: &str) -> Result<Self> {
        let script = format!("PATH=/usr/sbin:/sbin:/usr/bin:/bin; export PATH; exec {script}");
        let mut command = child(Path::new("/bin/sh"), &["-c".into(), script.into()]);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        Ok(Self(router.run(async move { command.spawn() }).await??))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

async fn doctor_opens_firewalld() -> Result<()> {
    if lacks("/usr/sbin/firewalld") || lacks("/usr/bin/dbus-daemon") {
        return Ok(());
    }
    let stage = Stage::new().await?;
    let router = &stage.home.router;
    own_copy(&stage.home, "/etc/firewalld").await?;
    shell(router, "mkdir -p /run/dbus").await?;
    let _bus = Daemon::start(router, "dbus-daemon --system --nofork --nopidfile").await?;
    let begun = Instant::now();
    let up = async |script: &str| {
        while shell(router, &exported(script)).await.is_err() {
            ensure!(begun.elapsed() < STARTS, "not up after {STARTS:?}: {script}");
            sleep(Duration::from_millis(100)).await;
        }
        anyhow::Ok(())
    };
    up("test -S /run/dbus/system_bus_socket").await?;
    // Nothing is in its way before it runs.
    let control = answered(&stage.home).await?;
    ensure!(control == TRIES, "control: {control} of {TRIES}");
    let _firewalld = Daemon::start(router, "firewalld --nofork --nopid").await?;
    up("firewall-cmd --state").await?;
    let zone = "firewall-cmd --permanent --zone=internal --change-interface=lan0";
    mended_by_doctor(&stage, &format!("{zone}; firewall-cmd --reload")).await
}

/// OpenWrt's firewall as fw4 writes it for a LAN and a WAN zone, with these devices in the latter.
fn fw4(wan: &str) -> String {
    format!(
        "nft 'table inet fw4; delete table inet fw4; table inet fw4 {{
        chain forward {{
            type filter hook forward priority filter; policy drop;
            ct state vmap {{ established : accept, related : accept }}
            iifname \"lan0\" jump forward_lan
            iifname {{ {wan} }} jump forward_wan
            jump handle_reject
        }}
        chain handle_reject {{
            meta l4proto tcp reject with tcp reset
            reject with icmpx type port-unreachable
        }}
        chain forward_lan {{ jump accept_to_wan; jump accept_to_lan; }}
        chain forward_wan {{ icmp type echo-request limit rate 1000/second accept; jump reject_to_wan; }}
        chain accept_to_lan {{ oifname \"lan0\" counter accept; }}
        chain accept_to_wan {{
            meta nfproto ipv4 oifname {{ {wan} }} ct state invalid counter drop
            oifname {{ {wan} }} counter accept
        }}
        chain reject_to_wan {{ oifname {{ {wan} }} counter goto handle_reject; }}
        }}'"
    )
}

async fn a_zone_that_lacks_an_uplink_is_found() -> Result<()> {
    let stage = Stage::new().await?;
    let home = &stage.home;
    std::fs::write(crate::stage::file("sparelink.toml"), &stage.text)?;
    shell(&home.router, &fw4("\"wan0\", \"wlan0\"")).await?;
    let said = doctor(home).await?;
    let [(level, what, mend)] = &said[..] else { anyhow::bail!("{said:?}") };
    ensure!(level == "wrong", "{said:?}");
    ensure!(what == "the firewall inet fw4 does not let lan0 out by usb0", "{what}");
    ensure!(mend.contains("uci add_list $zone.device=usb0"), "{mend}");
    ensure!(answered(home).await? == TRIES, "control: the cable's zone lets the LAN out");
    // What these lines make of the rules.
    shell(&home.router, &fw4("\"wan0\", \"wlan0\", \"usb0\"")).await?;
    ensure!(doctor(home).await?.is_empty(), "{:?}", doctor(home).await?);
    ensure!(answered(home).await? == TRIES, "the LAN gets out");
    Ok(())
}

/// The history's entries of a code.
async fn told(stage: &Stage, code: &str) -> Result<Vec<String>> {
    let all = stage.events().await?;
    let texts = all.iter().filter(|event| event["code"] == code);
    Ok(texts.filter_map(|event| event["text"].as_str().map(str::to_owned)).collect())
}

async fn what_the_lan_may_not_use_is_left_and_told() -> Result<()> {
    let mut stage = Stage::new().await?;
    let router = stage.home.router.clone();
    ensure!(answered(&stage.home).await? == TRIES, "control: the LAN gets out by the cable");
    let begun = Instant::now();
    shell(&router, &fw4("\"usb0\", \"wlan0\"")).await?;
    stage.on("mifi").await?;
    let left = begun.elapsed();
    figure(&format!("left after {:.1} s", left.as_secs_f64()));
    ensure!(answered(&stage.home).await? == TRIES, "the LAN gets out by the MiFi");
    let status = stage.json().await?;
    let cable = &status["uplinks"][0];
    ensure!(cable["condition"] == "barred" && cable["role"] == "not_ready", "{cable}");
    ensure!(cable["v4"]["barred_by"] == "inet fw4", "{cable}");
    let reason = cable["reason"].as_str().unwrap_or_default();
    ensure!(reason.starts_with("the firewall inet fw4 does not let the LAN out by it"), "{reason}");
    let said = told(&stage, "barred").await?;
    ensure!(said.iter().any(|text| text.contains("out by cable (IPv4)")), "{said:?}");

    // Nobody gets out any more: it is not said that the Internet works.
    shell(&router, &fw4("\"eth9\"")).await?;
    let nothing = |status: &Status| !status.works;
    stage.agent.wait(SOON, "the truth", nothing).await?;
    let sentence = stage.json().await?["sentence"].as_str().unwrap_or_default().to_owned();
    ensure!(sentence.contains("closed to the LAN by a firewall"), "{sentence}");
    ensure!(answered(&stage.home).await? == 0, "control: nobody gets out");

    // Everybody does again.
    shell(&router, "nft delete table inet fw4").await?;
    stage.on("cable").await?;
    ensure!(answered(&stage.home).await? == TRIES, "the LAN gets out again");
    let said = told(&stage, "barred").await?;
    let over = "the firewall inet fw4 lets the LAN out by cable again (IPv4)";
    ensure!(said.iter().any(|text| text == over), "{said:?}");
    Ok(())
}

async fn a_firewall_that_is_loaded_again_and_again_is_no_news() -> Result<()> {
    let stage = Stage::new().await?;
    let router = &stage.home.router;
    let begun = Instant::now();
    // As a script does that flushes first: closed for a moment each time.
    while begun.elapsed() < Duration::from_secs(8) {
        shell(
            router,
            "nft 'table ip x { chain f { type filter hook forward priority 0; policy drop; }; }'",
        )
        .await?;
        sleep(Duration::from_millis(300)).await;
        shell(router, "nft delete table ip x").await?;
        sleep(Duration::from_millis(700)).await;
    }
    ensure!(told(&stage, "barred").await?.is_empty(), "{:?}", told(&stage, "barred").await?);
    let status = stage.json().await?;
    ensure!(status["active"] == "cable" && status["works"] == true, "{status}");
    let gap = status["loop_gap_ms"].as_f64().context("loop_gap_ms")?;
    figure(&format!("the loop was {gap} ms late at worst"));
    Ok(())
}
