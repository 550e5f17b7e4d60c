//! Who else speaks as a router in the LAN.

use std::collections::BTreeSet;

use super::*;
use crate::engine::doctor::{Says, Voice, fine};
use crate::units::IfName;

fn voice(says: Says) -> Voice {
    Voice { lan: IfName::new("br-lan").unwrap(), says }
}

fn offers(server: &str, router: Option<&str>) -> Says {
    let address = |text: &str| text.parse().unwrap();
    Says::Offers {
        server: address(server),
        address: address("192.168.1.23"),
        router: router.map(address),
    }
}

fn advertises(router: &str, seconds: u16, prefixes: &[&str]) -> Says {
    let prefixes = prefixes.iter().map(|net| net.parse().unwrap()).collect();
    Says::Advertises { router: router.parse().unwrap(), seconds, prefixes }
}

fn heard(says: &[Says]) -> impl FnOnce(&mut Facts) {
    move |facts: &mut Facts| {
        let net = "fe80::77/64".parse().unwrap();
        let own = Address { index: IfIndex(4), net, peer: None, global: false, deprecated: false };
        facts.view.addresses.push(own);
        facts.voices = Some(says.iter().cloned().map(voice).collect::<BTreeSet<_>>());
    }
}

#[test]
fn another_dhcp_server_or_router_in_the_lan_is_found() {
    assert_eq!(
        said(heard(&[offers("192.168.1.1", Some("192.168.1.1"))])),
        ["wrong: another DHCP server answers in the LAN on br-lan: 192.168.1.1 \
          (offers 192.168.1.23, router 192.168.1.1)"]
    );
    assert_eq!(
        said(heard(&[offers("192.168.1.1", None)])),
        ["wrong: another DHCP server answers in the LAN on br-lan: 192.168.1.1 \
          (offers 192.168.1.23, no router)"]
    );
    assert_eq!(
        said(heard(&[advertises("fe80::1", 1800, &["2001:db8:1::/64"])])),
        ["wrong: another router advertises itself in the LAN on br-lan: fe80::1 (2001:db8:1::/64)"]
    );
    assert_eq!(said(heard(&[advertises("fe80::1", 1800, &[]), offers("10.0.0.1", None)])).len(), 2);
}

#[test]
fn who_leads_to_this_box_is_no_stranger() {
    let none: [String; 0] = [];
    for says in [
        // Its own, and one that hands out this box as the router.
        offers("192.168.77.1", Some("192.168.77.1")),
        offers("192.168.77.53", Some("192.168.77.1")),
        advertises("fe80::77", 1800, &["2001:db8:1::/64"]),
        // It says of a prefix, and of no way out.
        advertises("fe80::1", 0, &["2001:db8:1::/64"]),
    ] {
        assert_eq!(said(heard(std::slice::from_ref(&says))), none, "{says:?}");
    }
}

#[test]
fn silence_is_told_where_somebody_has_listened() {
    const WORDS: &str = "nobody else in the LAN says that it is the router";
    let told = |change: &dyn Fn(&mut Facts)| {
        let mut facts = sound();
        change(&mut facts);
        fine(&config(CONFIG), &facts).iter().any(|line| line == WORDS)
    };
    assert!(!told(&|_| {}), "nobody has listened");
    assert!(told(&|facts| facts.voices = Some(BTreeSet::new())));
    let stranger = voice(offers("192.168.1.1", None));
    assert!(!told(&|facts| facts.voices = Some(BTreeSet::from([stranger.clone()]))));
}
