//! The dataplane as text: what `ip`, `sysctl` and `nft -f` would be told to make it.
//!
//! Nothing in sparelink reads this text; people do, and tests feed it to the tools.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ipnet::IpNet;

use super::diff::Change;
use super::nft::{
    AddressType, Chain, ChainKind, CtState, Hook, HookPoint, Key, KeyPart, KeyType, Sense, Set,
    Stmt, Table, Value, ValueType, Verdict,
};
use super::{Dataplane, Route, Rule, RuleAction, Sysctl};
use crate::units::{Family, Fwmark, IfIndex, IfName, NFT_TABLE, PROTOCOL, TableId};

/// Interface names by index.
pub type Names = BTreeMap<IfIndex, IfName>;

/// The whole dataplane, part by part, each under a comment that names its tool.
#[must_use]
pub fn dataplane(desired: &Dataplane, names: &Names) -> String {
    let mut text = String::new();
    section(
        &mut text,
        "sysctl",
        desired.sysctls.iter().map(|(path, desired)| desired_sysctl(path, desired)),
    );
    section(&mut text, "ip rule", desired.rules.iter().map(|r| format!("ip {}", rule("add", r))));
    let routes = desired.routes.iter().map(|r| format!("ip {}", route("replace", r, names)));
    section(&mut text, "ip route", routes);
    if !desired.nft.name.is_empty() {
        section(&mut text, "nft -f", [table(&desired.nft)]);
    }
    text
}

/// One write to the kernel, as the command that does it.
#[must_use]
pub fn change(change: &Change, names: &Names) -> String {
    match change {
        Change::SetSysctl { path, value } => sysctl(path, value),
        Change::ReplaceRoute(r) => format!("ip {}", route("replace", r, names)),
        Change::DelRoute(r) => format!("ip {}", route("del", r, names)),
        Change::AddRule(r) => format!("ip {}", rule("add", r)),
        Change::DelRule(r) => format!("ip {}", rule("del", r)),
        Change::BuildTable(t) if t.name.is_empty() => format!("nft delete table inet {NFT_TABLE}"),
        Change::BuildTable(t) => format!("nft build table inet {} ({:016x})", t.name, t.digest()),
        Change::Elements { set, add, del } => {
            let del: Vec<_> = del.iter().map(key).collect();
            let add: Vec<_> = add.iter().map(|(k, v)| element(k, v.as_ref())).collect();
            let line = |verb: &str, items: &[String]| {
                format!("nft {verb} element inet {} {set} {{ {} }}", NFT_TABLE, items.join(", "))
            };
            let lines = [("delete", del), ("add", add)].into_iter().filter(|(_, i)| !i.is_empty());
            lines.map(|(verb, items)| line(verb, &items)).collect::<Vec<_>>().join("\n")
        }
    }
}

/// A value under `/proc/sys`. Interface names may hold dots, and then the path keeps its slashes.
#[must_use]
pub fn sysctl(path: &str, value: &str) -> String {
    let name = if path.contains('.') { path.to_owned() } else { path.replace('/', ".") };
    let quote = if value.contains(char::is_whitespace) { "\"" } else { "" };
    format!("sysctl -w {quote}{name}={value}{quote}")
}

/// A value under `/proc/sys` that is desired, with the condition it hangs on.
fn desired_sysctl(path: &str, desired: &Sysctl) -> String {
    let line = sysctl(path, &desired.value);
    match (&desired.only_from, &desired.beside) {
        (Some(from), Some(_)) => format!("{line}  # only if it, or that of all, makes it {from}"),
        (Some(from), None) => format!("{line}  # only if it is {from}"),
        (None, _) => line,
    }
}

/// A policy rule, after `ip`.
#[must_use]
pub fn rule(verb: &str, rule: &Rule) -> String {
    let (flag, pref) = (family_flag(rule.family), rule.priority.0);
    let mut text = format!("{flag} rule {verb} pref {pref} {}", rule.selector);
    match rule.then {
        RuleAction::LookUp(table) => push(&mut text, format_args!("lookup {}", table_name(table))),
        RuleAction::GoTo(priority) => push(&mut text, format_args!("goto {}", priority.0)),
        RuleAction::Prohibit => text += "prohibit",
    }
    if let Some(length) = rule.suppress_prefixlength {
        push(&mut text, format_args!(" suppress_prefixlength {length}"));
    }
    push(&mut text, format_args!(" protocol {PROTOCOL}"));
    text
}

/// A route, after `ip`.
#[must_use]
pub fn route(verb: &str, route: &Route, names: &Names) -> String {
    let mut text = format!("{} route {verb} ", family_flag(route.family));
    if route.dst.prefix_len() == 0 {
        text += "default";
    } else {
        push(&mut text, format_args!("{}", route.dst));
    }
    if let Some(via) = route.via {
        push(&mut text, format_args!(" via {via}"));
    }
    match names.get(&route.dev) {
        Some(name) => push(&mut text, format_args!(" dev {name}")),
        // `ip` takes this form for an interface without a name that it knows.
        None => push(&mut text, format_args!(" dev if{}", route.dev.0)),
    }
    push(&mut text, format_args!(" table {} metric {}", table_name(route.table), route.metric.0));
    if let Some(mtu) = route.mtu {
        push(&mut text, format_args!(" mtu {mtu}"));
    }
    if let Some(source) = route.prefsrc {
        push(&mut text, format_args!(" src {source}"));
    }
    if route.onlink {
        text += " onlink";
    }
    push(&mut text, format_args!(" proto {PROTOCOL}"));
    text
}

/// A table in the language of `nft -f`, replacing one that is there.
#[must_use]
pub fn table(table: &Table) -> String {
    let name = &table.name;
    let mut text =
        format!("add table inet {name}\ndelete table inet {name}\ntable inet {name} {{\n");
    for counter in &table.counters {
        push(&mut text, format_args!("\tcounter {counter} {{ }}\n"));
    }
    for (name, set) in &table.sets {
        text += &set_block(name, set);
    }
    for chain in &table.chains {
        text += &chain_block(chain);
    }
    text + "}"
}

/// Writing to a `String` can not fail.
fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(arguments);
}

fn section(text: &mut String, tool: &str, lines: impl IntoIterator<Item = String>) {
    let mut lines = lines.into_iter().peekable();
    if lines.peek().is_some() {
        let gap = if text.is_empty() { "" } else { "\n" };
        push(text, format_args!("{gap}# {tool}\n"));
    }
    for line in lines {
        push(text, format_args!("{line}\n"));
    }
}

const fn family_flag(family: Family) -> &'static str {
    match family {
        Family::V4 => "-4",
        Family::V6 => "-6",
    }
}

fn table_name(table: TableId) -> String {
    if table == TableId::MAIN { "main".to_owned() } else { table.to_string() }
}

fn set_block(name: &str, set: &Set) -> String {
    let types: Vec<_> = set.key.iter().map(|k| key_type(*k)).collect();
    let types = types.join(" . ");
    let (word, of) = match set.maps_to {
        None => ("set", format!("type {types}")),
        Some(ValueType::Verdict) => ("map", format!("type {types} : verdict")),
        // A number without a name of its own is named by where it stands in a packet.
        Some(ValueType::Mss) => ("map", "typeof iifname : tcp option maxseg size".to_owned()),
        Some(ValueType::Address(Family::V4)) => ("map", format!("type {types} : ipv4_addr")),
        Some(ValueType::Address(Family::V6)) => ("map", format!("type {types} : ipv6_addr")),
    };
    let mut text = format!("\t{word} {name} {{\n\t\t{of}\n");
    if set.interval {
        text += "\t\tflags interval\n";
    }
    if let Some(seconds) = set.timeout {
        push(&mut text, format_args!("\t\ttimeout {seconds}s\n"));
    }
    if !set.elements.is_empty() {
        let elements: Vec<_> = set.elements.iter().map(|(k, v)| element(k, v.as_ref())).collect();
        push(&mut text, format_args!("\t\telements = {{ {} }}\n", elements.join(", ")));
    }
    text + "\t}\n"
}

const fn key_type(kind: KeyType) -> &'static str {
    match kind {
        KeyType::IfName => "ifname",
        KeyType::IfIndex => "iface_index",
        KeyType::Ipv4 => "ipv4_addr",
        KeyType::Ipv6 => "ipv6_addr",
        KeyType::Family => "nf_proto",
        KeyType::Mark => "mark",
    }
}

fn element(of: &Key, value: Option<&Value>) -> String {
    match value {
        Some(Value::Verdict(verdict)) => format!("{} : {}", key(of), verdict_text(verdict)),
        Some(Value::Mss(bytes)) => format!("{} : {bytes}", key(of)),
        Some(Value::Address(addr)) => format!("{} : {addr}", key(of)),
        None => key(of),
    }
}

fn key(key: &Key) -> String {
    let part = |part: &KeyPart| match part {
        KeyPart::IfName(name) => format!("\"{name}\""),
        KeyPart::IfIndex(index) => index.0.to_string(),
        KeyPart::Net(net) => address(net),
        KeyPart::Family(family) => family_name(*family).to_owned(),
        KeyPart::Mark(mark) => format!("{mark:#010x}"),
    };
    key.iter().map(part).collect::<Vec<_>>().join(" . ")
}

/// A prefix, or just the address if it is one.
fn address(net: &IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() {
        net.addr().to_string()
    } else {
        net.trunc().to_string()
    }
}

const fn family_name(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    }
}

/// The word in front of `saddr`.
const fn ip(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    }
}

const fn family_of(net: &IpNet) -> Family {
    match net {
        IpNet::V4(_) => Family::V4,
        IpNet::V6(_) => Family::V6,
    }
}

fn chain_block(chain: &Chain) -> String {
    let mut text = format!("\tchain {} {{\n", chain.name);
    if let Some(hook) = chain.hook {
        let kind = match hook.kind {
            ChainKind::Filter => "filter",
            ChainKind::Route => "route",
            ChainKind::Nat => "nat",
        };
        let (point, priority) = (hook_name(hook.point), priority(hook));
        push(
            &mut text,
            format_args!("\t\ttype {kind} hook {point} priority {priority}; policy accept;\n"),
        );
    }
    for rule in &chain.rules {
        push(&mut text, format_args!("\t\t{}\n", rule_text(rule)));
    }
    text + "\t}\n"
}

const fn hook_name(point: HookPoint) -> &'static str {
    match point {
        HookPoint::Prerouting => "prerouting",
        HookPoint::Input => "input",
        HookPoint::Forward => "forward",
        HookPoint::Output => "output",
        HookPoint::Postrouting => "postrouting",
    }
}

/// The priority by the name next to it; `nft` knows `dstnat` and `srcnat` only at their hooks.
fn priority(hook: Hook) -> String {
    let anchors = [
        ("raw", -300, true),
        ("mangle", -150, true),
        ("dstnat", -100, hook.point == HookPoint::Prerouting),
        ("filter", 0, true),
        ("srcnat", 100, hook.point == HookPoint::Postrouting),
    ];
    for (name, value, _) in anchors.into_iter().filter(|(_, _, known)| *known) {
        match hook.priority.saturating_sub(value) {
            0 => return name.to_owned(),
            above @ 1..=20 => return format!("{name} + {above}"),
            below @ -20..=-1 => return format!("{name} - {}", -below),
            _ => {}
        }
    }
    hook.priority.to_string()
}

fn rule_text(rule: &[Stmt]) -> String {
    let mut words = Vec::new();
    let mut protocol = "th";
    for (at, statement) in rule.iter().enumerate() {
        if let Stmt::L4proto(number) = statement {
            protocol = match number {
                6 => "tcp",
                17 => "udp",
                _ => "th",
            };
            let next = rule.get(at + 1);
            let implied = matches!(next, Some(Stmt::Dport(_) | Stmt::Sport(_))) && protocol != "th";
            if implied || (protocol == "tcp" && matches!(next, Some(Stmt::TcpFlags { .. }))) {
                continue;
            }
        }
        words.push(statement_text(statement, protocol));
    }
    words.join(" ")
}

/// One statement by itself, as `nft` writes it.
#[must_use]
pub fn statement(statement: &Stmt) -> String {
    statement_text(statement, "")
}

const fn fib_daddr(kind: AddressType) -> &'static str {
    match kind {
        AddressType::Unicast => "fib daddr type unicast fib daddr . iif type unicast",
        AddressType::Anycast => "fib daddr type anycast",
    }
}

fn statement_text(statement: &Stmt, protocol: &str) -> String {
    match statement {
        Stmt::Iifname(name) => format!("iifname \"{name}\""),
        Stmt::Oifname(name) => format!("oifname \"{name}\""),
        Stmt::IifnameIn { set, sense } => format!("iifname {}@{set}", unequal(*sense)),
        Stmt::OifnameIn { set, sense } => format!("oifname {}@{set}", unequal(*sense)),
        Stmt::OifIn(set) => format!("oif @{set}"),
        Stmt::SaddrIn { family, set, sense } => {
            format!("{} saddr {}@{set}", ip(*family), unequal(*sense))
        }
        Stmt::OifSaddrIn { family, set } => format!("oifname . {} saddr @{set}", ip(*family)),
        Stmt::DaddrIn { family, set, sense } => {
            format!("{} daddr {}@{set}", ip(*family), unequal(*sense))
        }
        Stmt::IifOifIn(set) => format!("iifname . oifname @{set}"),
        Stmt::Iifkind(kind) => format!("meta iifkind \"{kind}\""),
        Stmt::Oifkind(kind) => format!("meta oifkind \"{kind}\""),
        Stmt::IifDaddrIn { family, set } => format!("iifname . {} daddr @{set}", ip(*family)),
        Stmt::Saddr(net) => header("saddr", net),
        Stmt::Daddr(net) => header("daddr", net),
        Stmt::Nfproto(family) => format!("meta nfproto {}", family_name(*family)),
        Stmt::NfprotoIn(set) => format!("meta nfproto @{set}"),
        Stmt::L4proto(number) => format!("meta l4proto {}", protocol_name(*number)),
        Stmt::Dport(port) => format!("{protocol} dport {port}"),
        Stmt::Sport(port) => format!("{protocol} sport {port}"),
        Stmt::TcpFlags { mask, value } => {
            format!("tcp flags & {} == {}", tcp_flags(*mask), tcp_flags(*value))
        }
        Stmt::CtState(CtState::Invalid) => "ct state invalid".to_owned(),
        Stmt::CtState(CtState::Established) => "ct state established".to_owned(),
        Stmt::CtState(CtState::New) => "ct state new".to_owned(),
        Stmt::CtState(CtState::Untracked) => "ct state untracked".to_owned(),
        Stmt::CtDnat(true) => "ct status dnat".to_owned(),
        Stmt::CtDnat(false) => "ct status ! dnat".to_owned(),
        Stmt::CtReply(false) => "ct direction original".to_owned(),
        Stmt::CtReply(true) => "ct direction reply".to_owned(),
        Stmt::CtMark(mark) => mark_match("ct", *mark),
        Stmt::MetaMark(mark) => mark_match("meta", *mark),
        Stmt::MetaMarkBits(mask) => format!("meta mark & {mask:#010x} != 0"),
        Stmt::MetaMarkIn { set, sense } => format!("meta mark {}@{set}", unequal(*sense)),
        Stmt::RtIpsec => "rt ipsec exists".to_owned(),
        Stmt::FibSaddrOifLocal(true) => "fib saddr . oif type local".to_owned(),
        Stmt::FibSaddrOifLocal(false) => "fib saddr . oif type != local".to_owned(),
        Stmt::FibDaddr(kind) => fib_daddr(*kind).to_owned(),
        Stmt::OifLoopback => "oif \"lo\"".to_owned(),
        Stmt::Random { modulus, below } => format!("numgen random mod {modulus} < {below}"),
        Stmt::IifnameVmap(map) => format!("iifname vmap @{map}"),
        Stmt::OifnameVmap(map) => format!("oifname vmap @{map}"),
        Stmt::CtMarkVmap { mask, map } => format!("ct mark & {mask:#010x} vmap @{map}"),
        Stmt::SetCtMark(mark) => mark_set("ct", *mark),
        Stmt::SetMetaMark(mark) => mark_set("meta", *mark),
        Stmt::Counter(name) => format!("counter name {name}"),
        Stmt::Masquerade => "masquerade".to_owned(),
        Stmt::SnatOfOifname { family, map } => {
            format!("snat {} to oifname map @{map}", ip(*family))
        }
        Stmt::Notrack => "notrack".to_owned(),
        Stmt::RejectTcpReset => "reject with tcp reset".to_owned(),
        Stmt::RejectAdminProhibited => "reject with icmpx admin-prohibited".to_owned(),
        Stmt::MssRtMtu => "tcp option maxseg size set rt mtu".to_owned(),
        Stmt::Mss(bytes) => format!("tcp option maxseg size set {bytes}"),
        Stmt::MssOfIifname(map) => format!("tcp option maxseg size set iifname map @{map}"),
        Stmt::Redirect(port) => format!("redirect to :{port}"),
        Stmt::Dnat(to, None) => format!("dnat {} to {to}", ip(Family::of(to))),
        Stmt::Dnat(to, Some(port)) => {
            format!("dnat {} to {}", ip(Family::of(to)), std::net::SocketAddr::new(*to, *port))
        }
        Stmt::Verdict(verdict) => verdict_text(verdict),
    }
}

const fn unequal(sense: Sense) -> &'static str {
    match sense {
        Sense::Is => "",
        Sense::IsNot => "!= ",
    }
}

fn header(field: &str, net: &IpNet) -> String {
    let family = family_of(net);
    if net.prefix_len() == 0 {
        return format!("meta nfproto {}", family_name(family));
    }
    format!("{} {field} {}", ip(family), address(net))
}

fn protocol_name(number: u8) -> String {
    match number {
        1 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        58 => "ipv6-icmp".to_owned(),
        other => other.to_string(),
    }
}

fn tcp_flags(bits: u8) -> String {
    let names = ["fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"];
    let set = names.iter().enumerate().filter(|(bit, _)| bits & (1 << bit) != 0);
    let set: Vec<_> = set.map(|(_, name)| *name).collect();
    match set.as_slice() {
        [] => "0x0".to_owned(),
        [one] => (*one).to_owned(),
        several => format!("({})", several.join("|")),
    }
}

fn mark_match(name: &str, Fwmark { value, mask }: Fwmark) -> String {
    if mask == u32::MAX {
        return format!("{name} mark {value:#010x}");
    }
    format!("{name} mark & {mask:#010x} == {value:#010x}")
}

fn mark_set(name: &str, Fwmark { value, mask }: Fwmark) -> String {
    if mask == u32::MAX {
        return format!("{name} mark set {value:#010x}");
    }
    format!("{name} mark set {name} mark & {:#010x} | {:#010x}", !mask, value & mask)
}

fn verdict_text(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Accept => "accept".to_owned(),
        Verdict::Drop => "drop".to_owned(),
        Verdict::Return => "return".to_owned(),
        Verdict::Jump(chain) => format!("jump {chain}"),
        Verdict::Goto(chain) => format!("goto {chain}"),
    }
}

#[cfg(test)]
mod tests;
