//! Plain HTTP checks.

use std::error::Error;
use std::net::{Ipv6Addr, SocketAddr};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, LOCATION, USER_AGENT};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;

use super::tcp;
use crate::config::HttpExpect;
use crate::engine::probe::http::{self, Head, MAX_BODY};
use crate::engine::probe::{Outcome, Path};
use crate::io::clock;
use crate::io::socket::{Stream, words};
use crate::time::Instant;
use crate::units::Rtt;

/// Most headers an answer may have.
const MAX_HEADERS: usize = 64;
/// Largest head of an answer, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// Asks for one page and judges the answer. The time counts from the first packet of the
/// handshake to the head of the answer. Waits for ever.
pub(super) async fn ask(
    path: &Path,
    server: SocketAddr,
    host: &str,
    page: &str,
    expect: &HttpExpect,
) -> Outcome {
    let Some(request) = request(host, server.port(), page) else {
        return Outcome::Failed("the URL cannot be asked for".to_owned());
    };
    let start = clock::now().mono;
    let stream: Box<dyn Stream> = match tcp::connect(path, server.ip(), server.port()).await {
        Ok(stream) => Box::new(stream),
        Err(outcome) => return outcome,
    };
    converse(stream, request, expect, start).await
}

/// Asks on a connection that began then.
async fn converse(
    stream: Box<dyn Stream>,
    request: Request<Full<Bytes>>,
    expect: &HttpExpect,
    start: Instant,
) -> Outcome {
    // The connection runs beside the question and ends with it.
    let mut connection = JoinSet::new();
    let answered = async {
        let (mut sender, driver) = http1::Builder::new()
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_HEAD)
            .handshake(TokioIo::new(stream))
            .await?;
        connection.spawn(driver);
        sender.send_request(request).await
    };
    match answered.await {
        Ok(response) => {
            let rtt = Rtt(clock::now().mono.since(start));
            judge(response, expect, rtt).await
        }
        Err(error) => Outcome::Failed(failure(&error)),
    }
}

/// What is concluded from whatever a server says on this connection.
#[cfg(feature = "lab")]
pub async fn overhear(stream: Box<dyn Stream>, expect: &HttpExpect) -> Outcome {
    let Some(request) = request("portal.test", 80, "/success.txt") else {
        return Outcome::Silent;
    };
    converse(stream, request, expect, Instant::ZERO).await
}

async fn judge(response: Response<Incoming>, expect: &HttpExpect, rtt: Rtt) -> Outcome {
    let location = response.headers().get(LOCATION).map(|value| value.as_bytes());
    let head = Head::new(response.status().as_u16(), location);
    let body = if head.body_matters(expect) {
        match read_body(response.into_body()).await {
            Ok(body) => body,
            Err(error) => return Outcome::Failed(failure(&error)),
        }
    } else {
        Vec::new()
    };
    http::judge(expect, head, &body, rtt)
}

/// Why there is no answer: the operating system's words, if it was that.
fn failure(error: &hyper::Error) -> String {
    let cause = error.source().and_then(|cause| cause.downcast_ref());
    cause.map_or_else(|| error.to_string(), words)
}

/// The body, cut where it is certainly too long.
async fn read_body(mut incoming: Incoming) -> Result<Vec<u8>, hyper::Error> {
    let mut body = Vec::new();
    while body.len() <= MAX_BODY
        && let Some(frame) = incoming.frame().await
    {
        if let Ok(data) = frame?.into_data() {
            let room = (MAX_BODY + 1).saturating_sub(body.len());
            body.extend_from_slice(&data[..data.len().min(room)]);
        }
    }
    Ok(body)
}

fn request(host: &str, port: u16, page: &str) -> Option<Request<Full<Bytes>>> {
    let host = match host.parse::<Ipv6Addr>() {
        Ok(_) => format!("[{host}]"),
        Err(_) => host.to_owned(),
    };
    let authority = if port == 80 { host } else { format!("{host}:{port}") };
    Request::get(page)
        .header(HOST, authority)
        .header(USER_AGENT, "sparelink")
        .header(CONNECTION, "close")
        .body(Full::default())
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_header_names_the_port_only_if_it_is_unusual() {
        let host = |name: &str, port| {
            let request = request(name, port, "/generate_204").unwrap();
            request.headers()[HOST].to_str().unwrap().to_owned()
        };
        assert_eq!(host("portal.test", 80), "portal.test");
        assert_eq!(host("portal.test", 8080), "portal.test:8080");
        assert_eq!(host("2001:db8::1", 80), "[2001:db8::1]");
    }

    #[test]
    fn a_path_with_a_line_break_is_refused() {
        assert!(request("portal.test", 80, "/a\r\nX: y").is_none());
        assert!(request("portal\r\nX: y", 80, "/").is_none());
    }
}
