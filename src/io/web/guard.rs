//! Who may ask what: every request passes here first.
//!
//! The threats are a page from elsewhere in a browser of the LAN (DNS rebinding, forged requests, a
//! frame around ours) and whoever sits in the LAN. Reading is free to all; changing is not.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;

use super::access::Access;
use super::ack::LINKS;
use super::notice;
use super::own_names::is_own;
use super::problem::{problem, too_long, with_hint};
use super::proxy;
use super::site::{Config, MAX_BODY};
use super::via::{Via, via};
use crate::io::clock;

/// A request must have been answered within this long; what is sent after is bounded by itself.
const PATIENCE: Duration = Duration::from_secs(10);
/// What the agent has to wait for itself: servers and programs that are told something.
const TOLD: (&str, Duration) = ("/api/v1/notify/test", Duration::from_secs(70));
/// The port that an address without one means.
const HTTP: u16 = 80;
/// A form or a picture cannot send it, and another site's script only after asking, which is
/// refused.
const OWN_HEADER: &str = "x-sparelink";

/// What browsers are told with every answer.
pub(super) const HEADERS: [(HeaderName, &str); 7] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
         img-src 'self'; manifest-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
];

/// Lets a request through, or says why not.
pub(super) async fn guard(
    State(config): State<Config>,
    mut request: Request,
    next: Next,
) -> Response {
    let config = config.borrow().clone();
    proxy::look_through(&mut request, &config.trusted_proxy);
    let patience = if request.uri().path() == TOLD.0 { TOLD.1 } else { PATIENCE };
    let mut response = match refusal(&request, &config.names) {
        Some(refused) => refused,
        None => tokio::time::timeout(patience, next.run(request)).await.unwrap_or_else(|_| {
            problem(StatusCode::REQUEST_TIMEOUT, "the request took too long to arrive")
        }),
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let fresh = HeaderValue::from_static("no-store");
    headers.entry(header::CACHE_CONTROL).or_insert(fresh);
    response
}

/// Changes are for those who have shown who they are: over the socket by its permissions, over the page
/// by a login.
pub(super) async fn known(State(access): State<Access>, request: Request, next: Next) -> Response {
    let now = clock::now().mono;
    if request.method() == Method::POST && !access.is_in(via(&request), request.headers(), now) {
        return access.refusal();
    }
    next.run(request).await
}

fn refusal(request: &Request, names: &[String]) -> Option<Response> {
    let via = via(request);
    let Some(host) = host(request).filter(|host| is_ours(host, via, names)) else {
        return Some(match via {
            Via::Socket => {
                let words = "this socket answers for localhost only";
                problem(StatusCode::MISDIRECTED_REQUEST, words)
            }
            Via::Page { local, .. } => misdirected(request, local),
        });
    };
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > MAX_BODY) {
        return Some(too_long());
    }
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    // Who shows the token of a message has it from the message.
    let shows_token = request.uri().path().starts_with(LINKS);
    if reads || shows_token || via == Via::Socket || is_same_origin(request.headers(), &host) {
        return None;
    }
    let hint = "send it from the box's own page, or without Origin and with X-Sparelink: 1";
    let words = "this request does not come from the box's own page";
    Some(with_hint(StatusCode::FORBIDDEN, words, Some(hint.to_owned())))
}

/// The box is called by a name that it does not have: where it is to be found.
fn misdirected(request: &Request, local: IpAddr) -> Response {
    let status = StatusCode::MISDIRECTED_REQUEST;
    if notice::is_for_a_person(request.headers()) {
        let port = host(request).and_then(|host| host.port_u16()).unwrap_or(HTTP);
        let href = match SocketAddr::new(local, port) {
            SocketAddr::V4(at) if port == HTTP => format!("http://{}/", at.ip()),
            SocketAddr::V6(at) if port == HTTP => format!("http://[{}]/", at.ip()),
            at @ (SocketAddr::V4(_) | SocketAddr::V6(_)) => format!("http://{at}/"),
        };
        let rest = "<p>It is found at its address. To open it by this name, add the name to \
                    <code>names</code> in the section <code>[web]</code> of its configuration.</p>";
        return notice::page(status, "This box is not called that.", rest, (&href, &href));
    }
    let hint = match local {
        IpAddr::V4(ip) => format!("open http://{ip} with the same port"),
        IpAddr::V6(ip) => format!("open http://[{ip}] with the same port"),
    };
    with_hint(status, "this box is not called that", Some(hint))
}

/// The one host that a request names; `None` if it names none or several.
fn host(request: &Request) -> Option<Authority> {
    let mut named = request.headers().get_all(header::HOST).into_iter();
    let (first, second) = (named.next()?, named.next());
    let host: Authority = first.to_str().ok()?.parse().ok()?;
    let whole = request.uri().authority();
    let agrees = whole.is_none_or(|uri| uri.as_str().eq_ignore_ascii_case(host.as_str()));
    let plain = second.is_none() && !host.as_str().contains('@');
    (plain && agrees && port_is_one(&host)).then_some(host)
}

/// No port at all, or a number.
fn port_is_one(host: &Authority) -> bool {
    let rest = &host.as_str()[host.host().len()..];
    rest.is_empty() || host.port_u16().is_some_and(|port| port > 0)
}

/// Whether a host is this box. A page from elsewhere can point its own name here, but it can name
/// neither an address nor a name that nobody else can have.
fn is_ours(host: &Authority, via: Via, names: &[String]) -> bool {
    let host = host.host();
    let Via::Page { local, .. } = via else {
        return host == "localhost";
    };
    let literal = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').and_then(|v6| v6.parse().ok().map(IpAddr::V6)),
        None => host.parse().ok().map(IpAddr::V4),
    };
    if let Some(ip) = literal {
        return ip == local;
    }
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    (name == "localhost" && local.is_loopback()) || names.contains(&name) || is_own(&name, local)
}

/// Whether a request that changes something was sent by the page itself, or by no browser at all.
fn is_same_origin(headers: &HeaderMap, host: &Authority) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let own = |origin: &str| {
        let rest = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        rest.is_some_and(|authority| authority.eq_ignore_ascii_case(host.as_str()))
    };
    let one_origin = headers.get_all(header::ORIGIN).iter().count() <= 1;
    headers.contains_key(OWN_HEADER)
        && one_origin
        && text("origin").is_none_or(own)
        && text("sec-fetch-site").is_none_or(|site| site == "same-origin")
}
