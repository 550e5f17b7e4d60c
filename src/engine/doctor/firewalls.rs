//! Firewalls of others that do not let the LAN out by an uplink, or the answers back in, and how to tell them
//! in their own words.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::Facts;
use super::finding::{Finding, listed};
use crate::config::Config;
use crate::engine::kernel::firewall::{Barrier, Certainty, Step, Table};
use crate::engine::uplink::attachment::Attachment;
use crate::engine::uplink::ways::ways;
use crate::units::IfName;

/// What a chain does to ways between a LAN interface and an uplink's.
struct Barred<'a> {
    barrier: Barrier,
    table: &'a Table,
    /// LAN interface and uplink's device, of each way.
    ways: BTreeSet<(IfName, IfName)>,
}

pub(super) fn judge(config: &Config, facts: &Facts) -> Vec<Finding> {
    let Some(lan) = &config.lan else {
        return Vec::new();
    };
    let mut all = BTreeSet::new();
    let mut found: BTreeMap<(String, &str), Barred<'_>> = BTreeMap::new();
    for uplink in &config.uplinks {
        let attachment = Attachment::of(uplink, &facts.view, &[]);
        for way in ways(&lan.interfaces, &attachment, &facts.view) {
            let pair = (way.lan.name.clone(), way.out.name.clone());
            all.insert(pair.clone());
            for barrier in facts.forwarding.barriers(&way) {
                let tables = &facts.forwarding.tables;
                let Some(table) = tables.iter().find(|t| t.name == barrier.table) else {
                    continue;
                };
                let kind = match barrier.certainty {
                    Certainty::Stops => "stops",
                    Certainty::Depends(_) => "depends",
                };
                let key = (table.name.clone(), kind);
                let barred = Barred { barrier, table, ways: BTreeSet::new() };
                found.entry(key).or_insert(barred).ways.insert(pair.clone());
            }
        }
    }
    let mut findings: Vec<Finding> = found.values().flat_map(|b| b.findings(&all)).collect();
    findings.extend(legacy(facts));
    findings
}

impl Barred<'_> {
    fn findings(&self, all: &BTreeSet<(IfName, IfName)>) -> Vec<Finding> {
        let Barrier { table, chain, step, certainty } = &self.barrier;
        if let Certainty::Depends(on) = certainty {
            let (lan, out) = names(&self.ways);
            return vec![Finding::note(
                format!(
                    "whether the firewall {table} lets {} out by {} cannot be told",
                    listed(&lan),
                    listed(&out)
                ),
                format!("Its chain {chain} depends on {on}, which differs from packet to packet."),
                format!("if the LAN has no Internet by it: nft list chain {table} {chain}"),
            )];
        }
        // By some devices nobody of the LAN gets out; by the others somebody is kept in, which may be meant.
        let free = |out: &IfName| all.iter().any(|way| way.1 == *out && !self.ways.contains(way));
        let (some, none): (BTreeSet<_>, BTreeSet<_>) =
            self.ways.iter().cloned().partition(|(_, out)| free(out));
        let mend = |ways: &BTreeSet<(IfName, IfName)>| let_through(self.table, chain, *step, ways);
        let mut findings = Vec::new();
        if !none.is_empty() {
            let (lan, out) = names(&none);
            let (lan, out) = (listed(&lan), listed(&out));
            let why = match step {
                Step::Asks => format!("What the LAN sends there is dropped (chain {chain})."),
                Step::Answered => format!(
                    "What the LAN sends goes out, but the answers are dropped (chain {chain})."
                ),
                Step::GoesOn => {
                    format!("Connections begin, but what follows is dropped (chain {chain}).")
                }
            };
            let what = format!("the firewall {table} does not let {lan} out by {out}");
            findings.push(Finding::wrong(what, why, mend(&none)));
        }
        if !some.is_empty() {
            let (lan, out) = names(&some);
            findings.push(Finding::note(
                format!(
                    "the firewall {table} does not let {} out by {}",
                    listed(&lan),
                    listed(&out)
                ),
                "Other interfaces of the LAN get out there; this may be meant.",
                format!("if it is not:\n{}", mend(&some)),
            ));
        }
        findings
    }
}

/// The LAN's interfaces, and those of uplinks.
fn names(ways: &BTreeSet<(IfName, IfName)>) -> (Vec<String>, Vec<String>) {
    let lan: BTreeSet<String> = ways.iter().map(|(lan, _)| lan.to_string()).collect();
    let out: BTreeSet<String> = ways.iter().map(|(_, out)| out.to_string()).collect();
    (lan.into_iter().collect(), out.into_iter().collect())
}

/// How to tell a firewall of an uplink, in its own words: lines for a shell.
fn let_through(
    table: &Table,
    chain: &str,
    step: Step,
    ways: &BTreeSet<(IfName, IfName)>,
) -> String {
    let has = |name: &str| table.chains.contains_key(name);
    let ufw = has("ufw-user-forward") || has("ufw6-user-forward");
    let iptables = match table.name.as_str() {
        "ip filter" => Some("iptables"),
        "ip6 filter" => Some("ip6tables"),
        _ => None,
    };
    let lines: Vec<String> = match (table.name.as_str(), iptables) {
        ("inet firewalld" | "ip firewalld" | "ip6 firewalld", _) => firewalld(table, ways),
        ("inet fw4", _) => fw4(ways),
        // It has a rule for answers; where somebody took that out, only iptables helps.
        (_, Some(_)) if ufw && step == Step::Asks => {
            let line =
                |(lan, out): &(IfName, IfName)| format!("ufw route allow in on {lan} out on {out}");
            ways.iter().map(line).collect()
        }
        (_, Some(program)) => {
            let chain = if has("DOCKER-USER") { "DOCKER-USER" } else { chain };
            let lines = |(lan, out): &(IfName, IfName)| {
                let answers = "-m conntrack --ctstate RELATED,ESTABLISHED";
                [
                    format!("{program} -I {chain} -i {lan} -o {out} -j ACCEPT"),
                    format!("{program} -I {chain} -i {out} -o {lan} {answers} -j ACCEPT"),
                ]
            };
            ways.iter().flat_map(lines).collect()
        }
        (name, None) => {
            let lines = |(lan, out): &(IfName, IfName)| {
                let rule = format!("nft 'insert rule {name} {chain}");
                [
                    format!("{rule} iifname \"{lan}\" oifname \"{out}\" accept'"),
                    format!(
                        "{rule} iifname \"{out}\" oifname \"{lan}\" ct state established,related accept'"
                    ),
                ]
            };
            ways.iter().flat_map(lines).collect()
        }
    };
    lines.join("\n")
}

/// The uplink goes into the zone that is made for uplinks, and a policy leads from the LAN's zone there.
fn firewalld(table: &Table, ways: &BTreeSet<(IfName, IfName)>) -> Vec<String> {
    let all = "firewall-cmd --permanent";
    let policy = format!("{all} --policy=lan-out");
    let (lan, out) = names(ways);
    let mut lines: Vec<String> =
        out.iter().map(|dev| format!("{all} --zone=external --change-interface={dev}")).collect();
    if !table.chains.contains_key("filter_FWD_policy_lan-out") {
        lines.push(format!("{all} --new-policy=lan-out"));
    }
    lines.extend(lan.iter().map(|dev| {
        format!(
            "{policy} --add-ingress-zone=\"$(firewall-cmd --get-zone-of-interface={dev} || \
             firewall-cmd --get-default-zone)\""
        )
    }));
    lines.push(format!("{policy} --add-egress-zone=external"));
    lines.push(format!("{policy} --set-target=ACCEPT"));
    lines.push("firewall-cmd --reload".to_owned());
    lines
}

/// OpenWrt's zone of that name has the masquerading, and the forwarding from the LAN.
fn fw4(ways: &BTreeSet<(IfName, IfName)>) -> Vec<String> {
    let (_, out) = names(ways);
    let mut lines = vec!["zone=$(uci show firewall | sed -n \"s/\\.name='wan'$//p\")".to_owned()];
    lines.extend(out.iter().map(|dev| format!("uci add_list $zone.device={dev}")));
    lines.push("uci commit firewall".to_owned());
    lines.push("service firewall reload".to_owned());
    lines
}

/// Rules of the kind that nftables does not show.
fn legacy(facts: &Facts) -> Option<Finding> {
    facts.legacy_filter.then(|| {
        Finding::note(
            "there are rules of iptables-legacy, which are not looked at",
            "Whether they let the LAN out cannot be told from here.",
            "if the LAN has no Internet: iptables-legacy -S FORWARD",
        )
    })
}
