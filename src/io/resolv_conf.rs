//! Reads `resolv.conf(5)`, and addresses as such files write them.

use std::net::IpAddr;

/// The resolvers that programs on this box ask.
#[cfg(feature = "ddns")]
pub(super) fn of_the_box() -> Vec<IpAddr> {
    // The C library asks no more.
    const ASKED: usize = 3;
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    nameservers(&text).take(ASKED).collect()
}

/// The resolvers of a `resolv.conf(5)`.
pub(super) fn nameservers(text: &str) -> impl Iterator<Item = IpAddr> + '_ {
    text.lines().filter_map(nameserver)
}

pub(super) fn nameserver(line: &str) -> Option<IpAddr> {
    let mut words = line.split_whitespace();
    (words.next()? == "nameserver").then(|| words.next().and_then(address))?
}

/// An address as these files write it: `192.0.2.1`, `fe80::1%eth1`, `192.0.2.1:53#dns.example`,
/// `[2001:db8::1]:53`. One on another port is no resolver for us.
pub(super) fn address(word: &str) -> Option<IpAddr> {
    let word = word.split('#').next()?;
    let (word, port) = match word.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((word, port)) => (word, port.trim_start_matches(':')),
        None if word.matches(':').count() == 1 => word.split_once(':')?,
        None => (word, ""),
    };
    let plain = matches!(port.split('%').next()?, "" | "53");
    word.split('%').next()?.parse().ok().filter(|_| plain)
}
