//! Who else has a say in where packets go: tunnels, policy routing, proxies.
//!
//! Whoever puts a better default route into `main`, or a rule before ours that leads to one, wants
//! packets to go that way. That is heeded, and told.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::config::{Config, DeviceMatch};
use crate::engine::kernel::rule::ForeignRule;
use crate::engine::kernel::view::{ForeignRoute, KernelView, Link, RouteKind};
use crate::time::Instant;
use crate::units::{Family, Fwmark, Gather as _, IfIndex, IfName, Metric, RulePriority, TableId};

/// Somebody's claim on packets of one family.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Claim {
    pub family: Family,
    /// The interface that they leave by; `None`: they are rejected.
    pub dev: Option<IfName>,
    /// That interface is an uplink's: none can be chosen for these packets.
    pub of_an_uplink: bool,
    pub by: By,
    /// Whom it concerns, in the words of `ip rule`; empty: everything, but for a tunnel's own packets.
    pub whom: String,
}

/// What makes a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The best default route of `main`.
    Default,
    /// Routes of `main` that cover everything together, such as `0.0.0.0/1` and `128.0.0.0/1`.
    WideRoutes,
    /// A policy rule, by its priority.
    Rule(RulePriority),
}

impl Claim {
    /// Whether it concerns everything, but for a tunnel's own packets.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.whom.is_empty()
    }

    /// Whether it is somebody's claim again: a rule that is built anew gets another priority from the
    /// kernel.
    fn is_the_same(&self, other: &Self) -> bool {
        let rule = |claim: &Self| matches!(claim.by, By::Rule(_));
        let by = self.by == other.by || rule(self) && rule(other);
        by && (self.family, &self.dev, &self.whom) == (other.family, &other.dev, &other.whom)
    }

    /// Whether nothing can be chosen for a family: everything is rejected, or goes by one uplink.
    #[must_use]
    pub const fn overrules(&self) -> bool {
        self.is_whole() && (self.dev.is_none() || self.of_an_uplink)
    }

    /// Whether it leaves a family without any way out, whatever the uplinks are like.
    #[must_use]
    pub const fn bars(&self) -> bool {
        self.is_whole() && self.dev.is_none()
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { family, dev, by, whom, .. } = self;
        let all = if self.is_whole() { "all" } else { "some" };
        match dev {
            Some(dev) => write!(f, "{all} {family} traffic goes by {dev}, as ")?,
            None => write!(f, "{all} {family} traffic is rejected, as ")?,
        }
        match (by, dev) {
            (By::Default, Some(_)) => f.write_str("the best default route in `main` says"),
            (By::Default, None) => f.write_str("an unreachable default route in `main` says"),
            (By::WideRoutes, _) => f.write_str("wide routes in `main` say"),
            (By::Rule(priority), _) if whom.is_empty() => write!(f, "rule {} says", priority.0),
            (By::Rule(priority), _) => write!(f, "rule {} says ({whom})", priority.0),
        }
    }
}

/// Interfaces that make no claims: of uplinks and of the LAN.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub uplinks: BTreeSet<IfIndex>,
    /// The LAN's, and those that could be an uplink's.
    pub others: BTreeSet<IfIndex>,
}

impl Known {
    /// The interfaces that uplinks have now, and what the configuration says of others.
    #[must_use]
    pub fn new(uplinks: BTreeSet<IfIndex>, config: &Config, view: &KernelView) -> Self {
        let lan = config.lan.iter().flat_map(|lan| &lan.interfaces);
        let lan: BTreeSet<&IfName> = lan.gather();
        let could_be = |link: &Link| config.uplinks.iter().any(|u| could_be(&u.device, link));
        let others = view.links.values().filter(|link| !uplinks.contains(&link.index));
        let others = others.filter(|link| lan.contains(&link.name) || could_be(link));
        let others = others.map(|link| link.index).gather();
        Self { uplinks, others }
    }

    /// Whether a route is of none of them, and leads somewhere.
    fn is_a_stranger(&self, route: &ForeignRoute, view: &KernelView) -> bool {
        let taken = self.uplinks.contains(&route.dev) || self.others.contains(&route.dev);
        !taken && is_alive(route, view)
    }
}

/// Whether a link could be an uplink's at another time: a Wi-Fi interface in another network, a stick
/// with another name. Its default route is no wish, but the network manager's habit.
fn could_be(device: &DeviceMatch, link: &Link) -> bool {
    let hardware = &link.hardware;
    let same = |wanted: Option<&String>, have: Option<&String>| wanted.is_some() && wanted == have;
    device.interface.as_ref() == Some(&link.name)
        || device.ssid.is_some() && hardware.ssid.is_some()
        || same(device.usb_path.as_ref(), hardware.usb_path.as_ref())
        || same(device.driver.as_ref(), hardware.driver.as_ref())
        || device.mac.is_some() && device.mac == link.mac
}

/// More claims of one family are not told: nobody would read them.
const AT_MOST: usize = 8;

/// Everybody's claims, in order.
#[must_use]
pub fn claims(view: &KernelView, known: &Known) -> BTreeSet<Claim> {
    let mut claims = BTreeSet::new();
    for family in Family::BOTH {
        claims.extend(in_main(view, known, family));
        let rules = view.rules.iter().filter(|rule| rule.family == family);
        let (whole, some): (Vec<_>, Vec<_>) =
            rules.filter_map(|rule| by_rule(rule, view, known)).partition(Claim::is_whole);
        claims.extend(whole.into_iter().take(AT_MOST));
        claims.extend(some.into_iter().take(AT_MOST));
    }
    claims
}

/// Who claims what `main` is asked for.
fn in_main(view: &KernelView, known: &Known, family: Family) -> Option<Claim> {
    let named = |dev: IfIndex| view.links.get(&dev).map(|link| link.name.clone());
    let claim = |dev, by| Some(Claim { family, dev, of_an_uplink: false, by, whom: String::new() });
    let main = view.routes.iter().filter(|r| r.table == TableId::MAIN && r.family() == family);
    let wide = main.filter(|r| known.is_a_stranger(r, view) && r.kind == RouteKind::Unicast);
    let wide: BTreeMap<IpNet, IfIndex> =
        wide.filter(|r| covers_half(&r.dst)).map(|r| (r.dst, r.dev)).gather();
    let all = wide.keys().any(|net| net.prefix_len() == 3)
        || wide.keys().filter(|net| net.prefix_len() == 1).count() == 2;
    if let Some((_, dev)) = wide.iter().next().filter(|_| all) {
        return claim(named(*dev), By::WideRoutes);
    }
    if let Some(route) = foreign_default(view, known, family) {
        return claim(named(route.dev), By::Default);
    }
    let best = best_default(view, TableId::MAIN, family)?;
    if best.kind == RouteKind::Rejects { claim(None, By::Default) } else { None }
}

/// The best default route of `main` if it leads by an interface that is no uplink's: somebody's wish.
#[must_use]
pub fn foreign_default<'a>(
    view: &'a KernelView,
    known: &Known,
    family: Family,
) -> Option<&'a ForeignRoute> {
    let best = best_default(view, TableId::MAIN, family)?;
    (best.kind == RouteKind::Unicast && known.is_a_stranger(best, view)).then_some(best)
}

/// Half of all addresses, or all that are anybody's in IPv6.
fn covers_half(net: &IpNet) -> bool {
    net.prefix_len() == 1 || net.to_string() == "2000::/3"
}

/// Who claims what a rule concerns.
fn by_rule(rule: &ForeignRule, view: &KernelView, known: &Known) -> Option<Claim> {
    let table = rule.table.filter(|table| *table != TableId::MAIN && !table.is_ours())?;
    let before_ours = rule.priority <= RulePriority::ACTIVE;
    if !before_ours || rule.suppress_prefixlength.is_some() || is_of_an_address(rule, view) {
        return None;
    }
    let best = best_default(view, table, rule.family)?;
    let dev = match best.kind {
        RouteKind::Rejects => None,
        // Of the LAN it is told by nobody: such a box stands in another router's LAN.
        RouteKind::Unicast if known.others.contains(&best.dev) => return None,
        RouteKind::Unicast => Some(view.links.get(&best.dev)?.name.clone()),
    };
    let whole = rule.selector.is_whole() && !rule.narrower;
    let whom = if whole { String::new() } else { rule.selector.to_string() };
    let whom = whom.trim_end().to_owned();
    let whom = if whole || !whom.is_empty() { whom } else { "under conditions".to_owned() };
    let of_an_uplink = dev.is_some() && known.uplinks.contains(&best.dev);
    Some(Claim { family: rule.family, dev, of_an_uplink, by: By::Rule(rule.priority), whom })
}

/// An address of the box that has its own way out: each network manager makes such rules for its
/// uplinks, and only what is bound to the address goes by them.
fn is_of_an_address(rule: &ForeignRule, view: &KernelView) -> bool {
    let own = |addr| view.addresses.iter().any(|own| own.net.addr() == addr);
    rule.selector.src.is_some_and(|net| net.prefix_len() == net.max_prefix_len() && own(net.addr()))
}

/// The default route of a table that counts, living ones and those that reject.
fn best_default(view: &KernelView, table: TableId, family: Family) -> Option<&ForeignRoute> {
    let of_table = view.routes.iter().filter(|r| r.table == table && r.family() == family);
    of_table
        .filter(|r| r.dst.prefix_len() == 0 && r.src.is_none())
        // The kernel's own last word in IPv6 is nobody's wish.
        .filter(|r| r.metric < Metric(u32::MAX) && is_alive(r, view))
        .min_by_key(|r| r.metric)
}

fn is_alive(route: &ForeignRoute, view: &KernelView) -> bool {
    let link = view.links.get(&route.dev);
    route.kind == RouteKind::Rejects
        || link.is_some_and(|link| link.up && link.carrier && !link.loopback)
}

/// Marks by which others' rules choose a way and which they compare as a whole, our bits included: a
/// packet that has one must keep it as it is.
#[must_use]
pub fn whole_marks(rules: &[ForeignRule]) -> BTreeSet<u32> {
    let marks = rules.iter().filter_map(|rule| rule.selector.fwmark);
    let theirs = |mark: &Fwmark| mark.mask == u32::MAX && mark.value & !Fwmark::OURS_MASK != 0;
    marks.filter(theirs).map(|mark| mark.value).gather()
}

/// A claim is over when it has not been there for so long: whoever builds their own anew takes it away
/// for a moment.
const OVER: Duration = Duration::from_secs(5);

/// Claims as they are, and as they were told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::engine) struct Claims {
    pub(in crate::engine) now: BTreeSet<Claim>,
    /// Those that were told, and since when they are gone.
    told: Vec<(Claim, Option<Instant>)>,
}

impl Claims {
    /// Takes what is claimed now; tells whether that is anything else.
    pub(in crate::engine) fn set(&mut self, claims: BTreeSet<Claim>) -> bool {
        let news = self.now != claims;
        self.now = claims;
        news
    }

    /// Those that are to be told, and those that are over.
    pub(in crate::engine) fn news(&mut self, now: Instant) -> (Vec<Claim>, Vec<Claim>) {
        let mut over = Vec::new();
        self.told.retain_mut(|(claim, gone)| {
            if self.now.iter().any(|other| other.is_the_same(claim)) {
                *gone = None;
                return true;
            }
            let since = *gone.get_or_insert(now);
            let still = now.since(since) < OVER;
            if !still {
                over.push(claim.clone());
            }
            still
        });
        let new = self
            .now
            .iter()
            .filter(|claim| !self.told.iter().any(|(told, _)| told.is_the_same(claim)));
        let new: Vec<Claim> = new.cloned().collect();
        self.told.extend(new.iter().map(|claim| (claim.clone(), None)));
        (new, over)
    }

    /// When a claim that is gone is told to be over.
    pub(in crate::engine) fn deadline(&self) -> Option<Instant> {
        self.told.iter().filter_map(|(_, gone)| Some((*gone)? + OVER)).min()
    }

    /// Who claims everything of a family, if anybody does: the one whose rule or route is met first.
    pub(in crate::engine) fn whole(&self, family: Family) -> Option<&Claim> {
        let whole = self.now.iter().filter(|claim| claim.family == family && claim.is_whole());
        whole.min_by_key(|claim| match claim.by {
            By::Rule(priority) => priority,
            By::WideRoutes | By::Default => RulePriority::LOCAL_FIRST,
        })
    }
}
