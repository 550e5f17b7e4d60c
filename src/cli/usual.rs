//! Which configuration is meant where none is named.

use std::path::Path;

/// Where it is everywhere but on OpenWrt.
pub(super) const CONFIG_FILE: &str = "/etc/sparelink/sparelink.toml";
/// Where it is on OpenWrt.
pub(super) const UCI_FILE: &str = "/etc/config/sparelink";

/// The one that is there; of both the first.
pub(super) fn config_file() -> &'static Path {
    let [toml, uci] = [CONFIG_FILE, UCI_FILE].map(Path::new);
    if !toml.exists() && uci.exists() { uci } else { toml }
}
