//! Our nftables table. Chains are per uplink and reached through verdict maps, so that the work per
//! packet does not grow with the number of uplinks and a renamed interface is one changed element.

mod forwarded;
mod names;
mod per_uplink;
mod sets;
mod words;

use super::nft::{Chain, ChainKind, CtState, HookPoint, Sense, Stmt, Table, Verdict};
use super::sources;
use super::wanted::Wanted;
use crate::units::{Family, Fwmark, NFT_TABLE};
use forwarded::{arriving, early, forward, input, leaving};
use names::{FORGED, GUARDED, NUMBERS, digit};
use per_uplink::per_uplink;
use sets::sets;
use words::{CLEARED, UDP, base, chain, claimed, goto, jump, leave, net, out_by_uplink, priority};

pub use names::{BRIDGE, NO_WAY, WRONG_SOURCE, inward, outward, reset_sent};
pub use sets::{REFUSED_FOR, refusals};

/// The table that is wanted.
pub(super) fn ruleset(wanted: &Wanted) -> Table {
    let mut table = Table { name: NFT_TABLE.to_owned(), ..Table::default() };
    for name in [WRONG_SOURCE, "refused", GUARDED, FORGED] {
        table.counters.insert(name.to_owned());
    }
    table.counters.extend(Family::BOTH.map(reset_sent));
    for uplink in &wanted.uplinks {
        for family in Family::BOTH {
            table.counters.insert(inward(uplink.id, family));
            table.counters.insert(outward(uplink.id, family));
        }
        table.chains.extend(per_uplink(uplink.id));
    }
    table.chains.extend(shared_chains());
    table.chains.extend(leaving());
    table.chains.extend(arriving());
    table.chains.extend(base_chains(wanted));
    sets(wanted, &mut table);
    table
}

fn shared_chains() -> Vec<Chain> {
    let counter = |name: &str| Stmt::Counter(name.to_owned());
    let own = |family| Stmt::OifSaddrIn { family, set: format!("own{}", digit(family)) };
    let others6 = || Stmt::OifSaddrIn { family: Family::V6, set: "others6".to_owned() };
    let masq = vec![
        // What an IPsec policy takes has its own addresses on the way.
        vec![Stmt::RtIpsec, leave()],
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
        vec![Stmt::RtIpsec, leave()],
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
    vec![
        sources::chain(),
        chain("masq", masq),
        chain("guard_up", guard),
        chain("guard_renamed", guard_renamed()),
        chain("bridged", vec![vec![Stmt::SetMetaMark(CLEARED)]]),
        chain("mss", mss),
    ]
}

/// Until a new name is in the sets: only what bears the interface's own address leaves. Nothing is marked, as
/// what is held back here is right again in a moment.
fn guard_renamed() -> Vec<Vec<Stmt>> {
    vec![
        vec![Stmt::FibSaddrOifLocal(true), leave()],
        vec![Stmt::RtIpsec, leave()],
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
    let out_by_number = || Stmt::OifIn(NUMBERS.to_owned());
    let drop = || Stmt::Verdict(Verdict::Drop);

    let prerouting = vec![
        vec![Stmt::IifnameVmap("from".to_owned())],
        vec![claimed(Sense::Is), leave()],
        vec![follow_pin()],
    ];
    let output = vec![
        vec![Stmt::OifLoopback, Stmt::Verdict(Verdict::Accept)],
        vec![claimed(Sense::Is), leave()],
        // Whoever marks what the box itself sends means its way: that of a tunnel's own packets, which would
        // else be routed into the tunnel. Answers go back by the way on which they were asked for.
        vec![Stmt::CtReply(false), Stmt::MetaMarkBits(u32::MAX), leave()],
        vec![follow_pin()],
    ];
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
        // Behind everybody's port forwards.
        base("early", Filter, Prerouting, priority::SRCNAT, early(wanted)),
        // Type route: the box's own packets are routed again when their mark changes.
        base("output", Route, Output, priority::MANGLE, output),
        base(
            "nat",
            Nat,
            Postrouting,
            // Behind others' NAT: of two that fit, the first decides.
            priority::SRCNAT + 5,
            vec![
                vec![Stmt::MetaMark(Fwmark::BRIDGED), leave()],
                vec![out_by_uplink(), goto("masq")],
                vec![out_by_number(), jump("masq")],
            ],
        ),
        // Pinning and the guard in one look at the interface; the guard has to come after NAT.
        base(
            "out",
            Filter,
            Postrouting,
            priority::SRCNAT + 10,
            vec![
                vec![Stmt::MetaMark(Fwmark::BRIDGED), goto("bridged")],
                // What the box itself sends has its way from `output`.
                vec![Stmt::SetMetaMark(CLEARED)],
                vec![Stmt::OifnameVmap("pin".to_owned())],
                vec![out_by_number(), jump("guard_renamed")],
            ],
        ),
        base("forward", Filter, Forward, priority::FILTER - 10, forward(wanted)),
        base("input", Filter, Input, priority::FILTER - 10, input(wanted)),
    ]
}
