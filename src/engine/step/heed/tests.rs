//! Who has a say in where packets go.

use std::collections::BTreeSet;

use super::*;
use crate::engine::kernel::claims::{By, Claim};
use crate::engine::kernel::rule::{ForeignRule, Selector};
use crate::engine::kernel::view::Link;
use crate::engine::kernel::view::{ForeignRoute, KernelView, RouteKind};
use crate::units::IfIndex;
use crate::units::{Fwmark, Metric, RulePriority, TableId};

const UPLINK: u32 = 2;
const LAN: u32 = 3;
const TUNNEL: u32 = 9;

fn view() -> KernelView {
    let links = [(UPLINK, "wan0"), (LAN, "lan0"), (TUNNEL, "wg0")];
    let links = links.map(|(index, name)| (IfIndex(index), Link::wired(IfIndex(index), name)));
    KernelView { links: links.into(), ..KernelView::default() }
}

fn route(dst: &str, table: u32, dev: u32, metric: u32) -> ForeignRoute {
    ForeignRoute {
        table: TableId(table),
        dst: dst.parse().unwrap(),
        src: None,
        gateway: None,
        dev: IfIndex(dev),
        metric: Metric(metric),
        protocol: 4,
        onlink: false,
        mtu: None,
        prefsrc: None,
        kind: RouteKind::Unicast,
    }
}

fn rule(priority: u32, selector: Selector, table: u32) -> ForeignRule {
    ForeignRule {
        family: Family::V4,
        priority: RulePriority(priority),
        selector,
        narrower: false,
        table: Some(TableId(table)),
        suppress_prefixlength: None,
    }
}

/// All but a tunnel's own packets.
fn but_its_own() -> Selector {
    let mark = Fwmark { value: 0xca6c, mask: u32::MAX };
    Selector { inverted: true, ..Selector::marked(mark) }
}

fn told(change: impl FnOnce(&mut KernelView)) -> Vec<String> {
    let mut view = view();
    change(&mut view);
    let known = Known { uplinks: [IfIndex(UPLINK)].into(), others: [IfIndex(LAN)].into() };
    claims(&view, &known).iter().map(Claim::to_string).collect()
}

#[test]
fn a_default_route_of_main_is_a_claim_if_it_is_the_best_and_no_uplinks() {
    let of_main = |dev, metric| route("0.0.0.0/0", 254, dev, metric);
    let told = |routes: &[ForeignRoute]| told(|view| view.routes.extend_from_slice(routes));
    let by_it = "all IPv4 traffic goes by wg0, as the best default route in `main` says";
    assert_eq!(told(&[of_main(UPLINK, 100), of_main(TUNNEL, 50)]), [by_it]);
    assert_eq!(told(&[of_main(TUNNEL, 50)]), [by_it]);
    assert_eq!(told(&[of_main(UPLINK, 100), of_main(TUNNEL, 500)]), [""; 0]);
    assert_eq!(told(&[of_main(LAN, 0)]), [""; 0], "the LAN is no way out");
    let rejects = ForeignRoute { kind: RouteKind::Rejects, ..of_main(0, 4_278_198_272) };
    assert_eq!(told(&[of_main(UPLINK, 100), rejects]), [""; 0]);
    let no_way = "all IPv4 traffic is rejected, as an unreachable default route in `main` says";
    assert_eq!(told(&[rejects]), [no_way]);
    let last_word = ForeignRoute { metric: Metric(u32::MAX), ..rejects };
    assert_eq!(told(&[last_word]), [""; 0], "the kernel's own");
}

#[test]
fn halves_are_a_whole() {
    let halves = ["0.0.0.0/1", "128.0.0.0/1"].map(|net| route(net, 254, TUNNEL, 0));
    let by_routes = "all IPv4 traffic goes by wg0, as wide routes in `main` say";
    assert_eq!(told(|view| view.routes.extend(halves)), [by_routes]);
    assert_eq!(told(|view| view.routes.extend(&halves[..1])), [""; 0]);
}

#[test]
fn a_rule_is_a_claim_if_it_leads_to_a_default_route() {
    let default = |dev| route("0.0.0.0/0", 51820, dev, 0);
    let with = |rules: &[ForeignRule], routes: &[ForeignRoute]| {
        told(|view| {
            view.rules.extend_from_slice(rules);
            view.routes.extend_from_slice(routes);
        })
    };
    let whole = rule(32_765, but_its_own(), 51820);
    assert_eq!(
        with(std::slice::from_ref(&whole), &[default(TUNNEL)]),
        ["all IPv4 traffic goes by wg0, as rule 32765 says"]
    );
    assert_eq!(with(std::slice::from_ref(&whole), &[]), [""; 0], "nothing is there");
    let suppressed = ForeignRule { suppress_prefixlength: Some(0), ..whole.clone() };
    assert_eq!(with(&[suppressed], &[default(TUNNEL)]), [""; 0]);
    let behind = ForeignRule { priority: RulePriority(32_767), ..whole };
    assert_eq!(with(&[behind], &[default(TUNNEL)]), [""; 0], "behind ours and main");
    let client = Selector { src: Some("10.77.0.2/32".parse().unwrap()), ..Selector::default() };
    assert_eq!(
        with(&[rule(10_000, client.clone(), 51820)], &[default(UPLINK)]),
        ["some IPv4 traffic goes by wan0, as rule 10000 says (from 10.77.0.2/32)"]
    );
    let own = crate::engine::kernel::view::Address {
        index: IfIndex(UPLINK),
        net: "10.77.0.2/24".parse().unwrap(),
        peer: None,
        global: true,
        deprecated: false,
    };
    let of_the_box = told(|view| {
        view.addresses.push(own);
        view.rules.push(rule(10_000, client, 51820));
        view.routes.push(default(UPLINK));
    });
    assert_eq!(of_the_box, [""; 0], "the box's own address");
}

#[test]
fn whoever_builds_their_own_anew_is_told_of_once() {
    use crate::engine::kernel::claims::Claims;
    use crate::time::Instant;

    let claim = Claim {
        family: Family::V4,
        dev: crate::units::IfName::new("wg0"),
        of_an_uplink: false,
        by: By::Default,
        whom: String::new(),
    };
    let mut claims = Claims::default();
    let mut at = Instant::from_micros(1_000_000);
    let mut told = Vec::new();
    for second in 0..60 {
        claims.set(if second % 2 == 0 { [claim.clone()].into() } else { BTreeSet::new() });
        let (new, over) = claims.news(at);
        told.extend(new.iter().map(|_| "new"));
        told.extend(over.iter().map(|_| "over"));
        at = at + std::time::Duration::from_secs(1);
    }
    assert_eq!(told, ["new"]);
    claims.set(BTreeSet::new());
    claims.news(at);
    let over_at = claims.deadline().unwrap();
    assert_eq!(claims.news(over_at), (Vec::new(), vec![claim]));
    assert_eq!(claims.deadline(), None);
}
