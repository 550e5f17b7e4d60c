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

pub(super) const FILES: [(&str, &str); 6] = [
    (GENERIC, include_str!("../../boards/generic.toml")),
    ("lab", include_str!("../../boards/lab.toml")),
    ("raspberry-pi-3b-plus", include_str!("../../boards/raspberry-pi-3b-plus.toml")),
    ("raspberry-pi-4b", include_str!("../../boards/raspberry-pi-4b.toml")),
    ("raspberry-pi-5", include_str!("../../boards/raspberry-pi-5.toml")),
    ("raspberry-pi-zero-2-w", include_str!("../../boards/raspberry-pi-zero-2-w.toml")),
];
