//! Firewalls of others that drop the answers by which a line is known to live.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::Facts;
use super::finding::{Finding, listed};
use crate::config::Config;
use crate::engine::kernel::firewall::{Answer, Arrival, Port, Stop};
use crate::engine::uplink::attachment::Attachment;
use crate::units::Family;

/// What is needed for IPv6 at all, in nft's words and by ICMPv6's numbers.
const NEIGHBOURS: &str =
    "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert }";
const NUMBERS: [u8; 3] = [135, 136, 134];

/// What a chain drops.
#[derive(Default)]
struct Dropped {
    devices: BTreeSet<String>,
    answers: BTreeSet<Answer>,
}

pub(super) fn judge(config: &Config, facts: &Facts) -> Vec<Finding> {
    let mut found: BTreeMap<Stop, Dropped> = BTreeMap::new();
    for arrival in arrivals(config, facts) {
        for stop in facts.arriving.stops(&arrival) {
            let dropped = found.entry(stop).or_default();
            dropped.devices.insert(arrival.by.name.to_string());
            dropped.answers.insert(arrival.answer);
        }
    }
    found.iter().map(|(stop, dropped)| finding(stop, dropped)).collect()
}

/// What would arrive by each uplink that has an address.
fn arrivals(config: &Config, facts: &Facts) -> Vec<Arrival> {
    let mut all = Vec::new();
    for uplink in &config.uplinks {
        let Some((index, name)) = Attachment::of(uplink, &facts.view, &[]).link else { continue };
        for family in Family::BOTH {
            let own = facts.view.addresses.iter().find(|address| {
                let at = address.net.addr();
                address.index == index && address.global && Family::of(&at) == family
            });
            let Some(own) = own.map(|address| address.net.addr()) else { continue };
            let answers: &[Answer] = match family {
                Family::V4 => &[Answer::Echo, Answer::Name],
                Family::V6 => &[Answer::Echo, Answer::Name, Answer::Neighbour],
            };
            let by = Port { name: name.clone(), index };
            all.extend(answers.iter().map(|answer| Arrival {
                by: by.clone(),
                own,
                answer: *answer,
            }));
        }
    }
    all
}

fn finding(stop: &Stop, dropped: &Dropped) -> Finding {
    let Stop { table, chain, rule } = stop;
    let devices: Vec<String> = dropped.devices.iter().cloned().collect();
    let devices = listed(&devices);
    let by = match rule {
        Some(number) => format!("rule {number} of chain {chain} does it"),
        None => format!("chain {chain} has no rule for them, and its policy is drop"),
    };
    let words: Vec<String> = dropped
        .answers
        .iter()
        .map(|answer| match answer {
            Answer::Echo => "echo replies",
            Answer::Name => "answers of name servers",
            Answer::Neighbour => "IPv6 neighbour advertisements",
        })
        .map(str::to_owned)
        .collect();
    let what = format!("the firewall {table} drops {} that come in by {devices}", listed(&words));
    let tracked = dropped.answers.iter().any(|answer| *answer != Answer::Neighbour);
    let why = if tracked {
        format!("An uplink whose answers are not heard looks dead although it works: {by}.")
    } else {
        format!("Without them IPv6 reaches not even the next router: {by}.")
    };
    Finding::wrong(what, why, mend(stop, dropped))
}

/// How the chain is told to let them in: lines for a shell.
fn mend(stop: &Stop, dropped: &Dropped) -> String {
    let Stop { table, chain, rule } = stop;
    let (family, name) = table.split_once(' ').unwrap_or(("inet", table));
    let of_iptables = chain == "INPUT" || chain == "PREROUTING";
    let program = match family {
        "ip" if of_iptables => Some("iptables"),
        "ip6" if of_iptables => Some("ip6tables"),
        _ => None,
    };
    // Before flows are known there is no state to ask for.
    let untracked = name == "raw";
    let (echo, of_name) =
        (dropped.answers.contains(&Answer::Echo), dropped.answers.contains(&Answer::Name));
    let mut lines = Vec::new();
    match program {
        Some(program) => {
            let insert = format!("{program} -t {name} -I {chain}");
            if let Some(number) = rule {
                lines.push(format!("{program} -t {name} -L {chain} {number} -v # this rule"));
            }
            let icmp = if program == "iptables" { "icmp" } else { "icmpv6" };
            if untracked && echo {
                lines.push(format!("{insert} -p {icmp} -j ACCEPT"));
            }
            if untracked && of_name {
                lines.push(format!("{insert} -p udp --sport 53 -j ACCEPT"));
            }
            if !untracked && (echo || of_name) {
                lines
                    .push(format!("{insert} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"));
            }
            if dropped.answers.contains(&Answer::Neighbour) {
                let rule = |number| format!("{insert} -p icmpv6 --icmpv6-type {number} -j ACCEPT");
                lines.extend(NUMBERS.map(rule));
            }
        }
        None => {
            let insert = format!("nft 'insert rule {table} {chain}");
            if let Some(number) = rule {
                lines
                    .push(format!("nft -a list chain {table} {chain} # it is rule {number} there"));
            }
            if echo || of_name {
                lines.push(format!("{insert} ct state established,related accept'"));
            }
            if dropped.answers.contains(&Answer::Neighbour) {
                lines.push(format!("{insert} {NEIGHBOURS} accept'"));
            }
        }
    }
    lines.join("\n")
}
