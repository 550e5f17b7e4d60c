use std::net::IpAddr;

use proptest::collection::{btree_map, btree_set};
use proptest::prelude::*;

use super::super::nft::{KeyPart, KeyType, Verdict};
use super::*;
use crate::units::{Fwmark, IfIndex, RulePriority};

fn default_route(family: Family) -> IpNet {
    match family {
        Family::V4 => "0.0.0.0/0".parse().unwrap(),
        Family::V6 => "::/0".parse().unwrap(),
    }
}

fn route() -> impl Strategy<Value = Route> {
    let family = prop_oneof![Just(Family::V4), Just(Family::V6)];
    let table = prop_oneof![3 => Just(8300), 1 => Just(8301), 1 => Just(8302)];
    (family, table, 1u32..4, 1u32..5, 0u8..3, prop_oneof![Just(None), Just(Some(1400))]).prop_map(
        |(family, table, metric, dev, last, mtu)| Route {
            family,
            table: TableId(table),
            metric: Metric(metric),
            dst: default_route(family),
            via: (last > 0).then(|| match family {
                Family::V4 => IpAddr::from([192, 0, 2, last]),
                Family::V6 => IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, u16::from(last)]),
            }),
            dev: IfIndex(dev),
            onlink: false,
            mtu,
            prefsrc: None,
        },
    )
}

/// Routes as they can be desired: one of each key.
fn desired_routes() -> impl Strategy<Value = BTreeSet<Route>> {
    btree_set(route(), 0..8).prop_map(|routes| one_of_each(routes, route_key))
}

/// Routes as they can be observed: several of one key, if they lead elsewhere.
fn observed_routes() -> impl Strategy<Value = BTreeSet<Route>> {
    btree_set(route(), 0..10)
        .prop_map(|routes| one_of_each(routes, |r| (route_key(r), r.via, r.dev)))
}

fn one_of_each<K: Ord>(routes: BTreeSet<Route>, key: impl Fn(&Route) -> K) -> BTreeSet<Route> {
    let one: BTreeMap<K, Route> = routes.into_iter().map(|r| (key(&r), r)).collect();
    one.into_values().collect()
}

/// Whether a route that shares its key with others differs from what is desired in MTU only.
fn has_twins(desired: &Dataplane, observed: &Dataplane) -> bool {
    let name = |r: &Route| (route_key(r), r.via, r.dev);
    observed.routes.iter().any(|old| {
        let alone = observed.routes.iter().filter(|r| route_key(r) == route_key(old)).count() == 1;
        !alone && desired.routes.iter().any(|new| name(new) == name(old) && new != old)
    })
}

fn rule() -> impl Strategy<Value = Rule> {
    (8300u32..8304, any::<bool>(), any::<bool>()).prop_map(|(n, marked, v6)| {
        let family = if v6 { Family::V6 } else { Family::V4 };
        let mut rule = Rule::look_up(family, RulePriority(n), TableId(n));
        let mark = Fwmark { value: n << 24, mask: Fwmark::UPLINK_MASK };
        rule.selector.fwmark = marked.then_some(mark);
        rule
    })
}

fn table() -> impl Strategy<Value = Table> {
    let to = |verdict| Just(Some(Value::Verdict(verdict)));
    let value = prop_oneof![Just(None), to(Verdict::Drop), to(Verdict::Accept)];
    let elements = btree_map((0u32..6).prop_map(|n| vec![KeyPart::Mark(n)]), value, 0..6);
    let counters = btree_set("[ab]", 0..2);
    (counters, elements, any::<bool>()).prop_map(|(counters, elements, timeout)| {
        let mut set = Set::vmap(KeyType::Mark);
        set.timeout = timeout.then_some(3600);
        set.elements = elements;
        let sets = BTreeMap::from([("marks".to_owned(), set)]);
        Table { name: "sparelink".to_owned(), sets, counters, chains: Vec::new() }
    })
}

fn sysctl_values(
    only_from: impl Strategy<Value = Option<String>>,
) -> impl Strategy<Value = BTreeMap<String, Sysctl>> {
    let path = prop_oneof![
        Just("net/ipv4/ip_forward"),
        Just("net/ipv6/conf/all/forwarding"),
        Just("net/ipv6/conf/up0/accept_ra"),
        Just("net/ipv4/conf/up0/rp_filter"),
        Just("net/netfilter/nf_conntrack_tcp_loose"),
    ];
    let value = ("[012]", only_from);
    let sysctl =
        value.prop_map(|(value, only_from)| Sysctl { value, only_from, ..Sysctl::default() });
    btree_map(path.prop_map(str::to_owned), sysctl, 0..6)
}

prop_compose! {
    fn desired()(routes in desired_routes(), rules in btree_set(rule(), 0..6),
                 nft in table(), sysctls in sysctl_values(proptest::option::of("[01]"))) -> Dataplane {
        Dataplane { routes, rules, nft, sysctls }
    }
}

prop_compose! {
    fn observed()(routes in observed_routes(), rules in btree_set(rule(), 0..6),
                  nft in prop_oneof![1 => Just(Table::default()), 3 => table()],
                  sysctls in sysctl_values(Just(None))) -> Dataplane {
        Dataplane { routes, rules, nft, sysctls }
    }
}

fn has_default(dataplane: &Dataplane, family: Family) -> bool {
    let default = default_route(family);
    dataplane
        .routes
        .iter()
        .any(|r| (r.table, r.family, r.dst) == (TableId::ACTIVE, family, default))
}

proptest! {
    #[test]
    fn nothing_to_do_where_all_is_well(dataplane in observed()) {
        prop_assert_eq!(diff(&dataplane, &dataplane), vec![]);
    }

    #[test]
    fn the_changes_lead_to_the_desired_state(desired in desired(), mut observed in observed()) {
        prop_assume!(!has_twins(&desired, &observed));
        let before = observed.sysctls.clone();
        apply(&diff(&desired, &observed), &mut observed);
        prop_assert_eq!(diff(&desired, &observed), vec![]);
        for (path, desired) in &desired.sysctls {
            let now = observed.sysctls.get(path).map(|sysctl| &sysctl.value);
            let before = before.get(path).map(|sysctl| &sysctl.value);
            let may_change = desired.only_from.is_none() || desired.only_from.as_ref() == before;
            prop_assert_eq!(now, if may_change { Some(&desired.value) } else { before });
        }
        observed.sysctls.clone_from(&desired.sysctls);
        prop_assert_eq!(&observed, &desired);
    }

    #[test]
    fn never_a_moment_without_a_default_route(mut desired in desired(), observed in observed()) {
        desired.keep_last_default(&observed);
        for family in Family::BOTH {
            if !has_default(&observed, family) {
                continue;
            }
            let mut now = observed.clone();
            for change in diff(&desired, &observed) {
                apply(std::slice::from_ref(&change), &mut now);
                prop_assert!(has_default(&now, family), "none after {}", change);
            }
        }
    }

    #[test]
    fn the_last_default_stays_only_where_none_is_wished_for(desired in desired(), observed in observed()) {
        let mut kept = desired.clone();
        kept.keep_last_default(&observed);
        for family in Family::BOTH {
            let active = |dataplane: &Dataplane| {
                let ours = |r: &&Route| (r.table, r.family) == (TableId::ACTIVE, family);
                dataplane.routes.iter().filter(ours).copied().collect::<Vec<_>>()
            };
            let desired = active(&desired);
            let right = if desired.is_empty() { active(&observed) } else { desired };
            prop_assert_eq!(active(&kept), right);
        }
        kept.routes.retain(|r| r.table != TableId::ACTIVE);
        let mut rest = desired;
        rest.routes.retain(|r| r.table != TableId::ACTIVE);
        prop_assert_eq!(kept, rest);
    }

    #[test]
    fn old_things_go_after_the_new_have_come(desired in desired(), observed in observed()) {
        let stages: Vec<u8> = diff(&desired, &observed).iter().map(|change| match change {
            Change::SetSysctl { path, .. } if path.starts_with("net/netfilter/") => 4,
            Change::SetSysctl { path, .. } if is_forwarding(path) => 6,
            Change::SetSysctl { .. } => 1,
            Change::ReplaceRoute(_) => 2,
            Change::BuildTable(_) | Change::Elements { .. } => 3,
            Change::AddRule(_) => 5,
            Change::DelRule(_) => 7,
            Change::DelRoute(_) => 8,
        }).collect();
        prop_assert!(stages.is_sorted(), "{:?}", stages);
    }
}

#[test]
fn the_active_default_is_replaced_before_all_other_routes() {
    let to = |table, metric, dev| Route {
        family: Family::V4,
        table: TableId(table),
        metric: Metric(metric),
        dst: default_route(Family::V4),
        via: None,
        dev: IfIndex(dev),
        onlink: false,
        mtu: None,
        prefsrc: None,
    };
    let plane = |routes: &[Route]| Dataplane {
        routes: routes.iter().copied().collect(),
        ..Dataplane::default()
    };
    let observed = plane(&[to(8300, 1, 1), to(8300, 2, 2), to(8301, 1, 1)]);
    let desired = plane(&[to(8300, 1, 2), to(8302, 1, 2)]);
    let changes: Vec<_> = diff(&desired, &observed).iter().map(ToString::to_string).collect();
    assert_eq!(
        changes,
        [
            "route replace 0.0.0.0/0 dev #2 table 8300 metric 1",
            "route replace 0.0.0.0/0 dev #2 table 8302 metric 1",
            "route del 0.0.0.0/0 dev #2 table 8300 metric 2",
            "route del 0.0.0.0/0 dev #1 table 8301 metric 1",
        ]
    );
}

#[test]
fn a_value_that_is_outdone_beside_it_counts_as_that_one() {
    let (own, all) = ("net/ipv4/conf/wan0/rp_filter", "net/ipv4/conf/all/rp_filter");
    let plain = |value: &str| Sysctl { value: value.to_owned(), ..Sysctl::default() };
    let loose =
        Sysctl { only_from: Some("1".to_owned()), beside: Some(all.to_owned()), ..plain("2") };
    let desired = BTreeMap::from([(own.to_owned(), loose)]);
    let cases = [("0", "0", false), ("1", "0", true), ("0", "1", true), ("1", "1", true)];
    let cases = cases.into_iter().chain([("1", "2", false), ("2", "1", false)]);
    for (of_own, of_all, changes) in cases {
        let observed =
            BTreeMap::from([(own.to_owned(), plain(of_own)), (all.to_owned(), plain(of_all))]);
        let (early, ..) = sysctls(&desired, &observed);
        assert_eq!(!early.is_empty(), changes, "{of_own} beside {of_all}");
    }
}

#[test]
fn only_moving_elements_leave_the_table_alone() {
    let key = |n| vec![KeyPart::Mark(n)];
    let with = |elements: &[u32]| {
        let mut set = Set::new(&[KeyType::Mark]);
        set.elements = elements.iter().map(|n| (key(*n), None)).collect();
        let sets = BTreeMap::from([("s".to_owned(), set)]);
        Dataplane { nft: Table { sets, ..Table::default() }, ..Dataplane::default() }
    };
    let change =
        Change::Elements { set: "s".to_owned(), add: vec![(key(3), None)], del: vec![key(1)] };
    assert_eq!(diff(&with(&[2, 3]), &with(&[1, 2])), [change]);
    let mut other = with(&[1, 2]);
    other.nft.counters.insert("c".to_owned());
    assert!(
        matches!(diff(&other, &with(&[1])).as_slice(), [Change::BuildTable(t)] if *t == other.nft)
    );
}

#[test]
fn what_a_kernel_may_lack_is_not_asked_for_in_vain() {
    let path = "net/ipv6/conf/up0/accept_ra_rt_info_max_plen".to_owned();
    let sysctl =
        |value: &str, optional| Sysctl { value: value.to_owned(), optional, ..Sysctl::default() };
    let with = |sysctl: Option<Sysctl>| Dataplane {
        sysctls: sysctl.map(|sysctl| (path.clone(), sysctl)).into_iter().gather(),
        ..Dataplane::default()
    };
    let set = vec![Change::SetSysctl { path: path.clone(), value: "0".to_owned() }];
    assert_eq!(diff(&with(Some(sysctl("0", true))), &with(None)), []);
    assert_eq!(diff(&with(Some(sysctl("0", false))), &with(None)), set, "control");
    assert_eq!(diff(&with(Some(sysctl("0", true))), &with(Some(sysctl("64", false)))), set);
}
