//! Who else steers, filters or rewrites packets on this box.

use super::facts::{Facts, ForeignTable};
use super::finding::{Finding, listed};
use crate::config::Config;
use crate::engine::kernel::rule::ForeignRule;
use crate::engine::uplink::attachment::Attachment;

/// The mark bits of mwan3, as it ships.
const MWAN3_MASK: u32 = 0x3f00;
pub(super) fn judge(config: &Config, facts: &Facts) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        [mwan3(facts), kmwan(facts), networkd(facts)].into_iter().flatten().collect();
    let devices: Vec<String> = config
        .uplinks
        .iter()
        .filter_map(|u| Attachment::of(u, &facts.view, &[]).link)
        .map(|(_, dev)| dev.to_string())
        .collect();
    for table in &facts.tables {
        findings.extend(fixed_source(table));
        findings.extend(offload(table, &devices));
    }
    findings
}

fn mwan3(facts: &Facts) -> Option<Finding> {
    let marks =
        |rule: &&ForeignRule| rule.selector.fwmark.is_some_and(|mark| mark.mask == MWAN3_MASK);
    let runs = facts.programs.iter().any(|name| name.starts_with("mwan3"));
    (runs || facts.view.rules.iter().any(|rule| marks(&rule))).then(|| {
        Finding::wrong(
            "mwan3 is active",
            "Two managers would steer the same packets, and mwan3's rules come first.",
            "service mwan3 stop; service mwan3 disable",
        )
    })
}

/// GL.iNet's firmware has a manager of its own, a module of the kernel.
fn kmwan(facts: &Facts) -> Option<Finding> {
    facts.kmwan.then(|| {
        Finding::wrong(
            "GL.iNet's Multi-WAN (kmwan) is active",
            "Two managers would steer the same packets.",
            "uci set kmwan.global.enable=0; uci commit kmwan; /etc/init.d/kmwan stop",
        )
    })
}

fn networkd(facts: &Facts) -> Option<Finding> {
    let networkd = facts.networkd;
    let harmless = !networkd.running || (networkd.leaves_routes && networkd.leaves_rules);
    (!harmless).then(|| {
        Finding::wrong(
            "systemd-networkd deletes routes and rules of other programs when it restarts",
            "The agent puts its own back, but for a moment traffic goes astray.",
            "mkdir -p /etc/systemd/networkd.conf.d; \
             printf '[Network]\\nManageForeignRoutes=no\\nManageForeignRoutingPolicyRules=no\\n' \
             > /etc/systemd/networkd.conf.d/sparelink.conf; systemctl restart systemd-networkd",
        )
    })
}

fn fixed_source(table: &ForeignTable) -> Option<Finding> {
    table.fixed_source.then(|| {
        Finding::note(
            format!("the firewall {} writes fixed source addresses into packets (snat)", table.name),
            "On a switch, packets with the old uplink's address reach the new one; sparelink's guard drops them.",
            "use masquerade on uplinks instead of snat",
        )
    })
}

/// Packets that go around all chains.
fn offload(table: &ForeignTable, devices: &[String]) -> Option<Finding> {
    let on_uplinks =
        table.flowtables.iter().filter(|ft| devices.iter().any(|dev| ft.devices.contains(dev)));
    let mut hardware = false;
    let mut names = Vec::new();
    for flowtable in on_uplinks {
        hardware |= flowtable.hardware;
        names.push(flowtable.name.clone());
    }
    let how = if hardware { "in hardware" } else { "in software" };
    (!names.is_empty()).then(|| {
        Finding::note(
            format!("{} offloads connections {how} (flowtable {})", table.name, listed(&names)),
            "Their packets are not seen by the evidence counters, so an uplink is given twice the time before it counts as dead.",
            "for faster detection turn flow offloading off; on OpenWrt: Network, Firewall, Routing/NAT Offloading",
        )
    })
}
