//! Subscriptions to what the kernel tells of changes.

use std::io;

use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};
use netlink_sys::{AsyncSocket, SocketAddr, TokioSocket};
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};

/// The kernel's default of 212,992 bytes overflows after 256 route events.
pub(super) const RCVBUF: usize = 1 << 20;

/// `NFNLGRP_NFTABLES` as a bit mask (linux/netfilter/nfnetlink.h: group 7).
const NFTABLES_GROUP: u32 = 1 << 6;

/// Links, addresses, routes, rules and their sysctls, with a receive buffer of this many bytes.
pub(super) fn routes(bytes: usize) -> io::Result<TokioSocket> {
    subscribe(NETLINK_ROUTE, route_groups(), bytes)
}

/// Everything about nftables, with a receive buffer of this many bytes.
pub(super) fn nftables(bytes: usize) -> io::Result<TokioSocket> {
    subscribe(NETLINK_NETFILTER, NFTABLES_GROUP, bytes)
}

fn route_groups() -> u32 {
    let groups = [
        libc::RTNLGRP_LINK,
        libc::RTNLGRP_IPV4_IFADDR,
        libc::RTNLGRP_IPV6_IFADDR,
        libc::RTNLGRP_IPV4_ROUTE,
        libc::RTNLGRP_IPV6_ROUTE,
        libc::RTNLGRP_IPV4_RULE,
        libc::RTNLGRP_IPV6_RULE,
        libc::RTNLGRP_IPV4_NETCONF,
        libc::RTNLGRP_IPV6_NETCONF,
        libc::RTNLGRP_NEXTHOP,
    ];
    groups.iter().fold(0, |mask, group| mask | 1 << (group - 1))
}

fn subscribe(protocol: isize, groups: u32, bytes: usize) -> io::Result<TokioSocket> {
    let mut socket = TokioSocket::new(protocol)?;
    let inner = socket.socket_mut();
    // Beyond net.core.rmem_max only with CAP_NET_ADMIN in the first user namespace.
    if setsockopt(&*inner, sockopt::RcvBufForce, &bytes).is_err() {
        setsockopt(&*inner, sockopt::RcvBuf, &bytes)?;
    }
    inner.bind(&SocketAddr::new(0, groups))?;
    Ok(socket)
}
