//! What is to be written, and where.

use std::path::PathBuf;

/// Everything that is to be written.
pub(super) struct Plan {
    /// The configuration.
    pub(super) text: String,
    /// The page's password, if one was given.
    pub(super) password: Option<String>,
    /// What dnsmasq is to be told.
    pub(super) dnsmasq: Option<(PathBuf, String)>,
    /// Where the page will be, if there is a LAN.
    pub(super) page: Option<String>,
}

/// The file that dnsmasq is told by to ask the name servers of the uplink in use.
pub(super) fn dnsmasq_file() -> PathBuf {
    PathBuf::from("/etc/dnsmasq.d/sparelink.conf")
}
