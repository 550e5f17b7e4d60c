//! What goes wrong, and where: in the modem (a rule set of its own), in the provider (the shape of
//! the line), at the cable. Nothing is ever done to the router.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ipnet::{IpNet, Ipv6Net};
use tokio::net::UdpSocket;
use tokio::time::{Instant, interval, sleep};

use super::forwarder::Shape;
use super::internet::DISCARD_PORT;
use super::netns::Netns;
use super::script::{Action, LineEvent};
use super::topology::{BLOATED_RATE, ECHO4, Home, SLOW, Uplink};
use crate::engine::dataplane::nft::{
    Chain, ChainKind, Hook, HookPoint, Stmt, Table, Verdict, host,
};
use crate::io::netlink::nft::{Count, Nft};
use crate::units::{Family, IfName};

/// Where a modem's login page listens.
pub const PORTAL_PORT: u16 = 8080;
/// The modem's own table: masquerade and counters.
const MODEM_TABLE: &str = "lab_modem";
/// What is wrong.
const FAULT_TABLE: &str = "lab_fault";
/// How long a modem that restarts gives no carrier, and how long its line is dead afterwards.
const REBOOT: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));
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
    /// Packets take longer.
    pub slow: bool,
    /// The line is narrow, and full.
    pub bloat: bool,
    /// A login page is in the way.
    pub portal: bool,
    /// How often something has happened to it: what was begun before the last time is void.
    changes: u64,
}

/// What a modem has counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModemCounters {
    /// Packets that came from the router.
    pub from_router: u64,
    /// Those of them whose source is not the router's address on this uplink.
    pub wrong_source: u64,
}

impl Home {
    /// Lets something happen, and says when it began.
    ///
    /// # Errors
    /// If there is no such uplink, or the action is the agent's business.
    pub async fn apply(&self, action: &Action) -> Result<Instant> {
        let begun = Instant::now();
        match action {
            Action::Line { uplink, event } => {
                let uplink = self.shared(uplink)?;
                Uplink::happens(uplink, *event).await?;
                self.load_the_bloated();
            }
            Action::DropTarget(ip) => self.dropped_targets(|targets| targets.insert(*ip)).await?,
            Action::RestoreTarget(ip) => self.dropped_targets(|targets| targets.remove(ip)).await?,
            Action::Switch(_) | Action::KillAgent | Action::StopAgent | Action::StartAgent => {
                bail!("`{action}` is for the agent")
            }
        }
        Ok(begun)
    }

    async fn dropped_targets(
        &self,
        change: impl FnOnce(&mut BTreeSet<IpAddr>) -> bool,
    ) -> Result<()> {
        let rules = {
            let mut targets = lock(&self.dropped);
            change(&mut targets);
            targets
                .iter()
                .map(|ip| vec![Stmt::Daddr(host(*ip)), Stmt::Verdict(Verdict::Drop)])
                .collect()
        };
        install(&self.core, fault_table(vec![forward_chain(rules)])).await
    }

    /// An upload from the LAN client, for as long as any line is bloated.
    fn load_the_bloated(&self) {
        let bloated = self.uplinks.iter().any(|uplink| uplink.condition().bloat);
        let mut load = lock(&self.load);
        match (bloated, load.take()) {
            (true, None) => *load = Some(self.client.spawn(upload())),
            (true, running) => *load = running,
            (false, Some(running)) => running.abort(),
            (false, None) => {}
        }
    }
}

impl Uplink {
    /// What is wrong with it now.
    #[must_use]
    pub fn condition(&self) -> Condition {
        *lock(&self.faults)
    }

    /// What its modem has counted since the home was built.
    ///
    /// # Errors
    /// If the modem's table is gone.
    pub async fn counters(&self) -> Result<ModemCounters> {
        let read = async { Nft::open()?.counters(MODEM_TABLE) };
        let counts: BTreeMap<String, Count> = self
            .modem
            .run(read)
            .await?
            .context("the modem's counters")?;
        let packets = |name: &str| {
            counts
                .get(name)
                .map(|count| count.packets)
                .context("no such counter")
        };
        Ok(ModemCounters {
            from_router: packets("from_router")?,
            wrong_source: packets("wrong_source")?,
        })
    }

    /// Something happens to the uplink.
    async fn happens(uplink: &std::sync::Arc<Self>, event: LineEvent) -> Result<()> {
        let change = uplink.change(|now| match event {
            LineEvent::Unplug | LineEvent::Reboot => now.unplugged = true,
            LineEvent::Sever => now.severed = true,
            LineEvent::Lose(percent) => now.loss = percent,
            LineEvent::Slow => now.slow = true,
            LineEvent::Bloat => now.bloat = true,
            LineEvent::Portal => now.portal = true,
            LineEvent::Restore => {
                *now = Condition {
                    changes: now.changes,
                    ..Condition::default()
                }
            }
        });
        let number = change.await?;
        if event == LineEvent::Reboot {
            let uplink = uplink.clone();
            tokio::spawn(async move {
                let _ = uplink.boot(number).await;
            });
        }
        Ok(())
    }

    /// A modem comes back: carrier long before the line. Void once anything else has happened.
    async fn boot(&self, number: u64) -> Result<()> {
        sleep(REBOOT.0).await;
        if self.condition().changes != number {
            return Ok(());
        }
        let number = self
            .change(|now| (now.unplugged, now.severed) = (false, true))
            .await?;
        sleep(REBOOT.1).await;
        if self.condition().changes == number {
            self.change(|now| now.severed = false).await?;
        }
        Ok(())
    }

    /// Changes the condition and makes it true.
    async fn change(&self, change: impl FnOnce(&mut Condition)) -> Result<u64> {
        let (old, new) = {
            let mut condition = lock(&self.faults);
            let old = *condition;
            change(&mut condition);
            condition.changes += 1;
            (old, *condition)
        };
        if new.unplugged && !old.unplugged {
            self.modem.down("lan").await?;
        }
        if (old.severed, old.loss, old.portal) != (new.severed, new.loss, new.portal) {
            install(&self.modem, fault_table(new.chains())).await?;
        }
        self.shape.send_replace(new.shape(self.base));
        if old.unplugged && !new.unplugged {
            self.modem.up("lan").await?;
            self.link_local().await?;
        }
        Ok(new.changes)
    }
}

impl Condition {
    fn shape(&self, base: Shape) -> Shape {
        Shape {
            delay: base.delay + if self.slow { SLOW } else { Duration::ZERO },
            rate: self.bloat.then_some(BLOATED_RATE),
        }
    }

    fn chains(&self) -> Vec<Chain> {
        let mut rules = Vec::new();
        let drop = || Stmt::Verdict(Verdict::Drop);
        if self.severed {
            rules.push(vec![drop()]);
        }
        if self.loss > 0 {
            let random = Stmt::Random {
                modulus: 100,
                below: u32::from(self.loss),
            };
            rules.push(vec![Stmt::Iifname(name("line")), random, drop()]);
        }
        let mut chains = Vec::new();
        if self.portal {
            let pass = || Stmt::Verdict(Verdict::Return);
            rules.push(vec![Stmt::L4proto(ICMP), pass()]);
            rules.push(vec![Stmt::L4proto(ICMPV6), pass()]);
            rules.push(vec![Stmt::L4proto(UDP), Stmt::Dport(53), pass()]);
            rules.push(vec![Stmt::L4proto(UDP), Stmt::Sport(53), pass()]);
            rules.push(vec![drop()]);
            let redirect = vec![
                Stmt::Iifname(name("lan")),
                Stmt::L4proto(TCP),
                Stmt::Dport(80),
                Stmt::Redirect(PORTAL_PORT),
            ];
            chains.push(chain(
                "login",
                ChainKind::Nat,
                HookPoint::Prerouting,
                -100,
                vec![redirect],
            ));
        }
        chains.push(forward_chain(rules));
        chains
    }
}

/// The modem's own rules: masquerade, as modems do, and what the router must never send.
pub(super) async fn install_modem(uplink: &Uplink) -> Result<()> {
    let from_router = |more: Vec<Stmt>| [vec![Stmt::Iifname(name("lan"))], more].concat();
    let fine = |net: IpNet| from_router(vec![Stmt::Saddr(net), Stmt::Verdict(Verdict::Return)]);
    let prefix6 = |address: Ipv6Addr, length| Ipv6Net::new(address, length).map(IpNet::V6);
    let count = vec![
        from_router(vec![Stmt::Counter("from_router".to_owned())]),
        fine(host(IpAddr::V4(uplink.at.router4))),
        fine(prefix6(uplink.at.prefix6, 64)?),
        fine(prefix6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10)?),
        // Neighbour and multicast discovery before there is an address.
        fine(host(IpAddr::V6(Ipv6Addr::UNSPECIFIED))),
        from_router(vec![Stmt::Counter("wrong_source".to_owned())]),
    ];
    let masquerade = vec![
        Stmt::Oifname(name("line")),
        Stmt::Nfproto(Family::V4),
        Stmt::Masquerade,
    ];
    let table = Table {
        name: MODEM_TABLE.to_owned(),
        counters: ["from_router", "wrong_source"].map(str::to_owned).into(),
        chains: vec![
            chain(
                "count",
                ChainKind::Filter,
                HookPoint::Prerouting,
                -300,
                count,
            ),
            chain(
                "nat",
                ChainKind::Nat,
                HookPoint::Postrouting,
                100,
                vec![masquerade],
            ),
        ],
        ..Table::default()
    };
    install(&uplink.modem, table).await
}

/// Builds a table in a namespace, whether or not it was there.
///
/// # Errors
/// If nf_tables refuses.
pub async fn install(netns: &Netns, table: Table) -> Result<()> {
    let what = format!("nft table {} of {}", table.name, netns.name());
    netns
        .run(async move { Nft::open()?.build(&table) })
        .await?
        .context(what)
}

fn fault_table(chains: Vec<Chain>) -> Table {
    Table {
        name: FAULT_TABLE.to_owned(),
        chains,
        ..Table::default()
    }
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
    Chain {
        name: name.to_owned(),
        hook: Some(Hook {
            kind,
            point,
            priority,
        }),
        rules,
    }
}

fn name(interface: &'static str) -> IfName {
    IfName::new(interface).expect("a constant that is a name")
}

/// Fills the bloated line: two seconds of packets at once, then a little more than it carries.
async fn upload() {
    const PACKET: u64 = 1_400;
    let packets_per_second = BLOATED_RATE / (8 * PACKET);
    let Ok(socket) = UdpSocket::bind("0.0.0.0:0").await else {
        return;
    };
    let to = SocketAddr::new(ECHO4, DISCARD_PORT);
    let mut ticks = interval(Duration::from_micros(950_000 / packets_per_second.max(1)));
    let payload = [0; PACKET as usize];
    for sent in 0u64.. {
        if sent > 2 * packets_per_second {
            ticks.tick().await;
        } else if sent % 32 == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        let _ = socket.send_to(&payload, to).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in here is left half-changed by a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
