//! By which address the Internet reaches an uplink, if it does.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Where an address counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    Everywhere,
    /// Behind a router of the house (RFC 1918), or in one network only.
    House,
    /// Behind a router of the provider, with many others (RFC 6598).
    Provider,
}

/// Where an address counts. What RFC 5737 and RFC 3849 set aside for documents counts as any other.
#[must_use]
pub fn reach(ip: IpAddr) -> Reach {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            if a == 100 && b & 0xc0 == 64 {
                return Reach::Provider;
            }
            let near = ip.is_private() || ip.is_loopback() || ip.is_link_local();
            let none = ip.is_unspecified() || ip.is_broadcast() || ip.is_multicast() || a == 0;
            if near || none { Reach::House } else { Reach::Everywhere }
        }
        // Global unicast, by IANA's allocation (RFC 4291 §2.4).
        IpAddr::V6(ip) if ip.segments()[0] >> 13 == 1 => Reach::Everywhere,
        IpAddr::V6(_) => Reach::House,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_an_address_counts() {
        let rows = [
            ("203.0.113.7", Reach::Everywhere),
            ("100.63.255.255", Reach::Everywhere),
            ("100.64.0.1", Reach::Provider),
            ("100.127.255.254", Reach::Provider),
            ("100.128.0.1", Reach::Everywhere),
            ("10.1.2.3", Reach::House),
            ("172.31.0.1", Reach::House),
            ("192.168.8.100", Reach::House),
            ("169.254.1.1", Reach::House),
            ("0.1.2.3", Reach::House),
            ("2001:db8::1", Reach::Everywhere),
            ("fd00::1", Reach::House),
            ("fe80::1", Reach::House),
        ];
        for (ip, expected) in rows {
            assert_eq!(reach(ip.parse().unwrap()), expected, "{ip}");
        }
    }
}
