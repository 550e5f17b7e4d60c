//! The questions. Enter takes what is proposed; nothing is written before the last one.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use super::box_words::put;
use super::dnsmasq;
use super::found::{Found, Language, chosen, shown};
use super::plan::Plan;
use super::trial;
use crate::cli::failure::Failure;
use crate::cli::{passwd, terminal};
use crate::config;
use crate::engine::doctor::Follows;
use crate::engine::doctor::proposal::{self, Extras, Proposal};
use crate::io::inspect::{self, Roots};
use crate::io::service::Manager;
use crate::time::human;

/// Asks, writes, and starts on trial.
pub(super) fn settle(
    found: Found,
    header: String,
    file: &Path,
    run_dir: &Path,
    within: Duration,
) -> Result<ExitCode, Failure> {
    terminal::print(&shown(&found))?;
    let language = found.language.clone();
    let proposal = order(found)?;
    let dnsmasq = names(run_dir)?;
    let password = password()?;
    let text = text(&proposal, header, &language)?;
    terminal::print(&format!("\n{}\n", text.trim_end()))?;
    if file.exists() {
        let old = trial::old(file);
        terminal::print(&format!(
            "\nThe configuration that is there stays as {}.\n",
            old.display()
        ))?;
    }
    if !yes(&format!("\nWrite it to {}? [Y/n] ", file.display()))? {
        return terminal::print("nothing is written\n");
    }
    let page = proposal.lan.first().map(|lan| page_of(lan.address.addr()));
    let plan = Plan { text, password, dnsmasq, page };
    let manager = Manager::find();
    let later = format!("written; start it: {}\n", manager.start_it());
    if manager == Manager::Nobody {
        trial::write_all(file, &unstarted(plan))?;
        return terminal::print(&later);
    }
    let question = format!(
        "Start it now? Unless you type \"keep\" within {}, everything is as before. [Y/n] ",
        human(within)
    );
    if !yes(&question)? {
        trial::write_all(file, &unstarted(plan))?;
        return terminal::print(&later);
    }
    trial::play(file, run_dir, &plan, within)
}

/// Without an agent nobody writes the file that dnsmasq would read; `doctor` has the line for later.
fn unstarted(plan: Plan) -> Plan {
    Plan { dnsmasq: None, text: proposal::unstarted(&plan.text), ..plan }
}

/// Where the page is at an address of the LAN.
fn page_of(ip: IpAddr) -> String {
    format!("http://{}/", SocketAddr::new(ip, config::PAGE_PORT))
}

/// Which uplinks, in which order.
fn order(found: Found) -> Result<Proposal, Failure> {
    let all = found.proposal.clone();
    let works = chosen(found);
    let number = |name: &String| all.uplinks.iter().position(|uplink| uplink.name == *name);
    let usual = works.uplinks.iter().filter_map(|uplink| number(&uplink.name));
    let usual: Vec<String> = usual.map(|number| (number + 1).to_string()).collect();
    loop {
        let prompt = format!("Order, the best first [{}]: ", usual.join(" "));
        let typed = answer(&prompt)?;
        if typed.is_empty() {
            return Ok(works);
        }
        match in_order(&all, &typed) {
            Ok(proposal) => return Ok(proposal),
            Err(why) => terminal::print_error(&format!("{why}\n")),
        }
    }
}

/// The uplinks of these numbers.
fn in_order(all: &Proposal, typed: &str) -> Result<Proposal, String> {
    let mut uplinks = Vec::new();
    for word in typed.split([' ', ',']).filter(|word| !word.is_empty()) {
        let at = word.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        let uplink = at.and_then(|at| all.uplinks.get(at));
        let uplink = uplink.ok_or_else(|| format!("{word} is none of the numbers above"))?;
        if uplinks.contains(uplink) {
            return Err(format!("{word} is there twice"));
        }
        uplinks.push(uplink.clone());
    }
    if uplinks.is_empty() {
        return Err("type the numbers from above, for example 1 2".to_owned());
    }
    Ok(Proposal { uplinks, ..all.clone() })
}

/// What dnsmasq is to be told, if it runs and reads another file.
fn names(run_dir: &Path) -> Result<Option<(PathBuf, String)>, Failure> {
    let roots = Roots::default();
    let readers = inspect::readers(&roots, &inspect::programs(&roots), run_dir);
    let strays = readers.iter().any(|reader| reader.follows == Follows::No);
    let manager = Manager::find();
    if !strays || !manager.runs(dnsmasq::SERVICE) {
        return Ok(None);
    }
    let Some((file, text)) = dnsmasq::told(manager, &run_dir.join("resolv.conf")) else {
        return Ok(None);
    };
    let question = format!(
        "Names: dnsmasq shall ask those who answer on the uplink in use. Write {}? [Y/n] ",
        file.display()
    );
    Ok(yes(&question)?.then_some((file, text)))
}

/// The page's password, typed twice; an empty one is none.
fn password() -> Result<Option<String>, Failure> {
    loop {
        match passwd::twice("Password for changes on the page (empty: none): ")? {
            Ok(password) => return Ok(password),
            Err(why) => terminal::print_error(&format!("{why}\n")),
        }
    }
}

/// The configuration, with a way for messages that the checker takes.
fn text(proposal: &Proposal, header: String, language: &Language) -> Result<String, Failure> {
    loop {
        let prompt = "Messages to your phone, for example ntfy://ntfy.sh/TOPIC (empty: none): ";
        let to = Some(answer(prompt)?).filter(|to| !to.is_empty());
        let asked = to.is_some();
        let text = language.text(proposal, &Extras { header: header.clone(), notify: to });
        match config::parse(&text, "setup") {
            Ok(_) => return Ok(text),
            Err(config::Error::Mistakes { mistakes, .. }) if asked => {
                let mut why = String::new();
                for mistake in mistakes {
                    let hint = mistake.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
                    put(&mut why, format_args!("{}{hint}\n", mistake.text));
                }
                terminal::print_error(&why);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether the answer is yes; Enter is.
fn yes(question: &str) -> Result<bool, Failure> {
    loop {
        match answer(question)?.to_lowercase().as_str() {
            "" | "y" | "yes" => return Ok(true),
            "n" | "no" => return Ok(false),
            _ => terminal::print_error("y or n, please\n"),
        }
    }
}

/// What was typed; nobody is there any more: nothing has been written.
fn answer(prompt: &str) -> Result<String, Failure> {
    let line = terminal::line(prompt);
    let line = line.map_err(|error| Failure::plain(format!("cannot read the answer: {error}")))?;
    let line =
        line.ok_or_else(|| Failure::plain("the questions were not answered; nothing is written"))?;
    Ok(line.trim().to_owned())
}
