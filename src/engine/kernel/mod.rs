//! What the kernel told: links, addresses, routes of others, flows.

use serde::{Deserialize, Serialize};

pub mod egress;
pub mod flow;
pub(super) mod polls;
pub mod rule;
pub mod view;

/// What was seen of the kernel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Seen {
    pub(super) view: view::KernelView,
    /// When the counters are read.
    pub(super) polls: polls::Polls,
}
