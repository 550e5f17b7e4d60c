//! Where a device is plugged in and who drives it, from sysfs.

use std::fs;
use std::path::Path;

use crate::engine::kernel::Hardware;
use crate::units::{IfIndex, IfName};

/// What sysfs says about a device, as far as it says anything. A `/sys` that belongs to another
/// network namespace shows other devices under the same names: it is not believed.
pub(super) fn of(name: &IfName, index: IfIndex) -> Hardware {
    let dir = Path::new("/sys/class/net").join(name.as_str());
    let same = fs::read_to_string(dir.join("ifindex"))
        .is_ok_and(|text| text.trim().parse() == Ok(index.0));
    if !same {
        return Hardware::default();
    }
    let driver = fs::read_link(dir.join("device/driver")).ok();
    let device = fs::canonicalize(dir.join("device")).ok();
    Hardware {
        usb_path: device.as_deref().and_then(usb_path),
        driver: driver.and_then(|path| Some(path.file_name()?.to_str()?.to_owned())),
        ssid: None,
    }
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
