//! What was looked at and is as it should be: silence could as well mean that nobody looked.

use super::facts::{Facts, Follows};
use super::finding::{Finding, Level, listed};
use super::{firewalls, strangers};
use crate::config::{Config, Listen};
use crate::engine::uplink::attachment::Attachment;
use crate::units::{Family, IfName};

/// What could not be looked at, where nftables tells only root.
pub const TABLES: &str = "nftables tables of others";

/// What is fine, a line each.
#[must_use]
pub fn fine(config: &Config, facts: &Facts) -> Vec<String> {
    let mut fine = Vec::new();
    if facts.running {
        fine.push("the agent is running".to_owned());
    }
    fine.extend(config.uplinks.iter().filter_map(|uplink| {
        let attachment = Attachment::of(uplink, &facts.view, &[]);
        let (index, dev) = attachment.link.as_ref()?;
        if attachment.fault.is_some() {
            return None;
        }
        let ways: Vec<String> = Family::BOTH
            .iter()
            .filter(|family| attachment.egress.get(**family).is_some())
            .map(ToString::to_string)
            .collect();
        let own = facts.view.addresses.iter().find(|a| a.index == *index && a.global);
        let own = own.map(|a| format!(", {}", a.net.addr())).unwrap_or_default();
        let by = if ways.is_empty() { String::new() } else { format!(", {}", listed(&ways)) };
        Some(format!("{}: {dev}{own}{by}", uplink.name))
    }));
    let lans = config.lan.as_ref().map(|lan| lan.interfaces.as_slice()).unwrap_or_default();
    fine.extend(lans.iter().filter_map(|lan| in_lan(lan, facts)));
    let unseen = facts.hidden.iter().any(|hidden| hidden.what == TABLES);
    let barred = firewalls::judge(config, facts).iter().any(is_wrong);
    if !unseen && !barred && !lans.is_empty() {
        fine.push("no firewall keeps the LAN from an uplink".to_owned());
    }
    if facts.voices.is_some() && strangers::judge(facts).next().is_none() {
        fine.push("nobody else in the LAN says that it is the router".to_owned());
    }
    fine.extend(facts.readers.iter().filter_map(|reader| {
        let whom = match reader.follows {
            Follows::Yes => "the name servers of the uplink in use",
            Follows::Itself => "the name servers that its own configuration names",
            Follows::Every => "the name servers of every uplink",
            Follows::No => return None,
        };
        Some(format!("{} asks {whom}", reader.program))
    }));
    fine.extend(page(config, facts));
    fine
}

fn is_wrong(finding: &Finding) -> bool {
    finding.level == Level::Wrong
}

/// The LAN's own address, and how many machines were seen there.
fn in_lan(lan: &IfName, facts: &Facts) -> Option<String> {
    let link = facts.view.links.values().find(|link| link.name == *lan)?;
    let own = facts.view.addresses.iter().find(|a| a.index == link.index && a.global)?;
    let machines = facts.neighbours.get(lan.as_str()).copied().filter(|count| *count > 0)?;
    let machines =
        if machines == 1 { "1 machine".to_owned() } else { format!("{machines} machines") };
    Some(format!("LAN: {lan}, {}, {machines} seen", own.net))
}

/// Where the page is; nowhere, while no agent shows it.
fn page(config: &Config, facts: &Facts) -> Option<String> {
    if !facts.running {
        return None;
    }
    let places = config.web.listen.iter().filter_map(|listen| match listen {
        Listen::Addr(at) => Some(at.to_string()),
        Listen::Lan(port) => {
            let lan = config.lan.as_ref()?.interfaces.first()?;
            let link = facts.view.links.values().find(|link| link.name == *lan)?;
            let mut own = facts.view.addresses.iter().filter(|a| a.index == link.index && a.global);
            Some(format!("{}:{port}", own.next()?.net.addr()))
        }
    });
    let places: Vec<String> = places.map(|at| format!("http://{at}/")).collect();
    (!places.is_empty()).then(|| format!("the page is at {}", listed(&places)))
}
