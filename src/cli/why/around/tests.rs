use serde_json::{Value, json};

use super::*;
use crate::config;
use crate::engine::kernel::rule::Selector;
use crate::engine::kernel::view::{Address, Link};
use crate::units::RulePriority;

const CONFIG: &str = "[[uplink]]\nname = \"cable\"\ninterface = \"eth1\"\nkeep_routes = [\"203.0.113.9\"]\n\
                      [[uplink]]\nname = \"mifi\"\ninterface = \"usb0\"\n[lan]\ninterfaces = [\"br-lan\"]\n";

const OPEN: PerFamily<bool> = PerFamily { v4: true, v6: true };

fn link(index: u32, name: &str) -> (IfIndex, Link) {
    let link = Link::wired(IfIndex(index), name);
    (link.index, link)
}

fn view() -> KernelView {
    let address = Address {
        index: IfIndex(2),
        net: "192.168.77.1/24".parse().unwrap(),
        peer: None,
        global: true,
        deprecated: false,
    };
    let rule = ForeignRule {
        family: Family::V4,
        priority: RulePriority(5210),
        selector: Selector::default(),
        narrower: false,
        table: Some(TableId(52)),
        suppress_prefixlength: None,
    };
    KernelView {
        links: [link(2, "br-lan"), link(3, "eth1"), link(4, "usb0"), link(5, "wg0")].into(),
        addresses: vec![address],
        rules: vec![rule],
        ..KernelView::default()
    }
}

fn status(works: Value) -> Status {
    let document = json!({ "works": works, "active": "mifi", "uplinks": [
        { "name": "cable", "interface": "eth1", "role": "not_ready", "health": "down",
          "condition": "beyond_modem", "reason": "has no Internet behind its modem" },
        { "name": "mifi", "interface": "usb0", "role": "active", "health": "up", "condition": "ok" },
    ] });
    Status::of(&document).unwrap()
}

fn way(table: u32, dst: &str, via: Option<&str>, dev: u32) -> Way {
    let via = via.map(|via| via.parse().unwrap());
    let dst = dst.parse().unwrap();
    Way { table: TableId(table), dst, via, dev: Some(IfIndex(dev)), is_local: table == 255 }
}

#[test]
fn each_way_is_told_by_what_decides() {
    let config = config::parse(CONFIG, "x").unwrap();
    let (view, status) = (view(), status(json!(true)));
    let around = Around { config: &config, view: &view, status: Some(&status), forwards: OPEN };
    let told = |to: &str, way: Option<Way>| {
        let packet = Packet { to: to.parse().unwrap(), from: None };
        around.told(to, Subject::There, &packet, way.as_ref())
    };
    let any = "0.0.0.0/0";
    let cases = [
        (way(8300, any, Some("192.168.8.1"), 4), "goes by mifi, the uplink in use"),
        (way(8301, any, None, 3), "goes by cable, to which it is pinned"),
        (way(254, any, None, 3), "goes by cable, by the default route of the system"),
        (way(254, "192.168.178.0/24", None, 3), "is on the link of cable itself, as its modem is"),
        (way(254, "203.0.113.0/24", Some("192.168.178.1"), 3), "goes by cable whatever uplink"),
        (way(254, "10.8.0.0/24", None, 5), "goes by wg0, which is no uplink (a tunnel"),
        (way(52, any, None, 5), "goes by wg0, which is no uplink, as another program"),
        (way(52, any, None, 3), "goes by cable, as another program wants it"),
        (way(254, "192.168.99.0/24", None, 2), "is in the LAN, reached by br-lan"),
        (way(255, "192.168.77.1/32", None, 2), "is this box itself"),
    ];
    for (way, text) in cases {
        let answer = told("198.51.100.7", Some(way));
        assert!(answer.ok && answer.text.contains(text), "{text}: {}", answer.text);
    }
    let by_choice = told("198.51.100.7", Some(way(8300, any, Some("192.168.8.1"), 4)));
    assert_eq!(by_choice.why, ["cable has no Internet behind its modem"]);
    assert_eq!(by_choice.route.as_deref(), Some("default via 192.168.8.1 dev usb0 table 8300"));
    assert_eq!(told("198.51.100.7", Some(way(52, any, None, 5))).rules, ["5210: lookup 52"]);
    let kept = told("203.0.113.9", Some(way(254, "203.0.113.9/32", Some("192.168.178.1"), 3)));
    assert_eq!(kept.why, ["keep_routes of cable in the configuration names it"]);
    assert!(told("1.1.1.1", Some(way(8300, any, None, 4))).why[0].contains("it is a target"));
    let none = told("198.51.100.7", None);
    assert!(!none.ok && none.text.contains("has no way"), "{}", none.text);
}

#[test]
fn a_device_of_the_lan_is_asked_for_as_the_sender() {
    let config = config::parse(CONFIG, "x").unwrap();
    let view = view();
    let around = Around { config: &config, view: &view, status: None, forwards: OPEN };
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let (subject, packet) = around.packet(ip("192.168.77.23"));
    let from = Some((ip("192.168.77.23"), IfIndex(2)));
    assert_eq!((subject, packet), (Subject::Device, Packet { to: ip("1.1.1.1"), from }));
    let told = around.told("laptop", subject, &packet, Some(&way(8300, "0.0.0.0/0", None, 4)));
    assert_eq!(told.text, "what laptop sends to the Internet goes by mifi, the uplink in use");
    assert_eq!(told.why, ["no agent runs; this is what the last one left"]);
    let none = around.told("laptop", subject, &packet, None);
    assert!(none.text.ends_with("has no way: no route leads there") && none.why.is_empty());
    let shut = Around { forwards: PerFamily::default(), ..around };
    let none = shut.told("laptop", subject, &packet, None);
    assert!(!none.ok && none.text.ends_with("has no way from the LAN"), "{}", none.text);
    assert_eq!(none.why, ["this box does not forward: does the agent run?"]);
    // Everything else is asked for as somebody in the LAN would; the box's own address is no device.
    let (subject, packet) = around.packet(ip("192.168.77.1"));
    let from = Some((ip("192.168.77.3"), IfIndex(2)));
    assert_eq!((subject, packet.from), (Subject::There, from));
    assert_eq!(around.packet(ip("2001:db8::1")).1.from, None, "the LAN has no IPv6");
}

#[test]
fn where_no_uplink_works_the_last_route_is_no_way() {
    let config = config::parse(CONFIG, "x").unwrap();
    let (view, status) = (view(), status(json!(false)));
    let around = Around { config: &config, view: &view, status: Some(&status), forwards: OPEN };
    let packet = Packet { to: "198.51.100.7".parse().unwrap(), from: None };
    let last = way(8300, "0.0.0.0/0", None, 4);
    let told = around.told("198.51.100.7", Subject::There, &packet, Some(&last));
    assert!(!told.ok && told.text.ends_with(", but no uplink works"), "{}", told.text);
}
