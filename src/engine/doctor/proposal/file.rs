//! The configuration of a proposal, as text that people read and edit.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::chain::{Origin, Reach, Skipped, Uplink};
use super::lan::Lan;
use crate::config::{self, Config, Kind};
use crate::units::PerFamily;

/// What a configuration needs at least, to be taken out of it again.
const NONE_YET: &str = "[[uplink]]\nname = \"none\"\ninterface = \"none\"\n";

/// What a box could be told to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proposal {
    /// The chain: order is priority.
    pub uplinks: Vec<Uplink>,
    /// The networks behind the box.
    pub lan: Vec<Lan>,
    /// What looked like an uplink and is none, or not yet.
    pub skipped: Vec<Skipped>,
    /// Whom to ask whether the Internet is there; empty: as usual.
    pub targets: PerFamily<Vec<IpAddr>>,
    /// What another program's configuration says and this one does not, a line each.
    pub dropped: Vec<String>,
}

/// What a person adds to what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// The first line: who wrote the file.
    pub header: String,
    /// Where messages go (`[[notify]] to`).
    pub notify: Option<String>,
}

/// The configuration file, with a comment on every choice.
#[must_use]
pub fn text(proposal: &Proposal, extras: &Extras) -> String {
    let mut text = String::new();
    if !extras.header.is_empty() {
        put(&mut text, format_args!("# {}\n", extras.header));
        text.push_str(
            "# After an edit: sparelink check, then sparelink reload. The order is the priority.\n",
        );
    }
    for line in &proposal.dropped {
        put(&mut text, format_args!("# dropped: {}\n", in_comment(line)));
    }
    for one in &proposal.uplinks {
        uplink(&mut text, one);
    }
    probe(&mut text, &proposal.targets);
    if !proposal.lan.is_empty() {
        let names: Vec<String> =
            proposal.lan.iter().map(|lan| quoted(lan.interface.as_str())).collect();
        let nets: Vec<String> = proposal.lan.iter().map(|lan| lan.address.to_string()).collect();
        put(
            &mut text,
            format_args!("\n[lan] # {}\ninterfaces = [{}]\n", nets.join(", "), names.join(", ")),
        );
    }
    if let Some(to) = &extras.notify {
        put(
            &mut text,
            format_args!(
                "\n[[notify]]\nto = {}\nmin = \"notice\" # each switch, too\n",
                quoted(to)
            ),
        );
    }
    text.trim_start().to_owned()
}

/// What a proposal stands for, by the checker of all files.
///
/// # Errors
///
/// What the checker found, which would be a fault of ours.
pub fn configuration(proposal: &Proposal) -> Result<Config, config::Error> {
    let text = text(proposal, &Extras::default());
    if !proposal.uplinks.is_empty() {
        return config::parse(&text, "automatic");
    }
    let mut config = config::parse(&format!("{NONE_YET}{text}"), "automatic")?;
    config.uplinks.clear();
    Ok(config)
}

fn uplink(text: &mut String, uplink: &Uplink) {
    let (what, reach, name) = (uplink.nature.words(), reach(uplink), quoted(&uplink.name));
    put(text, format_args!("\n[[uplink]] # {what}{reach}\nname = {name}\n"));
    match uplink.mac {
        Some(mac) => {
            let now = match uplink.origin {
                Origin::Found | Origin::Named => {
                    format!("now {}; adapters may change names", uplink.interface)
                }
                Origin::Absent => "not seen now".to_owned(),
            };
            let mac: Vec<String> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
            put(text, format_args!("match = {{ mac = \"{}\" }} # {now}\n", mac.join(":")));
        }
        None => {
            let now = if uplink.origin == Origin::Absent { " # not seen now" } else { "" };
            put(text, format_args!("interface = {}{now}\n", quoted(uplink.interface.as_str())));
        }
    }
    match uplink.nature.kind() {
        Kind::Wired => {}
        Kind::Wifi => text.push_str("kind = \"wifi\"\n"),
        Kind::Cellular => text.push_str("kind = \"cellular\" # more time to answer\n"),
    }
    if uplink.metered {
        text.push_str("metered = true # as few packets as possible while it is a spare\n");
    }
    if !uplink.resolvers.is_empty() {
        put(text, format_args!("resolvers = [{}]\n", addresses(&uplink.resolvers)));
    }
}

/// Whom to ask, where it is not as usual.
fn probe(text: &mut String, targets: &PerFamily<Vec<IpAddr>>) {
    let keys = [("targets", &targets.v4), ("targets6", &targets.v6)];
    let mut keys = keys.into_iter().filter(|(_, all)| !all.is_empty()).peekable();
    if keys.peek().is_some() {
        text.push_str("\n[probe]\n");
    }
    for (key, all) in keys {
        put(text, format_args!("{key} = [{}]\n", addresses(all)));
    }
}

fn addresses(all: &[IpAddr]) -> String {
    all.iter().map(|at| quoted(&at.to_string())).collect::<Vec<_>>().join(", ")
}

/// From where an uplink can be reached, behind a comma.
pub(super) fn reach(uplink: &Uplink) -> &'static str {
    match uplink.reach {
        Some(Reach::Public) => ", a public address",
        Some(Reach::BehindNat) => ", behind NAT",
        None => "",
    }
}

/// Text that cannot end a comment, nor be what TOML and uci refuse.
pub(super) fn in_comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

pub(super) fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    // A string takes everything.
    text.write_fmt(what).unwrap_or_default();
}

/// A TOML string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => put(&mut quoted, format_args!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}
