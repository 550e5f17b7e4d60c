//! What the objects of our table are called.

use crate::units::{Family, UplinkId};

/// The name of the set of families without a living uplink.
pub const NO_WAY: &str = "no_way";

/// The name of an uplink's counter of proof: answers from beyond it.
#[must_use]
pub fn inward(id: UplinkId, family: Family) -> String {
    format!("in{}_{id}", digit(family))
}

/// The name of an uplink's counter of questions: packets of our flows on their way out.
#[must_use]
pub fn outward(id: UplinkId, family: Family) -> String {
    format!("out{}_{id}", digit(family))
}

/// The name of the counter of resets that were sent to those whose connection is gone.
#[must_use]
pub fn reset_sent(family: Family) -> String {
    format!("reset_sent{}", digit(family))
}

/// The counter of packets that were held back because their source address was not their uplink's.
pub const WRONG_SOURCE: &str = "wrong_source";
/// The counter of packets that came in by an uplink and that nobody had asked for.
pub(super) const GUARDED: &str = "guarded";
/// The counter of packets that came in by an uplink in the name of a LAN client.
pub(super) const FORGED: &str = "forged";

/// The kernel's word for a bridge, as a kind of interface.
pub const BRIDGE: &str = "bridge";

/// The name of the set of uplinks, each with itself: what comes and goes by the same one.
pub(super) const SAME: &str = "same_uplink";

/// The name of the set of packet marks that are others' to route by.
pub(super) const CLAIMED: &str = "claimed_marks";

/// The name of the set of the LAN's prefixes.
pub(super) fn lan_nets(family: Family) -> String {
    format!("lan{}", digit(family))
}

/// The name of the set of public subnets that some provider routes to the box.
pub(super) fn routed(family: Family) -> String {
    format!("routed{}", digit(family))
}

/// The name of the set of such subnets, each with the interface of its uplink.
pub(super) fn routed_by(family: Family) -> String {
    format!("routed{}_by", digit(family))
}

/// The name of the set of an uplink's on-link prefixes. Each has its own, so that a packet is looked
/// for among a handful of prefixes, by its address alone.
pub(super) fn near(id: UplinkId, family: Family) -> String {
    format!("near{}_{id}", digit(family))
}

pub(super) const fn digit(family: Family) -> u8 {
    match family {
        Family::V4 => 4,
        Family::V6 => 6,
    }
}

/// The name of the set of the uplinks' interfaces by number. All others go by names, under which an interface
/// is known at once when it is plugged in again; a renamed one is known by its number.
pub(super) const NUMBERS: &str = "uplink_numbers";
