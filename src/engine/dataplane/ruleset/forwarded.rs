//! What is forwarded, and what comes in to the box itself.

use super::super::nft::{AddressType, Chain, CtState, Sense, Stmt, Verdict, tcp};
use super::super::wanted::Wanted;
use super::names::{BRIDGE, GUARDED, NO_WAY, SAME, lan_nets, reset_sent, routed, routed_by};
use super::words::{
    CLEARED, ICMPV6, TCP, chain, flags, goto, in_by_uplink, jump, leave, net, out_by_uplink,
};
use crate::units::{Family, Fwmark};

/// Addresses of groups (RFC 5771, RFC 4291 §2.7).
const MULTICAST: [&str; 2] = ["224.0.0.0/4", "ff00::/8"];
/// The groups of all routers (RFC 4291 §2.7.1).
const ROUTERS: [&str; 3] = ["ff01::2/128", "ff02::2/128", "ff05::2/128"];
/// The chain that drops what nobody asked for.
const UNASKED: &str = "unasked";
/// The chain for what is for somebody behind the box: what neighbours say to each other is dropped as well.
const BEHIND: &str = "behind";

/// The rules for what is forwarded.
pub(super) fn forward(wanted: &Wanted) -> Vec<Vec<Stmt>> {
    let mut rules = vec![
        // The way is known: others find their own marks from here on.
        vec![Stmt::SetMetaMark(CLEARED)],
        // From one port of a bridge to another: the kernel shows these to firewalls (br_netfilter), but they are
        // a guest's and the provider's, not ours. Behind this hook nothing tells where they came from.
        vec![
            Stmt::Oifkind(BRIDGE.to_owned()),
            Stmt::IifOifIn(SAME.to_owned()),
            Stmt::SetMetaMark(Fwmark::BRIDGED),
            leave(),
        ],
        vec![Stmt::L4proto(TCP), flags(tcp::SYN | tcp::RST, tcp::SYN), jump("mss")],
        // What has been answered is neither new nor stale: nearly every packet is done with here.
        vec![Stmt::CtState(CtState::Established), Stmt::Verdict(Verdict::Accept)],
    ];
    if wanted.lan.is_some() {
        // Nothing but a multicast route that somebody made forwards these, and nobody answers them.
        rules.extend(MULTICAST.map(|group| vec![Stmt::Daddr(net(group)), leave()]));
        // What a provider routes to the box is for whom the household's firewall lets it in to.
        rules.extend(Family::BOTH.map(|family| {
            let elsewhere = Stmt::OifnameIn { set: "uplinks".to_owned(), sense: Sense::IsNot };
            vec![to_routed(family), elsewhere, leave()]
        }));
        // Forwarding is on for every interface of the box, so the guard is for all of them, too.
        // Without it what comes in is somebody's decision; to relay from uplink to uplink never is.
        let relayed = (!is_guarded(wanted)).then(out_by_uplink);
        rules.push([in_by_uplink()].into_iter().chain(relayed).chain([jump(BEHIND)]).collect());
    }
    rules.push(vec![out_by_uplink(), jump("fwd_out")]);
    rules
}

/// What is not for the box is dropped before the kernel looks at it as a router does: that answers what has come
/// too far or is too large, and so tells who is behind it.
pub(super) fn early(wanted: &Wanted) -> Vec<Vec<Stmt>> {
    if !is_guarded(wanted) {
        return Vec::new();
    }
    let mut rules = vec![
        vec![Stmt::CtState(CtState::Established), leave()],
        // What passes a bridge is not routed; see `forward`.
        vec![Stmt::Iifkind(BRIDGE.to_owned()), leave()],
    ];
    rules.extend(Family::BOTH.map(|family| vec![to_routed(family), leave()]));
    rules.push(vec![in_by_uplink(), Stmt::FibDaddr(AddressType::Unicast), jump(BEHIND)]);
    rules
}

/// The chains for what comes in by an uplink and nobody here asked for: neither answers nor errors (related), and
/// no port forward. A packet without a flow has no status, and would end a rule that asks for it.
pub(super) fn arriving() -> [Chain; 2] {
    let dropped = |matched: Vec<Stmt>| {
        let end = vec![Stmt::Counter(GUARDED.to_owned()), Stmt::Verdict(Verdict::Drop)];
        [matched, end].concat()
    };
    let unasked = vec![
        dropped(vec![Stmt::CtState(CtState::Invalid)]),
        dropped(vec![Stmt::CtState(CtState::New), Stmt::CtDnat(false)]),
    ];
    // Neighbours find each other without flows; what they say ends at the link (RFC 4861 §3.1).
    let of_the_link = vec![Stmt::L4proto(ICMPV6), Stmt::CtState(CtState::Untracked)];
    let behind = vec![dropped(of_the_link), vec![goto(UNASKED)]];
    [chain(UNASKED, unasked), chain(BEHIND, behind)]
}

/// The chains for what leaves by an uplink and has had no answer yet.
pub(super) fn leaving() -> [Chain; 4] {
    let refused = || Stmt::Counter("refused".to_owned());
    let refuse = vec![
        vec![Stmt::L4proto(TCP), refused(), Stmt::RejectTcpReset],
        vec![refused(), Stmt::RejectAdminProhibited],
    ];
    // A routed subnet's packets leave by the uplink whose provider routes it, and by no other: no answer could
    // ever come by that one.
    let here = |family| vec![Stmt::OifSaddrIn { family, set: routed_by(family) }, leave()];
    let elsewhere = vec![here(Family::V4), here(Family::V6), vec![goto("refuse")]];
    let of_routed = |family| {
        let of_it = Stmt::SaddrIn { family, set: routed(family), sense: Sense::Is };
        vec![Stmt::CtState(CtState::New), of_it, jump("elsewhere")]
    };
    // Counted by IP version: clients are told of the end of one uplink's flows in one of them.
    let reset = |family| {
        let counter = Stmt::Counter(reset_sent(family));
        vec![Stmt::Nfproto(family), Stmt::L4proto(TCP), counter, Stmt::RejectTcpReset]
    };
    let stale = |state, value| {
        let on = Stmt::OifnameIn { set: "reset_on".to_owned(), sense: Sense::Is };
        let all = tcp::FIN | tcp::SYN | tcp::RST | tcp::ACK;
        vec![on, Stmt::CtState(state), Stmt::L4proto(TCP), flags(all, value), jump("reset")]
    };
    let out = vec![
        vec![Stmt::CtState(CtState::New), Stmt::NfprotoIn(NO_WAY.to_owned()), goto("refuse")],
        of_routed(Family::V4),
        of_routed(Family::V6),
        // A packet in the middle of a connection that conntrack does not know: its uplink died.
        stale(CtState::New, tcp::ACK),
        // FIN|ACK is invalid to conntrack even when it picks up mid-stream.
        stale(CtState::Invalid, tcp::FIN | tcp::ACK),
    ];
    [
        chain("refuse", refuse),
        chain("elsewhere", elsewhere),
        chain("reset", Family::BOTH.map(reset).to_vec()),
        chain("fwd_out", out),
    ]
}

/// The rules for what comes in to the box itself.
pub(super) fn input(wanted: &Wanted) -> Vec<Vec<Stmt>> {
    let drop = || Stmt::Verdict(Verdict::Drop);
    let page = |port: &u16| vec![in_by_uplink(), Stmt::L4proto(TCP), Stmt::Dport(*port), drop()];
    let mut rules = vec![vec![Stmt::SetMetaMark(CLEARED)]];
    rules.extend(wanted.page_ports.iter().map(page));
    if is_guarded(wanted) {
        rules.push(vec![Stmt::CtState(CtState::Established), leave()]);
        rules.extend(Family::BOTH.map(|family| vec![to_routed(family), leave()]));
        // A box that forwards answers as a router, too, where it may not have been one before.
        rules.extend(ROUTERS.map(|all| vec![in_by_uplink(), Stmt::Daddr(net(all)), jump(BEHIND)]));
        let any = [in_by_uplink(), Stmt::Nfproto(Family::V6), Stmt::FibDaddr(AddressType::Anycast)];
        rules.push([&any[..], &[jump(BEHIND)]].concat());
        // The box's own addresses in the LAN are part of it.
        let to_lan = |family| Stmt::DaddrIn { family, set: lan_nets(family), sense: Sense::Is };
        let all = Family::BOTH.into_iter();
        rules.extend(all.map(|family| vec![in_by_uplink(), to_lan(family), jump(UNASKED)]));
    }
    rules
}

fn is_guarded(wanted: &Wanted) -> bool {
    wanted.lan.as_ref().is_some_and(|lan| lan.guard)
}

/// It came in by the uplink whose provider routes that address to the box.
fn to_routed(family: Family) -> Stmt {
    Stmt::IifDaddrIn { family, set: routed_by(family) }
}
