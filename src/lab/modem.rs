//! A modem's rules: what it always does, and what is wrong with the line behind it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use anyhow::{Context, Result};
use ipnet::{IpNet, Ipv6Net};

use super::forwarder::Shape;
use super::netns::Netns;
use crate::engine::dataplane::nft::{
    Chain, ChainKind, Hook, HookPoint, Stmt, Table, Verdict, host,
};
use crate::io::netlink::nft::Nft;
use crate::units::{Family, IfName};

/// Where a modem's login page listens.
pub const PORTAL_PORT: u16 = 8080;
/// The modem's own table: masquerade and counters.
const MODEM_TABLE: &str = "lab_modem";
const FAULT_TABLE: &str = "lab_fault";
/// What a fault of kind `slow` adds each way.
pub const SLOW: Duration = Duration::from_millis(400);
/// The bit rate of a line that an upload fills.
pub const BLOATED_RATE: u64 = 2_000_000;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// What is wrong with an uplink. Faults add up until it is restored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// Its cable is out.
    pub unplugged: bool,
    /// Cut beyond the modem.
    pub severed: bool,
    /// Percent of the packets from the Internet that are lost.
    pub loss: u8,
    /// What comes from the router goes no further.
    pub mute: bool,
    /// Echoes go no further, either way.
    pub no_echoes: bool,
    /// Cut beyond the modem for one IP version.
    pub severed_only: Option<Family>,
    /// The modem itself is dead, behind its carrier.
    pub silent: bool,
    /// Nobody resolves names on it.
    pub dns_broken: bool,
    /// The modem itself does not resolve names.
    pub resolvers_broken: bool,
    /// The router's interface is gone.
    pub vanished: bool,
    /// The modem answers names and plain web pages in the name of others.
    pub hijacks: bool,
    /// The modem answers echoes in the name of this target.
    pub poses_as: Option<IpAddr>,
    pub slow: bool,
    /// By this much each way, besides.
    pub delay: Duration,
    /// The line is narrow, and full.
    pub bloat: bool,
    /// A login page is in the way.
    pub portal: bool,
    /// How often something has happened to it: what was begun before the last time is void.
    pub(super) changes: u64,
}

/// What a modem has counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModemCounters {
    /// Packets that came from the router.
    pub from_router: u64,
    /// Those of them whose source is not the router's address on this uplink.
    pub wrong_source: u64,
}

impl Condition {
    /// The line behind the modem.
    pub(super) fn shape(&self, base: Shape) -> Shape {
        Shape {
            delay: base.delay + self.delay + if self.slow { SLOW } else { Duration::ZERO },
            rate: self.bloat.then_some(BLOATED_RATE),
        }
    }

    /// Whatever needs rules; where two agree on it, so do their tables.
    pub(super) fn rules(&self) -> Self {
        let delay = Duration::ZERO;
        let (unplugged, vanished, slow, bloat) = (false, false, false, false);
        Self { unplugged, vanished, slow, delay, bloat, changes: 0, ..*self }
    }

    /// What the modem does to packets.
    pub(super) fn table(&self) -> Table {
        let mut rules = Vec::new();
        let drop = || Stmt::Verdict(Verdict::Drop);
        if self.severed || self.silent {
            rules.push(vec![drop()]);
        }
        if self.mute {
            rules.push(vec![Stmt::Iifname(name("lan")), drop()]);
        }
        if self.no_echoes {
            rules.extend([ICMP, ICMPV6].map(|protocol| vec![Stmt::L4proto(protocol), drop()]));
        }
        if let Some(family) = self.severed_only {
            rules.push(vec![Stmt::Nfproto(family), drop()]);
        }
        let mut own = Vec::new();
        if self.silent {
            own.push(vec![Stmt::Iifname(name("lan")), drop()]);
        }
        for protocol in [UDP, TCP] {
            let query = vec![Stmt::L4proto(protocol), Stmt::Dport(53), drop()];
            if self.dns_broken || self.resolvers_broken {
                own.push(query.clone());
            }
            if self.dns_broken {
                rules.push(query);
            }
        }
        if self.loss > 0 {
            let random = Stmt::Random { modulus: 100, below: u32::from(self.loss) };
            rules.push(vec![Stmt::Iifname(name("line")), random, drop()]);
        }
        let mut chains = Vec::new();
        let redirect = |protocol, from, to| {
            let lan = Stmt::Iifname(name("lan"));
            vec![lan, Stmt::L4proto(protocol), Stmt::Dport(from), Stmt::Redirect(to)]
        };
        let redirects = match (self.hijacks, self.portal) {
            (true, _) => vec![redirect(UDP, 53, 53), redirect(TCP, 80, PORTAL_PORT)],
            (false, true) => vec![redirect(TCP, 80, PORTAL_PORT)],
            (false, false) => Vec::new(),
        };
        if !redirects.is_empty() {
            chains.push(chain("login", ChainKind::Nat, HookPoint::Prerouting, -100, redirects));
        }
        if self.portal {
            let pass = || Stmt::Verdict(Verdict::Return);
            rules.push(vec![Stmt::L4proto(ICMP), pass()]);
            rules.push(vec![Stmt::L4proto(ICMPV6), pass()]);
            rules.push(vec![Stmt::L4proto(UDP), Stmt::Dport(53), pass()]);
            rules.push(vec![Stmt::L4proto(UDP), Stmt::Sport(53), pass()]);
            rules.push(vec![drop()]);
        }
        chains.push(forward_chain(rules));
        chains.push(chain("own", ChainKind::Filter, HookPoint::Input, 0, own));
        fault_table(chains)
    }
}

/// The modem's own rules: masquerade, as modems do, and what the router must never send.
pub(super) async fn install_modem(
    modem: &Netns,
    router4: Ipv4Addr,
    prefix6: Ipv6Addr,
) -> Result<()> {
    let from_router = |more: Vec<Stmt>| [vec![Stmt::Iifname(name("lan"))], more].concat();
    let fine = |net: IpNet| from_router(vec![Stmt::Saddr(net), Stmt::Verdict(Verdict::Return)]);
    let net6 = |address: Ipv6Addr, length| Ipv6Net::new(address, length).map(IpNet::V6);
    let count = vec![
        from_router(vec![Stmt::Counter("from_router".to_owned())]),
        fine(host(IpAddr::V4(router4))),
        fine(net6(prefix6, 64)?),
        fine(net6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10)?),
        // Neighbour and multicast discovery before there is an address.
        fine(host(IpAddr::V6(Ipv6Addr::UNSPECIFIED))),
        from_router(vec![Stmt::Counter("wrong_source".to_owned())]),
    ];
    let masquerade = vec![Stmt::Oifname(name("line")), Stmt::Nfproto(Family::V4), Stmt::Masquerade];
    let table = Table {
        name: MODEM_TABLE.to_owned(),
        counters: ["from_router", "wrong_source"].map(str::to_owned).into(),
        chains: vec![
            chain("count", ChainKind::Filter, HookPoint::Prerouting, -300, count),
            chain("nat", ChainKind::Nat, HookPoint::Postrouting, 100, vec![masquerade]),
        ],
        ..Table::default()
    };
    install(modem, table).await
}

/// What the modem has counted since the home was built.
pub(super) async fn counters(modem: &Netns) -> Result<ModemCounters> {
    let read = async { Nft::open()?.counters(MODEM_TABLE) };
    let counts = modem.run(read).await?.context("the modem's counters")?;
    let packets =
        |name: &str| counts.get(name).map(|count| count.packets).context("no such counter");
    Ok(ModemCounters {
        from_router: packets("from_router")?,
        wrong_source: packets("wrong_source")?,
    })
}

/// A router that forwards nothing to these addresses.
pub(super) fn silence(targets: &BTreeSet<IpAddr>) -> Table {
    let drop = |ip: &IpAddr| vec![Stmt::Daddr(host(*ip)), Stmt::Verdict(Verdict::Drop)];
    fault_table(vec![forward_chain(targets.iter().map(drop).collect())])
}

/// Builds a table in a namespace, whether or not it was there.
///
/// # Errors
/// If nf_tables refuses.
pub async fn install(netns: &Netns, table: Table) -> Result<()> {
    let what = format!("nft table {} of {}", table.name, netns.name());
    netns.run(async move { Nft::open()?.build(&table) }).await?.context(what)
}

fn fault_table(chains: Vec<Chain>) -> Table {
    Table { name: FAULT_TABLE.to_owned(), chains, ..Table::default() }
}

fn forward_chain(rules: Vec<Vec<Stmt>>) -> Chain {
    chain("forward", ChainKind::Filter, HookPoint::Forward, 0, rules)
}

fn chain(
    name: &str,
    kind: ChainKind,
    point: HookPoint,
    priority: i32,
    rules: Vec<Vec<Stmt>>,
) -> Chain {
    Chain { name: name.to_owned(), hook: Some(Hook { kind, point, priority }), rules }
}

fn name(interface: &'static str) -> IfName {
    IfName::new(interface).expect("a constant that is a name")
}
