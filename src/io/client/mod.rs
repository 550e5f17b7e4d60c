//! Speaks to servers on the Internet: finds their addresses, connects by whatever way the box has or by one uplink,
//! and asks by HTTP. Shared by those who send messages and those who keep names up to date.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper::http::request::Builder;
use hyper::http::response::Parts;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::socket::{self, Stream, words};
use crate::config::Server;
use crate::engine::probe::Path;

pub(super) mod secrets;
pub(super) mod tls;

/// How long a server has for a connection.
const CONNECTED: Duration = Duration::from_secs(10);
/// A name is looked up so long where its addresses are known from before.
const LOOKED_UP: Duration = Duration::from_millis(500);
/// What a server says beyond that is not read.
const MOST_BODY: usize = 16 * 1024;
/// Addresses of one name that are kept, and that are tried.
const KEPT: usize = 8;
const TRIED: usize = 4;

/// The addresses of servers, remembered for when no name resolves.
#[derive(Clone, Debug, Default)]
pub(super) struct Addresses(Arc<Mutex<BTreeMap<String, Vec<IpAddr>>>>);

impl Addresses {
    /// Those of before.
    pub(super) fn new(known: BTreeMap<String, Vec<IpAddr>>) -> Self {
        Self(Arc::new(Mutex::new(known)))
    }

    /// All that are known now.
    pub(super) fn all(&self) -> BTreeMap<String, Vec<IpAddr>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks a server's name up. If that fails or takes long, what it was before stands.
    pub(super) async fn of(&self, server: &Server) -> Result<Vec<IpAddr>, String> {
        if let Ok(ip) = server.host.parse() {
            return Ok(vec![ip]);
        }
        let known = self.all().remove(&server.host).unwrap_or_default();
        let patience = if known.is_empty() { CONNECTED } else { LOOKED_UP };
        let found = timeout(patience, lookup_host((server.host.as_str(), server.port))).await;
        let failed = match found {
            Ok(Ok(found)) => {
                let mut new: Vec<IpAddr> = found.map(|addr| addr.ip()).collect();
                new.dedup();
                new.truncate(KEPT);
                if !new.is_empty() {
                    let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                    all.insert(server.host.clone(), new.clone());
                    return Ok(new);
                }
                "it has no address".to_owned()
            }
            // What the C library says comes after what was tried, which is said here.
            Ok(Err(error)) => {
                error.to_string().rsplit(": ").next().unwrap_or_default().to_lowercase()
            }
            Err(_) => "no resolver answers".to_owned(),
        };
        if known.is_empty() {
            return Err(format!("cannot look up {}: {failed}", server.host));
        }
        Ok(known)
    }
}

/// How far one gets at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    Everywhere,
    /// No uplink works. What is not in the LAN is not tried: it would be delivered in the moment in which one does
    /// again, before what sums the outage up.
    Lan,
}

/// Whether an address is in the LAN or on this box.
fn is_near(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_loopback() || ip.is_unicast_link_local(),
    }
}

/// How a request leaves.
#[derive(Clone, Debug)]
pub(super) enum Way {
    /// As packets of the box go.
    Any(Reach),
    /// By one uplink, whatever is in use.
    By(Vec<Path>),
    /// By these uplinks, but for what is in the LAN, on this box, or of an IP version that none of them has.
    From(Vec<Path>),
}

impl Way {
    /// Whether it leads there for certain. Where an uplink has one IP version only, the box may still have a route for
    /// the other, by a line that is dead.
    fn has(&self, ip: &IpAddr) -> bool {
        match self {
            Self::Any(_) | Self::By(_) => true,
            Self::From(paths) => {
                is_near(ip) || paths.iter().any(|path| path.source.is_ipv4() == ip.is_ipv4())
            }
        }
    }
}

/// Connects to a server, at the first of its addresses that answers.
///
/// # Errors
///
/// Why that cannot be, in words.
pub(super) async fn connect(
    server: &Server,
    addresses: &Addresses,
    way: &Way,
) -> Result<Box<dyn Stream>, String> {
    let mut last = None;
    let mut ips = addresses.of(server).await?;
    ips.sort_by_key(|ip| !way.has(ip));
    ips.truncate(TRIED);
    if matches!(way, Way::Any(Reach::Lan)) {
        ips.retain(is_near);
        last = Some("no uplink works".to_owned());
    }
    for ip in ips {
        match timeout(CONNECTED / 2, dial(ip, server.port, way)).await {
            Ok(Ok(stream)) => return Ok(Box::new(stream)),
            Ok(Err(why)) => last = Some(why),
            Err(_) => last = Some("no answer".to_owned()),
        }
    }
    Err(format!("cannot connect to {server}: {}", last.unwrap_or_default()))
}

async fn dial(ip: IpAddr, port: u16, way: &Way) -> Result<TcpStream, String> {
    let same = |path: &&Path| path.source.is_ipv4() == ip.is_ipv4();
    let path = match way {
        Way::Any(_) => None,
        Way::By(paths) => {
            Some(paths.iter().find(same).ok_or("the uplink has not this IP version")?)
        }
        Way::From(paths) => paths.iter().find(same).filter(|_| !is_near(&ip)),
    };
    let Some(path) = path else {
        return TcpStream::connect(SocketAddr::new(ip, port)).await.map_err(|e| words(&e));
    };
    let to = socket::target(path, ip, port).map_err(|error| error.words())?;
    let from = socket::tcp(path).map_err(|error| error.words())?;
    from.connect(to).await.map_err(|error| words(&error))
}

/// Asks, and returns status, headers and the beginning of the body.
pub(super) async fn exchange(
    request: Request<Full<Bytes>>,
    stream: Box<dyn Stream>,
) -> Result<(Parts, String), String> {
    let failed = |error: hyper::Error| {
        let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
        cause.map_or_else(|| error.to_string(), words)
    };
    // The connection runs beside the question and ends with it.
    let mut connection = JoinSet::new();
    let (mut sender, driver) =
        http1::Builder::new().handshake(TokioIo::new(stream)).await.map_err(failed)?;
    connection.spawn(driver);
    let answer = sender.send_request(request).await.map_err(failed)?;
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, MOST_BODY).collect().await;
    let body = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned());
    Ok((head, body.unwrap_or_default()))
}

/// Status and body of whatever a server says on this connection.
///
/// # Errors
///
/// Why it is no answer, in words.
#[cfg(feature = "lab")]
pub(super) async fn overhear(stream: Box<dyn Stream>) -> Result<(u16, String), String> {
    let server = Server { tls: false, host: "dyn.example".to_owned(), port: 80 };
    let request = request(&server, Method::GET, "/nic/update").body(Full::default());
    let request = request.map_err(|error| error.to_string())?;
    let (head, body) = exchange(request, stream).await?;
    Ok((head.status.as_u16(), body))
}

/// The beginning of a request to a server: method, path, and what every request says.
pub(super) fn request(server: &Server, method: Method, path: &str) -> Builder {
    let Server { tls, host, port } = server;
    let usual = *port == if *tls { 443 } else { 80 };
    let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    let authority = if usual { host } else { format!("{host}:{port}") };
    Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, authority)
        .header(USER_AGENT, concat!("sparelink/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Fwmark, IfIndex, IfName, UplinkId};

    #[test]
    fn where_the_uplink_leads_is_tried_first() {
        let path = |source: &str| Path {
            uplink: UplinkId::new(1).unwrap(),
            dev: IfName::new("wan0").unwrap(),
            index: IfIndex(2),
            mark: Fwmark { value: 0, mask: 0 },
            source: source.parse().unwrap(),
        };
        let sorted = |way: &Way| {
            let all = ["2001:db8::1", "2001:db8::2", "192.0.2.1", "192.168.1.1", "fd00::1"];
            let mut all = all.map(|ip| ip.parse::<IpAddr>().unwrap());
            all.sort_by_key(|ip| !way.has(ip));
            all.map(|ip| ip.to_string())
        };
        let v4 = Way::From(vec![path("198.51.100.2")]);
        let expected = ["192.0.2.1", "192.168.1.1", "fd00::1", "2001:db8::1", "2001:db8::2"];
        assert_eq!(sorted(&v4), expected);
        let both = Way::From(vec![path("198.51.100.2"), path("2001:db8:1::2")]);
        let asked = ["2001:db8::1", "2001:db8::2", "192.0.2.1", "192.168.1.1", "fd00::1"];
        assert_eq!(sorted(&both), asked);
        assert_eq!(sorted(&Way::Any(Reach::Everywhere)), asked);
    }
}
