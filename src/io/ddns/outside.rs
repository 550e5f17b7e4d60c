//! Asks servers out there as whom they see the box, through one uplink: by STUN (RFC 8489), else by HTTP.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use http_body_util::Full;
use hyper::Method;
use hyper::body::Bytes;
use tokio::time::timeout;

use crate::config::Server;
use crate::engine::names::ddns::outside::{OutsideReply, OutsideRequest};
use crate::io::client::{self, Addresses, Way, connect, exchange, tls};
use crate::io::{clock, socket};

/// A binding request is sent again after so long, three times.
const AGAIN: Duration = Duration::from_millis(700);
const TIMES: usize = 3;
const ANSWERED: Duration = Duration::from_secs(8);
/// RFC 8489: binding request and its success, the magic cookie, and the attribute that is wanted.
const BINDING: u16 = 0x0001;
const SUCCESS: u16 = 0x0101;
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const IPV4: u8 = 1;
const HEADER: usize = 20;

/// Asks one after the other until one answers.
pub(super) async fn ask(request: &OutsideRequest, addresses: &Addresses) -> OutsideReply {
    let mut seen = Err("there is nobody to ask".to_owned());
    for server in &request.servers {
        seen = match server.strip_prefix("stun:") {
            Some(server) => stun(server, request, addresses).await,
            None => http(server, request, addresses).await,
        };
        if seen.is_ok() {
            break;
        }
    }
    OutsideReply { uplink: request.path.uplink, source: request.path.source, seen }
}

async fn stun(
    server: &str,
    request: &OutsideRequest,
    addresses: &Addresses,
) -> Result<IpAddr, String> {
    let (host, port) = server.rsplit_once(':').ok_or("no port")?;
    let port = port.parse().map_err(|_| "no port".to_owned())?;
    let at = Server { tls: false, host: host.to_owned(), port };
    let ip = addresses.of(&at).await?.into_iter().find(IpAddr::is_ipv4).ok_or("no IPv4 address")?;
    let to = socket::target(&request.path, ip, port).map_err(|error| error.words())?;
    let from = socket::udp(&request.path).map_err(|error| error.words())?;
    // Nobody else's answer comes in.
    from.connect(to).await.map_err(|error| socket::words(&error))?;
    let number: [u8; 12] = clock::random().map_err(|error| socket::words(&error))?;
    let question = binding(&number);
    for _ in 0..TIMES {
        from.send(&question).await.map_err(|error| socket::words(&error))?;
        let mut answer = [0; 1024];
        if let Ok(Ok(length)) = timeout(AGAIN, from.recv(&mut answer)).await
            && let Some(ip) = mapped(answer.get(..length).unwrap_or_default(), &number)
        {
            return Ok(IpAddr::V4(ip));
        }
    }
    Err(format!("{host} does not answer"))
}

fn binding(number: &[u8; 12]) -> Vec<u8> {
    [&BINDING.to_be_bytes()[..], &[0, 0], &COOKIE, number].concat()
}

/// The address in an answer to the question of this number.
fn mapped(answer: &[u8], number: &[u8; 12]) -> Option<Ipv4Addr> {
    let word = |at: usize| Some(u16::from_be_bytes([*answer.get(at)?, *answer.get(at + 1)?]));
    let ours =
        word(0)? == SUCCESS && answer.get(4..8)? == COOKIE && answer.get(8..HEADER)? == number;
    if !ours {
        return None;
    }
    let mut at = HEADER;
    loop {
        let (kind, length) = (word(at)?, usize::from(word(at + 2)?));
        let value = answer.get(at + 4..)?.get(..length)?;
        if kind == XOR_MAPPED_ADDRESS {
            let [_, IPV4, _, _, a, b, c, d] = *value else { return None };
            let [w, x, y, z] = COOKIE;
            return Some(Ipv4Addr::new(a ^ w, b ^ x, c ^ y, d ^ z));
        }
        // Attributes are filled up to four bytes.
        at += 4 + length.next_multiple_of(4);
    }
}

/// A page that says nothing but the address.
async fn http(
    url: &str,
    request: &OutsideRequest,
    addresses: &Addresses,
) -> Result<IpAddr, String> {
    let (scheme, rest) = url.split_once("://").ok_or("no URL")?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let tls = scheme == "https";
    let usual = if tls { 443 } else { 80 };
    let at = authority.parse::<SocketAddr>().ok().map(|at| (at.ip().to_string(), at.port()));
    let (host, port) = match (at, authority.split_once(':')) {
        (Some(at), _) => at,
        (None, Some((host, port))) => {
            (host.to_owned(), port.parse().map_err(|_| "no port".to_owned())?)
        }
        (None, None) => (authority.to_owned(), usual),
    };
    let server = Server { tls, host, port };
    let way = Way::By(vec![request.path.clone()]);
    let asked = async {
        let stream = connect(&server, addresses, &way).await?;
        let stream = tls::wrap(&server, stream).await?;
        let request = client::request(&server, Method::GET, &format!("/{path}"));
        let request = request.body(Full::new(Bytes::new())).map_err(|error| error.to_string())?;
        let (head, body) = exchange(request, stream).await?;
        let ip = body.trim().parse::<Ipv4Addr>().ok().filter(|_| head.status.is_success());
        ip.map(IpAddr::V4).ok_or_else(|| format!("{} says no address", server.host))
    };
    timeout(ANSWERED, asked).await.map_err(|_| format!("{} does not answer", server.host))?
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBER: [u8; 12] = *b"twelve bytes";

    fn answer(attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = Vec::new();
        for (kind, value) in attributes {
            body.extend(kind.to_be_bytes());
            body.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        let length = u16::try_from(body.len()).unwrap();
        [&SUCCESS.to_be_bytes()[..], &length.to_be_bytes(), &COOKIE, &NUMBER, &body].concat()
    }

    #[test]
    fn the_address_in_an_answer_is_read_and_rubbish_survived() {
        // 192.0.2.1, port 32853: RFC 5769 §2.2.
        let value: &[u8] = &[0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43];
        let good = answer(&[(0x8022, b"odd"), (XOR_MAPPED_ADDRESS, value)]);
        assert_eq!(mapped(&good, &NUMBER), Some(Ipv4Addr::new(192, 0, 2, 1)));
        assert_eq!(mapped(&good, b"another one!"), None);
        assert_eq!(mapped(&answer(&[(0x8022, b"odd")]), &NUMBER), None);
        let short = answer(&[(XOR_MAPPED_ADDRESS, &value[..7])]);
        assert_eq!(mapped(&short, &NUMBER), None);
        for end in 0..good.len() {
            assert_eq!(mapped(&good[..end], &NUMBER), None, "{end}");
        }
        assert_eq!(binding(&NUMBER).len(), HEADER);
    }
}
