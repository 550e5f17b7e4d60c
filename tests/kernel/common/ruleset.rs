//! A table with every statement and every kind of set, in the shape of the real ruleset.

use sparelink::engine::dataplane::nft::{
    AddressType, Chain, ChainKind, CtState, Hook, HookPoint, Key, KeyPart, KeyType, Sense, Set,
    Stmt, Table, Value, ValueType, Verdict, host, tcp,
};
use sparelink::units::{Family, Fwmark, IfName};

const ACCEPT: Stmt = Stmt::Verdict(Verdict::Accept);
const DROP: Stmt = Stmt::Verdict(Verdict::Drop);
const RETURN: Stmt = Stmt::Verdict(Verdict::Return);
const ONE: Fwmark = Fwmark { value: 0x0100_0000, mask: Fwmark::UPLINK_MASK };
const NONE: Fwmark = Fwmark { value: 0, mask: Fwmark::UPLINK_MASK };
const TCP: Stmt = Stmt::L4proto(6);
const UDP: Stmt = Stmt::L4proto(17);
const NEW: Stmt = Stmt::CtState(CtState::New);

pub(crate) fn everything() -> Table {
    let sets = plain_sets().into_iter().chain(prefix_sets()).chain(maps());
    Table {
        name: "sparelink".into(),
        sets: sets.map(|(name, set)| (name.into(), set)).collect(),
        counters: ["in_1", "out_1", "wrong_source"].map(String::from).into(),
        chains: [pinning(), entries(), nat(), guard(), forward()].concat(),
    }
}

pub(crate) fn name(text: &str) -> KeyPart {
    KeyPart::IfName(ifname(text))
}

pub(crate) fn net(text: &str) -> KeyPart {
    KeyPart::Net(text.parse().unwrap())
}

pub(crate) fn base(
    name: &str,
    kind: ChainKind,
    point: HookPoint,
    priority: i32,
    rules: Vec<Vec<Stmt>>,
) -> Chain {
    Chain { name: name.into(), hook: Some(Hook { kind, point, priority }), rules }
}

fn chain(name: &str, rules: Vec<Vec<Stmt>>) -> Chain {
    Chain { name: name.into(), hook: None, rules }
}

fn plain_sets() -> Vec<(&'static str, Set)> {
    use KeyType::{IfName as Name, Ipv4, Mark};
    let one = KeyPart::Net(host("10.0.0.1".parse().unwrap()));
    let timed = Set { timeout: Some(3600), ..Set::new(&[Name]) };
    vec![
        ("uplinks", with(Set::new(&[Name]), &[&[name("wan0")], &[name("usb0")]])),
        ("lan", with(Set::new(&[Name]), &[&[name("lo")], &[name("br-lan")]])),
        ("addr4", with(Set::new(&[Name, Ipv4]), &[&[name("wan0"), one]])),
        ("reset_on", with(timed, &[&[name("usb0")]])),
        ("no_way", with(Set::new(&[KeyType::Family]), &[&[KeyPart::Family(Family::V6)]])),
        ("same", with(Set::new(&[Name, Name]), &[&[name("wan0"), name("wan0")]])),
        ("marks", with(Set::new(&[Mark]), &[&[KeyPart::Mark(0x0100_0002)]])),
    ]
}

fn prefix_sets() -> Vec<(&'static str, Set)> {
    use KeyType::{IfName as Name, Ipv4, Ipv6};
    let near4 = [("wan0", "192.168.10.0/24"), ("usb0", "192.168.11.0/24"), ("usb0", "10.0.0.7/32")];
    let near4 = near4.map(|(dev, prefix)| [name(dev), net(prefix)]);
    let near6 = [("wan0", "2001:db8:1::/64"), ("wan0", "fe80::/10"), ("usb0", "fe80::/10")];
    let near6 = near6.map(|(dev, prefix)| [name(dev), net(prefix)]);
    // From the first address, up to the last one, side by side, and one alone.
    let bogons = ["0.0.0.0/8", "10.0.0.0/24", "10.0.1.0/24", "10.9.9.9/32", "224.0.0.0/3"];
    let bogons = bogons.map(|prefix| [net(prefix)]);
    let bogons6 = ["fc00::/7", "::/128"].map(|prefix| [net(prefix)]);
    vec![
        ("near4", with(Set::prefixes(&[Name, Ipv4]), &near4.each_ref().map(|k| &k[..]))),
        ("near6", with(Set::prefixes(&[Name, Ipv6]), &near6.each_ref().map(|k| &k[..]))),
        ("bogons", with(Set::prefixes(&[Ipv4]), &bogons.each_ref().map(|k| &k[..]))),
        ("bogons6", with(Set::prefixes(&[Ipv6]), &bogons6.each_ref().map(|k| &k[..]))),
        ("empty", Set::prefixes(&[Name, Ipv6])),
    ]
}

fn maps() -> Vec<(&'static str, Set)> {
    let map = |key, entries: &[(KeyPart, Verdict)]| {
        let elements =
            entries.iter().map(|(k, v)| (vec![k.clone()], Some(Value::Verdict(v.clone()))));
        Set { elements: elements.collect(), ..Set::vmap(key) }
    };
    let to = [
        (KeyPart::Mark(0x0100_0000), Verdict::Goto("to_1".into())),
        (KeyPart::Mark(0x0200_0000), Verdict::Drop),
        (KeyPart::Mark(0x0300_0000), Verdict::Accept),
        (KeyPart::Mark(0x0400_0000), Verdict::Return),
    ];
    let mut mss = Set::map(KeyType::IfName, ValueType::Mss);
    for (dev, bytes) in [("wan0", 1460), ("usb0", 536)] {
        mss.elements.insert(vec![name(dev)], Some(Value::Mss(bytes)));
    }
    vec![
        ("mss", mss),
        ("from", map(KeyType::IfName, &[(name("wan0"), Verdict::Goto("from_1".into()))])),
        ("pins", map(KeyType::IfName, &[(name("wan0"), Verdict::Jump("pin_1".into()))])),
        ("to", map(KeyType::Mark, &to)),
    ]
}

fn pinning() -> Vec<Chain> {
    use Stmt::{CtMark, CtReply, SetCtMark, SetMetaMark};
    let near = |family, set: &str| Stmt::SaddrIn { family, set: set.into(), sense: Sense::IsNot };
    let beyond = |family, set: &str| Stmt::DaddrIn { family, set: set.into(), sense: Sense::IsNot };
    let answer = |near| {
        let established = Stmt::CtState(CtState::Established);
        vec![established, CtReply(true), near, counter("in_1")]
    };
    let whole = |value| Fwmark { value, mask: u32::MAX };
    vec![
        chain(
            "from_1",
            vec![
                vec![SetMetaMark(ONE)],
                vec![NEW, CtMark(NONE), SetCtMark(ONE)],
                vec![TCP, flags(tcp::RST, tcp::RST), RETURN],
                answer(near(Family::V4, "bogons")),
                answer(near(Family::V6, "bogons6")),
            ],
        ),
        chain("to_1", vec![vec![SetMetaMark(ONE)], vec![SetMetaMark(whole(7))]]),
        chain(
            "pin_1",
            vec![
                vec![CtMark(NONE), SetCtMark(ONE), CtReply(false), counter("out_1")],
                vec![beyond(Family::V4, "bogons"), counter("out_1")],
                vec![beyond(Family::V6, "bogons6"), counter("out_1")],
                vec![CtMark(whole(5)), SetCtMark(whole(6))],
            ],
        ),
    ]
}

fn entries() -> Vec<Chain> {
    let to = || Stmt::CtMarkVmap { mask: Fwmark::UPLINK_MASK, map: "to".into() };
    let probe = vec![Stmt::MetaMark(Fwmark::ACK_PROBE), Stmt::Notrack];
    vec![
        base("poke", ChainKind::Filter, HookPoint::Output, -300, vec![probe]),
        base(
            "prerouting",
            ChainKind::Filter,
            HookPoint::Prerouting,
            -150,
            vec![vec![Stmt::IifnameVmap("from".into())], vec![to()]],
        ),
        base(
            "output",
            ChainKind::Route,
            HookPoint::Output,
            -150,
            vec![
                vec![Stmt::OifLoopback, ACCEPT],
                vec![Stmt::MetaMarkIn { set: "marks".into(), sense: Sense::Is }, RETURN],
                vec![Stmt::MetaMarkIn { set: "marks".into(), sense: Sense::IsNot }, RETURN],
                vec![Stmt::MetaMarkBits(0x80ff_ffff), RETURN],
                vec![to()],
            ],
        ),
        base(
            "pin",
            ChainKind::Filter,
            HookPoint::Postrouting,
            -150,
            vec![vec![Stmt::OifnameVmap("pins".into())]],
        ),
    ]
}

fn nat() -> Vec<Chain> {
    let to = |address: &str, port| Stmt::Dnat(address.parse().unwrap(), port);
    vec![
        chain(
            "masq",
            vec![
                vec![daddr("255.255.255.255/32"), RETURN],
                vec![daddr("224.0.0.0/4"), RETURN],
                vec![Stmt::RtIpsec, RETURN],
                vec![out_near(Family::V6, "near6"), RETURN],
                vec![saddr("fe80::/10"), RETURN],
                vec![Stmt::Masquerade],
            ],
        ),
        base(
            "nat",
            ChainKind::Nat,
            HookPoint::Postrouting,
            100,
            vec![vec![oif_in("uplinks"), jump("masq")]],
        ),
        base(
            "portal",
            ChainKind::Nat,
            HookPoint::Prerouting,
            -100,
            vec![
                vec![Stmt::Iifname(ifname("wan0")), TCP, Stmt::Dport(80), Stmt::Redirect(8080)],
                vec![TCP, Stmt::Dport(22), to("10.0.0.9", Some(2222))],
                vec![daddr("10.1.1.1/32"), to("10.0.0.9", None)],
                vec![UDP, Stmt::Dport(5), to("2001:db8::9", Some(6))],
            ],
        ),
    ]
}

fn guard() -> Vec<Chain> {
    let dhcp = vec![daddr("255.255.255.255/32"), UDP, Stmt::Sport(68), Stmt::Dport(67), RETURN];
    vec![
        chain(
            "guard_up",
            vec![
                vec![Stmt::FibSaddrOifLocal(true), RETURN],
                vec![out_near(Family::V4, "addr4"), RETURN],
                dhcp,
                vec![saddr("0.0.0.0/32"), daddr("224.0.0.0/4"), RETURN],
                vec![saddr("::/128"), RETURN],
                vec![Stmt::FibSaddrOifLocal(false), counter("wrong_source"), DROP],
            ],
        ),
        base(
            "guard",
            ChainKind::Filter,
            HookPoint::Postrouting,
            110,
            vec![vec![oif_in("uplinks"), jump("guard_up")]],
        ),
    ]
}

fn forward() -> Vec<Chain> {
    let not_lan = || Stmt::IifnameIn { set: "lan".into(), sense: Sense::IsNot };
    let from_uplink = Stmt::IifnameIn { set: "uplinks".into(), sense: Sense::Is };
    let to_other = Stmt::OifnameIn { set: "lan".into(), sense: Sense::IsNot };
    let last = flags(tcp::FIN | tcp::SYN | tcp::RST | tcp::ACK, tcp::FIN | tcp::ACK);
    let invalid = Stmt::CtState(CtState::Invalid);
    let refuse = Stmt::Verdict(Verdict::Goto("refuse".into()));
    vec![
        chain(
            "mss",
            vec![
                vec![Stmt::MssRtMtu],
                vec![Stmt::Iifname(ifname("wan0")), Stmt::Nfproto(Family::V4), Stmt::Mss(1460)],
                vec![Stmt::Oifname(ifname("usb0")), Stmt::Nfproto(Family::V6), Stmt::Mss(1340)],
                vec![Stmt::Nfproto(Family::V4), Stmt::MssOfIifname("mss".into())],
            ],
        ),
        chain(
            "refuse",
            vec![
                vec![TCP, counter("wrong_source"), Stmt::RejectTcpReset],
                vec![counter("wrong_source"), Stmt::RejectAdminProhibited],
            ],
        ),
        base(
            "forward",
            ChainKind::Filter,
            HookPoint::Forward,
            -10,
            vec![
                vec![TCP, flags(tcp::SYN | tcp::RST, tcp::SYN), jump("mss")],
                vec![NEW, Stmt::NfprotoIn("no_way".into()), refuse],
                vec![oif_in("reset_on"), invalid, TCP, last, Stmt::RejectTcpReset],
                vec![Stmt::Oifkind("bridge".into()), Stmt::IifOifIn("same".into()), RETURN],
                vec![in_near(Family::V4, "near4"), RETURN],
                vec![in_near(Family::V6, "near6"), RETURN],
                vec![from_uplink, to_other, Stmt::CtDnat(false), DROP],
                vec![Stmt::CtDnat(true), ACCEPT],
                vec![Stmt::Random { modulus: 100, below: 30 }, DROP],
            ],
        ),
        base(
            "input",
            ChainKind::Filter,
            HookPoint::Input,
            -10,
            vec![
                vec![TCP, Stmt::Dport(8300), not_lan(), DROP],
                vec![Stmt::FibDaddr(AddressType::Anycast), DROP],
                vec![Stmt::CtState(CtState::Untracked), DROP],
            ],
        ),
        base(
            "early",
            ChainKind::Filter,
            HookPoint::Prerouting,
            100,
            vec![
                vec![Stmt::Iifkind("bridge".into()), RETURN],
                vec![Stmt::FibDaddr(AddressType::Unicast), DROP],
            ],
        ),
    ]
}

fn with(mut set: Set, keys: &[&[KeyPart]]) -> Set {
    set.elements = keys.iter().map(|key| (Key::from(*key), None)).collect();
    set
}

fn ifname(text: &str) -> IfName {
    IfName::new(text).unwrap()
}

fn saddr(prefix: &str) -> Stmt {
    Stmt::Saddr(prefix.parse().unwrap())
}

fn daddr(prefix: &str) -> Stmt {
    Stmt::Daddr(prefix.parse().unwrap())
}

fn out_near(family: Family, set: &str) -> Stmt {
    Stmt::OifSaddrIn { family, set: set.into() }
}

fn in_near(family: Family, set: &str) -> Stmt {
    Stmt::IifDaddrIn { family, set: set.into() }
}

fn oif_in(set: &str) -> Stmt {
    Stmt::OifnameIn { set: set.into(), sense: Sense::Is }
}

fn flags(mask: u8, value: u8) -> Stmt {
    Stmt::TcpFlags { mask, value }
}

fn counter(name: &str) -> Stmt {
    Stmt::Counter(name.into())
}

fn jump(chain: &str) -> Stmt {
    Stmt::Verdict(Verdict::Jump(chain.into()))
}
