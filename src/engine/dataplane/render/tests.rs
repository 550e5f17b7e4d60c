use super::*;
use crate::engine::kernel::rule::Selector;
use crate::units::{Metric, RulePriority};

fn names() -> Names {
    [(IfIndex(2), IfName::new("wan0").unwrap())].into()
}

fn a_route() -> Route {
    Route {
        family: Family::V4,
        table: TableId::ACTIVE,
        metric: Metric(1),
        dst: "0.0.0.0/0".parse().unwrap(),
        via: Some("192.168.1.1".parse().unwrap()),
        dev: IfIndex(2),
        onlink: true,
        mtu: Some(1400),
        prefsrc: None,
    }
}

#[test]
fn routes_and_rules_are_what_ip_takes() {
    let v6 = Route {
        family: Family::V6,
        dst: "2001:db8::/32".parse().unwrap(),
        via: None,
        dev: IfIndex(9),
        onlink: false,
        mtu: None,
        ..a_route()
    };
    let look_up = |family, priority, table| Rule::look_up(family, RulePriority(priority), table);
    let first = Rule { suppress_prefixlength: Some(0), ..look_up(Family::V4, 8300, TableId::MAIN) };
    let selector = Selector::marked(crate::units::UplinkId::new(1).unwrap().mark());
    let marked = Rule { selector, ..look_up(Family::V6, 8301, TableId(8301)) };
    let last = Rule {
        selector: Selector::forwarded(),
        then: RuleAction::Prohibit,
        ..look_up(Family::V4, RulePriority::NOWHERE.0, TableId::MAIN)
    };
    let always = |value: &str| Sysctl { value: value.to_owned(), ..Sysctl::default() };
    let raised =
        Sysctl { value: "2".to_owned(), only_from: Some("1".to_owned()), ..Sysctl::default() };
    let desired = Dataplane {
        routes: [a_route(), v6].into(),
        rules: [first, marked, last].into(),
        sysctls: [
            ("net/ipv4/ip_forward".to_owned(), always("1")),
            ("net/ipv4/conf/wlan0.12/rp_filter".to_owned(), raised),
            ("net/ipv4/ping_group_range".to_owned(), always("0 100")),
        ]
        .into(),
        ..Dataplane::default()
    };
    let golden = "\
# sysctl
sysctl -w net/ipv4/conf/wlan0.12/rp_filter=2  # only if it is 1
sysctl -w net.ipv4.ip_forward=1
sysctl -w \"net.ipv4.ping_group_range=0 100\"

# ip rule
ip -4 rule add pref 8300 lookup main suppress_prefixlength 0 protocol 83
ip -4 rule add pref 32800 not iif lo prohibit protocol 83
ip -6 rule add pref 8301 fwmark 0x01000000/0x0f000000 lookup 8301 protocol 83

# ip route
ip -4 route replace default via 192.168.1.1 dev wan0 table 8300 metric 1 mtu 1400 onlink proto 83
ip -6 route replace 2001:db8::/32 dev if9 table 8300 metric 1 proto 83
";
    assert_eq!(dataplane(&desired, &names()), golden);
}

#[test]
fn a_table_is_what_nft_takes() {
    let mut near = Set::prefixes(&[KeyType::IfName, KeyType::Ipv4]);
    let wan = KeyPart::IfName(IfName::new("wan0").unwrap());
    let net = KeyPart::Net("192.168.10.0/24".parse().unwrap());
    near.elements.insert(vec![wan, net], None);
    let mut to = Set::vmap(KeyType::Mark);
    let key = vec![KeyPart::Mark(0x0100_0000)];
    to.elements.insert(key, Some(Value::Verdict(Verdict::Goto("to_1".to_owned()))));
    let hook = Hook { kind: ChainKind::Nat, point: HookPoint::Postrouting, priority: 110 };
    let mark = Fwmark { value: 0x0100_0000, mask: 0x0f00_0000 };
    let rules = vec![
        vec![Stmt::SetCtMark(mark), Stmt::Counter("in_1".to_owned())],
        vec![Stmt::L4proto(6), Stmt::TcpFlags { mask: 0x17, value: 0x10 }, Stmt::RejectTcpReset],
        vec![Stmt::L4proto(17), Stmt::Sport(68), Stmt::Dport(67)],
        vec![Stmt::L4proto(6), Stmt::Masquerade],
    ];
    let desired = Table {
        name: "sparelink".to_owned(),
        sets: [("near4".to_owned(), near), ("to".to_owned(), to)].into(),
        counters: ["in_1".to_owned()].into(),
        chains: vec![Chain { name: "guard".to_owned(), hook: Some(hook), rules }],
    };
    let golden = "\
add table inet sparelink
delete table inet sparelink
table inet sparelink {
\tcounter in_1 { }
\tset near4 {
\t\ttype ifname . ipv4_addr
\t\tflags interval
\t\telements = { \"wan0\" . 192.168.10.0/24 }
\t}
\tmap to {
\t\ttype mark : verdict
\t\telements = { 0x01000000 : goto to_1 }
\t}
\tchain guard {
\t\ttype nat hook postrouting priority srcnat + 10; policy accept;
\t\tct mark set ct mark & 0xf0ffffff | 0x01000000 counter name in_1
\t\ttcp flags & (fin|syn|rst|ack) == ack reject with tcp reset
\t\tudp sport 68 udp dport 67
\t\tmeta l4proto tcp masquerade
\t}
}";
    assert_eq!(table(&desired), golden);
}

#[test]
fn a_change_is_one_command() {
    let key = |text: &str| vec![KeyPart::IfName(IfName::new(text).unwrap())];
    let elements = Change::Elements {
        set: "uplinks".to_owned(),
        add: vec![(key("usb0"), None)],
        del: vec![key("wan0"), key("wlan0")],
    };
    assert_eq!(
        change(&elements, &names()),
        "nft delete element inet sparelink uplinks { \"wan0\", \"wlan0\" }\n\
         nft add element inet sparelink uplinks { \"usb0\" }"
    );
    assert_eq!(
        change(&Change::DelRoute(a_route()), &names()),
        "ip -4 route del default via 192.168.1.1 dev wan0 table 8300 metric 1 mtu 1400 onlink proto 83"
    );
}
