//! Whose addresses the packets of a table bear.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sparelink::units::Family;

use super::tag::MAGIC;

/// Somebody else at the uplink, beside the modem.
const NEIGHBOUR: u8 = 66;

/// In whose name a packet comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Neighbour,
    /// A link-local address with the tag in it.
    OnTheLink,
    /// Another one of the uplink's, with the tag in it.
    Tagged,
    Internet,
    LanHost,
    /// The box's address in the LAN.
    LanGate,
    UnlistedHost,
    /// The box's address on that uplink.
    Own,
    /// A host at another uplink.
    OtherUplink,
    Loopback,
    Group,
    Broadcast,
    Zero,
}

impl Source {
    /// All in whose name nobody at that uplink should send.
    pub(super) const FORGED: [Self; 10] = [
        Self::Internet,
        Self::LanHost,
        Self::LanGate,
        Self::UnlistedHost,
        Self::Own,
        Self::OtherUplink,
        Self::Loopback,
        Self::Group,
        Self::Broadcast,
        Self::Zero,
    ];

    /// The address, of the `n`th uplink; `None` where an IP version has no such thing.
    pub(super) fn address(self, n: u8, family: Family, tag: u16) -> Option<IpAddr> {
        use Target::{LanGate, LanHost, Own, UnlistedHost};
        let other = (n + 1) % 3;
        match self {
            Self::Neighbour => Some(on_uplink(n, family, NEIGHBOUR)),
            Self::OnTheLink => (family == Family::V6)
                .then(|| Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, MAGIC, tag).into()),
            Self::Tagged => (family == Family::V6).then(|| {
                let n = 0x10 + u16::from(n);
                Ipv6Addr::new(0x2001, 0xdb8, n, 0, 0, 0, MAGIC, tag).into()
            }),
            Self::Internet => Some(choose(family, INTERNET)),
            Self::LanHost => LanHost.address(n, family),
            Self::LanGate => LanGate.address(n, family),
            Self::UnlistedHost => UnlistedHost.address(n, family),
            Self::Own => Own.address(n, family),
            Self::OtherUplink => Some(on_uplink(other, family, NEIGHBOUR)),
            Self::Loopback => Some(choose(family, (Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST))),
            Self::Group => Target::AllHosts.address(n, family),
            Self::Broadcast => Target::Broadcast.address(n, family),
            Self::Zero => Some(choose(family, (Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED))),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Neighbour => "a neighbour",
            Self::OnTheLink => "the link",
            Self::Tagged => "somebody at the uplink",
            Self::Internet => "the Internet",
            Self::LanHost => "a LAN host",
            Self::LanGate => "the box's address in the LAN",
            Self::UnlistedHost => "a host of the unlisted network",
            Self::Own => "the box's own address",
            Self::OtherUplink => "a host at another uplink",
            Self::Loopback => "loopback",
            Self::Group => "a group",
            Self::Broadcast => "broadcast",
            Self::Zero => "nobody",
        })
    }
}

/// For whom a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    LanHost,
    UnlistedHost,
    /// The box's address in the LAN.
    LanGate,
    /// The box's address in the unlisted network.
    UnlistedGate,
    /// The box's address on that uplink.
    Own,
    /// The box's address on another uplink.
    OtherOwn,
    /// A host in the Internet.
    Beyond,
    /// A host at the same uplink.
    Beside,
    /// A host at another uplink.
    OtherUplink,
    AllHosts,
    AllRouters,
    AllRoutersOfTheSite,
    Broadcast,
    /// All of a network; in IPv6 any of its routers (RFC 4291 §2.6.1).
    OfTheLan,
    OfTheUnlisted,
    OfTheUplink,
}

impl Target {
    pub(super) const ALL: [Self; 16] = [
        Self::LanHost,
        Self::UnlistedHost,
        Self::LanGate,
        Self::UnlistedGate,
        Self::Own,
        Self::OtherOwn,
        Self::Beyond,
        Self::Beside,
        Self::OtherUplink,
        Self::AllHosts,
        Self::AllRouters,
        Self::AllRoutersOfTheSite,
        Self::Broadcast,
        Self::OfTheLan,
        Self::OfTheUnlisted,
        Self::OfTheUplink,
    ];

    /// The address, of the `n`th uplink; `None` where an IP version has no such thing.
    pub(super) fn address(self, n: u8, family: Family) -> Option<IpAddr> {
        let other = (n + 1) % 3;
        let group = |four, six| {
            choose(
                family,
                (Ipv4Addr::new(224, 0, 0, four), Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, six)),
            )
        };
        let of_all = match family {
            Family::V4 => 255,
            Family::V6 => 0,
        };
        Some(match self {
            Self::LanHost => in_lan(family, 2),
            Self::UnlistedHost => in_unlisted(family, 2),
            Self::LanGate => in_lan(family, 1),
            Self::UnlistedGate => in_unlisted(family, 1),
            Self::Own => on_uplink(n, family, 2),
            Self::OtherOwn => on_uplink(other, family, 2),
            Self::Beyond => choose(family, BEYOND),
            Self::Beside => on_uplink(n, family, 99),
            Self::OtherUplink => on_uplink(other, family, 99),
            Self::AllHosts => group(1, 1),
            Self::AllRouters => group(2, 2),
            Self::AllRoutersOfTheSite => {
                return (family == Family::V6)
                    .then(|| Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, 2).into());
            }
            Self::Broadcast => {
                return (family == Family::V4).then(|| Ipv4Addr::BROADCAST.into());
            }
            Self::OfTheLan => in_lan(family, of_all),
            Self::OfTheUnlisted => in_unlisted(family, of_all),
            Self::OfTheUplink => on_uplink(n, family, of_all),
        })
    }
}

const INTERNET: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(198, 51, 100, 77), Ipv6Addr::new(0x2001, 0xdb8, 0xaaaa, 0, 0, 0, 0, 0x77));
const BEYOND: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(198, 51, 100, 9), Ipv6Addr::new(0x2001, 0xdb8, 0xaaaa, 0, 0, 0, 0, 9));

fn choose(family: Family, (four, six): (Ipv4Addr, Ipv6Addr)) -> IpAddr {
    match family {
        Family::V4 => four.into(),
        Family::V6 => six.into(),
    }
}

fn in_lan(family: Family, host: u8) -> IpAddr {
    let six = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, host.into());
    choose(family, (Ipv4Addr::new(192, 168, 77, host), six))
}

fn in_unlisted(family: Family, host: u8) -> IpAddr {
    let six = Ipv6Addr::new(0xfd88, 0, 0, 0, 0, 0, 0, host.into());
    choose(family, (Ipv4Addr::new(10, 88, 0, host), six))
}

fn on_uplink(n: u8, family: Family, host: u8) -> IpAddr {
    let six = Ipv6Addr::new(0x2001, 0xdb8, 0x10 + u16::from(n), 0, 0, 0, 0, host.into());
    choose(family, (Ipv4Addr::new(192, 168, 10 + n, host), six))
}
