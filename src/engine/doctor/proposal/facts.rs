//! A box, as it was seen.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::engine::kernel::view::{KernelView, Link};
use crate::units::IfName;

/// A box, as netlink and sysfs tell of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Links, addresses and routes.
    pub view: KernelView,
    /// What else is known of devices, by their names.
    #[serde(default)]
    pub devices: BTreeMap<IfName, Device>,
    /// Devices that forward what comes in by them (`net.ipv4.conf.DEVICE.forwarding`).
    #[serde(default)]
    pub forwards: BTreeSet<IfName>,
}

/// What sysfs and leases say about a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// It has a radio for Wi-Fi.
    #[serde(default)]
    pub wireless: bool,
    /// The USB device that it is a part of.
    #[serde(default)]
    pub usb: Option<Usb>,
    /// Its lease says that traffic costs (`ANDROID_METERED`, DHCP option 43).
    #[serde(default)]
    pub metered: bool,
    /// The hardware address of its gateway: two devices that have the same one share a line.
    #[serde(default)]
    pub gateway_mac: Option<[u8; 6]>,
}

/// How a USB device describes itself (`idVendor`, `manufacturer`, `product` in sysfs).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usb {
    pub vendor: u16,
    #[serde(default)]
    pub manufacturer: String,
    #[serde(default)]
    pub product: String,
}

impl Seen {
    /// What else is known of a link; nothing, of one that was not looked at.
    pub(super) fn device(&self, link: &Link) -> Device {
        self.devices.get(&link.name).cloned().unwrap_or_default()
    }
}
