//! Names follow the traffic: at Debian's Knot and BIND, and at small servers that refuse what differs.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sparelink::engine::probe::dns::{Answer, Query};
use sparelink::lab::agent::config;
use sparelink::lab::netns::Netns;
use sparelink::lab::script::Settings;
use sparelink::lab::topology::{ECHO4, Home, Plan};
use sparelink::units::Family;
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep, timeout};

use crate::stage::{Stage, shell};

mod authority;
mod outside;
mod servers;
mod services;

use outside::{
    an_address_that_others_see_is_written_where_that_is_wanted,
    the_providers_nat_is_told_and_nothing_written,
};
use servers::{names_follow_at_knot_and_bind, what_a_server_refuses_is_told};
use services::{services_are_told_as_they_want, what_a_service_refuses_is_told_and_stays};

crate::tests![
    names_follow_at_knot_and_bind,
    what_a_server_refuses_is_told,
    services_are_told_as_they_want,
    what_a_service_refuses_is_told_and_stays,
    the_providers_nat_is_told_and_nothing_written,
    an_address_that_others_see_is_written_where_that_is_wanted,
];

/// A name is right two seconds after a switch; a busy machine gets a little more.
const RIGHT: Duration = Duration::from_secs(4);

/// The router's own address on the nth uplink, which the Internet routes for all that the box can see.
fn public(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(198, 51, 100, 16 * n + 18)
}

/// A home whose modems hand out public IPv4 addresses.
async fn public_home(plan: &Plan) -> Result<Home> {
    let home = Home::build(plan).await?;
    for (n, uplink) in (0..).zip(&home.uplinks) {
        let (own, dev) = (public(n), &uplink.interface);
        let modem = Ipv4Addr::from_bits(own.to_bits() - 1);
        shell(&uplink.modem, &format!("ip addr add {modem}/28 dev lan")).await?;
        let old = uplink.at.router4;
        let script = format!(
            "ip addr add {own}/28 dev {dev}; ip addr del {old}/24 dev {dev}; \
             ip route replace default via {modem} dev {dev} metric {}",
            100 + n
        );
        shell(&home.router, &script).await?;
    }
    Ok(home)
}

/// The usual configuration with these names.
fn with(names: &str) -> String {
    config(&Plan::default(), &Settings::default()) + names
}

/// What a name server says, asked from where it runs; empty where the name has no such address.
async fn says(netns: &Netns, port: u16, name: &str, family: Family) -> Result<Vec<IpAddr>> {
    let query = Query::new(4711, name, family).context("it is no name")?;
    let server = SocketAddr::new(ECHO4, port);
    let asked = async move {
        let socket = UdpSocket::bind("0.0.0.0:0").await?;
        socket.connect(server).await?;
        socket.send(&query.encode()).await?;
        let mut answer = [0; 512];
        let length = socket.recv(&mut answer).await?;
        anyhow::Ok(query.decode(&answer[..length]))
    };
    let asked = async move { timeout(Duration::from_secs(1), asked).await };
    match netns.run(asked).await??? {
        Some(Answer::Addresses(addresses)) => Ok(addresses),
        Some(Answer::NoAddress) => Ok(Vec::new()),
        None => anyhow::bail!("what answers at {server} is no name server"),
    }
}

/// Waits until a name says just this; when that was.
async fn until(
    netns: &Netns,
    (port, name): (u16, &str),
    ip: IpAddr,
    limit: Duration,
) -> Result<Instant> {
    let begun = Instant::now();
    loop {
        // A server that is starting does not answer yet.
        let said =
            says(netns, port, name, if ip.is_ipv4() { Family::V4 } else { Family::V6 }).await;
        if said.as_ref().is_ok_and(|said| said.as_slice() == [ip]) {
            return Ok(Instant::now());
        }
        ensure!(begun.elapsed() < limit, "{name} is not {ip} at {port}: {said:?}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// What `status --json` says of a name.
async fn told(stage: &Stage, name: &str) -> Result<serde_json::Value> {
    let json = stage.json().await?;
    let mut all = json["names"].as_array().into_iter().flatten();
    all.find(|one| one["name"] == name).cloned().with_context(|| format!("no {name} in {json}"))
}

/// Waits until a name's line says that.
async fn line(stage: &Stage, name: &str, part: &str) -> Result<String> {
    let begun = Instant::now();
    loop {
        let told = told(stage, name).await?;
        let text = told["text"].as_str().unwrap_or_default().to_owned();
        if text.contains(part) {
            return Ok(text);
        }
        ensure!(
            begun.elapsed() < Duration::from_secs(20),
            "no {part:?} in {told:#}\n{}",
            stage.agent.log()
        );
        sleep(Duration::from_millis(50)).await;
    }
}
