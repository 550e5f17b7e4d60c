//! What comes back of something critical: that somebody has said so to Pushover on their phone, and the answer to an
//! SMS.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;

use super::delivery::complete;
use super::post;
use super::{hilink, modem, services};
use crate::config::{NotifyConfig, Service};
use crate::engine::notify::alarm::By;
use crate::engine::notify::queue::Failure;
use crate::io::client::{Addresses, Reach, Way};
use crate::time::Instant;

/// Pushover may be asked once in five seconds, and a mobile router lets one in at a time.
pub(super) const SOONEST: Duration = Duration::from_secs(10);
/// Once it is old, it is asked after a twentieth of its age.
pub(super) const PART: u32 = 20;
/// An answer has so long.
pub(super) const PATIENCE: Duration = Duration::from_secs(40);

/// What came of asking.
pub(super) enum Heard {
    Nothing,
    Seen(By),
    /// There is nothing more to be asked.
    Over,
}

/// Who was asked about what, and what came of it.
pub(super) struct Answer {
    pub(super) story: String,
    pub(super) channel: String,
    pub(super) result: Result<Heard, Failure>,
}

/// Who is being asked.
#[derive(Default)]
pub(super) struct Answers {
    pub(super) asking: JoinSet<Answer>,
    /// When a channel is asked next about a story; `None` while it is asked.
    pub(super) next: BTreeMap<(String, String), Option<Instant>>,
}

impl Answers {
    /// Waits until there is one.
    pub(super) async fn next(&mut self) -> Answer {
        loop {
            match self.asking.join_next().await {
                Some(Ok(answer)) => return answer,
                // No task of ours is cancelled, and one that panics has told so.
                Some(Err(error)) => tracing::debug!(%error, "a question"),
                None => return std::future::pending().await,
            }
        }
    }
}

/// Asks one channel. `handle` is Pushover's receipt, or the number with which an SMS is answered.
pub(super) async fn ask(
    config: &NotifyConfig,
    state_dir: &Path,
    handle: &str,
    state: &Value,
    addresses: &Addresses,
) -> Result<Heard, Failure> {
    let by_sms = |seen| if seen { Heard::Seen(By::Sms) } else { Heard::Nothing };
    let to = complete(config, state_dir)?;
    if let Service::Pushover { server, token, .. } = &to {
        let get = services::receipt(server, token, handle);
        let body = post::send(get, addresses, Way::Any(Reach::Everywhere)).await?;
        let receipt: Value = serde_json::from_str(&body).unwrap_or_default();
        return Ok(match (receipt["acknowledged"] == 1, receipt["expired"] == 1) {
            (true, _) => Heard::Seen(By::Service),
            (false, true) => Heard::Over,
            (false, false) => Heard::Nothing,
        });
    }
    if let Service::Hilink(to) = &to {
        return hilink::is_answered(to, handle, state).await.map(by_sms);
    }
    if let Service::Modem { number } = &to {
        return modem::is_answered(number, handle).await.map(by_sms);
    }
    Ok(Heard::Over)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::config::{Secret, Server};
    use crate::units::Severity;

    /// What Pushover is asked and says, by a server of ours: its own would need an account.
    fn play(answer: &'static str, handle: &'static str) -> (String, Result<Heard, Failure>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let server = Server { tls: false, host: "127.0.0.1".to_owned(), port };
            let (user, token) = (Secret::default(), "t0ken".to_owned().into());
            let config = NotifyConfig {
                name: "pushover".to_owned(),
                to: Service::Pushover { server, user, token },
                min: Severity::Critical,
                quiet: None,
                secret_file: None,
                escalation: None,
            };
            let heard = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut buffer = [0; 1024];
                let many = stream.read(&mut buffer).await.unwrap();
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", answer.len());
                stream.write_all((head + answer).as_bytes()).await.unwrap();
                String::from_utf8_lossy(&buffer[..many]).into_owned()
            };
            let addresses = Addresses::default();
            let asked = ask(&config, Path::new("/nowhere"), handle, &Value::Null, &addresses);
            tokio::join!(heard, asked)
        })
    }

    #[test]
    fn pushover_is_asked_by_the_receipt() {
        let (heard, result) = play("{\"status\":1,\"acknowledged\":0,\"expired\":0}", "rAz7");
        assert!(heard.starts_with("GET /1/receipts/rAz7.json?token=t0ken HTTP/1.1\r\n"), "{heard}");
        assert!(matches!(result, Ok(Heard::Nothing)));
        let (_, result) = play("{\"status\":1,\"acknowledged\":1,\"expired\":1}", "rAz7");
        assert!(matches!(result, Ok(Heard::Seen(By::Service))));
        let (_, result) = play("{\"status\":1,\"acknowledged\":0,\"expired\":1}", "rAz7");
        assert!(matches!(result, Ok(Heard::Over)));
        let (_, result) = play("<html>", "rAz7");
        assert!(matches!(result, Ok(Heard::Nothing)), "what it does not say is nothing");
    }

    #[test]
    fn a_receipt_is_a_word_and_nothing_else() {
        let server = Server { tls: false, host: "h".to_owned(), port: 1 };
        let token: Secret = "t0ken".to_owned().into();
        let to = Service::Pushover {
            server: server.clone(),
            user: Secret::default(),
            token: token.clone(),
        };
        let receipt = |answer| services::receipt_in(&to, answer);
        assert_eq!(receipt("{\"status\":1,\"receipt\":\"rAz7\"}"), Some("rAz7".to_owned()));
        assert_eq!(receipt("{\"status\":1}"), None);
        assert_eq!(receipt("{\"receipt\":\"../x?y\"}"), None);
        let post = services::take_back(&server, &token, "rAz7");
        assert_eq!(
            (post.path.as_str(), &post.body[..]),
            ("/1/receipts/rAz7/cancel.json", &b"token=t0ken"[..])
        );
    }
}
