//! The home and the Internet around it.
//!
//! ```text
//!  client ── lan0 router ─┬─ wan0  ── modem ── provider ─┐
//!  192.168.77.2           ├─ usb0  ── modem ── provider ─┼─ core ── targets: 1.1.1.1, 8.8.8.8, 9.9.9.9,
//!                         └─ wlan0 ── modem ── provider ─┘          a name server, web server, echo server
//! ```
//!
//! Each box is a network namespace. A modem is a real one's behaviour: gateway, masquerade, a DNS
//! proxy that answers by itself, a page of its own; so a line cut behind it looks alive from the
//! router. Faults are laid into the modem and the provider, never into the router.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use ipnet::IpNet;
use tokio::task::JoinHandle as Task;

use super::internet::{self, WEB4, WEB6, ZONE};
use super::netns::{Netns, Route, cable, end};
use super::uplink::{Uplink, UplinkPlan};

/// The LAN client's address.
pub const CLIENT: &str = "192.168.77.2";
/// The router's LAN interface.
pub const LAN_INTERFACE: &str = "lan0";
/// The echo server's addresses.
pub const ECHO4: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));
/// The echo server's IPv6 address.
pub const ECHO6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xcafe, 0, 0, 0, 0, 7));
/// The default probe targets.
pub const TARGETS: [&str; 6] = [
    "1.1.1.1",
    "8.8.8.8",
    "9.9.9.9",
    "2606:4700:4700::1111",
    "2001:4860:4860::8888",
    "2620:fe::fe",
];

/// Which uplinks a home has.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The chain, at most 8.
    pub uplinks: Vec<UplinkPlan>,
}

impl Default for Plan {
    /// A cable, a MiFi and a phone.
    fn default() -> Self {
        let uplink = |name: &str, interface: &str, ms| UplinkPlan {
            name: name.to_owned(),
            interface: interface.to_owned(),
            delay: Duration::from_millis(ms),
            subnet: None,
        };
        Self {
            uplinks: vec![
                uplink("cable", "wan0", 4),
                uplink("mifi", "usb0", 12),
                uplink("phone", "wlan0", 25),
            ],
        }
    }
}

impl Plan {
    /// The chain of these names; the default one where there are none.
    #[must_use]
    pub fn of(names: &[String]) -> Self {
        if names.is_empty() { Self::default() } else { Self::named(names) }
    }

    /// The names of its uplinks, in order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.uplinks.iter().map(|uplink| uplink.name.clone()).collect()
    }

    /// The default chain cut, or extended, to these names.
    #[must_use]
    pub fn named(names: &[String]) -> Self {
        let Self { uplinks: known } = Self::default();
        let plan = |(i, name): (usize, &String)| {
            let like = known.get(i);
            UplinkPlan {
                name: name.clone(),
                interface: like.map_or_else(|| format!("eth{i}"), |u| u.interface.clone()),
                delay: like.map_or(Duration::from_millis(10), |u| u.delay),
                subnet: None,
            }
        };
        Self { uplinks: names.iter().enumerate().map(plan).collect() }
    }
}

/// The home and the Internet around it. Dropping it takes everything away.
#[derive(Debug)]
pub struct Home {
    pub client: Netns,
    /// The router, where the agent runs.
    pub router: Arc<Netns>,
    pub core: Netns,
    pub target: Netns,
    /// The uplinks, first of the chain first.
    pub uplinks: Vec<Arc<Uplink>>,
    /// Targets that answer nobody.
    pub(super) dropped: Mutex<BTreeSet<IpAddr>>,
    /// The upload that fills bloated lines.
    pub(super) load: Mutex<Option<Task<()>>>,
}

impl Home {
    /// Builds everything and starts the servers. Takes about a second.
    ///
    /// # Errors
    /// What the kernel refused, and where.
    pub async fn build(plan: &Plan) -> Result<Self> {
        let client = Netns::new("client").await?;
        let router = Arc::new(Netns::with_sysfs("router").await?);
        let core = Netns::new("core").await?;
        let target = Netns::new("targets").await?;
        build_lan(&client, &router).await?;
        build_targets(&core, &target).await?;
        let mut uplinks = Vec::new();
        for (i, plan) in plan.uplinks.iter().enumerate() {
            let n = u8::try_from(i).context("too many uplinks")?;
            let uplink = Uplink::build(n, plan, &router, &core).await;
            uplinks.push(Arc::new(uplink.with_context(|| format!("uplink {}", plan.name))?));
        }
        let (dropped, load) = (Mutex::default(), Mutex::default());
        Ok(Self { client, router, core, target, uplinks, dropped, load })
    }

    /// The uplink of that name.
    ///
    /// # Errors
    /// A sentence that names those there are.
    pub fn uplink(&self, name: &str) -> Result<&Uplink> {
        self.shared(name).map(Arc::as_ref)
    }

    pub(super) fn shared(&self, name: &str) -> Result<&Arc<Uplink>> {
        let names = || self.uplinks.iter().map(|u| u.name.as_str()).collect::<Vec<_>>().join(", ");
        let found = self.uplinks.iter().find(|uplink| uplink.name == name);
        found.with_context(|| format!("there is no uplink `{name}`; there are {}", names()))
    }
}

async fn build_lan(client: &Netns, router: &Netns) -> Result<()> {
    cable(end(client, "eth0"), end(router, LAN_INTERFACE)).await?;
    client.address("eth0", &format!("{CLIENT}/24")).await?;
    client.address("eth0", "fd77::2/64").await?;
    router.address(LAN_INTERFACE, "192.168.77.1/24").await?;
    router.address(LAN_INTERFACE, "fd77::1/64").await?;
    client.default_routes("eth0", Ipv4Addr::new(192, 168, 77, 1), "fd77::1".parse()?, 100).await
}

/// The core and the servers behind it.
async fn build_targets(core: &Netns, target: &Netns) -> Result<()> {
    core.forward().await?;
    cable(end(core, "servers"), end(target, "eth0")).await?;
    core.address("servers", "203.0.113.1/24").await?;
    core.address("servers", "2001:db8:cafe::1/64").await?;
    for address in
        [format!("{ECHO4}/24"), format!("{ECHO6}/64"), format!("{WEB4}/24"), format!("{WEB6}/64")]
    {
        target.address("eth0", &address).await?;
    }
    let (server4, server6) = ("203.0.113.7".parse()?, "2001:db8:cafe::7".parse()?);
    target
        .default_routes("eth0", Ipv4Addr::new(203, 0, 113, 1), "2001:db8:cafe::1".parse()?, 100)
        .await?;
    for name in TARGETS {
        let address: IpAddr = name.parse()?;
        target.address("lo", &IpNet::from(address).to_string()).await?;
        let via = if address.is_ipv4() { server4 } else { server6 };
        core.route(Route::fixed(IpNet::from(address), via, "servers")).await?;
    }
    target.run(serve_internet()).await?
}

async fn serve_internet() -> Result<()> {
    for name in TARGETS {
        internet::dns(name.parse()?, ZONE).await?;
    }
    for address in [IpAddr::V4(WEB4), IpAddr::V6(WEB6)] {
        internet::web(SocketAddr::new(address, 80), internet::internet).await?;
    }
    internet::echo(ECHO4).await?;
    internet::echo(ECHO6).await
}
