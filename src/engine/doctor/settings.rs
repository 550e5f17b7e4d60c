//! Values under `/proc/sys`.

use super::facts::Facts;
use super::finding::{Finding, listed};
use crate::config::Config;
use crate::engine::uplink::attachment::Attachment;

/// From so many percent on the table of connections counts as nearly full.
const NEARLY_FULL: u64 = 80;
/// A home with a few people and a torrent has so many connections.
const FEW_CONNECTIONS: u64 = 4096;

pub(super) fn judge(config: &Config, facts: &Facts) -> Vec<Finding> {
    let all = [strict(config, facts), forwarding(config, facts), loose(facts), room(facts)];
    all.into_iter().flatten().collect()
}

fn number(facts: &Facts, path: &str) -> Option<u64> {
    facts.sysctls.get(path)?.parse().ok()
}

/// What the agent puts right at its start is good to know before, and wrong while it runs.
fn before_the_start(facts: &Facts, finding: Finding) -> Finding {
    if facts.running {
        return finding;
    }
    let why = format!("{} The agent changes it when it starts.", finding.why);
    Finding::note(finding.what, why, "")
}

fn strict(config: &Config, facts: &Facts) -> Option<Finding> {
    let all = number(facts, "net/ipv4/conf/all/rp_filter").unwrap_or(0);
    let devices = config.uplinks.iter().filter_map(|u| Attachment::of(u, &facts.view, &[]).link);
    let strict = devices.filter(|(_, dev)| {
        let own = number(facts, &format!("net/ipv4/conf/{dev}/rp_filter"));
        own.is_some_and(|own| own.max(all) == 1)
    });
    let strict: Vec<String> = strict.map(|(_, dev)| dev.to_string()).collect();
    (!strict.is_empty()).then(|| {
        let set: Vec<String> =
            strict.iter().map(|dev| format!("sysctl -w net/ipv4/conf/{dev}/rp_filter=2")).collect();
        let found = Finding::wrong(
            format!("reverse-path filtering is strict on {}", listed(&strict)),
            "Answers that come in on an uplink which is not in use are dropped.",
            set.join("\n"),
        );
        before_the_start(facts, found)
    })
}

fn forwarding(config: &Config, facts: &Facts) -> Option<Finding> {
    config.lan.as_ref()?;
    let off = |path| number(facts, path) == Some(0);
    let (v4, v6) = (off("net/ipv4/ip_forward"), off("net/ipv6/conf/all/forwarding"));
    let which = match (v4, v6) {
        (true, true) => "",
        (true, false) => " of IPv4",
        (false, true) => " of IPv6",
        (false, false) => return None,
    };
    let found = Finding::wrong(
        format!("forwarding{which} is off"),
        "The LAN has no Internet through this box.",
        "sysctl -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1",
    );
    Some(before_the_start(facts, found))
}

fn loose(facts: &Facts) -> Option<Finding> {
    let strict = number(facts, "net/netfilter/nf_conntrack_tcp_loose")? == 0;
    let found = Finding::wrong(
        "nf_conntrack_tcp_loose is 0",
        "Clients of a dead uplink cannot be told, and hang until they give up by themselves.",
        "sysctl -w net.netfilter.nf_conntrack_tcp_loose=1",
    );
    strict.then(|| before_the_start(facts, found))
}

fn room(facts: &Facts) -> Option<Finding> {
    let max = number(facts, "net/netfilter/nf_conntrack_max")?;
    let count = number(facts, "net/netfilter/nf_conntrack_count").unwrap_or(0);
    let more = (max.max(FEW_CONNECTIONS) * 4).max(65_536);
    let mend = format!("sysctl -w net.netfilter.nf_conntrack_max={more}");
    if max > 0 && count * 100 >= max * NEARLY_FULL {
        let what = format!("the kernel's table of connections is nearly full: {count} of {max}");
        return Some(Finding::wrong(what, "New connections are refused when it is.", mend));
    }
    (max > 0 && max < FEW_CONNECTIONS).then(|| {
        let what = format!("the kernel's table has room for {max} connections only");
        Finding::note(what, "One busy client can fill it; then new ones are refused.", mend)
    })
}
