//! Where programs that configure interfaces leave the resolvers that they were told: one reader for each
//! kind of file. What cannot be read or understood names nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::engine::names::resolvers::Named;
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
        let Some(text) = contents(&root.join(file)) else { continue };
        let devices = contents(&root.join(NETIFD_CONFIG)).map(|text| devices(&text));
        let devices = devices.unwrap_or_default();
        for (network, resolvers) in sections(&text) {
            let key = devices.get(&network).unwrap_or(&network);
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
    // A pipe in its place would keep us waiting.
    if !std::fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(FILE_BYTES).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// An address as these files write it: `192.0.2.1`, `fe80::1%eth1`, `192.0.2.1:53#dns.example`,
/// `[2001:db8::1]:53`. One on another port is no resolver for us.
fn address(word: &str) -> Option<IpAddr> {
    let word = word.split('#').next()?;
    let (word, port) = match word.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((word, port)) => (word, port.trim_start_matches(':')),
        None if word.matches(':').count() == 1 => word.split_once(':')?,
        None => (word, ""),
    };
    let plain = matches!(port.split('%').next()?, "" | "53");
    word.split('%').next()?.parse().ok().filter(|_| plain)
}

/// The addresses after any of these keys, each at the beginning of a line.
fn assigned<'a>(text: &'a str, keys: &'a [&str]) -> impl Iterator<Item = IpAddr> + 'a {
    let value = move |line: &'a str| keys.iter().find_map(|key| line.trim().strip_prefix(key));
    text.lines().filter_map(value).flat_map(str::split_whitespace).filter_map(address)
}

/// The resolvers of a `resolv.conf(5)`.
fn nameservers(text: &str) -> impl Iterator<Item = IpAddr> + '_ {
    text.lines().filter_map(nameserver)
}

fn nameserver(line: &str) -> Option<IpAddr> {
    let mut words = line.split_whitespace();
    (words.next()? == "nameserver").then(|| words.next().and_then(address))?
}

/// Resolvers by the section that they stand in, each begun by `# Interface NAME`.
fn sections(text: &str) -> Vec<(String, Vec<IpAddr>)> {
    let mut sections: Vec<(String, Vec<IpAddr>)> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("# Interface ") {
            sections.push((name.trim().to_owned(), Vec::new()));
        } else if let (Some(address), Some((_, list))) = (nameserver(line), sections.last_mut()) {
            list.push(address);
        }
    }
    sections
}

/// Which device each network of OpenWrt's configuration is, where it says so. `@wan` is whatever `wan`
/// is. A protocol that makes a device of its own (PPPoE) names it after itself and the network.
fn devices(text: &str) -> BTreeMap<String, String> {
    let mut options: BTreeMap<String, BTreeMap<&str, &str>> = BTreeMap::new();
    let mut network = None;
    for line in text.lines() {
        let bare = |word: &'static str| line.trim().strip_prefix(word).map(str::trim_start);
        if let Some(rest) = bare("config ") {
            let mut words = rest.split_whitespace().map(unquoted);
            let is_interface = words.next() == Some("interface");
            network = words.next().filter(|_| is_interface).map(str::to_owned);
        } else if let (Some(rest), Some(network)) = (bare("option "), &network)
            && let Some((key, value)) = rest.split_once(char::is_whitespace)
        {
            let of = options.entry(network.clone()).or_default();
            of.insert(unquoted(key), unquoted(value.trim()));
        }
    }
    let mut devices = BTreeMap::new();
    for network in options.keys() {
        let mut at = network.as_str();
        // An alias of an alias of an alias is somebody's joke.
        for _ in 0..3 {
            let Some(of) = options.get(at) else { break };
            let proto = of.get("proto").copied().unwrap_or_default();
            let device = of.get("device").or_else(|| of.get("ifname")).copied().unwrap_or_default();
            match device.strip_prefix('@') {
                Some(other) => at = other,
                None if matches!(proto, "pppoe" | "pppoa" | "pptp" | "l2tp") => {
                    devices.insert(network.clone(), format!("{proto}-{at}"));
                    break;
                }
                None if device.is_empty() => break,
                None => {
                    devices.insert(network.clone(), device.to_owned());
                    break;
                }
            }
        }
    }
    devices
}

fn unquoted(word: &str) -> &str {
    word.trim_matches(['\'', '"'])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ips(text: &str) -> Vec<IpAddr> {
        text.split_whitespace().map(|word| word.parse().unwrap()).collect()
    }

    /// A root directory with these files.
    fn system(name: &str, contents: &[(&str, &str)]) -> PathBuf {
        let root = std::env::temp_dir().join(format!("sparelink-{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&root));
        for (path, text) in contents {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    fn read_and_remove(root: &Path) -> Named {
        let named = read(root);
        std::fs::remove_dir_all(root).unwrap();
        named
    }

    #[test]
    fn each_program_has_its_own_way_of_saying_it() {
        let root = system(
            "programs",
            &[
                (
                    "run/systemd/netif/links/2",
                    "# This is private data. Do not parse.\nADMIN_STATE=configured\nDNS=192.0.2.1 fd00::1\nNTP=192.0.2.9\nDNSSEC=no\n",
                ),
                ("run/systemd/netif/links/3", "OPER_STATE=off\nDNS=\n"),
                (
                    "run/systemd/resolve/netif/4",
                    "LLMNR=yes\nSERVERS=192.0.2.4:53#dns.example 192.0.2.5:853 fe80::1%4\n",
                ),
                (
                    "run/NetworkManager/devices/5",
                    "[device]\nmanaged=1\n[dhcp4]\ndhcp4.domain_name_servers=192.0.2.6 192.0.2.7\n[dhcp6]\ndhcp6.dhcp6_name_servers=2001:db8::53\n",
                ),
                ("run/resolvconf/interface/eth1.dhclient", "domain lan\nnameserver 192.0.2.8\n"),
                (
                    "run/resolvconf/interfaces/eth2.ra",
                    "nameserver [2001:db8::8]:53\n#nameserver 192.0.2.99\n",
                ),
                ("run/resolvconf/keys/eth3", " nameserver\t192.0.2.13\n"),
                (
                    "run/dhcpcd/hook-state/resolv.conf/wlan0.dhcp",
                    "# Generated by dhcpcd\nnameserver 192.0.2.10\nnameserver 192.0.2.10\n",
                ),
            ],
        );
        let named = read_and_remove(&root);
        let by_index: Vec<_> = named.by_index.into_iter().collect();
        assert_eq!(
            by_index,
            [
                (IfIndex(2), ips("192.0.2.1 fd00::1")),
                (IfIndex(4), ips("192.0.2.4 fe80::1")),
                (IfIndex(5), ips("192.0.2.6 192.0.2.7 2001:db8::53")),
            ]
        );
        let by_name: Vec<_> =
            named.by_name.iter().map(|(name, ips)| (name.as_str(), ips.clone())).collect();
        assert_eq!(
            by_name,
            [
                ("eth1.dhclient", ips("192.0.2.8")),
                ("eth2.ra", ips("2001:db8::8")),
                ("eth3", ips("192.0.2.13")),
                ("wlan0.dhcp", ips("192.0.2.10")),
            ]
        );
    }

    #[test]
    fn openwrt_names_networks_and_its_configuration_their_devices() {
        let config = "
config interface 'loopback'
\toption device 'lo'
config interface 'wan'
\toption device 'eth1'
\toption proto 'dhcp'
config interface wan6
\toption device '@wan'
config interface 'dsl'
\toption proto 'pppoe'
\toption device 'eth2'
config interface 'lte'
\toption ifname \"wwan0\"
config device
\toption name 'br-lan'
";
        let auto = "# Interface wan\nnameserver 192.0.2.1\nsearch lan\n# Interface wan6\nnameserver fe80::1%eth1\n\
                    # Interface dsl\nnameserver 192.0.2.2\n# Interface lte_4\nnameserver 192.0.2.3\n";
        let files = [("tmp/resolv.conf.d/resolv.conf.auto", auto), (NETIFD_CONFIG, config)];
        let named = read_and_remove(&system("openwrt", &files));
        let by_name: Vec<_> =
            named.by_name.iter().map(|(name, ips)| (name.as_str(), ips.clone())).collect();
        assert_eq!(
            by_name,
            [
                ("eth1", ips("192.0.2.1 fe80::1")),
                ("lte_4", ips("192.0.2.3")),
                ("pppoe-dsl", ips("192.0.2.2")),
            ]
        );
        let named = read_and_remove(&system("openwrt", &files[..1]));
        assert!(named.by_name.contains_key("wan6"), "without it the names stay");
    }

    #[test]
    fn addresses_come_in_many_dresses() {
        for (word, is) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:53", "192.0.2.1"),
            ("192.0.2.1#name", "192.0.2.1"),
            ("192.0.2.1:53%3#name", "192.0.2.1"),
            ("fe80::1%eth1", "fe80::1"),
            ("[2001:db8::1]:53%2#dns.example", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
        ] {
            assert_eq!(address(word), Some(is.parse().unwrap()), "{word}");
        }
        for word in ["", "#", "name", "192.0.2.1:853", "[::1", "192.0.2", "1.2.3.4.5", "%", ":53"] {
            assert_eq!(address(word), None, "{word}");
        }
    }

    #[test]
    fn nothing_there_is_nobody_named_and_too_much_is_cut_off() {
        assert_eq!(read(Path::new("/nowhere")), Named::default());
        let long: String =
            (0..20_000).map(|n| format!("nameserver 10.0.{}.{}\n", n / 200, n % 200)).collect();
        let root = system("much", &[("run/resolvconf/interface/eth0", &long)]);
        // A folder in the place of a file.
        std::fs::create_dir_all(root.join("run/systemd/netif/links/7")).unwrap();
        let named = read_and_remove(&root);
        assert_eq!(named.by_name["eth0"].len(), EACH);
        assert!(named.by_index.is_empty());
    }

    fn line() -> impl Strategy<Value = String> {
        let key = prop::sample::select(vec![
            "nameserver ",
            "DNS=",
            "SERVERS=",
            "# Interface ",
            "config interface ",
            "\toption device ",
            "\toption proto ",
            "",
            "dhcp4.domain_name_servers=",
        ]);
        let value = prop::sample::select(vec![
            "192.0.2.1",
            "fe80::1%eth1",
            "'@wan'",
            "'wan'",
            "wan",
            "'",
            "[",
            "]:",
            "[::]:",
            "#",
            "%",
            ":::",
            "pppoe",
            " ",
        ]);
        (key, prop::collection::vec(value, 0..3), any::<String>())
            .prop_map(|(k, v, s)| format!("{k}{}{s}\n", v.join(" ")))
    }

    proptest! {
        #[test]
        fn any_text_is_survived(lines in prop::collection::vec(line(), 0..30)) {
            let text = lines.concat();
            let _ = (assigned(&text, &["DNS="]).count(), nameservers(&text).count());
            let _ = (sections(&text), devices(&text));
        }

        #[test]
        fn any_word_is_survived(word in "\\PC{0,40}|[0-9a-f:.%#\\[\\]]{0,40}") {
            if let Some(ip) = address(&word) {
                prop_assert!(word.contains(['.', ':']), "{word} is {ip}");
            }
        }
    }
}
