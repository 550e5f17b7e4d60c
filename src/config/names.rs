//! The box's names that follow the traffic, as the rest of the program sees them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::channels::{Login, Secret, Server};
use crate::units::PerFamily;

/// In a template, what stands for the name, for its addresses, and for what the secret file says.
pub const NAME: &str = "{name}";
pub const IPV4: &str = "{ipv4}";
pub const IPV6: &str = "{ipv6}";
pub const SECRET: &str = "{secret}";

/// A name, and how it is kept up to date.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DdnsConfig {
    /// In lower case, without a final dot.
    pub name: String,
    pub updater: Updater,
    /// The uplink whose name it is, whatever is in use; `None`: it follows the traffic.
    pub uplink: Option<String>,
    /// A file that says what is secret: a path, or the name of a systemd credential or of a file in `secrets`
    /// below the state directory.
    pub secret_file: Option<PathBuf>,
    /// For how many seconds others may remember an address.
    pub ttl: u32,
    /// Which IP versions it has (`ipv4`, `ipv6`).
    pub families: PerFamily<bool>,
    /// Whether an address is written although another router stands before the box, which may lead in to it.
    pub behind_nat: bool,
    /// Who says as whom the Internet sees an uplink that is behind another router: `stun:HOST:PORT`, or the URL of a
    /// page that is an address.
    pub echo: Vec<String>,
}

/// How a name is changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Updater {
    /// DNS UPDATE with TSIG, HMAC-SHA-256 (RFC 2136, RFC 8945). The name is in the zone.
    Rfc2136 { server: Server, zone: String, key_name: String },
    /// The protocol of dyn.com, which most services speak.
    Dyndns2 { server: Server, login: Login, path: Secret },
    /// Cloudflare's API. The name is in the zone.
    Cloudflare { server: Server, zone: String },
    /// A URL that is fetched, with [`NAME`], [`IPV4`], [`IPV6`] and [`SECRET`] in it.
    Url { server: Server, login: Login, template: Secret },
}

impl Updater {
    /// The server that is asked for a change.
    #[must_use]
    pub const fn server(&self) -> &Server {
        match self {
            Self::Rfc2136 { server, .. }
            | Self::Dyndns2 { server, .. }
            | Self::Cloudflare { server, .. }
            | Self::Url { server, .. } => server,
        }
    }

    /// Whether nothing can be said to the server before the clock of this box is set: a signature has the time in
    /// it, and a certificate is checked against it.
    #[must_use]
    pub const fn needs_the_clock(&self) -> bool {
        matches!(self, Self::Rfc2136 { .. }) || self.server().tls
    }

    /// Whether the server says what a name has, so that nothing is written that is there already.
    #[must_use]
    pub const fn answers(&self) -> bool {
        matches!(self, Self::Rfc2136 { .. } | Self::Cloudflare { .. })
    }
}
