//! The files of the boards that are built into the program.

/// The board of which nothing is known.
pub const GENERIC: &str = "generic";

/// The names of all boards, in the order of `FILES`.
pub const NAMES: [&str; FILES.len()] = {
    let mut names = [""; FILES.len()];
    let mut at = 0;
    while at < FILES.len() {
        names[at] = FILES[at].0;
        at += 1;
    }
    names
};

pub(super) const FILES: [(&str, &str); 13] = [
    ("bananapi-bpi-r3", include_str!("../../boards/bananapi-bpi-r3.toml")),
    ("friendlyarm-nanopi-r4s", include_str!("../../boards/friendlyarm-nanopi-r4s.toml")),
    ("friendlyarm-nanopi-r5s", include_str!("../../boards/friendlyarm-nanopi-r5s.toml")),
    (GENERIC, include_str!("../../boards/generic.toml")),
    ("glinet-gl-mt3000", include_str!("../../boards/glinet-gl-mt3000.toml")),
    ("glinet-gl-mt6000", include_str!("../../boards/glinet-gl-mt6000.toml")),
    ("lab", include_str!("../../boards/lab.toml")),
    ("linksys-e8450", include_str!("../../boards/linksys-e8450.toml")),
    ("openwrt-one", include_str!("../../boards/openwrt-one.toml")),
    ("raspberry-pi-3b-plus", include_str!("../../boards/raspberry-pi-3b-plus.toml")),
    ("raspberry-pi-4b", include_str!("../../boards/raspberry-pi-4b.toml")),
    ("raspberry-pi-5", include_str!("../../boards/raspberry-pi-5.toml")),
    ("raspberry-pi-zero-2-w", include_str!("../../boards/raspberry-pi-zero-2-w.toml")),
];
