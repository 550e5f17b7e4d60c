//! Sends an SMS by a modem of this box, where the program has D-Bus (cargo feature `dbus`).

#[cfg(feature = "dbus")]
mod bus;

#[cfg(feature = "dbus")]
pub(super) use bus::{is_answered, send};

#[cfg(not(feature = "dbus"))]
use crate::engine::notify::queue::Failure;

/// The lite program has no way to ModemManager.
#[cfg(not(feature = "dbus"))]
pub(super) fn send(
    _: &crate::config::Secret,
    _: &super::outbox::Kept,
) -> std::future::Ready<Result<(), Failure>> {
    std::future::ready(Err(missing()))
}

#[cfg(not(feature = "dbus"))]
pub(super) fn is_answered(
    _: &crate::config::Secret,
    _: &str,
) -> std::future::Ready<Result<bool, Failure>> {
    std::future::ready(Err(missing()))
}

#[cfg(not(feature = "dbus"))]
fn missing() -> Failure {
    let why = "this program has no D-Bus; use hilink:// or exec://".to_owned();
    Failure { why, refused: true, pause: None, unknown: false }
}
