//! A next hop: where packets leave the box.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::units::{IfIndex, IfName};

/// A way out of the box in one IP version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    pub index: IfIndex,
    pub dev: IfName,
    /// The box's own address on it.
    pub source: IpAddr,
    /// The next hop; `None` on point-to-point devices.
    pub gateway: Option<IpAddr>,
    /// The next hop lies outside the interface's own subnets.
    pub onlink: bool,
    /// Path MTU that the foreign route asked for.
    pub mtu: Option<u32>,
}
