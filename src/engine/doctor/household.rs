//! The uplinks and the LAN as they are, and the house they live in.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::facts::{Facts, Follows, Reader};
use super::finding::{Finding, listed};
use crate::config::{Config, DeviceMatch};
use crate::engine::health::Condition;
use crate::engine::kernel::network::{self, Stage};
use crate::engine::kernel::view::Link;
use crate::engine::uplink::attachment::Attachment;
use crate::units::{IfIndex, IfName};

pub(super) fn judge(config: &Config, facts: &Facts) -> Vec<Finding> {
    let uplinks: Vec<(&str, Attachment)> = config
        .uplinks
        .iter()
        .map(|u| (u.name.as_str(), Attachment::of(u, &facts.view, &[])))
        .collect();
    let mut findings = twins(&uplinks);
    for (place, (uplink, (name, attachment))) in config.uplinks.iter().zip(&uplinks).enumerate() {
        if facts.view.netifd_is_silent && attachment.fault == Some(Condition::NoGateway) {
            findings.push(lacks_metric(name, &uplink.device, place));
        } else {
            let (network, dev) = (uplink.device.network.as_deref(), attachment.link.as_ref());
            let dev = dev.map(|(_, dev)| dev);
            let stage = network::stage(&facts.view.networks, network, dev);
            let failed = stage.filter(|stage| matches!(stage, Stage::Failed(_)));
            let hindrance = failed.and_then(network::hindrance);
            let refused = hindrance.filter(|_| attachment.fault == Some(Condition::Pending));
            match refused {
                Some(hindrance) => findings.push(refuses(name, &hindrance)),
                None => findings.extend(egress(name, &uplink.device, attachment)),
            }
        }
        findings.extend(detours(name, attachment));
    }
    findings.extend(silent(facts));
    findings.extend(lan(config, facts, &uplinks));
    findings.extend(names(config, facts));
    findings.extend(house(facts));
    findings
}

/// A cache that asks a dead line's name servers after a switch.
fn names(config: &Config, facts: &Facts) -> Option<Finding> {
    let strays = |reader: &&Reader| reader.follows == Follows::No;
    let reader = facts.readers.iter().find(strays).filter(|_| facts.running)?;
    let file = config.run_dir.join("resolv.conf");
    Some(Finding::note(
        format!("{} does not ask the name servers of the uplink in use", reader.program),
        "After a switch it may ask those of the dead line, and the Internet looks dead although it works.",
        format!(
            "echo resolv-file={} > /etc/dnsmasq.d/sparelink.conf; systemctl restart dnsmasq\n\
             (OpenWrt: uci set dhcp.@dnsmasq[0].resolvfile={0}; uci commit dhcp; service dnsmasq restart)",
            file.display()
        ),
    ))
}

/// Two uplinks that are one interface.
fn twins(uplinks: &[(&str, Attachment)]) -> Vec<Finding> {
    let mut by_device: BTreeMap<IfIndex, (&IfName, Vec<String>)> = BTreeMap::new();
    for (name, attachment) in uplinks {
        if let Some((index, dev)) = &attachment.link {
            by_device.entry(*index).or_insert((dev, Vec::new())).1.push((*name).to_owned());
        }
    }
    let several = by_device.into_values().filter(|(_, names)| names.len() > 1);
    several
        .map(|(dev, names)| {
            Finding::wrong(
                format!("{} are the same interface, {dev}", listed(&names)),
                "If it dies, both are gone: one cannot stand in for the other.",
                "let each [[uplink]] match an interface of its own",
            )
        })
        .collect()
}

/// Routes that would take traffic over an uplink whatever is active.
fn detours(name: &str, attachment: &Attachment) -> Option<Finding> {
    let first = attachment.detours.first()?;
    let (_, dev) = attachment.link.as_ref()?;
    let count = attachment.detours.len();
    Some(Finding::note(
        format!(
            "{name}: `main` has routes by {dev} that are ignored, such as {first} ({count} in all)"
        ),
        "They would take traffic over it whatever is active; sparelink alone chooses between uplinks.",
        "if its DHCP server hands them out, tell the DHCP client to take no classless routes (option 121)",
    ))
}

/// netifd may know a gateway that the kernel was not given.
fn lacks_metric(name: &str, device: &DeviceMatch, place: usize) -> Finding {
    Finding::wrong(
        format!("{name}: no gateway is known"),
        "netifd gives the kernel one default route of all networks with the same metric, and does not answer over ubus.",
        format!(
            "give it a metric of its own: {}",
            network::own_metric(device.network.as_deref(), place)
        ),
    )
}

/// netifd has tried, and says why it could not.
fn refuses(name: &str, hindrance: &str) -> Finding {
    Finding::wrong(
        format!("{name} {hindrance}"),
        "It is tried again, and used as soon as it has an address.",
        "ifstatus NETWORK has the whole answer, logread what was tried; are name, password and PIN right?",
    )
}

/// netifd is there, and does not say what it knows.
fn silent(facts: &Facts) -> Option<Finding> {
    facts.view.netifd_is_silent.then(|| {
        Finding::note(
            "netifd does not answer over ubus",
            "Gateways, prefixes and resolvers are then what the kernel has of them, and reasons are guessed.",
            "is it running (service network status), and may the agent's user ask it (/usr/share/acl.d/sparelink.json)?",
        )
    })
}

/// What an uplink lacks.
fn egress(name: &str, device: &DeviceMatch, attachment: &Attachment) -> Option<Finding> {
    let dev = attachment.link.as_ref().map_or("", |(_, dev)| dev.as_str());
    match attachment.fault? {
        Condition::Absent => {
            let which = device.interface.as_ref();
            let what = which.map_or_else(
                || format!("{name}: no interface fits"),
                |dev| format!("{name}: there is no interface {dev}"),
            );
            let why =
                "It is waited for: it may be a stick that is not plugged in, or a wrong name.";
            Some(Finding::note(what, why, "compare the configuration with `ip link`"))
        }
        Condition::NoCarrier => Some(Finding::note(
            format!("{name}: nothing is connected to {dev}"),
            "It is used as soon as there is.",
            "plug the cable in, or switch the other end on",
        )),
        Condition::SwitchedOff => Some(Finding::note(
            format!("{name}: {dev} is switched off"),
            "Somebody has taken the interface down; it is used as soon as it is up.",
            format!(
                "ip link set {dev} up, or as its network manager has it: nmcli device connect {dev}, ifup"
            ),
        )),
        Condition::NoNetwork => {
            let network = device.network.as_deref().unwrap_or_default();
            Some(Finding::wrong(
                format!("{name}: netifd knows no network {network}"),
                "It is misspelled, disabled, or this box has no netifd.",
                "uci show network lists them; on other boxes name the interface instead: interface = \"eth1\"",
            ))
        }
        Condition::Pending => Some(Finding::note(
            format!("{name}: {dev} waits for an address"),
            "Its network manager has asked, and nobody has answered yet.",
            "if it takes long: is the modem on, are name and password of the dial-in right?",
        )),
        Condition::NoAddress => Some(Finding::wrong(
            format!("{name}: {dev} has no address"),
            "Nothing can be sent on it.",
            "let the system ask for one on it by DHCP, or give it one",
        )),
        Condition::InVrf => Some(Finding::wrong(
            format!("{name}: {dev} belongs to a VRF"),
            "Its routes are in a table that neither the box nor the LAN looks into, so it is no way out.",
            format!("ip link set {dev} nomaster"),
        )),
        Condition::NoGateway => Some(Finding::wrong(
            format!("{name}: {dev} has an address, but no gateway is known"),
            "Nothing beyond its own subnet can be reached on it.",
            format!(
                "let DHCP set a default route on {dev} (any metric will do), or write the modem's\n\
                 address into the configuration: gateway = \"…\""
            ),
        )),
        Condition::Ok
        | Condition::Degraded
        | Condition::NoWeb
        | Condition::Portal
        | Condition::DnsBroken
        | Condition::Barred
        | Condition::ResolversSilent
        | Condition::OverlapsLan
        | Condition::BeyondModem
        | Condition::ModemSilent => None,
    }
}

fn lan(config: &Config, facts: &Facts, uplinks: &[(&str, Attachment)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for dev in config.lan.iter().flat_map(|lan| &lan.interfaces) {
        let Some(link) = facts.view.links.values().find(|link| link.name == *dev) else {
            findings.push(Finding::wrong(
                format!("there is no LAN interface {dev}"),
                "No client can be served on it.",
                "compare [lan] interfaces with `ip link`",
            ));
            continue;
        };
        findings.extend(is_uplink(link, uplinks));
        findings.extend(overlap(link, facts, uplinks));
        findings.extend(nobody(link, facts));
    }
    findings
}

/// A LAN in which nobody has been seen: its machines may be in the provider's own Wi-Fi still.
fn nobody(link: &Link, facts: &Facts) -> Option<Finding> {
    let seen = facts.neighbours.get(link.name.as_str()).is_some_and(|count| *count > 0);
    (facts.running && !seen).then(|| {
        Finding::note(
            format!("no machine has been seen in the LAN on {}", link.name),
            "What is connected to the provider's own box or Wi-Fi goes past this one, and no failover helps it.",
            "connect your switch or access point to it, and turn the Wi-Fi of the provider's box off",
        )
    })
}

fn is_uplink(link: &Link, uplinks: &[(&str, Attachment)]) -> Option<Finding> {
    let same = |(_, a): &&(&str, Attachment)| a.link.as_ref().is_some_and(|l| l.0 == link.index);
    let (name, _) = uplinks.iter().find(same)?;
    Some(Finding::wrong(
        format!("{} is both the LAN and the uplink {name}", link.name),
        "An uplink's packets are masqueraded and guarded; the LAN's must not be.",
        "take it out of one of the two",
    ))
}

/// A subnet that stands on both sides.
fn overlap(link: &Link, facts: &Facts, uplinks: &[(&str, Attachment)]) -> Option<Finding> {
    let own = facts.view.addresses.iter().filter(|a| a.index == link.index && a.global);
    let own: Vec<IpNet> = own.map(|a| a.net.trunc()).collect();
    let meets =
        |net: &IpNet| own.iter().find(|lan| lan.contains(net) || net.contains(*lan)).copied();
    let (name, theirs, ours) = uplinks
        .iter()
        .filter(|(_, a)| a.link.as_ref().is_some_and(|(index, _)| *index != link.index))
        .find_map(|(name, a)| {
            a.near.iter().find_map(|net| meets(net).map(|ours| (name, *net, ours)))
        })?;
    Some(Finding::wrong(
        format!("{name} has the subnet {theirs}, and the LAN on {} has {ours}", link.name),
        "An address in both cannot be told apart, so the uplink is not used and the LAN keeps the subnet.",
        "give the LAN another subnet, such as 192.168.77.0/24, or the modem",
    ))
}

fn house(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for directory in &facts.directories {
        let Some(error) = &directory.error else { continue };
        let path = directory.path.display();
        findings.push(Finding::wrong(
            format!("{path} cannot be written to: {error}"),
            format!("It is where the agent keeps {}.", directory.purpose),
            format!(
                "mkdir -p {path}, as the agent's user; or name another one in the configuration"
            ),
        ));
    }
    if !facts.clock_set {
        findings.push(Finding::note(
            "the clock has not been set",
            "Everything works; only the times in the history are unknown until it is.",
            "",
        ));
    }
    findings
}
