//! The sets of our table: what moves at run time.

use ipnet::{IpNet, Ipv6Net};

use super::super::nft::{Key, KeyPart, KeyType, Set, Table, Value, ValueType, Verdict, host};
use super::super::sources;
use super::super::wanted::{Uplink, Wanted};
use super::names::{CLAIMED, NO_WAY, NUMBERS, SAME, lan_nets, near, routed, routed_by};
use super::words::net;
use crate::units::{Family, Gather as _, IfName, NFT_TABLE, PerFamily};

/// A stale connection is answered with a reset for so long after a switch, in seconds. The kernel
/// disarms by itself if the agent is gone by then.
const RESET_FOR: u32 = 3600;
/// New flows are refused for this long after the last word of the agent, in seconds: what refuses
/// does not outlive it. It is renewed well before that.
pub const REFUSED_FOR: u32 = 8;

/// Which families are refused now, as a table that has this set alone.
#[must_use]
pub fn refusals(refused: PerFamily<bool>) -> Table {
    let mut set = Set { timeout: Some(REFUSED_FOR), ..Set::new(&[KeyType::Family]) };
    let refused = refused.iter().filter(|(_, without)| **without);
    set.elements.extend(refused.map(|(family, _)| (vec![KeyPart::Family(family)], None)));
    let sets = [(NO_WAY.to_owned(), set)].into_iter().gather();
    Table { name: NFT_TABLE.to_owned(), sets, ..Table::default() }
}

/// What moves at run time.
pub(super) fn sets(wanted: &Wanted, table: &mut Table) {
    use KeyType::IfName;
    let mut uplinks = Set::new(&[IfName]);
    let mut same = Set::new(&[IfName, IfName]);
    let mut numbers = Set::new(&[KeyType::IfIndex]);
    let mut reset_on = Set { timeout: Some(RESET_FOR), ..Set::new(&[IfName]) };
    let (mut from, mut pin) = (Set::vmap(IfName), Set::vmap(IfName));
    let mut to = Set::vmap(KeyType::Mark);
    let mut mss = [IfName; 2].map(|key| Set::map(key, ValueType::Mss));
    let verdict = |verdict| Some(Value::Verdict(verdict));

    for uplink in &wanted.uplinks {
        let id = uplink.id;
        let mark = vec![KeyPart::Mark(id.mark().value)];
        to.elements.insert(mark, verdict(Verdict::Goto(format!("to_{id}"))));
        let Some((index, dev)) = &uplink.dev else {
            continue;
        };
        numbers.elements.insert(vec![KeyPart::IfIndex(*index)], None);
        uplinks.elements.insert(name(dev), None);
        same.elements.insert([name(dev), name(dev)].concat(), None);
        from.elements.insert(name(dev), verdict(Verdict::Goto(format!("from_{id}"))));
        pin.elements.insert(name(dev), verdict(Verdict::Goto(format!("pin_{id}"))));
        if wanted.reset_on.contains(&id) {
            reset_on.elements.insert(name(dev), None);
        }
        for (set, family) in mss.iter_mut().zip(Family::BOTH) {
            if let Some(bytes) = segment(uplink, family) {
                set.elements.insert(name(dev), Some(Value::Mss(bytes)));
            }
        }
    }
    let [mss4, mss6] = mss;
    let named = [
        ("uplinks", uplinks),
        (NUMBERS, numbers),
        (SAME, same),
        ("reset_on", reset_on),
        ("from", from),
        ("to", to),
        ("pin", pin),
        ("mss4", mss4),
        ("mss6", mss6),
        (CLAIMED, claimed_marks(wanted)),
    ];
    table.sets.extend(named.map(|(name, set)| (name.to_owned(), set)));
    table.sets.extend(address_sets(wanted));
    let all: Vec<IpNet> = wanted.uplinks.iter().flat_map(|u| u.routed.iter().copied()).collect();
    table.sets.extend(prefix_sets(&all, routed));
    table.sets.extend(refusals(wanted.refused).sets);
    table.sets.extend(wanted.uplinks.iter().flat_map(near_sets));
    table.sets.extend(sources::maps(wanted));
    let nets = wanted.lan.as_ref().map_or(&[][..], |lan| &lan.nets);
    table.sets.extend(prefix_sets(nets, lan_nets));
}

/// Whole marks by which somebody else's rules choose a way.
fn claimed_marks(wanted: &Wanted) -> Set {
    let mut set = Set::new(&[KeyType::Mark]);
    set.elements.extend(wanted.claimed_marks.iter().map(|mark| (vec![KeyPart::Mark(*mark)], None)));
    set
}

/// What is on the link of an uplink, in each IP version.
fn near_sets(uplink: &Uplink) -> [(String, Set); 2] {
    let link_local = net("fe80::/10");
    prefix_sets(&[uplink.near.as_slice(), &[link_local]].concat(), |family| near(uplink.id, family))
}

/// A set of prefixes for each IP version, under the name for it.
fn prefix_sets(nets: &[IpNet], name: impl Fn(Family) -> String) -> [(String, Set); 2] {
    let all = IpNet::aggregate(&nets.to_vec());
    [(Family::V4, KeyType::Ipv4), (Family::V6, KeyType::Ipv6)].map(|(family, key)| {
        let mut set = Set::prefixes(&[key]);
        let nets = all.iter().filter(|net| Family::of(&net.addr()) == family);
        set.elements.extend(nets.map(|net| (vec![KeyPart::Net(*net)], None)));
        (name(family), set)
    })
}

/// Sets that say whose addresses are whose.
fn address_sets(wanted: &Wanted) -> Vec<(String, Set)> {
    use KeyType::{IfName, Ipv4, Ipv6};
    let mut own = [Set::prefixes(&[IfName, Ipv4]), Set::prefixes(&[IfName, Ipv6])];
    let mut routed = own.clone();
    let mut others = Set::prefixes(&[IfName, Ipv6]);
    let mut shared = Set::new(&[IfName, Ipv4]);
    for uplink in &wanted.uplinks {
        let Some((_, dev)) = &uplink.dev else {
            continue;
        };
        for (set, nets) in [(&mut own[1], &uplink.own6), (&mut others, &uplink.others6)] {
            let nets = Ipv6Net::aggregate(nets);
            set.elements.extend(nets.into_iter().map(|net| (at(dev, net.into()), None)));
        }
        own[0].elements.extend(sources::far(uplink).map(|source| (at(dev, host(source)), None)));
        for net in IpNet::aggregate(&uplink.routed) {
            let family = Family::of(&net.addr());
            let all = own.iter_mut().zip(&mut routed).zip(Family::BOTH);
            for ((own, routed), _) in all.filter(|(_, of)| *of == family) {
                own.elements.insert(at(dev, net), None);
                routed.elements.insert(at(dev, net), None);
            }
        }
        for addr in uplink.addresses.iter().filter(|a| a.is_ipv4() && is_shared(wanted, uplink, a))
        {
            shared.elements.insert(at(dev, host(*addr)), None);
        }
    }
    let [own4, mut own6] = own;
    own6.drop_covered();
    let named = [("own4", own4), ("own6", own6), ("others6", others), ("addr4", shared)];
    let named = named.map(|(name, set)| (name.to_owned(), set));
    named.into_iter().chain(Family::BOTH.map(routed_by).into_iter().zip(routed)).collect()
}

/// The largest TCP segment that an uplink takes: what its packets may hold without the two headers
/// (RFC 9293 §3.7.1, RFC 8200 §8.3). `None` where nothing is known, or nothing needs saying.
fn segment(uplink: &Uplink, family: Family) -> Option<u16> {
    let headers = match family {
        Family::V4 => 40,
        Family::V6 => 60,
    };
    let route = uplink.egress.get(family).as_ref().and_then(|egress| egress.mtu);
    let mtu = route.map_or(uplink.mtu, |route| route.min(uplink.mtu));
    u16::try_from(mtu.checked_sub(headers)?).ok().filter(|bytes| *bytes > 0)
}

/// Whether another uplink has this very address: then the kernel can't tell whose it is.
fn is_shared(wanted: &Wanted, uplink: &Uplink, addr: &std::net::IpAddr) -> bool {
    wanted.uplinks.iter().any(|other| other.id != uplink.id && other.addresses.contains(addr))
}

fn name(dev: &IfName) -> Key {
    vec![KeyPart::IfName(dev.clone())]
}

fn at(dev: &IfName, net: IpNet) -> Key {
    vec![KeyPart::IfName(dev.clone()), KeyPart::Net(net)]
}
