//! Values that name something on the network: addresses, prefixes, hosts, URLs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv6Net};
use toml::de::DeValue;

use super::model::Listen;
use super::notes::{Wrong, excerpt};
use super::value::string;

pub(super) fn gateway4(value: &DeValue<'_>) -> Result<IpAddr, Wrong> {
    unicast(ipv4(value, "\"192.168.8.1\"", "an IPv6 gateway goes into gateway6")?)
}

pub(super) fn gateway6(value: &DeValue<'_>) -> Result<IpAddr, Wrong> {
    unicast(ipv6(value, "\"fe80::1\"", "an IPv4 gateway goes into gateway")?)
}

pub(super) fn target4(value: &DeValue<'_>) -> Result<IpAddr, Wrong> {
    beyond(unicast(ipv4(value, "\"1.1.1.1\"", "IPv6 targets go into targets6")?)?)
}

pub(super) fn target6(value: &DeValue<'_>) -> Result<IpAddr, Wrong> {
    beyond(unicast(ipv6(value, "\"2620:fe::fe\"", "IPv4 targets go into targets")?)?)
}

/// The address of a resolver, of either family.
pub(super) fn resolver(value: &DeValue<'_>) -> Result<IpAddr, Wrong> {
    let text = string(value, "\"192.168.8.1\"")?;
    unicast(text.parse().map_err(|_| not_an_address(text))?)
}

fn ipv4(value: &DeValue<'_>, example: &str, other_family: &str) -> Result<IpAddr, Wrong> {
    let text = string(value, example)?;
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err(Wrong::new(format!("{text} is an IPv6 address"), other_family));
    }
    text.parse::<Ipv4Addr>().map(IpAddr::V4).map_err(|_| not_an_address(text))
}

fn ipv6(value: &DeValue<'_>, example: &str, other_family: &str) -> Result<IpAddr, Wrong> {
    let text = string(value, example)?;
    if text.parse::<Ipv4Addr>().is_ok() {
        return Err(Wrong::new(format!("{text} is an IPv4 address"), other_family));
    }
    text.parse::<Ipv6Addr>().map(IpAddr::V6).map_err(|_| not_an_address(text))
}

fn unicast(addr: IpAddr) -> Result<IpAddr, Wrong> {
    let broadcast = addr == IpAddr::V4(Ipv4Addr::BROADCAST);
    if addr.is_unspecified() || addr.is_multicast() || addr.is_loopback() || broadcast {
        let hint = "give the address of one machine out there";
        return Err(Wrong::new(format!("{addr} cannot be an address on an uplink"), hint));
    }
    Ok(addr)
}

/// No address of the link itself: whether one of those answers says nothing of the Internet.
fn beyond(addr: IpAddr) -> Result<IpAddr, Wrong> {
    let on_link = match addr {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    if on_link {
        let hint = "give the address of one machine out there";
        return Err(Wrong::new(format!("{addr} is an address of the link itself"), hint));
    }
    Ok(addr)
}

fn not_an_address(text: &str) -> Wrong {
    let shown = excerpt(text);
    if text.contains('/') || text.parse::<SocketAddr>().is_ok() {
        let hint = "the address alone, without prefix length and port";
        return Wrong::new(format!("{shown:?} is more than an address"), hint);
    }
    if text.contains('%') {
        return Wrong::new(
            format!("{shown:?} names an interface"),
            "leave out the % and what follows: the interface is the uplink's",
        );
    }
    let is_name = text.contains(|c: char| c.is_ascii_alphabetic()) && !text.contains(':');
    let hint = if is_name {
        "write its address: a name cannot be looked up while the Internet is away"
    } else {
        "addresses look like 192.168.8.1 or 2001:db8::1"
    };
    Wrong::new(format!("{shown:?} is not an address"), hint)
}

/// A host, as an address or as a prefix with one.
pub(super) fn host(value: &DeValue<'_>) -> Result<IpAddr, Wrong> {
    let text = string(value, "\"203.0.113.9\"")?;
    let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    match net {
        Ok(net) if net.prefix_len() == net.max_prefix_len() => Ok(net.addr()),
        Ok(net) => {
            let hint = "routes to networks by an uplink are passed over in any case; name hosts";
            Err(Wrong::new(format!("{net} is more than one host"), hint))
        }
        Err(_) => Err(not_an_address(text)),
    }
}

pub(super) fn prefix6(value: &DeValue<'_>) -> Result<Ipv6Net, Wrong> {
    const HINT: &str = "IPv6 prefixes look like 2001:db8:1::/56";
    let text = string(value, "\"2001:db8:1::/56\"")?;
    let not_one = || Wrong::new(format!("{:?} is not an IPv6 prefix", excerpt(text)), HINT);
    let net: Ipv6Net = text.parse().map_err(|_| not_one())?;
    if net.trunc() != net {
        let text = format!("{net} has bits set behind its length");
        return Err(Wrong::new(text, format!("did you mean {}?", net.trunc())));
    }
    Ok(net)
}

/// A public subnet that a provider routes to the box, of either family.
pub(super) fn routed(value: &DeValue<'_>) -> Result<IpNet, Wrong> {
    const HINT: &str = "subnets look like 198.51.100.8/29 or 2001:db8:5::/48";
    let text = string(value, "\"198.51.100.8/29\"")?;
    let not_one = || Wrong::new(format!("{:?} is not a subnet", excerpt(text)), HINT);
    let net: IpNet = text.parse().map_err(|_| not_one())?;
    if net.trunc() != net {
        let text = format!("{net} has bits set behind its length");
        return Err(Wrong::new(text, format!("did you mean {}?", net.trunc())));
    }
    let first = net.addr();
    let link_local = match first {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    if net.prefix_len() == 0 || link_local {
        return Err(Wrong::new(format!("{net} is routed to nobody alone"), HINT));
    }
    unicast(first).map(|_| net)
}

pub(super) fn listen(value: &DeValue<'_>) -> Result<Listen, Wrong> {
    const HINT: &str = "write \"lan:8300\", \"192.168.1.1:8300\" or \"[fd00::1]:8300\"";
    let text = string(value, "\"lan:8300\"")?;
    let not_one = || Wrong::new(format!("{:?} is nowhere to listen", excerpt(text)), HINT);
    let listen = match text.strip_prefix("lan:") {
        Some(port) => Listen::Lan(port.parse().map_err(|_| not_one())?),
        None => Listen::Addr(text.parse().map_err(|_| not_one())?),
    };
    let port = match &listen {
        Listen::Lan(port) => *port,
        Listen::Addr(addr) => addr.port(),
    };
    if port == 0 {
        return Err(Wrong::new("there is no port 0", HINT));
    }
    Ok(listen)
}

/// The name for the DNS proof; `false` turns it off.
pub(super) fn dns(value: &DeValue<'_>) -> Result<Option<String>, Wrong> {
    if let DeValue::Boolean(on) = value {
        let hint = "leave the line out to ask for example.com, or write a name";
        return if *on { Err(Wrong::new("true is not a name", hint)) } else { Ok(None) };
    }
    let name = string(value, "\"example.com\", or false")?;
    if name.parse::<IpAddr>().is_ok() {
        let text = format!("{name} is an address, not a name");
        return Err(Wrong::new(text, "a name has to be looked up, such as example.com"));
    }
    if !is_host_name(name) {
        let hint = "names look like example.com";
        return Err(Wrong::new(format!("{:?} is not a host name", excerpt(name)), hint));
    }
    Ok(Some(name.to_owned()))
}

/// A name by which browsers may open the page, as it stands in `Host`.
pub(super) fn own_name(value: &DeValue<'_>) -> Result<String, Wrong> {
    let name = string(value, "\"gw.office.example\"")?;
    if name.parse::<IpAddr>().is_ok() || !is_host_name(name) {
        let hint = "names look like gw.office.example, without http:// and port";
        return Err(Wrong::new(format!("{:?} is not a host name", excerpt(name)), hint));
    }
    Ok(name.trim_end_matches('.').to_ascii_lowercase())
}

/// A machine that may speak for others: one address, as a network would have many who could.
pub(super) fn proxy(value: &DeValue<'_>) -> Result<IpAddr, Wrong> {
    let text = string(value, "\"192.168.1.5\"")?;
    let hint = "write the proxy's own address in the LAN, or 127.0.0.1 for one on this box";
    if text.parse::<IpNet>().is_ok_and(|net| net.prefix_len() < net.max_prefix_len()) {
        return Err(Wrong::new(format!("{text} is more than one host"), hint));
    }
    let ip = text.parse::<IpAddr>().map_err(|_| not_an_address(text))?.to_canonical();
    if ip.is_unspecified() || ip.is_multicast() {
        return Err(Wrong::new(format!("{ip} is nobody's address"), hint));
    }
    Ok(ip)
}

/// Host, port and path of a URL of a plain-HTTP check.
pub(super) fn http_url(value: &DeValue<'_>) -> Result<(String, u16, String), Wrong> {
    const HINT: &str = "URLs look like http://connectivitycheck.gstatic.com/generate_204";
    let text = string(value, "\"http://HOST/PATH\"")?;
    if text.starts_with("https://") {
        let hint = "only http:// shows a portal, because it cannot imitate a certificate";
        return Err(Wrong::new("https:// cannot be used for this check", hint));
    }
    let not_one = || Wrong::new(format!("{:?} is not an http URL", excerpt(text)), HINT);
    let rest = text.strip_prefix("http://").ok_or_else(not_one)?;
    let (authority, path) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
    let plain = path.len() <= 1024 && path.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    let (host, port) = split_port(authority).ok_or_else(not_one)?;
    if !plain || !(host.parse::<IpAddr>().is_ok() || is_host_name(host)) {
        return Err(not_one());
    }
    Ok((host.to_owned(), port, path.to_owned()))
}

pub(super) fn http_status(value: &DeValue<'_>) -> Result<u16, Wrong> {
    let wrong = || Wrong::kind(value, "a status code", "204, without quotes");
    let number = value.as_integer().ok_or_else(wrong)?;
    let status = u16::from_str_radix(number.as_str(), number.radix()).unwrap_or(0);
    if (200..=599).contains(&status) {
        return Ok(status);
    }
    let text = format!("{} is not a status that a server answers with", excerpt(number.as_str()));
    Err(Wrong::new(text, "200 to 599; 204 is usual"))
}

pub(super) fn http_body(value: &DeValue<'_>) -> Result<String, Wrong> {
    let text = string(value, "\"success\"")?;
    if (1..=4096).contains(&text.trim().len()) {
        return Ok(text.to_owned());
    }
    Err(Wrong::new("this body is empty or too long", "1 to 4096 bytes besides white space"))
}

fn split_port(authority: &str) -> Option<(&str, u16)> {
    if let Some(v6) = authority.strip_prefix('[') {
        let (host, port) = v6.split_once(']')?;
        host.parse::<Ipv6Addr>().ok()?;
        return Some((
            host,
            if port.is_empty() { 80 } else { port_number(port.strip_prefix(':')?)? },
        ));
    }
    match authority.split_once(':') {
        None => Some((authority, 80)),
        Some((host, port)) => Some((host, port_number(port)?)),
    }
}

fn port_number(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port > 0)
}

/// Whether a text is a host name that can be asked for (RFC 1035 lengths; underscores occur).
pub(super) fn is_host_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let numeric = name.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    name.len() <= 253 && !numeric && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names() {
        for good in ["example.com", "localhost", "a-b.example", "_dns.example.com."] {
            assert!(is_host_name(good), "{good}");
        }
        for bad in ["", ".", "a..b", "-a.de", "a b", "1.2.3", "bücher.example", &"a.".repeat(200)]
        {
            assert!(!is_host_name(bad), "{bad}");
        }
    }

    #[test]
    fn urls() {
        let read = |text: &str| http_url(&DeValue::String(text.into())).ok();
        let parts = |h: &str, p, path: &str| Some((h.to_owned(), p, path.to_owned()));
        assert_eq!(read("http://a.example/x?y=1"), parts("a.example", 80, "/x?y=1"));
        assert_eq!(read("http://10.0.0.1:8080"), parts("10.0.0.1", 8080, "/"));
        assert_eq!(read("http://[::1]:81/"), parts("::1", 81, "/"));
        let bad =
            ["http:///x", "http://u@h/", "ftp://h/", "http://h:0/", "http://h/a b", "http://h/#f"];
        for text in bad {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
