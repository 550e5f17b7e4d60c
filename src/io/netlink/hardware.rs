//! Where a device is plugged in and who drives it, from sysfs; in which Wi-Fi network it is.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::wifi::Wifi;
use crate::engine::kernel::view::Hardware;
use crate::units::{IfIndex, IfName};

/// What is known of the devices that were seen.
#[derive(Debug, Default)]
pub(super) struct Devices {
    known: BTreeMap<IfIndex, Known>,
    wifi: Wifi,
}

#[derive(Debug, Default)]
struct Known {
    hardware: Hardware,
    /// It has a radio, whose network may be another one with every message.
    wireless: bool,
}

impl Devices {
    /// What sysfs said when the device was first seen, and what nl80211 says now.
    pub(super) fn hardware(&mut self, name: &IfName, index: IfIndex) -> Hardware {
        let known = self.known.entry(index).or_insert_with(|| look_up(name, index));
        let ssid = if known.wireless { self.wifi.ssid(index) } else { None };
        Hardware { ssid, ..known.hardware.clone() }
    }

    /// Its index will not come again for the same device.
    pub(super) fn forget(&mut self, index: IfIndex) {
        self.known.remove(&index);
    }

    /// Forgets all devices but these.
    pub(super) fn keep(&mut self, there: impl Fn(IfIndex) -> bool) {
        self.known.retain(|index, _| there(*index));
    }
}

/// What sysfs says about a device, as far as it says anything. A `/sys` that belongs to another
/// network namespace shows other devices under the same names: it is not believed.
fn look_up(name: &IfName, index: IfIndex) -> Known {
    let dir = Path::new("/sys/class/net").join(name.as_str());
    let same = fs::read_to_string(dir.join("ifindex"))
        .is_ok_and(|text| text.trim().parse() == Ok(index.0));
    if !same {
        return Known::default();
    }
    let driver = fs::read_link(dir.join("device/driver")).ok();
    let device = fs::canonicalize(dir.join("device")).ok();
    let hardware = Hardware {
        usb_path: device.as_deref().and_then(usb_path),
        driver: driver.and_then(|path| Some(path.file_name()?.to_str()?.to_owned())),
        ssid: None,
        other_names: Vec::new(),
    };
    Known { hardware, wireless: dir.join("phy80211").exists() }
}

/// The USB port path in a device path: of `…/usb1/1-1/1-1.3/1-1.3:1.0` it is `1-1.3`, the part of
/// the interface's name before its colon.
fn usb_path(device: &Path) -> Option<String> {
    let names = device.iter().filter_map(|part| part.to_str());
    let mut ports = names.rev().filter_map(|name| {
        let (port, interface) = name.split_once(':')?;
        let (bus, path) = port.split_once('-')?;
        let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let is_usb = number(bus) && path.split('.').all(number) && interface.split('.').all(number);
        is_usb.then(|| port.to_owned())
    });
    ports.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usb_path_is_the_port() {
        let cases = [
            ("/sys/devices/pci0000:00/0000:00:14.0/usb1/1-1/1-1.3/1-1.3:1.0", Some("1-1.3")),
            ("/sys/devices/platform/soc/3f980000.usb/usb1/1-1/1-1:2.1/net", Some("1-1")),
            ("/sys/devices/pci0000:00/0000:00:1f.6", None),
            ("/sys/devices/virtual/net/lo", None),
        ];
        for (path, port) in cases {
            assert_eq!(usb_path(Path::new(path)).as_deref(), port, "{path}");
        }
    }
}
