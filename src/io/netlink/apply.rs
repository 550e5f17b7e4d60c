//! The one door: the wish goes in, the kernel is changed where it differs, a report comes out.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteMetric, RouteNextHopFlags,
    RouteProtocol, RouteScope, RouteType, RouteVia,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use nix::errno::Errno;
use tokio::time::Instant;

use super::talk::{Error, Talk};
use super::{decode, dump};
use crate::engine::dataplane::diff::{Change, diff, is_forwarding};
use crate::engine::dataplane::{ApplyReport, Dataplane, Route, Rule};
use crate::io::sysctl;
use crate::units::{Family, IfIndex, Metric, PROTOCOL, TableId};

/// The one way in which sparelink changes the kernel.
#[derive(Debug)]
pub struct Door {
    talk: Talk,
    run_dir: PathBuf,
    generation: u64,
    /// The kernel may be without IPv6; what cannot be there is not missed.
    has_ipv6: bool,
}

/// Why the door stays shut.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Not allowed.
    #[error(
        "changing routes is not permitted: sparelink needs CAP_NET_ADMIN, so run it as root or from its service unit"
    )]
    Permission,
    /// Something else.
    #[error("cannot talk to the kernel")]
    Netlink(#[from] Error),
}

impl Door {
    /// Opens the door, and tries that it can be gone through. `run_dir` keeps what sysctls were.
    ///
    /// # Errors
    ///
    /// When the kernel would not let us change routes; nothing has been touched then.
    pub async fn open(run_dir: &Path) -> Result<Self, OpenError> {
        let mut talk = Talk::open()?;
        // The permission is checked before the route is looked for, and this one does not exist.
        let nowhere = Route {
            family: Family::V4,
            table: TableId::LAST,
            metric: Metric(u32::MAX),
            dst: ipnet::Ipv4Net::default().into(),
            via: None,
            dev: IfIndex(0),
            onlink: false,
            mtu: None,
        };
        match talk.order(del_route(&nowhere), 0).await {
            Err(e) if e.errno() == Some(Errno::EPERM) => return Err(OpenError::Permission),
            Err(e) if e.errno().is_none() => return Err(e.into()),
            Ok(()) | Err(_) => {}
        }
        let has_ipv6 = Path::new("/proc/net/if_inet6").exists();
        Ok(Self {
            talk,
            run_dir: run_dir.to_owned(),
            generation: 0,
            has_ipv6,
        })
    }

    /// Makes the kernel so. What is so already is not touched; an error does not stop the rest,
    /// except where going on would leave less than there was: nothing old is removed whose
    /// successor could not be put in place.
    pub async fn converge(&mut self, wish: &Dataplane) -> ApplyReport {
        let start = Instant::now();
        self.generation += 1;
        let mut report = ApplyReport {
            generation: self.generation,
            ..ApplyReport::default()
        };
        match self.observe(wish).await {
            Ok(observed) => {
                self.apply(
                    diff(&self.possible(wish), &observed),
                    &observed,
                    &mut report,
                )
                .await
            }
            Err(error) => report
                .errors
                .push(format!("the kernel's state could not be read: {error}")),
        }
        report.took = start.elapsed();
        report
    }

    /// What is in the kernel of ours now, with the sysctls that `wish` names.
    ///
    /// # Errors
    ///
    /// When the kernel does not tell; an error is never an empty answer.
    pub async fn observe(&mut self, wish: &Dataplane) -> Result<Dataplane, Error> {
        let routes = dump::routes(&mut self.talk).await?;
        Ok(Dataplane {
            routes: routes.iter().filter_map(decode::RawRoute::ours).collect(),
            rules: dump::rules(&mut self.talk).await?.into_iter().collect(),
            nft: wish.nft.clone(),
            sysctls: sysctl::read_all(wish.sysctls.keys()),
        })
    }

    /// Removes everything of ours: routes, rules, the nftables table. Needs no configuration and
    /// may be done twice. Sysctls are put back by [`sysctl::restore`].
    pub async fn purge(&mut self) -> ApplyReport {
        self.converge(&Dataplane::default()).await
    }

    /// Through which interface the kernel would send a packet to `to` with such a mark, to see
    /// that a switch took effect.
    ///
    /// # Errors
    ///
    /// When there is no route.
    pub async fn lookup(&mut self, to: IpAddr, mark: u32) -> Result<IfIndex, Error> {
        dump::lookup(&mut self.talk, to, mark).await
    }

    /// Bytes received and sent by each interface; those that are gone are left out.
    pub async fn stats(&mut self, indexes: &[IfIndex]) -> BTreeMap<IfIndex, (u64, u64)> {
        let mut all = BTreeMap::new();
        for index in indexes {
            if let Ok(bytes) = dump::stats(&mut self.talk, *index).await {
                all.insert(*index, bytes);
            }
        }
        all
    }

    /// The wish without what this kernel cannot have.
    fn possible(&self, wish: &Dataplane) -> Dataplane {
        let mut wish = wish.clone();
        if !self.has_ipv6 {
            wish.routes.retain(|route| route.family != Family::V6);
            wish.rules.retain(|rule| rule.family != Family::V6);
            wish.sysctls
                .retain(|path, _| !path.starts_with("net/ipv6/"));
        }
        wish
    }

    async fn apply(
        &mut self,
        changes: Vec<Change>,
        observed: &Dataplane,
        report: &mut ApplyReport,
    ) {
        let mut failed = Failed::default();
        let originals = self.save_originals(&changes, observed);
        if let Err(error) = &originals {
            report
                .errors
                .push(format!("sysctls stay as they are: {error}"));
        }
        for change in changes {
            let is_sysctl = matches!(change, Change::SetSysctl { .. });
            if failed.forbids(&change) || (is_sysctl && originals.is_err()) {
                continue;
            }
            match self.make(&change).await {
                Ok(()) => report.changes.push(change),
                Err(error) => {
                    report.errors.push(format!("{change}: {error}"));
                    failed.remember(&change);
                }
            }
        }
    }

    /// Remembers the values of sysctls that are about to change.
    fn save_originals(
        &self,
        changes: &[Change],
        observed: &Dataplane,
    ) -> Result<(), sysctl::Error> {
        let about_to_change = changes.iter().filter_map(|change| match change {
            Change::SetSysctl { path, .. } => observed.sysctls.get_key_value(path),
            Change::ReplaceRoute(_)
            | Change::DelRoute(_)
            | Change::AddRule(_)
            | Change::DelRule(_)
            | Change::BuildTable(_)
            | Change::Elements { .. } => None,
        });
        let values: BTreeMap<_, _> = about_to_change
            .map(|(p, v)| (p.clone(), v.clone()))
            .collect();
        sysctl::save_originals(&self.run_dir, &values)
    }

    async fn make(&mut self, change: &Change) -> Result<(), String> {
        match change {
            Change::SetSysctl { path, value } => {
                sysctl::write(path, value).map_err(|e| e.to_string())
            }
            Change::ReplaceRoute(route) => {
                let order = RouteNetlinkMessage::NewRoute(add_route(route));
                done(
                    self.talk.order(order, NLM_F_CREATE | NLM_F_REPLACE).await,
                    &[],
                )
            }
            Change::DelRoute(route) => done(
                self.talk.order(del_route(route), 0).await,
                &[Errno::ESRCH, Errno::ENOENT, Errno::ENODEV],
            ),
            Change::AddRule(rule) => {
                let order = RouteNetlinkMessage::NewRule(rule_message(rule));
                done(
                    self.talk.order(order, NLM_F_CREATE | NLM_F_EXCL).await,
                    &[Errno::EEXIST],
                )
            }
            Change::DelRule(rule) => {
                let order = RouteNetlinkMessage::DelRule(rule_message(rule));
                done(
                    self.talk.order(order, 0).await,
                    &[Errno::ENOENT, Errno::ESRCH],
                )
            }
            Change::BuildTable(_) | Change::Elements { .. } => Ok(()),
        }
    }
}

/// What failed, as far as later changes depend on it.
#[derive(Default)]
struct Failed {
    routes: BTreeSet<(Family, TableId)>,
    rules: BTreeSet<Family>,
    accept_ra: bool,
}

impl Failed {
    fn remember(&mut self, change: &Change) {
        match change {
            Change::ReplaceRoute(route) => {
                self.routes.insert((route.family, route.table));
            }
            Change::AddRule(rule) => {
                self.rules.insert(rule.family);
            }
            // Of a device that is gone there is nothing to be lost.
            Change::SetSysctl { path, .. } if path.ends_with("/accept_ra") => {
                self.accept_ra |= sysctl::read(path).is_ok();
            }
            Change::SetSysctl { .. }
            | Change::DelRoute(_)
            | Change::DelRule(_)
            | Change::BuildTable(_)
            | Change::Elements { .. } => {}
        }
    }

    /// Whether a change must not be made any more.
    fn forbids(&self, change: &Change) -> bool {
        match change {
            Change::DelRoute(route) => self.routes.contains(&(route.family, route.table)),
            Change::DelRule(rule) => self.rules.contains(&rule.family),
            Change::SetSysctl { path, .. } => {
                self.accept_ra && path.starts_with("net/ipv6/") && is_forwarding(path)
            }
            Change::ReplaceRoute(_)
            | Change::AddRule(_)
            | Change::BuildTable(_)
            | Change::Elements { .. } => false,
        }
    }
}

/// Success, also where the kernel says that there was nothing left to do.
fn done(result: Result<(), Error>, fine: &[Errno]) -> Result<(), String> {
    match result {
        Err(error) if error.errno().is_none_or(|errno| !fine.contains(&errno)) => {
            Err(error.to_string())
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn add_route(route: &Route) -> RouteMessage {
    let mut message = route_message(route);
    message.header.protocol = RouteProtocol::Other(PROTOCOL);
    message.header.kind = RouteType::Unicast;
    // A destination on the link itself has the link's scope (ip-route(8)).
    let on_link = route.via.is_none() && route.family == Family::V4;
    message.header.scope = if on_link {
        RouteScope::Link
    } else {
        RouteScope::Universe
    };
    if route.onlink {
        message.header.flags |=
            RouteFlags::from_bits_retain(u32::from(RouteNextHopFlags::Onlink.bits()));
    }
    let mtu = route
        .mtu
        .map(|mtu| RouteAttribute::Metrics(vec![RouteMetric::Mtu(mtu)]));
    message.attributes.extend(mtu);
    message
}

fn del_route(route: &Route) -> RouteNetlinkMessage {
    let mut message = route_message(route);
    // Elsewhere only our own are ours; in our tables everything is.
    if !route.table.is_ours() {
        message.header.protocol = RouteProtocol::Other(PROTOCOL);
    }
    message.header.scope = RouteScope::NoWhere;
    RouteNetlinkMessage::DelRoute(message)
}

/// What names a route. The table stands in an attribute: its number does not fit the header.
fn route_message(route: &Route) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = dump::address_family(route.family);
    message.header.destination_prefix_length = route.dst.prefix_len();
    let attributes = &mut message.attributes;
    attributes.push(RouteAttribute::Table(route.table.0));
    attributes.push(RouteAttribute::Priority(route.metric.0));
    if route.dst.prefix_len() > 0 {
        attributes.push(RouteAttribute::Destination(RouteAddress::from(
            route.dst.network(),
        )));
    }
    if route.dev != IfIndex(0) {
        attributes.push(RouteAttribute::Oif(route.dev.0));
    }
    attributes.extend(route.via.map(|via| match (route.family, via) {
        // An IPv4 route by way of an IPv6 neighbour (RFC 5549).
        (Family::V4, IpAddr::V6(via)) => RouteAttribute::Via(RouteVia::Inet6(via)),
        _ => RouteAttribute::Gateway(RouteAddress::from(via)),
    }));
    message
}

fn rule_message(rule: &Rule) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = dump::address_family(rule.family);
    message.header.action = RuleAction::ToTable;
    let attributes = &mut message.attributes;
    attributes.push(RuleAttribute::Table(rule.table.0));
    attributes.push(RuleAttribute::Priority(rule.priority.0));
    attributes.push(RuleAttribute::Protocol(RouteProtocol::Other(PROTOCOL)));
    if let Some(mark) = rule.fwmark {
        attributes.push(RuleAttribute::FwMark(mark.value));
        attributes.push(RuleAttribute::FwMask(mark.mask));
    }
    attributes.extend(
        rule.suppress_prefixlength
            .map(RuleAttribute::SuppressPrefixLen),
    );
    message
}
