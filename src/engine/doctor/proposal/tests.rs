//! Boxes as they are met, from `tests/boxes/boxes.txt`.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::*;
use crate::config;
use crate::config::Kind;
use crate::engine::kernel::view::{Address, ForeignRoute, KernelView, Link, LinkKind, RouteKind};
use crate::units::{IfIndex, IfName, Metric, TableId};

/// A box, and what is right for it.
#[derive(Default)]
struct Known {
    title: String,
    seen: Seen,
    uplinks: Vec<String>,
    lan: Vec<String>,
    auto: Vec<String>,
    not: BTreeSet<String>,
}

fn boxes() -> Vec<Known> {
    let text = include_str!("../../../../tests/boxes/boxes.txt");
    let paragraphs = text.split("\n\n").filter(|text| !text.starts_with('#'));
    paragraphs.map(known).collect()
}

fn known(paragraph: &str) -> Known {
    let mut lines = paragraph.trim().lines();
    let mut known = Known { title: lines.next().unwrap().to_owned(), ..Known::default() };
    let mut masters = Vec::new();
    for line in lines {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let all = || rest.split_whitespace().map(str::to_owned);
        match word {
            "=" => known.uplinks.push(rest.to_owned()),
            "lan" => known.lan.extend(all()),
            "auto" => known.auto.extend(all()),
            "not" => known.not.extend(all()),
            name => masters.extend(device(&mut known.seen, name, rest)),
        }
    }
    for (index, master) in masters {
        let links = &mut known.seen.view.links;
        let master = links.values().find(|link| link.name.as_str() == master).map(|l| l.index);
        links.get_mut(&index).unwrap().master = master;
    }
    known
}

/// Takes in the line of a device; the device that it is a part of is for later.
fn device(seen: &mut Seen, name: &str, text: &str) -> Option<(IfIndex, String)> {
    let words = text.split_whitespace().map(|word| word.split_once('=').unwrap_or((word, "")));
    let words: BTreeMap<&str, &str> = words.collect();
    let get = |key: &str| words.get(key).map(|value| value.replace('_', " "));
    let has = |key: &str| words.contains_key(key);
    let index = IfIndex(u32::try_from(seen.view.links.len()).unwrap() + 2);
    let mut link = Link::wired(index, name);
    link.mac = Some([2, 0, 0, 0, 0, u8::try_from(index.0).unwrap()]);
    link.carrier = !has("down");
    link.hardware.driver = words.get("driver").map(|driver| (*driver).to_owned());
    link.hardware.usb_path = get("usb");
    link.hardware.ssid = get("ssid");
    link.point_to_point = has("onlink");
    if get("kind").as_deref() == Some("tunnel") {
        link.kind = LinkKind::Tunnel;
    }
    let maker = get("maker").map(|maker| u16::from_str_radix(&maker, 16).unwrap());
    let usb = maker.map(|vendor| Usb {
        vendor,
        product: get("product").unwrap_or_default(),
        ..Usb::default()
    });
    let mac = get("mac").map(|mac| {
        let bytes = mac.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap());
        bytes.collect::<Vec<u8>>().try_into().unwrap()
    });
    let known = Device { wireless: has("wifi"), usb, metered: has("metered"), gateway_mac: mac };
    seen.devices.insert(link.name.clone(), known);
    if has("forwards") {
        seen.forwards.insert(link.name.clone());
    }
    seen.view.links.insert(index, link);
    for net in ["addr", "addr6"].iter().filter_map(|key| words.get(key)) {
        let net: IpNet = net.parse().unwrap();
        let address = Address { index, net, peer: None, global: true, deprecated: false };
        seen.view.addresses.push(address);
    }
    let metric = words.get("metric").map_or(0, |metric| metric.parse().unwrap());
    for (key, dst) in [("via", "0.0.0.0/0"), ("via6", "::/0"), ("onlink", "0.0.0.0/0")] {
        if let Some(via) = words.get(key) {
            seen.view.routes.push(default_route(index, dst, via, metric));
        }
    }
    get("master").map(|master| (index, master))
}

fn default_route(dev: IfIndex, dst: &str, via: &str, metric: u32) -> ForeignRoute {
    ForeignRoute {
        table: TableId::MAIN,
        dst: dst.parse().unwrap(),
        src: None,
        gateway: via.parse().ok(),
        dev,
        metric: Metric(metric),
        protocol: 16,
        onlink: false,
        mtu: None,
        prefsrc: None,
        kind: RouteKind::Unicast,
    }
}

fn told(proposal: &Proposal) -> Vec<String> {
    let uplinks = proposal.uplinks.iter().map(|uplink| {
        let kind = match uplink.nature.kind() {
            Kind::Wired => "wired",
            Kind::Wifi => "wifi",
            Kind::Cellular => "cellular",
        };
        let metered = if uplink.metered { " metered" } else { "" };
        format!("{} {} {kind}{metered}", uplink.name, uplink.interface)
    });
    uplinks.collect()
}

fn lan_of(proposal: &Proposal) -> Vec<&str> {
    proposal.lan.iter().map(|lan| lan.interface.as_str()).collect()
}

#[test]
fn of_every_known_box_order_kinds_and_lan_are_right() {
    let all = boxes();
    assert!(all.len() >= 20, "{}", all.len());
    for known in &all {
        let proposal = for_people(&known.seen);
        assert_eq!(told(&proposal), known.uplinks, "{}", known.title);
        assert_eq!(lan_of(&proposal), known.lan, "{}", known.title);
        let not = proposal.skipped.iter().map(|one| one.interface.to_string());
        assert_eq!(not.collect::<BTreeSet<_>>(), known.not, "{}", known.title);
    }
}

#[test]
fn without_a_configuration_the_metrics_are_the_order() {
    for known in boxes() {
        let proposal = automatic(&known.seen, &[]);
        let chain: Vec<&str> = proposal.uplinks.iter().map(|u| u.interface.as_str()).collect();
        assert_eq!(chain, known.auto, "{}", known.title);
        assert!(proposal.lan.iter().all(|lan| lan.forwards), "{}", known.title);
    }
}

#[test]
fn what_is_proposed_passes_the_checker() {
    for known in boxes().iter().filter(|known| !known.uplinks.is_empty()) {
        let extras = Extras {
            header: "by a test".to_owned(),
            notify: Some("ntfy://ntfy.sh/our-house".to_owned()),
        };
        for proposal in [for_people(&known.seen), automatic(&known.seen, &[])] {
            let text = text(&proposal, &extras);
            let config = config::parse(&text, "x").unwrap_or_else(|e| panic!("{e}\n{text}"));
            assert_eq!(config.uplinks.len(), proposal.uplinks.len(), "{text}");
            let lans = config.lan.map_or(0, |lan| lan.interfaces.len());
            assert_eq!(lans, proposal.lan.len(), "{text}");
            assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        }
    }
}

#[test]
fn what_has_lost_its_route_keeps_its_place_and_what_is_new_gets_its_own() {
    let known = boxes().remove(0);
    let both = automatic(&known.seen, &[]).uplinks;
    let without = |name: &str| {
        let mut seen = known.seen.clone();
        let name = IfName::new(name).unwrap();
        let index = seen.view.links.values().find(|link| link.name == name).unwrap().index;
        seen.view.apply(&crate::engine::kernel::view::KernelChange::LinkGone(index));
        seen
    };
    // Unplugged: it is down, and not forgotten.
    assert_eq!(automatic(&without("eth1"), &both).uplinks, both);
    // It has an address, and nothing leads out by it any more: it is no uplink now.
    let mut lan = known.seen.clone();
    lan.view.routes.retain(|route| route.dev != IfIndex(3));
    assert_eq!(automatic(&lan, &both).uplinks, both[1..]);
    // Back under another name, it is there once.
    let mut renamed = both.clone();
    renamed[0].interface = IfName::new("eth7").unwrap();
    assert_eq!(automatic(&known.seen, &renamed).uplinks, both);
    // It was never there, and comes: before the phone, as its metric says.
    let phone = automatic(&without("eth1"), &[]).uplinks;
    assert_eq!(phone.len(), 1);
    assert_eq!(automatic(&known.seen, &phone).uplinks, both);
}

#[test]
fn there_is_room_for_fourteen_and_what_is_there_stays() {
    let mut seen = Seen { view: KernelView::default(), ..Seen::default() };
    for n in 1..=16 {
        let line = format!("driver=igb addr=10.0.{n}.2/24 via=10.0.{n}.1 metric={n}");
        device(&mut seen, &format!("eth{n}"), &line);
    }
    let proposal = automatic(&seen, &[]);
    assert_eq!(proposal.uplinks.len(), 14);
    let surplus = |why: &Skipped| why.why == Why::Surplus;
    assert_eq!(proposal.skipped.iter().filter(|one| surplus(one)).count(), 2);
    // Fourteen phones that came and went are no reason to leave out a cable.
    let gone = proposal.uplinks.iter().cloned().map(|uplink| Uplink {
        interface: IfName::new(&format!("gone{}", uplink.metric.0)).unwrap(),
        ..uplink
    });
    let gone: Vec<Uplink> = gone.collect();
    let mut few = Seen::default();
    device(&mut few, "eth0", "driver=igb addr=10.0.0.2/24 via=10.0.0.1 metric=900");
    let proposal = automatic(&few, &gone);
    assert!(proposal.uplinks.iter().any(|uplink| uplink.interface.as_str() == "eth0"));
    assert_eq!(proposal.uplinks.len(), 14);
}

/// Both languages say the same of every box.
#[test]
fn in_openwrts_language_it_is_the_same_configuration() {
    let extras = Extras { header: "Written by a test.".to_owned(), notify: None };
    let mut compared = 0;
    for known in boxes() {
        for proposal in [for_people(&known.seen), automatic(&known.seen, &[])] {
            if proposal.uplinks.is_empty() {
                continue;
            }
            let told = uci(&proposal, &extras, &BTreeMap::new());
            let read = config::parse(&told, "sparelink").unwrap_or_else(|e| panic!("{e}\n{told}"));
            // As the init script of the package has them; all else is the same.
            assert_eq!(read.state_dir.to_str(), Some("/etc/sparelink/state"));
            assert_eq!(read.run_dir.to_str(), Some("/var/run/sparelink"));
            let other = configuration(&proposal).unwrap();
            let (state_dir, run_dir) = (other.state_dir.clone(), other.run_dir.clone());
            assert_eq!(
                config::Config { state_dir, run_dir, ..read },
                other,
                "{}\n{told}",
                known.title
            );
            compared += 1;
        }
    }
    assert!(compared > 20, "{compared}");
}

#[test]
fn openwrts_file_names_networks_and_has_names_that_uci_takes() {
    let known = boxes().into_iter().find(|known| known.uplinks.len() > 1).unwrap();
    let mut proposal = for_people(&known.seen);
    proposal.uplinks[0].name = "my-line".to_owned();
    proposal.uplinks[1].name = "main".to_owned();
    proposal.dropped = vec!["two\nlines".to_owned()];
    proposal.targets.v4 = vec!["192.0.2.1".parse().unwrap()];
    proposal.targets.v6 = vec!["2001:db8::1".parse().unwrap()];
    let networks = BTreeMap::from([(proposal.uplinks[0].interface.clone(), "wan".to_owned())]);
    let notify = Some("ntfy://ntfy.sh/it's".to_owned());
    let text = uci(&proposal, &Extras { header: "By a test.".to_owned(), notify }, &networks);
    let begin = "# By a test.\n# After an edit: sparelink check, then service sparelink reload. The order is the priority.\n# dropped: two lines\n\n\
                 config sparelink 'main'\n\toption enabled '1'\n";
    assert!(text.starts_with(begin), "{text}");
    for line in [
        "config uplink 'my_line' # ",
        "\toption name 'my-line'\n\toption network 'wan'\n",
        "config uplink 'main_' # ",
        "\toption name 'main'\n",
        "\tlist target '192.0.2.1'\n\tlist target '2001:db8::1'\n",
        "\toption to 'ntfy://ntfy.sh/it'\\''s'\n",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let off = unstarted(&text);
    assert_eq!(off, text.replace("enabled '1'", "enabled '0'"));
    assert_ne!(off, text);
}
