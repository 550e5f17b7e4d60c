//! What the kernel must have, and what an agent must be allowed.

use serde::Serialize;

/// A part of the kernel that sparelink uses, or a permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    Nftables,
    /// Tables of family inet.
    Inet,
    /// `ct state` and notrack.
    Tracking,
    ConntrackMark,
    /// Chains of type nat, and masquerade.
    Masquerade,
    /// `fib saddr . oif type`.
    Fib,
    /// `reject with tcp reset`, `reject with icmpx`.
    Reject,
    /// `tcp option maxseg size set rt mtu`.
    Mss,
    /// Sets of several fields with prefixes.
    Intervals,
    ConntrackNetlink,
    /// Policy rules for IPv4.
    Rules4,
    /// Policy rules for IPv6.
    Rules6,
    /// Destroying other programs' sockets.
    SocketDestroy,
    BindToDevice,
    /// Raw sockets (`CAP_NET_RAW`).
    RawSockets,
}

/// What came of trying it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    Works,
    /// It does not; the kernel's words.
    Missing(String),
}
