//! Requests that come through a reverse proxy (`[web] trusted_proxy`): who sent them, to which name, and whether
//! encrypted. What the headers say of that counts only if a trusted address sends them, and such a proxy has to set
//! them itself: what it passes on from its clients is believed.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::header::HOST;
use axum::http::{HeaderMap, HeaderValue};

use super::via::{Scheme, Via, via};

/// Makes a request from a trusted proxy what it was before the proxy: its `Host` is the name that the client asked
/// for, its [`Via`] the client's address, and its [`Scheme`] the client's. Any other stays as it is.
pub(super) fn look_through(request: &mut Request, proxies: &[IpAddr]) {
    let mut scheme = Scheme::Http;
    if let Via::Page { local, peer } = via(request)
        && proxies.contains(&peer)
    {
        let headers = request.headers();
        if last(headers, "x-forwarded-proto").is_some_and(|proto| proto == "https") {
            scheme = Scheme::Https;
        }
        let peer = client(headers, proxies).unwrap_or(peer);
        let host = last(headers, "x-forwarded-host");
        if let Some(host) = host.and_then(|host| HeaderValue::from_str(host).ok()) {
            request.headers_mut().insert(HOST, host);
        }
        request.extensions_mut().insert(Via::Page { local, peer });
    }
    request.extensions_mut().insert(scheme);
}

/// The address that the nearest trusted proxy saw: from the right, the first that is no trusted proxy itself. What is
/// left of it anybody may have written.
fn client(headers: &HeaderMap, proxies: &[IpAddr]) -> Option<IpAddr> {
    let listed: Vec<&str> = elements(headers, "x-forwarded-for").collect();
    for text in listed.into_iter().rev() {
        let ip: IpAddr = text.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
        if !proxies.contains(&ip.to_canonical()) {
            return Some(ip.to_canonical());
        }
    }
    None
}

/// What the proxy itself wrote: it adds to the end.
fn last<'a>(headers: &'a HeaderMap, name: &'static str) -> Option<&'a str> {
    elements(headers, name).last()
}

fn elements<'a>(headers: &'a HeaderMap, name: &'static str) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|list| list.split(',')).map(str::trim).filter(|element| !element.is_empty())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 1, 1));

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Who sent a request that comes from this address, to which host, and how.
    fn sent(from: &str, headers: &[(&'static str, &str)]) -> (IpAddr, String, Scheme) {
        let mut request = Request::new(Body::empty());
        request.headers_mut().insert(HOST, HeaderValue::from_static("192.168.1.1:8300"));
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        request.extensions_mut().insert(Via::Page { local: LOCAL, peer: ip(from) });
        look_through(&mut request, &[ip("192.168.1.5"), ip("192.168.1.6")]);
        let Via::Page { peer, .. } = via(&request) else { panic!("it came by the page") };
        let host = request.headers()[HOST].to_str().unwrap().to_owned();
        (peer, host, *request.extensions().get::<Scheme>().unwrap())
    }

    #[test]
    fn only_a_trusted_proxy_speaks_for_others() {
        let headers = [
            ("x-forwarded-for", "10.9.9.9, 10.0.0.7"),
            ("x-forwarded-host", "gw.office.example"),
            ("x-forwarded-proto", "https"),
        ];
        let named = (ip("10.0.0.7"), "gw.office.example".to_owned(), Scheme::Https);
        assert_eq!(sent("192.168.1.5", &headers), named);
        let itself = (ip("192.168.1.20"), "192.168.1.1:8300".to_owned(), Scheme::Http);
        assert_eq!(sent("192.168.1.20", &headers), itself);
    }

    #[test]
    fn the_client_is_whom_the_trusted_ones_saw() {
        let who = |from: &str, lists: &[&str]| {
            let headers: Vec<_> = lists.iter().map(|list| ("x-forwarded-for", *list)).collect();
            sent(from, &headers).0
        };
        assert_eq!(who("192.168.1.5", &[]), ip("192.168.1.5"), "it asks for itself");
        assert_eq!(who("192.168.1.5", &["10.0.0.7, 192.168.1.6"]), ip("10.0.0.7"));
        assert_eq!(who("192.168.1.5", &["1.2.3.4", "10.0.0.7"]), ip("10.0.0.7"));
        assert_eq!(who("192.168.1.5", &["1.2.3.4,10.0.0.7,unknown"]), ip("192.168.1.5"));
        assert_eq!(who("192.168.1.5", &["[fd00::7]"]), ip("fd00::7"));
        assert_eq!(who("192.168.1.5", &["::ffff:10.0.0.7"]), ip("10.0.0.7"));
    }
}
