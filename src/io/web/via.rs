//! Where a request came in.

use std::net::IpAddr;

/// How a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Via {
    /// The Unix socket: its permissions say who may change things.
    Socket,
    /// The page's address.
    Page {
        /// The box's end.
        local: IpAddr,
        /// The client's.
        peer: IpAddr,
    },
}
