//! What was seen on the box.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use ipnet::Ipv6Net;
use serde::Serialize;

use super::parts::{Part, Presence};
use crate::engine::kernel::firewall::Ruleset;
use crate::engine::kernel::view::KernelView;
use crate::units::IfName;

/// What was seen on the box.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// An agent runs here; much that is not right yet it would put right at its start.
    pub running: bool,
    /// Links, addresses, routes and rules of others.
    pub view: KernelView,
    /// Parts of the kernel that were tried, and permissions.
    pub parts: BTreeMap<Part, Presence>,
    /// Values by path below `/proc/sys`, those there are.
    pub sysctls: BTreeMap<String, String>,
    /// Other people's nftables tables.
    pub tables: Vec<ForeignTable>,
    /// Their rules for what is forwarded.
    pub forwarding: Ruleset,
    /// Their rules for what arrives and is for the box itself.
    pub arriving: Ruleset,
    /// iptables has rules for what is forwarded that nftables does not show (its older kind).
    pub legacy_filter: bool,
    /// Names of running programs, as far as they matter.
    pub programs: BTreeSet<String>,
    /// What systemd-networkd does with other people's routes and rules.
    pub networkd: Networkd,
    /// Directories that the agent writes to.
    pub directories: Vec<Directory>,
    /// The wall clock has been set.
    pub clock_set: bool,
    /// Addresses at which somebody waits for ssh; unspecified: at all of them.
    pub ssh: BTreeSet<IpAddr>,
    /// Machines that answer, by the interface on which they do.
    pub neighbours: BTreeMap<String, usize>,
    /// Who resolves names on this box, and by which file.
    pub readers: Vec<Reader>,
    /// GL.iNet's own manager of several uplinks is switched on.
    pub kmwan: bool,
    /// Who speaks in the LAN as a router or a DHCP server; `None`: nobody has listened.
    pub voices: Option<BTreeSet<Voice>>,
    /// What could not be looked at, and why.
    pub hidden: Vec<Hidden>,
}

/// What somebody says in the LAN; it may be this box itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Voice {
    /// Where it was heard.
    pub lan: IfName,
    pub says: Says,
}

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Says {
    /// A DHCP server answered.
    Offers {
        server: Ipv4Addr,
        /// What it would give.
        address: Ipv4Addr,
        /// Whom devices are to send to; the first it names.
        router: Option<Ipv4Addr>,
    },
    /// A router advertised itself.
    Advertises {
        router: Ipv6Addr,
        /// For how long it is a way to the Internet; 0: it is none.
        seconds: u16,
        prefixes: Vec<Ipv6Net>,
    },
}

/// A program that resolves names, and whence it knows whom to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    pub program: &'static str,
    /// Whether it asks those whom the agent names.
    pub follows: Follows,
}

/// Whether names follow the switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follows {
    /// It reads the agent's file.
    Yes,
    /// It reads other files, as far as could be seen.
    No,
    /// It asks those whom its own configuration names, by whatever uplink.
    Itself,
    /// It asks the servers of every uplink, each by its own.
    Every,
}

/// An nftables table of somebody else, iptables' own among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForeignTable {
    /// Family and name, such as `inet fw4`.
    pub name: String,
    /// A rule writes a fixed source address into packets.
    pub fixed_source: bool,
    /// Where its rules meet our bits of marks.
    pub marks: Vec<MarkClash>,
    pub flowtables: Vec<Flowtable>,
}

/// A use of mark bits that are ours, by a rule of somebody else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MarkClash {
    /// The chain in which the rule stands.
    pub chain: String,
    /// Whose mark it is.
    pub mark: Mark,
    /// What the rule does with it.
    pub how: MarkUse,
}

/// What bears a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    Packet,
    /// A connection, by conntrack.
    Flow,
}

/// What somebody's rule does with our bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MarkUse {
    /// It sets some of them.
    Sets,
    /// It leaves none of what was there.
    Clears,
    /// It looks for them, or for their absence.
    Compares,
}

/// A flowtable: packets of a known flow go around all chains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flowtable {
    pub name: String,
    /// The devices between which packets take the short way.
    pub devices: BTreeSet<String>,
    /// The network hardware does it (`NFT_FLOWTABLE_HW_OFFLOAD`).
    pub hardware: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Networkd {
    pub running: bool,
    pub leaves_routes: bool,
    pub leaves_rules: bool,
}

/// A directory that the agent writes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    pub path: PathBuf,
    pub purpose: &'static str,
    /// Why it cannot be written to; `None`: it can.
    pub error: Option<String>,
}

/// Something that was not looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hidden {
    pub what: String,
    /// Why, and how it could be.
    pub why: String,
}
