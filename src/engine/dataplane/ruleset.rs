//! Our nftables table. Chains are per uplink and reached through verdict maps, so that the work per
//! packet does not grow with the number of uplinks and a renamed interface is one changed element.

use ipnet::{IpNet, Ipv6Net};

use super::nft::{
    Chain, ChainKind, CtState, Hook, HookPoint, Key, KeyPart, KeyType, Sense, Set, Stmt, Table,
    Value, ValueType, Verdict, host, tcp,
};
use super::sources;
use super::wanted::{Uplink, Wanted};
use crate::units::{Family, Fwmark, Gather as _, IfName, NFT_TABLE, PerFamily, UplinkId};

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
/// New flows are refused for this long after the last word of the agent, in seconds: what refuses
/// does not outlive it. It is renewed well before that.
pub const REFUSED_FOR: u32 = 8;
/// The name of the set of families without a living uplink.
pub const NO_WAY: &str = "no_way";
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

/// The counter of packets that were held back because their source address was not their uplink's.
pub const WRONG_SOURCE: &str = "wrong_source";
/// The counter of packets that came in by an uplink and that nobody had asked for.
const GUARDED: &str = "guarded";
/// The counter of packets that came in by an uplink in the name of a LAN client.
const FORGED: &str = "forged";

/// The name of the set of the LAN's prefixes.
fn lan_nets(family: Family) -> String {
    format!("lan{}", digit(family))
}

/// The name of the set of an uplink's on-link prefixes. Each has its own, so that a packet is looked
/// for among a handful of prefixes, by its address alone.
fn near(id: UplinkId, family: Family) -> String {
    format!("near{}_{id}", digit(family))
}

const fn digit(family: Family) -> u8 {
    match family {
        Family::V4 => 4,
        Family::V6 => 6,
    }
}

/// The name of the set of the uplinks' interfaces by number. All others go by names, under which an interface
/// is known at once when it is plugged in again; a renamed one is known by its number.
const NUMBERS: &str = "uplink_numbers";

/// Which families are refused now, as a table that has this set alone.
#[must_use]
pub fn refusals(refused: PerFamily<bool>) -> Table {
    let mut set = Set { timeout: Some(REFUSED_FOR), ..Set::new(&[KeyType::Family]) };
    let refused = refused.iter().filter(|(_, without)| **without);
    set.elements.extend(refused.map(|(family, _)| (vec![KeyPart::Family(family)], None)));
    let sets = [(NO_WAY.to_owned(), set)].into_iter().gather();
    Table { name: NFT_TABLE.to_owned(), sets, ..Table::default() }
}

/// The table that is wanted.
pub(super) fn ruleset(wanted: &Wanted) -> Table {
    let mut table = Table { name: NFT_TABLE.to_owned(), ..Table::default() };
    for name in [WRONG_SOURCE, "reset_sent", "refused", GUARDED, FORGED] {
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
    use KeyType::IfName;
    let mut uplinks = Set::new(&[IfName]);
    let mut numbers = Set::new(&[KeyType::IfIndex]);
    let mut reset_on = Set { timeout: Some(RESET_FOR), ..Set::new(&[IfName]) };
    let (mut from, mut pin) = (Set::vmap(IfName), Set::vmap(IfName));
    let mut to = Set::vmap(KeyType::Mark);
    let mut mss = [IfName; 2].map(|key| Set::map(key, ValueType::Mss));
    let verdict = |verdict| Some(Value::Verdict(verdict));

    for uplink in &wanted.uplinks {
        let id = uplink.id;
        let mark = vec![KeyPart::Mark(id.mark().value)];
        to.elements.insert(mark, verdict(Verdict::Goto(format!("to_{id}"))));
        let Some((index, dev)) = &uplink.dev else {
            continue;
        };
        numbers.elements.insert(vec![KeyPart::IfIndex(*index)], None);
        uplinks.elements.insert(name(dev), None);
        from.elements.insert(name(dev), verdict(Verdict::Goto(format!("from_{id}"))));
        pin.elements.insert(name(dev), verdict(Verdict::Goto(format!("pin_{id}"))));
        if wanted.reset_on.contains(&id) {
            reset_on.elements.insert(name(dev), None);
        }
        for (set, family) in mss.iter_mut().zip(Family::BOTH) {
            if let Some(bytes) = segment(uplink, family) {
                set.elements.insert(name(dev), Some(Value::Mss(bytes)));
            }
        }
    }
    let [mss4, mss6] = mss;
    let named = [
        ("uplinks", uplinks),
        (NUMBERS, numbers),
        ("reset_on", reset_on),
        ("from", from),
        ("to", to),
        ("pin", pin),
        ("mss4", mss4),
        ("mss6", mss6),
    ];
    let all = named.into_iter().chain(address_sets(wanted));
    table.sets.extend(all.map(|(name, set)| (name.to_owned(), set)));
    table.sets.extend(refusals(wanted.refused).sets);
    table.sets.extend(wanted.uplinks.iter().flat_map(near_sets));
    table.sets.extend(sources::maps(wanted));
    let nets = wanted.lan.as_ref().map_or(&[][..], |lan| &lan.nets);
    table.sets.extend(prefix_sets(nets, lan_nets));
}

/// What is on the link of an uplink, in each IP version.
fn near_sets(uplink: &Uplink) -> [(String, Set); 2] {
    let link_local = net("fe80::/10");
    prefix_sets(&[uplink.near.as_slice(), &[link_local]].concat(), |family| near(uplink.id, family))
}

/// A set of prefixes for each IP version, under the name for it.
fn prefix_sets(nets: &[IpNet], name: impl Fn(Family) -> String) -> [(String, Set); 2] {
    let all = IpNet::aggregate(&nets.to_vec());
    [(Family::V4, KeyType::Ipv4), (Family::V6, KeyType::Ipv6)].map(|(family, key)| {
        let mut set = Set::prefixes(&[key]);
        let nets = all.iter().filter(|net| Family::of(&net.addr()) == family);
        set.elements.extend(nets.map(|net| (vec![KeyPart::Net(*net)], None)));
        (name(family), set)
    })
}

/// Sets that say whose addresses are whose.
fn address_sets(wanted: &Wanted) -> [(&'static str, Set); 4] {
    use KeyType::{IfName, Ipv4, Ipv6};
    let mut own = [Set::prefixes(&[IfName, Ipv4]), Set::prefixes(&[IfName, Ipv6])];
    let mut others = Set::prefixes(&[IfName, Ipv6]);
    let mut shared = Set::new(&[IfName, Ipv4]);
    for uplink in &wanted.uplinks {
        let Some((_, dev)) = &uplink.dev else {
            continue;
        };
        for (set, nets) in [(&mut own[1], &uplink.own6), (&mut others, &uplink.others6)] {
            let nets = Ipv6Net::aggregate(nets);
            set.elements.extend(nets.into_iter().map(|net| (at(dev, net.into()), None)));
        }
        own[0].elements.extend(sources::far(uplink).map(|source| (at(dev, host(source)), None)));
        for addr in uplink.addresses.iter().filter(|a| a.is_ipv4() && is_shared(wanted, uplink, a))
        {
            shared.elements.insert(at(dev, host(*addr)), None);
        }
    }
    let [own4, own6] = own;
    [("own4", own4), ("own6", own6), ("others6", others), ("addr4", shared)]
}

/// The largest TCP segment that an uplink takes: what its packets may hold without the two headers
/// (RFC 9293 §3.7.1, RFC 8200 §8.3). `None` where nothing is known, or nothing needs saying.
fn segment(uplink: &Uplink, family: Family) -> Option<u16> {
    let headers = match family {
        Family::V4 => 40,
        Family::V6 => 60,
    };
    let route = uplink.egress.get(family).as_ref().and_then(|egress| egress.mtu);
    let mtu = route.map_or(uplink.mtu, |route| route.min(uplink.mtu));
    u16::try_from(mtu.checked_sub(headers)?).ok().filter(|bytes| *bytes > 0)
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
    let proof = |family| {
        vec![
            Stmt::CtState(CtState::Established),
            Stmt::CtReply(true),
            Stmt::SaddrIn { family, set: near(id, family), sense: Sense::IsNot },
            Stmt::Counter(inward(id, family)),
        ]
    };
    let question = |family| {
        vec![
            Stmt::CtReply(false),
            Stmt::DaddrIn { family, set: near(id, family), sense: Sense::IsNot },
            Stmt::Counter(outward(id, family)),
        ]
    };
    let forged = |family| {
        let set = lan_nets(family);
        let drop = Stmt::Verdict(Verdict::Drop);
        vec![
            Stmt::SaddrIn { family, set, sense: Sense::Is },
            Stmt::Counter(FORGED.to_owned()),
            drop,
        ]
    };
    let from = vec![
        // The reverse-path check is loose on uplinks, so it takes these for clients of the LAN.
        forged(Family::V4),
        forged(Family::V6),
        // The reverse-path check looks into this uplink's own table (src_valid_mark), which works
        // even while the active table is empty.
        vec![Stmt::SetMetaMark(mark)],
        // A flow from outside is answered by the way it came.
        vec![Stmt::CtState(CtState::New), Stmt::CtMark(UNPINNED), Stmt::SetCtMark(mark)],
        // A modem can forge a reset: no proof of life.
        vec![Stmt::L4proto(TCP), flags(tcp::RST, tcp::RST), leave()],
        // Nor are names and plain web pages: a modem whose line is dead answers them in the name of others.
        vec![Stmt::L4proto(UDP), Stmt::Sport(53), leave()],
        vec![Stmt::L4proto(TCP), Stmt::Sport(53), leave()],
        vec![Stmt::L4proto(TCP), Stmt::Sport(80), leave()],
        // Answers count; ICMP errors (related) and what the modem's own subnet sends do not.
        proof(Family::V4),
        proof(Family::V6),
    ];
    let to = vec![vec![Stmt::SetMetaMark(mark)]];
    let pin = vec![
        vec![Stmt::CtMark(UNPINNED), Stmt::SetCtMark(mark)],
        question(Family::V4),
        question(Family::V6),
        vec![goto("guard_up")],
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
    let others6 = || Stmt::OifSaddrIn { family: Family::V6, set: "others6".to_owned() };
    let masq = vec![
        // On an interface without an address yet, masquerade would drop a DHCP client's question.
        vec![Stmt::Daddr(net("255.255.255.255/32")), leave()],
        vec![Stmt::Daddr(net("224.0.0.0/4")), leave()],
        vec![own(Family::V4), leave()],
        // Where an uplink's own prefixes are not known, what is known of the others must do.
        vec![others6(), goto(sources::CHAIN)],
        vec![own(Family::V6), leave()],
        vec![Stmt::Saddr(net("::/128")), leave()],
        vec![Stmt::Saddr(net("fe80::/10")), leave()],
        vec![goto(sources::CHAIN)],
    ];
    let guard = vec![
        // The kernel knows its own addresses, right after a DHCP change too, agent or no agent.
        vec![Stmt::FibSaddrOifLocal(true), leave()],
        vec![Stmt::OifSaddrIn { family: Family::V4, set: "addr4".to_owned() }, leave()],
        vec![own(Family::V4), leave()],
        vec![others6(), counter("wrong_source"), Stmt::Verdict(Verdict::Drop)],
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
        // Of what conntrack takes for invalid nothing could be forgotten.
        vec![Stmt::CtState(CtState::Invalid), Stmt::Verdict(Verdict::Drop)],
        // Marked, so that the agent can have the kernel forget them all at once. Where there is no
        // flow to mark, a rule ends: dropping is another one.
        vec![Stmt::SetCtMark(Fwmark::UN_NATED)],
        vec![counter(WRONG_SOURCE), Stmt::Verdict(Verdict::Drop)],
    ];
    let by_name =
        |family| vec![Stmt::Nfproto(family), Stmt::MssOfIifname(format!("mss{}", digit(family)))];
    let mss = vec![
        vec![Stmt::MssRtMtu],
        // What comes from an uplink was made for the way that the sender saw. The way back to it is
        // looked up without a mark, so that the rule above sees the active uplink there.
        by_name(Family::V4),
        by_name(Family::V6),
    ];
    let refuse = vec![
        vec![Stmt::L4proto(TCP), counter("refused"), Stmt::RejectTcpReset],
        vec![counter("refused"), Stmt::RejectAdminProhibited],
    ];
    let stale = |state, value| {
        let all = tcp::FIN | tcp::SYN | tcp::RST | tcp::ACK;
        vec![
            Stmt::OifnameIn { set: "reset_on".to_owned(), sense: Sense::Is },
            Stmt::CtState(state),
            Stmt::L4proto(TCP),
            flags(all, value),
            counter("reset_sent"),
            Stmt::RejectTcpReset,
        ]
    };
    let out = vec![
        vec![Stmt::CtState(CtState::New), Stmt::NfprotoIn(NO_WAY.to_owned()), goto("refuse")],
        // A packet in the middle of a connection that conntrack does not know: its uplink died.
        stale(CtState::New, tcp::ACK),
        // FIN|ACK is invalid to conntrack even when it picks up mid-stream.
        stale(CtState::Invalid, tcp::FIN | tcp::ACK),
    ];
    vec![
        sources::chain(),
        chain("masq", masq),
        chain("guard_up", guard),
        chain("guard_renamed", guard_renamed()),
        chain("refuse", refuse),
        chain("mss", mss),
        chain("fwd_out", out),
    ]
}

/// Until a new name is in the sets: only what bears the interface's own address leaves. Nothing is marked, as
/// what is held back here is right again in a moment.
fn guard_renamed() -> Vec<Vec<Stmt>> {
    vec![
        vec![Stmt::FibSaddrOifLocal(true), leave()],
        vec![Stmt::Saddr(net("0.0.0.0/32")), leave()],
        vec![Stmt::Saddr(net("::/128")), leave()],
        vec![Stmt::Saddr(net("fe80::/10")), leave()],
        vec![Stmt::Counter(WRONG_SOURCE.to_owned()), Stmt::Verdict(Verdict::Drop)],
    ]
}

fn base_chains(wanted: &Wanted) -> Vec<Chain> {
    use ChainKind::{Filter, Nat, Route};
    use HookPoint::{Forward, Input, Output, Postrouting, Prerouting};
    let follow_pin = || Stmt::CtMarkVmap { mask: Fwmark::UPLINK_MASK, map: "to".to_owned() };
    let out_by_uplink = || Stmt::OifnameIn { set: "uplinks".to_owned(), sense: Sense::Is };
    let out_by_number = || Stmt::OifIn(NUMBERS.to_owned());
    let in_by_uplink = || Stmt::IifnameIn { set: "uplinks".to_owned(), sense: Sense::Is };
    let drop = || Stmt::Verdict(Verdict::Drop);

    let prerouting = vec![vec![Stmt::IifnameVmap("from".to_owned())], vec![follow_pin()]];
    let output = vec![vec![Stmt::OifLoopback, Stmt::Verdict(Verdict::Accept)], vec![follow_pin()]];
    let syn = vec![Stmt::L4proto(TCP), flags(tcp::SYN | tcp::RST, tcp::SYN), jump("mss")];
    // What nobody here asked for: neither answers nor errors (related), and no port forward. A packet
    // without a flow has no status, and would end a rule that asks for it.
    let unasked = |matched: Option<Stmt>| {
        [
            vec![Stmt::CtState(CtState::Invalid)],
            vec![Stmt::CtState(CtState::New), Stmt::CtDnat(false)],
        ]
        .map(|state| {
            let end = [Stmt::Counter(GUARDED.to_owned()), drop()];
            [in_by_uplink()].into_iter().chain(state).chain(matched.clone()).chain(end).collect()
        })
    };
    let mut forward = vec![
        syn,
        // What has been answered is neither new nor stale: nearly every packet is done with here.
        vec![Stmt::CtState(CtState::Established), Stmt::Verdict(Verdict::Accept)],
    ];
    let guard = wanted.lan.as_ref().is_some_and(|lan| lan.guard);
    if wanted.lan.is_some() {
        // Forwarding is on for every interface of the box, so the guard is for all of them, too.
        // Without it what comes in is somebody's decision; to relay from uplink to uplink never is.
        forward.extend(unasked((!guard).then(out_by_uplink)));
    }
    forward.push(vec![out_by_uplink(), jump("fwd_out")]);
    let page = |port: &u16| vec![in_by_uplink(), Stmt::L4proto(TCP), Stmt::Dport(*port), drop()];
    let mut input: Vec<_> = wanted.page_ports.iter().map(page).collect();
    if guard {
        // The box's own addresses in the LAN are part of it.
        let to_lan = |family| Stmt::DaddrIn { family, set: lan_nets(family), sense: Sense::Is };
        input.extend(Family::BOTH.into_iter().flat_map(|family| unasked(Some(to_lan(family)))));
    }
    vec![
        base(
            "poke",
            Filter,
            Output,
            priority::RAW,
            vec![
                // ACK probes are for the LAN; one that would leave by an uplink is refused, which tells
                // the agent that whom it took for a client is not here, and so is one for the box.
                vec![Stmt::MetaMark(Fwmark::ACK_PROBE), out_by_uplink(), drop()],
                vec![Stmt::MetaMark(Fwmark::ACK_PROBE), Stmt::OifLoopback, drop()],
                vec![Stmt::MetaMark(Fwmark::ACK_PROBE), Stmt::Notrack],
            ],
        ),
        base("prerouting", Filter, Prerouting, priority::MANGLE, prerouting),
        // Type route: the box's own packets are routed again when their mark changes.
        base("output", Route, Output, priority::MANGLE, output),
        base(
            "nat",
            Nat,
            Postrouting,
            priority::SRCNAT,
            vec![vec![out_by_uplink(), goto("masq")], vec![out_by_number(), jump("masq")]],
        ),
        // Pinning and the guard in one look at the interface; the guard has to come after NAT.
        base(
            "out",
            Filter,
            Postrouting,
            priority::SRCNAT + 10,
            vec![
                vec![Stmt::OifnameVmap("pin".to_owned())],
                vec![out_by_number(), jump("guard_renamed")],
            ],
        ),
        base("forward", Filter, Forward, priority::FILTER - 10, forward),
        base("input", Filter, Input, priority::FILTER - 10, input),
    ]
}
