//! A message on its way: its words, and the one who takes it.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::outbox::Kept;
use super::post::{self, Addresses, Reach, Way};
use super::{exec, hilink, hooks, mail, modem, mqtt, secrets, services};
use crate::config::{NotifyConfig, Service};
use crate::engine::notify::Message;
use crate::engine::notify::queue::Failure;
use crate::engine::notify::tale::{Tale, Words};
use crate::io::sys;
use crate::time::{Instant, Now};
use crate::units::Severity;

/// A delivery takes no longer than this, whatever it does.
const LONGEST: Duration = Duration::from_secs(60);

/// Makes the words of a message.
pub(super) fn kept(message: &Message, boot: &str, now: Now) -> Kept {
    let clock = |at: Instant| {
        let local = now.utc_of(at).and_then(sys::clock_time);
        local.unwrap_or_else(|| "an unknown time".to_owned())
    };
    let Words { title, text, next } = message.tale.words(message.at, &clock);
    Kept {
        id: format!("{boot}-{}-{}", message.at.as_micros() / 1000, message.number),
        story: format!("{boot}-{}", message.story),
        event: message.tale.word().to_owned(),
        severity: message.severity,
        title,
        text,
        next,
        at: message.utc.or_else(|| now.utc_of(message.at)).map(|utc| utc.to_string()),
        uplink: message.uplink.clone(),
        digest: message.is_digest(),
        to: BTreeSet::new(),
        ack: None,
        reply: None,
        withheld: 0,
    }
}

pub(super) fn test_message(channel: &str, now: Now) -> Kept {
    let message = Message {
        number: 0,
        story: 0,
        severity: Severity::Notice,
        at: now.mono,
        utc: now.utc,
        uplink: None,
        tale: Tale::Test,
    };
    let message = kept(&message, "test", now);
    Kept { id: format!("{}-{channel}", message.id), ..message }
}

/// Where a channel leads, with what is in its secret file.
pub(super) fn complete(config: &NotifyConfig, state_dir: &Path) -> Result<Service, Failure> {
    let mut to = config.to.clone();
    if let Some(file) = &config.secret_file {
        let secret = secrets::read(file, state_dir);
        to.know(secret.map_err(|why| Failure { refused: true, ..post::passing(why) })?);
    }
    Ok(to)
}

/// Delivers one message, in bounded time. A service that can be asked whether somebody has seen it gives a receipt.
pub(super) async fn deliver(
    config: &NotifyConfig,
    state_dir: &Path,
    message: &Kept,
    state: &Value,
    addresses: &Addresses,
    reach: Reach,
) -> Result<Option<String>, Failure> {
    let to = complete(config, state_dir)?;
    let sent = async {
        let input = || services::document(message, state).to_string().into_bytes();
        match &to {
            Service::Exec { program } => exec::run(program, &[], input()).await,
            Service::Hooks { dir } => hooks::run(dir, &message.event, &input()).await,
            Service::Mail(mail) => mail::send(mail, message, addresses, reach).await,
            Service::Hilink(to) => hilink::send(to, message, state).await,
            Service::Modem { number } => modem::send(number, message).await,
            Service::Mqtt(to) => mqtt::send(to, message, state, addresses, reach).await,
            Service::Webhook(_)
            | Service::Ntfy { .. }
            | Service::Gotify { .. }
            | Service::Pushover { .. }
            | Service::Telegram { .. } => {
                let Some(post) = services::post(&to, message, state) else { return Ok(None) };
                let answer = post::send(post, addresses, Way::Any(reach)).await?;
                return Ok(services::receipt_in(&to, &answer));
            }
        }
        .map(|()| None)
    };
    let late = || Failure {
        why: "it took more than a minute".to_owned(),
        refused: false,
        pause: None,
        unknown: false,
    };
    tokio::time::timeout(LONGEST, sent).await.unwrap_or_else(|_| Err(late()))
}
