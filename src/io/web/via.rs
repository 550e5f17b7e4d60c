//! Where a request came in.

use std::net::IpAddr;

use axum::extract::Request;

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

/// How whoever sent a request did that; beside [`Via`] in each request that the guard let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    /// Encrypted as far as a trusted proxy.
    Https,
}

/// The server puts it there; without it a request has no rights.
pub(super) fn via(request: &Request) -> Via {
    let nowhere = IpAddr::from([0, 0, 0, 0]);
    let via = request.extensions().get::<Via>().copied();
    via.unwrap_or(Via::Page { local: nowhere, peer: nowhere })
}
