//! Others' say in where packets go: whose it is, what becomes of it, how to be rid of it.

use std::collections::BTreeSet;

use super::facts::Facts;
use super::finding::{Finding, listed};
use crate::config::Config;
use crate::engine::dataplane::followers::leads_to_main;
use crate::engine::kernel::claims::{By, Claim, Known, claims, foreign_default};
use crate::engine::kernel::rule::ForeignRule;
use crate::engine::uplink::attachment::Attachment;
use crate::engine::uplink::hosts::{Owner, hosts};
use crate::units::{Family, Fwmark, Gather as _, IfIndex, RulePriority, TableId};

/// The mark of what Tailscale sends by itself.
const TAILSCALE: Fwmark = Fwmark { value: 0x8_0000, mask: 0xff_0000 };

pub(super) fn judge(config: &Config, facts: &Facts) -> Vec<Finding> {
    let each = config.uplinks.iter().map(|u| (u, Attachment::of(u, &facts.view, &[])));
    let uplinks: Vec<_> = each.collect();
    let devices: BTreeSet<IfIndex> =
        uplinks.iter().filter_map(|(_, a)| Some(a.link.as_ref()?.0)).gather();
    let known = Known::new(devices, config, &facts.view);
    let mut findings: Vec<Finding> = claims(&facts.view, &known).iter().map(told).collect();
    for rule in facts.view.rules.iter().filter(|rule| is_for_main(rule)) {
        let heeded = foreign_default(&facts.view, &known, rule.family).is_some();
        findings.extend((!heeded).then(|| to_main(rule)));
    }
    let owners = uplinks.iter().map(|(config, attachment)| Owner {
        attachment,
        config,
        resolvers: &config.resolvers,
    });
    let hosts: Vec<String> =
        hosts(owners, &facts.view).iter().map(|host| host.addr().to_string()).collect();
    if !hosts.is_empty() {
        findings.push(Finding::note(
            format!("`main` has a route to {} by an uplink", listed(&hosts)),
            "Packets to it follow the active uplink all the same: it is taken for a tunnel's far end.",
            "if it has to stay where it is: keep_routes = [\"ADDRESS\"] in that [[uplink]]",
        ));
    }
    findings
}

/// How to be rid of a rule.
fn without(family: Family, priority: RulePriority) -> String {
    let flag = if family == Family::V6 { "-6 " } else { "" };
    format!("if that is not meant: ip {flag}rule del pref {}", priority.0)
}

fn told(claim: &Claim) -> Finding {
    let mend = match claim.by {
        By::Rule(priority) => without(claim.family, priority),
        By::Default | By::WideRoutes => {
            let flag = if claim.family == Family::V6 { " -6" } else { "" };
            format!("if that is not meant: `ip{flag} route` shows it, and who put it there")
        }
    };
    let what = claim.to_string();
    match (claim.bars(), claim.is_whole(), claim.of_an_uplink) {
        (true, _, _) => Finding::wrong(what, "No uplink can carry anything past it.", mend),
        (false, true, true) => Finding::wrong(
            what,
            "It stands before sparelink's rules, so no uplink can be chosen.",
            mend,
        ),
        (false, false, true) => Finding::note(
            what,
            "It is heeded: these packets go by that uplink, and do not move when it dies.",
            mend,
        ),
        (false, _, false) => Finding::note(
            what,
            "It is heeded. A tunnel's own packets go by the active uplink, and move with it.",
            mend,
        ),
    }
}

fn is_for_main(rule: &ForeignRule) -> bool {
    rule.table == Some(TableId::MAIN)
        && rule.suppress_prefixlength.is_none()
        && rule.priority <= RulePriority::ACTIVE
}

fn to_main(rule: &ForeignRule) -> Finding {
    let ForeignRule { family, priority, .. } = rule;
    let tailscale = rule.selector.fwmark == Some(TAILSCALE);
    let whose = if tailscale { ", Tailscale's," } else { "" };
    let which = if rule.is_selective() { "some packets" } else { "every packet" };
    let what = format!("an {family} rule ({}){whose} sends {which} to `main`", priority.0);
    if leads_to_main(rule) {
        let why = "They follow the active uplink: a rule of sparelink's with the same selector stands \
                   before it.";
        return Finding::note(what, why, "nothing: leave it as it is");
    }
    Finding::note(
        what,
        "These go by the default route of `main`, and do not move when an uplink dies: sparelink can't have \
         a rule with the same conditions.",
        without(*family, *priority),
    )
}
