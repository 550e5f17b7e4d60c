//! Where programs that configure interfaces leave the resolvers that they were told: one reader for each
//! kind of file. What cannot be read or understood names nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, Metadata};
use std::io::Read as _;
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::engine::names::resolvers::Named;
use crate::io::resolv_conf::{address, nameserver, nameservers};
use crate::units::IfIndex;

/// systemd-networkd: `DNS=` by interface number.
const NETWORKD: &str = "run/systemd/netif/links";
/// systemd-resolved, of what others told it (NetworkManager, ifupdown): `SERVERS=` by interface number.
/// Root may read it, with all its capabilities.
const RESOLVED: &str = "run/systemd/resolve/netif";
/// NetworkManager, of what DHCP said: `dhcp4.domain_name_servers=` by interface number.
const NETWORK_MANAGER: &str = "run/NetworkManager/devices";
/// Debian's resolvconf, openresolv, openresolv since 3.13, dhcpcd by itself: a `resolv.conf` for each
/// interface and program.
const RESOLVCONF: [&str; 4] = [
    "run/resolvconf/interface",
    "run/resolvconf/interfaces",
    "run/resolvconf/keys",
    "run/dhcpcd/hook-state/resolv.conf",
];
/// OpenWrt's netifd: one `resolv.conf` in sections, by the names of its own configuration.
const NETIFD: [&str; 2] = ["tmp/resolv.conf.d/resolv.conf.auto", "tmp/resolv.conf.auto"];
/// That configuration, which says what device a name is.
const NETIFD_CONFIG: &str = "etc/config/network";

/// No file of this kind is larger; what is, is cut off.
const FILE_BYTES: u64 = 64 * 1024;
/// A folder with more files than that is not read to its end.
const FILES: usize = 256;
/// Nobody is told of more resolvers.
const EACH: usize = 8;

/// The folders whose files say it.
pub(super) fn folders(root: &Path) -> BTreeSet<PathBuf> {
    let files = NETIFD.iter().filter_map(|file| Path::new(file).parent());
    // Everything and everybody is in `/tmp` itself.
    let files = files.filter(|folder| *folder != Path::new("tmp"));
    let folders = [NETWORKD, RESOLVED, NETWORK_MANAGER].into_iter().chain(RESOLVCONF);
    folders.map(Path::new).chain(files).map(|folder| root.join(folder)).collect()
}

/// Reads the resolvers that the system below `root` names for its interfaces.
#[must_use]
pub fn read(root: &Path) -> Named {
    let mut named = Named::default();
    for (folder, keys) in [
        (NETWORKD, &["DNS="][..]),
        (RESOLVED, &["SERVERS="]),
        (NETWORK_MANAGER, &["dhcp4.domain_name_servers=", "dhcp6.dhcp6_name_servers="]),
    ] {
        for (name, text) in files(&root.join(folder)) {
            if let Ok(index) = name.parse() {
                add(named.by_index.entry(IfIndex(index)).or_default(), assigned(&text, keys));
            }
        }
    }
    for folder in RESOLVCONF {
        for (name, text) in files(&root.join(folder)) {
            add(named.by_name.entry(name).or_default(), nameservers(&text));
        }
    }
    for file in NETIFD {
        let Some(text) = contents_of_root(root, &root.join(file)) else { continue };
        let devices = contents(&root.join(NETIFD_CONFIG)).map(|text| devices(&text, root));
        let devices = devices.unwrap_or_default();
        for (network, resolvers) in sections(&text) {
            let key = device_of(&devices, &network).unwrap_or(&network);
            add(named.by_name.entry(key.clone()).or_default(), resolvers.into_iter());
        }
    }
    named.by_index.retain(|_, list| !list.is_empty());
    named.by_name.retain(|_, list| !list.is_empty());
    named
}

fn add(list: &mut Vec<IpAddr>, more: impl Iterator<Item = IpAddr>) {
    for address in more {
        if list.len() < EACH && !list.contains(&address) {
            list.push(address);
        }
    }
}

/// The files of a folder by name, in the order of their names.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().take(FILES).flatten();
    let named = entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry)));
    named.filter_map(|(name, entry)| Some((name, contents(&entry.path())?))).collect()
}

fn contents(path: &Path) -> Option<String> {
    text(&open(path, OFlag::empty())?)
}

/// The same of a file in a folder where everybody may put one: it has to be root's (the owner of `root`), no
/// link, and not for others to write.
fn contents_of_root(root: &Path, path: &Path) -> Option<String> {
    let owner = std::fs::metadata(root).ok()?.uid();
    let file = open(path, OFlag::O_NOFOLLOW)?;
    let folder = std::fs::symlink_metadata(path.parent()?).ok()?;
    let is_roots = |meta: &Metadata| meta.uid() == owner && meta.mode() & 0o002 == 0;
    // Of a folder for everybody the sticky bit keeps root's files root's.
    let kept = is_roots(&folder) || folder.mode() & 0o1000 != 0;
    (kept && folder.is_dir() && is_roots(&file.metadata().ok()?)).then(|| text(&file))?
}

/// Opens a plain file and waits for nobody: a pipe in its place would keep us.
fn open(path: &Path, flags: OFlag) -> Option<File> {
    let flags = (flags | OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    let file = File::options().read(true).custom_flags(flags).open(path).ok()?;
    file.metadata().ok()?.is_file().then_some(file)
}

fn text(file: &File) -> Option<String> {
    let mut bytes = Vec::new();
    file.take(FILE_BYTES).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The addresses after any of these keys, each at the beginning of a line.
fn assigned<'a>(text: &'a str, keys: &'a [&str]) -> impl Iterator<Item = IpAddr> + 'a {
    let value = move |line: &'a str| keys.iter().find_map(|key| line.trim().strip_prefix(key));
    text.lines().filter_map(value).flat_map(str::split_whitespace).filter_map(address)
}

/// Resolvers by the section that they stand in, each begun by `# Interface NAME`.
fn sections(text: &str) -> Vec<(String, Vec<IpAddr>)> {
    let mut sections: Vec<(String, Vec<IpAddr>)> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.trim().strip_prefix("# Interface ") {
            let name = name.split_whitespace().next().unwrap_or_default();
            sections.push((name.to_owned(), Vec::new()));
        } else if let (Some(address), Some((_, list))) = (nameserver(line), sections.last_mut()) {
            list.push(address);
        }
    }
    sections
}

/// The device of a network. A modem's protocols make networks of their own for each IP version, `wwan_4` and
/// `wwan_6` of `wwan`.
fn device_of<'a>(devices: &'a BTreeMap<String, String>, network: &str) -> Option<&'a String> {
    let whole = || network.strip_suffix("_4").or_else(|| network.strip_suffix("_6"));
    devices.get(network).or_else(|| devices.get(whole()?))
}

/// Which device each network of OpenWrt's configuration is, where it says so or the modem's files below
/// `root` do. `@wan` is whatever `wan` is. A protocol that makes a device of its own names it after itself
/// and the network.
fn devices(text: &str, root: &Path) -> BTreeMap<String, String> {
    let options = networks(text);
    let mut devices = BTreeMap::new();
    for network in options.keys() {
        let mut at = network.as_str();
        // An alias of an alias of an alias is somebody's joke.
        for _ in 0..3 {
            let Some(of) = options.get(at) else { break };
            let option = |key: &str| of.get(key).copied().unwrap_or_default();
            let named = [option("device"), option("ifname")].into_iter().find(|s| !s.is_empty());
            let named = named.unwrap_or_default();
            let device = match (option("proto"), named.strip_prefix('@')) {
                (_, Some(other)) => {
                    at = other;
                    continue;
                }
                (proto @ ("pppoe" | "pppoa" | "pptp" | "l2tp" | "3g"), None) => {
                    Some(format!("{proto}-{at}"))
                }
                _ if option("type") == "bridge" => Some(format!("br-{at}")),
                // A modem is named by what it is spoken to through.
                _ if named.starts_with('/') => modem(root, named),
                _ => Some(named.to_owned()).filter(|name| !name.is_empty()),
            };
            devices.extend(device.map(|device| (network.clone(), device)));
            break;
        }
    }
    devices
}

/// The options of each network.
fn networks(text: &str) -> BTreeMap<String, BTreeMap<&str, &str>> {
    let mut options: BTreeMap<String, BTreeMap<&str, &str>> = BTreeMap::new();
    let mut network = None;
    for line in text.lines() {
        let mut words = words(line).into_iter();
        match (words.next(), words.next(), words.next()) {
            (Some("config"), kind, name) => {
                network = name.filter(|_| kind == Some("interface")).map(str::to_owned);
            }
            (Some("option"), Some(key), Some(value)) => {
                if let Some(network) = &network {
                    options.entry(network.clone()).or_default().insert(key, value);
                }
            }
            _ => {}
        }
    }
    options
}

/// The words of a line of OpenWrt's configuration: bare or in quotes, and after `#` none.
fn words(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() && !rest.starts_with('#') {
        let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'));
        let (word, after) = match quote {
            Some(quote) => rest[1..].split_once(quote).unwrap_or((&rest[1..], "")),
            None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        words.push(word);
        rest = after.trim_start();
    }
    words
}

/// The network device of a modem that is spoken to through this file: `/dev/cdc-wdm0`, `/dev/ttyUSB2`, or
/// its place in `/sys/devices` as ModemManager has it. All its functions are beside each other there.
fn modem(root: &Path, file: &str) -> Option<String> {
    let name = file.rsplit('/').next()?;
    let place = match file.strip_prefix("/sys/") {
        Some(place) => root.join("sys").join(place),
        None => ["usbmisc", "tty", "usb"].into_iter().find_map(|class| {
            let link = root.join("sys/class").join(class).join(name).join("device");
            std::fs::canonicalize(link).ok()
        })?,
    };
    let devices = |place: &Path| {
        let names =
            std::fs::read_dir(place.join("net")).into_iter().flatten().take(FILES).flatten();
        names.filter_map(|entry| entry.file_name().into_string().ok()).min()
    };
    // The file's own function, those beside it (or below the modem), and those beside a serial port's.
    let mut at = Some(place.as_path());
    for _ in 0..3 {
        let here = at?;
        let below = std::fs::read_dir(here).into_iter().flatten().take(FILES).flatten();
        let mut below: Vec<PathBuf> = below.map(|entry| entry.path()).collect();
        below.sort();
        let found = devices(here).or_else(|| below.iter().find_map(|place| devices(place)));
        if found.is_some() || file.starts_with("/sys/") {
            return found;
        }
        at = here.parent();
    }
    None
}

/// What any text comes to, whichever kind of file it is; how much is named in it.
#[cfg(feature = "lab")]
#[must_use]
pub fn overhear(text: &str) -> usize {
    // No modem of this box is looked at.
    let devices = devices(text, Path::new("/nonexistent"));
    let sections = sections(text);
    let known = sections.iter().filter_map(|(network, _)| device_of(&devices, network)).count();
    let assigned = assigned(text, &["DNS=", "SERVERS=", "dhcp4.domain_name_servers="]).count();
    known + devices.len() + sections.len() + assigned + nameservers(text).count()
}

#[cfg(test)]
mod tests;
