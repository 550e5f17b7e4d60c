//! Parts that the kernel lacks, or the agent may not use.

use super::facts::Facts;
use super::finding::Finding;
use super::parts::{Part, Presence};

pub(super) fn judge(facts: &Facts) -> impl Iterator<Item = Finding> {
    let missing =
        ORIGINS.into_iter().filter_map(|(part, origin)| match facts.parts.get(&part)? {
            Presence::Works => None,
            Presence::Missing(error) => Some((part, origin, error)),
        });
    missing.map(|(part, Origin { name, without, option, module }, error)| {
        let (what, mend) = if part == Part::RawSockets {
            (
                format!("{name} is missing"),
                "give it to the agent: AmbientCapabilities= in its service unit".to_owned(),
            )
        } else {
            let module = module.map_or_else(String::new, |(module, package)| {
                format!(": modprobe {module}; on OpenWrt: opkg install {package}")
            });
            (
                format!("the kernel has no {name} ({error})"),
                format!("a kernel with {option}{module}"),
            )
        };
        if OPTIONAL.contains(&part) {
            Finding::note(what, without, mend)
        } else {
            Finding::wrong(what, without, mend)
        }
    })
}

/// What a part is called, what it is for and where it comes from.
#[derive(Clone, Copy)]
struct Origin {
    name: &'static str,
    /// What would be without it.
    without: &'static str,
    option: &'static str,
    /// Its module, and the OpenWrt package with it, where it can be one.
    module: Option<(&'static str, &'static str)>,
}

/// Parts without which the agent works, with less.
const OPTIONAL: [Part; 2] = [Part::SocketDestroy, Part::RawSockets];

const fn origin(
    name: &'static str,
    without: &'static str,
    option: &'static str,
    module: Option<(&'static str, &'static str)>,
) -> Origin {
    Origin { name, without, option, module }
}

const CORE: Option<(&str, &str)> = Some(("nf_tables", "kmod-nft-core"));
const NO_PIN: &str = "Connections could not stay on the uplink on which they began.";
const ONE_TABLE: &str = "There could be one routing table only, and so one uplink.";

const ORIGINS: [(Part, Origin); 15] = [
    (
        Part::Nftables,
        origin("nftables", "The agent does not start without it.", "CONFIG_NF_TABLES", CORE),
    ),
    (
        Part::Inet,
        origin(
            "nftables tables for both IP versions",
            "sparelink's table is one of these.",
            "CONFIG_NF_TABLES_INET",
            CORE,
        ),
    ),
    (
        Part::Tracking,
        origin(
            "connection tracking in nftables (ct)",
            NO_PIN,
            "CONFIG_NFT_CT",
            Some(("nft_ct", "kmod-nft-core")),
        ),
    ),
    (
        Part::ConntrackMark,
        origin(
            "marks of tracked connections (ct mark)",
            NO_PIN,
            "CONFIG_NF_CONNTRACK_MARK",
            Some(("nf_conntrack", "kmod-nf-conntrack")),
        ),
    ),
    (
        Part::Masquerade,
        origin(
            "masquerade in nftables",
            "Packets would leave with addresses that the provider does not know.",
            "CONFIG_NFT_MASQ and CONFIG_NFT_NAT",
            Some(("nft_masq", "kmod-nft-nat")),
        ),
    ),
    (
        Part::Fib,
        origin(
            "address look-ups in nftables (fib)",
            "Packets with a wrong source address could not be held back.",
            "CONFIG_NFT_FIB_INET",
            Some(("nft_fib_inet", "kmod-nft-fib")),
        ),
    ),
    (
        Part::Reject,
        origin(
            "refusals in nftables (reject)",
            "Clients would wait for minutes where they could be told at once.",
            "CONFIG_NFT_REJECT_INET",
            Some(("nft_reject_inet", "kmod-nft-core")),
        ),
    ),
    (
        Part::Mss,
        origin(
            "TCP segment sizes in nftables (tcp option, rt)",
            "Large pages would hang on lines that carry smaller packets.",
            "CONFIG_NF_TABLES",
            CORE,
        ),
    ),
    (
        Part::Intervals,
        origin(
            "nftables sets of several fields with prefixes",
            "A modem's own answers could not be told from the Internet's. Linux 5.6 or newer is needed.",
            "CONFIG_NF_TABLES",
            CORE,
        ),
    ),
    (
        Part::ConntrackNetlink,
        origin(
            "conntrack over netlink",
            "Connections of a dead uplink could not be forgotten.",
            "CONFIG_NF_CT_NETLINK",
            Some(("nf_conntrack_netlink", "kmod-nf-conntrack-netlink")),
        ),
    ),
    (Part::Rules4, origin("policy routing for IPv4", ONE_TABLE, "CONFIG_IP_MULTIPLE_TABLES", None)),
    (
        Part::Rules6,
        origin("policy routing for IPv6", ONE_TABLE, "CONFIG_IPV6_MULTIPLE_TABLES", None),
    ),
    (
        Part::SocketDestroy,
        origin(
            "closing of other programs' sockets (sock_diag)",
            "Programs on this box itself notice a dead uplink late; those in the LAN do not need it.",
            "CONFIG_INET_DIAG_DESTROY",
            Some(("tcp_diag", "kmod-inet-diag")),
        ),
    ),
    (
        Part::BindToDevice,
        origin(
            "sockets bound to a device (SO_BINDTODEVICE)",
            "An uplink could not be asked while another one is in use.",
            "CONFIG_INET",
            None,
        ),
    ),
    (
        Part::RawSockets,
        origin(
            "the permission CAP_NET_RAW",
            "Idle clients learn of a dead uplink with their next packet, not at once.",
            "",
            None,
        ),
    ),
];
