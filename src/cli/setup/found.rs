//! What was found on the box, and how it is told.

use std::collections::BTreeMap;
use std::path::Path;

use super::box_words::{self, put};
use super::other::{self, Program};
use super::proof::{self, Proof};

use crate::cli::failure::{Failure, NO};
use crate::cli::{terminal, work};
use crate::config;
use crate::engine::doctor::proposal::{self, Extras, Origin, Proposal, Skipped, Uplink, Why};
use crate::engine::kernel::network;
use crate::io::inspect::{self, Roots, survey};
use crate::io::netlink::{Monitor, Neighbours};
use crate::io::ubus;
use crate::units::IfName;

/// What was found on the box.
pub(super) struct Found {
    pub(super) proposal: Proposal,
    /// Of each uplink of the proposal.
    proofs: Vec<Proof>,
    /// The interface by which the person is connected.
    own: Option<IfName>,
    /// In which language the configuration is to be.
    pub(super) language: Language,
}

/// In which language a configuration is written.
#[derive(Clone)]
pub(super) enum Language {
    Toml,
    /// OpenWrt's own, with netifd's names for interfaces.
    Uci(BTreeMap<IfName, String>),
}

impl Language {
    /// That of a file.
    fn of(file: &Path) -> Self {
        if !config::is_uci(file) {
            return Self::Toml;
        }
        let asked = work::runtime().ok().and_then(|runtime| {
            runtime.block_on(ubus::networks(Path::new(ubus::SOCKET))).ok().flatten()
        });
        Self::Uci(network::by_device(&asked.unwrap_or_default()))
    }

    /// The configuration of a proposal.
    pub(super) fn text(&self, proposal: &Proposal, extras: &Extras) -> String {
        match self {
            Self::Toml => proposal::text(proposal, extras),
            Self::Uci(networks) => proposal::uci(proposal, extras, networks),
        }
    }
}

/// Looks at the box, and tries each uplink.
pub(super) fn find(from: Option<Program>, file: &Path, run_dir: &Path) -> Result<Found, Failure> {
    let opened = work::runtime()?.block_on(Monitor::open());
    let (_, view) = opened.map_err(anyhow::Error::from)?;
    let table = Neighbours::open().ok();
    let machine = |at, dev| table.as_ref()?.hardware(at, dev);
    let own = inspect::session_address(&Roots::default()).and_then(|at| {
        let address = view.addresses.iter().find(|address| address.net.addr() == at)?;
        view.links.get(&address.index).map(|link| link.name.clone())
    });
    let seen = survey::look(&Roots::default(), view, machine);
    let proposal = match from {
        Some(program) => other::proposal(program, &seen)?,
        None => proposal::for_people(&seen),
    };
    if proposal.uplinks.is_empty() {
        let mut text = match from {
            Some(_) => "by that configuration nothing leads to the Internet",
            None => "nothing leads to the Internet here: no interface has a default route",
        }
        .to_owned();
        for Skipped { interface, why } in &proposal.skipped {
            put(&mut text, format_args!("\n  {interface}: {}", in_words(why)));
        }
        let hint = "plug in a modem, or a phone with tethering on, and let the system ask for an address by DHCP";
        return Err(Failure::new(text + "\nnothing is written", hint).with_code(NO));
    }
    terminal::print_error(&format!(
        "{}. I try each way out for some seconds …\n",
        box_words::the_box()
    ));
    let proofs = proof::of(&proposal, run_dir);
    Ok(Found { proposal, proofs, own, language: Language::of(file) })
}

/// What is proposed without a question: what works, in order; all of it where nothing does. What another program's
/// configuration names is a person's word, whether it works now or not.
pub(super) fn chosen(found: Found) -> Proposal {
    let Found { mut proposal, proofs, .. } = found;
    if proofs.iter().any(Proof::works) {
        let mut works = proofs.iter().map(Proof::works);
        proposal
            .uplinks
            .retain(|uplink| works.next().unwrap_or(true) || uplink.origin != Origin::Found);
    }
    proposal
}

/// What was found, for people.
pub(super) fn shown(found: &Found) -> String {
    let mut text = String::new();
    for (number, (uplink, proof)) in found.proposal.uplinks.iter().zip(&found.proofs).enumerate() {
        put(&mut text, format_args!("{:>3}  {}\n", number + 1, row(uplink, proof)));
    }
    for Skipped { interface, why } in &found.proposal.skipped {
        put(&mut text, format_args!("  –  {interface:<8} {}\n", in_words(why)));
    }
    let lans = &found.proposal.lan;
    let by = |name: &IfName| {
        if found.own.as_ref() == Some(name) { " (you are connected by it)" } else { "" }
    };
    let lan: Vec<String> = lans
        .iter()
        .map(|lan| format!("{}, {}{}", lan.interface, lan.address, by(&lan.interface)))
        .collect();
    if lan.is_empty() {
        text.push_str("LAN: none was found; only this box itself is moved to the next uplink\n");
    } else {
        put(&mut text, format_args!("LAN: {}\n", lan.join("; ")));
    }
    text
}

/// One uplink: `eth1     Ethernet, 192.168.178.20: Internet works, 11 ms → cable`.
fn row(uplink: &Uplink, proof: &Proof) -> String {
    let metered = if uplink.metered { ", metered" } else { "" };
    let nat = match uplink.reach {
        Some(proposal::Reach::Public) => ", public address",
        Some(proposal::Reach::BehindNat) => ", behind NAT",
        None => "",
    };
    let proof = match uplink.origin {
        Origin::Found | Origin::Named => proof.words(),
        Origin::Absent => "not seen now".to_owned(),
    };
    let address = uplink.address.map(|own| format!(", {own}")).unwrap_or_default();
    let (interface, nature, name) = (&uplink.interface, uplink.nature.words(), &uplink.name);
    format!("{interface:<8} {nature}{address}: {proof}{nat}{metered} → {name}")
}

fn in_words(why: &Why) -> String {
    match why {
        Why::Tunnel => "a tunnel; what carries it is an uplink".to_owned(),
        Why::SameLine(other) => {
            format!("leads to the same router as {other}; it would die with it")
        }
        Why::Surplus => "more uplinks than can be used".to_owned(),
        Why::NoCarrier => "no cable, or switched off".to_owned(),
        Why::NoAddress => "connected, but it has no address".to_owned(),
        Why::NotNamed => "leads out, but that configuration does not name it".to_owned(),
    }
}
