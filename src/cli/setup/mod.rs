//! `sparelink setup`: finds the uplinks, proves them, and writes the configuration when told.
//!
//! Nothing is written before the last question has been answered. What is started then is on trial: without a
//! confirmation everything is as before, also when the terminal or the session is gone.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use nix::unistd::geteuid;

use super::failure::{Failure, NO};
use super::{terminal, work};
use crate::engine::proposal::{self, Extras, Proposal, Skipped, Uplink, Why};
use crate::io::inspect::{self, Roots, survey};
use crate::io::netlink::{Monitor, Neighbours};
use crate::units::IfName;

mod ask;
mod box_words;
mod proof;
mod trial;

use proof::Proof;

/// How a proposal becomes a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// By questions, at a terminal.
    Ask { within: Duration },
    /// As it is proposed, without questions (`--yes`).
    Yes,
    /// Not at all: it is only shown (`--print`).
    Print,
    /// What was started on trial stays (`--keep`).
    Keep,
    /// What is on trial is undone now (`--undo`).
    Undo,
}

/// What was found on the box.
struct Found {
    proposal: Proposal,
    /// Of each uplink of the proposal.
    proofs: Vec<Proof>,
    /// The interface by which the person is connected.
    own: Option<IfName>,
}

/// Sets the box up.
pub(super) fn setup(how: How, file: &Path, run_dir: &Path) -> Result<ExitCode, Failure> {
    match how {
        How::Keep => return trial::keep(file),
        How::Undo => return trial::undo(file, run_dir),
        How::Ask { .. } if !terminal::can_ask() => {
            let hint = "--print shows the configuration, --yes writes it without questions";
            return Err(Failure::new("setup asks questions, and this is no terminal", hint));
        }
        How::Ask { .. } | How::Yes if !geteuid().is_root() => {
            let text = "setup writes below /etc, which you may not; nothing is written";
            return Err(Failure::new(text, "try it as root, for example with sudo"));
        }
        How::Ask { .. } | How::Yes | How::Print => {}
    }
    let found = find()?;
    let header = "Written by sparelink setup.".to_owned();
    match how {
        How::Ask { within } => ask::settle(found, header, file, run_dir, within),
        How::Yes => {
            terminal::print_error(&shown(&found));
            let text = proposal::text(&chosen(found), &Extras { header, notify: None });
            trial::write(file, &text)?;
            terminal::print(&format!("written: {}\n", file.display()))
        }
        How::Print | How::Keep | How::Undo => {
            terminal::print_error(&shown(&found));
            let extras = Extras { header, notify: None };
            terminal::print(&proposal::text(&chosen(found), &extras))
        }
    }
}

/// Looks at the box, and tries each uplink.
fn find() -> Result<Found, Failure> {
    let opened = work::runtime()?.block_on(Monitor::open());
    let (_, view) = opened.map_err(anyhow::Error::from)?;
    let table = Neighbours::open().ok();
    let machine = |at, dev| table.as_ref()?.hardware(at, dev);
    let own = inspect::session_address(&Roots::default()).and_then(|at| {
        let address = view.addresses.iter().find(|address| address.net.addr() == at)?;
        view.links.get(&address.index).map(|link| link.name.clone())
    });
    let seen = survey::look(&Roots::default(), view, machine);
    let proposal = proposal::for_people(&seen);
    if proposal.uplinks.is_empty() {
        let mut text =
            "nothing leads to the Internet here: no interface has a default route".to_owned();
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
    let proofs = proof::of(&proposal);
    Ok(Found { proposal, proofs, own })
}

/// What is proposed without a question: what works, in order; all of it where nothing does.
fn chosen(found: Found) -> Proposal {
    let Found { mut proposal, proofs, .. } = found;
    if proofs.iter().any(Proof::works) {
        let mut works = proofs.iter().map(Proof::works);
        proposal.uplinks.retain(|_| works.next().unwrap_or(true));
    }
    proposal
}

/// What was found, for people.
fn shown(found: &Found) -> String {
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
    format!(
        "{:<8} {}: {}{nat}{metered} → {}",
        uplink.interface,
        uplink.nature.words(),
        proof.words(),
        uplink.name
    )
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
    }
}

fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).unwrap_or_default();
}

/// The file that dnsmasq is told by to ask the name servers of the uplink in use.
fn dnsmasq_file() -> PathBuf {
    PathBuf::from("/etc/dnsmasq.d/sparelink.conf")
}
