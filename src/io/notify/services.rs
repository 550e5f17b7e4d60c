//! What each service wants to be sent, and what its answer means. Facts of the wire: the services' own papers, and
//! the servers in `tests/agent/notify`, which refuse everything else.

use std::time::Duration;

use base64ct::{Base64, Encoding as _};
use hyper::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::outbox::Kept;
use crate::config::{
    BodyKind, Login, Secret, Server, Service, Template, Verb, Webhook, fill, in_json,
};
use crate::engine::notify::queue::Failure;
use crate::units::Severity;

/// What need not be written as `%…` in a form or a path (RFC 3986 §2.3).
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Pushover rings again so often, for so long, until somebody acknowledges (seconds).
const RETRY: &str = "60";
const EXPIRE: &str = "3600";

/// What a button says.
const SEEN: &str = "I have seen it";

/// An HTTP request.
#[derive(Debug)]
pub(super) struct Post {
    pub(super) method: Method,
    pub(super) server: Server,
    pub(super) path: String,
    pub(super) kind: &'static str,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

impl Post {
    fn json(server: &Server, path: impl Into<String>, body: &Value) -> Self {
        let (server, path) = (server.clone(), path.into());
        let body = body.to_string().into_bytes();
        let (method, kind) = (Method::POST, "application/json");
        Self { method, server, path, kind, headers: Vec::new(), body }
    }

    fn with(mut self, header: Option<(&'static str, String)>) -> Self {
        self.headers.extend(header);
        self
    }
}

/// The request that delivers a message; `None`: this service is not spoken to by HTTP. `state` is the status
/// document as it is now.
pub(super) fn post(to: &Service, message: &Kept, state: &Value) -> Option<Post> {
    Some(match to {
        Service::Webhook(to) => webhook(to, message, state),
        Service::Ntfy { server, login, topic } => {
            let priority = match message.severity {
                Severity::Critical => 5,
                Severity::Warning => 4,
                Severity::Notice | Severity::Info | Severity::Debug => 3,
            };
            let seen = message.ack.iter().map(|ack| {
                json!({ "action": "http", "label": SEEN, "url": ack, "method": "POST", "clear": true })
            });
            let body = json!({
                "topic": topic.reveal(), "title": message.title, "message": message.body(), "priority": priority,
                "actions": seen.collect::<Vec<_>>(),
            });
            Post::json(server, "/", &body).with(authorization(login))
        }
        Service::Gotify { server, prefix, token } => {
            let priority = match message.severity {
                Severity::Critical => 8,
                Severity::Warning => 5,
                Severity::Notice | Severity::Info | Severity::Debug => 3,
            };
            let mut body = json!({
                "title": message.title, "message": message.letter(), "priority": priority,
            });
            if let Some(ack) = &message.ack {
                body["extras"] = json!({ "client::notification": { "click": { "url": ack } } });
            }
            Post::json(server, format!("{prefix}/message"), &body)
                .with(Some(("x-gotify-key", token.reveal().to_owned())))
        }
        Service::Pushover { server, user, token } => {
            let priority = match message.severity {
                Severity::Critical => "2",
                Severity::Warning => "1",
                Severity::Notice | Severity::Info | Severity::Debug => "0",
            };
            let body = message.body();
            let mut fields = vec![
                ("token", token.reveal()),
                ("user", user.reveal()),
                ("title", &message.title),
                ("message", &body),
                ("priority", priority),
            ];
            if let Some(ack) = &message.ack {
                fields.extend([("url", ack.as_str()), ("url_title", SEEN)]);
            }
            if message.severity == Severity::Critical {
                fields.extend([("retry", RETRY), ("expire", EXPIRE)]);
            }
            form(server, "/1/messages.json", &fields)
        }
        Service::Telegram { server, token, chat } => {
            let text = format!("{}\n{}", message.title, message.letter());
            let body = json!({ "chat_id": chat, "text": text });
            Post::json(server, format!("/bot{}/sendMessage", token.reveal()), &body)
        }
        Service::Mail(_)
        | Service::Hilink(_)
        | Service::Modem { .. }
        | Service::Mqtt(_)
        | Service::Exec { .. }
        | Service::Hooks { .. } => {
            return None;
        }
    })
}

/// The address of the page in a status document, for those in the LAN: to whom the box's own loopback is no help.
pub(super) fn page(status: &Value) -> Option<&str> {
    let mut pages = status["page"].as_array().into_iter().flatten().filter_map(Value::as_str);
    pages.find(|page| !page.contains("//127.") && !page.contains("//[::1]"))
}

/// Our JSON, or what somebody else wants in its place.
fn webhook(to: &Webhook, message: &Kept, state: &Value) -> Post {
    let Webhook { server, login, path, verb, template } = to;
    let of = |place: &str| {
        Some(match place {
            "title" => message.title.clone(),
            "text" => message.text.clone(),
            "next" => message.next_too(),
            "message" => message.body(),
            "severity" => message.severity.word().to_owned(),
            "uplink" => message.uplink.clone().unwrap_or_default(),
            "id" => message.id.clone(),
            "story" => message.story.clone(),
            "at" => message.at.clone().unwrap_or_default(),
            "ack" => message.ack.clone().unwrap_or_default(),
            _ => return None,
        })
    };
    let percent = |place: &str| of(place).map(|v| utf8_percent_encode(&v, PLAIN).to_string());
    let path = fill(path.reveal(), &percent);
    let mut post = match template {
        None => Post::json(server, path, &document(message, state)),
        Some(Template { kind: BodyKind::Json, body }) => {
            let body = fill(body.reveal(), &|place| of(place).map(|value| in_json(&value)));
            Post { body: body.into_bytes(), ..Post::json(server, path, &Value::Null) }
        }
        Some(Template { kind: BodyKind::Form, body }) => {
            Post { body: fill(body.reveal(), &percent).into_bytes(), ..form(server, &path, &[]) }
        }
    };
    if *verb == Verb::Put {
        post.method = Method::PUT;
    }
    post.with(authorization(login))
}

/// What Pushover calls a message that rings until somebody has seen it.
pub(super) fn receipt_in(to: &Service, answer: &str) -> Option<String> {
    let Service::Pushover { .. } = to else { return None };
    let answer: Value = serde_json::from_str(answer).ok()?;
    let receipt = answer["receipt"].as_str()?;
    // It goes into the path of an address.
    receipt.bytes().all(|b| b.is_ascii_alphanumeric()).then(|| receipt.to_owned())
}

/// Asks Pushover what became of it.
pub(super) fn receipt(server: &Server, token: &Secret, receipt: &str) -> Post {
    let path = format!("/1/receipts/{receipt}.json?token={}", token.reveal());
    Post { method: Method::GET, ..form(server, &path, &[]) }
}

/// Has Pushover stop ringing.
pub(super) fn take_back(server: &Server, token: &Secret, receipt: &str) -> Post {
    form(server, &format!("/1/receipts/{receipt}/cancel.json"), &[("token", token.reveal())])
}

/// A message as programs get it.
pub(super) fn document(message: &Kept, state: &Value) -> Value {
    json!({
        "id": message.id,
        "story": message.story,
        "event": message.event,
        "title": message.title,
        "text": message.text,
        "next": message.next_too(),
        "severity": message.severity.word(),
        "at": message.at,
        "uplink": message.uplink,
        "state": state,
        "ack": message.ack,
        "history_head": state.get("history_head"),
    })
}

fn form(server: &Server, path: &str, fields: &[(&str, &str)]) -> Post {
    let encoded =
        fields.iter().map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, PLAIN)));
    let body = encoded.collect::<Vec<_>>().join("&").into_bytes();
    let kind = "application/x-www-form-urlencoded";
    let (server, path) = (server.clone(), path.to_owned());
    Post { method: Method::POST, server, path, kind, headers: Vec::new(), body }
}

/// A password alone is a token.
pub(super) fn authorization(login: &Login) -> Option<(&'static str, String)> {
    let Login { user, password } = login;
    let secret = password.reveal();
    let value = match (user.as_str(), secret) {
        ("", "") => return None,
        ("", token) => format!("Bearer {token}"),
        (user, secret) => {
            format!("Basic {}", Base64::encode_string(format!("{user}:{secret}").as_bytes()))
        }
    };
    Some(("authorization", value))
}

/// What an answer means.
pub(super) fn judge(status: u16, retry_after: Option<&str>, body: &str) -> Result<(), Failure> {
    if (200..300).contains(&status) {
        return Ok(());
    }
    let pause = retry_after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    // Too many, or not now: the same may pass later.
    let passing = matches!(status, 408 | 425 | 429 | 500..=599);
    let said = said(body);
    let said = if said.is_empty() { said } else { format!(": {said}") };
    let why = match status {
        401 | 403 => format!("the server refuses the login or token ({status}{said})"),
        404 => format!("the server knows nothing there ({status}{said})"),
        429 => format!("the server wants fewer messages ({status}{said})"),
        300..=399 => format!("the server is elsewhere now ({status}); correct the URL"),
        500..=599 => format!("the server has a fault ({status}{said})"),
        _ => format!("the server refuses the message ({status}{said})"),
    };
    Err(Failure { why, refused: !passing, pause, unknown: false })
}

/// The beginning of what a server says, without what would disturb a line.
pub(super) fn said(body: &str) -> String {
    const SHOWN: usize = 80;
    let line = body.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let plain = line.chars().filter(|c| !c.is_control());
    if line.starts_with('<') { String::new() } else { plain.take(SHOWN).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        assert_eq!(judge(204, None, ""), Ok(()));
        let told = |status, after, body: &str| {
            let failure = judge(status, after, body).unwrap_err();
            (failure.why, failure.refused, failure.pause.map(|pause| pause.as_secs()))
        };
        assert_eq!(
            told(401, None, "{\"error\":\"unauthorized\"}\n"),
            (
                "the server refuses the login or token (401: {\"error\":\"unauthorized\"})"
                    .to_owned(),
                true,
                None
            )
        );
        assert_eq!(
            told(429, Some("30"), ""),
            ("the server wants fewer messages (429)".to_owned(), false, Some(30))
        );
        assert_eq!(
            told(502, Some("Wed, 21 Oct"), "<html>"),
            ("the server has a fault (502)".to_owned(), false, None)
        );
        assert!(told(302, None, "").1 && told(400, None, "\u{1b}[1m").0.ends_with("(400: [1m)"));
    }

    #[test]
    fn a_password_alone_is_a_token() {
        let login = |user: &str, password: &str| {
            let login = Login { user: user.to_owned(), password: password.to_owned().into() };
            authorization(&login).map(|(_, value)| value)
        };
        assert_eq!(login("", ""), None);
        assert_eq!(login("", "tk"), Some("Bearer tk".to_owned()));
        assert_eq!(login("u", "p"), Some("Basic dTpw".to_owned()));
    }
}
