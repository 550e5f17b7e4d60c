//! Which configuration is meant where none is named.

use std::path::Path;

/// Where it is everywhere but on OpenWrt.
pub(super) const CONFIG_FILE: &str = "/etc/sparelink/sparelink.toml";
/// Where it is on OpenWrt.
pub(super) const UCI_FILE: &str = "/etc/config/sparelink";

/// What OpenWrt says of itself.
const OPENWRT: &str = "/etc/openwrt_release";

/// The one that is there, of both the first; of none the one that this box would have.
pub(super) fn config_file() -> &'static Path {
    let [toml, uci, openwrt] = [CONFIG_FILE, UCI_FILE, OPENWRT].map(Path::new);
    if !toml.exists() && (uci.exists() || openwrt.exists()) { uci } else { toml }
}
