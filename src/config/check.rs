//! From the document to the [`Config`]: sections, defaults, and what must fit together.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::model::{
    Config, DeviceMatch, FailbackConfig, HistoryOn, HttpCheck, HttpExpect, Kind, LanConfig, Listen,
    OnReturn, PAGE_PORT, ProbeConfig, RUN_DIR, STATE_DIR, TARGETS, TARGETS6, UplinkConfig,
    WebConfig,
};
use super::notes::{Notes, Wrong};
use super::raw::{Reader, Section, plain};
use super::{address, ddns, heartbeat, leds, notify, provider, syntax, value, zone};
use crate::units::{IfName, PerFamily, UplinkId};

const DNS: &str = "example.com";
const HOLD: Duration = Duration::from_secs(60);
const HOLD_MAX: Duration = Duration::from_secs(30 * 60);
/// How long flows may stay on a metered spare after failback.
const METERED_DRAIN: Duration = Duration::from_secs(10 * 60);

/// Builds the configuration. What is wrong is noted, and then the result means nothing.
pub(super) fn config<'d>(document: &'d DeTable<'d>, notes: &'d Notes<'d>) -> Config {
    let mut root = Section::root(document, notes);
    let uplinks = chain(&mut root);
    let lan = root.section("lan", "[lan]").map(|section| lan(section, &uplinks));
    let failback = failback(root.section("failback", "[failback]"));
    let web = web(root.section("web", "[web]"), lan.as_ref());
    let probe = probe(root.section("probe", "[probe]"), &near(&uplinks, &web), notes);
    let names: Vec<&str> = uplinks.iter().map(|placed| placed.config.name.as_str()).collect();
    let leds = leds::leds(root.section("leds", "[leds]"), &names);
    let configs: Vec<&UplinkConfig> = uplinks.iter().map(|placed| &placed.config).collect();
    let notify = notify::all(root.sections("notify", "[[notify]]"), &configs);
    let heartbeat = heartbeat::heartbeat(root.section("heartbeat", "[heartbeat]"));
    let zone = zone::zone(root.section("time", "[time]"));
    let ddns = ddns::all(root.sections("ddns", "[[ddns]]"), &configs);
    let (state_dir, history) = state(root.section("state", "[state]"));
    let run_dir = directory(root.section("run", "[run]"), RUN_DIR);
    root.finish();
    let uplinks = uplinks.into_iter().map(|placed| placed.config).collect();
    Config {
        uplinks,
        lan,
        probe,
        failback,
        web,
        leds,
        notify,
        heartbeat,
        zone,
        ddns,
        state_dir,
        history,
        run_dir,
    }
}

/// An uplink with the places of what must not repeat.
struct Placed {
    /// What to call it in a message.
    label: String,
    name_at: usize,
    device_at: usize,
    prefixes_at: Vec<usize>,
    config: UplinkConfig,
}

fn chain(root: &mut Section<'_>) -> Vec<Placed> {
    const EXAMPLE: &str = "the least is: [[uplink]] name = \"cable\" interface = \"eth1\"";
    let given = root.has("uplink") || root.has(syntax::SINGLE);
    let mut sections = root.sections("uplink", "[[uplink]]");
    if root.has(syntax::SINGLE) {
        sections.extend(root.sections(syntax::SINGLE, "[[uplink]]"));
        sections.sort_by_key(Section::at);
    }
    let is_empty = !given || root.value("uplink").is_some_and(is_empty_array);
    if is_empty && !root.notes().is_broken() {
        root.notes().push(root.at(), "there is no uplink", EXAMPLE);
    }
    let max = usize::from(UplinkId::MAX);
    if let Some(surplus) = sections.get(max) {
        let text = format!("these are {} uplinks, and there can be {max}", sections.len());
        surplus.notes().push(surplus.at(), text, "leave out the last ones");
    }
    let mut chain: Vec<Placed> = Vec::new();
    for section in sections.into_iter().take(max) {
        let notes = section.notes();
        let new = uplink(section, chain.len() + 1);
        for old in &chain {
            if !new.config.name.is_empty() && old.config.name == new.config.name {
                let text = format!("name: there is an uplink {} above already", new.config.name);
                notes.push(new.name_at, text, "every uplink needs a name of its own");
            }
            if overlaps(&old.config.device, &new.config.device) {
                let text = format!("this interface is {} already", old.label);
                let hint = "an interface is one uplink; two Wi-Fi networks on it differ by \
                            match = { ssid = \"…\" }";
                notes.push(new.device_at, text, hint);
            }
            routed_twice(old, &new, notes);
        }
        chain.push(new);
    }
    chain
}

/// A subnet that two providers route to the box: nobody could say by whom an answer has to go.
fn routed_twice(old: &Placed, new: &Placed, notes: &Notes<'_>) {
    for (net, at) in new.config.prefixes.iter().zip(&new.prefixes_at) {
        let same = |other: &&IpNet| net.contains(*other) || other.contains(net);
        if let Some(theirs) = old.config.prefixes.iter().find(same) {
            let text = format!("prefixes: {net} overlaps {theirs} of {}", old.label);
            let hint = "a subnet belongs to the uplink whose provider routes it to this box";
            notes.push(*at, text, hint);
        }
    }
}

fn is_empty_array(value: &Spanned<DeValue<'_>>) -> bool {
    value.get_ref().as_array().is_some_and(|array| array.is_empty())
}

/// Whether one interface surely is both: they share something and nothing tells them apart.
fn overlaps(a: &DeviceMatch, b: &DeviceMatch) -> bool {
    fn same<T: PartialEq>(a: Option<&T>, b: Option<&T>) -> Option<bool> {
        Some(a? == b?)
    }
    let pairs = [
        same(a.interface.as_ref(), b.interface.as_ref()),
        same(a.usb_path.as_ref(), b.usb_path.as_ref()),
        same(a.driver.as_ref(), b.driver.as_ref()),
        same(a.mac.as_ref(), b.mac.as_ref()),
        same(a.ssid.as_ref(), b.ssid.as_ref()),
        same(a.network.as_ref(), b.network.as_ref()),
    ];
    let unique = [pairs[0], pairs[1], pairs[3], pairs[5]].contains(&Some(true));
    (unique || (a == b && pairs.contains(&Some(true)))) && !pairs.contains(&Some(false))
}

fn uplink(mut section: Section<'_>, number: usize) -> Placed {
    let at = section.at();
    let name = section.read("name", value::uplink_name);
    if !section.has_like("name") {
        section.missing("this uplink has no name", "add name = \"cable\"");
    }
    let interface = section.read("interface", value::interface);
    let device_at = interface.as_ref().map_or(at, |interface| interface.span().start);
    let mut device = device(&mut section, interface.map(Spanned::into_inner));
    if let Some(network) = section.read("network", value::network) {
        if device.interface.is_some() {
            let text = "network: this uplink has an interface as well";
            let hint = "name one: the interface, or the network whose interface netifd knows";
            section.notes().push(network.span().start, text, hint);
        }
        device.network = Some(network.into_inner());
    }
    let prefixes = section.list("prefixes", address::routed);
    let prefixes_at = prefixes.iter().flatten().map(|net| net.span().start).collect();
    let metered = section.read_or("metered", value::flag, false);
    let on_return = if metered { OnReturn::DrainFor(METERED_DRAIN) } else { OnReturn::Drain };
    let config = UplinkConfig {
        name: name.as_ref().map(|name| name.get_ref().clone()).unwrap_or_default(),
        device,
        kind: section.read_or("kind", value::kind, Kind::default()),
        metered,
        gateway: PerFamily {
            v4: section.read("gateway", address::gateway4).map(Spanned::into_inner),
            v6: section.read("gateway6", address::gateway6).map(Spanned::into_inner),
        },
        resolvers: plain(section.list("resolvers", address::resolver)),
        prefixes: plain(prefixes),
        prefixes6: plain(section.list("prefixes6", address::prefix6)),
        keep_routes: plain(section.list("keep_routes", address::host)),
        on_return: section.read_or("on_return", value::on_return, on_return),
        window: section.read("window", value::window).map(Spanned::into_inner),
        provider: provider::provider(&mut section),
    };
    section.finish();
    let label = name.as_ref().map_or_else(
        || format!("uplink number {number}"),
        |name| format!("uplink {}", name.get_ref()),
    );
    Placed {
        label,
        name_at: name.map_or(at, |name| name.span().start),
        device_at,
        prefixes_at,
        config,
    }
}

fn device(section: &mut Section<'_>, interface: Option<IfName>) -> DeviceMatch {
    let mut device = DeviceMatch { interface, ..DeviceMatch::default() };
    if let Some(mut given) = section.section("match", "match = { usb_path = \"1-1.3\" }") {
        device.usb_path = given.read("usb_path", value::usb_path).map(Spanned::into_inner);
        device.driver = given.read("driver", value::driver).map(Spanned::into_inner);
        device.mac = given.read("mac", value::mac).map(Spanned::into_inner);
        device.ssid = given.read("ssid", value::ssid).map(Spanned::into_inner);
        if given.is_empty() {
            let hint = "give usb_path, driver, mac or ssid";
            given.missing("match: there is nothing to match", hint);
        }
        given.finish();
    } else if !["interface", "network"].iter().any(|key| section.has_like(key))
        && !section.has("match")
    {
        let hint = "add interface = \"eth1\", or match = { usb_path = \"1-1.3\" } for a device that changes its name";
        section.missing("this uplink has no interface", hint);
    }
    device
}

fn lan(mut section: Section<'_>, uplinks: &[Placed]) -> LanConfig {
    const HINT: &str = "for example interfaces = [\"br-lan\"]; without [lan] only the box's own \
                        traffic is steered";
    let interfaces = section.list("interfaces", value::interface);
    if !section.has_like("interfaces") {
        section.missing("[lan] has no interfaces", HINT);
    } else if section.value("interfaces").is_some_and(is_empty_array) {
        section.missing("interfaces: this list is empty", HINT);
    }
    for interface in interfaces.iter().flatten() {
        let taken = uplinks
            .iter()
            .find(|uplink| uplink.config.device.interface.as_ref() == Some(interface.get_ref()));
        if let Some(Placed { config, .. }) = taken {
            let text = format!("interfaces: {} is uplink {:?}", interface.get_ref(), config.name);
            let hint = "an interface leads either to the LAN or out";
            section.notes().push(interface.span().start, text, hint);
        }
    }
    let lan = LanConfig {
        interfaces: plain(interfaces),
        guard: section.read_or("guard", value::flag, true),
        announce: section.read_or("announce", value::flag, false),
    };
    section.finish();
    lan
}

/// The addresses in the file that are here and not out there: modems and the box itself, and what to call
/// them. That such a one answers says nothing of the Internet.
fn near(uplinks: &[Placed], web: &WebConfig) -> Vec<(IpAddr, String)> {
    let gateways = uplinks.iter().flat_map(|uplink| {
        let gateways = uplink.config.gateway.iter().filter_map(|(_, gateway)| *gateway);
        gateways.map(|gateway| (gateway, format!("the gateway of {}", uplink.label)))
    });
    let own = web.listen.iter().filter_map(|listen| match listen {
        Listen::Addr(addr) => Some((addr.ip(), "this box, where its page is".to_owned())),
        Listen::Lan(_) => None,
    });
    gateways.chain(own).collect()
}

fn probe(
    section: Option<Section<'_>>,
    near: &[(IpAddr, String)],
    notes: &Notes<'_>,
) -> ProbeConfig {
    let default = ProbeConfig {
        targets: PerFamily {
            v4: TARGETS.map(IpAddr::from).to_vec(),
            v6: TARGETS6.map(IpAddr::from).to_vec(),
        },
        dns: Some(DNS.to_owned()),
        http: default_http(),
        window: None,
    };
    let Some(mut section) = section else {
        return default;
    };
    let probe = ProbeConfig {
        targets: PerFamily {
            v4: targets(&mut section, "targets", address::target4, near, default.targets.v4),
            v6: targets(&mut section, "targets6", address::target6, near, default.targets.v6),
        },
        dns: section.read_or("dns", address::dns, default.dns),
        http: http(&mut section, notes).unwrap_or(default.http),
        window: section.read("window", value::window).map(Spanned::into_inner),
    };
    section.finish();
    probe
}

fn targets(
    section: &mut Section<'_>,
    key: &'static str,
    reader: Reader<IpAddr>,
    near: &[(IpAddr, String)],
    default: Vec<IpAddr>,
) -> Vec<IpAddr> {
    /// A burst asks them all every 50 ms.
    const MAX_TARGETS: usize = 8;
    let at = section.value(key).map(|value| (value.span().start, is_empty_array(value)));
    let given = section.list(key, reader);
    let Some((at, is_empty)) = at else {
        return default;
    };
    for target in given.iter().flatten() {
        if let Some((ip, what)) = near.iter().find(|(ip, _)| ip == target.get_ref()) {
            let text = format!("{key}: {ip} is {what}, and says nothing of the Internet");
            section.notes().push(
                target.span().start,
                text,
                "give the address of a machine out there",
            );
        }
    }
    let targets = plain(given);
    if is_empty {
        let hint = "leave the line out for the default targets; three operators are best";
        section.notes().push(at, format!("{key}: this list is empty"), hint);
    } else if targets.len() > MAX_TARGETS {
        let text = format!("{key}: these are more than {MAX_TARGETS}");
        section.notes().push(at, text, "three, of different operators, are best");
    }
    targets
}

fn default_http() -> Vec<HttpCheck> {
    let check = |host: &str, path: &str, expect| HttpCheck {
        host: host.to_owned(),
        port: 80,
        path: path.to_owned(),
        expect,
    };
    vec![
        check("connectivitycheck.gstatic.com", "/generate_204", HttpExpect::Status(204)),
        check("detectportal.firefox.com", "/success.txt", HttpExpect::Body("success".to_owned())),
    ]
}

/// The HTTP checks as given; `None` if they are not. `http = false` is none at all.
fn http(section: &mut Section<'_>, notes: &Notes<'_>) -> Option<Vec<HttpCheck>> {
    /// Any one passes, so more would only be traffic.
    const MAX_CHECKS: usize = 8;
    const EXAMPLE: &str = "http = [{ url = \"http://HOST/PATH\", status = 204 }]";
    let value = section.value("http")?;
    let at = value.span().start;
    match value.get_ref() {
        DeValue::Boolean(false) => return Some(Vec::new()),
        DeValue::Boolean(true) => {
            let hint = "leave the line out for the default checks, or write http = false";
            section.wrong("http", at, Wrong::new("true is not a list of checks", hint));
        }
        DeValue::Array(array) if array.is_empty() => {
            let hint = "http = false turns this proof off";
            section.wrong("http", at, Wrong::new("this list is empty", hint));
        }
        DeValue::Array(array) if array.len() > MAX_CHECKS => {
            let text = format!("these are more than {MAX_CHECKS}");
            section.wrong("http", at, Wrong::new(text, "two are enough"));
        }
        DeValue::Array(_) => {
            let checks = section.sections("http", "an http check");
            return Some(checks.into_iter().filter_map(http_check).collect());
        }
        other @ (DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Datetime(_)
        | DeValue::Table(_)) => {
            let wrong = Wrong::kind(other, "a list of checks, or false", EXAMPLE);
            notes.push(at, format!("http: {}", wrong.text), wrong.hint);
        }
    }
    None
}

fn http_check(mut section: Section<'_>) -> Option<HttpCheck> {
    const HINT: &str = "give what the answer must be: status = 204, or body = \"success\"";
    let url = section.read("url", address::http_url);
    if !section.has_like("url") {
        section.missing("http: this check has no url", "add url = \"http://HOST/PATH\"");
    }
    let status = section.read("status", address::http_status).map(Spanned::into_inner);
    let body = section.read("body", address::http_body).map(Spanned::into_inner);
    match (section.has("status"), section.has("body")) {
        (true, true) => section.missing("http: this check has both status and body", HINT),
        (false, false) => section.missing("http: this check has neither status nor body", HINT),
        (true, false) | (false, true) => {}
    }
    section.finish();
    let expect = status.map(HttpExpect::Status).or(body.map(HttpExpect::Body))?;
    let (host, port, path) = url?.into_inner();
    Some(HttpCheck { host, port, path, expect })
}

fn failback(section: Option<Section<'_>>) -> FailbackConfig {
    let Some(mut section) = section else {
        return FailbackConfig { hold: HOLD, hold_max: HOLD_MAX };
    };
    let hold = section.read("hold", value::duration);
    let hold_max = section.read("hold_max", value::duration);
    let config = FailbackConfig {
        hold: hold.as_ref().map_or(HOLD, |hold| *hold.get_ref()),
        hold_max: hold_max.as_ref().map_or(HOLD_MAX, |max| *max.get_ref()),
    };
    let (long, short) = (value::written(config.hold), value::written(config.hold_max));
    match (hold, hold_max) {
        _ if config.hold <= config.hold_max => {}
        (Some(hold), None) if !section.has("hold_max") => {
            let text = format!("hold: {long} is longer than hold_max, which is {short}");
            let hint = format!("add hold_max = \"{long}\" or more");
            section.notes().push(hold.span().start, text, hint);
        }
        (_, Some(max)) => {
            let text = format!("hold_max: {short} is shorter than hold, which is {long}");
            section.notes().push(max.span().start, text, format!("make it \"{long}\" or more"));
        }
        // One of them is wrong anyway.
        (_, None) => {}
    }
    section.finish();
    config
}

fn web(section: Option<Section<'_>>, lan: Option<&LanConfig>) -> WebConfig {
    let default = if lan.is_some() { vec![Listen::Lan(PAGE_PORT)] } else { Vec::new() };
    let Some(mut section) = section else {
        return WebConfig { listen: default, ..WebConfig::default() };
    };
    let listen = section.list("listen", address::listen);
    for entry in listen.iter().flatten() {
        if matches!(entry.get_ref(), Listen::Lan(_)) && lan.is_none() {
            let text = "listen: there is no [lan] whose addresses these could be";
            let hint = "add [lan] with its interfaces, or write an address and port";
            section.notes().push(entry.span().start, text, hint);
        }
    }
    let names = plain(section.list("names", address::own_name));
    let trusted_proxy = plain(section.list("trusted_proxy", address::proxy));
    section.finish();
    let listen = listen.map_or(default, |listen| plain(Some(listen)));
    WebConfig { listen, names, trusted_proxy }
}

/// `dir` of a section that has nothing else.
fn state(section: Option<Section<'_>>) -> (PathBuf, HistoryOn) {
    let Some(mut section) = section else {
        return (PathBuf::from(STATE_DIR), HistoryOn::default());
    };
    let dir = section.read_or("dir", value::directory, PathBuf::from(STATE_DIR));
    let history = section.read_or("history", value::history, HistoryOn::default());
    section.finish();
    (dir, history)
}

fn directory(section: Option<Section<'_>>, default: &str) -> PathBuf {
    let Some(mut section) = section else {
        return PathBuf::from(default);
    };
    let dir = section.read_or("dir", value::directory, PathBuf::from(default));
    section.finish();
    dir
}
