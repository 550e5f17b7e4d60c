//! What a device is, by its driver, its bus and what it says of itself.

use serde::{Deserialize, Serialize};

use super::facts::{Device, Usb};
use crate::config::Kind;
use crate::engine::kernel::view::{Link, LinkKind};

/// What leads to the Internet by a device, as far as it can be told from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nature {
    /// A network socket: cable, fibre or DSL behind a modem.
    Ethernet,
    /// A session over such a modem (PPPoE).
    Ppp,
    /// A client of somebody's Wi-Fi.
    Wifi,
    /// A mobile router on USB that looks like a network card.
    MobileRouter,
    /// A mobile modem (`wwan0`).
    Modem,
    /// A phone that shares its line by USB.
    Phone,
}

/// Drivers of phones alone: Android's RNDIS and iPhones.
const PHONES: [&str; 2] = ["rndis_host", "ipheth"];
/// Drivers of modems that are configured by ModemManager and its like.
const MODEMS: [&str; 7] =
    ["qmi_wwan", "cdc_mbim", "huawei_cdc_ncm", "sierra_net", "hso", "mhi_net", "iosm"];
/// Drivers of the USB classes for Ethernet, behind which anything may be.
const CLASSES: [&str; 3] = ["cdc_ether", "cdc_ncm", "cdc_eem"];
/// Who makes phones (usb.ids): Samsung, Google, Apple, Xiaomi, Motorola, OnePlus, Sony, LG, HTC, Nokia (HMD), Oppo,
/// Fairphone.
const PHONE_MAKERS: [u16; 12] = [
    0x04e8, 0x18d1, 0x05ac, 0x2717, 0x22b8, 0x2a70, 0x0fce, 0x1004, 0x0bb4, 0x2e04, 0x22d9, 0x2ae5,
];
/// Who makes adapters with a socket (usb.ids): Realtek, ASIX, TP-Link, Microchip/SMSC, Lenovo, Linksys, Davicom.
const ADAPTER_MAKERS: [u16; 7] = [0x0bda, 0x0b95, 0x2357, 0x0424, 0x17ef, 0x13b1, 0x0a46];
/// What adapters call themselves, in lower case.
const ADAPTER_WORDS: [&str; 3] = ["lan", "ethernet", "rtl815"];

impl Nature {
    /// What a link is; `None`: it leads to no provider by itself (a tunnel, the loopback).
    #[must_use]
    pub fn of(link: &Link, device: &Device) -> Option<Self> {
        if link.loopback || link.kind == LinkKind::Tunnel {
            return None;
        }
        let name = link.name.as_str();
        let driver = link.hardware.driver.as_deref().unwrap_or_default();
        Some(if device.wireless || link.hardware.ssid.is_some() {
            Self::Wifi
        } else if name.starts_with("ppp") || name.starts_with("pppoe") {
            Self::Ppp
        } else if PHONES.contains(&driver) {
            Self::Phone
        } else if MODEMS.contains(&driver) || name.starts_with("wwan") {
            Self::Modem
        } else if CLASSES.contains(&driver) {
            Self::of_usb_class(device.usb.as_ref())
        } else {
            Self::Ethernet
        })
    }

    /// What stands behind a USB class for Ethernet. Of an unknown maker it is a mobile router: most are, and an adapter
    /// that is taken for one is only given more time.
    fn of_usb_class(usb: Option<&Usb>) -> Self {
        let Some(usb) = usb else { return Self::MobileRouter };
        let product = usb.product.to_lowercase();
        let adapter = ADAPTER_WORDS.iter().any(|word| product.contains(word));
        if ADAPTER_MAKERS.contains(&usb.vendor) || adapter {
            Self::Ethernet
        } else if PHONE_MAKERS.contains(&usb.vendor) {
            Self::Phone
        } else {
            Self::MobileRouter
        }
    }

    /// How it is to be probed.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::Ethernet | Self::Ppp => Kind::Wired,
            Self::Wifi => Kind::Wifi,
            Self::MobileRouter | Self::Modem | Self::Phone => Kind::Cellular,
        }
    }

    /// What people would call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ethernet => "cable",
            Self::Ppp => "dsl",
            Self::Wifi => "wifi",
            Self::MobileRouter => "mifi",
            Self::Modem => "mobile",
            Self::Phone => "phone",
        }
    }

    /// What it is, in words that follow the name of an interface.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Ethernet => "Ethernet",
            Self::Ppp => "PPP",
            Self::Wifi => "Wi-Fi",
            Self::MobileRouter => "mobile router by USB",
            Self::Modem => "mobile modem",
            Self::Phone => "phone by USB",
        }
    }
}
