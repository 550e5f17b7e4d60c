//! Sends one HTTP request by whatever way the box has at the moment.

use std::time::Duration;

use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, RETRY_AFTER};
use tokio::time::timeout;

use super::services::{Post, judge};
use crate::engine::notify::queue::Failure;
use crate::io::client::{self, Addresses, Way, connect, exchange, tls};

/// How long a server has for its answer.
const ANSWERED: Duration = Duration::from_secs(20);

/// A failure that the next try may not have.
pub(super) fn passing(why: String) -> Failure {
    Failure { why, refused: false, pause: None, unknown: false }
}

/// Sends a request and judges the answer, of which the beginning comes back.
pub(super) async fn send(post: Post, addresses: &Addresses, way: Way) -> Result<String, Failure> {
    let stream = connect(&post.server, addresses, &way).await.map_err(passing)?;
    let stream = tls::wrap(&post.server, stream).await.map_err(passing)?;
    let server = post.server.clone();
    let asked = async {
        let request = request(post).map_err(|error| error.to_string())?;
        exchange(request, stream).await
    };
    match timeout(ANSWERED, asked).await {
        Ok(Ok((head, body))) => {
            let after = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            judge(head.status.as_u16(), after, &body).map(|()| body)
        }
        Ok(Err(why)) => Err(passing(format!("{}: {why}", server.host))),
        Err(_) => Err(passing(format!("{} took the connection and does not answer", server.host))),
    }
}

fn request(post: Post) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
    let mut request =
        client::request(&post.server, post.method, &post.path).header(CONTENT_TYPE, post.kind);
    for (name, value) in post.headers {
        request = request.header(name, value);
    }
    request.body(Full::new(Bytes::from(post.body)))
}
