//! What a configuration would say about a box that nobody has described: which devices lead to the Internet, in which
//! order, and where the LAN is. Facts in, proposal out; nothing is asked and nothing is changed here.
//!
//! ```text
//! facts    a box, as netlink and sysfs tell of it
//! nature   what a device is: a socket, a phone, a modem, Wi-Fi, a tunnel
//! chain    which devices are uplinks, and in which order
//! lan      for which networks the box forwards
//! file     the configuration as text, with a comment on every choice
//! uci      the same in OpenWrt's own language
//! from     the same by what mwan3 or NetworkManager has been told
//! ```

mod chain;
mod facts;
mod file;
pub mod from;
mod lan;
mod nature;
#[cfg(test)]
mod tests;
mod uci;

pub use chain::{Origin, Reach, Skipped, Uplink, Why};
use chain::{ordered_for_people, uplinks};
pub use facts::{Device, Seen, Usb};
pub use file::{Extras, Proposal, configuration, text};
pub use lan::Lan;
use lan::lans;
pub use nature::Nature;
pub use uci::{uci, unstarted};

/// What an agent without a configuration does: `main`'s default routes in the order of their metrics, and a LAN where
/// the box forwards. `before` is what it did until now: an uplink that has lost its route has not lost its place.
#[must_use]
pub fn automatic(seen: &Seen, before: &[Uplink]) -> Proposal {
    let (uplinks, skipped) = uplinks(seen, before);
    let lan = lans(seen, &uplinks).into_iter().filter(|lan| lan.forwards).collect();
    Proposal { uplinks, lan, skipped, ..Proposal::default() }
}

/// What is proposed to people: dear lines last, with names that they would give, and a LAN though nothing forwards yet.
#[must_use]
pub fn for_people(seen: &Seen) -> Proposal {
    let (uplinks, skipped) = uplinks(seen, &[]);
    let uplinks = ordered_for_people(uplinks);
    let lan = lans(seen, &uplinks);
    Proposal { uplinks, lan, skipped, ..Proposal::default() }
}
