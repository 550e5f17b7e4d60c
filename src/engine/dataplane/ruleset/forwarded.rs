//! What is forwarded, and what comes in to the box itself.

use super::super::nft::{Chain, CtState, Sense, Stmt, Verdict, tcp};
use super::super::wanted::Wanted;
use super::names::{BRIDGE, GUARDED, NO_WAY, SAME, lan_nets, reset_sent, routed, routed_by};
use super::words::{
    CLEARED, TCP, chain, flags, goto, in_by_uplink, jump, leave, net, out_by_uplink,
};
use crate::units::{Family, Fwmark};

/// Addresses of groups (RFC 5771, RFC 4291 §2.7).
const MULTICAST: [&str; 2] = ["224.0.0.0/4", "ff00::/8"];

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
        rules.extend(unasked((!is_guarded(wanted)).then(out_by_uplink).as_ref()));
    }
    rules.push(vec![out_by_uplink(), jump("fwd_out")]);
    rules
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
        rules.extend(Family::BOTH.map(|family| vec![to_routed(family), leave()]));
        // The box's own addresses in the LAN are part of it.
        let to_lan = |family| Stmt::DaddrIn { family, set: lan_nets(family), sense: Sense::Is };
        rules.extend(Family::BOTH.into_iter().flat_map(|family| unasked(Some(&to_lan(family)))));
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

/// What nobody here asked for: neither answers nor errors (related), and no port forward. A packet
/// without a flow has no status, and would end a rule that asks for it.
fn unasked(matched: Option<&Stmt>) -> [Vec<Stmt>; 2] {
    let states = [
        vec![Stmt::CtState(CtState::Invalid)],
        vec![Stmt::CtState(CtState::New), Stmt::CtDnat(false)],
    ];
    states.map(|state| {
        let end = [Stmt::Counter(GUARDED.to_owned()), Stmt::Verdict(Verdict::Drop)];
        [in_by_uplink()].into_iter().chain(state).chain(matched.cloned()).chain(end).collect()
    })
}
