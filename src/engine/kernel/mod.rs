//! What the kernel told: links, addresses, routes of others, flows.

pub mod flow;
pub(super) mod polls;
pub mod view;
pub mod way;
