//! Flows that a switch leaves behind.

pub(super) mod un_nated;
