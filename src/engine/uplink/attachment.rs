//! From what netlink said to what each uplink has: which interface it is, and its egress.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::config::{Config, DeviceMatch, UplinkConfig};
use crate::engine::health::Condition;
use crate::engine::kernel::egress::Egress;
use crate::engine::kernel::network::{self, Network, Stage};
use crate::engine::kernel::view::{ForeignRoute, KernelView, Link, LinkKind};
use crate::engine::uplink::detours::detours;
use crate::engine::uplink::near::{beside_subnets, subnets_on};
use crate::engine::uplink::source::source;
use crate::units::{Family, IfIndex, IfName, Metric, PerFamily, TableId};

/// What an uplink has now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Its interface, if there is one.
    pub link: Option<(IfIndex, IfName)>,
    pub carrier: bool,
    /// Largest packet of the interface, in bytes.
    pub mtu: u32,
    /// Subnets that are on the link: the modem lives there, not the Internet.
    pub near: Vec<IpNet>,
    /// What else is on this side of the Internet: the other end of a point-to-point address, next hops,
    /// pages of modems.
    #[serde(default)]
    pub also_near: Vec<IpNet>,
    /// The egress by family; `None`: that family is missing here, which is no fault.
    pub egress: PerFamily<Option<Egress>>,
    /// The same without regard to carrier: what the kernel can hold. A dead default is better than
    /// none.
    pub dormant: PerFamily<Option<Egress>>,
    /// The subnet of the LAN that it has, too; in that family it is not used.
    pub overlaps: PerFamily<Option<IpNet>>,
    /// Networks that `main` leads over it past the choice, see [`detours`](super::detours).
    #[serde(default)]
    pub detours: Vec<IpNet>,
    /// Why there is no way at all.
    pub fault: Option<Condition>,
}

impl Attachment {
    /// Works out what an uplink has. `lan`: the subnets of the LAN.
    #[must_use]
    pub fn of(config: &UplinkConfig, view: &KernelView, lan: &[IpNet]) -> Self {
        Self::beside(config, view, lan, &BTreeSet::new())
    }

    /// The same where some interfaces are somebody else's already: the LAN's, or another uplink's.
    #[must_use]
    pub fn beside(
        config: &UplinkConfig,
        view: &KernelView,
        lan: &[IpNet],
        taken: &BTreeSet<IfIndex>,
    ) -> Self {
        let Some(link) = find(&config.device, view, taken) else {
            return Self { fault: Some(missing(&config.device, view)), ..Self::default() };
        };
        let near = subnets_on(link, view);
        let detours = detours(link.index, &near, view);
        let mut this = Self {
            link: Some((link.index, link.name.clone())),
            carrier: link.up && link.carrier,
            mtu: link.mtu,
            also_near: beside_subnets(config, link, view, &detours),
            detours,
            near,
            ..Self::default()
        };
        if vrf(link, view).is_some() {
            this.fault = Some(Condition::InVrf);
            return this;
        }
        let stage =
            network::stage(&view.networks, config.device.network.as_deref(), Some(&link.name));
        let is_up = config.device.network.is_none() || stage == Some(&Stage::Up);
        if link.up && is_up {
            for family in Family::BOTH {
                let egress = egress(config, link, view, family).ok();
                let gateway = egress.as_ref().and_then(|egress| egress.gateway);
                *this.overlaps.get_mut(family) = overlap(family, &this.near, gateway, lan);
                *this.dormant.get_mut(family) = egress;
            }
        }
        if !this.carrier {
            let off = Condition::SwitchedOff;
            this.fault = Some(if link.up { Condition::NoCarrier } else { off });
            return this;
        }
        if !is_up {
            this.fault = Some(waits(stage));
            return this;
        }
        let egress = |family| match this.overlaps.get(family) {
            Some(_) => Err(Condition::OverlapsLan),
            None => egress(config, link, view, family),
        };
        let (v4, v6) = (egress(Family::V4), egress(Family::V6));
        // The better of the two says what is missing: a gateway rather than an address.
        this.fault = v4.as_ref().err().min(v6.as_ref().err()).copied();
        // Nobody knows better than who sets it up.
        if this.fault == Some(Condition::NoAddress) {
            this.fault = Some(waits(stage));
        }
        this.egress = PerFamily { v4: v4.ok(), v6: v6.ok() };
        this
    }

    /// The LAN's subnet that it has, too.
    #[must_use]
    pub fn overlap(&self) -> Option<IpNet> {
        self.overlaps.v4.or(self.overlaps.v6)
    }
}

/// The subnets of these interfaces, each with the interface; of several that have the same, the
/// first counts.
#[must_use]
pub fn subnets(interfaces: &[IfName], view: &KernelView) -> BTreeMap<IpNet, IfIndex> {
    let index = |dev: &IfName| view.links.values().find(|link| link.name == *dev).map(|l| l.index);
    let indexes: Vec<IfIndex> = interfaces.iter().filter_map(index).collect();
    let mut subnets = BTreeMap::new();
    for index in indexes {
        let on = view.addresses.iter().filter(|a| a.index == index && a.global);
        for net in on.map(|a| a.net.trunc()).filter(is_subnet) {
            subnets.entry(net).or_insert(index);
        }
    }
    subnets
}

/// More than one address: a lone one has no neighbours to be taken for somebody else's.
fn is_subnet(net: &IpNet) -> bool {
    net.prefix_len() < net.max_prefix_len()
}

/// The LAN's subnet that would suffer from an uplink: the uplink has it, or a part of it, or its
/// gateway is in it. A wider subnet does no harm, because the narrower one wins.
fn overlap(
    family: Family,
    near: &[IpNet],
    gateway: Option<IpAddr>,
    lan: &[IpNet],
) -> Option<IpNet> {
    let near = near.iter().copied().filter(is_subnet);
    let all = near.chain(gateway.map(IpNet::from));
    let of_family = all.filter(|net| Family::of(&net.addr()) == family);
    of_family.into_iter().find_map(|net| lan.iter().find(|lan| lan.contains(&net)).copied())
}

/// The interface that fits and is nobody else's. If several do: one with a way out; one that is not there for
/// another's sake, as a bridge, a VLAN or a bond has the hardware address of what it is made of; the lowest
/// index.
fn find<'a>(
    device: &DeviceMatch,
    view: &'a KernelView,
    taken: &BTreeSet<IfIndex>,
) -> Option<&'a Link> {
    let fitting =
        view.links.values().filter(|link| !taken.contains(&link.index) && fits(device, link, view));
    let leads_out = |link: &Link| view.routes.iter().any(|r| r.dev == link.index && r.is_default());
    fitting.min_by_key(|link| (!leads_out(link), serves(link, view), link.index))
}

/// What it says where no interface fits.
fn missing(device: &DeviceMatch, view: &KernelView) -> Condition {
    match device.network.as_ref().map(|name| view.networks.get(name)) {
        Some(None) => Condition::NoNetwork,
        Some(Some(network)) if network.stage != Stage::NoDevice => waits(Some(&network.stage)),
        Some(Some(_)) | None => Condition::Absent,
    }
}

/// Why an interface has no address.
fn waits(stage: Option<&Stage>) -> Condition {
    match stage {
        Some(Stage::Pending | Stage::Again | Stage::Failed(_)) => Condition::Pending,
        Some(Stage::SwitchedOff) => Condition::SwitchedOff,
        Some(Stage::Up | Stage::NoDevice) | None => Condition::NoAddress,
    }
}

/// The interface that is named, by itself or by netifd for its network.
#[must_use]
pub fn named<'a>(device: &'a DeviceMatch, view: &'a KernelView) -> Option<&'a IfName> {
    let network = device.network.as_ref().and_then(|name| view.networks.get(name));
    let of = |network: &'a Network| network.device.as_ref().or(network.below.as_ref());
    device.interface.as_ref().or_else(|| network.and_then(of))
}

/// Whether an interface is a port of another, or carries another.
fn serves(link: &Link, view: &KernelView) -> bool {
    let is_part = link.master.is_some() && vrf(link, view).is_none();
    is_part || view.links.values().any(|other| other.parent == Some(link.index))
}

/// The VRF that an interface belongs to.
fn vrf<'a>(link: &Link, view: &'a KernelView) -> Option<&'a Link> {
    view.links.get(&link.master?).filter(|master| master.kind == LinkKind::Vrf)
}

/// What an uplink may not match: the LAN's interfaces are no uplink's at all, and one that another
/// uplink names is that one's.
#[must_use]
pub fn spoken_for(config: &Config, view: &KernelView, uplink: &UplinkConfig) -> BTreeSet<IfIndex> {
    let lan = config.lan.iter().flat_map(|lan| &lan.interfaces);
    let others = config.uplinks.iter().filter(|other| other.name != uplink.name);
    let own = named(&uplink.device, view);
    // Two networks of one wireless interface are two uplinks that both name it.
    let theirs = others.filter_map(|o| named(&o.device, view)).filter(|n| Some(*n) != own);
    let names: BTreeSet<&IfName> = lan.chain(theirs).collect();
    let links = view.links.values().filter(|link| names.contains(&link.name));
    links.map(|link| link.index).collect()
}

fn fits(device: &DeviceMatch, link: &Link, view: &KernelView) -> bool {
    fn agrees<T: PartialEq>(wanted: Option<&T>, have: Option<&T>) -> bool {
        wanted.is_none() || wanted == have
    }
    !link.loopback
        && (device.network.is_none() || named(device, view) == Some(&link.name))
        && device
            .interface
            .as_ref()
            .is_none_or(|name| link.name == *name || link.hardware.other_names.contains(name))
        && agrees(device.usb_path.as_ref(), link.hardware.usb_path.as_ref())
        && agrees(device.driver.as_ref(), link.hardware.driver.as_ref())
        && agrees(device.mac.as_ref(), link.mac.as_ref())
        && agrees(device.ssid.as_ref(), link.hardware.ssid.as_ref())
}

/// The egress in one family, or what is missing for it.
fn egress(
    config: &UplinkConfig,
    link: &Link,
    view: &KernelView,
    family: Family,
) -> Result<Egress, Condition> {
    let learned = learn_gateway(link, view, family);
    let told = || network::gateway(&view.networks, &link.name, family);
    let gateway = config.gateway.get(family).or_else(|| match learned {
        Some(route) => route.gateway,
        // Of several networks with one metric the kernel has one default route.
        None => told(),
    });
    let source = source(config, link, view, learned, family).ok_or(Condition::NoAddress)?;
    if gateway.is_none() && !link.point_to_point && learned.is_none() {
        return Err(Condition::NoGateway);
    }
    let on_link = |addr: IpAddr| {
        let link_local = matches!(addr, IpAddr::V6(a) if a.is_unicast_link_local());
        link_local || subnets_on(link, view).iter().any(|net| net.contains(&addr))
    };
    Ok(Egress {
        index: link.index,
        dev: link.name.clone(),
        source: source.addr,
        prefsrc: source.named,
        gateway,
        onlink: learned.is_some_and(|r| r.onlink) || gateway.is_some_and(|g| !on_link(g)),
        mtu: learned.and_then(|route| route.mtu),
    })
}

/// The default route that somebody else put there: in `main` rather than elsewhere, by metric,
/// and an ordinary one rather than a source-specific one.
fn learn_gateway<'a>(
    link: &Link,
    view: &'a KernelView,
    family: Family,
) -> Option<&'a ForeignRoute> {
    view.routes
        .iter()
        .filter(|r| r.dev == link.index && r.family() == family && r.is_default())
        .min_by_key(|r| (r.table != TableId::MAIN, r.src.is_some(), r.metric, r.gateway))
}

/// Where `main` itself would send packets now, among these interfaces.
#[must_use]
pub fn main_default(view: &KernelView, family: Family) -> Option<IfIndex> {
    let best = |r: &&ForeignRoute| (r.metric, r.dev);
    let alive = |dev| view.links.get(&dev).is_some_and(|link| link.up && link.carrier);
    let defaults = view
        .routes
        .iter()
        .filter(|r| r.table == TableId::MAIN && r.family() == family && r.is_default());
    defaults.filter(|r| r.metric < Metric(u32::MAX) && alive(r.dev)).min_by_key(best).map(|r| r.dev)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::kernel::view::{Address, Hardware, RouteKind};

    fn config(interface: &str) -> UplinkConfig {
        let text = format!("[[uplink]]\nname = \"cable\"\ninterface = \"{interface}\"\n");
        crate::config::parse(&text, "test").unwrap().uplinks.remove(0)
    }

    fn link(index: u32, name: &str) -> Link {
        Link::wired(IfIndex(index), name)
    }

    fn address(index: u32, net: &str) -> Address {
        Address {
            index: IfIndex(index),
            net: net.parse().unwrap(),
            peer: None,
            global: true,
            deprecated: false,
        }
    }

    fn default_via(gateway: &str, dev: u32, metric: u32) -> ForeignRoute {
        let gateway: IpAddr = gateway.parse().unwrap();
        let dst = if gateway.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
        ForeignRoute {
            table: TableId::MAIN,
            dst: dst.parse().unwrap(),
            src: None,
            gateway: Some(gateway),
            dev: IfIndex(dev),
            metric: Metric(metric),
            protocol: 16,
            onlink: false,
            mtu: None,
            prefsrc: None,
            kind: RouteKind::Unicast,
        }
    }

    #[test]
    fn the_conditions_are_told_apart() {
        let mut view = KernelView::default();
        let cable = config("eth1");
        let fault = |view: &KernelView| Attachment::of(&cable, view, &[]).fault;
        assert_eq!(fault(&view), Some(Condition::Absent));
        view.links.insert(IfIndex(2), Link { carrier: false, ..link(2, "eth1") });
        assert_eq!(fault(&view), Some(Condition::NoCarrier));
        view.links.insert(IfIndex(2), link(2, "eth1"));
        assert_eq!(fault(&view), Some(Condition::NoAddress));
        view.addresses.push(address(2, "192.168.1.2/24"));
        assert_eq!(fault(&view), Some(Condition::NoGateway));
        view.routes.push(default_via("192.168.1.1", 2, 100));
        assert_eq!(fault(&view), None);
        let egress = Attachment::of(&cable, &view, &[]).egress.v4.unwrap();
        assert_eq!(egress.gateway, Some("192.168.1.1".parse().unwrap()));
        assert!(!egress.onlink);
    }

    #[test]
    fn an_interface_is_one_uplink_and_never_the_lans() {
        let text = "[[uplink]]\nname = \"phone\"\nmatch = { driver = \"cdc_ncm\" }\n\
                    [[uplink]]\nname = \"stick\"\ninterface = \"usb1\"\n\
                    [lan]\ninterfaces = [\"lan0\"]\n";
        let config = crate::config::parse(text, "test").unwrap();
        let mut view = KernelView::default();
        for (index, name) in [(2, "lan0"), (3, "usb1"), (4, "usb2")] {
            let hardware = Hardware { driver: Some("cdc_ncm".to_owned()), ..Hardware::default() };
            view.links.insert(IfIndex(index), Link { hardware, ..link(index, name) });
        }
        let found = |view: &KernelView| {
            let mut taken = BTreeSet::new();
            let each = config.uplinks.iter().map(|uplink| {
                let mut not = spoken_for(&config, view, uplink);
                not.extend(&taken);
                let link = Attachment::beside(uplink, view, &[], &not).link;
                taken.extend(link.iter().map(|(index, _)| *index));
                link.map(|(index, _)| index.0)
            });
            each.collect::<Vec<_>>()
        };
        assert_eq!(found(&view), [Some(4), Some(3)]);
        view.links.remove(&IfIndex(4));
        assert_eq!(found(&view), [None, Some(3)], "nothing is left for the phone");
    }

    #[test]
    fn of_several_with_one_address_the_one_with_a_way_out_is_meant() {
        let text = "[[uplink]]\nname = \"cable\"\nmatch = { mac = \"02:00:00:00:00:07\" }\n";
        let cable = crate::config::parse(text, "test").unwrap().uplinks.remove(0);
        let same = |index, name| Link { mac: Some([2, 0, 0, 0, 0, 7]), ..link(index, name) };
        let mut view = KernelView::default();
        let found = |view: &KernelView| {
            Attachment::of(&cable, view, &[]).link.map(|(_, name)| name.to_string())
        };
        let some = |name: &str| Some(name.to_owned());
        view.links.insert(IfIndex(2), same(2, "eth1"));
        assert_eq!(found(&view), some("eth1"));
        view.links.insert(IfIndex(3), Link { parent: Some(IfIndex(2)), ..same(3, "eth1.7") });
        assert_eq!(found(&view), some("eth1.7"), "its parent only carries it");
        view.links.insert(IfIndex(3), same(3, "br-wan"));
        view.links.insert(IfIndex(2), Link { master: Some(IfIndex(3)), ..same(2, "eth1") });
        assert_eq!(found(&view), some("br-wan"), "its port is only a part");
        view.routes.push(default_via("192.168.1.1", 2, 100));
        assert_eq!(found(&view), some("eth1"), "who has a way out is meant");
    }

    #[test]
    fn a_vrf_is_told_as_what_it_is() {
        let mut view = KernelView::default();
        let domain = Link { kind: LinkKind::Vrf, ..link(9, "blue") };
        view.links.insert(IfIndex(9), domain);
        view.links.insert(IfIndex(2), Link { master: Some(IfIndex(9)), ..link(2, "eth1") });
        view.addresses.push(address(2, "192.168.1.2/24"));
        view.routes.push(ForeignRoute { table: TableId(10), ..default_via("192.168.1.1", 2, 100) });
        let has = Attachment::of(&config("eth1"), &view, &[]);
        assert_eq!(has.fault, Some(Condition::InVrf));
        assert!(has.egress.v4.is_none() && has.dormant.v4.is_none());
        view.links.remove(&IfIndex(9));
        assert_eq!(Attachment::of(&config("eth1"), &view, &[]).fault, None, "control");
    }

    #[test]
    fn point_to_point_needs_no_gateway_and_a_source_specific_default_will_do() {
        let mut view = KernelView::default();
        view.links.insert(IfIndex(7), Link { point_to_point: true, ..link(7, "wwan0") });
        view.addresses.push(address(7, "10.1.2.3/32"));
        assert_eq!(Attachment::of(&config("wwan0"), &view, &[]).egress.v4.unwrap().gateway, None);

        view.links.insert(IfIndex(8), link(8, "eth1"));
        view.addresses.push(address(8, "2001:db8:1::5/64"));
        let mut route = default_via("fe80::1", 8, 512);
        route.src = Some("2001:db8:1::/48".parse().unwrap());
        view.routes.push(route);
        let egress = Attachment::of(&config("eth1"), &view, &[]).egress.v6.unwrap();
        assert_eq!(egress.gateway, Some("fe80::1".parse().unwrap()));
        assert!(!egress.onlink, "link-local is always on the link");
    }

    #[test]
    fn an_uplink_with_the_lans_subnet_is_refused_where_it_does_harm() {
        let cases = [
            // Uplink's address, its gateway, the LAN's subnet, whether it is refused.
            ("192.168.1.50/24", "192.168.1.1", "192.168.1.0/24", true),
            ("192.168.1.50/24", "192.168.1.1", "192.168.0.0/16", true),
            ("10.0.0.2/8", "10.0.0.1", "10.77.0.0/24", false),
            ("10.0.0.2/8", "10.77.0.1", "10.77.0.0/24", true),
            ("192.168.1.50/24", "192.168.1.1", "192.168.2.0/24", false),
            ("10.77.0.5/32", "10.64.0.1", "10.77.0.0/24", false),
            ("2001:db8:1::5/64", "fe80::1", "2001:db8:1::/64", true),
            ("2001:db8:1::5/64", "fe80::1", "2001:db8:1:1::/64", false),
        ];
        for (own, gateway, lan, refused) in cases {
            let mut view = KernelView::default();
            view.links.insert(IfIndex(2), link(2, "eth1"));
            view.addresses.push(address(2, own));
            view.routes.push(default_via(gateway, 2, 100));
            let has = Attachment::of(&config("eth1"), &view, &[lan.parse().unwrap()]);
            assert_eq!(has.overlap().is_some(), refused, "{own} by {gateway}, {lan}");
            assert_eq!(has.fault, refused.then_some(Condition::OverlapsLan).or(has.fault));
            assert_eq!(has.egress.v4.is_some() || has.egress.v6.is_some(), !refused);
            assert!(has.dormant.v4.is_some() || has.dormant.v6.is_some(), "the kernel can hold it");
        }
    }

    #[test]
    fn the_lan_is_what_its_interfaces_have() {
        let mut view = KernelView::default();
        for (index, name) in [(2, "eth1"), (3, "br-lan"), (4, "br-iot")] {
            view.links.insert(IfIndex(index), link(index, name));
        }
        for (index, net) in
            [(2, "10.0.0.2/24"), (4, "10.1.0.1/24"), (3, "10.1.0.2/24"), (3, "10.2.0.1/32")]
        {
            view.addresses.push(address(index, net));
        }
        view.addresses.push(Address { global: false, ..address(3, "fe80::1/64") });
        let lan = ["br-lan", "br-iot", "br-none"].map(|name| IfName::new(name).unwrap());
        let expected = BTreeMap::from([("10.1.0.0/24".parse().unwrap(), IfIndex(3))]);
        assert_eq!(subnets(&lan, &view), expected);
    }

    #[test]
    fn while_a_lease_changes_the_address_follows_the_gateway() {
        let mut view = KernelView::default();
        view.links.insert(IfIndex(2), link(2, "eth1"));
        view.addresses.extend([address(2, "10.9.0.50/24"), address(2, "192.168.1.2/24")]);
        let source =
            |view: &KernelView| Attachment::of(&config("eth1"), view, &[]).egress.v4.unwrap();
        view.routes = vec![default_via("192.168.1.1", 2, 100)];
        assert_eq!(source(&view).source.to_string(), "192.168.1.2");
        view.routes = vec![default_via("10.9.0.1", 2, 100)];
        assert_eq!(source(&view).source.to_string(), "10.9.0.50");
        view.addresses[0].deprecated = true;
        assert_eq!(source(&view).source.to_string(), "192.168.1.2", "deprecated ones come last");
    }

    #[test]
    fn a_gateway_outside_the_subnet_is_onlink() {
        let mut view = KernelView::default();
        view.links.insert(IfIndex(2), link(2, "eth1"));
        view.addresses.push(address(2, "203.0.113.7/32"));
        view.routes.push(default_via("198.51.100.1", 2, 0));
        assert!(Attachment::of(&config("eth1"), &view, &[]).egress.v4.unwrap().onlink);
        assert_eq!(main_default(&view, Family::V4), Some(IfIndex(2)));
    }
}
