//! What the kernel told: links, addresses, routes of others, flows.

use std::collections::BTreeSet;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub mod claims;
pub mod egress;
pub mod firewall;
pub(super) mod firewalls;
pub mod flow;
pub mod network;
pub(super) mod polls;
pub mod rule;
pub mod view;

/// What was seen of the kernel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Seen {
    pub(super) view: view::KernelView,
    /// Who else has a say in where packets go.
    pub(super) claims: claims::Claims,
    /// Rules of others that send packets to `main`.
    pub(super) to_main: Vec<rule::ForeignRule>,
    /// Hosts to which `main` has a route by an uplink and that follow the active one, and those that
    /// were told of.
    pub(super) hosts: BTreeSet<IpNet>,
    pub(super) hosts_told: BTreeSet<IpNet>,
    /// When the counters are read.
    pub(super) polls: polls::Polls,
    /// When others' firewalls are looked at, and what they close.
    #[serde(default)]
    pub(super) firewalls: firewalls::Firewalls,
}
