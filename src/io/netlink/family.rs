//! An IP version as the kernel names it.

use netlink_packet_route::AddressFamily;

use crate::units::Family;

pub(super) fn of(family: Family) -> AddressFamily {
    match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    }
}
