//! The ways that packets of the LAN take through the box to an uplink.

use crate::engine::kernel::firewall::{Port, Way, a_client};
use crate::engine::kernel::view::KernelView;
use crate::engine::uplink::attachment::Attachment;
use crate::units::{Family, IfName};

/// One way for each LAN interface that is there and each family that both it and the uplink have. An uplink
/// of which nothing is known yet is taken to have IPv4.
#[must_use]
pub fn ways(lan: &[IfName], attachment: &Attachment, view: &KernelView) -> Vec<Way> {
    let Some((index, name)) = attachment.link.clone() else {
        return Vec::new();
    };
    let out = Port { name, index };
    let bare = attachment.dormant.iter().all(|(_, egress)| egress.is_none());
    let has =
        |family: Family| attachment.dormant.get(family).is_some() || (bare && family == Family::V4);
    let links = lan.iter().filter_map(|name| view.links.values().find(|l| l.name == *name));
    let mut ways = Vec::new();
    for link in links {
        for family in Family::BOTH.into_iter().filter(|family| has(*family)) {
            let own = view.addresses.iter().find(|a| {
                let several = a.net.prefix_len() < a.net.max_prefix_len();
                a.index == link.index && a.global && several && Family::of(&a.net.addr()) == family
            });
            let lan = Port { name: link.name.clone(), index: link.index };
            ways.extend(own.map(|a| Way { lan, out: out.clone(), client: a_client(a.net) }));
        }
    }
    ways
}
