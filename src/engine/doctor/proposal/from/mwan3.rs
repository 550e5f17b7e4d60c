//! OpenWrt's mwan3: its interfaces in the order of the policy for everything.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::network::{Carrier, carrier};
use super::said::{File, Names, Said, Way, device, is_out_there, word, words};
use crate::config::uci::{self, Document, Section};
use crate::config::{TARGETS, TARGETS6};
use crate::engine::doctor::proposal::nature::Nature;
use crate::units::Family;

/// How silence is judged there.
const DETECTION: [&str; 18] = [
    "track_method",
    "reliability",
    "count",
    "size",
    "max_ttl",
    "timeout",
    "interval",
    "failure_interval",
    "recovery_interval",
    "keep_failure_interval",
    "failure_latency",
    "recovery_latency",
    "failure_loss",
    "recovery_loss",
    "check_quality",
    "down",
    "up",
    "httping_ssl",
];
/// Options of an interface that are taken over, or told elsewhere.
const TAKEN: [&str; 3] = ["enabled", "family", "track_ip"];
/// Options that make a rule one for some traffic only.
const NARROW: [&str; 6] = ["src_ip", "src_port", "dest_port", "dest_ip", "ipset", "src_iface"];
/// Policies that mwan3 has without a section.
const BUILT_IN: [&str; 3] = ["default", "unreachable", "blackhole"];
/// So many targets are no matter of one operator.
const ENOUGH: usize = 3;
/// The most targets that the checker takes.
const MOST_TARGETS: usize = 8;

/// An interface of mwan3, or two that are one device: the first speaks for both.
struct Line<'d> {
    sections: Vec<&'d Section>,
    carrier: Carrier,
}

impl Line<'_> {
    fn is_enabled(&self) -> bool {
        self.sections.iter().any(|section| is_enabled(section))
    }

    fn name(&self) -> &str {
        self.sections.first().map_or("", |section| section.name())
    }
}

/// Off unless it says otherwise.
fn is_enabled(section: &Section) -> bool {
    section.flag("enabled") == Some(true)
}

/// What mwan3's configuration comes to. `network` is netifd's, which knows devices and metrics.
#[must_use]
pub fn translate(file: &File, network: Option<&File>) -> Said {
    let mut said = Said::default();
    let document = read(file, &mut said);
    let network = network.map(|network| read(network, &mut said));
    let mut lines = lines(&document, network.as_ref(), file, &mut said);
    for line in lines.iter().filter(|line| !line.is_enabled()) {
        said.kept_out.insert(line.carrier.device.clone());
        let what = "it is not enabled there, and left out";
        said.drop(file, &format!("interface {}", line.name()), what);
    }
    lines.retain(Line::is_enabled);
    sort(&mut lines, &document, file, &mut said);
    let mut names = Names::default();
    said.uplinks = lines
        .iter()
        .map(|line| Way {
            name: names.fit(line.name(), "uplink"),
            interface: Some(line.carrier.device.clone()),
            mac: None,
            nature: line.carrier.nature,
            metered: None,
            resolvers: Vec::new(),
        })
        .collect();
    targets(&lines, file, &mut said);
    for section in lines.iter().flat_map(|line| &line.sections) {
        options(section, file, &mut said);
    }
    traffic(&document, file, &mut said);
    said
}

fn read(file: &File, said: &mut Said) -> Document {
    let document = uci::read(&file.text);
    for mistake in &document.mistakes {
        let place = format!("{}:{}", mistake.line, mistake.column);
        said.dropped.push(format!("{}:{place}: {}", file.path, mistake.text));
    }
    document
}

/// What a section is called in a message.
fn title(section: &Section) -> String {
    let kind = &section.kind.text;
    if section.name().is_empty() {
        format!("{kind} in line {}", section.kind.line)
    } else {
        format!("{kind} {}", section.name())
    }
}

/// The interfaces with their devices. `wan` and `wan6` on one device are one line.
fn lines<'d>(
    document: &'d Document,
    network: Option<&Document>,
    file: &File,
    said: &mut Said,
) -> Vec<Line<'d>> {
    let mut lines: Vec<Line<'_>> = Vec::new();
    let mut seen = BTreeSet::new();
    for section in document.of_kind("interface").filter(|section| !section.name().is_empty()) {
        let name = section.name();
        let twin = name.strip_suffix('6').filter(|_| network.is_none());
        let twin = twin.filter(|twin| document.named("interface", twin).is_some());
        let carrier = match network {
            Some(network) => carrier(network, name),
            None => by_name(twin.unwrap_or(name)),
        };
        match carrier {
            Ok(carrier) if seen.insert(carrier.device.clone()) => {
                lines.push(Line { sections: vec![section], carrier });
            }
            Ok(carrier) => {
                let same = |line: &&mut Line<'_>| line.carrier.device == carrier.device;
                if let Some(line) = lines.iter_mut().find(same) {
                    line.sections.push(section);
                }
            }
            Err(why) => said.drop(file, &title(section), &why),
        }
    }
    for line in lines.iter_mut().filter(|line| line.sections.len() > 1) {
        // IPv4's name is what people know it by.
        line.sections.sort_by_key(|section| section.option("family") == Some("ipv6"));
        let off = line.sections.iter().filter(|section| !is_enabled(section));
        if line.is_enabled() {
            let what = "an uplink is used for IPv4 and IPv6, as far as it has them; it cannot be off for one";
            off.for_each(|section| said.drop(file, &title(section), what));
        }
    }
    lines
}

/// Without netifd's file only the name is known.
fn by_name(name: &str) -> Result<Carrier, String> {
    let none = "there is no /etc/config/network that says which device it is";
    let device = device(name).ok_or(none)?;
    Ok(Carrier { device, nature: Nature::Ethernet, metric: 0 })
}

/// Brings the lines into the order of the policy for everything; the metrics of netifd count where it says nothing.
fn sort(lines: &mut [Line<'_>], document: &Document, file: &File, said: &mut Said) {
    let policy = policy_for_all(document, file, said);
    lines.sort_by_key(|line| line.carrier.metric);
    let Some(policy) = policy else {
        said.drop(file, "", "no policy for everything was found; the order is that of the metrics in /etc/config/network");
        return;
    };
    let members: Vec<(usize, Member<'_>)> = policy
        .list("use_member")
        .filter_map(|name| document.named("member", name))
        .map(Member::of)
        .enumerate()
        .collect();
    // IPv4's member counts, as it comes first in most files; a line that has only one of IPv6 has that.
    let place = |line: &Line<'_>| {
        let own = |section: &&Section| {
            let mine = members.iter().filter(|(_, member)| member.interface == section.name());
            mine.min_by_key(|(at, member)| (member.metric, *at))
        };
        line.sections.iter().find_map(own)
    };
    let metric = |line: &Line<'_>| place(line).map(|(_, member)| member.metric);
    lines.sort_by_key(|line| match place(line) {
        Some((at, member)) => (false, member.metric, u32::MAX - member.weight, *at),
        None => (true, 0, 0, 0),
    });
    let place = title(policy);
    for same in lines.chunk_by(|one, other| metric(one).is_some() && metric(one) == metric(other)) {
        if same.len() > 1 {
            let what = format!(
                "{} have one metric: sparelink does not balance, it uses one after the other, in this order",
                words(same.iter().map(Line::name))
            );
            said.drop(file, &place, &what);
        }
    }
    let strangers: Vec<&str> =
        lines.iter().filter(|line| metric(line).is_none()).map(Line::name).collect();
    if !strangers.is_empty() {
        let what = format!("it does not use {}, which stands last here", words(strangers));
        said.drop(file, &place, &what);
    }
    if let Some(last) = policy.option("last_resort") {
        let what = format!(
            "last_resort {}: where no uplink works, connections are refused at once",
            word(last)
        );
        said.drop(file, &place, &what);
    }
}

/// How a policy uses an interface.
struct Member<'d> {
    interface: &'d str,
    metric: u32,
    weight: u32,
}

impl<'d> Member<'d> {
    fn of(section: &'d Section) -> Self {
        let number = |key| section.option(key).and_then(|text| text.parse().ok());
        Self {
            interface: section.option("interface").unwrap_or_default(),
            metric: number("metric").unwrap_or(1),
            weight: number("weight").unwrap_or(1),
        }
    }
}

/// Whether a rule is for all traffic (of one IP version).
fn is_for_all(rule: &Section) -> bool {
    let narrow = |key: &&str| {
        rule.option(key).is_some_and(|value| !matches!(value, "0.0.0.0/0" | "::/0" | ""))
    };
    let all = rule.option("proto").is_none_or(|proto| proto == "all");
    all && !NARROW.iter().any(narrow)
}

/// Whether a rule for everything is one for IPv6 alone.
fn is_for_v6(rule: &Section) -> bool {
    rule.option("family") == Some("ipv6") || rule.option("dest_ip") == Some("::/0")
}

/// The policy of the first rule for everything, that for IPv4 before that for IPv6.
fn policy_for_all<'d>(document: &'d Document, file: &File, said: &mut Said) -> Option<&'d Section> {
    let rules = || document.of_kind("rule").filter(|rule| is_for_all(rule));
    let (v4, v6) = (rules().find(|rule| !is_for_v6(rule)), rules().find(|rule| is_for_v6(rule)));
    let rule = v4.or(v6)?;
    if let Some((v4, v6)) = v4.zip(v6)
        && v4.option("use_policy") != v6.option("use_policy")
    {
        said.drop(file, &title(v6), "there is one order for both IP versions, that of IPv4");
    }
    let name = rule.option("use_policy").unwrap_or_default();
    let policy = document.named("policy", name);
    if policy.is_none() {
        let what = if BUILT_IN.contains(&name) {
            format!("its policy {name} names no uplinks")
        } else {
            format!("there is no policy {:?}", word(name))
        };
        said.drop(file, &title(rule), &what);
    }
    policy
}

/// Whom mwan3 pings, as `[probe] targets`, which every uplink asks.
fn targets(lines: &[Line<'_>], file: &File, said: &mut Said) {
    let asked: Vec<(&Section, Vec<IpAddr>)> = lines
        .iter()
        .flat_map(|line| &line.sections)
        .map(|section| (*section, track_ips(section, file, said)))
        .collect();
    for family in Family::BOTH {
        let of = |all: &[IpAddr]| -> Vec<IpAddr> {
            all.iter().filter(|at| Family::of(at) == family).copied().collect()
        };
        let asked: Vec<(&Section, Vec<IpAddr>)> =
            asked.iter().map(|(section, all)| (*section, of(all))).collect();
        let asking = || asked.iter().filter(|(_, all)| !all.is_empty());
        let Some((_, first)) = asking().next() else { continue };
        let everywhere = |at: &IpAddr| asking().all(|(_, all)| all.contains(at));
        let mut shared: Vec<IpAddr> = first.iter().filter(|at| everywhere(at)).copied().collect();
        for (section, all) in asking() {
            let own = all.iter().filter(|at| !everywhere(at)).map(ToString::to_string);
            let own: Vec<String> = own.collect();
            if !own.is_empty() {
                let what = format!(
                    "track_ip {}: not every interface has it, and a target is asked by every uplink",
                    words(own.iter().map(String::as_str))
                );
                said.drop(file, &title(section), &what);
            }
        }
        if shared.is_empty() {
            continue;
        }
        let ours: Vec<IpAddr> = match family {
            Family::V4 => TARGETS.map(IpAddr::from).into(),
            Family::V6 => TARGETS6.map(IpAddr::from).into(),
        };
        // One server that is silent is no dead line: ours are asked as well.
        let more: Vec<IpAddr> = ours.into_iter().filter(|at| !shared.contains(at)).collect();
        let missing = ENOUGH.saturating_sub(shared.len());
        shared.extend(more.into_iter().take(missing));
        shared.truncate(MOST_TARGETS);
        *said.targets.get_mut(family) = shared;
    }
}

/// The servers that an interface pings, each once, without those that cannot be targets.
fn track_ips(section: &Section, file: &File, said: &mut Said) -> Vec<IpAddr> {
    let mut all = Vec::new();
    for text in section.list("track_ip").flat_map(str::split_whitespace) {
        match text.parse::<IpAddr>() {
            Ok(at) if !is_out_there(at) => {
                let what = format!("track_ip {at}: that it answers says nothing of the Internet");
                said.drop(file, &title(section), &what);
            }
            Ok(at) if all.contains(&at) => {}
            Ok(at) => all.push(at),
            Err(_) => {
                let what = format!("track_ip {:?}: targets are addresses", word(text));
                said.drop(file, &title(section), &what);
            }
        }
    }
    all
}

/// Tells what else is said of an interface.
fn options(section: &Section, file: &File, said: &mut Said) {
    let keys = || section.entries.iter().map(|entry| entry.key.text.as_str());
    let place = title(section);
    let detection: Vec<&str> = keys().filter(|key| DETECTION.contains(key)).collect();
    if !detection.is_empty() {
        let what = format!(
            "{}: sparelink learns by itself how long each line may be silent, and counts losses itself",
            words(detection)
        );
        said.drop(file, &place, &what);
    }
    for key in keys().filter(|key| !DETECTION.contains(key) && !TAKEN.contains(key)) {
        let why = match key {
            "flush_conntrack" => {
                "connections of a dead uplink are ended by themselves, others never"
            }
            "initial_state" => "an uplink is used once it is proven",
            _ => "there is no such setting here",
        };
        said.drop(file, &place, &format!("{}: {why}", word(key)));
    }
}

/// Tells what is said of some of the traffic, and of everything else.
fn traffic(document: &Document, file: &File, said: &mut Said) {
    let used: BTreeSet<&str> = document
        .of_kind("rule")
        .filter(|rule| is_for_all(rule))
        .filter_map(|rule| rule.option("use_policy"))
        .collect();
    for section in &document.sections {
        let what = match section.kind.text.as_str() {
            "rule" if !is_for_all(section) => "rules for some of the traffic are not there yet",
            "policy" if !used.contains(section.name()) => {
                "there is one order for all traffic; rules for some of it are not there yet"
            }
            "globals" => "sparelink has marks and tables of its own",
            "interface" if section.name().is_empty() => "it has no name",
            "interface" | "member" | "policy" | "rule" => continue,
            _ => "mwan3 has no such section",
        };
        said.drop(file, &title(section), what);
    }
}
