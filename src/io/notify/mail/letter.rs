//! A message as an e-mail (RFC 5322).

use std::time::{Duration, SystemTime};

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MessageBuilder};
use lettre::{Address, Message};

use crate::config::Mail;
use crate::io::notify::outbox::Kept;
use crate::time::Utc;

/// The mail that carries a message. It has the message's own number, so that who gets it twice is shown it once, the
/// story's, so that it stands with what came before, and the time at which it happened. Its last line says the hash of the
/// last record of the history: letters are kept, so that it shows later whether what is before it was changed.
///
/// # Errors
///
/// Why there is none, in words.
pub(super) fn letter(mail: &Mail, message: &Kept, head: Option<&str>) -> Result<Message, String> {
    let address = |text: &str| {
        text.parse::<Address>().map_err(|_| "this mail has an address that is none".to_owned())
    };
    let id = |id: &str| format!("<{id}@{}>", mail.domain());
    // To answer it with "I am on holiday" is no use (RFC 3834).
    let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
    let automatic = HeaderValue::new(automatic, "auto-generated".to_owned());
    let dated = |builder: MessageBuilder| match message.at.as_deref().and_then(Utc::parse) {
        Some(at) => builder.date(SystemTime::UNIX_EPOCH + Duration::from_millis(at.0)),
        None => builder,
    };
    let builder = Message::builder()
        .from(Mailbox::new(Some("sparelink".to_owned()), address(&mail.from)?))
        .to(Mailbox::new(None, address(mail.to.reveal())?))
        .subject(message.title.clone())
        .message_id(Some(id(&message.id)))
        .references(id(&message.story))
        .raw_header(automatic)
        .header(ContentType::TEXT_PLAIN);
    let last = head.map(|head| format!("\n\nHistory up to here: {head}"));
    let text = message.letter() + &last.unwrap_or_default();
    dated(builder).body(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::{Login, Server};
    use crate::units::Severity;

    #[test]
    fn a_message_becomes_a_mail_that_any_server_takes() {
        let mail = Mail {
            server: Server { tls: true, host: "mail.example".to_owned(), port: 465 },
            login: Login::default(),
            from: "box@home.example".to_owned(),
            to: "anna@home.example".to_owned().into(),
        };
        let message = Kept {
            id: "ab12-7000-3".to_owned(),
            story: "ab12-2".to_owned(),
            event: "test".to_owned(),
            severity: Severity::Critical,
            title: "No Internet 14:00–14:20\r\nBcc: c@d.example".to_owned(),
            text: "The uplink of Jürgen is down again. ".repeat(80),
            next: ".\r\nLeft to fall back on: phone.".to_owned(),
            at: Some("2026-11-29T13:00:00.5Z".to_owned()),
            uplink: None,
            digest: true,
            to: BTreeSet::new(),
            ack: None,
            reply: None,
            withheld: 0,
        };
        let letter = letter(&mail, &message, Some("1f0e5d2c9a8b")).unwrap();
        let text = String::from_utf8(letter.formatted()).unwrap();
        for line in [
            "From: sparelink <box@home.example>",
            "To: anna@home.example",
            "Message-ID: <ab12-7000-3@home.example>",
            "References: <ab12-2@home.example>",
            "Auto-Submitted: auto-generated",
            "Date: Sun, 29 Nov 2026 13:00:00 +0000",
            "Content-Transfer-Encoding: quoted-printable",
        ] {
            assert_eq!(text.lines().filter(|l| *l == line).count(), 1, "{line}: {text}");
        }
        assert!(!text.lines().any(|line| line.starts_with("Bcc")), "{text}");
        assert!(text.trim_end().ends_with("\r\nHistory up to here: 1f0e5d2c9a8b"), "{text}");
        assert!(text.is_ascii() && text.lines().all(|line| line.len() < 79), "{text}");
        assert_eq!(letter.envelope().to().len(), 1);
    }
}
