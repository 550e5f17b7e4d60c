//! Sends an e-mail, where the program has TLS (cargo feature `tls`): no password and no message goes to a mail server
//! in plain text.

#[cfg(feature = "tls")]
mod letter;
#[cfg(feature = "tls")]
mod smtp;
#[cfg(feature = "tls")]
mod starttls;

#[cfg(feature = "tls")]
pub(super) use smtp::send;

#[cfg(not(feature = "tls"))]
use crate::engine::notify::queue::Failure;

/// The lite program has no way to a mail server.
#[cfg(not(feature = "tls"))]
pub(super) fn send(
    _: &crate::config::Mail,
    _: &super::outbox::Kept,
    _: Option<&str>,
    _: &crate::io::client::Addresses,
    _: crate::io::client::Reach,
) -> std::future::Ready<Result<(), Failure>> {
    let why = crate::io::client::tls::MISSING.to_owned();
    std::future::ready(Err(Failure { why, refused: true, pause: None, unknown: false }))
}
