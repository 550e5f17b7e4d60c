//! Others in the LAN who take devices away from this box: DHCP servers and routers that advertise themselves.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::Ipv6Net;

use super::facts::{Facts, Says};
use super::finding::{Finding, listed};
use crate::units::IfName;

/// Those who are not this box.
pub(super) fn judge(facts: &Facts) -> impl Iterator<Item = Finding> {
    let voices = facts.voices.iter().flatten();
    voices.filter_map(|voice| match &voice.says {
        Says::Offers { server, address, router } => {
            let theirs = !is_own(facts, *server) && !router.is_some_and(|at| is_own(facts, at));
            theirs.then(|| server_finding(&voice.lan, *server, *address, *router))
        }
        Says::Advertises { router, seconds, prefixes } => {
            let theirs = *seconds > 0 && !is_own(facts, *router);
            theirs.then(|| router_finding(&voice.lan, *router, prefixes))
        }
    })
}

fn is_own(facts: &Facts, at: impl Into<IpAddr>) -> bool {
    let at = at.into();
    facts.view.addresses.iter().any(|address| address.net.addr() == at)
}

fn server_finding(
    lan: &IfName,
    server: Ipv4Addr,
    address: Ipv4Addr,
    router: Option<Ipv4Addr>,
) -> Finding {
    let (way, why) = match router {
        Some(router) => (
            format!("router {router}"),
            "Devices that take its offers bypass sparelink: no failover helps them.",
        ),
        None => {
            ("no router".to_owned(), "Devices that take its offers have no way to the Internet.")
        }
    };
    Finding::wrong(
        format!(
            "another DHCP server answers in the LAN on {lan}: {server} (offers {address}, {way})"
        ),
        why,
        format!(
            "turn the DHCP server of that box off (often the provider's router, or an access point that is\n\
             one, too), or take its cable out of the LAN. Who it is: ip neigh show {server}; its page is usually http://{server}/"
        ),
    )
}

fn router_finding(lan: &IfName, router: Ipv6Addr, prefixes: &[Ipv6Net]) -> Finding {
    let prefixes: Vec<String> = prefixes.iter().map(ToString::to_string).collect();
    let of = if prefixes.is_empty() { String::new() } else { format!(" ({})", listed(&prefixes)) };
    Finding::wrong(
        format!("another router advertises itself in the LAN on {lan}: {router}{of}"),
        "Devices send their IPv6 traffic to it and bypass sparelink: no failover helps them.",
        format!(
            "turn IPv6 router advertisements of that box off (often the provider's router), or take its cable\n\
             out of the LAN. Who it is: ip -6 neigh show {router} dev {lan}"
        ),
    )
}
