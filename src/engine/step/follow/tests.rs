use proptest::prelude::*;

use super::*;
use crate::engine::Mode;
use crate::engine::kernel::view::KernelView;
use crate::engine::names::resolvers::*;
use crate::units::{IfIndex, IfName};

use crate::config;
use crate::engine::input::Input;
use crate::engine::kernel::view::{Address, Hardware, Link, LinkKind};
use crate::engine::state::Restored;
use crate::time::{Instant, Now};
use crate::units::PerFamily;

const NOW: Now = Now { mono: Instant::from_micros(1_000_000), utc: None };

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A box with cable on eth1 (number 2), mifi on usb0 (3) and a LAN on br-lan (4), both families
/// on each.
fn view() -> KernelView {
    let mut view = KernelView::default();
    for (number, name) in [(2, "eth1"), (3, "usb0"), (4, "br-lan"), (5, "eth1.7")] {
        let index = IfIndex(number);
        let link = Link {
            index,
            name: IfName::new(name).unwrap(),
            up: true,
            carrier: true,
            point_to_point: true,
            loopback: false,
            mtu: 1500,
            mac: None,
            hardware: Hardware::default(),
            master: None,
            parent: None,
            kind: LinkKind::Other,
        };
        view.links.insert(index, link);
        for net in [format!("192.168.{number}.2/24"), format!("2001:db8:{number}::2/64")] {
            let net = net.parse().unwrap();
            view.addresses.push(Address {
                index,
                net,
                peer: None,
                global: true,
                deprecated: false,
            });
        }
    }
    view
}

fn engine(more: &str, mode: Mode) -> Engine {
    let text = format!(
        "[[uplink]]\nname = \"cable\"\ninterface = \"eth1\"\n{more}\n[[uplink]]\nname = \"mifi\"\ninterface = \"usb0\"\n"
    );
    let config = config::parse(&text, "test").unwrap();
    Engine::new(config, mode, Restored::default(), 1, NOW)
}

fn start(engine: &mut Engine, view: KernelView) {
    let (adopted, spares) = (PerFamily::default(), PerFamily::default());
    engine.handle(Input::Started { view, adopted, spares }, NOW);
}

/// What was last told to be written.
fn told(engine: &mut Engine) -> Option<String> {
    let mut last = None;
    while let Some(output) = engine.poll_output() {
        if let Output::Resolvers(now) = output {
            let list: Vec<String> = now.list.iter().map(ToString::to_string).collect();
            last = Some(list.join(" "));
        }
    }
    last
}

fn learned(by_index: &[(u32, &str)], by_name: &[(&str, &str)]) -> Named {
    let ips = |text: &str| text.split_whitespace().map(ip).collect::<Vec<_>>();
    let mut named = Named::default();
    for (index, text) in by_index {
        named.by_index.insert(IfIndex(*index), ips(text));
    }
    for (name, text) in by_name {
        named.by_name.insert((*name).to_owned(), ips(text));
    }
    named
}

#[test]
fn the_uplinks_own_come_first_then_public_ones_three_in_all() {
    let rows = [
        ("", learned(&[], &[]), "1.1.1.1 8.8.8.8 9.9.9.9"),
        ("resolvers = [\"192.0.2.1\"]", learned(&[], &[]), "192.0.2.1 1.1.1.1 8.8.8.8"),
        // One public one at the least; nobody twice.
        (
            "resolvers = [\"192.0.2.1\", \"192.0.2.2\", \"192.0.2.3\"]",
            learned(&[], &[]),
            "192.0.2.1 192.0.2.2 1.1.1.1",
        ),
        ("resolvers = [\"8.8.8.8\"]", learned(&[], &[]), "8.8.8.8 1.1.1.1 9.9.9.9"),
        ("", learned(&[(2, "192.0.2.9 2001:db8::53")], &[]), "192.0.2.9 2001:db8::53 1.1.1.1"),
        // What is configured for a family is not learned for it.
        (
            "resolvers = [\"192.0.2.1\"]",
            learned(&[(2, "192.0.2.9 2001:db8::53")], &[]),
            "192.0.2.1 2001:db8::53 1.1.1.1",
        ),
        // Those of others are theirs.
        (
            "",
            learned(&[(3, "192.0.2.9")], &[("eth1.7", "192.0.2.7"), ("usb0.dhcp", "192.0.2.6")]),
            "1.1.1.1 8.8.8.8 9.9.9.9",
        ),
        (
            "",
            learned(&[], &[("eth1.dhcp", "192.0.2.7"), ("eth1.dhcp.x", "192.0.2.8")]),
            "192.0.2.7 192.0.2.8 1.1.1.1",
        ),
        (
            "",
            learned(&[], &[("cable", "192.0.2.7"), ("cable6", "2001:db8::53")]),
            "192.0.2.7 2001:db8::53 1.1.1.1",
        ),
        // The box itself, its stub, and a filter in the LAN are nobody's resolvers; the modem is.
        (
            "",
            learned(
                &[(2, "127.0.0.53 ::1 192.168.4.2 192.168.4.9 0.0.0.0 224.0.0.251 192.168.2.1")],
                &[],
            ),
            "192.168.2.1 1.1.1.1 8.8.8.8",
        ),
        ("", learned(&[(2, "fe80::1")], &[]), "fe80::1%eth1 1.1.1.1 8.8.8.8"),
    ];
    for (more, named, expected) in rows {
        for named_first in [true, false] {
            let mut engine = engine(more, Mode::Steer);
            if named_first {
                engine.handle(Input::Resolvers(named.clone()), NOW);
                assert_eq!(told(&mut engine), None, "before it has looked at the box");
                start(&mut engine, view());
            } else {
                start(&mut engine, view());
                engine.handle(Input::Resolvers(named.clone()), NOW);
            }
            assert_eq!(told(&mut engine).as_deref(), Some(expected), "{more} {named:?}");
            engine.handle(Input::Resolvers(named.clone()), NOW);
            assert_eq!(told(&mut engine), None, "nothing has changed");
        }
    }
}

#[test]
fn a_modem_that_could_be_either_is_left_out() {
    let mut view = view();
    for address in &mut view.addresses {
        if address.index == IfIndex(3) && address.net.addr().is_ipv4() {
            address.net = "192.168.2.3/24".parse().unwrap();
        }
    }
    let mut engine = engine("resolvers = [\"192.168.2.1\"]", Mode::Steer);
    start(&mut engine, view);
    assert_eq!(told(&mut engine).as_deref(), Some("1.1.1.1 8.8.8.8 9.9.9.9"));
}

#[test]
fn each_family_asks_its_own_uplink_and_a_missing_one_nobody() {
    // The cable has no IPv4: that goes by mifi.
    let mut view = view();
    view.addresses.retain(|a| a.index != IfIndex(2) || a.net.addr().is_ipv6());
    let mut split = engine("resolvers = [\"192.0.2.1\", \"2001:db8::1\"]", Mode::Steer);
    start(&mut split, view.clone());
    split.handle(Input::Resolvers(learned(&[(3, "192.0.2.3 2001:db8::3")], &[])), NOW);
    assert_eq!(told(&mut split).as_deref(), Some("192.0.2.3 2001:db8::1 1.1.1.1"));
    let text = split.names.resolvers.as_ref().unwrap().text();
    assert!(text.contains("# For mifi and cable: "), "{text}");

    view.addresses.retain(|a| a.net.addr().is_ipv6());
    let mut six = engine("", Mode::Steer);
    start(&mut six, view);
    let public = "2606:4700:4700::1111 2001:4860:4860::8888 2620:fe::fe";
    assert_eq!(told(&mut six).as_deref(), Some(public));
}

#[test]
fn an_observer_writes_nothing_but_knows() {
    let mut engine = engine("", Mode::Observe);
    start(&mut engine, view());
    assert_eq!(told(&mut engine), None);
    assert_eq!(engine.snapshot(NOW).resolvers, ["1.1.1.1", "8.8.8.8", "9.9.9.9"]);
}

#[test]
fn a_box_without_any_uplink_keeps_whom_it_had() {
    let mut engine = engine("resolvers = [\"192.0.2.1\"]", Mode::Steer);
    start(&mut engine, view());
    assert!(told(&mut engine).is_some());
    engine.handle(Input::View(KernelView::default()), NOW);
    assert_eq!(told(&mut engine), None);
    assert_eq!(engine.snapshot(NOW).resolvers[0], "192.0.2.1");
}

#[test]
fn the_file_reads_well() {
    let one = |address: &str| Nameserver { address: ip(address), scope: None };
    let resolvers = Resolvers {
        uplinks: vec!["cable".to_owned()],
        own_are_silent: false,
        list: vec![one("192.0.2.1"), one("1.1.1.1")],
    };
    let expected = "\
# Written by sparelink, again whenever another uplink is used.
# For cable: its own resolvers if they are known, then public ones.
nameserver 192.0.2.1
nameserver 1.1.1.1
options timeout:3 attempts:2
";
    assert_eq!(resolvers.text(), expected);
}

fn any_ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(bits.into())),
        any::<u128>().prop_map(|bits| IpAddr::V6(bits.into())),
        prop::sample::select(vec![
            "127.0.0.53",
            "192.168.2.1",
            "192.168.2.2",
            "192.168.4.7",
            "fe80::1",
            "8.8.8.8"
        ])
        .prop_map(ip),
    ]
}

fn any_named() -> impl Strategy<Value = Named> {
    let list = || prop::collection::vec(any_ip(), 0..9);
    let key = "eth1|eth1\\.[a-z]{0,3}|usb0\\.7|cable_?[46]?|[a-z.6-]{0,6}|\\PC{0,5}";
    let by_index = prop::collection::btree_map((0u32..7).prop_map(IfIndex), list(), 0..5);
    let by_name = prop::collection::btree_map(key, list(), 0..6);
    (by_index, by_name).prop_map(|(by_index, by_name)| Named { by_index, by_name })
}

proptest! {
    /// Whatever the system names: at most three, nobody twice, never the box itself, always a public
    /// one, and no more learned than there is room for.
    #[test]
    fn whatever_is_named_the_file_is_sound(all in prop::collection::vec(any_named(), 1..4)) {
        let mut engine = engine("", Mode::Steer);
        start(&mut engine, view());
        for named in all {
            engine.handle(Input::Resolvers(named), NOW);
            let now = engine.names.resolvers.clone().unwrap();
            prop_assert!((1..=MOST).contains(&now.list.len()), "{now:?}");
            let mut seen = now.list.iter().map(ToString::to_string).collect::<Vec<_>>();
            prop_assert!(seen.iter().any(|n| n == "1.1.1.1" || n == "8.8.8.8"), "{seen:?}");
            seen.sort();
            seen.dedup();
            prop_assert_eq!(seen.len(), now.list.len());
            for n in &now.list {
                prop_assert!(!n.address.is_loopback() && !n.address.is_multicast());
                prop_assert!(view().addresses.iter().all(|a| a.net.addr() != n.address), "{n}");
            }
            for u in engine.uplinks.values() {
                prop_assert!(u.resolvers.len() <= 2 * LEARNED);
            }
        }
    }
}
