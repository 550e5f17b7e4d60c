//! What is to be written, and where.

use std::path::PathBuf;

/// Everything that is to be written.
pub(super) struct Plan {
    /// The configuration.
    pub(super) text: String,
    /// The page's password, if one was given.
    pub(super) password: Option<String>,
    /// What dnsmasq is to be told: a file of its, and what is in it then.
    pub(super) dnsmasq: Option<(PathBuf, String)>,
    /// Where the page will be, if there is a LAN.
    pub(super) page: Option<String>,
}
