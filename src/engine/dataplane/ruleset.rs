//! Our nftables table. Chains are per uplink and reached through verdict maps, so that the work per
//! packet does not grow with the number of uplinks and a renamed interface is one changed element.

use ipnet::IpNet;

use super::nft::{
    Chain, ChainKind, CtState, Hook, HookPoint, Key, KeyPart, KeyType, Set, Stmt, Table, Verdict,
    host, tcp,
};
use super::plan::{Uplink, Wanted};
use crate::units::{Family, Fwmark, IfName, NFT_TABLE, UplinkId};

/// Netfilter priorities (linux/netfilter_ipv4.h).
mod priority {
    pub(super) const RAW: i32 = -300;
    pub(super) const MANGLE: i32 = -150;
    pub(super) const FILTER: i32 = 0;
    pub(super) const SRCNAT: i32 = 100;
}

/// A stale connection is answered with a reset for so long after a switch, in seconds. The kernel
/// disarms by itself if the agent is gone by then.
const RESET_FOR: u32 = 3600;
/// IP protocol numbers.
const TCP: u8 = 6;
const UDP: u8 = 17;

/// The name of an uplink's counter of proof: answers from beyond it.
#[must_use]
pub fn inward(id: UplinkId, family: Family) -> String {
    format!("in{}_{id}", digit(family))
}

/// The name of an uplink's counter of questions: packets of our flows on their way out.
#[must_use]
pub fn outward(id: UplinkId, family: Family) -> String {
    format!("out{}_{id}", digit(family))
}

const fn digit(family: Family) -> u8 {
    match family {
        Family::V4 => 4,
        Family::V6 => 6,
    }
}

/// The table that is wanted.
pub(super) fn ruleset(wanted: &Wanted) -> Table {
    let mut table = Table { name: NFT_TABLE.to_owned(), ..Table::default() };
    for name in ["wrong_source", "reset_sent", "refused", "guarded"] {
        table.counters.insert(name.to_owned());
    }
    for uplink in &wanted.uplinks {
        for family in Family::BOTH {
            table.counters.insert(inward(uplink.id, family));
            table.counters.insert(outward(uplink.id, family));
        }
        table.chains.extend(per_uplink(uplink.id));
    }
    table.chains.extend(shared_chains());
    table.chains.extend(base_chains(wanted));
    sets(wanted, &mut table);
    table
}

/// What moves at run time.
fn sets(wanted: &Wanted, table: &mut Table) {
    use KeyType::{IfName, Ipv4, Ipv6};
    let mut uplinks = Set::new(&[IfName]);
    let mut lan = Set::new(&[IfName]);
    let mut reset_on = Set { timeout: Some(RESET_FOR), ..Set::new(&[IfName]) };
    let mut no_way = Set::new(&[KeyType::Family]);
    let (mut from, mut pin) = (Set::vmap(IfName), Set::vmap(IfName));
    let mut to = Set::vmap(KeyType::Mark);
    let mut near = [Set::prefixes(&[IfName, Ipv4]), Set::prefixes(&[IfName, Ipv6])];
    let mut own = [Set::prefixes(&[IfName, Ipv4]), Set::prefixes(&[IfName, Ipv6])];
    let mut shared = Set::new(&[IfName, Ipv4]);

    for uplink in &wanted.uplinks {
        let id = uplink.id;
        let mark = vec![KeyPart::Mark(id.mark().value)];
        to.elements.insert(mark, Some(Verdict::Goto(format!("to_{id}"))));
        let Some((_, dev)) = &uplink.dev else {
            continue;
        };
        uplinks.elements.insert(name(dev), None);
        from.elements.insert(name(dev), Some(Verdict::Goto(format!("from_{id}"))));
        pin.elements.insert(name(dev), Some(Verdict::Jump(format!("pin_{id}"))));
        if wanted.reset_on.contains(&id) {
            reset_on.elements.insert(name(dev), None);
        }
        let link_local = net("fe80::/10");
        for net in IpNet::aggregate(&[uplink.near.as_slice(), &[link_local]].concat()) {
            near[usize::from(net.addr().is_ipv6())].elements.insert(at(dev, net), None);
        }
        let own6: Vec<IpNet> = own_prefixes(uplink);
        own[1].elements.extend(IpNet::aggregate(&own6).into_iter().map(|net| (at(dev, net), None)));
        for addr in uplink.addresses.iter().filter(|a| a.is_ipv4() && is_shared(wanted, uplink, a))
        {
            shared.elements.insert(at(dev, host(*addr)), None);
        }
    }
    for dev in wanted.lan.iter().flat_map(|lan| &lan.interfaces) {
        lan.elements.insert(name(dev), None);
    }
    for (family, without) in wanted.no_way.iter() {
        if *without {
            no_way.elements.insert(vec![KeyPart::Family(family)], None);
        }
    }
    let ([near4, near6], [own4, own6]) = (near, own);
    let named = [
        ("uplinks", uplinks),
        ("lan", lan),
        ("reset_on", reset_on),
        ("no_way", no_way),
        ("from", from),
        ("to", to),
        ("pin", pin),
        ("near4", near4),
        ("near6", near6),
        ("own4", own4),
        ("own6", own6),
        ("addr4", shared),
    ];
    table.sets.extend(named.map(|(name, set)| (name.to_owned(), set)));
}

/// Prefixes whose sources need no masquerade on this uplink: its own.
fn own_prefixes(uplink: &Uplink) -> Vec<IpNet> {
    let on_link = uplink.near.iter().filter(|net| match net {
        IpNet::V4(_) => false,
        IpNet::V6(net) => !net.addr().is_unicast_link_local(),
    });
    on_link.copied().chain(uplink.own6.iter().copied().map(IpNet::V6)).collect()
}

/// Whether another uplink has this very address: then the kernel can't tell whose it is.
fn is_shared(wanted: &Wanted, uplink: &Uplink, addr: &std::net::IpAddr) -> bool {
    wanted.uplinks.iter().any(|other| other.id != uplink.id && other.addresses.contains(addr))
}

fn name(dev: &IfName) -> Key {
    vec![KeyPart::IfName(dev.clone())]
}

fn at(dev: &IfName, net: IpNet) -> Key {
    vec![KeyPart::IfName(dev.clone()), KeyPart::Net(net)]
}

/// A prefix that is written in this file.
fn net(text: &str) -> IpNet {
    text.parse().expect("a literal prefix")
}

fn chain(name: &str, rules: Vec<Vec<Stmt>>) -> Chain {
    Chain { name: name.to_owned(), hook: None, rules }
}

fn base(
    name: &str,
    kind: ChainKind,
    point: HookPoint,
    priority: i32,
    rules: Vec<Vec<Stmt>>,
) -> Chain {
    Chain { name: name.to_owned(), hook: Some(Hook { kind, point, priority }), rules }
}

fn jump(chain: &str) -> Stmt {
    Stmt::Verdict(Verdict::Jump(chain.to_owned()))
}

fn goto(chain: &str) -> Stmt {
    Stmt::Verdict(Verdict::Goto(chain.to_owned()))
}

fn leave() -> Stmt {
    Stmt::Verdict(Verdict::Return)
}

fn flags(mask: u8, value: u8) -> Stmt {
    Stmt::TcpFlags { mask, value }
}

/// The mark of a flow that has no uplink yet.
const UNPINNED: Fwmark = Fwmark { value: 0, mask: Fwmark::UPLINK_MASK };

fn per_uplink(id: UplinkId) -> [Chain; 3] {
    let mark = id.mark();
    let near = |family| format!("near{}", digit(family));
    let proof = |family| {
        vec![
            Stmt::CtState(CtState::Established),
            Stmt::CtReply(true),
            Stmt::IifSaddrIn { family, set: near(family), not: true },
            Stmt::Counter(inward(id, family)),
        ]
    };
    let question = |family| {
        vec![
            Stmt::CtReply(false),
            Stmt::OifDaddrIn { family, set: near(family), not: true },
            Stmt::Counter(outward(id, family)),
        ]
    };
    let from = vec![
        // The reverse-path check looks into this uplink's own table (src_valid_mark), which works
        // even while the active table is empty.
        vec![Stmt::SetMetaMark(mark)],
        // A flow from outside is answered by the way it came.
        vec![Stmt::CtState(CtState::New), Stmt::CtMark(UNPINNED), Stmt::SetCtMark(mark)],
        // A modem can forge a reset: no proof of life.
        vec![Stmt::L4proto(TCP), flags(tcp::RST, tcp::RST), leave()],
        // Answers count; ICMP errors (related) and what the modem's own subnet sends do not.
        proof(Family::V4),
        proof(Family::V6),
    ];
    let to = vec![vec![Stmt::SetMetaMark(mark)]];
    let pin = vec![
        vec![Stmt::CtMark(UNPINNED), Stmt::SetCtMark(mark)],
        question(Family::V4),
        question(Family::V6),
    ];
    [
        chain(&format!("from_{id}"), from),
        chain(&format!("to_{id}"), to),
        chain(&format!("pin_{id}"), pin),
    ]
}

fn shared_chains() -> Vec<Chain> {
    let counter = |name: &str| Stmt::Counter(name.to_owned());
    let own = |family| Stmt::OifSaddrIn { family, set: format!("own{}", digit(family)) };
    let masq = vec![
        // On an interface without an address yet, masquerade would drop a DHCP client's question.
        vec![Stmt::Daddr(net("255.255.255.255/32")), leave()],
        vec![Stmt::Daddr(net("224.0.0.0/4")), leave()],
        vec![own(Family::V4), leave()],
        vec![own(Family::V6), leave()],
        vec![Stmt::Saddr(net("::/128")), leave()],
        vec![Stmt::Saddr(net("fe80::/10")), leave()],
        vec![Stmt::Masquerade],
    ];
    let guard = vec![
        // The kernel knows its own addresses, right after a DHCP change too, agent or no agent.
        vec![Stmt::FibSaddrOifLocal(true), leave()],
        vec![Stmt::OifSaddrIn { family: Family::V4, set: "addr4".to_owned() }, leave()],
        vec![own(Family::V4), leave()],
        vec![own(Family::V6), leave()],
        // DHCP, IGMP, DAD and MLD before there is an address.
        vec![
            Stmt::Daddr(net("255.255.255.255/32")),
            Stmt::L4proto(UDP),
            Stmt::Sport(68),
            Stmt::Dport(67),
            leave(),
        ],
        vec![Stmt::Saddr(net("0.0.0.0/32")), Stmt::Daddr(net("224.0.0.0/4")), leave()],
        vec![Stmt::Saddr(net("::/128")), leave()],
        vec![Stmt::Saddr(net("fe80::/10")), leave()],
        vec![counter("wrong_source"), Stmt::Verdict(Verdict::Drop)],
    ];
    let refuse = vec![
        vec![Stmt::L4proto(TCP), counter("refused"), Stmt::RejectTcpReset],
        vec![counter("refused"), Stmt::RejectAdminProhibited],
    ];
    let stale = |state, value| {
        let all = tcp::FIN | tcp::SYN | tcp::RST | tcp::ACK;
        vec![
            Stmt::OifnameIn { set: "reset_on".to_owned(), not: false },
            Stmt::CtState(state),
            Stmt::L4proto(TCP),
            flags(all, value),
            counter("reset_sent"),
            Stmt::RejectTcpReset,
        ]
    };
    let out = vec![
        vec![Stmt::CtState(CtState::New), Stmt::NfprotoIn("no_way".to_owned()), goto("refuse")],
        // A packet in the middle of a connection that conntrack does not know: its uplink died.
        stale(CtState::New, tcp::ACK),
        // FIN|ACK is invalid to conntrack even when it picks up mid-stream.
        stale(CtState::Invalid, tcp::FIN | tcp::ACK),
    ];
    vec![
        chain("masq", masq),
        chain("guard_up", guard),
        chain("refuse", refuse),
        chain("mss", vec![vec![Stmt::MssRtMtu]]),
        chain("fwd_out", out),
    ]
}

fn base_chains(wanted: &Wanted) -> Vec<Chain> {
    use ChainKind::{Filter, Nat, Route};
    use HookPoint::{Forward, Input, Output, Postrouting, Prerouting};
    let follow_pin = || Stmt::CtMarkVmap { mask: Fwmark::UPLINK_MASK, map: "to".to_owned() };
    let out_by_uplink = || Stmt::OifnameIn { set: "uplinks".to_owned(), not: false };
    let in_by_uplink = || Stmt::IifnameIn { set: "uplinks".to_owned(), not: false };
    let drop = || Stmt::Verdict(Verdict::Drop);

    let prerouting = vec![vec![Stmt::IifnameVmap("from".to_owned())], vec![follow_pin()]];
    let output = vec![vec![Stmt::OifLoopback, Stmt::Verdict(Verdict::Accept)], vec![follow_pin()]];
    let syn = vec![Stmt::L4proto(TCP), flags(tcp::SYN | tcp::RST, tcp::SYN), jump("mss")];
    let mut forward = vec![syn, vec![out_by_uplink(), jump("fwd_out")]];
    if wanted.lan.as_ref().is_some_and(|lan| lan.guard) {
        forward.push(vec![
            in_by_uplink(),
            Stmt::OifnameIn { set: "lan".to_owned(), not: false },
            Stmt::CtState(CtState::New),
            Stmt::CtDnat(false),
            Stmt::Counter("guarded".to_owned()),
            drop(),
        ]);
    }
    let page = wanted
        .page_ports
        .iter()
        .map(|port| vec![in_by_uplink(), Stmt::L4proto(TCP), Stmt::Dport(*port), drop()])
        .collect();
    vec![
        base(
            "poke",
            Filter,
            Output,
            priority::RAW,
            vec![
                // Pokes are for the LAN; one that would leave by an uplink is refused, which tells
                // the agent that whom it took for a client is not here.
                vec![Stmt::MetaMark(Fwmark::POKE), out_by_uplink(), drop()],
                vec![Stmt::MetaMark(Fwmark::POKE), Stmt::Notrack],
            ],
        ),
        base("prerouting", Filter, Prerouting, priority::MANGLE, prerouting),
        // Type route: the box's own packets are routed again when their mark changes.
        base("output", Route, Output, priority::MANGLE, output),
        base(
            "pinning",
            Filter,
            Postrouting,
            priority::MANGLE,
            vec![vec![Stmt::OifnameVmap("pin".to_owned())]],
        ),
        base("nat", Nat, Postrouting, priority::SRCNAT, vec![vec![out_by_uplink(), jump("masq")]]),
        base(
            "guard",
            Filter,
            Postrouting,
            priority::SRCNAT + 10,
            vec![vec![out_by_uplink(), jump("guard_up")]],
        ),
        base("forward", Filter, Forward, priority::FILTER - 10, forward),
        base("input", Filter, Input, priority::FILTER - 10, page),
    ]
}
