//! From a decision to the dataplane that carries it out.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::followers::{followers, hosts};
use super::ruleset::ruleset;
use super::wanted::{Answers, Uplink, Wanted};
use super::{Dataplane, Route, Rule, RuleAction, Sysctl};
use crate::engine::kernel::egress::Egress;
use crate::engine::kernel::rule::Selector;
use crate::units::{Family, IfName, Metric, RulePriority, TableId};

/// Routes of router advertisements are taken if their prefix is no longer than this.
const ROUTES_OF_ROUTERS: &str = "accept_ra_rt_info_max_plen";

/// Who answers a question for an address of the box, and with which address the box asks.
const ARP_IGNORE: &str = "arp_ignore";
const ARP_ANNOUNCE: &str = "arp_announce";

/// The dataplane that is wanted.
#[must_use]
pub fn plan(wanted: &Wanted) -> Dataplane {
    Dataplane {
        routes: routes(wanted),
        rules: rules(wanted),
        nft: ruleset(wanted),
        sysctls: sysctls(wanted),
    }
}

fn routes(wanted: &Wanted) -> BTreeSet<Route> {
    let mut routes = BTreeSet::new();
    for family in Family::BOTH {
        for uplink in &wanted.uplinks {
            let egress = uplink.egress.get(family).as_ref();
            routes.extend(
                egress.map(|egress| default_route(egress, family, uplink.id.table(), Metric(1))),
            );
        }
        let in_order = wanted.order.get(family).iter().filter_map(|id| {
            wanted.uplinks.iter().find(|u| u.id == *id).and_then(|u| u.egress.get(family).as_ref())
        });
        for (metric, egress) in (1..).zip(in_order) {
            routes.insert(default_route(egress, family, TableId::ACTIVE, Metric(metric)));
        }
    }
    for narrowed in wanted.narrowed.iter().filter_map(|(_, narrowed)| narrowed.as_ref()) {
        routes.extend(narrowed.kept.iter().map(|r| Route {
            family: r.family(),
            table: TableId::OTHERS,
            metric: Metric(1),
            dst: r.dst,
            via: r.gateway,
            dev: r.dev,
            onlink: r.onlink && r.gateway.is_some(),
            mtu: r.mtu,
            prefsrc: None,
        }));
    }
    let disputed = wanted.lan.iter().flat_map(|lan| &lan.disputed);
    routes.extend(disputed.map(|(dst, dev)| Route {
        family: Family::of(&dst.addr()),
        table: TableId::LAN,
        metric: Metric(1),
        dst: *dst,
        via: None,
        dev: *dev,
        onlink: false,
        mtu: None,
        prefsrc: None,
    }));
    routes
}

fn default_route(egress: &Egress, family: Family, table: TableId, metric: Metric) -> Route {
    Route {
        family,
        table,
        metric,
        dst: everything(family),
        via: egress.gateway,
        dev: egress.index,
        onlink: egress.onlink && egress.gateway.is_some(),
        mtu: egress.mtu,
        prefsrc: egress.prefsrc,
    }
}

/// The default route's destination, `0.0.0.0/0` or `::/0`.
#[must_use]
pub fn everything(family: Family) -> IpNet {
    match family {
        Family::V4 => IpNet::V4(Ipv4Net::default()),
        Family::V6 => IpNet::V6(Ipv6Net::default()),
    }
}

fn rules(wanted: &Wanted) -> BTreeSet<Rule> {
    let mut rules = BTreeSet::new();
    for family in Family::BOTH {
        let look_up = |priority, table| Rule::look_up(family, priority, table);
        let narrowed = wanted.narrowed.get(family).as_ref();
        let main = narrowed.map_or(RulePriority::LOCAL_FIRST, |_| RulePriority::MAIN_NARROWED);
        let suppressed = match (narrowed, wanted.heeded.get(family)) {
            (Some(narrowed), _) => Some(narrowed.prefix_len.into()),
            (None, Some(_)) => None,
            (None, None) => Some(0),
        };
        let rule = look_up(main, TableId::MAIN);
        rules.insert(Rule { suppress_prefixlength: suppressed, ..rule });
        if narrowed.is_some() {
            rules.insert(look_up(RulePriority::LOCAL_FIRST, TableId::OTHERS));
        }
        for uplink in &wanted.uplinks {
            rules.insert(Rule {
                selector: Selector::marked(uplink.id.mark()),
                ..look_up(uplink.id.rule_priority(), uplink.id.table())
            });
        }
        rules.extend(hosts(&wanted.hosts, family));
        rules.insert(look_up(RulePriority::ACTIVE, TableId::ACTIVE));
        rules.extend(of_the_lan(wanted, family));
        let ours = rules.iter().filter(|rule| rule.family == family).map(|rule| rule.priority);
        let first = ours.min().unwrap_or(RulePriority::LOCAL_FIRST);
        // `main` as it stands is what those want whose default route is the best there.
        if wanted.heeded.get(family).is_none() {
            rules.extend(followers(&wanted.to_main, family, first));
        }
    }
    rules
}

/// Rules that are there for a LAN.
fn of_the_lan(wanted: &Wanted, family: Family) -> Vec<Rule> {
    let Some(lan) = &wanted.lan else { return Vec::new() };
    let look_up = |priority, table| Rule::look_up(family, priority, table);
    let nowhere = look_up(RulePriority::NOWHERE, TableId::MAIN);
    let refuse = Rule { selector: Selector::forwarded(), then: RuleAction::Prohibit, ..nowhere };
    let narrowed = wanted.narrowed.get(family).as_ref();
    let first = narrowed.map_or(RulePriority::LAN, |_| RulePriority::LAN_NARROWED);
    let disputed = lan.disputed.keys().any(|net| Family::of(&net.addr()) == family);
    let own = disputed.then(|| look_up(first, TableId::LAN));
    own.into_iter().chain([refuse]).collect()
}

/// An uplink's interface and what it rides on, and for whom they answer.
fn devices(uplink: &Uplink) -> impl Iterator<Item = (&IfName, Answers)> {
    let own = uplink.dev.iter().map(|(_, dev)| (dev, uplink.answers));
    own.chain(uplink.parent.iter().map(|(dev, answers)| (dev, *answers)))
}

fn sysctls(wanted: &Wanted) -> BTreeMap<String, Sysctl> {
    let mut sysctls = BTreeMap::new();
    let mut set = |path: String, value: &str, only_from: Option<&str>| {
        let only_from = only_from.map(str::to_owned);
        // The kernel takes the larger of the two (Documentation/networking/ip-sysctl.rst).
        let key = path.rsplit('/').next();
        let larger = ["rp_filter", ARP_IGNORE, ARP_ANNOUNCE].into_iter().find(|k| key == Some(*k));
        let beside = larger.map(|key| format!("net/ipv4/conf/all/{key}"));
        // A kernel without CONFIG_IPV6_ROUTE_INFO takes no routes from routers anyway.
        let optional = path.ends_with(ROUTES_OF_ROUTERS);
        sysctls.insert(path, Sysctl { value: value.to_owned(), only_from, beside, optional });
    };
    // Mid-stream pick-up is what lets a stale connection be answered with a reset.
    set("net/netfilter/nf_conntrack_tcp_loose".into(), "1", None);
    // What is still carried by flows on an uplink that was left is told in bytes.
    set("net/netfilter/nf_conntrack_acct".into(), "1", None);
    for (dev, answers) in wanted.uplinks.iter().flat_map(devices) {
        // Else a modem learns the hardware address of another interface on its wire, and answers come in
        // by the wrong uplink.
        let (ignore, from) = match answers {
            Answers::Own => ("1", "0"),
            Answers::Any => ("0", "1"),
        };
        set(format!("net/ipv4/conf/{dev}/{ARP_IGNORE}"), ignore, Some(from));
        set(format!("net/ipv4/conf/{dev}/{ARP_ANNOUNCE}"), "2", Some("0"));
    }
    for (_, dev) in wanted.uplinks.iter().filter_map(|uplink| uplink.dev.as_ref()) {
        let v4 = |key: &str| format!("net/ipv4/conf/{dev}/{key}");
        let v6 = |key: &str| format!("net/ipv6/conf/{dev}/{key}");
        // Strict reverse-path filtering drops every answer on a second uplink.
        set(v4("rp_filter"), "2", Some("1"));
        set(v4("src_valid_mark"), "1", None);
        set(v4("ignore_routes_with_linkdown"), "1", None);
        set(v6("ignore_routes_with_linkdown"), "1", None);
        // A hostile network can advertise routes without end (RFC 4191). Those that lead into the Internet
        // are passed over in any case, see `detours`; all of them fill the kernel's table.
        set(v6(ROUTES_OF_ROUTERS), "0", None);
        // The kernel's own limit on addresses, where somebody has taken it away.
        set(v6("max_addresses"), "16", Some("0"));
        if wanted.lan.is_some() {
            // With forwarding on, 1 means "ignore router advertisements", and the default goes.
            set(v6("accept_ra"), "2", Some("1"));
        }
    }
    if wanted.lan.is_some() {
        set("net/ipv4/ip_forward".into(), "1", None);
        set("net/ipv6/conf/all/forwarding".into(), "1", None);
    }
    sysctls
}
