//! What dnsmasq is told, so that it asks the name servers of the uplink in use.

use std::fs;
use std::path::{Path, PathBuf};

use crate::io::service::Manager;

pub(super) const SERVICE: &str = "dnsmasq";
/// Debian's dnsmasq reads all that is there. Others have one of their own (libvirt, NetworkManager), which does not.
const FOLDER: &str = "/etc/dnsmasq.d";
/// OpenWrt's is made from this.
const DHCP: &str = "/etc/config/dhcp";

/// The file to write, and what is in it then: it reads the resolvers from `source`.
pub(super) fn told(manager: Manager, source: &Path) -> Option<(PathBuf, String)> {
    let source = source.display().to_string();
    if manager == Manager::Procd {
        let text = fs::read_to_string(DHCP).ok()?;
        return Some((PathBuf::from(DHCP), with_resolvfile(&text, &source)?));
    }
    let folder = Path::new(FOLDER);
    let text = format!("# Written by sparelink setup.\nresolv-file={source}\n");
    folder.is_dir().then(|| (folder.join("sparelink.conf"), text))
}

/// The same with another `option resolvfile` in the first section of dnsmasq; `None`: there is no such section.
fn with_resolvfile(text: &str, source: &str) -> Option<String> {
    let line = format!("\toption resolvfile '{source}'");
    let words = |line: &str| {
        let words = line.split_whitespace().map(|word| word.trim_matches(['\'', '"']).to_owned());
        words.take(2).collect::<Vec<_>>()
    };
    let lines: Vec<&str> = text.lines().collect();
    let begin = lines.iter().position(|line| words(line) == ["config", "dnsmasq"])?;
    let rest = &lines[begin + 1..];
    let end = rest.iter().position(|line| words(line).first().is_some_and(|word| word == "config"));
    let section = &rest[..end.unwrap_or(rest.len())];
    let other = section.iter().filter(|line| words(line) != ["option", "resolvfile"]).copied();
    let mut all: Vec<&str> = lines[..=begin].to_vec();
    all.push(&line);
    all.extend(other);
    all.extend(&rest[section.len()..]);
    Some(all.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openwrts_dnsmasq_reads_another_file_and_all_else_stays() {
        let before = "config dnsmasq # the one\n\toption domainneeded '1'\n\toption resolvfile '/tmp/resolv.conf.d/resolv.conf.auto'\n\n\
                      config dhcp 'lan'\n\toption resolvfile 'not ours'\n";
        let after = "config dnsmasq # the one\n\toption resolvfile '/var/run/sparelink/resolv.conf'\n\toption domainneeded '1'\n\n\
                     config dhcp 'lan'\n\toption resolvfile 'not ours'\n";
        let source = "/var/run/sparelink/resolv.conf";
        assert_eq!(with_resolvfile(before, source).as_deref(), Some(after));
        assert_eq!(with_resolvfile(after, source).as_deref(), Some(after), "once is enough");
        assert_eq!(with_resolvfile("config dhcp 'lan'\n", source), None);
        let bare = with_resolvfile("config 'dnsmasq' 'x'", source).unwrap();
        assert!(bare.ends_with("resolv.conf'\n"), "{bare}");
    }
}
