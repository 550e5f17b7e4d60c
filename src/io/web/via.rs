//! Where a request came in.

use std::net::IpAddr;

/// How a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Via {
    /// The Unix socket: its permissions say who may change things.
    Socket,
    Page {
        local: IpAddr,
        peer: IpAddr,
    },
}
