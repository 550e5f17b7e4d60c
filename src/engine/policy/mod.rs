//! Which uplink carries the traffic, and why not another.

pub(super) mod choice;
pub mod hold;
pub mod select;
