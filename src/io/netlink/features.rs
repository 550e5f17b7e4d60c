//! What the kernel must have of nftables, as small tables to be tried.

use std::collections::BTreeMap;

use crate::engine::dataplane::nft::{
    Chain, ChainKind, CtState, Hook, HookPoint, KeyPart, KeyType, Set, Stmt, Table, tcp,
};
use crate::engine::dataplane::ruleset::BRIDGE;
use crate::engine::doctor::parts::Part;
use crate::units::{Fwmark, IfName};

/// Everything that our table is made of and cannot do without, in one table. Flows can be left
/// where they are, so conntrack marks are not in it.
pub(super) fn whole() -> Table {
    let mut whole = Table { name: "trial".to_owned(), ..Table::default() };
    let needed = parts().into_iter().filter(|(part, _)| *part != Part::ConntrackMark);
    for (number, (_, table)) in needed.enumerate() {
        let named = |chain: Chain| Chain { name: format!("{}{number}", chain.name), ..chain };
        whole.chains.extend(table.chains.into_iter().map(named));
        whole.sets.extend(table.sets);
    }
    whole
}

/// Statements that a kernel may lack: without them those go without who would need them (IPsec: `CONFIG_XFRM`;
/// kinds of interfaces: Linux 5.6).
pub(super) fn optional() -> impl Iterator<Item = Stmt> {
    let bridge = || BRIDGE.to_owned();
    [Stmt::RtIpsec, Stmt::Oifkind(bridge()), Stmt::Iifkind(bridge())].into_iter()
}

/// A small table for each part, which the kernel takes only if it has that part.
pub(super) fn parts() -> Vec<(Part, Table)> {
    use ChainKind::{Filter, Nat, Route};
    use HookPoint::{Forward, Output, Postrouting, Prerouting};
    let table = |chains| Table { name: "trial".to_owned(), chains, ..Table::default() };
    let chain = |kind, point, rules: Vec<Vec<Stmt>>| {
        let hook = Some(Hook { kind, point, priority: -150 });
        table(vec![Chain { name: "trial".to_owned(), hook, rules }])
    };
    let tcp = || Stmt::L4proto(6);
    let syn = Stmt::TcpFlags { mask: tcp::SYN, value: tcp::SYN };
    vec![
        (Part::Inet, table(Vec::new())),
        (Part::Tracking, chain(Filter, Prerouting, vec![vec![Stmt::CtState(CtState::New)]])),
        (Part::ConntrackMark, chain(Route, Output, vec![vec![Stmt::SetCtMark(Fwmark::ACK_PROBE)]])),
        (Part::Masquerade, chain(Nat, Postrouting, vec![vec![Stmt::Masquerade]])),
        (Part::Fib, chain(Filter, Postrouting, vec![vec![Stmt::FibSaddrOifLocal(true)]])),
        (
            Part::Reject,
            chain(
                Filter,
                Forward,
                vec![vec![tcp(), Stmt::RejectTcpReset], vec![Stmt::RejectAdminProhibited]],
            ),
        ),
        (Part::Mss, chain(Filter, Forward, vec![vec![tcp(), syn, Stmt::MssRtMtu]])),
        (Part::Intervals, Table { sets: interval_sets(), ..table(Vec::new()) }),
    ]
}

fn interval_sets() -> BTreeMap<String, Set> {
    let mut near = Set::prefixes(&[KeyType::IfName, KeyType::Ipv4]);
    let net = ipnet::IpNet::V4(ipnet::Ipv4Net::default());
    near.elements.insert(vec![KeyPart::IfName(IfName::loopback()), KeyPart::Net(net)], None);
    let timed = Set { timeout: Some(3600), ..Set::new(&[KeyType::IfName]) };
    [("near".to_owned(), near), ("timed".to_owned(), timed)].into_iter().collect()
}
