//! nftables on the real kernel.
#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use sparelink::engine::dataplane::nft::{Chain, ChainKind, HookPoint, KeyPart, KeyType, Set};
use sparelink::engine::dataplane::nft::{Sense, Stmt, Table, Value as Mapped, Verdict};
use sparelink::engine::dataplane::render;
use sparelink::io::netlink::conntrack::Conntrack;
use sparelink::io::netlink::nfnl::{Attrs, Message, Nfnl, SUBSYS_NFTABLES};
use sparelink::io::netlink::nft::{Count, ElementChange, Nft};

use crate::common::ruleset::{base, everything, name, net};
use crate::common::{self, command, has, in_netns, note, text, without_capabilities};

#[test]
fn a_table_of_everything_is_built_and_recognised() {
    in_netns("a_table_of_everything_is_built_and_recognised", || {
        let desired = everything();
        let mut nft = Nft::open().unwrap();
        assert_eq!(nft.observe(&desired).unwrap(), Table::default());
        nft.build(&desired).unwrap();
        assert_eq!(nft.observe(&desired).unwrap(), desired);
        let before = nft.generation().unwrap();
        nft.build(&desired).unwrap();
        assert_ne!(nft.generation().unwrap(), before);
        assert_eq!(nft.observe(&desired).unwrap(), desired);
        nft.delete(&desired.name).unwrap();
        nft.delete(&desired.name).unwrap();
        assert_eq!(nft.observe(&desired).unwrap(), Table::default());
    });
}

#[test]
fn elements_change_and_are_read_back() {
    in_netns("elements_change_and_are_read_back", || {
        let mut desired = everything();
        let mut nft = Nft::open().unwrap();
        nft.build(&desired).unwrap();
        let near = vec![name("wlan0"), net("192.168.13.0/24")];
        let wide = vec![name("wan0"), net("192.168.0.0/16")];
        let narrow = vec![name("wan0"), net("192.168.10.0/24")];
        let bogon = vec![net("10.0.0.0/24")];
        let up = vec![name("wan0")];
        let two = vec![KeyPart::Mark(0x0200_0000)];
        let to_one = Some(Mapped::Verdict(Verdict::Goto("to_1".into())));
        let changes = [
            // A wider prefix in place of a narrow one; one that is there already.
            ("near4", vec![(near, None), (wide, None)], vec![narrow]),
            ("bogons", vec![(vec![net("172.16.0.0/12")], None)], vec![bogon]),
            ("uplinks", vec![(up, None), (vec![name("wlan0")], None)], vec![vec![name("usb0")]]),
            ("to", vec![(two.clone(), to_one)], vec![two]),
            ("mss", vec![(vec![name("wan0")], Some(Mapped::Mss(1360)))], vec![vec![name("wan0")]]),
            ("reset_on", vec![(vec![name("usb0")], None), (vec![name("wan0")], None)], vec![]),
        ];
        let borrowed: Vec<_> =
            changes.iter().map(|(set, add, del)| ElementChange { set, add, del }).collect();
        nft.change_elements(&desired, &borrowed).unwrap();
        for (set, add, del) in &changes {
            let elements = &mut desired.sets.get_mut(*set).unwrap().elements;
            del.iter().for_each(|key| drop(elements.remove(key)));
            elements.extend(add.iter().cloned());
        }
        assert_eq!(nft.observe(&desired).unwrap(), desired);
    });
}

#[test]
fn removing_what_is_gone_is_no_error() {
    in_netns("removing_what_is_gone_is_no_error", || {
        let mut desired = everything();
        let near = desired.sets.get_mut("near4").unwrap();
        near.elements.clear();
        near.elements.insert(vec![name("wan0"), net("192.168.0.0/16")], None);
        near.elements.insert(vec![name("usb0"), net("192.168.11.0/24")], None);
        let mut nft = Nft::open().unwrap();
        nft.build(&desired).unwrap();
        // The first is not there, but a wider one is, which must stay.
        let near = [
            vec![name("wan0"), net("192.168.10.0/24")],
            vec![name("usb0"), net("192.168.11.0/24")],
        ];
        let up = [vec![name("eth9")], vec![name("usb0")]];
        let marks = [vec![KeyPart::Mark(9)]];
        let all = [("near4", &near[..]), ("uplinks", &up[..]), ("to", &marks[..])];
        let changes = all.map(|(set, del)| ElementChange { set, add: &[], del });
        nft.change_elements(&desired, &changes).unwrap();
        desired.sets.get_mut("near4").unwrap().elements.remove(&near[1]);
        desired.sets.get_mut("uplinks").unwrap().elements.remove(&up[1]);
        assert_eq!(nft.observe(&desired).unwrap(), desired);
    });
}

#[test]
fn adding_again_begins_the_timeout_anew() {
    in_netns("adding_again_begins_the_timeout_anew", || {
        let mut desired = everything();
        let armed = desired.sets.get_mut("reset_on").unwrap();
        armed.timeout = Some(2);
        armed.elements.insert(vec![name("wan0")], None);
        let mut nft = Nft::open().unwrap();
        nft.build(&desired).unwrap();
        sleep(Duration::from_millis(1200));
        let again = [(vec![name("usb0")], None)];
        let rearm = ElementChange { set: "reset_on", add: &again, del: &[] };
        nft.change_elements(&desired, &[rearm]).unwrap();
        sleep(Duration::from_millis(1200));
        let left = nft.observe(&desired).unwrap().sets["reset_on"].elements.clone();
        assert_eq!(left.keys().collect::<Vec<_>>(), [&vec![name("usb0")]], "wan0 is the control");
    });
}

#[test]
fn thousands_of_elements_fit() {
    in_netns("thousands_of_elements_fit", || {
        let mut desired = everything();
        let octets = (0..8).flat_map(|a| (0..=255).map(move |b| (a, b)));
        for (a, b) in octets {
            let single = vec![net(&format!("100.{a}.{b}.0/24"))];
            let pair = vec![name("wan0"), net(&format!("fd00:{a}:{b}::/48"))];
            desired.sets.get_mut("bogons").unwrap().elements.insert(single, None);
            desired.sets.get_mut("empty").unwrap().elements.insert(pair, None);
        }
        let mut nft = Nft::open().unwrap();
        nft.build(&desired).unwrap();
        assert_eq!(nft.observe(&desired).unwrap(), desired);
    });
}

#[test]
fn what_overlaps_is_refused_by_name() {
    in_netns("what_overlaps_is_refused_by_name", || {
        let desired = everything();
        let mut nft = Nft::open().unwrap();
        nft.build(&desired).unwrap();
        let inside = [(vec![name("wan0"), net("192.168.10.128/25")], None)];
        let fine = [(vec![name("eth9")], None)];
        let batch = [
            ElementChange { set: "uplinks", add: &fine, del: &[] },
            ElementChange { set: "near4", add: &inside, del: &[] },
        ];
        let error = nft.change_elements(&desired, &batch).unwrap_err().to_string();
        assert!(error.contains("elements of set near4: EEXIST"), "{error}");
        assert_eq!(nft.observe(&desired).unwrap(), desired, "nothing of the batch has happened");
    });
}

#[test]
fn covered_prefixes_are_dropped_before_the_kernel_sees_them() {
    in_netns("covered_prefixes_are_dropped_before_the_kernel_sees_them", || {
        let mut desired = everything();
        let near = desired.sets.get_mut("near4").unwrap();
        for text in ["192.168.0.1/16", "192.168.10.7/32"] {
            near.elements.insert(vec![name("wan0"), net(text)], None);
        }
        let mut nft = Nft::open().unwrap();
        assert!(nft.build(&desired).is_err(), "positive control");
        let near = desired.sets.get_mut("near4").unwrap();
        near.drop_covered();
        assert!(near.elements.contains_key(&vec![name("wan0"), net("192.168.0.0/16")]));
        assert_eq!(near.elements.len(), 3);
        nft.build(&desired).unwrap();
        assert_eq!(nft.observe(&desired).unwrap(), desired);
    });
}

#[test]
fn what_others_take_away_is_noticed() {
    in_netns("what_others_take_away_is_noticed", || {
        // NFT_MSG_DELCHAIN, DELRULE, DELSET, DELOBJ, NEWTABLE, NEWCHAIN, with attributes of each.
        let chain = |name: &str| Attrs::new().text(1, "sparelink").text(3, name);
        let second = Attrs::new().text(1, "sparelink").text(2, "sparelink");
        let object = Attrs::new().text(1, "sparelink").text(2, "spare").be32(3, 1);
        let dormant = Attrs::new().text(1, "sparelink").be32(2, 1);
        let rules_of = |name: &str| Attrs::new().text(1, "sparelink").text(2, name);
        let meddling = [
            ("the rules of a chain", 8, rules_of("guard_up")),
            ("a chain", 5, chain("unused")),
            ("a set", 11, second),
            ("a counter", 20, object),
            ("the switched-off table", 0, dormant),
            ("a new chain", 3, chain("foreign")),
            ("a changed policy", 3, chain("input").be32(5, 0)),
            ("the table", 2, Attrs::new().text(1, "sparelink")),
        ];
        let mut desired = everything();
        desired.sets.insert("sparelink".into(), Set::new(&[KeyType::Mark]));
        desired.counters.insert("spare".into());
        desired.chains.push(Chain { name: "unused".into(), hook: None, rules: vec![] });
        let mut nft = Nft::open().unwrap();
        for (object, command, attrs) in meddling {
            nft.build(&desired).unwrap();
            assert_eq!(nft.observe(&desired).unwrap(), desired, "positive control");
            let kind = u16::from(SUBSYS_NFTABLES) << 8 | command;
            let message =
                Message { kind, flags: 0, family: 1, version: 0, attrs, object: object.into() };
            Nfnl::open().unwrap().batch(SUBSYS_NFTABLES, &[message]).unwrap();
            assert_eq!(nft.observe(&desired).unwrap(), Table::default(), "{object}");
        }
        nft.build(&desired).unwrap();
        let mut other = desired.clone();
        other.chains[0].rules.pop();
        assert_eq!(nft.observe(&other).unwrap(), Table::default(), "another structure");
    });
}

#[test]
fn a_bad_rule_is_named_and_the_old_table_stays() {
    in_netns("a_bad_rule_is_named_and_the_old_table_stays", || {
        let desired = everything();
        let mut nft = Nft::open().unwrap();
        nft.build(&desired).unwrap();
        let mut bad = desired.clone();
        bad.chains[1].rules.push(vec![Stmt::IifnameIn { set: "nowhere".into(), sense: Sense::Is }]);
        let error = nft.build(&bad).unwrap_err().to_string();
        assert!(error.contains("rule 3 of chain to_1: ENOENT"), "{error}");
        assert_eq!(nft.observe(&desired).unwrap(), desired);
    });
}

#[test]
fn an_expression_that_the_kernel_lacks_is_named() {
    in_netns("an_expression_that_the_kernel_lacks_is_named", || {
        Nft::open().unwrap().build(&everything()).unwrap();
        let expression = Attrs::new().text(1, "quux").nest(2, &Attrs::new());
        let list = Attrs::new().nest(1, &expression);
        let attrs = Attrs::new().text(1, "sparelink").text(2, "to_1").nest(4, &list);
        let kind = u16::from(SUBSYS_NFTABLES) << 8 | 6;
        let rule =
            Message { kind, flags: 0xc00, family: 1, version: 0, attrs, object: "a rule".into() };
        let error = Nfnl::open().unwrap().batch(SUBSYS_NFTABLES, &[rule]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "this kernel has no nftables expression `quux`: it needs CONFIG_NFT_QUUX (module nft_quux)"
        );
    });
}

#[test]
fn a_lack_of_permission_is_one_sentence() {
    without_capabilities("a_lack_of_permission_is_one_sentence", || {
        let sentence = "no permission to use nftables and conntrack: CAP_NET_ADMIN is missing";
        assert_eq!(Nft::open().unwrap_err().to_string(), sentence);
        assert_eq!(Conntrack::open().unwrap_err().to_string(), sentence);
    });
}

#[test]
fn counters_are_read_fast() {
    in_netns("counters_are_read_fast", || {
        common::loopback_up();
        let mut desired = everything();
        let rule = vec![Stmt::OifLoopback, Stmt::L4proto(17), Stmt::Counter("in_1".into())];
        let count = base("count", ChainKind::Filter, HookPoint::Output, 0, vec![rule]);
        desired.chains.insert(0, count);
        let mut nft = Nft::open().unwrap();
        nft.build(&desired).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..3 {
            socket.send_to(b"12345678", "127.0.0.1:9").unwrap();
        }
        let counts = nft.counters("sparelink").unwrap();
        assert_eq!(counts.keys().collect::<Vec<_>>(), ["in_1", "out_1", "wrong_source"]);
        assert_eq!(counts["in_1"], Count { packets: 3, bytes: 3 * 36 });
        assert_eq!(counts["out_1"], Count::default());
        let mut best = Duration::MAX;
        for _ in 0..50 {
            #[expect(clippy::disallowed_methods, reason = "a test measures")]
            let begin = Instant::now();
            nft.counters("sparelink").unwrap();
            best = best.min(begin.elapsed());
        }
        note(&format!("counters: best of 50 {best:?}"));
        assert!(best < Duration::from_micros(100), "{best:?}");
        assert!(nft.counters("nowhere").unwrap_or_default().is_empty());
    });
}

#[test]
fn nft_makes_the_same_of_the_text() {
    in_netns("nft_makes_the_same_of_the_text", || {
        if !has("nft") {
            note("skipped the comparison: nft is not installed");
            return;
        }
        let desired = everything();
        Nft::open().unwrap().build(&desired).unwrap();
        let list = ["-j", "-n", "list", "table", "inet", "sparelink"];
        let ours = command("nft").args(list).output().unwrap();
        let file = std::env::temp_dir().join(format!("sparelink-{}.nft", std::process::id()));
        std::fs::write(&file, render::table(&desired)).unwrap();
        let script = format!("nft -f '{}' && nft {}", file.display(), list.join(" "));
        let theirs = command("unshare").args(["--net", "sh", "-c", &script]).output().unwrap();
        std::fs::remove_file(&file).unwrap();
        assert!(theirs.status.success(), "{}\n{}", text(&theirs), render::table(&desired));
        let (ours, theirs) = (objects(&ours.stdout), objects(&theirs.stdout));
        assert!(ours.len() > 30, "a listing of everything");
        for (name, ours) in &ours {
            assert_eq!(Some(ours), theirs.get(name), "{name}");
        }
        assert_eq!(ours.len(), theirs.len());
    });
}

/// A listing by kind and name, rules by chain in their order, without what differs by nature.
fn objects(json: &[u8]) -> BTreeMap<String, Vec<Value>> {
    let listing: Value = serde_json::from_slice(json).unwrap();
    let mut objects: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for entry in listing["nftables"].as_array().unwrap() {
        for (kind, object) in entry.as_object().unwrap() {
            let mut object = object.clone();
            let fields = object.as_object_mut().unwrap();
            fields.remove("handle");
            let elements = fields.get_mut("elem").and_then(Value::as_array_mut);
            for element in elements.into_iter().flatten() {
                if let Some(inner) = element.get_mut("elem").and_then(Value::as_object_mut) {
                    inner.remove("expires");
                }
            }
            if let Some(elements) = fields.get_mut("elem").and_then(Value::as_array_mut) {
                elements.sort_by_key(Value::to_string);
            }
            let name = fields.get("chain").or_else(|| fields.get("name")).map(Value::to_string);
            objects.entry(format!("{kind} {}", name.unwrap_or_default())).or_default().push(object);
        }
    }
    objects
}
