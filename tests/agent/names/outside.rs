//! Uplinks behind other routers: the provider's NAT is told and nothing written; with `behind_nat` the address that
//! servers out there see, by Debian's coturn.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Result, ensure};
use sparelink::lab::script::LineEvent;
use sparelink::lab::topology::{ECHO4, Home, Plan};
use sparelink::units::Family;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::servers::{AT_KNOT, section, start};
use super::{RIGHT, line, says, until, with};
use crate::programs::Programs;
use crate::runner::{figure, skip};
use crate::stage::{AGENT, SOON, Stage, file, shell};

const COTURN: &str = "/usr/bin/turnserver";
const NAME: (u16, &str) = (AT_KNOT, "home.knot.example");

/// Tells each that asks by HTTP its address.
async fn echo(at: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(at).await?;
    loop {
        let (mut stream, peer) = listener.accept().await?;
        let mut head = [0; 1024];
        drop(stream.read(&mut head).await);
        let ip = format!("{}\n", peer.ip());
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{ip}", ip.len());
        drop(stream.write_all(answer.as_bytes()).await);
    }
}

pub(super) async fn the_providers_nat_is_told_and_nothing_written() -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    let Some((_programs, dir)) = start(&home.target).await? else { return Ok(()) };
    home.target.spawn(echo(SocketAddr::new(ECHO4, 8081)));
    let more = format!("echo = [\"stun:{ECHO4}:3999\", \"http://{ECHO4}:8081/\"]\n");
    let text = section(NAME.1, NAME.0, &dir.join("secret"), &more);
    let mut stage = Stage::configured(home, with(&text), Path::new(AGENT), &[]).await?;
    let told = "cable is behind the provider's NAT (CGNAT, 100.64.0.2): nobody gets in by IPv4";
    let v6 = IpAddr::V6(stage.home.uplinks[0].at.router6);
    until(&stage.home.target, NAME, v6, SOON).await?;
    line(&stage, NAME.1, "seen by the name server").await?;
    let said = line(&stage, NAME.1, told).await?;
    ensure!(said.starts_with(&format!("{} → {v6} (cable)", NAME.1)), "{said}");
    stage.happens("cable", LineEvent::Sever).await?;
    stage.on("mifi").await?;
    line(&stage, NAME.1, "mifi is behind the provider's NAT (CGNAT, 100.64.1.2)").await?;
    let v4 = says(&stage.home.target, NAME.0, NAME.1, Family::V4).await?;
    ensure!(v4.is_empty(), "it says {v4:?}");
    Ok(())
}

/// As whom servers see the nth uplink.
fn outside(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, 10 + n)
}

pub(super) async fn an_address_that_others_see_is_written_where_that_is_wanted() -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    if !Path::new(COTURN).exists() {
        skip("there is no coturn");
        return Ok(());
    }
    let Some((mut programs, dir)) = start(&home.target).await? else { return Ok(()) };
    for (n, uplink) in (0..).zip(&home.uplinks) {
        let ip = outside(n);
        let script = format!(
            "ip addr add {ip}/32 dev line; nft add table ip outside; \
             nft 'add chain ip outside out {{ type nat hook postrouting priority 90; }}'; \
             nft add rule ip outside out oifname line snat to {ip}"
        );
        shell(&uplink.modem, &script).await?;
        shell(&home.core, &format!("ip route add {ip}/32 via 198.18.{n}.2 dev isp{n}")).await?;
    }
    start_stun(&mut programs, &home).await?;
    let more = format!("behind_nat = true\necho = [\"stun:{ECHO4}:3478\"]\n");
    let text = section(NAME.1, NAME.0, &dir.join("secret"), &more);
    let stage = Stage::configured(home, with(&text), Path::new(AGENT), &[]).await?;
    let at = |n| IpAddr::V4(outside(n));
    until(&stage.home.target, NAME, at(0), SOON).await?;
    restarted(stage, at(1)).await
}

async fn start_stun(programs: &mut Programs, home: &Home) -> Result<()> {
    let (ip, dir) = (ECHO4.to_string(), file("names-stun"));
    std::fs::create_dir_all(&dir)?;
    let (pid, log) = (dir.join("pid").display().to_string(), dir.join("log").display().to_string());
    let words = [
        "-n",
        "-S",
        "--listening-port",
        "3478",
        "-L",
        &ip,
        "--no-tls",
        "--no-dtls",
        "--no-cli",
        "--simple-log",
        "-l",
        &log,
        "--pidfile",
        &pid,
    ];
    programs.start(&home.target, COTURN, &words).await
}

/// Two writes are a minute apart: another agent begins, and the name follows a switch.
async fn restarted(mut stage: Stage, next: IpAddr) -> Result<()> {
    stage.agent.end(nix::sys::signal::Signal::SIGTERM).await?;
    stage.start_again().await?;
    stage.on("cable").await?;
    line(&stage, NAME.1, "the name server says so").await?;
    stage.happens("cable", LineEvent::Sever).await?;
    stage.on("mifi").await?;
    let switched = Instant::now();
    let seen = until(&stage.home.target, NAME, next, RIGHT).await?;
    let took = seen.saturating_duration_since(switched).as_millis();
    figure(&format!("the address that others see is right {took} ms after the switch"));
    Ok(())
}
