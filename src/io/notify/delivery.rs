//! A message on its way: its words, and the one who takes it.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::outbox::Kept;
use super::{exec, hilink, hooks, mail, modem, mqtt, post, services};
use crate::config::{NotifyConfig, Service};
use crate::engine::events::note::Note;
use crate::engine::notify::Message;
use crate::engine::notify::queue::Failure;
use crate::engine::notify::tale::{Tale, Words};
use crate::io::client::{Addresses, Reach, Way, secrets};
use crate::io::{clock, sys};
use crate::time::{Instant, Now};
use crate::units::Severity;

/// A delivery takes no longer than this, whatever it does.
const LONGEST: Duration = Duration::from_secs(60);

/// Makes the words of a message.
pub(super) fn kept(message: &Message, boot: &str, now: Now) -> Kept {
    let shown = |at: Instant| {
        let local = now.utc_of(at).and_then(sys::clock_time);
        local.unwrap_or_else(|| "an unknown time".to_owned())
    };
    let Words { title, text, next } = message.tale.words(message.at, &shown);
    let today = now.utc.and_then(clock::local_day);
    let note = |(uplink, note): &(String, Note)| {
        format!(" Note on {uplink}: {}.", note.with_countdown(today).trim_end_matches('.'))
    };
    let text = text + &message.notes.iter().map(note).collect::<String>();
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
        notes: Vec::new(),
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
            Service::Mail(mail) => {
                let head = state.get("history_head").and_then(Value::as_str);
                mail::send(mail, message, head, addresses, reach).await
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::events::causes::Trouble;
    use crate::engine::health::Condition;
    use crate::time::Utc;

    #[test]
    fn a_message_has_the_note_with_its_countdown() {
        let now = Now { mono: Instant::from_micros(9_000_000), utc: Some(Utc(1_794_657_600_000)) };
        let today = now.utc.and_then(clock::local_day);
        let text = "ticket 4711, repair promised 17 Nov.";
        let note = Note::read(text, now.utc, today).unwrap().unwrap();
        let due = note.due.zip(today).map(|(due, today)| due.since(today)).unwrap();
        let tale = Tale::FirstDown {
            uplink: "cable".to_owned(),
            trouble: Trouble::Condition(Condition::BeyondModem),
            since: Instant::ZERO,
            on: None,
        };
        let message = Message {
            number: 1,
            story: 1,
            severity: Severity::Warning,
            at: now.mono,
            utc: now.utc,
            uplink: Some("cable".to_owned()),
            tale,
            notes: vec![("cable".to_owned(), note)],
        };
        let text = kept(&message, "b", now).text;
        let end = format!("Note on cable: ticket 4711, repair promised 17 Nov. (in {due} days).");
        assert!(text.ends_with(&end), "{text}");
    }
}
