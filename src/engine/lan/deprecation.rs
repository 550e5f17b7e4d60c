//! Tells the LAN which of its IPv6 prefixes is dead, so that new connections begin with another
//! source (`[lan] announce = true`).
//!
//! A router advertisement gives the prefix a preferred lifetime of 0 (RFC 4862 §5.5.4): addresses in
//! it stay, with the connections that use them, and are not chosen for new ones. The box's own
//! advertising daemon does not know that the line is dead and goes on praising the prefix, so this
//! is said again and again, for as long as it is true. Once the line lives, one advertisement prefers
//! the prefix again; everything else about it is the daemon's to say.

use std::collections::BTreeMap;
use std::time::Duration;

use ipnet::Ipv6Net;
use serde::Deserialize;
use serde::Serialize;

use crate::time::Instant;

/// What the LAN was told and has not been told otherwise since.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Announcing {
    pub(in crate::engine) told: BTreeMap<Ipv6Net, Telling>,
    /// Something may have changed.
    pub(in crate::engine) look: bool,
}

/// One prefix that is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Telling {
    pub(in crate::engine) since: Instant,
    pub(in crate::engine) said: u32,
    /// When it is said next; `None`: no more.
    pub(in crate::engine) next: Option<Instant>,
}

/// How it stands with a prefix of the LAN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Standing {
    Dead,
    Alive,
    /// Being proven: what was said stays said.
    Unclear,
}

/// At first it is said so often, a second apart: multicast is not acknowledged.
pub(in crate::engine) const AT_FIRST: u32 = 3;
pub(in crate::engine) const SOON: Duration = Duration::from_secs(1);
/// Then this often: what the daemon says in between holds no longer than that.
pub(in crate::engine) const AGAIN: Duration = Duration::from_secs(60);
/// After so long the provider has given the prefix to somebody else.
pub(in crate::engine) const FOR: Duration = Duration::from_secs(86_400);
/// Hosts shorten what is left of a prefix to two hours at most, whatever they hear (RFC 4862 §5.5.3 e);
/// those that believe every lifetime are told the same, so that open connections live on.
pub(in crate::engine) const VALID: Duration = Duration::from_secs(7200);
/// Until the daemon's next word, which comes every ten minutes by default (RFC 4861 §6.2.1).
pub(in crate::engine) const PREFERRED: Duration = Duration::from_secs(1800);

impl Announcing {
    /// Something that it depends on may have changed.
    pub(in crate::engine) const fn look(&mut self) {
        self.look = true;
    }

    pub(in crate::engine) fn deadline(&self) -> Option<Instant> {
        self.told.values().filter_map(|telling| telling.next).min()
    }
}
