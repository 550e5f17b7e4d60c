//! Talks to the running agent: HTTP/1.1 on its Unix socket, the same API as the page's.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

use super::failure::{self, Failure};
use crate::io::socket::Stream;

/// The agent's socket in its run directory.
const SOCKET: &str = "sparelink.sock";
/// How long an answer may take. The agent answers at once; a reload reads one file.
const TIMEOUT: Duration = Duration::from_secs(5);
/// For what the agent has to wait for itself.
const PATIENCE: Duration = Duration::from_secs(75);
/// The largest answer, in bytes; bounds memory, not use.
const MAX_ANSWER: usize = 16 << 20;

/// Reaches the agent of one run directory.
#[derive(Debug)]
pub(super) struct Client {
    socket: PathBuf,
}

impl Client {
    pub(super) fn new(run_dir: &Path) -> Self {
        Self { socket: run_dir.join(SOCKET) }
    }

    /// Asks for a JSON document.
    pub(super) fn get(&self, route: &str) -> Result<Value, Failure> {
        self.request(Method::GET, route, None, TIMEOUT)
    }

    /// Asks for a change.
    pub(super) fn post(&self, route: &str, body: &Value) -> Result<Value, Failure> {
        self.request(Method::POST, route, Some(body), TIMEOUT)
    }

    /// Asks for something that takes the agent a while.
    pub(super) fn post_patiently(&self, route: &str, body: &Value) -> Result<Value, Failure> {
        self.request(Method::POST, route, Some(body), PATIENCE)
    }

    fn request(
        &self,
        method: Method,
        route: &str,
        body: Option<&Value>,
        patience: Duration,
    ) -> Result<Value, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::plain(format!("cannot start: {error}")))?;
        let answer = runtime.block_on(async {
            let exchange = self.exchange(method, route, body);
            tokio::time::timeout(patience, exchange).await.unwrap_or_else(|_| {
                let text = format!("the agent did not answer within {} s", patience.as_secs());
                Err(Failure::new(text, "its log may say why: journalctl -u sparelink"))
            })
        });
        let (status, bytes) = answer?;
        let body = serde_json::from_slice(&bytes);
        if status.is_success() {
            body.map_err(|_| Failure::plain("the agent's answer is not JSON"))
        } else {
            Err(refusal(status, &body.unwrap_or(Value::Null)))
        }
    }

    async fn exchange(
        &self,
        method: Method,
        route: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Bytes), Failure> {
        let stream = UnixStream::connect(&self.socket).await;
        let stream = stream.map_err(|error| self.unreachable(&error))?;
        let stream: Box<dyn Stream> = Box::new(stream);
        let broken = |error: &dyn std::error::Error| {
            Failure::plain(format!("the agent broke off the conversation: {error}"))
        };
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| broken(&error))?;
        // What ends the connection also ends the exchange, which is where it is told.
        tokio::spawn(async move { drop(connection.await) });
        let content = body.map(Value::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(route)
            .header("host", "localhost")
            .header("accept", "application/json")
            .header("content-type", "application/json")
            // No form and no other site's script can send this one.
            .header("x-sparelink", "cli")
            .body(Full::new(Bytes::from(content)))
            .map_err(|error| broken(&error))?;
        let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|error| broken(error.as_ref()))?;
        Ok((status, body.to_bytes()))
    }

    /// Puts into words why there is no connection.
    fn unreachable(&self, error: &io::Error) -> Failure {
        const START: &str = "start it with sudo systemctl start sparelink, or sudo sparelink run; \
                             if it uses another run directory, name it with --run-dir";
        let socket = self.socket.display();
        let kind = error.kind();
        if kind == io::ErrorKind::NotFound {
            let text = format!("no agent is running (no socket at {socket})");
            Failure::new(text, START).with_no_agent()
        } else if kind == io::ErrorKind::ConnectionRefused {
            let text = format!("no agent is running (nothing answers at {socket})");
            Failure::new(text, START).with_no_agent()
        } else if kind == io::ErrorKind::PermissionDenied {
            let hint = "try it as root, for example with sudo";
            Failure::new(format!("you may not talk to the agent at {socket}"), hint)
        } else {
            Failure::plain(format!("cannot reach the agent at {socket}: {error}"))
        }
    }
}

/// What the agent says to a request that it does not fulfil (RFC 9457). A conflict with how things
/// are is a "no"; everything else is an error.
fn refusal(status: StatusCode, problem: &Value) -> Failure {
    let member = |name: &str| problem.get(name).and_then(Value::as_str).map(str::to_owned);
    let text = member("detail").or_else(|| member("title"));
    let text = text.unwrap_or_else(|| format!("the agent answers {status}"));
    let code = if status == StatusCode::CONFLICT { failure::NO } else { failure::ERROR };
    Failure::plain(text).with_hint(member("hint")).with_code(code)
}
