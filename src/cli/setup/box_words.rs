//! What the box is, in words.

use std::collections::BTreeSet;
use std::fmt::{Arguments, Write as _};
use std::fs;

use crate::config::BoardChoice;
use crate::config::board::{Board, GENERIC};
use crate::io::inspect::{self, Roots};

/// Who configures interfaces, by the name of the program, at most 15 bytes as the kernel keeps it.
const MANAGERS: [(&str, &str); 5] = [
    ("NetworkManager", "NetworkManager"),
    ("systemd-network", "systemd-networkd"),
    ("dhcpcd", "dhcpcd"),
    ("netifd", "netifd"),
    ("connmand", "ConnMan"),
];

/// Board, system and manager, as far as they are known: `Raspberry Pi 4 B, Debian 12, NetworkManager`.
pub(super) fn the_box() -> String {
    let roots = Roots::default();
    let board = Board::choose(&BoardChoice::Auto, &inspect::compatible(&roots));
    let board = board.filter(|board| board.name != GENERIC).map(|board| board.title);
    let system = fs::read_to_string(roots.root.join("etc/os-release")).ok();
    let system = system.and_then(|text| pretty_name(&text));
    let netplan = roots.root.join("etc/netplan").is_dir().then(|| "netplan".to_owned());
    let manager = manager(&inspect::programs(&roots));
    let words: Vec<String> = [board, system, manager, netplan].into_iter().flatten().collect();
    if words.is_empty() { "This box".to_owned() } else { words.join(", ") }
}

fn pretty_name(text: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(line.trim_matches('"').to_owned())
}

fn manager(programs: &BTreeSet<String>) -> Option<String> {
    let found = MANAGERS.iter().find(|(program, _)| programs.contains(*program));
    found.map(|(_, name)| (*name).to_owned())
}

/// Puts some words behind others.
pub(super) fn put(text: &mut String, what: Arguments<'_>) {
    // A string takes everything.
    text.write_fmt(what).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_and_manager_are_named_as_people_know_them() {
        let release = "NAME=Debian\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n";
        assert_eq!(pretty_name(release).unwrap(), "Debian GNU/Linux 12 (bookworm)");
        assert_eq!(pretty_name("NAME=x\n"), None);
        let programs = ["sshd", "systemd-network"].map(str::to_owned).into();
        assert_eq!(manager(&programs).unwrap(), "systemd-networkd");
        assert_eq!(manager(&BTreeSet::new()), None);
    }
}
