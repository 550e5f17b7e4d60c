//! `sparelink doctor` listens in the LAN: real DHCP servers and router advertisements, this box's own and somebody else's.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};

use anyhow::{Context, Result, ensure};
use sparelink::lab::agent::config;
use sparelink::lab::netns::Netns;
use sparelink::lab::script::Settings;
use sparelink::lab::stage::child;
use sparelink::lab::topology::{Home, Plan};

use crate::skip;
use crate::stage::{AGENT, Said, file, in_netns};

crate::tests![another_router_in_the_lan_is_found_and_the_own_one_is_none];

const DNSMASQ: &str = "/usr/sbin/dnsmasq";
const SILENCE: &str = "nobody else in the LAN says that it is the router";
const STRANGER: &str = "another DHCP server answers in the LAN on ";
const ROUTER: &str = "another router advertises itself in the LAN on ";

/// Ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server as people have it: it looks whether an address is free before it offers it.
async fn serve(netns: &Netns, dev: &str, range: &str) -> Result<Server> {
    let words = [
        "--keep-in-foreground".to_owned(),
        "--conf-file=/dev/null".to_owned(),
        "--user=root".to_owned(),
        "--pid-file=".to_owned(),
        "--port=0".to_owned(),
        "--leasefile-ro".to_owned(),
        "--enable-ra".to_owned(),
        format!("--interface={dev}"),
        format!("--dhcp-range={range},255.255.255.0,2m"),
        format!("--dhcp-range=::,constructor:{dev},ra-only,64,1h"),
    ];
    let words: Vec<OsString> = words.iter().map(OsString::from).collect();
    let mut command = child(Path::new(DNSMASQ), &words);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let started = netns.run(async move { command.spawn() }).await?;
    Ok(Server(started.context("starting dnsmasq")?))
}

async fn doctor(netns: &Netns, config: &str) -> Result<Said> {
    let path = file(config).display().to_string();
    in_netns(netns, AGENT, &["doctor", "--config", &path]).await
}

async fn another_router_in_the_lan_is_found_and_the_own_one_is_none() -> Result<()> {
    if !Path::new(DNSMASQ).exists() {
        skip("there is no dnsmasq");
        return Ok(());
    }
    let home = Home::build(&Plan::default()).await?;
    for netns in [&home.client, &*home.router] {
        netns.sysctl("net/ipv6/conf/all/forwarding", "1").await?;
    }
    fs::write(file("box.toml"), config(&Plan::default(), &Settings::default()))?;
    let told = doctor(&home.router, "box.toml").await?.must(0)?;
    ensure!(told.out.contains(SILENCE), "an empty LAN: {told:?}");

    let _own = serve(&home.router, "lan0", "192.168.77.100,192.168.77.120").await?;
    let told = doctor(&home.router, "box.toml").await?.must(0)?;
    ensure!(told.out.contains(SILENCE), "the box's own server: {told:?}");
    // It does answer: for the client it is somebody else.
    let behind =
        "[[uplink]]\nname = \"none\"\ninterface = \"none\"\n[lan]\ninterfaces = [\"eth0\"]\n";
    fs::write(file("client.toml"), behind)?;
    let told = doctor(&home.client, "client.toml").await?.must(1)?;
    for words in [
        format!("{STRANGER}eth0: 192.168.77.1 (offers 192.168.77.1"),
        format!("{ROUTER}eth0: fe80::"),
    ] {
        ensure!(told.out.contains(&words), "no `{words}`: {told:?}");
    }
    ensure!(told.out.contains("router 192.168.77.1)"), "{told:?}");
    ensure!(!told.out.contains(SILENCE), "{told:?}");

    let _theirs = serve(&home.client, "eth0", "192.168.77.200,192.168.77.220").await?;
    let told = doctor(&home.router, "box.toml").await?.must(1)?;
    for words in [
        format!("{STRANGER}lan0: 192.168.77.2 (offers 192.168.77.2"),
        "router 192.168.77.2)".to_owned(),
        format!("{ROUTER}lan0: fe80::"),
        "(fd77::/64)".to_owned(),
        "ip neigh show 192.168.77.2".to_owned(),
    ] {
        ensure!(told.out.contains(&words), "no `{words}`: {told:?}");
    }
    ensure!(told.out.matches(STRANGER).count() == 1, "the own one is none: {told:?}");
    ensure!(told.out.matches(ROUTER).count() == 1, "the own one is none: {told:?}");
    Ok(())
}
