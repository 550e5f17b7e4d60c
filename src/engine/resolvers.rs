//! Whose resolvers the box should ask now: those of the uplink in use, then public ones.
//!
//! A provider answers its own customers only, so that its resolvers are of use while traffic goes by its
//! line and of none afterwards.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::health::Health;
use super::kernel::KernelView;
use super::message::Output;
use super::uplink::Uplink;
use super::{Engine, Mode};
use crate::units::{Family, IfIndex, IfName, UplinkId};

/// Resolvers as the system names them, in the order in which it would ask them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// By the number of the interface they were learned on.
    pub by_index: BTreeMap<IfIndex, Vec<IpAddr>>,
    /// By the name of the interface, which the program that learned them may have added to
    /// (`eth1.dhcp`), or by what OpenWrt's network configuration calls it (`wan`).
    pub by_name: BTreeMap<String, Vec<IpAddr>>,
}

/// The resolvers to ask now, as in `resolv.conf(5)`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolvers {
    /// The uplinks in use, for people.
    pub uplinks: Vec<String>,
    /// Some of them are public because the uplink's own do not answer.
    pub own_are_silent: bool,
    /// The best first.
    pub list: Vec<Nameserver>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nameserver {
    /// Its address.
    pub address: IpAddr,
    /// The interface behind which a link-local address is meant (RFC 4007).
    pub scope: Option<IfName>,
}

/// glibc and musl read so many (`MAXNS` in resolv.h) and pass over the rest.
const MOST: usize = 3;
/// Of an uplink's own, so that a public one is among those that are read.
const OWN: usize = 2;
/// Resolvers of one family that are learned for an uplink; none names more than three.
const LEARNED: usize = 4;

impl Resolvers {
    /// The file for those who resolve names on this box.
    #[must_use]
    pub fn text(&self) -> String {
        let whose = self.uplinks.join(" and ");
        let order = match self.own_are_silent {
            false => "its own resolvers if they are known, then public ones",
            true => "public resolvers, for its own do not answer",
        };
        let mut text = format!(
            "# Written by sparelink, anew whenever another uplink is used.\n# For {whose}: {order}.\n"
        );
        for nameserver in &self.list {
            let _ = writeln!(text, "nameserver {nameserver}");
        }
        // The default of 5 s makes people wait for a resolver that has just died. musl counts it for
        // all attempts together, and a loaded mobile line needs 2 s for one.
        text.push_str("options timeout:3 attempts:2\n");
        text
    }
}

impl fmt::Display for Nameserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.scope {
            None => write!(f, "{}", self.address),
            Some(scope) => write!(f, "{}%{scope}", self.address),
        }
    }
}

impl Named {
    /// Those that belong to the uplink of that name on that interface.
    fn of<'a>(
        &'a self,
        uplink: &'a str,
        link: &'a (IfIndex, IfName),
        view: &'a KernelView,
    ) -> impl Iterator<Item = IpAddr> + 'a {
        let (index, interface) = link;
        let by_index = self.by_index.get(index).into_iter().flatten();
        let fits = move |key: &str| match owner(key, view) {
            Some(owner) => owner == interface.as_str(),
            None => is_called(key, uplink, interface.as_str()),
        };
        let by_name =
            self.by_name.iter().filter(move |(key, _)| fits(key)).flat_map(|(_, ips)| ips);
        by_index.chain(by_name).copied()
    }
}

/// The interface that a name begins with: `eth1` of `eth1.dhcp`, but `eth1.7` if there is one.
fn owner<'a>(key: &'a str, view: &KernelView) -> Option<&'a str> {
    let exists = |name: &str| view.links.values().any(|link| link.name.as_str() == name);
    let ends = key.rmatch_indices('.').map(|(at, _)| at);
    let mut names = std::iter::once(key.len()).chain(ends).map(|end| &key[..end]);
    names.find(|name| exists(name))
}

/// Whether OpenWrt's name for a network is this uplink's: the uplink's own name, or the end of
/// `pppoe-wan`; what it adds for the second family (`wan6`, `wan_6`, `wan_4`) aside.
fn is_called(key: &str, uplink: &str, interface: &str) -> bool {
    let tunnel = interface.split_once('-').map(|(_, name)| name);
    let same = |key: &str| key == uplink || Some(key) == tunnel;
    let plain = key.strip_suffix("_6").or_else(|| key.strip_suffix("_4"));
    same(key) || plain.or_else(|| key.strip_suffix('6')).is_some_and(same)
}

/// The resolvers of an uplink: for each family those that the configuration names, else those that
/// the system has learned.
fn own(uplink: &Uplink, named: &Named, view: &KernelView) -> Vec<IpAddr> {
    let mut own = uplink.config.resolvers.clone();
    let configured = |ip: &IpAddr| {
        uplink.config.resolvers.iter().any(|other| Family::of(other) == Family::of(ip))
    };
    let Some(link) = &uplink.attachment.link else {
        return own;
    };
    let mut left = [LEARNED; 2];
    for ip in named.of(&uplink.config.name, link, view) {
        let room = &mut left[usize::from(ip.is_ipv6())];
        if *room > 0 && !configured(&ip) && !own.contains(&ip) && is_learnable(ip, uplink, view) {
            *room -= 1;
            own.push(ip);
        }
    }
    own
}

/// Whether an address can be a resolver of this uplink: no stub on the box itself, and nobody on
/// another of its networks (a filter in the LAN, say), whom no probe by this uplink would find.
fn is_learnable(ip: IpAddr, uplink: &Uplink, view: &KernelView) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    let nobody = ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() || broadcast;
    let box_itself = view.addresses.iter().any(|a| a.net.addr() == ip);
    let index = uplink.attachment.link.as_ref().map(|link| link.0);
    let elsewhere = view.addresses.iter().any(|a| {
        Some(a.index) != index && a.net.prefix_len() > 0 && a.net.contains(&ip) && !is_scoped(ip)
    });
    let near = uplink.attachment.near.iter().any(|net| net.contains(&ip));
    !nobody && !box_itself && (near || !elsewhere)
}

/// A link-local address says nothing without its interface.
const fn is_scoped(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// A target that cannot be a public resolver: somebody's own machine.
const fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local() || ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_loopback(),
    }
}

impl Engine {
    /// The system names other resolvers now.
    pub(super) fn resolvers_named(&mut self, named: Named) {
        self.named = named;
        self.learn_resolvers();
    }

    /// Works out anew which resolvers each uplink has.
    pub(super) fn learn_resolvers(&mut self) {
        for uplink in self.uplinks.values_mut() {
            uplink.resolvers = own(uplink, &self.named, &self.view);
        }
        self.undecided = true;
    }

    /// Tells whom to ask for names, if that has changed.
    pub(super) fn follow_resolvers(&mut self) {
        let Some(now) = self.resolvers_now() else { return };
        if self.resolvers.as_ref() != Some(&now) {
            self.resolvers = Some(now.clone());
            if self.mode == Mode::Steer {
                self.outputs.push_back(Output::Resolvers(now));
            }
        }
    }

    /// Whom to ask for names; `None` while nothing works: then whoever was asked last stays, for
    /// nobody would be better.
    fn resolvers_now(&self) -> Option<Resolvers> {
        let carrying = |family: Family| {
            let u = self.uplinks.get(&self.active.get(family).uplink?)?;
            let line = u.lines.get(family);
            let dead = matches!(line.health, Health::Down { .. });
            (line.way.is_some() && !dead).then_some(u)
        };
        let (v4, v6) = (carrying(Family::V4), carrying(Family::V6));
        let first = v4.or(v6)?;
        let second = v6.filter(|u| u.id != first.id);
        let (mut good, mut silent) = (Vec::new(), Vec::new());
        for u in [Some(first), second].into_iter().flatten() {
            for ip in &u.resolvers {
                let family = Family::of(ip);
                let carries = carrying(family).is_some_and(|carrier| carrier.id == u.id);
                if !carries || ip.is_loopback() || self.is_ambiguous(*ip, u.id) {
                    continue;
                }
                let scope = u.attachment.link.as_ref().filter(|_| is_scoped(*ip));
                let scope = scope.map(|(_, name)| name.clone());
                let conduct = u.lines.get(family).proof.conduct();
                let list = if conduct.is_silent(ip) { &mut silent } else { &mut good };
                list.push(Nameserver { address: *ip, scope });
            }
        }
        let public = Family::BOTH.into_iter().filter(|f| carrying(*f).is_some());
        let public = public.flat_map(|family| self.config.probe.targets(family).iter().copied());
        let public = public.filter(|ip| !is_private(*ip));
        let public = public.map(|address| Nameserver { address, scope: None });
        let own_are_silent = good.is_empty() && !silent.is_empty();
        let rest = good.split_off(good.len().min(OWN));
        let mut list: Vec<Nameserver> = Vec::new();
        for nameserver in good.into_iter().chain(public).chain(rest).chain(silent) {
            if list.len() < MOST && !list.contains(&nameserver) {
                list.push(nameserver);
            }
        }
        let uplinks = [Some(first), second].into_iter().flatten();
        let uplinks = uplinks.map(|u| u.config.name.clone()).collect();
        Some(Resolvers { uplinks, own_are_silent, list })
    }

    /// Whether an address lies in the subnet of another uplink, too (two modems of one make): then
    /// the kernel's connected routes decide who gets the question.
    fn is_ambiguous(&self, ip: IpAddr, of: UplinkId) -> bool {
        let others = self.uplinks.values().filter(|u| u.id != of);
        !is_scoped(ip)
            && others
                .flat_map(|u| &u.attachment.near)
                .any(|net| net.prefix_len() > 0 && net.contains(&ip))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config;
    use crate::engine::kernel::{Address, Hardware, Link};
    use crate::engine::message::{Input, Restored};
    use crate::time::{Instant, Now};
    use crate::units::PerFamily;

    const NOW: Now = Now { mono: Instant::from_micros(1_000_000), utc: None };

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// A box with cable on eth1 (number 2), mifi on usb0 (3) and a LAN on br-lan (4), both families
    /// on each.
    fn view() -> KernelView {
        let mut view = KernelView::default();
        for (number, name) in [(2, "eth1"), (3, "usb0"), (4, "br-lan"), (5, "eth1.7")] {
            let index = IfIndex(number);
            let link = Link {
                index,
                name: IfName::new(name).unwrap(),
                up: true,
                carrier: true,
                point_to_point: true,
                loopback: false,
                mtu: 1500,
                mac: None,
                hardware: Hardware::default(),
            };
            view.links.insert(index, link);
            for net in [format!("192.168.{number}.2/24"), format!("2001:db8:{number}::2/64")] {
                let net = net.parse().unwrap();
                view.addresses.push(Address {
                    index,
                    net,
                    peer: None,
                    global: true,
                    deprecated: false,
                });
            }
        }
        view
    }

    fn engine(more: &str, mode: Mode) -> Engine {
        let text = format!(
            "[[uplink]]\nname = \"cable\"\ninterface = \"eth1\"\n{more}\n[[uplink]]\nname = \"mifi\"\ninterface = \"usb0\"\n"
        );
        let config = config::parse(&text, "test").unwrap();
        Engine::new(config, mode, Restored::default(), 1, NOW)
    }

    fn start(engine: &mut Engine, view: KernelView) {
        let (adopted, spares) = (PerFamily::default(), PerFamily::default());
        engine.handle(Input::Started { view, adopted, spares }, NOW);
    }

    /// What was last told to be written.
    fn told(engine: &mut Engine) -> Option<String> {
        let mut last = None;
        while let Some(output) = engine.poll_output() {
            if let Output::Resolvers(now) = output {
                let list: Vec<String> = now.list.iter().map(ToString::to_string).collect();
                last = Some(list.join(" "));
            }
        }
        last
    }

    fn learned(by_index: &[(u32, &str)], by_name: &[(&str, &str)]) -> Named {
        let ips = |text: &str| text.split_whitespace().map(ip).collect::<Vec<_>>();
        let mut named = Named::default();
        for (index, text) in by_index {
            named.by_index.insert(IfIndex(*index), ips(text));
        }
        for (name, text) in by_name {
            named.by_name.insert((*name).to_owned(), ips(text));
        }
        named
    }

    #[test]
    fn the_uplinks_own_come_first_then_public_ones_three_in_all() {
        let rows = [
            ("", learned(&[], &[]), "1.1.1.1 8.8.8.8 9.9.9.9"),
            ("resolvers = [\"192.0.2.1\"]", learned(&[], &[]), "192.0.2.1 1.1.1.1 8.8.8.8"),
            // One public one at the least; nobody twice.
            (
                "resolvers = [\"192.0.2.1\", \"192.0.2.2\", \"192.0.2.3\"]",
                learned(&[], &[]),
                "192.0.2.1 192.0.2.2 1.1.1.1",
            ),
            ("resolvers = [\"8.8.8.8\"]", learned(&[], &[]), "8.8.8.8 1.1.1.1 9.9.9.9"),
            ("", learned(&[(2, "192.0.2.9 2001:db8::53")], &[]), "192.0.2.9 2001:db8::53 1.1.1.1"),
            // What is configured for a family is not learned for it.
            (
                "resolvers = [\"192.0.2.1\"]",
                learned(&[(2, "192.0.2.9 2001:db8::53")], &[]),
                "192.0.2.1 2001:db8::53 1.1.1.1",
            ),
            // Those of others are theirs.
            (
                "",
                learned(
                    &[(3, "192.0.2.9")],
                    &[("eth1.7", "192.0.2.7"), ("usb0.dhcp", "192.0.2.6")],
                ),
                "1.1.1.1 8.8.8.8 9.9.9.9",
            ),
            (
                "",
                learned(&[], &[("eth1.dhcp", "192.0.2.7"), ("eth1.dhcp.x", "192.0.2.8")]),
                "192.0.2.7 192.0.2.8 1.1.1.1",
            ),
            (
                "",
                learned(&[], &[("cable", "192.0.2.7"), ("cable6", "2001:db8::53")]),
                "192.0.2.7 2001:db8::53 1.1.1.1",
            ),
            // The box itself, its stub, and a filter in the LAN are nobody's resolvers; the modem is.
            (
                "",
                learned(
                    &[(
                        2,
                        "127.0.0.53 ::1 192.168.4.2 192.168.4.9 0.0.0.0 224.0.0.251 192.168.2.1",
                    )],
                    &[],
                ),
                "192.168.2.1 1.1.1.1 8.8.8.8",
            ),
            ("", learned(&[(2, "fe80::1")], &[]), "fe80::1%eth1 1.1.1.1 8.8.8.8"),
        ];
        for (more, named, expected) in rows {
            for named_first in [true, false] {
                let mut engine = engine(more, Mode::Steer);
                if named_first {
                    engine.handle(Input::Resolvers(named.clone()), NOW);
                    assert_eq!(told(&mut engine), None, "before it has looked at the box");
                    start(&mut engine, view());
                } else {
                    start(&mut engine, view());
                    engine.handle(Input::Resolvers(named.clone()), NOW);
                }
                assert_eq!(told(&mut engine).as_deref(), Some(expected), "{more} {named:?}");
                engine.handle(Input::Resolvers(named.clone()), NOW);
                assert_eq!(told(&mut engine), None, "nothing has changed");
            }
        }
    }

    #[test]
    fn a_modem_that_could_be_either_is_left_out() {
        let mut view = view();
        for address in &mut view.addresses {
            if address.index == IfIndex(3) && address.net.addr().is_ipv4() {
                address.net = "192.168.2.3/24".parse().unwrap();
            }
        }
        let mut engine = engine("resolvers = [\"192.168.2.1\"]", Mode::Steer);
        start(&mut engine, view);
        assert_eq!(told(&mut engine).as_deref(), Some("1.1.1.1 8.8.8.8 9.9.9.9"));
    }

    #[test]
    fn each_family_asks_its_own_uplink_and_a_missing_one_nobody() {
        // The cable has no IPv4: that goes by mifi.
        let mut view = view();
        view.addresses.retain(|a| a.index != IfIndex(2) || a.net.addr().is_ipv6());
        let mut split = engine("resolvers = [\"192.0.2.1\", \"2001:db8::1\"]", Mode::Steer);
        start(&mut split, view.clone());
        split.handle(Input::Resolvers(learned(&[(3, "192.0.2.3 2001:db8::3")], &[])), NOW);
        assert_eq!(told(&mut split).as_deref(), Some("192.0.2.3 2001:db8::1 1.1.1.1"));
        let text = split.resolvers.as_ref().unwrap().text();
        assert!(text.contains("# For mifi and cable: "), "{text}");

        view.addresses.retain(|a| a.net.addr().is_ipv6());
        let mut six = engine("", Mode::Steer);
        start(&mut six, view);
        let public = "2606:4700:4700::1111 2001:4860:4860::8888 2620:fe::fe";
        assert_eq!(told(&mut six).as_deref(), Some(public));
    }

    #[test]
    fn an_observer_writes_nothing_but_knows() {
        let mut engine = engine("", Mode::Observe);
        start(&mut engine, view());
        assert_eq!(told(&mut engine), None);
        assert_eq!(engine.snapshot(NOW).resolvers, ["1.1.1.1", "8.8.8.8", "9.9.9.9"]);
    }

    #[test]
    fn a_box_without_any_uplink_keeps_whom_it_had() {
        let mut engine = engine("resolvers = [\"192.0.2.1\"]", Mode::Steer);
        start(&mut engine, view());
        assert!(told(&mut engine).is_some());
        engine.handle(Input::View(KernelView::default()), NOW);
        assert_eq!(told(&mut engine), None);
        assert_eq!(engine.snapshot(NOW).resolvers[0], "192.0.2.1");
    }

    #[test]
    fn the_file_reads_well() {
        let one = |address: &str| Nameserver { address: ip(address), scope: None };
        let resolvers = Resolvers {
            uplinks: vec!["cable".to_owned()],
            own_are_silent: false,
            list: vec![one("192.0.2.1"), one("1.1.1.1")],
        };
        let expected = "\
# Written by sparelink, anew whenever another uplink is used.
# For cable: its own resolvers if they are known, then public ones.
nameserver 192.0.2.1
nameserver 1.1.1.1
options timeout:3 attempts:2
";
        assert_eq!(resolvers.text(), expected);
    }

    fn any_ip() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            any::<u32>().prop_map(|bits| IpAddr::V4(bits.into())),
            any::<u128>().prop_map(|bits| IpAddr::V6(bits.into())),
            prop::sample::select(vec![
                "127.0.0.53",
                "192.168.2.1",
                "192.168.2.2",
                "192.168.4.7",
                "fe80::1",
                "8.8.8.8"
            ])
            .prop_map(ip),
        ]
    }

    fn any_named() -> impl Strategy<Value = Named> {
        let list = || prop::collection::vec(any_ip(), 0..9);
        let key = "eth1|eth1\\.[a-z]{0,3}|usb0\\.7|cable_?[46]?|[a-z.6-]{0,6}|\\PC{0,5}";
        let by_index = prop::collection::btree_map((0u32..7).prop_map(IfIndex), list(), 0..5);
        let by_name = prop::collection::btree_map(key, list(), 0..6);
        (by_index, by_name).prop_map(|(by_index, by_name)| Named { by_index, by_name })
    }

    proptest! {
        /// Whatever the system names: at most three, nobody twice, never the box itself, always a public
        /// one, and no more learned than there is room for.
        #[test]
        fn whatever_is_named_the_file_is_sound(all in prop::collection::vec(any_named(), 1..4)) {
            let mut engine = engine("", Mode::Steer);
            start(&mut engine, view());
            for named in all {
                engine.handle(Input::Resolvers(named), NOW);
                let now = engine.resolvers.clone().unwrap();
                prop_assert!((1..=MOST).contains(&now.list.len()), "{now:?}");
                let mut seen = now.list.iter().map(ToString::to_string).collect::<Vec<_>>();
                prop_assert!(seen.iter().any(|n| n == "1.1.1.1" || n == "8.8.8.8"), "{seen:?}");
                seen.sort();
                seen.dedup();
                prop_assert_eq!(seen.len(), now.list.len());
                for n in &now.list {
                    prop_assert!(!n.address.is_loopback() && !n.address.is_multicast());
                    prop_assert!(view().addresses.iter().all(|a| a.net.addr() != n.address), "{n}");
                }
                for u in engine.uplinks.values() {
                    prop_assert!(u.resolvers.len() <= 2 * LEARNED);
                }
            }
        }
    }
}
