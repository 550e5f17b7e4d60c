//! What a configuration says, with what is there now.

use super::said::{Said, Way};
use crate::config::Kind;
use crate::engine::doctor::proposal::chain::{
    Origin, Skipped, Uplink, Why, describe, uplinks as found,
};
use crate::engine::doctor::proposal::facts::Seen;
use crate::engine::doctor::proposal::file::Proposal;
use crate::engine::doctor::proposal::lan::{Lan, lans};
use crate::engine::doctor::proposal::nature::Nature;
use crate::engine::kernel::view::Link;
use crate::units::{IfName, Metric, UplinkId};

/// Stands for an interface of which only the hardware address is known.
const NAMELESS: &str = "?";

/// What another program's configuration would be for sparelink. Uplinks stay in its order, whether they are there or not; what
/// it does not name is left out, and told.
#[must_use]
pub fn named(said: &Said, seen: &Seen) -> Proposal {
    let mut skipped = Vec::new();
    let mut uplinks: Vec<Uplink> = Vec::new();
    for way in &said.uplinks {
        let link = way.interface.as_ref();
        let link = link.and_then(|name| seen.view.links.values().find(|l| l.name == *name));
        match link.map(|link| there(way, seen, link)) {
            Some(Ok(uplink)) => uplinks.push(uplink),
            Some(Err(one)) => skipped.push(one),
            None => uplinks.extend(absent(way)),
        }
    }
    let room = usize::from(UplinkId::MAX);
    let surplus = uplinks.split_off(uplinks.len().min(room)).into_iter();
    skipped.extend(surplus.map(|u| Skipped { interface: u.interface, why: Why::Surplus }));
    let lan = behind(said, seen, &uplinks);
    let told = |name: &IfName| {
        said.kept_out.contains(name)
            || uplinks.iter().any(|uplink| uplink.interface == *name)
            || lan.iter().any(|lan| lan.interface == *name)
    };
    let (others, idle) = found(seen, &[]);
    let others = others.into_iter().map(|u| Skipped { interface: u.interface, why: Why::NotNamed });
    let others: Vec<Skipped> = others.chain(idle).filter(|one| !told(&one.interface)).collect();
    for one in others {
        if !skipped.iter().any(|known| known.interface == one.interface) {
            skipped.push(one);
        }
    }
    Proposal { uplinks, lan, skipped, targets: said.targets.clone(), dropped: said.dropped.clone() }
}

/// An uplink that is there.
fn there(way: &Way, seen: &Seen, link: &Link) -> Result<Uplink, Skipped> {
    let none = || Skipped { interface: link.name.clone(), why: Why::Tunnel };
    let nature = Nature::of(link, &seen.device(link)).ok_or_else(none)?;
    let uplink = describe(seen, link, nature);
    let metered = way.metered.unwrap_or(uplink.metered);
    Ok(Uplink { metered, origin: Origin::Named, ..by(way, uplink) })
}

/// One that is not.
fn absent(way: &Way) -> Option<Uplink> {
    let interface = way.interface.clone().or_else(|| IfName::new(NAMELESS))?;
    let uplink = Uplink {
        name: String::new(),
        interface,
        mac: None,
        nature: way.nature,
        metered: way.metered.unwrap_or(way.nature.kind() == Kind::Cellular),
        metric: Metric(0),
        address: None,
        gateway: None,
        reach: None,
        resolvers: Vec::new(),
        origin: Origin::Absent,
    };
    Some(by(way, uplink))
}

/// With what the configuration says of it.
fn by(way: &Way, uplink: Uplink) -> Uplink {
    Uplink {
        name: way.name.clone(),
        mac: way.mac.or(uplink.mac),
        resolvers: way.resolvers.clone(),
        ..uplink
    }
}

/// The LAN: what is seen, and what is said.
fn behind(said: &Said, seen: &Seen, uplinks: &[Uplink]) -> Vec<Lan> {
    let mut all = lans(seen, uplinks);
    all.retain(|lan| !said.kept_out.contains(&lan.interface));
    for one in &said.lan {
        let known = all.iter().any(|lan| lan.interface == one.interface)
            || uplinks.iter().any(|uplink| uplink.interface == one.interface);
        if !known {
            all.push(Lan {
                interface: one.interface.clone(),
                address: one.address,
                forwards: seen.forwards.contains(&one.interface),
            });
        }
    }
    all
}
