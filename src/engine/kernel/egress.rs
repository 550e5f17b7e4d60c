//! Egress: where packets leave the box.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::units::{IfIndex, IfName};

/// The egress of an uplink in one IP version: device, source address and next hop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Egress {
    pub index: IfIndex,
    pub dev: IfName,
    /// The box's own address there: on the device, or of a prefix that is delegated by it.
    pub source: IpAddr,
    /// The same where it has to be named, because the kernel would choose another.
    #[serde(default)]
    pub prefsrc: Option<IpAddr>,
    /// The next hop; `None` on point-to-point devices.
    pub gateway: Option<IpAddr>,
    /// The next hop lies outside the interface's own subnets.
    pub onlink: bool,
    /// Path MTU that the foreign route asked for.
    pub mtu: Option<u32>,
}
