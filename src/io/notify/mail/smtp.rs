//! The conversation with a mail server (RFC 6409), by TLS alone.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use lettre::Message;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream};
use lettre::transport::smtp::extension::ClientId;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use super::letter::letter;
use super::starttls::{self, NO_MAIL_SERVER};
use crate::config::{Mail, Server};
use crate::engine::notify::queue::Failure;
use crate::io::client::{Addresses, Reach, Way, connect, tls};
use crate::io::notify::outbox::Kept;
use crate::io::notify::post::passing;
use crate::io::socket::{Stream, words};

/// A server has so long for all of it; some make who logs in wait for half a minute.
const PATIENCE: Duration = Duration::from_secs(40);
/// To say good-bye.
const QUIT: Duration = Duration::from_secs(1);
/// A server says less.
const MOST: usize = 256 * 1024;
/// Where TLS began after plain words, a server does not greet again.
const GREETING: &[u8] = b"220 go ahead\r\n";

/// Sends a message to the reader of a mail.
///
/// # Errors
///
/// Why it may not have arrived.
pub(in crate::io::notify) async fn send(
    mail: &Mail,
    message: &Kept,
    head: Option<&str>,
    addresses: &Addresses,
    reach: Reach,
) -> Result<(), Failure> {
    let letter = letter(mail, message, head);
    let letter =
        letter.map_err(|why| Failure { why, refused: true, pause: None, unknown: false })?;
    let stream = connect(&mail.server, addresses, &Way::Any(reach)).await.map_err(passing)?;
    converse(mail, &letter, stream, PATIENCE).await
}

/// Hands a mail over, in bounded time.
async fn converse(
    mail: &Mail,
    letter: &Message,
    stream: Box<dyn Stream>,
    patience: Duration,
) -> Result<(), Failure> {
    let host = &mail.server.host;
    let late = |_| passing(format!("{host} took the connection and does not answer"));
    let named = |failure: Failure| Failure { why: format!("{host}: {}", failure.why), ..failure };
    let handed = async {
        let wire = secured(&mail.server, stream).await?;
        say(mail, letter, wire).await.map_err(named)
    };
    timeout(patience, handed).await.map_err(late)?
}

/// The connection by TLS.
async fn secured(server: &Server, mut stream: Box<dyn Stream>) -> Result<Wire, Failure> {
    let greeting = if server.tls {
        &[]
    } else {
        let host = &server.host;
        let asked = starttls::ask(&mut *stream).await;
        asked.map_err(|failure| Failure { why: format!("{host}: {}", failure.why), ..failure })?;
        GREETING
    };
    let server = Server { tls: true, ..server.clone() };
    let stream = Mutex::new(tls::wrap(&server, stream).await.map_err(passing)?);
    Ok(Wire { stream, greeting, left: MOST })
}

/// Logs in and hands the mail over.
async fn say(mail: &Mail, letter: &Message, wire: Wire) -> Result<(), Failure> {
    let hello = ClientId::default();
    let connection = AsyncSmtpConnection::connect_with_transport(Box::new(wire), &hello).await;
    let mut connection = connection.map_err(|error| failed(&error))?;
    if !mail.login.user.is_empty() {
        let (user, password) = (mail.login.user.clone(), mail.login.password.reveal().to_owned());
        let login = Credentials::new(user, password);
        let ways = [Mechanism::Plain, Mechanism::Login];
        connection.auth(&ways, &login).await.map_err(|error| failed(&error))?;
    }
    let bytes = letter.formatted();
    connection.send(letter.envelope(), &bytes).await.map_err(|error| failed(&error))?;
    // It has the mail.
    drop(timeout(QUIT, connection.quit()).await);
    Ok(())
}

/// What an error means.
fn failed(error: &Error) -> Failure {
    let cause = error.source();
    if let Some(code) = error.status() {
        let said = cause.map_or_else(String::new, ToString::to_string);
        return starttls::no(&code.to_string(), &said);
    }
    if error.is_client() {
        let why = "the server offers no way to log in that is known here (PLAIN or LOGIN)";
        return Failure { why: why.to_owned(), refused: true, pause: None, unknown: false };
    }
    let broken = cause.and_then(|cause| cause.downcast_ref::<io::Error>());
    let ended = cause.is_some_and(|cause| cause.to_string() == "incomplete response");
    passing(match broken.map(io::Error::kind) {
        Some(io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
            "the server ended the connection".to_owned()
        }
        Some(io::ErrorKind::InvalidData) => NO_MAIL_SERVER.to_owned(),
        Some(_) => broken.map(words).unwrap_or_default(),
        None if ended => "the server ended the connection".to_owned(),
        None => NO_MAIL_SERVER.to_owned(),
    })
}

/// A connection as the library wants it, bounded in what it brings.
struct Wire {
    /// Never locked: it stands here because the library wants to share what it never shares.
    stream: Mutex<Box<dyn Stream>>,
    /// Read before anything else.
    greeting: &'static [u8],
    /// Bytes that may still come.
    left: usize,
}

impl Wire {
    fn inner(self: Pin<&mut Self>) -> Pin<&mut Box<dyn Stream>> {
        Pin::new(self.get_mut().stream.get_mut().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.greeting.is_empty() {
            let (now, later) = self.greeting.split_at(self.greeting.len().min(buffer.remaining()));
            buffer.put_slice(now);
            self.greeting = later;
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let result = self.as_mut().inner().poll_read(context, buffer);
        self.left = self.left.saturating_sub(buffer.filled().len() - before);
        if self.left == 0 {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        result
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.inner().poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_shutdown(context)
    }
}

impl AsyncTokioStream for Wire {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests;
