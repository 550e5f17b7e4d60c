//! What the box is called by those who may say so.

use std::fs::File;
use std::io::Read as _;
use std::net::IpAddr;

use crate::io::clock;

/// Domains that no name server of the Internet hands out (RFC 6762, RFC 8375), besides what home routers use.
const HOME_DOMAINS: [&str; 7] =
    ["lan", "local", "home.arpa", "internal", "home", "localdomain", "fritz.box"];
/// Where an administrator writes the box's whole name. What a DHCP server says comes into neither.
const HOSTNAME: &str = "/etc/hostname";
const HOSTS: &str = "/etc/hosts";
/// So much of them is read, in bytes: some have long lists of advertisers in the latter, which come last.
const MOST: u64 = 16 * 1024;

/// Whether the box has this name, which is in lower case and without a final dot; `local` is the address at
/// which it was asked.
pub(super) fn is_own(name: &str, local: IpAddr) -> bool {
    let hostname = clock::hostname().unwrap_or_default();
    let own = called(&hostname);
    own.iter().any(|one| one == name)
        || own.first().is_some_and(|short| {
            // Only for a name that could be it: others cost no look into files.
            name.strip_prefix(short.as_str()).is_some_and(|rest| rest.starts_with('.'))
                && whole_names(short, &beginning(HOSTNAME), &beginning(HOSTS), local)
                    .iter()
                    .any(|one| one == name)
        })
}

/// What the box calls itself, alone and in the domains of a home.
pub(super) fn called(hostname: &str) -> Vec<String> {
    let whole = hostname.trim().trim_end_matches('.').to_ascii_lowercase();
    let short = whole.split('.').next().unwrap_or_default().to_owned();
    let plain = |name: &str| {
        name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_' || b == b'.')
    };
    if short.is_empty() || short == "localhost" || !plain(&whole) {
        return Vec::new();
    }
    let at_home = HOME_DOMAINS.iter().map(|domain| format!("{short}.{domain}"));
    // The domain may be what a DHCP server said, and with it the name of anybody's site.
    std::iter::once(short.clone()).chain(at_home).collect()
}

/// The box's whole names as its files have them: `hostname` has one, and `hosts` those of this box's addresses.
pub(super) fn whole_names(short: &str, hostname: &str, hosts: &str, local: IpAddr) -> Vec<String> {
    let words = |line: &str| -> Vec<String> {
        let text = line.split('#').next().unwrap_or_default().to_ascii_lowercase();
        text.split_whitespace().map(|word| word.trim_end_matches('.').to_owned()).collect()
    };
    let is_its_own =
        |address: &str| address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback() || ip == local);
    let of_hosts =
        hosts.lines().map(words).filter(|words| words.first().is_some_and(|a| is_its_own(a)));
    let all = of_hosts.flat_map(|words| words.into_iter().skip(1));
    let all = hostname.lines().flat_map(words).chain(all);
    all.filter(|name| name.strip_prefix(short).is_some_and(|rest| rest.starts_with('.'))).collect()
}

/// How a file begins; nothing if it cannot be read.
fn beginning(path: &str) -> String {
    let mut text = Vec::new();
    if let Ok(file) = File::open(path) {
        // What was read before a fault is as good as any.
        drop(file.take(MOST).read_to_end(&mut text));
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_name_is_what_an_administrator_wrote() {
        let local = IpAddr::from([192, 168, 1, 1]);
        let names = |hostname: &str, hosts: &str| whole_names("gw", hostname, hosts, local);
        assert_eq!(names("GW.office.example\n", ""), ["gw.office.example"]);
        assert_eq!(names("gw\n", "127.0.1.1 gw.office.example gw\n"), ["gw.office.example"]);
        assert_eq!(names("gw", "192.168.1.1\tgw.a.example. gw # gw.b.example"), ["gw.a.example"]);
        assert_eq!(names("gw", "::1 localhost gw.a.example"), ["gw.a.example"]);
        for others in [
            "203.0.113.9 gw.office.example gw",
            "# 127.0.1.1 gw.office.example",
            "127.0.1.1 www.office.example gwx.office.example gw",
            "gw.office.example",
        ] {
            assert_eq!(names("gw", others), [""; 0], "{others}");
        }
    }
}
