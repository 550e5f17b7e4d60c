//! The configuration of a proposal in OpenWrt's own language, with networks where netifd has them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::chain::{Origin, Uplink};
use super::file::{Extras, Proposal, in_comment, put, reach};
use crate::config::Kind;
use crate::units::IfName;

/// What the init script looks for, and what it finds where a person does not want it started.
const STARTED: &str = "option enabled '1'";
const NOT_STARTED: &str = "option enabled '0'";

/// Where the package's init script lets the agent write: flash, sparingly, and memory.
const FOLDERS: &str =
    "\toption state_dir '/etc/sparelink/state'\n\toption run_dir '/var/run/sparelink'\n";

/// The file `/etc/config/sparelink`, with a comment on every choice. `networks` are netifd's names for interfaces.
#[must_use]
pub fn uci(proposal: &Proposal, extras: &Extras, networks: &BTreeMap<IfName, String>) -> String {
    let mut text = String::new();
    if !extras.header.is_empty() {
        put(&mut text, format_args!("# {}\n", extras.header));
        text.push_str("# After an edit: sparelink check, then service sparelink reload. The order is the priority.\n");
    }
    for line in &proposal.dropped {
        put(&mut text, format_args!("# dropped: {}\n", in_comment(line)));
    }
    put(&mut text, format_args!("\nconfig sparelink 'main'\n\t{STARTED}\n"));
    text.push_str(FOLDERS);
    for lan in &proposal.lan {
        let name = networks.get(&lan.interface).map_or(lan.interface.as_str(), String::as_str);
        put(&mut text, format_args!("\tlist lan {} # {}\n", quoted(name), lan.address));
    }
    let targets = [&proposal.targets.v4, &proposal.targets.v6];
    if targets.iter().any(|all| !all.is_empty()) {
        text.push_str("\nconfig probe 'probe'\n");
        targets.iter().for_each(|all| list(&mut text, "target", all));
    }
    let mut taken = BTreeSet::from(["main".to_owned(), "probe".to_owned()]);
    for one in &proposal.uplinks {
        uplink(&mut text, one, networks.get(&one.interface), &mut taken);
    }
    if let Some(to) = &extras.notify {
        let to = quoted(to);
        put(
            &mut text,
            format_args!(
                "\nconfig notify\n\toption to {to}\n\toption min 'notice' # each switch, too\n"
            ),
        );
    }
    text.trim_start().to_owned()
}

/// The same, and the init script does not start it.
#[must_use]
pub fn unstarted(text: &str) -> String {
    text.replacen(STARTED, NOT_STARTED, 1)
}

fn uplink(
    text: &mut String,
    uplink: &Uplink,
    network: Option<&String>,
    taken: &mut BTreeSet<String>,
) {
    let section = section(&uplink.name, taken);
    let what = uplink.nature.words();
    put(text, format_args!("\nconfig uplink '{section}' # {what}{}\n", reach(uplink)));
    if section != uplink.name {
        put(text, format_args!("\toption name {}\n", quoted(&uplink.name)));
    }
    let absent = if uplink.origin == Origin::Absent { " # not seen now" } else { "" };
    match (network, uplink.mac) {
        (Some(network), _) => {
            put(text, format_args!("\toption network {}{absent}\n", quoted(network)))
        }
        (None, Some(mac)) => {
            let mac: Vec<String> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
            put(text, format_args!("\toption mac '{}'{absent}\n", mac.join(":")));
        }
        (None, None) => {
            let device = quoted(uplink.interface.as_str());
            put(text, format_args!("\toption device {device}{absent}\n"));
        }
    }
    match uplink.nature.kind() {
        Kind::Wired => {}
        Kind::Wifi => text.push_str("\toption kind 'wifi'\n"),
        Kind::Cellular => text.push_str("\toption kind 'cellular' # more time to answer\n"),
    }
    if uplink.metered {
        text.push_str("\toption metered '1' # as few packets as possible while it is a spare\n");
    }
    list(text, "resolver", &uplink.resolvers);
}

/// The name of a section: letters, digits and `_`, and no other section's, of whatever type.
fn section(name: &str, taken: &mut BTreeSet<String>) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let mut section: String = name.chars().map(plain).collect();
    while !taken.insert(section.clone()) {
        section.push('_');
    }
    section
}

fn list(text: &mut String, key: &str, all: &[IpAddr]) {
    all.iter().for_each(|at| put(text, format_args!("\tlist {key} '{at}'\n")));
}

/// A value as uci itself writes it. It takes no control characters.
fn quoted(text: &str) -> String {
    format!("'{}'", in_comment(text).replace('\'', "'\\''"))
}
