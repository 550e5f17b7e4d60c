//! What files and the process table say about a box, for `sparelink doctor`.

pub mod others;
pub mod strangers;
pub mod survey;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use crate::engine::doctor::{Directory, Follows, Networkd, Reader};
use crate::units::{Gather as _, IfName};

/// Where to look; tests look elsewhere.
#[derive(Clone, Debug)]
pub struct Roots {
    pub proc: PathBuf,
    /// What stands for `/`, above `etc`, `run` and `usr`.
    pub root: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self { proc: "/proc".into(), root: "/".into() }
    }
}

/// The values that matter of those there are, by path below `/proc/sys`.
#[must_use]
pub fn sysctls(roots: &Roots, devices: &[IfName]) -> BTreeMap<String, String> {
    let mut paths: Vec<String> = [
        "net/ipv4/ip_forward",
        "net/ipv6/conf/all/forwarding",
        "net/ipv4/conf/all/rp_filter",
        "net/netfilter/nf_conntrack_tcp_loose",
        "net/netfilter/nf_conntrack_max",
        "net/netfilter/nf_conntrack_count",
    ]
    .map(str::to_owned)
    .into();
    paths.extend(devices.iter().map(|dev| format!("net/ipv4/conf/{dev}/rp_filter")));
    let read = |path: String| {
        let text = fs::read_to_string(roots.proc.join("sys").join(&path)).ok()?;
        Some((path, text.trim().to_owned()))
    };
    paths.into_iter().filter_map(read).gather()
}

/// The names of all running programs (`/proc/PID/comm`, 15 bytes at most).
#[must_use]
pub fn programs(roots: &Roots) -> BTreeSet<String> {
    let entries = fs::read_dir(&roots.proc).into_iter().flatten().flatten();
    let processes = entries.filter(|entry| {
        entry.file_name().to_str().is_some_and(|name| name.bytes().all(|b| b.is_ascii_digit()))
    });
    let name = |path: PathBuf| fs::read_to_string(path.join("comm")).ok();
    processes.filter_map(|p| name(p.path())).map(|name| name.trim().to_owned()).gather()
}

/// Whether iptables' older kind has rules for what is forwarded; only root is told.
#[must_use]
pub fn legacy_filter(roots: &Roots) -> bool {
    let read = |file| fs::read_to_string(roots.proc.join("net").join(file)).unwrap_or_default();
    let names = ["ip_tables_names", "ip6_tables_names"].map(read);
    names.iter().any(|names| names.lines().any(|name| name == "filter"))
}

/// What systemd-networkd does with routes and rules of others (networkd.conf(5)).
#[must_use]
pub fn networkd(roots: &Roots, programs: &BTreeSet<String>) -> Networkd {
    // The first that has a file of some name wins.
    const PLACES: [&str; 4] = ["etc", "run", "usr/local/lib", "usr/lib"];
    let dirs = PLACES.map(|place| roots.root.join(place).join("systemd"));
    let main = dirs.iter().find_map(|dir| fs::read_to_string(dir.join("networkd.conf")).ok());
    let mut dropins: BTreeMap<std::ffi::OsString, PathBuf> = BTreeMap::new();
    for dir in &dirs {
        for entry in fs::read_dir(dir.join("networkd.conf.d")).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "conf") {
                dropins.entry(entry.file_name()).or_insert_with(|| entry.path());
            }
        }
    }
    let mut networkd = Networkd {
        running: programs
            .iter()
            .any(|name| "systemd-networkd".starts_with(name) && name.len() == 15),
        ..Networkd::default()
    };
    let texts = dropins.values().filter_map(|path| fs::read_to_string(path).ok());
    for text in main.into_iter().chain(texts) {
        take_settings(&text, &mut networkd);
    }
    networkd
}

/// Takes in one file; what comes later counts.
fn take_settings(text: &str, networkd: &mut Networkd) {
    let mut section = "";
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
        }
        let Some((key, value)) = line.split_once('=') else { continue };
        let no = ["no", "false", "off", "0", "n", "f"].contains(&&*value.trim().to_lowercase());
        match (section, key.trim()) {
            ("[Network]", "ManageForeignRoutes") => networkd.leaves_routes = no,
            ("[Network]", "ManageForeignRoutingPolicyRules") => networkd.leaves_rules = no,
            _ => {}
        }
    }
}

/// How the device tree names the board, the most specific word first (the property `compatible` of its
/// root); empty on a box without one.
#[must_use]
pub fn compatible(roots: &Roots) -> Vec<String> {
    let file = roots.root.join("sys/firmware/devicetree/base/compatible");
    let text = fs::read(file).unwrap_or_default();
    let words = text.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    words.map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// Addresses at which somebody waits for ssh (`/proc/net/tcp`, state 0A, port 22).
#[must_use]
pub fn ssh(roots: &Roots) -> BTreeSet<IpAddr> {
    const PORT: u16 = 22;
    const LISTENS: &str = "0A";
    let sockets = ["tcp", "tcp6"]
        .map(|file| fs::read_to_string(roots.proc.join("net").join(file)).unwrap_or_default());
    let lines = sockets.iter().flat_map(|text| text.lines().skip(1));
    let listening = lines.filter_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (address, port) = words.next()?.split_once(':')?;
        let waits = words.nth(1)? == LISTENS && u16::from_str_radix(port, 16).ok()? == PORT;
        waits.then(|| own_address(address)).flatten()
    });
    listening.gather()
}

/// An address as `/proc/net/tcp` writes it: words of 32 bits, each as the processor reads it.
fn own_address(text: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(text.get(at..at + 8)?, 16).ok();
    if text.len() == 8 {
        return Some(IpAddr::from(word(0)?.to_ne_bytes()));
    }
    let mut bytes = [0; 16];
    for (n, chunk) in bytes.chunks_exact_mut(4).enumerate() {
        chunk.copy_from_slice(&word(n * 8)?.to_ne_bytes());
    }
    Some(IpAddr::from(bytes))
}

/// How many machines answer, by interface (`/proc/net/arp`; flag 2: its address is known).
#[must_use]
pub fn neighbours(roots: &Roots) -> BTreeMap<String, usize> {
    let table = fs::read_to_string(roots.proc.join("net/arp")).unwrap_or_default();
    let mut seen = BTreeMap::new();
    for line in table.lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [_, _, "0x2" | "0x6", _, _, device] = words.as_slice() {
            *seen.entry((*device).to_owned()).or_insert(0) += 1;
        }
    }
    seen
}

/// The box's own address by which this session came in over ssh (`SSH_CONNECTION`), which sudo does not hand on: that of
/// a parent counts as well. `None`: it did not, or it cannot be seen.
#[must_use]
pub fn session_address(roots: &Roots) -> Option<IpAddr> {
    const VARIABLE: &str = "SSH_CONNECTION=";
    let mut process = "self".to_owned();
    for _ in 0..16 {
        let dir = roots.proc.join(&process);
        let environment = fs::read(dir.join("environ")).unwrap_or_default();
        let environment = String::from_utf8_lossy(&environment);
        let found = environment.split('\0').find_map(|line| line.strip_prefix(VARIABLE));
        if let Some(found) = found {
            return found.split(' ').nth(2)?.parse().ok();
        }
        let status = fs::read_to_string(dir.join("status")).ok()?;
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim();
        if parent == "0" {
            return None;
        }
        process = parent.to_owned();
    }
    None
}

/// Resolvers that know by themselves whom to ask: the name of the process, which is cut off after 15 characters, and
/// the program's own.
const RESOLVERS: [(&str, &str, Follows); 7] = [
    ("systemd-resolve", "systemd-resolved", Follows::Every),
    ("unbound", "unbound", Follows::Itself),
    ("pihole-FTL", "Pi-hole", Follows::Itself),
    ("AdGuardHome", "AdGuard Home", Follows::Itself),
    ("named", "BIND", Follows::Itself),
    ("kresd", "Knot Resolver", Follows::Itself),
    ("https-dns-proxy", "https-dns-proxy", Follows::Itself),
];

/// Who resolves names on this box, and whether it asks those whom the file in `run_dir` names.
#[must_use]
pub fn readers(roots: &Roots, programs: &BTreeSet<String>, run_dir: &Path) -> Vec<Reader> {
    let ours = run_dir.join("resolv.conf").display().to_string();
    let names_ours = |path: PathBuf| fs::read_to_string(path).is_ok_and(|t| mentions(&t, &ours));
    let follows = |yes| if yes { Follows::Yes } else { Follows::No };
    let mut readers = Vec::new();
    if programs.contains("dnsmasq") {
        let files = ["etc/dnsmasq.conf", "etc/config/dhcp"].map(|file| roots.root.join(file));
        let dropins = fs::read_dir(roots.root.join("etc/dnsmasq.d")).into_iter().flatten();
        let dropins = dropins.flatten().map(|entry| entry.path());
        let found = files.into_iter().chain(dropins).any(names_ours);
        readers.push(Reader { program: "dnsmasq", follows: follows(found) });
    }
    for (comm, program, follows) in RESOLVERS {
        if programs.contains(comm) {
            readers.push(Reader { program, follows });
        }
    }
    let resolv = roots.root.join("etc/resolv.conf");
    let linked = fs::canonicalize(&resolv).is_ok_and(|path| path == Path::new(&ours));
    if linked {
        readers.push(Reader { program: "this box", follows: Follows::Yes });
    }
    readers
}

/// Whether a line that is no comment names a file.
fn mentions(text: &str, file: &str) -> bool {
    text.lines().any(|line| !line.trim_start().starts_with('#') && line.contains(file))
}

/// Whether GL.iNet's manager of several uplinks is switched on (`/etc/config/kmwan`).
#[must_use]
pub fn kmwan(roots: &Roots) -> bool {
    let text = fs::read_to_string(roots.root.join("etc/config/kmwan")).unwrap_or_default();
    let mut section = "";
    text.lines().map(str::trim).any(|line| {
        if let Some(rest) = line.strip_prefix("config ") {
            section = rest;
        }
        let words: Vec<&str> =
            line.split_whitespace().map(|word| word.trim_matches(['\'', '"'])).collect();
        section.contains("global") && matches!(words.as_slice(), ["option", "enable", "1"])
    })
}

/// Whether this process could write into a directory, or make it.
#[must_use]
pub fn directory(path: &Path, purpose: &'static str) -> Directory {
    let existing = path.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(path);
    let error = if existing.is_dir() {
        access(existing, AccessFlags::W_OK | AccessFlags::X_OK).err().map(|e| e.desc().to_owned())
    } else {
        Some(format!("{} is no directory", existing.display()))
    };
    Directory { path: path.to_owned(), purpose, error }
}

/// Whether raw sockets may be opened.
///
/// # Errors
///
/// Why not.
pub fn raw_sockets() -> std::io::Result<()> {
    let protocol = Some(socket2::Protocol::ICMPV4);
    socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::RAW, protocol).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A box of files, gone when dropped.
    struct Files(PathBuf);

    impl Files {
        fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let id = std::process::id();
            let root = std::env::temp_dir().join(format!("sparelink-inspect-{name}-{id}"));
            for (path, text) in files {
                let path = root.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            Self(root)
        }

        fn roots(&self) -> Roots {
            Roots { proc: self.0.join("proc"), root: self.0.clone() }
        }
    }

    impl Drop for Files {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    #[test]
    fn networkd_is_read_as_it_reads_itself() {
        const MAIN: &str = "etc/systemd/networkd.conf";
        const OURS: &str =
            "[Network]\nManageForeignRoutes=no\nManageForeignRoutingPolicyRules=no\n";
        type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], (bool, bool));
        let cases: [Case<'_>; 6] = [
            ("none", &[], (false, false)),
            ("comment", &[(MAIN, "[Network]\n#ManageForeignRoutes=no\n")], (false, false)),
            ("main", &[(MAIN, OURS)], (true, true)),
            ("dropin", &[("usr/lib/systemd/networkd.conf.d/x.conf", OURS)], (true, true)),
            (
                "masked",
                &[
                    ("usr/lib/systemd/networkd.conf.d/x.conf", OURS),
                    (
                        "etc/systemd/networkd.conf.d/x.conf",
                        "[Network]\nManageForeignRoutes = off\n",
                    ),
                ],
                (true, false),
            ),
            (
                "later",
                &[
                    ("etc/systemd/networkd.conf.d/a.conf", OURS),
                    ("run/systemd/networkd.conf.d/b.conf", "[Network]\nManageForeignRoutes=yes\n"),
                    ("run/systemd/networkd.conf.d/c.txt", OURS),
                ],
                (false, true),
            ),
        ];
        let programs = BTreeSet::from(["systemd-network".to_owned(), "systemd".to_owned()]);
        for (name, files, expected) in cases {
            let files = Files::new(name, files);
            let found = networkd(&files.roots(), &programs);
            assert_eq!((found.leaves_routes, found.leaves_rules), expected, "{name}");
            assert!(found.running);
            assert!(!networkd(&files.roots(), &BTreeSet::from(["systemd".to_owned()])).running);
        }
    }

    #[test]
    fn proc_is_read() {
        let files = Files::new(
            "proc",
            &[
                ("proc/1/comm", "init\n"),
                ("proc/77/comm", "mwan3track\n"),
                ("proc/self/comm", "me\n"),
                ("proc/net/ip_tables_names", "mangle\nfilter\n"),
                ("proc/sys/net/ipv4/ip_forward", "1\n"),
                ("proc/sys/net/ipv4/conf/wan0/rp_filter", "2\n"),
            ],
        );
        let roots = files.roots();
        assert!(programs(&roots).iter().eq(["init", "mwan3track"]));
        let wan0 = IfName::new("wan0").unwrap();
        let found = sysctls(&roots, &[wan0]);
        assert_eq!(found.get("net/ipv4/conf/wan0/rp_filter").unwrap(), "2");
        assert_eq!(found.len(), 2);
        let elsewhere = Roots { proc: "/nonexistent".into(), root: "/nonexistent".into() };
        assert!(programs(&elsewhere).is_empty());
        assert!(legacy_filter(&roots) && !legacy_filter(&elsewhere));
    }

    #[test]
    fn who_waits_who_answers_and_who_resolves_is_read() {
        let files = Files::new(
            "house",
            &[
                (
                    "proc/net/tcp",
                    "  sl  local_address rem_address   st\n\
                     0: 0100007F:0016 00000000:0000 0A\n\
                     1: 0A4D3A54:0016 0100007F:C001 01\n\
                     2: 0A4D3A54:0050 00000000:0000 0A\n",
                ),
                (
                    "proc/net/tcp6",
                    "  sl  local_address rem_address st\n\
                     0: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A\n",
                ),
                (
                    "proc/net/arp",
                    "IP address HW type Flags HW address Mask Device\n\
                     192.168.77.5 0x1 0x2 aa:bb:cc:00:00:01 * lan0\n\
                     192.168.77.6 0x1 0x0 00:00:00:00:00:00 * lan0\n",
                ),
                ("proc/self/status", "Name:\tx\nPPid:\t12\n"),
                ("proc/12/status", "Name:\tsudo\nPPid:\t1\n"),
                ("proc/12/environ", "A=b\0SSH_CONNECTION=192.168.77.5 4242 192.168.77.1 22\0"),
                ("etc/dnsmasq.d/x.conf", "#resolv-file=/x\nresolv-file=/run/s/resolv.conf\n"),
                ("etc/config/kmwan", "config kmwan 'global'\n\toption enable '1'\n"),
            ],
        );
        let roots = files.roots();
        let ssh: Vec<String> = ssh(&roots).iter().map(ToString::to_string).collect();
        assert_eq!(ssh, ["127.0.0.1", "::"]);
        assert_eq!(neighbours(&roots), BTreeMap::from([("lan0".to_owned(), 1)]));
        let programs = BTreeSet::from(["dnsmasq".to_owned()]);
        let follows = |dir: &str| readers(&roots, &programs, Path::new(dir))[0].follows;
        assert_eq!((follows("/run/s"), follows("/run/t")), (Follows::Yes, Follows::No));
        assert!(readers(&roots, &BTreeSet::new(), Path::new("/run/s")).is_empty());
        let others = BTreeSet::from(["systemd-resolve", "unbound", "bash"].map(str::to_owned));
        let others = readers(&roots, &others, Path::new("/run/s"));
        let others: Vec<_> = others.iter().map(|one| (one.program, one.follows)).collect();
        assert_eq!(others, [("systemd-resolved", Follows::Every), ("unbound", Follows::Itself)]);
        assert_eq!(session_address(&roots).unwrap().to_string(), "192.168.77.1");
        assert!(kmwan(&roots));
        let off = Files::new("off", &[("etc/config/kmwan", "config kmwan 'global'\n")]);
        assert!(!kmwan(&off.roots()));
    }

    #[test]
    fn the_device_tree_names_the_board() {
        const PATH: &str = "sys/firmware/devicetree/base/compatible";
        let files = Files::new("tree", &[(PATH, "raspberrypi,4-model-b\0brcm,bcm2711\0")]);
        assert_eq!(compatible(&files.roots()), ["raspberrypi,4-model-b", "brcm,bcm2711"]);
        let elsewhere = Roots { proc: "/nonexistent".into(), root: "/nonexistent".into() };
        assert_eq!(compatible(&elsewhere), [""; 0]);
    }

    #[test]
    fn a_directory_that_can_be_made_is_fine() {
        let files = Files::new("dir", &[("file", "")]);
        assert_eq!(directory(&files.0.join("a/b/c"), "x").error, None);
        let error = directory(&files.0.join("file/b"), "x").error.unwrap();
        assert!(error.ends_with("file is no directory"), "{error}");
    }
}
