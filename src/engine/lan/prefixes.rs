//! Whose IPv6 prefixes are whose: what needs no masquerade on which uplink, and which uplink's
//! prefix the LAN holds.
//!
//! A packet whose source is not the uplink's own is dropped by its provider; a masqueraded one always
//! gets through. So a prefix counts as an uplink's own only on evidence: it is on the link, a default
//! route on that link is for it alone (that is how delegated prefixes are routed where several
//! uplinks are expected), the configuration says so, or the uplink has no other address.
//!
//! Where there is no word about delegated prefixes, the first uplink of the chain is taken to have
//! delegated whatever the LAN has and nobody else claims. It is the chain's first and not the first that
//! has IPv6 now, so that the loss of one uplink makes no prefix another's. An unreachable route, which
//! DHCPv6 clients put where a prefix was delegated, says which prefix but not whose: it is no evidence.

use std::collections::BTreeMap;

use ipnet::{IpNet, Ipv6Net};
use serde::{Deserialize, Serialize};

use crate::engine::kernel::network;
use crate::engine::kernel::view::KernelView;
use crate::engine::uplink::Uplink;
use crate::units::{IfIndex, UplinkId};

/// What is known of all uplinks' prefixes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Prefixes {
    claims: BTreeMap<UplinkId, Claim>,
    first: Option<UplinkId>,
}

/// Whether a prefix is still an uplink's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Held {
    /// It is so now.
    Now,
    /// It was so and is not any more.
    Once,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Claim {
    /// Known to be its own now.
    now: Vec<Ipv6Net>,
    /// Some of them are delegated, so that it is known which are.
    delegated: bool,
    /// Its own at one time, and nobody else's since: the LAN may hold them long after they are gone.
    once: Vec<Ipv6Net>,
}

/// So many prefixes that are gone are remembered of each uplink.
const REMEMBERED: usize = 16;

impl Prefixes {
    /// Brings it up to date. `chain` is the order of the uplinks.
    pub(in crate::engine) fn learn<'a>(
        &mut self,
        chain: &[UplinkId],
        uplinks: impl Iterator<Item = &'a Uplink>,
        view: &KernelView,
    ) {
        self.first = chain.first().copied();
        self.claims.retain(|id, _| chain.contains(id));
        for uplink in uplinks {
            let dev = uplink.attachment.link.as_ref().map(|(index, _)| *index);
            let (now, delegated) = known(uplink, dev, view);
            let claim = self.claims.entry(uplink.id).or_default();
            let gone = std::mem::replace(&mut claim.now, now);
            claim.delegated = delegated;
            claim.once.extend(gone);
        }
        let now: Vec<(UplinkId, Ipv6Net)> = self.all(|claim| &claim.now).collect();
        for claim in self.claims.values_mut() {
            claim.once.sort_unstable();
            claim.once.dedup();
            claim.once.retain(|old| !now.iter().any(|(_, net)| overlap(net, old)));
            claim.once.truncate(REMEMBERED);
        }
    }

    /// Sources that need no masquerade on an uplink.
    pub(in crate::engine) fn own(&self, id: UplinkId) -> Vec<Ipv6Net> {
        let known = self.claims.get(&id).map(|claim| claim.now.clone()).unwrap_or_default();
        let rest = self.has_the_rest(id).then(global_unicast);
        known.into_iter().chain(rest).collect()
    }

    /// Sources that are another's, although [`Self::own`] covers them.
    pub(in crate::engine) fn others(&self, id: UplinkId) -> Vec<Ipv6Net> {
        let Some(claim) = self.claims.get(&id).filter(|_| self.has_the_rest(id)) else {
            return Vec::new();
        };
        // What both have on the link is the one's as well as the other's.
        let disputed = |net: &Ipv6Net| claim.now.iter().any(|own| overlap(own, net));
        let theirs = self.elsewhere(id).filter(|net| global_unicast().contains(net));
        theirs.filter(|net| !disputed(net)).collect()
    }

    /// Whether a prefix of the LAN comes from that uplink and no other.
    pub(in crate::engine) fn delegated(&self, id: UplinkId, net: &Ipv6Net) -> Option<Held> {
        if !global_unicast().contains(net) || self.elsewhere(id).any(|theirs| overlap(&theirs, net))
        {
            return None;
        }
        let claim = self.claims.get(&id)?;
        if claim.now.iter().any(|own| own.contains(net)) {
            return Some(Held::Now);
        }
        if claim.once.iter().any(|own| own.contains(net)) {
            return Some(Held::Once);
        }
        // Whoever has IPv6 and says nothing of what it delegated may have delegated this.
        let suspects = |(other, claim): (&UplinkId, &Claim)| {
            *other != id && !claim.delegated && !claim.now.is_empty()
        };
        let has_ipv6 = !claim.now.is_empty() || !claim.once.is_empty();
        let only = has_ipv6 && self.has_the_rest(id) && !self.claims.iter().any(suspects);
        only.then_some(Held::Now)
    }

    /// The first uplink, of which nothing is known but what is on its link.
    fn has_the_rest(&self, id: UplinkId) -> bool {
        self.first == Some(id) && self.claims.get(&id).is_some_and(|claim| !claim.delegated)
    }

    /// What others claim or once claimed.
    fn elsewhere(&self, id: UplinkId) -> impl Iterator<Item = Ipv6Net> {
        let all = self.all(|claim| &claim.now).chain(self.all(|claim| &claim.once));
        all.filter(move |(owner, _)| *owner != id).map(|(_, net)| net)
    }

    fn all(
        &self,
        part: impl Fn(&Claim) -> &Vec<Ipv6Net>,
    ) -> impl Iterator<Item = (UplinkId, Ipv6Net)> {
        self.claims.iter().flat_map(move |(id, claim)| part(claim).iter().map(|net| (*id, *net)))
    }
}

/// An uplink's own prefixes, and whether delegated ones are among them.
fn known(uplink: &Uplink, dev: Option<IfIndex>, view: &KernelView) -> (Vec<Ipv6Net>, bool) {
    let near = uplink.attachment.near.iter().filter_map(six);
    let near: Vec<Ipv6Net> = near.filter(|net| !net.addr().is_unicast_link_local()).collect();
    let here = view.routes.iter().filter(|r| Some(r.dev) == dev && r.is_default());
    let sources = here.filter_map(|route| six(route.src.as_ref()?));
    let sources: Vec<Ipv6Net> = sources.filter(|net| net.prefix_len() > 0).collect();
    // A default route for the link's own prefix says nothing of others.
    let on_link = |net: &Ipv6Net| near.iter().any(|link| link.contains(net));
    let configured = &uplink.config.prefixes6;
    // Routed besides: nothing is said of what else is delegated.
    let routed: Vec<Ipv6Net> = uplink.config.prefixes.iter().filter_map(six).collect();
    let name = uplink.attachment.link.as_ref().map(|(_, name)| name);
    let told: Vec<Ipv6Net> =
        name.into_iter().flat_map(|name| network::prefixes(&view.networks, name)).collect();
    let delegated = !configured.is_empty() || !told.is_empty() || !sources.iter().all(on_link);
    let lent = lent(uplink, view);
    let mut all = [near.as_slice(), &sources, configured, &routed, &told, lent.as_slice()].concat();
    all.sort_unstable();
    all.dedup();
    (all, delegated)
}

/// The subnet of the address that an uplink without one of its own has from its prefix.
fn lent(uplink: &Uplink, view: &KernelView) -> Option<Ipv6Net> {
    let source = uplink.attachment.dormant.v6.as_ref()?.prefsrc?;
    let address = view.addresses.iter().find(|a| a.net.addr() == source)?;
    six(&address.net)
}

fn six(net: &IpNet) -> Option<Ipv6Net> {
    match net {
        IpNet::V4(_) => None,
        IpNet::V6(net) => Some(net.trunc()),
    }
}

fn overlap(a: &Ipv6Net, b: &Ipv6Net) -> bool {
    a.contains(b) || b.contains(a)
}

/// Everything that is routed on the Internet (RFC 4291 §2.4, IANA's allocation).
const fn global_unicast() -> Ipv6Net {
    Ipv6Net::new_assert(std::net::Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::kernel::network::Network;
    use crate::engine::kernel::view::{ForeignRoute, RouteKind};
    use crate::units::{IfName, Metric, TableId};

    fn net(text: &str) -> Ipv6Net {
        text.parse().unwrap()
    }

    fn id(n: u8) -> UplinkId {
        UplinkId::new(n).unwrap()
    }

    /// An uplink on interface number `n` with these prefixes on the link and in the configuration.
    fn uplink(n: u8, near: &[&str], prefixes6: &[&str]) -> Uplink {
        let text = format!("[[uplink]]\nname = \"u{n}\"\ninterface = \"up{n}\"\n");
        let mut config = crate::config::parse(&text, "test").unwrap().uplinks.remove(0);
        config.prefixes6 = prefixes6.iter().map(|p| net(p)).collect();
        let mut uplink = Uplink::new(id(n), config);
        let dev = (IfIndex(n.into()), IfName::new(&format!("up{n}")).unwrap());
        uplink.attachment.link = Some(dev);
        uplink.attachment.near = near.iter().map(|p| IpNet::V6(net(p))).collect();
        uplink
    }

    /// A default route on interface `dev` for packets from `src`.
    fn default_from(src: &str, dev: u32) -> ForeignRoute {
        ForeignRoute {
            table: TableId::MAIN,
            dst: "::/0".parse().unwrap(),
            src: Some(src.parse().unwrap()),
            gateway: Some("fe80::1".parse().unwrap()),
            dev: IfIndex(dev),
            metric: Metric(512),
            protocol: 3,
            onlink: false,
            mtu: None,
            prefsrc: None,
            kind: RouteKind::Unicast,
        }
    }

    fn learn(prefixes: &mut Prefixes, uplinks: &[Uplink], routes: &[ForeignRoute]) {
        let view = KernelView { routes: routes.to_vec(), ..KernelView::default() };
        let chain: Vec<UplinkId> = uplinks.iter().map(|u| u.id).collect();
        prefixes.learn(&chain, uplinks.iter(), &view);
    }

    #[test]
    fn without_a_word_the_rest_is_the_first_ones() {
        let mut prefixes = Prefixes::default();
        let uplinks = [
            uplink(1, &["2001:db8:1::/64", "fe80::/64"], &[]),
            uplink(2, &["2001:db8:2::/64", "fd00:2::/64"], &[]),
        ];
        learn(&mut prefixes, &uplinks, &[]);
        assert_eq!(prefixes.own(id(1)), [net("2001:db8:1::/64"), net("2000::/3")]);
        assert_eq!(prefixes.others(id(1)), [net("2001:db8:2::/64")], "local ones are not covered");
        assert_eq!(prefixes.own(id(2)), [net("2001:db8:2::/64"), net("fd00:2::/64")]);
        assert_eq!(prefixes.others(id(2)), []);
    }

    #[test]
    fn a_source_specific_default_names_what_was_delegated() {
        let mut prefixes = Prefixes::default();
        let uplinks = [uplink(1, &["2001:db8:1::/64"], &[]), uplink(2, &[], &["2001:db8:b0::/48"])];
        let on_link = default_from("2001:db8:1::/64", 1);
        learn(&mut prefixes, &uplinks, &[on_link]);
        assert!(prefixes.own(id(1)).contains(&net("2000::/3")), "its own link is no news");
        let delegated = default_from("2001:db8:a0::/48", 1);
        learn(&mut prefixes, &uplinks, &[on_link, delegated]);
        assert_eq!(prefixes.own(id(1)), [net("2001:db8:1::/64"), net("2001:db8:a0::/48")]);
        assert_eq!(prefixes.others(id(1)), [], "what is not its own is masqueraded anyway");
        assert_eq!(prefixes.own(id(2)), [net("2001:db8:b0::/48")]);
    }

    /// What the network manager says of one uplink is masqueraded by the first, which has the rest.
    #[test]
    fn a_network_manager_says_whose_a_delegated_prefix_is() {
        let mut prefixes = Prefixes::default();
        let uplinks = [uplink(1, &["2001:db8:1::/64"], &[]), uplink(2, &["2001:db8:2::/64"], &[])];
        let network = Network {
            device: IfName::new("up2"),
            prefixes6: vec![net("2001:db8:b0::/48")],
            ..Network::default()
        };
        let networks = [("wanb".to_owned(), network)].into();
        let chain = uplinks.each_ref().map(|uplink| uplink.id);
        learn(&mut prefixes, &uplinks, &[]);
        assert!(!prefixes.others(id(1)).contains(&net("2001:db8:b0::/48")), "control");
        let view = KernelView { networks, ..KernelView::default() };
        prefixes.learn(&chain, uplinks.iter(), &view);
        assert!(prefixes.others(id(1)).contains(&net("2001:db8:b0::/48")));
        assert_eq!(prefixes.own(id(2)), [net("2001:db8:2::/64"), net("2001:db8:b0::/48")]);
    }

    #[test]
    fn what_another_had_is_not_the_first_ones_when_it_is_gone() {
        let mut prefixes = Prefixes::default();
        let uplinks = [uplink(1, &["2001:db8:1::/64"], &[]), uplink(2, &[], &[])];
        let route = default_from("2001:db8:b0::/48", 2);
        learn(&mut prefixes, &uplinks, &[route]);
        assert_eq!(prefixes.others(id(1)), [net("2001:db8:b0::/48")]);
        learn(&mut prefixes, &uplinks, &[]);
        assert_eq!(prefixes.others(id(1)), [net("2001:db8:b0::/48")]);
        assert_eq!(prefixes.own(id(2)), [], "its own only while it is there");
        let lan = net("2001:db8:b0:7::/64");
        assert_eq!(prefixes.delegated(id(2), &lan), Some(Held::Once), "the LAN still has it");
        // The first one gets it now.
        let route = default_from("2001:db8:b0::/48", 1);
        learn(&mut prefixes, &uplinks, &[route]);
        assert_eq!(prefixes.delegated(id(2), &lan), None);
        assert_eq!(prefixes.delegated(id(1), &lan), Some(Held::Now));
        assert_eq!(prefixes.others(id(1)), []);
    }

    #[test]
    fn a_prefix_on_both_links_is_both_ones() {
        let mut prefixes = Prefixes::default();
        let shared = ["2001:db8:9::/64"];
        learn(&mut prefixes, &[uplink(1, &shared, &[]), uplink(2, &shared, &[])], &[]);
        assert_eq!(prefixes.others(id(1)), []);
        assert_eq!(prefixes.own(id(2)), [net("2001:db8:9::/64")]);
        assert_eq!(prefixes.delegated(id(1), &net("2001:db8:9::/64")), None, "not for sure");
    }

    #[test]
    fn the_lans_prefix_is_the_first_ones_only_if_no_other_could_have_delegated_it() {
        let lan = net("2001:db8:a0:1::/64");
        let mut prefixes = Prefixes::default();
        let first = || uplink(1, &["2001:db8:1::/64"], &[]);
        learn(&mut prefixes, &[uplink(1, &[], &[]), uplink(2, &[], &[])], &[]);
        assert_eq!(prefixes.delegated(id(1), &lan), None, "it comes from somewhere else");
        learn(&mut prefixes, &[first(), uplink(2, &[], &[])], &[]);
        assert_eq!(prefixes.delegated(id(1), &lan), Some(Held::Now), "the other one has no IPv6");
        assert_eq!(prefixes.delegated(id(1), &net("fd77::/64")), None, "local ones are nobody's");
        learn(&mut prefixes, &[first(), uplink(2, &["2001:db8:2::/64"], &[])], &[]);
        assert_eq!(prefixes.delegated(id(1), &lan), None, "either may have");
        let second = uplink(2, &["2001:db8:2::/64"], &["2001:db8:b0::/48"]);
        learn(&mut prefixes, &[first(), second], &[]);
        let held = prefixes.delegated(id(1), &lan);
        assert_eq!(held, Some(Held::Now), "the other one delegated something else");
    }
}
