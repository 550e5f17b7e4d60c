//! Values under `/proc/sys`, and the ones that stood there before sparelink came.
//!
//! Like `io::clock` and `io::socket` this is shared ground: the other rooms of `io` may use it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::disk::{self, publish};
use super::faults;
use crate::units::{Gather as _, IfName};

const ROOT: &str = "/proc/sys";

/// The file in the run directory that remembers the values of before.
const ORIGINALS: &str = "sysctls.json";
/// It is never larger: some settings for each of a thousand devices.
const MOST: u64 = 1 << 20;

/// The range of groups that may send echoes without a capability.
const PING_RANGE: &str = "net/ipv4/ping_group_range";
/// What is set for the whole box, or follows what is set.
const OF_THE_BOX: [&str; 6] = [
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/accept_redirects",
    "net/ipv6/conf/all/forwarding",
    "net/netfilter/nf_conntrack_acct",
    "net/netfilter/nf_conntrack_tcp_loose",
    PING_RANGE,
];
/// What is set for a device, below `net/ipv4/conf/DEVICE`, or follows.
const OF_A_DEVICE_V4: [&str; 6] = [
    "arp_announce",
    "arp_ignore",
    "forwarding",
    "ignore_routes_with_linkdown",
    "rp_filter",
    "src_valid_mark",
];
/// The same below `net/ipv6/conf/DEVICE`.
const OF_A_DEVICE_V6: [&str; 5] = [
    "accept_ra",
    "accept_ra_rt_info_max_plen",
    "forwarding",
    "ignore_routes_with_linkdown",
    "max_addresses",
];

/// What can go wrong with a sysctl.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A path that leads out of `/proc/sys`, or nowhere.
    #[error("{0:?} is not the path of a sysctl")]
    Path(String),
    /// The kernel, or this interface, does not have it.
    #[error("there is no sysctl {0}")]
    Missing(String),
    /// `/proc/sys` is mounted read-only, as in most containers.
    #[error("cannot set {0}: /proc/sys is read-only here")]
    ReadOnly(String),
    #[error("cannot access sysctl {path}: {source}")]
    Access { path: String, source: io::Error },
    /// The file of original values says what this program does not write. `purge` runs as root and that
    /// file may be another user's, so nothing of it is believed.
    #[error("{} is not as sparelink writes it ({why}): the sysctls stay as they are", file.display())]
    Strange {
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The file of original values cannot be read or written.
    #[error("cannot keep the original sysctls in {}: {source}", file.display())]
    Originals { file: PathBuf, source: io::Error },
}

/// The value of a sysctl, its parts separated by single blanks (`ping_group_range` has a tab).
///
/// # Errors
///
/// When there is none, or it cannot be read.
pub fn read(path: &str) -> Result<String, Error> {
    let text = fs::read_to_string(full(path)?).map_err(|source| access(path, source))?;
    Ok(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Sets a sysctl.
///
/// # Errors
///
/// When there is none, or it cannot be written.
pub fn write(path: &str, value: &str) -> Result<(), Error> {
    let open = fs::OpenOptions::new().write(true).open(full(path)?);
    // One write: the kernel takes each as a whole value.
    let write = faults::Write::begin(path);
    let written = open.and_then(|mut file| file.write_all(value.as_bytes()));
    write.done();
    written.map_err(|source| access(path, source))
}

/// Lets this process's group send ICMP echoes without CAP_NET_RAW, and remembers what was allowed
/// before. With that capability nothing is changed.
///
/// # Errors
///
/// When the range can be neither read nor written.
pub fn allow_ping(run_dir: &Path) -> Result<(), Error> {
    let protocol = Some(socket2::Protocol::ICMPV4);
    if socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::RAW, protocol).is_ok() {
        return Ok(());
    }
    let group = nix::unistd::getegid().as_raw();
    let before = read(PING_RANGE)?;
    let mut bounds = before.split(' ').filter_map(|bound| bound.parse::<u32>().ok());
    let covers =
        matches!((bounds.next(), bounds.next()), (Some(a), Some(b)) if a <= group && group <= b);
    if covers {
        return Ok(());
    }
    let original = std::iter::once((PING_RANGE.to_owned(), before)).gather();
    save_originals(run_dir, &original)?;
    write(PING_RANGE, &format!("{group} {group}"))
}

/// The values of those that can be read.
pub fn read_all<'a>(paths: impl IntoIterator<Item = &'a String>) -> BTreeMap<String, String> {
    paths.into_iter().filter_map(|path| Some((path.clone(), read(path).ok()?))).gather()
}

/// Remembers values of before, for [`restore`]. A value that is remembered already stays: it is
/// the older one.
///
/// # Errors
///
/// When the file cannot be read or written, or is to remember what [`restore`] would not put back; then
/// nothing should be changed.
pub fn save_originals(run_dir: &Path, values: &BTreeMap<String, String>) -> Result<(), Error> {
    // Where nothing is changed the file is nobody's business, not even if it is no good: `purge` says so.
    if values.is_empty() {
        return Ok(());
    }
    let file = run_dir.join(ORIGINALS);
    let mut known = match originals(&file) {
        Err(error @ Error::Strange { .. }) => begin_again(&file, &error)?,
        known => known?,
    };
    let before = known.len();
    for (path, value) in values {
        if !is_ours(path) || !is_value(path, value) {
            let why = format!("{path} = {value:?}");
            return Err(Error::Strange { file, why });
        }
        known.entry(path.clone()).or_insert_with(|| value.clone());
    }
    if known.len() == before {
        return Ok(());
    }
    let failed = |source| Error::Originals { file: file.clone(), source };
    let text = serde_json::to_vec_pretty(&known).map_err(|e| failed(e.into()))?;
    // Not flushed: the kernel forgets its values with the power, too, and whoever switches must not wait
    // for a disk.
    publish(&file, &text).map_err(failed)
}

/// The value of before that is remembered for a path.
#[must_use]
pub fn original(run_dir: &Path, path: &str) -> Option<String> {
    originals(&run_dir.join(ORIGINALS)).ok()?.remove(path)
}

/// The values that the kernel changes along with one, as they are now. Whoever switches forwarding
/// for all switches it for every device, and `accept_redirects` with it (inet_forward_change and
/// addrconf_fixup_forwarding in the kernel).
#[must_use]
pub fn followers(path: &str) -> BTreeMap<String, String> {
    let (family, also) = match path {
        "net/ipv4/ip_forward" => ("ipv4", Some("net/ipv4/conf/all/accept_redirects")),
        "net/ipv6/conf/all/forwarding" => ("ipv6", None),
        _ => return BTreeMap::new(),
    };
    let devices = fs::read_dir(Path::new(ROOT).join(format!("net/{family}/conf")));
    let names = devices.into_iter().flatten().flatten().map(|entry| entry.file_name());
    let of = |name: &str| format!("net/{family}/conf/{name}/forwarding");
    let mut paths: Vec<String> = names.filter_map(|name| Some(of(name.to_str()?))).collect();
    paths.extend(also.map(str::to_owned));
    read_all(&paths)
}

/// Whether a sysctl changes others when it is written; those are put back after it.
fn leads(path: &str) -> bool {
    path == "net/ipv4/ip_forward" || path == "net/ipv6/conf/all/forwarding"
}

/// Puts back every value of before and forgets them; what is gone by now is passed over. Gives the
/// paths that were put back. Doing it twice does nothing.
///
/// # Errors
///
/// The first value that could not be put back; the file stays then.
pub fn restore(run_dir: &Path) -> Result<Vec<String>, Error> {
    let file = run_dir.join(ORIGINALS);
    let mut done = Vec::new();
    let mut failed = None;
    let (first, then): (Vec<_>, Vec<_>) =
        originals(&file)?.into_iter().partition(|(path, _)| leads(path));
    for (path, value) in first.into_iter().chain(then) {
        if read(&path).is_ok_and(|now| now == value) {
            continue;
        }
        match write(&path, &value) {
            Ok(()) => done.push(path),
            Err(Error::Missing(_)) => {}
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    if let Some(error) = failed {
        return Err(error);
    }
    match fs::remove_file(&file) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(Error::Originals { file, source })
        }
        _ => Ok(done),
    }
}

fn originals(file: &Path) -> Result<BTreeMap<String, String>, Error> {
    let strange = |why: String| Error::Strange { file: file.to_owned(), why };
    let Some(text) = disk::read_own(file, MOST).map_err(|error| strange(error.to_string()))? else {
        return Ok(BTreeMap::new());
    };
    let known: BTreeMap<String, String> =
        serde_json::from_slice(&text).map_err(|error| strange(error.to_string()))?;
    match known.iter().find(|(path, value)| !is_ours(path) || !is_value(path, value)) {
        Some((path, value)) => Err(strange(format!("{path:.64?} = {value:.32?}"))),
        None => Ok(known),
    }
}

/// The file of original values is no good: it is kept under another name, and what stands now counts as
/// what was before.
fn begin_again(file: &Path, why: &Error) -> Result<BTreeMap<String, String>, Error> {
    tracing::warn!("{why}; it is kept under another name and begun again");
    match fs::rename(file, file.with_extension("unreadable")) {
        Ok(()) => Ok(BTreeMap::new()),
        Err(source) => Err(Error::Originals { file: file.to_owned(), source }),
    }
}

/// Whether a plan can name this sysctl, or the kernel changes it along with one that a plan names.
fn is_ours(path: &str) -> bool {
    if OF_THE_BOX.contains(&path) {
        return true;
    }
    let (rest, keys) =
        match (path.strip_prefix("net/ipv4/conf/"), path.strip_prefix("net/ipv6/conf/")) {
            (Some(rest), _) => (rest, &OF_A_DEVICE_V4[..]),
            (_, Some(rest)) => (rest, &OF_A_DEVICE_V6[..]),
            (None, None) => return false,
        };
    rest.split_once('/').is_some_and(|(dev, key)| {
        // Those of all devices and of new ones follow forwarding; no plan names them.
        let whole = matches!(dev, "all" | "default");
        keys.contains(&key) && IfName::new(dev).is_some() && (!whole || key == "forwarding")
    })
}

/// Whether this can be the value of one of them: a number, or two for the range of groups.
fn is_value(path: &str, value: &str) -> bool {
    if path == PING_RANGE {
        let groups = value.split(' ').filter(|group| group.parse::<u32>().is_ok()).count();
        return groups == 2 && value.split(' ').count() == 2;
    }
    value.parse::<i32>().is_ok_and(|number| number.to_string() == value)
}

fn full(path: &str) -> Result<PathBuf, Error> {
    let plain =
        |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
    if path.split('/').all(plain) {
        Ok(Path::new(ROOT).join(path))
    } else {
        Err(Error::Path(path.to_owned()))
    }
}

fn access(path: &str, source: io::Error) -> Error {
    let path = path.to_owned();
    if source.kind() == io::ErrorKind::NotFound {
        Error::Missing(path)
    } else if source.kind() == io::ErrorKind::ReadOnlyFilesystem {
        Error::ReadOnly(path)
    } else {
        Error::Access { path, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_proc_sys() {
        for bad in ["", "/etc/passwd", "../etc", "net/../../etc", "net//ipv4", "net/", "a/./b"] {
            assert!(matches!(read(bad), Err(Error::Path(_))), "{bad}");
        }
        assert!(read("kernel/ostype").is_ok_and(|text| text == "Linux"));
    }

    #[test]
    fn a_missing_sysctl_is_named() {
        let error = read("net/ipv4/no_such_thing").unwrap_err();
        assert_eq!(error.to_string(), "there is no sysctl net/ipv4/no_such_thing");
        let some = ["kernel/ostype".to_owned(), "net/ipv4/no_such_thing".to_owned()];
        assert_eq!(read_all(&some).len(), 1);
    }

    #[test]
    fn the_oldest_value_is_the_one_that_is_kept() {
        let dir = std::env::temp_dir().join(format!("sparelink-sysctl-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = "net/ipv4/conf/nosuchdevice/rp_filter";
        let value = |text: &str| BTreeMap::from([(path.to_owned(), text.to_owned())]);
        save_originals(&dir, &value("0")).unwrap();
        save_originals(&dir, &value("1")).unwrap();
        assert_eq!(originals(&dir.join(ORIGINALS)).unwrap(), value("0"));
        assert_eq!(restore(&dir).unwrap(), Vec::<String>::new());
        assert!(!dir.join(ORIGINALS).exists());
        assert!(restore(&dir).is_ok(), "the second time there is nothing to do");
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn only_what_a_plan_can_name_is_put_back() {
        for ours in [
            "net/ipv4/conf/eth0.10/rp_filter",
            "net/ipv6/conf/usb0/accept_ra",
            "net/ipv6/conf/usb0/accept_ra_rt_info_max_plen",
            "net/ipv6/conf/usb0/max_addresses",
            "net/ipv4/conf/default/forwarding",
            "net/ipv4/ip_forward",
        ] {
            assert!(is_ours(ours), "{ours}");
        }
        for foreign in [
            "kernel/hostname",
            "kernel/core_pattern",
            "net/ipv4/conf/all/rp_filter",
            "net/ipv4/conf/../../../kernel/hostname",
            "net/ipv4/conf/../rp_filter",
            "net/ipv4/conf/a/b/rp_filter",
            "net/ipv4/conf/eth0/proxy_arp",
            "/etc/passwd",
            "",
        ] {
            assert!(!is_ours(foreign), "{foreign}");
        }
        assert!(
            is_value("net/ipv4/ip_forward", "0") && is_value("net/ipv6/conf/a/accept_ra", "-1")
        );
        for bad in ["", "+1", "01", " 1", "1 2", "x", "|/bin/sh", "9223372036854775807", "1\n"] {
            assert!(!is_value("net/ipv4/ip_forward", bad), "{bad:?}");
        }
        assert!(is_value(PING_RANGE, "1 0") && is_value(PING_RANGE, "0 4294967295"));
        assert!(!is_value(PING_RANGE, "1") && !is_value(PING_RANGE, "1 2 3"));
    }

    #[test]
    fn a_file_that_is_not_ours_is_refused_as_a_whole_and_begun_again() {
        let dir = std::env::temp_dir().join(format!("sparelink-strange-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let file = dir.join(ORIGINALS);
        let good = r#""net/ipv4/conf/nosuchdevice/rp_filter": "1""#;
        let refused = |dir: &Path| match restore(dir) {
            Err(Error::Strange { why, .. }) => why,
            other => panic!("{other:?}"),
        };
        for bad in [
            r#""kernel/hostname": "x""#,
            r#""kernel/core_pattern": "|/bin/sh""#,
            r#""net/ipv4/conf/../../../kernel/hostname": "1""#,
            r#""net/ipv4/ip_forward": "yes""#,
            r#""net/ipv4/ip_forward": 18446744073709551615"#,
            "torn",
        ] {
            fs::write(&file, format!("{{ {good}, {bad} }}")).unwrap();
            assert!(!refused(&dir).is_empty());
        }
        fs::write(dir.join("elsewhere"), format!("{{ {good} }}")).unwrap();
        fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink(dir.join("elsewhere"), &file).unwrap();
        assert!(!refused(&dir).is_empty(), "a link is followed");
        save_originals(&dir, &BTreeMap::new()).unwrap();
        assert!(!refused(&dir).is_empty(), "it is still there");
        // The agent goes on: it remembers what stands now.
        let now =
            BTreeMap::from([("net/ipv4/conf/nosuchdevice/rp_filter".to_owned(), "0".to_owned())]);
        save_originals(&dir, &now).unwrap();
        assert_eq!(originals(&file).unwrap(), now);
        assert!(file.with_extension("unreadable").is_symlink());
        let foreign = BTreeMap::from([("kernel/hostname".to_owned(), "x".to_owned())]);
        assert!(save_originals(&dir, &foreign).is_err(), "it is written down at all");
        fs::remove_dir_all(&dir).unwrap();
    }
}
