use std::collections::BTreeMap;

use super::*;
use crate::engine::dataplane::nft::Table;
use crate::engine::dataplane::{Rule, Sysctl};
use crate::units::{IfIndex, IfName, RulePriority};

fn default_by(dev: u32) -> Route {
    Route {
        family: Family::V4,
        table: TableId::ACTIVE,
        metric: Metric(1),
        dst: "0.0.0.0/0".parse().unwrap(),
        via: None,
        dev: IfIndex(dev),
        onlink: false,
        mtu: None,
        prefsrc: None,
    }
}

fn names() -> Names {
    [(2, "eth1"), (3, "usb0")].map(|(n, name)| (IfIndex(n), IfName::new(name).unwrap())).into()
}

#[test]
fn a_change_is_what_goes_and_what_comes() {
    let sysctls = BTreeMap::from([(
        "net/ipv4/ip_forward".to_owned(),
        Sysctl { value: "0".to_owned(), ..Sysctl::default() },
    )]);
    let observed = Dataplane { routes: [default_by(2)].into(), sysctls, ..Dataplane::default() };
    let rule = Rule::look_up(Family::V4, RulePriority::ACTIVE, TableId::ACTIVE);
    let table = Table { name: "sparelink".to_owned(), ..Table::default() };
    let path = "net/ipv4/ip_forward".to_owned();
    let changes = [
        Change::SetSysctl { path, value: "1".to_owned() },
        Change::ReplaceRoute(default_by(3)),
        Change::AddRule(rule.clone()),
        Change::DelRule(rule),
        Change::BuildTable(table),
        Change::BuildTable(Table::default()),
        Change::DelRoute(default_by(3)),
    ];
    let lines: Vec<String> = changes
        .iter()
        .flat_map(|change| lines_of(change, &observed, &names()))
        .map(|line| match line {
            Line::Less(what) => format!("- {what}"),
            Line::More(what) => format!("+ {what}"),
        })
        .collect();
    let expected = [
        "- sysctl net.ipv4.ip_forward=0",
        "+ sysctl net.ipv4.ip_forward=1",
        "- ip -4 route default dev eth1 table 8300 metric 1 proto 83",
        "+ ip -4 route default dev usb0 table 8300 metric 1 proto 83",
        "+ ip -4 rule pref 32765 lookup 8300 protocol 83",
        "- ip -4 rule pref 32765 lookup 8300 protocol 83",
        "+ nft table inet sparelink (0 chains, 0 sets), rebuilt",
        "- nft table inet sparelink",
        "- ip -4 route default dev usb0 table 8300 metric 1 proto 83",
    ];
    assert_eq!(lines, expected);
}
