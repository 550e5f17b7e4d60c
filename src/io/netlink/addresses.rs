//! The box's own addresses, of each interface so many at most.
//!
//! What is decided depends on a few of an uplink's and the LAN's. A hotspot can make the box give itself
//! thousands of them, and a server may have as many by itself.

use crate::engine::kernel::view::Address;
use crate::units::Family;

/// This many are kept of each interface and family, as of routes.
const AT_MOST: usize = 64;

/// What becomes of an address.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It belongs into the list, in the place of this one if there are too many.
    In(Option<Address>),
    /// Others matter more.
    No,
}

/// Which of two matters more: one that is global, one that is preferred. Among equals their order decides and
/// not who came first, so that a look at everything there is comes to the same.
fn rank(address: &Address) -> (bool, bool, Address) {
    (!address.global, address.deprecated, *address)
}

/// Whether an address belongs into an ordered list.
pub(super) fn take(all: &[Address], new: &Address) -> Taken {
    let begin = all.partition_point(|address| address.index < new.index);
    let end = begin + all[begin..].partition_point(|address| address.index == new.index);
    let family = |address: &Address| Family::of(&address.net.addr());
    let like = || all[begin..end].iter().filter(|address| family(address) == family(new));
    if like().any(|address| address.net == new.net) || like().count() < AT_MOST {
        return Taken::In(None);
    }
    match like().max_by_key(|address| rank(address)) {
        Some(last) if rank(new) < rank(last) => Taken::In(Some(*last)),
        _ => Taken::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::kernel::view::{KernelChange, KernelView};
    use crate::units::IfIndex;

    fn address(index: u32, net: &str) -> Address {
        let net: ipnet::IpNet = net.parse().unwrap();
        let global = !net.addr().to_string().starts_with("fe80");
        Address { index: IfIndex(index), net, peer: None, global, deprecated: false }
    }

    #[test]
    fn of_thousands_a_few_are_kept_and_the_same_in_any_order() {
        let own = [address(2, "10.0.0.2/24"), address(2, "fe80::1/64"), address(3, "10.9.0.1/8")];
        let many = (0..5000).map(|n| address(2, &format!("10.1.{}.{}/32", n >> 8, n & 255)));
        let all: Vec<Address> = own.into_iter().chain(many).collect();
        let kept = |all: &mut dyn Iterator<Item = &Address>| {
            let mut view = KernelView::default();
            for address in all {
                let Taken::In(out) = take(&view.addresses, address) else { continue };
                out.iter().for_each(|out| view.apply(&KernelChange::AddressGone(*out)));
                view.apply(&KernelChange::Address(*address));
            }
            view.addresses
        };
        let forwards = kept(&mut all.iter());
        assert_eq!(forwards.len(), AT_MOST + 2);
        assert!(own.iter().all(|own| forwards.contains(own)), "{forwards:?}");
        assert_eq!(kept(&mut all.iter().rev()), forwards);
    }

    #[test]
    fn what_can_be_used_comes_before_what_cannot() {
        let many: Vec<Address> =
            (0..64).map(|n| address(2, &format!("2001:db8:{n:x}::2/64"))).collect();
        let later = address(2, "2001:db9::2/64");
        assert_eq!(take(&many, &later), Taken::No);
        assert_eq!(take(&many, &many[7]), Taken::In(None), "it is there already");
        let mut old = many;
        old[5].deprecated = true;
        assert_eq!(take(&old, &later), Taken::In(Some(old[5])));
        let local = address(2, "fe80::2/64");
        assert_eq!(take(&old, &local), Taken::No);
    }
}
