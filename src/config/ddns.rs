//! `[[ddns]]`: names that follow the traffic, or an uplink.

use toml::Spanned;
use toml::de::DeValue;

use super::address::is_host_name;
use super::channel_url;
use super::channels::{Login, Secret, Server};
use super::model::UplinkConfig;
use super::names::{DdnsConfig, IPV4, IPV6, NAME, SECRET, Updater};
use super::nearest::nearest;
use super::notes::{Wrong, excerpt};
use super::notify::file_or_name;
use super::raw::{Section, plain};
use super::value;
use crate::units::PerFamily;

/// More names than these are a zone, which a name server should have.
const MOST: usize = 16;
/// How long others may remember an address, in seconds: short enough for a failover, and what most services take.
const TTL: u32 = 60;
/// Cloudflare takes nothing shorter.
const SHORTEST: u32 = 30;
const LONGEST: u32 = 86_400;
/// Where dyndns2 is spoken, if the server's URL has no path.
const DYNDNS2_PATH: &str = "/nic/update";
const CLOUDFLARE: &str = "https://api.cloudflare.com";
const DNS_PORT: u16 = 53;
/// Of different operators; the last where UDP does not get out.
const ECHO: [&str; 3] =
    ["stun:stun.cloudflare.com:3478", "stun:stun.l.google.com:19302", "http://icanhazip.com/"];
const MOST_ECHO: usize = 8;

/// Reads all `[[ddns]]` sections; some name one of these uplinks.
pub(super) fn all(sections: Vec<Section<'_>>, uplinks: &[&UplinkConfig]) -> Vec<DdnsConfig> {
    if let Some(surplus) = sections.get(MOST) {
        let text = format!("these are {} names, and there can be {MOST}", sections.len());
        surplus.notes().push(surplus.at(), text, "leave out the last ones");
    }
    let mut names: Vec<DdnsConfig> = Vec::new();
    for section in sections.into_iter().take(MOST) {
        let (notes, at) = (section.notes(), section.at());
        let Some(new) = one(section, uplinks) else { continue };
        if names.iter().any(|old| old.name == new.name) {
            let text = format!("name: {} is above already", new.name);
            notes.push(at, text, "a name is kept up to date by one [[ddns]]");
        }
        names.push(new);
    }
    names
}

/// How a name is changed, by the word in the file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Rfc2136,
    Dyndns2,
    Cloudflare,
    Url,
}

const PROTOCOLS: [(&str, Protocol); 4] = [
    ("rfc2136", Protocol::Rfc2136),
    ("dyndns2", Protocol::Dyndns2),
    ("cloudflare", Protocol::Cloudflare),
    ("url", Protocol::Url),
];

fn one(mut section: Section<'_>, uplinks: &[&UplinkConfig]) -> Option<DdnsConfig> {
    let name = section.read("name", name);
    if !section.has_like("name") {
        section.missing("this is no name yet", "add name = \"home.example.net\"");
    }
    let protocol = section.read("protocol", protocol).map(Spanned::into_inner);
    if !section.has_like("protocol") {
        let hint = "add protocol = \"rfc2136\", \"dyndns2\", \"cloudflare\" or \"url\"";
        section.missing("nothing says how this name is changed", hint);
    }
    let secret_file = section.read("secret_file", file_or_name).map(Spanned::into_inner);
    let updater = protocol.and_then(|protocol| match protocol {
        Protocol::Rfc2136 => rfc2136(&mut section, name.as_ref()),
        Protocol::Dyndns2 => dyndns2(&mut section),
        Protocol::Cloudflare => cloudflare(&mut section, name.as_ref()),
        Protocol::Url => url(&mut section),
    });
    if let Some(updater) = updater.as_ref().filter(|_| !section.has_like("secret_file")) {
        wants_secret(updater, &section);
    }
    let uplink = section.read("uplink", value::uplink_name);
    if let Some(uplink) = &uplink {
        is_known(uplink, uplinks, &section);
    }
    let ttl = section.read_or("ttl", ttl, TTL);
    let mut families = PerFamily {
        v4: section.read_or("ipv4", value::flag, true),
        v6: section.read_or("ipv6", value::flag, true),
    };
    if !families.v4 && !families.v6 {
        section.missing("this name would have no address", "leave out ipv4 or ipv6 = false");
    }
    let behind_nat = section.read_or("behind_nat", value::flag, false);
    let echo = plain(section.list("echo", echo));
    let echo = if echo.is_empty() { ECHO.map(str::to_owned).to_vec() } else { echo };
    if echo.len() > MOST_ECHO {
        section.missing(format!("echo: these are more than {MOST_ECHO}"), "two or three are best");
    }
    if protocol.is_none() {
        // What belongs to which protocol is not known, so nothing of it is strange.
        for key in ["server", "zone", "key_name", "user"] {
            section.value(key);
        }
    }
    section.finish();
    let updater = updater?;
    if let Updater::Url { template, .. } = &updater {
        families.v4 &= template.reveal().contains(IPV4);
        families.v6 &= template.reveal().contains(IPV6);
    }
    let (name, uplink) = (name?.into_inner(), uplink.map(Spanned::into_inner));
    Some(DdnsConfig { name, updater, uplink, secret_file, ttl, families, behind_nat, echo })
}

fn rfc2136(section: &mut Section<'_>, name: Option<&Spanned<String>>) -> Option<Updater> {
    let server = section.read("server", name_server).map(Spanned::into_inner);
    if !section.has_like("server") {
        let hint = "add server = \"ns1.example.net\", the zone's primary";
        section.missing("this name has no server that changes it", hint);
    }
    let key_name = section.read("key_name", self::name).map(Spanned::into_inner);
    if !section.has_like("key_name") {
        let hint = "add key_name = \"home\", as the server calls the key";
        section.missing("the changes of this name are not signed", hint);
    }
    let zone = zone(section, name, |_| false);
    Some(Updater::Rfc2136 { server: server?, zone: zone?, key_name: key_name? })
}

fn dyndns2(section: &mut Section<'_>) -> Option<Updater> {
    let at = section.read("server", update_url).map(Spanned::into_inner);
    if !section.has_like("server") {
        let hint = "add server = \"https://dynupdate.no-ip.com\", where your service takes changes";
        section.missing("this name has no server that changes it", hint);
    }
    let user = section.read("user", user).map(Spanned::into_inner);
    let (server, mut login, path) = at?;
    login.user = user.unwrap_or(login.user);
    if login.user.is_empty() {
        section.missing("no server lets somebody without a name change this", "add user = \"…\"");
    }
    let path = if path.reveal() == "/" { DYNDNS2_PATH.to_owned().into() } else { path };
    Some(Updater::Dyndns2 { server, login, path })
}

fn cloudflare(section: &mut Section<'_>, name: Option<&Spanned<String>>) -> Option<Updater> {
    let at = section.read("server", update_url).map(Spanned::into_inner);
    let is_id = |zone: &str| zone.len() == 32 && zone.bytes().all(|b| b.is_ascii_hexdigit());
    let zone = zone(section, name, is_id)?;
    let (server, ..) = at.or_else(|| channel_url::http(CLOUDFLARE))?;
    Some(Updater::Cloudflare { server, zone })
}

fn url(section: &mut Section<'_>) -> Option<Updater> {
    let at = section.read("server", template).map(Spanned::into_inner);
    if !section.has_like("server") {
        let hint = "add server = \"https://HOST/PATH?name={name}&ip={ipv4}&ipv6={ipv6}\"";
        section.missing("this name has no server that changes it", hint);
    }
    let (server, login, template) = at?;
    Some(Updater::Url { server, login, template })
}

/// The zone of a name: as given, else all but its first label. The name must be in it, unless it is an id.
fn zone(
    section: &mut Section<'_>,
    name: Option<&Spanned<String>>,
    is_id: impl Fn(&str) -> bool,
) -> Option<String> {
    let given = section.read("zone", self::name);
    let name = name?.get_ref();
    let Some(given) = given else {
        let parent = name.split_once('.').map(|(_, parent)| parent.to_owned());
        if parent.as_ref().is_none_or(|parent| !parent.contains('.')) && !section.has_like("zone") {
            let hint = "add zone = \"example.net\", as the server calls it";
            section.missing(format!("nothing says in which zone {} is", excerpt(name)), hint);
        }
        return parent;
    };
    let zone = given.get_ref();
    let inside = is_id(zone)
        || name == zone
        || name.strip_suffix(zone.as_str()).is_some_and(|n| n.ends_with('.'));
    if !inside {
        let text = format!("zone: {} is not in {}", excerpt(name), excerpt(zone));
        let hint = "the zone is the end of the name, such as example.net of home.example.net";
        section.notes().push(given.span().start, text, hint);
        return None;
    }
    Some(given.into_inner())
}

/// Nobody can change a name without one.
fn wants_secret(updater: &Updater, section: &Section<'_>) {
    let (what, hint) = match updater {
        Updater::Rfc2136 { .. } => {
            ("the key", "secret_file = \"…\", a file with the key in base64")
        }
        Updater::Dyndns2 { login, .. } if login.password.is_empty() => {
            ("the password", "secret_file = \"…\", a file with the password")
        }
        Updater::Cloudflare { .. } => {
            ("the token", "secret_file = \"…\", a file with an API token")
        }
        Updater::Url { template, .. } if template.reveal().contains(SECRET) => {
            ("what stands for {secret}", "secret_file = \"…\"")
        }
        Updater::Dyndns2 { .. } | Updater::Url { .. } => return,
    };
    section.missing(format!("{what} is missing"), format!("add {hint}"));
}

fn is_known(uplink: &Spanned<String>, uplinks: &[&UplinkConfig], section: &Section<'_>) {
    let name = uplink.get_ref();
    if uplinks.iter().any(|known| known.name == *name) {
        return;
    }
    let names = || uplinks.iter().map(|known| known.name.as_str());
    let hint = nearest(name, names()).map_or_else(
        || format!("the uplinks are {}", names().collect::<Vec<_>>().join(", ")),
        |near| format!("did you mean {near}?"),
    );
    let text = format!("uplink: there is no uplink {}", excerpt(name));
    section.notes().push(uplink.span().start, text, hint);
}

fn protocol(value: &DeValue<'_>) -> Result<Protocol, Wrong> {
    let text = value::string(value, "\"rfc2136\"")?;
    PROTOCOLS.iter().find(|(word, _)| *word == text).map(|(_, known)| *known).ok_or_else(|| {
        let near = nearest(text, PROTOCOLS.map(|(word, _)| word));
        let hint = near.map_or_else(
            || "write \"rfc2136\", \"dyndns2\", \"cloudflare\" or \"url\"".to_owned(),
            |near| format!("did you mean \"{near}\"?"),
        );
        Wrong::new(format!("{:?} is not a protocol for names", excerpt(text)), hint)
    })
}

/// A name of the DNS.
fn name(value: &DeValue<'_>) -> Result<String, Wrong> {
    let name = value::string(value, "\"home.example.net\"")?;
    if !is_host_name(name) {
        let text = format!("{:?} is not a name of the DNS", excerpt(name));
        return Err(Wrong::new(text, "names look like home.example.net"));
    }
    Ok(name.trim_end_matches('.').to_ascii_lowercase())
}

/// A name server: a name or an address, and a port if it is another than 53.
fn name_server(value: &DeValue<'_>) -> Result<Server, Wrong> {
    let text = value::string(value, "\"ns1.example.net\"")?;
    let bare = text.parse::<std::net::Ipv6Addr>().is_ok();
    let url = if bare { format!("http://[{text}]/") } else { format!("http://{text}/") };
    let parsed = channel_url::http(&url).filter(|(_, login, path)| {
        login.user.is_empty() && login.password.is_empty() && path.reveal() == "/"
    });
    let (server, ..) = parsed.ok_or_else(|| {
        let hint = "for example \"ns1.example.net\", or \"192.0.2.53:5353\" for another port";
        // What stands before an @ may be a password.
        let what = if text.contains('@') {
            "this has a login in it, and is not a name server".to_owned()
        } else {
            format!("{:?} is not a name server", excerpt(text))
        };
        Wrong::new(what, hint)
    })?;
    let told = text.rsplit_once(':').is_some_and(|(host, _)| !bare && !host.is_empty())
        && !text.ends_with(']');
    Ok(Server { port: if told { server.port } else { DNS_PORT }, ..server })
}

/// A server that is asked by HTTP: a URL, or the host alone, which is spoken to by TLS.
fn update_url(value: &DeValue<'_>) -> Result<(Server, Login, Secret), Wrong> {
    let text = value::string(value, "\"https://dynupdate.no-ip.com\"")?;
    let whole = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    channel_url::http(&whole).ok_or_else(|| {
        let hint = "for example \"https://dynupdate.no-ip.com\"";
        Wrong::new("this is not the URL of a web server", hint)
    })
}

/// A URL with placeholders. None of it is repeated in a message: there may be a token in it.
fn template(value: &DeValue<'_>) -> Result<(Server, Login, Secret), Wrong> {
    const EXAMPLE: &str = "\"https://HOST/PATH?name={name}&ip={ipv4}&ipv6={ipv6}\"";
    let text = value::string(value, EXAMPLE)?;
    let parsed = channel_url::http(text).ok_or_else(|| {
        Wrong::new("this is not the URL of a web server", format!("for example {EXAMPLE}"))
    })?;
    let path = parsed.2.reveal();
    let rest = [NAME, IPV4, IPV6, SECRET].iter().fold(path.to_owned(), |r, p| r.replace(p, ""));
    if rest.contains(['{', '}']) {
        let hint = "known are {name}, {ipv4}, {ipv6} and {secret}";
        return Err(Wrong::new("something else stands in braces", hint));
    }
    if !path.contains(IPV4) && !path.contains(IPV6) {
        return Err(Wrong::new("it says no address", "put {ipv4} or {ipv6} where it belongs"));
    }
    Ok(parsed)
}

fn user(value: &DeValue<'_>) -> Result<String, Wrong> {
    let text = value::string(value, "\"me@example.net\"")?;
    if text.is_empty() || text.contains(|c: char| c.is_control() || c == ':') {
        let hint = "the name by which the service knows you, without its password";
        return Err(Wrong::new(format!("{:?} is no user", excerpt(text)), hint));
    }
    Ok(text.to_owned())
}

/// Somebody who says as whom he is asked.
fn echo(value: &DeValue<'_>) -> Result<String, Wrong> {
    let text = value::string(value, "\"stun:stun.example.net:3478\"")?;
    let fits = match text.strip_prefix("stun:") {
        Some(server) => {
            server.contains(':') && channel_url::http(&format!("http://{server}/")).is_some()
        }
        None => channel_url::http(text).is_some(),
    };
    // It stands in recordings, and is looked up as it is.
    if text.contains(['@', '?']) {
        let hint = "whoever says as whom he is asked needs no login, and no token";
        return Err(Wrong::new("this has a login or a query in it", hint));
    }
    if fits {
        return Ok(text.to_owned());
    }
    let hint = "for example \"stun:stun.example.net:3478\" or \"http://icanhazip.com/\"";
    Err(Wrong::new(format!("{:?} is nobody to ask for an address", excerpt(text)), hint))
}

/// Seconds. A duration is taken as well.
fn ttl(value: &DeValue<'_>) -> Result<u32, Wrong> {
    let seconds = if let DeValue::Integer(number) = value {
        number.to_string().parse::<u64>().ok()
    } else {
        Some(value::duration(value)?.as_secs())
    };
    let fits = |seconds: &u32| (SHORTEST..=LONGEST).contains(seconds);
    seconds.and_then(|seconds| u32::try_from(seconds).ok()).filter(fits).ok_or_else(|| {
        let text = format!("this is not {SHORTEST} to {LONGEST} seconds");
        Wrong::new(text, "for example ttl = 60; leave it out for that")
    })
}
