//! Sockets that leave through one uplink: bound to its device and its address, with its mark.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use nix::errno::Errno;
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, UdpSocket};

use crate::engine::probe::Path;
use crate::units::IfName;

/// A connection of whatever kind: boxed, so that an HTTP client is in the program once, for the
/// servers that are probed and for the agent's own socket.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// One instruction of a socket's filter (`struct sock_filter`, linux/filter.h); every code fits into 16 bits.
pub(crate) fn op(code: u32, yes: u8, no: u8, value: u32) -> SockFilter {
    SockFilter::new(code as u16, yes, no, value)
}

/// Why there is no socket through an uplink.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel gave none.
    #[error("cannot open a socket")]
    Open(#[source] io::Error),
    /// `SO_BINDTODEVICE` was refused.
    #[error("cannot bind to {dev}")]
    Device {
        dev: IfName,
        #[source]
        source: io::Error,
    },
    /// `SO_MARK` was refused (it needs `CAP_NET_ADMIN`).
    #[error("cannot set the mark")]
    Mark(#[source] io::Error),
    /// The address is not (or no longer) the box's own.
    #[error("cannot send from {address}")]
    Source {
        address: IpAddr,
        #[source]
        source: io::Error,
    },
    /// The other end has an address of the other IP version.
    #[error("{target} cannot be reached from {address}: not the same IP version")]
    Family {
        target: IpAddr,
        /// The uplink's own address.
        address: IpAddr,
    },
}

impl Error {
    /// What happened and why, in one line.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Open(cause) | Self::Mark(cause) => format!("{self}: {}", words(cause)),
            Self::Device { source, .. } | Self::Source { source, .. } => {
                format!("{self}: {}", words(source))
            }
            Self::Family { .. } => self.to_string(),
        }
    }
}

/// A UDP socket through an uplink.
///
/// # Errors
/// When the kernel refuses one of the bindings.
pub fn udp(path: &Path) -> Result<UdpSocket, Error> {
    let socket = bound(path, Type::DGRAM, Protocol::UDP)?;
    UdpSocket::from_std(socket.into()).map_err(Error::Open)
}

/// A TCP socket through an uplink, not yet connected. Closing it resets the connection, so that
/// probes leave no `TIME_WAIT` behind.
///
/// # Errors
/// When the kernel refuses one of the bindings.
pub fn tcp(path: &Path) -> Result<TcpSocket, Error> {
    let socket = bound(path, Type::STREAM, Protocol::TCP)?;
    socket.set_linger(Some(Duration::ZERO)).map_err(Error::Open)?;
    Ok(TcpSocket::from_std_stream(socket.into()))
}

/// The uplink's own end, port 0.
#[must_use]
pub fn source(path: &Path) -> SocketAddr {
    scoped(path, path.source, 0)
}

/// The other end, seen through an uplink: an IPv6 link-local address (many gateways have no
/// other) gets the uplink's interface as its scope.
///
/// # Errors
/// When it has an address of the other IP version.
pub fn target(path: &Path, address: IpAddr, port: u16) -> Result<SocketAddr, Error> {
    if address.is_ipv4() != path.source.is_ipv4() {
        return Err(Error::Family { target: address, address: path.source });
    }
    Ok(scoped(path, address, port))
}

/// The operating system's words for an error, without its number: `connection refused`.
#[must_use]
pub fn words(error: &io::Error) -> String {
    let text = match error.raw_os_error() {
        Some(code) => Errno::from_raw(code).desc().to_owned(),
        None => error.to_string(),
    };
    let mut chars = text.chars();
    // An abbreviation (`RPC …`) keeps its capitals.
    match (chars.next(), chars.as_str().chars().next()) {
        (Some(first), Some(second)) if first.is_uppercase() && second.is_lowercase() => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text,
    }
}

fn scoped(path: &Path, address: IpAddr, port: u16) -> SocketAddr {
    match address {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            SocketAddrV6::new(v6, port, 0, path.index.0).into()
        }
        IpAddr::V4(_) | IpAddr::V6(_) => SocketAddr::new(address, port),
    }
}

fn bound(path: &Path, kind: Type, protocol: Protocol) -> Result<Socket, Error> {
    let address = source(path);
    let socket =
        Socket::new(Domain::for_address(address), kind, Some(protocol)).map_err(Error::Open)?;
    socket.set_nonblocking(true).map_err(Error::Open)?;
    // The device before the address: two uplinks may have the same one.
    socket
        .bind_device(Some(path.dev.as_str().as_bytes()))
        .map_err(|source| Error::Device { dev: path.dev.clone(), source })?;
    // Zero is "no mark", which also an ordinary user may not have: nothing is asked of the kernel.
    if path.mark.value != 0 {
        socket.set_mark(path.mark.value).map_err(Error::Mark)?;
    }
    socket
        .bind(&address.into())
        .map_err(|source| Error::Source { address: path.source, source })?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Fwmark, IfIndex, UplinkId};

    fn path(source: &str) -> Path {
        Path {
            uplink: UplinkId::new(1).unwrap(),
            dev: IfName::new("wan0").unwrap(),
            index: IfIndex(7),
            mark: Fwmark { value: 0, mask: Fwmark::UPLINK_MASK },
            source: source.parse().unwrap(),
        }
    }

    #[test]
    fn errors_read_like_the_rest_of_a_sentence() {
        let refused = io::Error::from_raw_os_error(Errno::ECONNREFUSED as i32);
        assert_eq!(words(&refused), "connection refused");
        assert_eq!(words(&io::Error::other("RST seen")), "RST seen");
        let error = Error::Device {
            dev: IfName::new("usb0").unwrap(),
            source: io::Error::from_raw_os_error(Errno::ENODEV as i32),
        };
        assert_eq!(error.words(), "cannot bind to usb0: no such device");
    }

    #[test]
    fn only_link_local_ends_get_a_scope() {
        let path = path("fe80::2");
        assert_eq!(source(&path).to_string(), "[fe80::2%7]:0");
        let gateway = target(&path, "fe80::1".parse().unwrap(), 53).unwrap();
        assert_eq!(gateway.to_string(), "[fe80::1%7]:53");
        let far = target(&path, "2001:db8::1".parse().unwrap(), 53).unwrap();
        assert_eq!(far.to_string(), "[2001:db8::1]:53");
    }

    #[test]
    fn the_other_ip_version_is_refused_in_words() {
        let error = target(&path("192.0.2.2"), "::1".parse().unwrap(), 80).unwrap_err();
        assert_eq!(error.words(), "::1 cannot be reached from 192.0.2.2: not the same IP version");
    }
}
