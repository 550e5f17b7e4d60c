//! nftables on the real kernel.

mod common;

use std::collections::BTreeMap;

use common::{command, in_netns, text};
use sparelink::engine::dataplane::nft::{
    Chain, ChainKind, CtState, Hook, HookPoint, Key, KeyPart, KeyType, Set, Stmt, Table, Verdict,
    host, tcp,
};
use sparelink::io::netlink::nft::Nft;
use sparelink::units::{Family, Fwmark, IfName};

#[test]
fn a_table_of_everything_is_built_and_recognised() {
    in_netns("a_table_of_everything_is_built_and_recognised", || {
        let wish = everything();
        let mut nft = Nft::open().unwrap();
        assert_eq!(nft.observe(&wish).unwrap(), Table::default());
        nft.build(&wish).unwrap();
        println!(
            "{}",
            text(
                &command("nft")
                    .args(["-n", "list", "ruleset"])
                    .output()
                    .unwrap()
            )
        );
        assert_eq!(nft.observe(&wish).unwrap(), wish);
        let before = nft.generation().unwrap();
        nft.build(&wish).unwrap();
        assert_ne!(nft.generation().unwrap(), before);
        assert_eq!(nft.observe(&wish).unwrap(), wish);
        nft.delete(&wish.name).unwrap();
        nft.delete(&wish.name).unwrap();
        assert_eq!(nft.observe(&wish).unwrap(), Table::default());
    });
}

fn name(text: &str) -> KeyPart {
    KeyPart::IfName(ifname(text))
}

fn ifname(text: &str) -> IfName {
    IfName::new(text).unwrap()
}

fn net(text: &str) -> KeyPart {
    KeyPart::Net(text.parse().unwrap())
}

fn mark(value: u32, mask: u32) -> Fwmark {
    Fwmark { value, mask }
}

fn set(mut set: Set, keys: &[Key]) -> Set {
    set.elements = keys.iter().map(|key| (key.clone(), None)).collect();
    set
}

fn vmap(key: KeyType, entries: &[(KeyPart, Verdict)]) -> Set {
    let elements = entries
        .iter()
        .map(|(k, v)| (vec![k.clone()], Some(v.clone())))
        .collect();
    Set {
        elements,
        ..Set::vmap(key)
    }
}

fn base(name: &str, kind: ChainKind, point: HookPoint, priority: i32, rules: &[&[Stmt]]) -> Chain {
    let rules = rules.iter().map(|r| r.to_vec()).collect();
    Chain {
        name: name.into(),
        hook: Some(Hook {
            kind,
            point,
            priority,
        }),
        rules,
    }
}

fn chain(name: &str, rules: &[&[Stmt]]) -> Chain {
    Chain {
        name: name.into(),
        hook: None,
        rules: rules.iter().map(|r| r.to_vec()).collect(),
    }
}

fn jump(chain: &str) -> Stmt {
    Stmt::Verdict(Verdict::Jump(chain.into()))
}

/// Every statement and every kind of set, in the shape of the real ruleset.
fn everything() -> Table {
    use KeyType::{IfName as Name, Ipv4, Ipv6, Mark};
    let sets = BTreeMap::from([
        (
            "uplinks",
            set(Set::new(&[Name]), &[vec![name("wan0")], vec![name("usb0")]]),
        ),
        (
            "lan",
            set(Set::new(&[Name]), &[vec![name("lo")], vec![name("br-lan")]]),
        ),
        (
            "near4",
            set(
                Set::prefixes(&[Name, Ipv4]),
                &[
                    vec![name("wan0"), net("192.168.10.0/24")],
                    vec![name("usb0"), net("192.168.11.0/24")],
                    vec![name("usb0"), net("192.168.12.7/32")],
                ],
            ),
        ),
        (
            "near6",
            set(
                Set::prefixes(&[Name, Ipv6]),
                &[
                    vec![name("wan0"), net("2001:db8:1::/64")],
                    vec![name("wan0"), net("fe80::/10")],
                ],
            ),
        ),
        (
            "addr4",
            set(
                Set::new(&[Name, Ipv4]),
                &[vec![
                    name("wan0"),
                    KeyPart::Net(host("10.0.0.1".parse().unwrap())),
                ]],
            ),
        ),
        (
            "reset_on",
            set(
                Set {
                    timeout: Some(3600),
                    ..Set::new(&[Name])
                },
                &[vec![name("usb0")]],
            ),
        ),
        (
            "no_way",
            set(
                Set::new(&[KeyType::Family]),
                &[vec![KeyPart::Family(Family::V6)]],
            ),
        ),
        (
            "bogons",
            set(
                Set::prefixes(&[Ipv4]),
                &[
                    vec![net("0.0.0.0/8")],
                    vec![net("10.0.0.0/24")],
                    vec![net("10.0.1.0/24")],
                    vec![net("10.9.9.9/32")],
                    vec![net("224.0.0.0/3")],
                ],
            ),
        ),
        (
            "bogons6",
            set(
                Set::prefixes(&[Ipv6]),
                &[vec![net("fc00::/7")], vec![net("::/128")]],
            ),
        ),
        (
            "marks",
            set(Set::new(&[Mark]), &[vec![KeyPart::Mark(0x0100_0002)]]),
        ),
        ("empty", Set::prefixes(&[Name, Ipv6])),
        (
            "from",
            vmap(Name, &[(name("wan0"), Verdict::Goto("from_1".into()))]),
        ),
        (
            "pins",
            vmap(Name, &[(name("wan0"), Verdict::Jump("pin_1".into()))]),
        ),
        (
            "to",
            vmap(
                Mark,
                &[
                    (KeyPart::Mark(0x0100_0000), Verdict::Goto("to_1".into())),
                    (KeyPart::Mark(0x0200_0000), Verdict::Drop),
                    (KeyPart::Mark(0x0300_0000), Verdict::Accept),
                    (KeyPart::Mark(0x0400_0000), Verdict::Return),
                ],
            ),
        ),
    ]);
    Table {
        name: "sparelink".into(),
        sets: sets
            .into_iter()
            .map(|(name, set)| (name.into(), set))
            .collect(),
        counters: ["in_1", "out_1", "wrong_source"].map(String::from).into(),
        chains: everything_chains(),
    }
}

fn everything_chains() -> Vec<Chain> {
    use Stmt::{Counter, CtMark, CtReply, L4proto, Nfproto, SetCtMark, SetMetaMark};
    let one = mark(0x0100_0000, 0x0f00_0000);
    let none = mark(0, 0x0f00_0000);
    let uplinks = Stmt::OifnameIn {
        set: "uplinks".into(),
        not: false,
    };
    let near = |family, set: &str| Stmt::IifSaddrIn {
        family,
        set: set.into(),
        not: true,
    };
    let out_near = |family, set: &str| Stmt::OifSaddrIn {
        family,
        set: set.into(),
    };
    let established = Stmt::CtState(CtState::Established);
    let flags = |mask, value| Stmt::TcpFlags { mask, value };
    let drop = Stmt::Verdict(Verdict::Drop);
    let back = Stmt::Verdict(Verdict::Return);
    vec![
        base(
            "poke",
            ChainKind::Filter,
            HookPoint::Output,
            -300,
            &[&[
                Stmt::MetaMark(mark(0x7f00_0000, 0x7f00_0000)),
                Stmt::Notrack,
            ]],
        ),
        chain(
            "from_1",
            &[
                &[SetMetaMark(one)],
                &[Stmt::CtState(CtState::New), CtMark(none), SetCtMark(one)],
                &[L4proto(6), flags(tcp::RST, tcp::RST), back.clone()],
                &[
                    established.clone(),
                    CtReply(true),
                    near(Family::V4, "near4"),
                    Counter("in_1".into()),
                ],
                &[
                    established,
                    CtReply(true),
                    near(Family::V6, "near6"),
                    Counter("in_1".into()),
                ],
            ],
        ),
        chain(
            "to_1",
            &[&[SetMetaMark(one)], &[SetMetaMark(mark(7, u32::MAX))]],
        ),
        chain(
            "pin_1",
            &[
                &[
                    CtMark(none),
                    SetCtMark(one),
                    CtReply(false),
                    Counter("out_1".into()),
                ],
                &[CtMark(mark(5, u32::MAX)), SetCtMark(mark(6, u32::MAX))],
            ],
        ),
        base(
            "prerouting",
            ChainKind::Filter,
            HookPoint::Prerouting,
            -150,
            &[
                &[Stmt::IifnameVmap("from".into())],
                &[Stmt::CtMarkVmap {
                    mask: 0x0f00_0000,
                    map: "to".into(),
                }],
            ],
        ),
        base(
            "output",
            ChainKind::Route,
            HookPoint::Output,
            -150,
            &[
                &[Stmt::OifLoopback, Stmt::Verdict(Verdict::Accept)],
                &[Stmt::CtMarkVmap {
                    mask: 0x0f00_0000,
                    map: "to".into(),
                }],
            ],
        ),
        base(
            "pin",
            ChainKind::Filter,
            HookPoint::Postrouting,
            -150,
            &[&[Stmt::OifnameVmap("pins".into())]],
        ),
        chain(
            "masq",
            &[
                &[
                    Stmt::Daddr("255.255.255.255/32".parse().unwrap()),
                    back.clone(),
                ],
                &[Stmt::Daddr("224.0.0.0/4".parse().unwrap()), back.clone()],
                &[out_near(Family::V6, "near6"), back.clone()],
                &[Stmt::Saddr("fe80::/10".parse().unwrap()), back.clone()],
                &[Stmt::Masquerade],
            ],
        ),
        base(
            "nat",
            ChainKind::Nat,
            HookPoint::Postrouting,
            100,
            &[&[uplinks.clone(), jump("masq")]],
        ),
        base(
            "portal",
            ChainKind::Nat,
            HookPoint::Prerouting,
            -100,
            &[
                &[
                    Stmt::Iifname(ifname("wan0")),
                    L4proto(6),
                    Stmt::Dport(80),
                    Stmt::Redirect(8080),
                ],
                &[
                    L4proto(6),
                    Stmt::Dport(22),
                    Stmt::Dnat("10.0.0.9".parse().unwrap(), Some(2222)),
                ],
                &[
                    Stmt::Daddr("10.1.1.1/32".parse().unwrap()),
                    Stmt::Dnat("10.0.0.9".parse().unwrap(), None),
                ],
                &[
                    L4proto(17),
                    Stmt::Dport(5),
                    Stmt::Dnat("2001:db8::9".parse().unwrap(), Some(6)),
                ],
            ],
        ),
        chain(
            "guard_up",
            &[
                &[Stmt::FibSaddrOifLocal(true), back.clone()],
                &[out_near(Family::V4, "addr4"), back.clone()],
                &[
                    Stmt::Daddr("255.255.255.255/32".parse().unwrap()),
                    L4proto(17),
                    Stmt::Sport(68),
                    Stmt::Dport(67),
                    back.clone(),
                ],
                &[
                    Stmt::Saddr("0.0.0.0/32".parse().unwrap()),
                    Stmt::Daddr("224.0.0.0/4".parse().unwrap()),
                    back.clone(),
                ],
                &[Stmt::Saddr("::/128".parse().unwrap()), back.clone()],
                &[
                    Stmt::FibSaddrOifLocal(false),
                    Counter("wrong_source".into()),
                    drop.clone(),
                ],
            ],
        ),
        base(
            "guard",
            ChainKind::Filter,
            HookPoint::Postrouting,
            110,
            &[&[uplinks.clone(), jump("guard_up")]],
        ),
        chain(
            "mss",
            &[
                &[Stmt::MssRtMtu],
                &[
                    Stmt::Iifname(ifname("wan0")),
                    Nfproto(Family::V4),
                    Stmt::Mss(1460),
                ],
                &[
                    Stmt::Oifname(ifname("usb0")),
                    Nfproto(Family::V6),
                    Stmt::Mss(1340),
                ],
            ],
        ),
        chain(
            "refuse",
            &[
                &[
                    L4proto(6),
                    Counter("wrong_source".into()),
                    Stmt::RejectTcpReset,
                ],
                &[Counter("wrong_source".into()), Stmt::RejectAdminProhibited],
            ],
        ),
        base(
            "forward",
            ChainKind::Filter,
            HookPoint::Forward,
            -10,
            &[
                &[
                    L4proto(6),
                    flags(tcp::SYN | tcp::RST, tcp::SYN),
                    jump("mss"),
                ],
                &[
                    Stmt::CtState(CtState::New),
                    Stmt::NfprotoIn("no_way".into()),
                    Stmt::Verdict(Verdict::Goto("refuse".into())),
                ],
                &[
                    Stmt::OifnameIn {
                        set: "reset_on".into(),
                        not: false,
                    },
                    Stmt::CtState(CtState::Invalid),
                    L4proto(6),
                    flags(
                        tcp::FIN | tcp::SYN | tcp::RST | tcp::ACK,
                        tcp::FIN | tcp::ACK,
                    ),
                    Stmt::RejectTcpReset,
                ],
                &[
                    Stmt::IifnameIn {
                        set: "uplinks".into(),
                        not: false,
                    },
                    Stmt::OifnameIn {
                        set: "lan".into(),
                        not: true,
                    },
                    Stmt::CtDnat(false),
                    drop.clone(),
                ],
                &[Stmt::CtDnat(true), Stmt::Verdict(Verdict::Accept)],
                &[
                    Stmt::Random {
                        modulus: 100,
                        below: 30,
                    },
                    drop.clone(),
                ],
            ],
        ),
        base(
            "input",
            ChainKind::Filter,
            HookPoint::Input,
            -10,
            &[&[
                L4proto(6),
                Stmt::Dport(8300),
                Stmt::IifnameIn {
                    set: "lan".into(),
                    not: true,
                },
                drop,
            ]],
        ),
    ]
}
