//! Flows that a switch leaves behind.

pub(super) mod leftover;
pub(super) mod strays;
