//! Which uplink carries the traffic, and why not another.

pub mod hold;
pub mod select;
