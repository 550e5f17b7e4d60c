//! For which networks the box forwards, or could.

use std::net::IpAddr;

use ipnet::IpNet;

use super::chain::Uplink;
use super::facts::Seen;
use super::nature::Nature;
use crate::engine::kernel::view::{ForeignRoute, Link};
use crate::units::{Family, IfName};

/// A network behind the box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lan {
    pub interface: IfName,
    /// The box's own address there.
    pub address: IpNet,
    /// The kernel forwards what comes in by it.
    pub forwards: bool,
}

/// Names of bridges that containers and virtual machines hang on: Docker, libvirt, LXC, Incus, CNI, Podman, nerdctl, Home
/// Assistant, VirtualBox, VMware.
const GUESTS: [&str; 12] = [
    "docker", "virbr", "lxcbr", "lxdbr", "incusbr", "cni", "podman", "nerdctl", "hassio",
    "vboxnet", "vmnet", "veth",
];

/// The networks in which the box has a private address of its own and no default route, in the order of the kernel's
/// numbers.
#[must_use]
pub(super) fn lans(seen: &Seen, uplinks: &[Uplink]) -> Vec<Lan> {
    let is_uplink = |link: &Link| uplinks.iter().any(|uplink| uplink.interface == link.name);
    let links = seen.view.links.values().filter(|link| {
        link.up
            && link.master.is_none()
            && !link.point_to_point
            && !is_guests(link.name.as_str())
            && !is_uplink(link)
            && has_no_default(seen, link)
            && Nature::of(link, &seen.device(link)).is_some()
    });
    let lans = links.filter_map(|link| {
        Some(Lan {
            interface: link.name.clone(),
            address: own_address(seen, link)?,
            forwards: seen.forwards.contains(&link.name),
        })
    });
    lans.collect()
}

/// Docker names the bridges of its networks `br-` and twelve hexadecimal digits.
fn is_guests(name: &str) -> bool {
    let network = name
        .strip_prefix("br-")
        .is_some_and(|rest| rest.len() == 12 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    network || GUESTS.iter().any(|word| name.starts_with(word))
}

/// By IPv6 somebody's router may advertise itself into a LAN, which makes it no way out.
fn has_no_default(seen: &Seen, link: &Link) -> bool {
    let leads = |route: &ForeignRoute| route.is_default() && route.family() == Family::V4;
    !seen.view.routes.iter().any(|route| route.dev == link.index && leads(route))
}

/// A private IPv4 address with room for others beside it.
fn own_address(seen: &Seen, link: &Link) -> Option<IpNet> {
    let nets = seen.view.addresses.iter().filter(|a| a.index == link.index && a.global);
    let mut private = nets.map(|a| a.net).filter(|net| match net.addr() {
        IpAddr::V4(address) => address.is_private() && net.prefix_len() < 31,
        IpAddr::V6(_) => false,
    });
    private.next()
}
