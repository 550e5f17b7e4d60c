//! Others' say in where packets go.

use super::*;

#[test]
fn rules_before_ours_count_if_they_lead_out() {
    let lead = |facts: &mut Facts| {
        facts.view.links.insert(IfIndex(9), link(9, "wg0"));
        facts.view.routes.push(default_route(9, TableId(200), "10.0.0.1"));
    };
    let with = |rule: ForeignRule| {
        said(move |facts| {
            lead(facts);
            facts.view.rules.push(rule);
        })
    };
    let all = "all IPv4 traffic goes by wg0, as rule 1000 says";
    assert_eq!(with(rule(1000, 200)), [format!("note: {all}")]);
    let some = ForeignRule { narrower: true, ..rule(1000, 200) };
    let conditions = "some IPv4 traffic goes by wg0, as rule 1000 says (under conditions)";
    assert_eq!(with(some), [format!("note: {conditions}")]);
    let ours = said(|facts| {
        facts.view.routes.push(default_route(2, TableId(200), "192.168.10.1"));
        facts.view.rules.push(rule(1000, 200));
    });
    assert_eq!(ours, ["wrong: all IPv4 traffic goes by wan0, as rule 1000 says"]);
    for harmless in [
        rule(32_767, 200),
        ForeignRule { suppress_prefixlength: Some(0), ..rule(100, 254) },
        ForeignRule { table: None, ..rule(101, 0) },
        ForeignRule { family: Family::V6, ..rule(1000, 200) },
    ] {
        assert_eq!(with(harmless), Vec::<String>::new());
    }
}

#[test]
fn rules_that_lead_to_main_are_followed() {
    let with = |rule: ForeignRule| said(move |facts| facts.view.rules.push(rule));
    assert_eq!(with(rule(100, 254)), ["note: an IPv4 rule (100) sends every packet to `main`"]);
    let tailscale = Selector::marked(Fwmark { value: 0x8_0000, mask: 0xff_0000 });
    assert_eq!(
        with(ForeignRule { selector: tailscale, ..rule(5210, 254) }),
        ["note: an IPv4 rule (5210), Tailscale's, sends some packets to `main`"]
    );
}

#[test]
fn a_host_route_by_an_uplink_is_told() {
    let host = ForeignRoute {
        dst: "203.0.113.9/32".parse().unwrap(),
        ..default_route(2, TableId::MAIN, "192.168.10.1")
    };
    let with = |route: ForeignRoute| said(move |facts| facts.view.routes.push(route));
    assert_eq!(with(host), ["note: `main` has a route to 203.0.113.9 by an uplink"]);
    let by_another = ForeignRoute { gateway: "192.168.10.9".parse().ok(), ..host };
    assert_eq!(with(by_another), [""; 0]);
    let private = ForeignRoute { dst: "10.99.0.1/32".parse().unwrap(), ..host };
    assert_eq!(with(private), [""; 0]);
}
