//! What is changed in the kernel, case by case, as `ip` and `nft` text: a person reads the file and
//! says whether it is right. `UPDATE_GOLDEN=1` writes the files again.

#![expect(clippy::unwrap_used, reason = "what a test puts together by hand is there")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sparelink::engine::dataplane::plan::plan;
use sparelink::engine::dataplane::wanted::{Answers, Lan, Uplink, Wanted};
use sparelink::engine::dataplane::{Dataplane, diff, render};
use sparelink::engine::kernel::egress::Egress;
use sparelink::units::{IfIndex, IfName, PerFamily, UplinkId};

/// A home with a cable and a MiFi, both proven, the cable in use.
fn home() -> Wanted {
    let uplink = |n: u8, dev: &str| {
        let (index, name) = (IfIndex(u32::from(n) + 1), IfName::new(dev).unwrap());
        let address = format!("192.168.{n}.2");
        let egress = Egress {
            index,
            dev: name.clone(),
            source: address.parse().unwrap(),
            gateway: Some(format!("192.168.{n}.1").parse().unwrap()),
            onlink: false,
            mtu: None,
            prefsrc: None,
        };
        Uplink {
            id: id(n),
            dev: Some((index, name)),
            egress: PerFamily { v4: Some(egress), v6: None },
            near: vec![format!("192.168.{n}.0/24").parse().unwrap()],
            routed: Vec::new(),
            own6: Vec::new(),
            others6: Vec::new(),
            mtu: 1500,
            addresses: vec![address.parse().unwrap()],
            answers: Answers::Own,
            parent: None,
        }
    };
    Wanted {
        uplinks: vec![uplink(1, "eth1"), uplink(2, "usb0")],
        order: PerFamily { v4: vec![id(1), id(2)], v6: Vec::new() },
        lan: Some(Lan {
            nets: vec!["10.77.0.0/24".parse().unwrap()],
            guard: true,
            disputed: BTreeMap::new(),
        }),
        ..Wanted::default()
    }
}

fn id(n: u8) -> UplinkId {
    UplinkId::new(n).unwrap()
}

#[test]
fn from_nothing() {
    golden("from_nothing", &Dataplane::default(), &plan(&home()));
}

#[test]
fn nothing_to_do() {
    let right = plan(&home());
    assert_eq!(diff::diff(&right, &right), []);
}

#[test]
fn failover() {
    let mut after = home();
    after.order.v4 = vec![id(2)];
    after.reset_on = BTreeSet::from([id(2)]);
    golden("failover", &plan(&home()), &plan(&after));
}

#[test]
fn nobody_left() {
    let mut after = home();
    after.order.v4 = vec![id(1)];
    after.refused.v4 = true;
    golden("nobody_left", &plan(&home()), &plan(&after));
}

#[test]
fn a_stick_comes_back_under_another_name() {
    let mut after = home();
    let usb1 = IfName::new("usb1").unwrap();
    if let Some(uplink) = after.uplinks.get_mut(1) {
        uplink.dev = Some((IfIndex(9), usb1.clone()));
        let egress = uplink.egress.v4.as_mut().unwrap();
        (egress.index, egress.dev) = (IfIndex(9), usb1);
    }
    golden("a_stick_comes_back_under_another_name", &plan(&home()), &plan(&after));
}

#[test]
fn somebody_deleted_our_rules_and_our_table() {
    let right = plan(&home());
    let mut observed = right.clone();
    observed.rules.clear();
    observed.nft = Default::default();
    golden("somebody_deleted_our_rules_and_our_table", &observed, &right);
}

#[test]
fn the_address_changes() {
    let mut after = home();
    if let Some(uplink) = after.uplinks.first_mut() {
        let egress = uplink.egress.v4.as_mut().unwrap();
        egress.source = "10.0.0.7".parse().unwrap();
        egress.gateway = Some("10.0.0.1".parse().unwrap());
        uplink.near = vec!["10.0.0.0/24".parse().unwrap()];
        uplink.addresses = vec!["10.0.0.7".parse().unwrap()];
    }
    golden("the_address_changes", &plan(&home()), &plan(&after));
}

#[test]
fn an_uplink_has_the_lans_subnet() {
    let mut after = home();
    let lan = after.lan.as_mut().unwrap();
    lan.disputed = BTreeMap::from([("192.168.2.0/24".parse().unwrap(), IfIndex(9))]);
    after.order.v4 = vec![id(1)];
    golden("an_uplink_has_the_lans_subnet", &plan(&home()), &plan(&after));
}

#[test]
fn the_provider_delegates_a_prefix() {
    let mut before = home();
    let mut after = home();
    for wanted in [&mut before, &mut after] {
        wanted.uplinks[0].own6 =
            vec!["2001:db8:1::/64".parse().unwrap(), "2000::/3".parse().unwrap()];
        wanted.uplinks[0].others6 = vec!["2001:db8:b0::/48".parse().unwrap()];
        wanted.uplinks[1].own6 = vec!["2001:db8:b0::/48".parse().unwrap()];
    }
    after.uplinks[0].own6[1] = "2001:db8:a0::/48".parse().unwrap();
    after.uplinks[0].others6.clear();
    golden("the_provider_delegates_a_prefix", &plan(&before), &plan(&after));
}

#[test]
fn an_uplink_takes_smaller_packets() {
    let mut after = home();
    after.uplinks[1].mtu = 1400;
    after.uplinks[0].egress.v4.as_mut().unwrap().mtu = Some(1492);
    golden("an_uplink_takes_smaller_packets", &plan(&home()), &plan(&after));
}

/// Compares the changes with the file, and makes sure that they lead to the desired state.
fn golden(case: &str, observed: &Dataplane, desired: &Dataplane) {
    let names = [(2, "eth1"), (3, "usb0"), (9, "usb1")];
    let names: BTreeMap<_, _> =
        names.map(|(n, name)| (IfIndex(n), IfName::new(name).unwrap())).into();
    let changes = diff::diff(desired, observed);
    let mut text = String::new();
    for change in &changes {
        text.push_str(render::change(change, &names).trim_end());
        text.push('\n');
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/converge/{case}"));
    #[expect(clippy::disallowed_methods, reason = "a person asks for new files")]
    if std::env::var("UPDATE_GOLDEN").is_ok() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &text).unwrap();
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(text, expected, "{case}: UPDATE_GOLDEN=1 writes it again");
    let mut kernel = observed.clone();
    diff::apply(&changes, &mut kernel);
    kernel.sysctls.clone_from(&desired.sysctls);
    assert_eq!(&kernel, desired, "{case}: the changes lead to the desired state");
}
