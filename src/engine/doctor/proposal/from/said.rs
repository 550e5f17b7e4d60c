//! What another program's configuration comes to.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::engine::doctor::proposal::nature::Nature;
use crate::units::{IfName, PerFamily};

/// The longest name of an uplink that the checker takes, in characters.
const LONGEST_NAME: usize = 32;
/// How much of somebody's word is repeated, in characters.
const LONGEST_WORD: usize = 60;

/// A file of another program, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub path: String,
    pub text: String,
}

/// What another program's configuration says about the ways out of a box.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// The uplinks, the best first.
    pub uplinks: Vec<Way>,
    /// The networks behind the box, as far as it says.
    pub lan: Vec<Behind>,
    /// Interfaces that it knows and does not use; they are no LAN either.
    pub kept_out: BTreeSet<IfName>,
    /// Whom to ask whether the Internet is there; empty: it does not say.
    pub targets: PerFamily<Vec<IpAddr>>,
    /// What it says and sparelink does not do, a line each: file, section, what, and why not.
    pub dropped: Vec<String>,
}

/// A way out of which it speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// As the checker takes it.
    pub name: String,
    /// `None`: only its hardware address is known, and no interface has it now.
    pub interface: Option<IfName>,
    pub mac: Option<[u8; 6]>,
    /// What it is by the file, where it cannot be seen.
    pub nature: Nature,
    /// `None`: it does not say whether traffic costs.
    pub metered: Option<bool>,
    pub resolvers: Vec<IpAddr>,
}

/// A network behind the box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behind {
    pub interface: IfName,
    /// The box's own address there.
    pub address: IpNet,
}

impl Said {
    /// Notes what is not taken over: `place` says where in the file it stands, if that is not all of it.
    pub(super) fn drop(&mut self, file: &File, place: &str, what: &str) {
        let lead = if place.is_empty() { String::new() } else { format!("{}: ", word(place)) };
        self.dropped.push(format!("{}: {lead}{what}", file.path));
    }
}

/// Somebody's word, short enough to be repeated, and in one line.
pub(super) fn word(text: &str) -> String {
    let text = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut shown: String = text.clone().take(LONGEST_WORD).collect();
    if text.count() > LONGEST_WORD {
        shown.push('…');
    }
    shown
}

/// `a, b and c`, of words that are somebody's.
pub(super) fn words<'w>(all: impl IntoIterator<Item = &'w str>) -> String {
    let all: Vec<String> = all.into_iter().map(word).collect();
    match all.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// Names that have been given to uplinks.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeSet<String>);

impl Names {
    /// A name as the checker takes it, which no other uplink has: `wanted`, without what cannot stand in one; `otherwise` where
    /// nothing of it is left.
    pub(super) fn fit(&mut self, wanted: &str, otherwise: &str) -> String {
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
        let parts = wanted.split(|c| !plain(c)).filter(|part| !part.is_empty());
        let joined = parts.collect::<Vec<_>>().join("-");
        let bare = joined.trim_start_matches(['-', '.']);
        // `switch auto` means the chain.
        let bare = if bare.is_empty() || bare == "auto" { otherwise } else { bare };
        let short = |room: usize| bare.chars().take(room).collect::<String>();
        let first = short(LONGEST_NAME);
        let numbered = (2..).map(|n: usize| {
            let end = format!("-{n}");
            short(LONGEST_NAME - end.len()) + &end
        });
        let mut names = std::iter::once(first).chain(numbered);
        names.find(|name| self.0.insert(name.clone())).unwrap_or_default()
    }
}

/// Whether an answer from an address says anything of the Internet.
pub(super) fn is_out_there(address: IpAddr) -> bool {
    let near = match address {
        IpAddr::V4(at) => at.is_private() || at.is_link_local() || at.is_broadcast(),
        IpAddr::V6(at) => at.is_unique_local() || at.is_unicast_link_local(),
    };
    is_somebody(address) && !near
}

/// Whether it can be the address of a machine on an uplink.
pub(super) fn is_somebody(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(at) if at.is_broadcast());
    !(address.is_unspecified() || address.is_loopback() || address.is_multicast() || broadcast)
}

/// The interface of a name, if the checker takes it.
pub(super) fn device(name: &str) -> Option<IfName> {
    let usable = !name.contains(['*', '?', '[']) && !matches!(name, "lo" | "all" | "default");
    IfName::new(name).filter(|_| usable)
}
