//! A model of the router's kernel: interfaces, other people's routes, and what is ours.

use std::net::IpAddr;
use std::time::Duration;

use super::rng::Rng;
use super::trouble::Vandal;
use crate::config::Config;
use crate::engine::dataplane::diff::{Change, apply, diff};
use crate::engine::dataplane::drift::{Drift, Found};
use crate::engine::dataplane::failed::Failed;
use crate::engine::dataplane::nft::{KeyPart, Table};
use crate::engine::dataplane::plan::everything;
use crate::engine::dataplane::report::ApplyReport;
use crate::engine::dataplane::ruleset::{NO_WAY, REFUSED_FOR, refusals};
use crate::engine::dataplane::{Dataplane, Route};
use crate::engine::kernel::view::{
    Address, ForeignRoute, Hardware, KernelChange, KernelView, Link, LinkKind, RouteKind, Touched,
};
use crate::time::Instant;
use crate::units::{Family, IfIndex, IfName, Metric, PerFamily, RulePriority, TableId};

#[derive(Clone, Debug)]
pub struct Kernel {
    /// Links, addresses and foreign routes.
    pub view: KernelView,
    pub plane: Dataplane,
    /// What must never be seen, and was.
    pub violations: Vec<String>,
    /// How many writes were made in all.
    pub writes: u64,
    /// With which probability a change is refused.
    pub refuses_changes: f64,
    devices: Vec<Device>,
    next_index: u32,
    rng: Rng,
    /// Of our table, until it is changed: what is asked for most often changes nothing.
    digest: Option<u64>,
    /// Until when new flows are refused, unless it is said again.
    refused_until: PerFamily<Option<Instant>>,
}

/// What stands behind one uplink's interface.
#[derive(Clone, Debug)]
struct Device {
    name: IfName,
    index: IfIndex,
    present: bool,
    carrier: bool,
    families: PerFamily<bool>,
    /// How often its address has changed.
    lease: u8,
}

/// Where the cable of an uplink is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cable {
    In,
    Out,
}

impl Kernel {
    /// A router with the interfaces that the configuration names, each with an address and a route
    /// of somebody else's in these families.
    #[must_use]
    pub fn new(config: &Config, families: &[PerFamily<bool>]) -> Self {
        let mut this = Self {
            view: KernelView::default(),
            plane: Dataplane::default(),
            violations: Vec::new(),
            writes: 0,
            refuses_changes: 0.0,
            devices: Vec::new(),
            next_index: 2,
            rng: Rng::new(0),
            digest: None,
            refused_until: PerFamily::default(),
        };
        for (place, uplink) in config.uplinks.iter().enumerate() {
            let name = uplink.device.interface.clone();
            let made_up = || IfName::new(&format!("up{place}")).unwrap_or_else(IfName::loopback);
            let both = PerFamily { v4: true, v6: true };
            this.devices.push(Device {
                name: name.unwrap_or_else(made_up),
                index: IfIndex(0),
                present: false,
                carrier: true,
                families: families.get(place).copied().unwrap_or(both),
                lease: 0,
            });
            for change in this.appear(place) {
                this.view.apply(&change);
            }
        }
        this
    }

    /// The uplink whose interface this is now.
    #[must_use]
    pub fn uplink_on(&self, index: IfIndex) -> Option<usize> {
        self.devices.iter().position(|d| d.present && d.index == index)
    }

    /// Its interface, if it is there.
    #[must_use]
    pub fn index_of(&self, uplink: usize) -> Option<IfIndex> {
        self.devices.get(uplink).filter(|d| d.present).map(|d| d.index)
    }

    /// Whether a packet can leave by this uplink.
    #[must_use]
    pub fn has_carrier(&self, uplink: usize) -> bool {
        self.devices.get(uplink).is_some_and(|d| d.present && d.carrier)
    }

    /// Where table 8300 sends a new flow: dead links are passed over (`ignore_routes_with_linkdown`).
    #[must_use]
    pub fn active(&self, family: Family) -> Option<usize> {
        self.defaults(family)
            .filter_map(|route| self.uplink_on(route.dev))
            .find(|uplink| self.has_carrier(*uplink))
    }

    /// Where the first route of table 8300 leads, as a starting agent finds it.
    #[must_use]
    pub fn adoptable(&self, family: Family) -> Option<IfIndex> {
        self.defaults(family).next().map(|route| route.dev)
    }

    /// Whether new flows of a family are refused at once.
    #[must_use]
    pub fn refuses(&self, family: Family, now: Instant) -> bool {
        self.refused_until.get(family).is_some_and(|until| now < until)
    }

    /// New flows of these families are refused for a while from now, and of no others.
    pub fn refuse(&mut self, families: PerFamily<bool>, now: Instant) {
        let until = now + Duration::from_secs(REFUSED_FOR.into());
        for (family, refused) in families.iter() {
            *self.refused_until.get_mut(family) = refused.then_some(until);
        }
        if !self.plane.nft.name.is_empty() {
            self.plane.nft.sets.extend(refusals(families).sets);
        }
    }

    /// What the kernel is told to refuse, and has not forgotten by now.
    fn refused(&mut self, now: Instant) -> PerFamily<bool> {
        let left =
            PerFamily { v4: self.refuses(Family::V4, now), v6: self.refuses(Family::V6, now) };
        if let Some(set) = self.plane.nft.sets.get_mut(NO_WAY).filter(|s| !s.elements.is_empty()) {
            set.elements.clone_from(&refusals(left).sets[NO_WAY].elements);
        }
        left
    }

    /// Elements that have just been added live for a while.
    fn remember_refusals(&mut self, before: PerFamily<bool>, now: Instant) {
        let until = now + Duration::from_secs(REFUSED_FOR.into());
        let set = self.plane.nft.sets.get(NO_WAY);
        for family in Family::BOTH {
            let key = [KeyPart::Family(family)];
            let there = set.is_some_and(|set| set.elements.contains_key(&key[..]));
            let place = self.refused_until.get_mut(family);
            if !there {
                *place = None;
            } else if !*before.get(family) {
                *place = Some(until);
            }
        }
    }

    /// Makes it as desired, change by change, and watches every state in between.
    pub fn converge(
        &mut self,
        generation: u64,
        mut desired: Dataplane,
        took: Duration,
        now: Instant,
    ) -> ApplyReport {
        desired.keep_last_default(&self.plane);
        self.make_so(generation, &desired, took, now)
    }

    fn make_so(
        &mut self,
        generation: u64,
        desired: &Dataplane,
        took: Duration,
        now: Instant,
    ) -> ApplyReport {
        let refused = self.refused(now);
        let (digest, table) = (&mut self.digest, &self.plane.nft);
        let observed_digest =
            (!table.name.is_empty()).then(|| *digest.get_or_insert_with(|| table.digest()));
        let mut report =
            ApplyReport { generation, observed_digest, took, ..ApplyReport::default() };
        let had = |kernel: &Self| PerFamily {
            v4: kernel.defaults(Family::V4).next().is_some(),
            v6: kernel.defaults(Family::V6).next().is_some(),
        };
        let before = had(self);
        let changes = diff(desired, &self.plane);
        let found = observed_digest.map_or(Found::NoTable, |_| Found::Table);
        report.drift = Drift::of(desired, &self.plane, &changes, found);
        let mut failed = Failed::default();
        for change in changes {
            self.check_ownership(&change);
            if failed.forbids(&change) {
                continue;
            }
            if let Some(error) = self.refusal(&change) {
                report.errors.push(error);
                failed.remember(&change, |_| true);
                continue;
            }
            apply(std::slice::from_ref(&change), &mut self.plane);
            self.digest = None;
            self.writes += 1;
            let after = had(self);
            for family in Family::BOTH {
                if *before.get(family) && !*after.get(family) {
                    self.violations
                        .push(format!("{family}: no default route in 8300 after {change}"));
                }
            }
            report.changes.push(change);
        }
        self.remember_refusals(refused, now);
        for family in Family::BOTH {
            let index = self.active(family).and_then(|uplink| self.index_of(uplink));
            *report.verified.get_mut(family) = index;
        }
        report
    }

    /// An interface appears under an index of its own, with all that others set up on it.
    pub fn appear(&mut self, uplink: usize) -> Vec<KernelChange> {
        let index = IfIndex(self.next_index);
        let Some(device) = self.devices.get_mut(uplink).filter(|d| !d.present) else {
            return Vec::new();
        };
        self.next_index += 1;
        (device.index, device.present, device.carrier) = (index, true, true);
        let device = device.clone();
        let mut changes = vec![KernelChange::Link(link(&device))];
        changes.extend(addresses(uplink, &device).map(KernelChange::Address));
        changes.extend(routes(uplink, &device).map(KernelChange::Route));
        self.note(&changes);
        changes
    }

    /// An interface vanishes, and every route over it.
    pub fn vanish(&mut self, uplink: usize) -> Vec<KernelChange> {
        let Some(device) = self.devices.get_mut(uplink).filter(|d| d.present) else {
            return Vec::new();
        };
        device.present = false;
        let index = device.index;
        self.plane.routes.retain(|route| route.dev != index);
        let changes = vec![KernelChange::Ours(Touched::Routes), KernelChange::LinkGone(index)];
        self.note(&changes);
        changes
    }

    /// Somebody puts a cable in, or pulls it.
    pub fn plug(&mut self, uplink: usize, cable: Cable) -> Vec<KernelChange> {
        let carrier = cable == Cable::In;
        let Some(device) = self.devices.get_mut(uplink).filter(|d| d.present) else {
            return Vec::new();
        };
        if device.carrier == carrier {
            return Vec::new();
        }
        device.carrier = carrier;
        let changes = vec![KernelChange::Link(link(device))];
        self.note(&changes);
        changes
    }

    fn note(&mut self, changes: &[KernelChange]) {
        for change in changes {
            self.view.apply(change);
        }
    }

    fn defaults(&self, family: Family) -> impl Iterator<Item = &Route> {
        let ours = self.plane.routes.iter();
        // In the order of the set, which within a table is that of the metric.
        ours.filter(move |r| r.family == family && r.table == TableId::ACTIVE)
    }

    /// Somebody takes what is ours.
    pub fn vandalise(&mut self, what: Vandal) -> Vec<Touched> {
        let all = what == Vandal::Everything;
        let mut touched = Vec::new();
        if all || what == Vandal::Rules {
            self.plane.rules.clear();
            touched.push(Touched::Rules);
        }
        if all || what == Vandal::Routes {
            self.plane.routes.clear();
            touched.push(Touched::Routes);
        }
        if all || what == Vandal::Table {
            self.plane.nft = Table::default();
            self.digest = None;
            self.refused_until = PerFamily::default();
            touched.push(Touched::Nftables);
        }
        touched
    }

    /// An uplink gets another address, and every second time another gateway.
    pub fn renew(&mut self, uplink: usize) -> Vec<KernelChange> {
        let Some(device) = self.devices.get_mut(uplink).filter(|d| d.present) else {
            return Vec::new();
        };
        let before = device.clone();
        device.lease = device.lease.wrapping_add(1) % 100;
        let after = device.clone();
        let mut changes: Vec<KernelChange> =
            addresses(uplink, &before).map(KernelChange::AddressGone).collect();
        changes.extend(routes(uplink, &before).map(KernelChange::RouteGone));
        changes.extend(addresses(uplink, &after).map(KernelChange::Address));
        changes.extend(routes(uplink, &after).map(KernelChange::Route));
        self.note(&changes);
        changes
    }

    /// Somebody's routes by an uplink, in a table of their own.
    pub fn foreign_routes(&mut self, uplink: usize, count: u8) -> Vec<KernelChange> {
        let Some(dev) = self.index_of(uplink) else { return Vec::new() };
        let route = |n: u8| {
            let dst = format!("10.{n}.0.0/16").parse().unwrap_or_else(|_| everything(Family::V4));
            let (table, metric) = (TableId(100), Metric(0));
            let via = gateway(uplink, Family::V4, 0);
            ForeignRoute { table, dst, metric, ..default_by(dev, Family::V4, via) }
        };
        let changes: Vec<KernelChange> = (0..count).map(route).map(KernelChange::Route).collect();
        self.note(&changes);
        changes
    }

    /// Why the kernel would not do this.
    fn refusal(&mut self, change: &Change) -> Option<String> {
        if self.rng.chance(self.refuses_changes) {
            return Some(format!("{change}: no buffer space available"));
        }
        let Change::ReplaceRoute(route) = change else { return None };
        self.uplink_on(route.dev).is_none().then(|| format!("{change}: no such device"))
    }

    /// Nothing of anybody else's may be changed.
    fn check_ownership(&mut self, change: &Change) {
        let ours = match change {
            Change::ReplaceRoute(route) | Change::DelRoute(route) => {
                route.table.is_ours() && route.dst == everything(route.family)
            }
            Change::AddRule(rule) | Change::DelRule(rule) => {
                let ours = RulePriority::LAN_NARROWED..=RulePriority::ACTIVE;
                ours.contains(&rule.priority) || rule.priority == RulePriority::NOWHERE
            }
            Change::BuildTable(table) => table.name == "sparelink",
            Change::Elements { set, .. } => self.plane.nft.sets.contains_key(set),
            Change::SetSysctl { path, .. } => {
                let devices = self.devices.iter();
                let on_uplink = devices.map(|d| format!("/{}/", d.name)).any(|d| path.contains(&d));
                let global =
                    ["net/netfilter/", "net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"];
                on_uplink || global.iter().any(|prefix| path.starts_with(prefix))
            }
        };
        if !ours {
            self.violations.push(format!("not ours to change: {change}"));
        }
    }
}

fn link(device: &Device) -> Link {
    Link {
        index: device.index,
        name: device.name.clone(),
        up: true,
        carrier: device.carrier,
        point_to_point: false,
        loopback: false,
        mtu: 1500,
        mac: None,
        hardware: Hardware::default(),
        master: None,
        parent: None,
        kind: LinkKind::Other,
    }
}

fn families(device: &Device) -> impl Iterator<Item = Family> + use<> {
    let families = device.families;
    Family::BOTH.into_iter().filter(move |f| *families.get(*f))
}

fn addresses(uplink: usize, device: &Device) -> impl Iterator<Item = Address> + use<> {
    let (index, lease) = (device.index, device.lease);
    families(device).filter_map(move |family| {
        let net = match family {
            Family::V4 => format!("192.168.{}.{}/24", 10 + uplink, 2 + lease),
            Family::V6 => format!("2001:db8:{uplink:x}::{:x}/64", 2 + lease),
        };
        Some(Address { index, net: net.parse().ok()?, peer: None, global: true, deprecated: false })
    })
}

/// The modem's address, as a router sees it in its first lease, or in the nth after it.
fn gateway(uplink: usize, family: Family, lease: u8) -> Option<IpAddr> {
    let last = if (lease / 2).is_multiple_of(2) { 1 } else { 254 };
    match family {
        Family::V4 => format!("192.168.{}.{last}", 10 + uplink).parse().ok(),
        Family::V6 => format!("fe80::{last}").parse().ok(),
    }
}

fn routes(uplink: usize, device: &Device) -> impl Iterator<Item = ForeignRoute> + use<> {
    let (dev, lease) = (device.index, device.lease);
    let metric = u32::try_from(uplink).map_or(Metric(100), |n| Metric(100 + n));
    families(device).map(move |family| {
        let via = gateway(uplink, family, lease);
        ForeignRoute { metric, ..default_by(dev, family, via) }
    })
}

/// A default route of somebody else's in `main`.
fn default_by(dev: IfIndex, family: Family, gateway: Option<IpAddr>) -> ForeignRoute {
    ForeignRoute {
        table: TableId::MAIN,
        dst: everything(family),
        src: None,
        gateway,
        dev,
        metric: Metric(0),
        protocol: 16,
        onlink: false,
        mtu: None,
        prefsrc: None,
        kind: RouteKind::Unicast,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel() -> Kernel {
        let text = "[[uplink]]\nname = \"cable\"\ninterface = \"wan0\"\n";
        let config = crate::config::parse(text, "test").unwrap();
        Kernel::new(&config, &[PerFamily { v4: true, v6: false }])
    }

    fn desired(dev: u32, table: u32) -> Dataplane {
        let route = Route {
            family: Family::V4,
            table: TableId(table),
            metric: Metric(1),
            dst: everything(Family::V4),
            via: None,
            dev: IfIndex(dev),
            onlink: false,
            mtu: None,
            prefsrc: None,
        };
        Dataplane { routes: [route].into(), ..Dataplane::default() }
    }

    /// The simulation finds what it looks for.
    #[test]
    fn it_sees_a_missing_default_and_a_foreign_object() {
        let mut kernel = kernel();
        let report = kernel.converge(1, desired(2, 8300), Duration::ZERO, Instant::ZERO);
        assert!(report.ok() && kernel.violations.is_empty(), "{report:?}");
        assert_eq!(kernel.active(Family::V4), Some(0));
        kernel.converge(2, Dataplane::default(), Duration::ZERO, Instant::ZERO);
        assert_eq!(kernel.active(Family::V4), Some(0), "the last one stays");
        assert!(kernel.violations.is_empty(), "{:?}", kernel.violations);
        kernel.make_so(3, &Dataplane::default(), Duration::ZERO, Instant::ZERO);
        assert_eq!(kernel.violations.len(), 1, "{:?}", kernel.violations);
        kernel.make_so(4, &desired(2, 254), Duration::ZERO, Instant::ZERO);
        assert!(kernel.violations[1].starts_with("not ours"), "{:?}", kernel.violations);
    }

    #[test]
    fn a_vanished_interface_takes_its_routes_along_and_returns_as_another() {
        let mut kernel = kernel();
        kernel.converge(1, desired(2, 8300), Duration::ZERO, Instant::ZERO);
        kernel.vanish(0);
        assert!(kernel.plane.routes.is_empty() && kernel.view.links.is_empty());
        assert!(!kernel.converge(2, desired(2, 8300), Duration::ZERO, Instant::ZERO).ok());
        kernel.appear(0);
        assert_eq!(kernel.index_of(0), Some(IfIndex(3)));
        assert!(kernel.plug(0, Cable::In).is_empty(), "it has one");
        kernel.plug(0, Cable::Out);
        assert_eq!(kernel.active(Family::V4), None);
    }
}
