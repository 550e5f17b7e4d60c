//! An uplink of the home: its modem, and the provider behind it.
//!
//! ```text
//!  router ── wan0 │ lan  modem  line │ customer  provider  core │ isp0  core
//!  192.168.10.2   │ .1   100.64.0.2  │ 100.64.0.1   198.18.0.2  │ 198.18.0.1
//! ```
//!
//! IPv6 is routed, not masqueraded, over link-local next hops, with a /64 between modem and router.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use ipnet::IpNet;
use tokio::sync::watch;

use super::forwarder::{Port, Shape};
use super::internet::{self, ZONE};
use super::modem::{Condition, ModemCounters};
use super::netns::{Netns, Route, cable, cable_numbered, end};
use super::{forwarder, modem};

/// One uplink of the plan.
#[derive(Clone, Debug)]
pub struct UplinkPlan {
    /// What people call it.
    pub name: String,
    pub interface: String,
    /// How long a packet takes through the provider, each way.
    pub delay: Duration,
    /// Its modem hands out 192.168.N.0/24, itself at .1 and the router at .2; `None`: a subnet that
    /// no other one has.
    pub subnet: Option<u8>,
}

/// An uplink: its modem and the provider behind it.
#[derive(Debug)]
pub struct Uplink {
    /// What people call it.
    pub name: String,
    pub interface: String,
    /// Metric of its default routes in the router's `main`.
    metric: u32,
    router: Arc<Netns>,
    /// The modem's namespace: `lan` towards the router, `line` towards the provider.
    pub modem: Netns,
    pub provider: Netns,
    /// The addresses on the way.
    pub at: Addresses,
    /// The line without faults.
    pub base: Shape,
    /// The line as it is.
    pub(super) shape: watch::Sender<Shape>,
    /// The number that the router's interface gets when it is plugged in again; 0: any.
    pub(super) next_index: AtomicU32,
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

/// Metrics of the default routes in `main`, first uplink first.
const METRICS: [u32; 3] = [100, 101, 102];
/// The router's gateway for IPv6 on every uplink: link-local, as router advertisements leave it.
pub const GATEWAY6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const PROVIDER6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
const CORE6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 3);

impl Addresses {
    /// Of the `n`th uplink, from 0, whose modem has that subnet.
    fn new(n: u8, subnet: u8) -> Self {
        let net6 = |host| Ipv6Addr::new(0x2001, 0xdb8, 0x10 + u16::from(n), 0, 0, 0, 0, host);
        Self {
            modem4: Ipv4Addr::new(192, 168, subnet, 1),
            router4: Ipv4Addr::new(192, 168, subnet, 2),
            prefix6: net6(0),
            router6: net6(2),
            line4: Ipv4Addr::new(100, 64, n, 2),
            provider4: Ipv4Addr::new(100, 64, n, 1),
            uplink4: Ipv4Addr::new(198, 18, n, 2),
            core4: Ipv4Addr::new(198, 18, n, 1),
        }
    }
}

/// Whether a modem answers who has its addresses.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Arp {
    Answered,
    Ignored,
}

impl Uplink {
    /// What its modem has counted since the home was built.
    ///
    /// # Errors
    /// If the modem's table is gone.
    pub async fn counters(&self) -> Result<ModemCounters> {
        modem::counters(&self.modem).await
    }

    /// When the router's interface is plugged in next, it will have this number.
    pub fn comes_back_as(&self, index: u32) {
        self.next_index.store(index, Ordering::Relaxed);
    }

    /// Builds it, with the modem and the provider at work.
    pub(super) async fn build(
        n: u8,
        plan: &UplinkPlan,
        router: &Arc<Netns>,
        core: &Netns,
    ) -> Result<Self> {
        let at = Addresses::new(n, plan.subnet.unwrap_or(10 + n));
        let modem = Netns::new(&format!("modem of {}", plan.name)).await?;
        let provider = Netns::new(&format!("provider of {}", plan.name)).await?;
        let base = Shape { delay: plan.delay, rate: None };
        let metric = METRICS.get(usize::from(n)).copied().unwrap_or(100 + u32::from(n));
        let uplink = Self {
            name: plan.name.clone(),
            interface: plan.interface.clone(),
            metric,
            router: router.clone(),
            modem,
            provider,
            at,
            base,
            shape: watch::Sender::new(base),
            next_index: AtomicU32::new(0),
            faults: Mutex::default(),
        };
        uplink.connect_router().await?;
        uplink.connect_provider(core, n).await?;
        uplink.start_modem().await?;
        uplink.start_provider(core, n).await?;
        Ok(uplink)
    }

    /// Router to modem, with what DHCP and router advertisements would leave in the router.
    pub(super) async fn connect_router(&self) -> Result<()> {
        let router = &*self.router;
        let Addresses { modem4, router4, prefix6, router6, .. } = self.at;
        let index = self.next_index.swap(0, Ordering::Relaxed);
        cable_numbered(end(router, &self.interface), end(&self.modem, "lan"), index).await?;
        self.modem.sysctl("net/ipv6/conf/lan/keep_addr_on_down", "1").await?;
        self.modem.address("lan", &format!("{modem4}/24")).await?;
        self.link_local().await?;
        let modem6 = Ipv6Addr::from_bits(prefix6.to_bits() | 1);
        self.modem.address("lan", &format!("{modem6}/64")).await?;
        router.address(&self.interface, &format!("{router4}/24")).await?;
        router.address(&self.interface, &format!("{router6}/64")).await?;
        router.default_routes(&self.interface, modem4, GATEWAY6, self.metric).await
    }

    /// The modem's link-local address, which the kernel forgets whenever the cable is out.
    pub(super) async fn link_local(&self) -> Result<()> {
        self.modem.address("lan", &format!("{GATEWAY6}/64")).await
    }

    /// Whether the modem answers who has its addresses (`arp_ignore`, kernel's ip-sysctl).
    pub(super) async fn arp(&self, arp: Arp) -> Result<()> {
        let ignore = match arp {
            Arp::Answered => "0",
            Arp::Ignored => "8",
        };
        self.modem.sysctl("net/ipv4/conf/lan/arp_ignore", ignore).await
    }

    /// Modem to provider to core. IPv6 needs link-local addresses only.
    async fn connect_provider(&self, core: &Netns, n: u8) -> Result<()> {
        let Addresses { line4, provider4, uplink4, core4, prefix6, .. } = self.at;
        let port = format!("isp{n}");
        cable(end(&self.modem, "line"), end(&self.provider, "customer")).await?;
        cable(end(&self.provider, "core"), end(core, &port)).await?;
        self.modem.address("line", &format!("{line4}/30")).await?;
        self.provider.address("customer", &format!("{provider4}/30")).await?;
        self.provider.address("customer", &format!("{PROVIDER6}/64")).await?;
        self.provider.address("core", &format!("{uplink4}/30")).await?;
        self.provider.address("core", &format!("{PROVIDER6}/64")).await?;
        core.address(&port, &format!("{core4}/30")).await?;
        core.address(&port, &format!("{CORE6}/64")).await?;
        let line: IpNet = format!("{line4}/30").parse::<IpNet>()?.trunc();
        core.route(Route::fixed(line, IpAddr::V4(uplink4), &port)).await?;
        let prefix = IpNet::new(IpAddr::V6(prefix6), 64)?;
        core.route(Route::fixed(prefix, IpAddr::V6(PROVIDER6), &port)).await?;
        self.modem.default_routes("line", provider4, PROVIDER6, 100).await
    }

    /// The modem's own work: forwards, masquerades, answers DNS by itself, shows a page.
    async fn start_modem(&self) -> Result<()> {
        self.modem.forward().await?;
        modem::install_modem(&self.modem, self.at.router4, self.at.prefix6).await?;
        let (modem4, modem6) = (
            IpAddr::V4(self.at.modem4),
            IpAddr::V6(self.at.prefix6.to_bits().wrapping_add(1).into()),
        );
        let serve = async move {
            for address in [modem4, modem6] {
                internet::dns(address, ZONE).await?;
                internet::echo(address).await?;
                internet::web(SocketAddr::new(address, 80), internet::modem).await?;
            }
            let anywhere = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), modem::PORTAL_PORT);
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
        self.provider.run(started).await?.context("packet sockets of the forwarder")
    }
}
