//! What sysfs, `/proc/sys` and leases say of a box's devices, for a proposal.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::Roots;
use crate::engine::doctor::proposal::{Device, Seen, Usb};
use crate::engine::kernel::view::{KernelView, Link};
use crate::units::{Family, Gather as _, IfIndex, IfName, TableId};

/// What Android puts into its leases where traffic costs (DHCP option 43).
const METERED: &str = "ANDROID_METERED";
/// The largest lease that is read, in bytes; one has a few hundred, and dhclient appends to its file.
const MAX_LEASE: u64 = 256 << 10;

/// Looks at everything that netlink does not tell. `machine` knows the hardware address behind an address on a link.
#[must_use]
pub fn look(
    roots: &Roots,
    view: KernelView,
    machine: impl Fn(IpAddr, IfIndex) -> Option<[u8; 6]>,
) -> Seen {
    let links = || view.links.values().filter(|link| !link.loopback);
    let devices = links().map(|link| {
        let gateway_mac = gateway(&view, link).and_then(|at| machine(at, link.index));
        let metered = lease_is_metered(roots, link);
        (link.name.clone(), Device { gateway_mac, metered, ..device(roots, link) })
    });
    let devices = devices.gather();
    let forwards = links().map(|link| link.name.clone());
    let forwards = forwards.filter(|name| forwards_for(roots, name)).gather();
    Seen { devices, forwards, view }
}

/// What sysfs says. A `/sys` that belongs to another network namespace shows other devices under the same names.
fn device(roots: &Roots, link: &Link) -> Device {
    let dir = roots.root.join("sys/class/net").join(link.name.as_str());
    let index = fs::read_to_string(dir.join("ifindex"));
    if !index.is_ok_and(|text| text.trim().parse() == Ok(link.index.0)) {
        return Device::default();
    }
    let usb = fs::canonicalize(dir.join("device")).ok().and_then(|path| usb(&path));
    Device { wireless: dir.join("phy80211").exists(), usb, ..Device::default() }
}

/// The USB device above an interface in sysfs.
fn usb(path: &Path) -> Option<Usb> {
    let above = path.ancestors().take(4).find(|dir| dir.join("idVendor").exists())?;
    let read = |file| fs::read_to_string(above.join(file)).unwrap_or_default().trim().to_owned();
    Some(Usb {
        vendor: u16::from_str_radix(&read("idVendor"), 16).ok()?,
        manufacturer: read("manufacturer"),
        product: read("product"),
    })
}

fn forwards_for(roots: &Roots, name: &IfName) -> bool {
    let path = format!("sys/net/ipv4/conf/{name}/forwarding");
    fs::read_to_string(roots.proc.join(path)).is_ok_and(|value| value.trim() == "1")
}

/// The IPv4 gateway that `main` has by a link.
fn gateway(view: &KernelView, link: &Link) -> Option<IpAddr> {
    let mut routes = view.routes.iter().filter(|route| {
        route.table == TableId::MAIN
            && route.dev == link.index
            && route.is_default()
            && route.family() == Family::V4
    });
    routes.find_map(|route| route.gateway)
}

/// Whether the lease of a device says that traffic costs, in the files of systemd-networkd, dhcpcd and dhclient.
/// They are read as bytes: the option is text, hexadecimal digits, or such with colons between them.
fn lease_is_metered(roots: &Roots, link: &Link) -> bool {
    let digits: Vec<String> = METERED.bytes().map(|byte| format!("{byte:02x}")).collect();
    let forms = [METERED.to_owned(), digits.concat(), digits.join(":")];
    leases(roots, link).iter().any(|path| {
        let Ok(meta) = path.metadata() else { return false };
        if !meta.is_file() || meta.len() > MAX_LEASE {
            return false;
        }
        let text = fs::read(path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).to_lowercase();
        forms.iter().any(|form| text.contains(&form.to_lowercase()))
    })
}

/// Where the lease of a device may be.
fn leases(roots: &Roots, link: &Link) -> Vec<PathBuf> {
    let name = link.name.as_str();
    let mut paths = vec![roots.root.join(format!("run/systemd/netif/leases/{}", link.index.0))];
    for dir in ["var/lib/dhcpcd", "var/lib/dhcp", "var/lib/dhclient", "var/lib/NetworkManager"] {
        for entry in fs::read_dir(roots.root.join(dir)).into_iter().flatten().flatten() {
            let file = entry.file_name();
            let file = file.to_string_lossy();
            // `usb0.lease`, `dhclient.usb0.leases`, `internal-UUID-usb0.lease`.
            if file.split(['.', '-']).any(|part| part == name) {
                paths.push(entry.path());
            }
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lease_of_a_phone_says_that_it_costs() {
        let dir = std::env::temp_dir().join(format!("sparelink-survey-{}", std::process::id()));
        let put = |path: &str, text: &str| {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let roots = Roots { proc: dir.join("proc"), root: dir.clone() };
        let link = |index, name| Link::wired(IfIndex(index), name);
        put(
            "run/systemd/netif/leases/3",
            "ADDRESS=192.168.42.5\nVENDOR_SPECIFIC=414e44524f49445f4d455445524544\n",
        );
        put("run/systemd/netif/leases/4", "ADDRESS=192.168.178.5\n");
        put(
            "var/lib/dhcp/dhclient.usb1.leases",
            "option vendor-encapsulated-options 41:4e:44:52:4f:49:44:5f:4d:45:54:45:52:45:44;\n",
        );
        put("var/lib/dhcpcd/usb2.lease", "\u{1}\u{2}ANDROID_METERED\u{0}");
        for (index, name, metered) in [
            (3, "usb0", true),
            (4, "eth0", false),
            (5, "usb1", true),
            (6, "usb2", true),
            (7, "usb3", false),
        ] {
            assert_eq!(lease_is_metered(&roots, &link(index, name)), metered, "{name}");
        }
        put("proc/sys/net/ipv4/conf/usb0/forwarding", "1\n");
        put("proc/sys/net/ipv4/conf/eth0/forwarding", "0\n");
        let mut view = KernelView::default();
        for link in [link(3, "usb0"), link(4, "eth0")] {
            view.links.insert(link.index, link);
        }
        let seen = look(&roots, view, |_, _| None);
        assert!(seen.forwards.iter().map(IfName::as_str).eq(["usb0"]));
        assert!(seen.devices[&IfName::new("usb0").unwrap()].metered);
        fs::remove_dir_all(&dir).unwrap();
    }

    /// A device as a line of `tests/boxes/boxes.txt` has it: its name, what is known of it, and whether it forwards.
    fn device_of(line: &str) -> (&str, Device, bool) {
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        let get = |key: &str| {
            let mut words = rest.split(' ').map(|word| word.split_once('=').unwrap_or((word, "")));
            words.find(|(word, _)| *word == key).map(|(_, value)| value.replace('_', " "))
        };
        let usb = get("maker").map(|maker| Usb {
            vendor: u16::from_str_radix(&maker, 16).unwrap(),
            product: get("product").unwrap_or_default(),
            ..Usb::default()
        });
        let (wireless, metered) = (get("wifi").is_some(), get("metered").is_some());
        let device = Device { wireless, usb, metered, gateway_mac: None };
        (name, device, get("forwards").is_some())
    }

    /// Writes the files that say so.
    fn put_device(dir: &Path, link: &Link, device: &Device, forwards: bool) {
        let put = |path: String, text: &str| {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let (name, index) = (&link.name, link.index.0);
        let net = format!("sys/class/net/{name}");
        put(format!("{net}/ifindex"), &format!("{index}\n"));
        if device.wireless {
            put(format!("{net}/phy80211/name"), "phy0\n");
        }
        if let Some(usb) = &device.usb {
            let adapter = format!("sys/devices/platform/usb/{index}-1");
            put(format!("{adapter}/idVendor"), &format!("{:04x}\n", usb.vendor));
            put(format!("{adapter}/product"), &format!("{}\n", usb.product));
            let function = format!("{adapter}/{index}-1:1.0");
            put(format!("{function}/bInterfaceNumber"), "00\n");
            std::os::unix::fs::symlink(dir.join(function), dir.join(net).join("device")).unwrap();
        }
        let costs = "VENDOR_SPECIFIC=414e44524f49445f4d455445524544\n";
        let lease = if device.metered { costs } else { "ADDRESS=10.0.0.2\n" };
        put(format!("run/systemd/netif/leases/{index}"), lease);
        let forwarding = if forwards { "1\n" } else { "0\n" };
        put(format!("proc/sys/net/ipv4/conf/{name}/forwarding"), forwarding);
    }

    /// The boxes that proposals are tried on, as their files have them: sysfs, `/proc/sys` and leases say the same.
    #[test]
    fn of_every_known_box_the_files_say_what_it_has() {
        let text = include_str!("../../../tests/boxes/boxes.txt");
        let (mut devices, mut by_usb, mut metered) = (0, 0, 0);
        for paragraph in text.split("\n\n").filter(|text| !text.starts_with('#')) {
            let dir = std::env::temp_dir().join(format!("sparelink-box-{}", std::process::id()));
            let mut view = KernelView::default();
            let mut expected = Vec::new();
            for line in paragraph.trim().lines().skip(1) {
                if ["= ", "lan ", "auto ", "not "].iter().any(|word| line.starts_with(word)) {
                    continue;
                }
                let (name, device, forwards) = device_of(line);
                let index = u32::try_from(view.links.len()).unwrap() + 2;
                let link = Link::wired(IfIndex(index), name);
                put_device(&dir, &link, &device, forwards);
                expected.push((link.name.clone(), device, forwards));
                view.links.insert(link.index, link);
            }
            let roots = Roots { proc: dir.join("proc"), root: dir.clone() };
            let seen = look(&roots, view, |_, _| None);
            for (name, device, forwards) in expected {
                assert_eq!(seen.devices[&name], device, "{paragraph}");
                assert_eq!(seen.forwards.contains(&name), forwards, "{paragraph}");
                devices += 1;
                by_usb += usize::from(device.usb.is_some());
                metered += usize::from(device.metered);
            }
            fs::remove_dir_all(&dir).unwrap();
        }
        let counts = (devices, by_usb, metered);
        assert!(devices >= 50 && by_usb >= 15 && metered >= 2, "control: {counts:?}");
    }
}
