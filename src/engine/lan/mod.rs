//! What in the LAN follows the uplinks: whose IPv6 prefix is whose, what is told of it, where the page is.

pub(super) mod deprecation;
pub mod listen;
pub(super) mod prefixes;
