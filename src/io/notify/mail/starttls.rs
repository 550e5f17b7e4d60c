//! The words in plain text by which a mail server is asked for TLS (RFC 3207), before anything else is said.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::engine::notify::queue::Failure;
use crate::io::notify::post::passing;
use crate::io::notify::services::said;
use crate::io::socket::{Stream, words};

/// A line of an answer has at most 512 bytes (RFC 5321 §4.5.3.1.5); some servers say more.
const MOST_LINE: usize = 1000;
/// No server offers more.
const MOST_LINES: usize = 100;
/// How long a mail server that says `not now` is left alone at least.
pub(super) const NOT_NOW: Duration = Duration::from_secs(60);
/// What answers is not what it should be.
pub(super) const NO_MAIL_SERVER: &str = "what answers there is no mail server";

/// Asks for TLS; what follows on the stream is the handshake. What a server, or who stands before it, says beyond
/// its answer is not read: it would be taken for something that came by TLS.
pub(super) async fn ask(stream: &mut dyn Stream) -> Result<(), Failure> {
    expect(stream, "", "220").await?;
    let offers = expect(stream, "EHLO [127.0.0.1]\r\n", "250").await?;
    if !offers.iter().any(|offer| offer.eq_ignore_ascii_case("STARTTLS")) {
        let why = "the server offers no TLS here, so it is told nothing; mailtos:// may work";
        return Err(Failure { why: why.to_owned(), refused: true, pause: None, unknown: false });
    }
    expect(stream, "STARTTLS\r\n", "220").await.map(drop)
}

/// Says something and reads the answer, which has to have this code: its lines, without their codes.
async fn expect(stream: &mut dyn Stream, say: &str, code: &str) -> Result<Vec<String>, Failure> {
    let broken = |error: std::io::Error| passing(words(&error));
    stream.write_all(say.as_bytes()).await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    let mut lines: Vec<String> = Vec::new();
    while lines.len() < MOST_LINES {
        let line = line(stream).await?;
        let (got, rest) = line.split_at_checked(3).unwrap_or_default();
        if !got.bytes().all(|b| b.is_ascii_digit()) || got.is_empty() {
            return Err(passing(NO_MAIL_SERVER.to_owned()));
        }
        lines.push(rest.get(1..).unwrap_or_default().trim().to_owned());
        if rest.starts_with('-') {
            continue;
        }
        return if got == code { Ok(lines) } else { Err(no(got, &lines.join(" "))) };
    }
    Err(passing(NO_MAIL_SERVER.to_owned()))
}

/// Reads one line, and not a byte more.
async fn line(stream: &mut dyn Stream) -> Result<String, Failure> {
    let mut line = Vec::new();
    while line.len() < MOST_LINE {
        match stream.read_u8().await {
            Ok(b'\n') => return Ok(String::from_utf8_lossy(&line).into_owned()),
            Ok(byte) => line.push(byte),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Err(passing("the server ended the connection".to_owned()));
            }
            Err(error) => return Err(passing(words(&error))),
        }
    }
    Err(passing(NO_MAIL_SERVER.to_owned()))
}

/// What it means that a server does not do what it was asked for (RFC 5321 §4.2.1).
pub(super) fn no(code: &str, text: &str) -> Failure {
    let said = match said(text).as_str() {
        "" => code.to_owned(),
        said => format!("{code}: {said}"),
    };
    let later = |why| Failure { why, refused: false, pause: Some(NOT_NOW), unknown: false };
    let never = |why| Failure { why, refused: true, pause: None, unknown: false };
    match code.as_bytes() {
        b"530" | b"534" | b"535" | b"538" => {
            never(format!("the server refuses the login ({said})"))
        }
        [b'4', ..] => later(format!("the server does not take it yet ({said})")),
        [b'5', ..] => never(format!("the server refuses the mail ({said})")),
        _ => passing(NO_MAIL_SERVER.to_owned()),
    }
}
