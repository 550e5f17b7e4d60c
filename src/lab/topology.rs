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
use rtnetlink::packet_route::route::RouteProtocol;
use tokio::sync::watch;
use tokio::task::JoinHandle as Task;

use super::faults::Condition;
use super::forwarder::{Port, Shape};
use super::internet::{self, Zone};
use super::netns::{Netns, Route, cable, end};
use super::{faults, forwarder};

/// The LAN client's address.
pub const CLIENT: &str = "192.168.77.2";
/// The router's LAN interface.
pub const LAN_INTERFACE: &str = "lan0";
/// The echo server's addresses.
pub const ECHO4: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));
/// The echo server's IPv6 address.
pub const ECHO6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xcafe, 0, 0, 0, 0, 7));
/// The web server that every name points to.
const WEB4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 80);
const WEB6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xcafe, 0, 0, 0, 0, 0x80);
/// The default probe targets (DESIGN §5).
pub const TARGETS: [&str; 6] = [
    "1.1.1.1",
    "8.8.8.8",
    "9.9.9.9",
    "2606:4700:4700::1111",
    "2001:4860:4860::8888",
    "2620:fe::fe",
];
/// What a fault of kind `slow` adds each way.
pub const SLOW: Duration = Duration::from_millis(400);
/// The bit rate of a line that an upload fills.
pub const BLOATED_RATE: u64 = 2_000_000;
/// Metrics of the default routes in `main`, first uplink first.
const METRICS: [u32; 3] = [100, 101, 102];

/// Which uplinks a home has.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The chain, at most 8.
    pub uplinks: Vec<UplinkPlan>,
}

/// One uplink of the plan.
#[derive(Clone, Debug)]
pub struct UplinkPlan {
    /// What people call it.
    pub name: String,
    /// The router's interface.
    pub interface: String,
    /// How long a packet takes through the provider, each way.
    pub delay: Duration,
}

impl Default for Plan {
    /// A cable, a MiFi and a phone.
    fn default() -> Self {
        let uplink = |name: &str, interface: &str, ms| UplinkPlan {
            name: name.to_owned(),
            interface: interface.to_owned(),
            delay: Duration::from_millis(ms),
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
            }
        };
        Self {
            uplinks: names.iter().enumerate().map(plan).collect(),
        }
    }
}

/// The home and the Internet around it. Dropping it takes everything away.
#[derive(Debug)]
pub struct Home {
    /// The LAN client.
    pub client: Netns,
    /// The router, where the agent runs.
    pub router: Netns,
    /// The Internet's core.
    pub core: Netns,
    /// The servers.
    pub target: Netns,
    /// The uplinks, first of the chain first.
    pub uplinks: Vec<Arc<Uplink>>,
    /// Targets that answer nobody.
    pub(super) dropped: Mutex<BTreeSet<IpAddr>>,
    /// The upload that fills bloated lines.
    pub(super) load: Mutex<Option<Task<()>>>,
}

/// An uplink: its modem and the provider behind it.
#[derive(Debug)]
pub struct Uplink {
    /// What people call it.
    pub name: String,
    /// The router's interface.
    pub interface: String,
    /// The modem's namespace: `lan` towards the router, `line` towards the provider.
    pub modem: Netns,
    /// The provider's namespace.
    pub provider: Netns,
    /// The addresses on the way.
    pub at: Addresses,
    /// The line without faults.
    pub base: Shape,
    /// The line as it is.
    pub(super) shape: watch::Sender<Shape>,
    /// What is wrong with it.
    pub(super) faults: Mutex<Condition>,
}

/// The addresses of one uplink.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// The modem, the router's gateway.
    pub modem4: Ipv4Addr,
    /// The router behind it.
    pub router4: Ipv4Addr,
    /// The prefix between the two.
    pub prefix6: Ipv6Addr,
    /// The router's IPv6 address.
    pub router6: Ipv6Addr,
    /// The modem's address at the provider.
    line4: Ipv4Addr,
    /// The provider's address towards the modem.
    provider4: Ipv4Addr,
    /// The provider's address towards the core.
    uplink4: Ipv4Addr,
    /// The core's address towards the provider.
    core4: Ipv4Addr,
}

/// The router's gateway for IPv6 on every uplink: link-local, as router advertisements leave it.
pub const GATEWAY6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const PROVIDER6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
const CORE6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 3);

impl Addresses {
    /// Of the `n`th uplink, from 0.
    fn new(n: u8) -> Self {
        let net6 = |host| Ipv6Addr::new(0x2001, 0xdb8, 0x10 + u16::from(n), 0, 0, 0, 0, host);
        Self {
            modem4: Ipv4Addr::new(192, 168, 10 + n, 1),
            router4: Ipv4Addr::new(192, 168, 10 + n, 2),
            prefix6: net6(0),
            router6: net6(2),
            line4: Ipv4Addr::new(100, 64, n, 2),
            provider4: Ipv4Addr::new(100, 64, n, 1),
            uplink4: Ipv4Addr::new(198, 18, n, 2),
            core4: Ipv4Addr::new(198, 18, n, 1),
        }
    }
}

impl Home {
    /// Builds everything and starts the servers. Takes about a second.
    ///
    /// # Errors
    /// What the kernel refused, and where.
    pub async fn build(plan: &Plan) -> Result<Self> {
        let client = Netns::new("client").await?;
        let router = Netns::with_sysfs("router").await?;
        let core = Netns::new("core").await?;
        let target = Netns::new("targets").await?;
        build_lan(&client, &router).await?;
        build_targets(&core, &target).await?;
        let mut uplinks = Vec::new();
        for (i, plan) in plan.uplinks.iter().enumerate() {
            let n = u8::try_from(i).context("too many uplinks")?;
            let uplink = Uplink::build(n, plan, &router, &core).await;
            uplinks.push(Arc::new(
                uplink.with_context(|| format!("uplink {}", plan.name))?,
            ));
        }
        let (dropped, load) = (Mutex::default(), Mutex::default());
        Ok(Self {
            client,
            router,
            core,
            target,
            uplinks,
            dropped,
            load,
        })
    }

    /// The uplink of that name.
    ///
    /// # Errors
    /// A sentence that names those there are.
    pub fn uplink(&self, name: &str) -> Result<&Uplink> {
        self.shared(name).map(Arc::as_ref)
    }

    pub(super) fn shared(&self, name: &str) -> Result<&Arc<Uplink>> {
        let names = || {
            self.uplinks
                .iter()
                .map(|u| u.name.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        };
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
    default_routes(
        client,
        "eth0",
        Ipv4Addr::new(192, 168, 77, 1),
        "fd77::1".parse()?,
        100,
    )
    .await
}

/// The core and the servers behind it.
async fn build_targets(core: &Netns, target: &Netns) -> Result<()> {
    forwarding(core).await?;
    cable(end(core, "servers"), end(target, "eth0")).await?;
    core.address("servers", "203.0.113.1/24").await?;
    core.address("servers", "2001:db8:cafe::1/64").await?;
    for address in [
        format!("{ECHO4}/24"),
        format!("{ECHO6}/64"),
        format!("{WEB4}/24"),
        format!("{WEB6}/64"),
    ] {
        target.address("eth0", &address).await?;
    }
    let (server4, server6) = ("203.0.113.7".parse()?, "2001:db8:cafe::7".parse()?);
    default_routes(
        target,
        "eth0",
        Ipv4Addr::new(203, 0, 113, 1),
        "2001:db8:cafe::1".parse()?,
        100,
    )
    .await?;
    for name in TARGETS {
        let address: IpAddr = name.parse()?;
        target
            .address("lo", &IpNet::from(address).to_string())
            .await?;
        let via = if address.is_ipv4() { server4 } else { server6 };
        core.route(fixed(IpNet::from(address), via, "servers"))
            .await?;
    }
    target.run(serve_internet()).await?
}

async fn serve_internet() -> Result<()> {
    let zone = Zone {
        v4: WEB4.octets(),
        v6: WEB6.octets(),
    };
    for name in TARGETS {
        internet::dns(name.parse()?, zone).await?;
    }
    for address in [IpAddr::V4(WEB4), IpAddr::V6(WEB6)] {
        internet::web(SocketAddr::new(address, 80), internet::internet).await?;
    }
    internet::echo(ECHO4).await?;
    internet::echo(ECHO6).await
}

impl Uplink {
    async fn build(n: u8, plan: &UplinkPlan, router: &Netns, core: &Netns) -> Result<Self> {
        let at = Addresses::new(n);
        let modem = Netns::new(&format!("modem of {}", plan.name)).await?;
        let provider = Netns::new(&format!("provider of {}", plan.name)).await?;
        let base = Shape {
            delay: plan.delay,
            rate: None,
        };
        let uplink = Self {
            name: plan.name.clone(),
            interface: plan.interface.clone(),
            modem,
            provider,
            at,
            base,
            shape: watch::Sender::new(base),
            faults: Mutex::default(),
        };
        let metric = METRICS
            .get(usize::from(n))
            .copied()
            .unwrap_or(100 + u32::from(n));
        uplink.connect_router(router, metric).await?;
        uplink.connect_provider(core, n).await?;
        uplink.start_modem().await?;
        uplink.start_provider(core, n).await?;
        Ok(uplink)
    }

    /// Router to modem, with what DHCP and router advertisements would leave in the router.
    async fn connect_router(&self, router: &Netns, metric: u32) -> Result<()> {
        let Addresses {
            modem4,
            router4,
            prefix6,
            router6,
            ..
        } = self.at;
        cable(end(&self.modem, "lan"), end(router, &self.interface)).await?;
        self.modem
            .sysctl("net/ipv6/conf/lan/keep_addr_on_down", "1")
            .await?;
        self.modem.address("lan", &format!("{modem4}/24")).await?;
        self.link_local().await?;
        let modem6 = Ipv6Addr::from_bits(prefix6.to_bits() | 1);
        self.modem.address("lan", &format!("{modem6}/64")).await?;
        router
            .address(&self.interface, &format!("{router4}/24"))
            .await?;
        router
            .address(&self.interface, &format!("{router6}/64"))
            .await?;
        default_routes(router, &self.interface, modem4, GATEWAY6, metric).await
    }

    /// The modem's link-local address, which the kernel forgets whenever the cable is out.
    pub(super) async fn link_local(&self) -> Result<()> {
        self.modem.address("lan", &format!("{GATEWAY6}/64")).await
    }

    /// Modem to provider to core. IPv6 needs link-local addresses only.
    async fn connect_provider(&self, core: &Netns, n: u8) -> Result<()> {
        let Addresses {
            line4,
            provider4,
            uplink4,
            core4,
            prefix6,
            ..
        } = self.at;
        let port = format!("isp{n}");
        cable(end(&self.modem, "line"), end(&self.provider, "customer")).await?;
        cable(end(&self.provider, "core"), end(core, &port)).await?;
        self.modem.address("line", &format!("{line4}/30")).await?;
        self.provider
            .address("customer", &format!("{provider4}/30"))
            .await?;
        self.provider
            .address("customer", &format!("{PROVIDER6}/64"))
            .await?;
        self.provider
            .address("core", &format!("{uplink4}/30"))
            .await?;
        self.provider
            .address("core", &format!("{PROVIDER6}/64"))
            .await?;
        core.address(&port, &format!("{core4}/30")).await?;
        core.address(&port, &format!("{CORE6}/64")).await?;
        let line: IpNet = format!("{line4}/30").parse::<IpNet>()?.trunc();
        core.route(fixed(line, IpAddr::V4(uplink4), &port)).await?;
        let prefix = IpNet::new(IpAddr::V6(prefix6), 64)?;
        core.route(fixed(prefix, IpAddr::V6(PROVIDER6), &port))
            .await?;
        default_routes(&self.modem, "line", provider4, PROVIDER6, 100).await
    }

    /// The modem's own work: forwards, masquerades, answers DNS by itself, shows a page.
    async fn start_modem(&self) -> Result<()> {
        forwarding(&self.modem).await?;
        faults::install_modem(self).await?;
        let (modem4, modem6) = (
            IpAddr::V4(self.at.modem4),
            IpAddr::V6(self.at.prefix6.to_bits().wrapping_add(1).into()),
        );
        let serve = async move {
            let zone = Zone {
                v4: WEB4.octets(),
                v6: WEB6.octets(),
            };
            for address in [modem4, modem6] {
                internet::dns(address, zone).await?;
                internet::echo(address).await?;
                internet::web(SocketAddr::new(address, 80), internet::modem).await?;
            }
            let anywhere = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), faults::PORTAL_PORT);
            internet::web(anywhere, internet::portal).await
        };
        self.modem.run(serve).await?
    }

    /// The provider: packets take their time.
    async fn start_provider(&self, core: &Netns, n: u8) -> Result<()> {
        let port = format!("isp{n}");
        self.modem.no_large_segments("line").await?;
        core.no_large_segments(&port).await?;
        let customer = Port {
            interface: "customer".to_owned(),
            mac: self.provider.mac("customer").await?,
            peer: self.modem.mac("line").await?,
        };
        let core = Port {
            interface: "core".to_owned(),
            mac: self.provider.mac("core").await?,
            peer: core.mac(&port).await?,
        };
        let own = [IpAddr::V4(self.at.provider4), IpAddr::V4(self.at.uplink4)];
        let shape = self.shape.subscribe();
        let started = async move { forwarder::forward(&customer, &core, &own, &shape) };
        self.provider
            .run(started)
            .await?
            .context("packet sockets of the forwarder")
    }
}

async fn forwarding(netns: &Netns) -> Result<()> {
    netns.sysctl("net/ipv4/ip_forward", "1").await?;
    netns.sysctl("net/ipv6/conf/all/forwarding", "1").await
}

async fn default_routes(
    netns: &Netns,
    dev: &str,
    via4: Ipv4Addr,
    via6: Ipv6Addr,
    metric: u32,
) -> Result<()> {
    let protocol = RouteProtocol::Dhcp;
    let (all4, all6): (IpNet, IpNet) = ("0.0.0.0/0".parse()?, "::/0".parse()?);
    netns
        .route(Route {
            to: all4,
            via: Some(IpAddr::V4(via4)),
            dev,
            metric,
            protocol,
        })
        .await?;
    let protocol = RouteProtocol::Ra;
    netns
        .route(Route {
            to: all6,
            via: Some(IpAddr::V6(via6)),
            dev,
            metric,
            protocol,
        })
        .await
}

fn fixed(to: IpNet, via: IpAddr, dev: &str) -> Route<'_> {
    Route {
        to,
        via: Some(via),
        dev,
        metric: 100,
        protocol: RouteProtocol::Static,
    }
}
