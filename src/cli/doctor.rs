//! `sparelink doctor`: problems on this box, and what to do about them.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;

use super::failure::{Failure, NO};
use super::table::{Colour, Style, printable};
use super::terminal::{self, Form};
use super::work;
use crate::config::board::Board;
use crate::config::{BoardChoice, Config};
use crate::engine::doctor::neighbours::{self, Neighbour};
use crate::engine::doctor::parts::{Part, Presence};
use crate::engine::doctor::proposal;
use crate::engine::doctor::{Facts, Finding, Hidden, Level, TABLES, fine, judge};
use crate::engine::kernel::view::KernelView;
use crate::io::inspect::{self, Roots, strangers, survey};
use crate::io::netlink::nft::Nft;
use crate::io::netlink::{Monitor, Neighbours, inspect as kernel};
use crate::io::socket::words;
use crate::io::{clock, lock, ubus};

#[derive(Debug, Serialize)]
struct Report {
    ok: bool,
    /// What the box is.
    board: String,
    /// What is as it should be.
    fine: Vec<String>,
    findings: Vec<Finding>,
    /// Programs that work beside it.
    neighbours: Vec<Neighbour>,
    not_looked_at: Vec<Hidden>,
}

/// Looks at the box, and tells. Without a configuration it is judged as for the one that would be proposed.
pub(super) fn doctor(
    configured: Option<Config>,
    run_dir: Option<PathBuf>,
    form: Form,
) -> Result<ExitCode, Failure> {
    let mut hidden = Vec::new();
    let view = look(&mut hidden)?;
    let (proposed, config) = match configured {
        Some(config) => (None, config),
        None => {
            let (said, config) = proposed(&view, run_dir)?;
            (Some(said), config)
        }
    };
    let facts = gather(&config, view, hidden);
    let findings = judge(&config, &facts);
    let board = board(&config);
    let ok = findings.iter().all(|finding| finding.level != Level::Wrong);
    let text = match form {
        Form::Json => {
            let (fine, neighbours) = (fine(&config, &facts), neighbours::seen(&facts));
            let (board, not_looked_at) = (board.title, facts.hidden);
            let report = Report { ok, board, fine, findings, neighbours, not_looked_at };
            let text = serde_json::to_string_pretty(&report);
            text.map_err(|error| Failure::plain(error.to_string()))? + "\n"
        }
        Form::Text => {
            let colour = terminal::colour();
            let fine = in_order(&fine(&config, &facts), colour);
            proposed.unwrap_or_default() + &tell(&findings, &fine, &facts, colour) + &about(&board)
        }
    };
    terminal::print(&text)?;
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::from(NO) })
}

/// What the kernel and the network manager say.
fn look(hidden: &mut Vec<Hidden>) -> Result<KernelView, Failure> {
    let runtime = work::runtime()?;
    let mut not_seen = |what: &str, error: &dyn Error| {
        hidden.push(Hidden { what: what.to_owned(), why: error.to_string() });
    };
    let mut view = match runtime.block_on(Monitor::open()) {
        Ok((_, view)) => view,
        Err(error) => {
            not_seen("interfaces, addresses, routes and rules", &error);
            KernelView::default()
        }
    };
    match runtime.block_on(ubus::networks(Path::new(ubus::SOCKET))) {
        Ok(Some(networks)) => view.networks = networks,
        Ok(None) => view.netifd_is_silent = ubus::is_missing(),
        Err(error) => {
            view.netifd_is_silent = true;
            not_seen("the networks of netifd (ubus)", &error);
        }
    }
    Ok(view)
}

/// The configuration that would be proposed, and a sentence about it.
fn proposed(view: &KernelView, run_dir: Option<PathBuf>) -> Result<(String, Config), Failure> {
    let table = Neighbours::open().ok();
    let machine = |at, dev| table.as_ref()?.hardware(at, dev);
    let seen = survey::look(&Roots::default(), view.clone(), machine);
    let proposal = proposal::for_people(&seen);
    let mut config = proposal::configuration(&proposal)?;
    if let Some(run_dir) = run_dir {
        config.run_dir = run_dir;
    }
    let uplinks = proposal.uplinks.iter().map(|u| format!("{} ({})", u.name, u.interface));
    let uplinks: Vec<String> = uplinks.collect();
    let uplinks = if uplinks.is_empty() {
        "no uplink was found: nothing has a default route".to_owned()
    } else {
        format!("judged for {}", uplinks.join(", "))
    };
    Ok((format!("there is no configuration yet; {uplinks}\n"), config))
}

/// What is fine, a line each.
fn in_order(fine: &[String], colour: Colour) -> String {
    let tick = Style::Good.paint("✓", colour);
    fine.iter().map(|line| format!("{tick} {}\n", printable(line))).collect()
}

/// The findings for people, after what is `fine`.
fn tell(findings: &[Finding], fine: &str, facts: &Facts, colour: Colour) -> String {
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let mut text = match count(Level::Wrong) {
        0 => "no problem found\n".to_owned(),
        1 => "1 problem found\n".to_owned(),
        many => format!("{many} problems found\n"),
    };
    text.push_str(fine);
    for finding in findings {
        text.push('\n');
        let (word, style) = match finding.level {
            Level::Wrong => ("wrong", Style::Bad),
            Level::Note => ("note ", Style::Careful),
        };
        let what = Style::Strong.paint(&printable(&finding.what), colour);
        text.push_str(&format!("{}  {what}\n", style.paint(word, colour)));
        text.push_str(&format!("       {}\n", printable(&finding.why)));
        for (line, lead) in
            finding.mend.lines().zip(std::iter::once("fix: ").chain(std::iter::repeat("     ")))
        {
            text.push_str(&format!("       {lead}{}\n", printable(line)));
        }
    }
    let parts = facts.parts.values().filter(|presence| **presence == Presence::Works).count();
    text.push_str(&format!(
        "\nchecked: {parts} kernel features, {} rules and {} nftables tables of others, \
         {} settings, {} interfaces\n",
        facts.view.rules.len(),
        facts.tables.len(),
        facts.sysctls.len(),
        facts.view.links.len(),
    ));
    for Neighbour { name, text: what } in neighbours::seen(facts) {
        text.push_str(&format!("beside it: {name}: {what}\n"));
    }
    for Hidden { what, why } in &facts.hidden {
        text.push_str(&format!("not checked: {} ({})\n", printable(what), printable(why)));
    }
    text
}

/// What the box is; its LEDs may be told to be left alone all the same.
fn board(config: &Config) -> Board {
    let choice = match &config.leds.board {
        named @ BoardChoice::Named(_) => named,
        BoardChoice::Auto | BoardChoice::None => &BoardChoice::Auto,
    };
    Board::choose(choice, &inspect::compatible(&Roots::default())).unwrap_or_default()
}

/// The same for people, with what is worth knowing.
fn about(board: &Board) -> String {
    let mut text = format!("board: {}", board.title);
    if let Some(lan) = &board.lan {
        let uplinks: Vec<String> =
            board.uplinks.iter().map(|(port, what)| format!("{port} ({what})")).collect();
        text.push_str(&format!(
            "; usually the LAN is {lan}, and the uplinks are {}",
            uplinks.join(", ")
        ));
    }
    if let Some(led) = &board.status {
        text.push_str(&format!("; its LED is {led}"));
    }
    for quirk in &board.quirks {
        text.push_str(&format!("\n       {quirk}"));
    }
    text + "\n"
}

/// Everything that can be seen from here. What cannot is noted, and stops nothing.
fn gather(config: &Config, view: KernelView, mut hidden: Vec<Hidden>) -> Facts {
    let roots = Roots::default();
    let mut facts = Facts {
        running: lock::is_held(&config.run_dir),
        programs: inspect::programs(&roots),
        clock_set: clock::now().utc.is_some(),
        ssh: inspect::ssh(&roots),
        neighbours: inspect::neighbours(&roots),
        kmwan: inspect::kmwan(&roots),
        view,
        ..Facts::default()
    };
    facts.readers = inspect::readers(&roots, &facts.programs, &config.run_dir);
    let mut hide = |what: &str, why: String| hidden.push(Hidden { what: what.to_owned(), why });
    let look = |nft: &mut Nft| Ok((nft.foreign_tables()?, nft.forwarding()?, nft.arriving()?));
    match Nft::open().and_then(|mut nft| look(&mut nft)) {
        Ok(found) => (facts.tables, facts.forwarding, facts.arriving) = found,
        Err(error) => hide(TABLES, as_root(&error.to_string())),
    }
    match kernel::try_parts() {
        Ok(parts) => facts.parts = parts,
        Err(error) => hide("kernel features", as_root(&error.to_string())),
    }
    if nix::unistd::geteuid().is_root() {
        let purposes = [
            (&config.run_dir, "its socket and what outlives a restart"),
            (&config.state_dir, "what it has learned of each line"),
        ];
        let look = purposes.map(|(path, purpose)| inspect::directory(path, purpose));
        facts.directories = look.into();
        note_raw_sockets(&mut facts.parts);
    } else {
        hide("directories of the agent", as_root("they are the agent's"));
    }
    let devices: Vec<_> = facts.view.links.values().map(|link| link.name.clone()).collect();
    facts.sysctls = inspect::sysctls(&roots, &devices);
    facts.legacy_filter = inspect::legacy_filter(&roots);
    facts.networkd = inspect::networkd(&roots, &facts.programs);
    let lans = config.lan.as_ref().map(|lan| lan.interfaces.as_slice()).unwrap_or_default();
    if !lans.is_empty() {
        match strangers::listen(lans) {
            Ok(voices) => facts.voices = Some(voices),
            Err(error) => hide("other routers in the LAN", as_root(&words(&error))),
        }
    }
    facts.hidden = hidden;
    facts
}

fn note_raw_sockets(parts: &mut BTreeMap<Part, Presence>) {
    let presence = inspect::raw_sockets()
        .map_or_else(|error| Presence::Missing(error.to_string()), |()| Presence::Works);
    parts.insert(Part::RawSockets, presence);
}

fn as_root(why: &str) -> String {
    format!("{why}; run it as root to see them")
}
