//! `sparelink why`: which uplink a host's traffic takes, as the kernel says, and why.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::process::ExitCode;

use anyhow::Context as _;
use serde::Serialize;

use super::client::Client;
use super::failure::{Failure, NO};
use super::status::{ROUTE, Status};
use super::table::{Style, printable, wrapped};
use super::terminal::{self, Form, Look};
use super::work;
use crate::config::Config;
use crate::io::netlink::Monitor;
use crate::io::netlink::way::Ways;
use crate::io::sysctl;
use crate::units::{Family, PerFamily};

mod around;

use around::{Answer, Around};

#[derive(Debug, Serialize)]
struct Report {
    host: String,
    /// Some way of it is one that works.
    ok: bool,
    answers: Vec<Answer>,
}

/// Tells which way the traffic of `host` takes: an address, a name, or a device in the LAN.
pub(super) fn why(
    client: &Client,
    config: &Config,
    host: &str,
    form: Form,
) -> Result<ExitCode, Failure> {
    let status = match client.get(ROUTE) {
        Ok(document) => Some(Status::of(&document)?),
        Err(failure) if failure.means_no_agent() => None,
        Err(failure) => return Err(failure),
    };
    let addresses = addresses(host)?;
    let (_, view) = work::runtime()?
        .block_on(Monitor::open())
        .context("the kernel does not say which interfaces there are")?;
    let is_on = |path: &str| sysctl::read(path).is_ok_and(|value| value == "1");
    let forwards =
        PerFamily { v4: is_on("net/ipv4/ip_forward"), v6: is_on("net/ipv6/conf/all/forwarding") };
    let around = Around { config, view: &view, status: status.as_ref(), forwards };
    let mut ways = Ways::open().context("the kernel cannot be asked")?;
    let answer = |address: IpAddr| around.answer(&mut ways, host, address);
    let answers = addresses.into_iter().map(answer).collect::<Result<Vec<_>, Failure>>()?;
    let ok = answers.iter().any(|answer| answer.ok);
    let report = Report { host: host.to_owned(), ok, answers };
    let text = match form {
        Form::Text => told(&report, &Look::of_stdout()),
        Form::Json => {
            let text = serde_json::to_string_pretty(&report);
            text.map_err(|error| Failure::plain(error.to_string()))? + "\n"
        }
    };
    terminal::print(&text)?;
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::from(NO) })
}

/// The first address of each family.
fn addresses(host: &str) -> Result<Vec<IpAddr>, Failure> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(vec![address]);
    }
    if let Ok(address) = host.parse::<SocketAddr>() {
        return Ok(vec![address.ip()]);
    }
    let name = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
    let name = name.map_or(host, |(name, _)| name);
    let hint = "give an address, such as 192.168.77.23; names are resolved as this box does it";
    let found = (name, 0).to_socket_addrs().map_err(|error| {
        Failure::new(format!("{:?} has no address: {error}", printable(name)), hint)
    })?;
    let all: Vec<IpAddr> = found.map(|address| address.ip()).collect();
    let first = |family| all.iter().copied().find(|ip| Family::of(ip) == family);
    let each: Vec<IpAddr> = Family::BOTH.into_iter().filter_map(first).collect();
    if each.is_empty() {
        return Err(Failure::new(format!("{:?} has no address", printable(name)), hint));
    }
    Ok(each)
}

/// One line, then what decides.
fn told(report: &Report, look: &Look) -> String {
    /// Where the answers begin.
    const COLUMN: usize = 10;
    let mut text = String::new();
    for answer in &report.answers {
        let style = if answer.ok { Style::Strong } else { Style::Careful };
        for line in wrapped(&printable(&answer.text), look.width, 0, 4) {
            text += &(style.paint(&line, look.colour) + "\n");
        }
        let why = answer.why.iter().map(|why| ("Why:", why));
        let route = answer.route.iter().map(|route| ("Route:", route));
        let rules = answer.rules.iter().map(|rule| ("Rule:", rule));
        for (label, what) in why.chain(route).chain(rules).chain([("Asked:", &answer.asked)]) {
            let lines = wrapped(&printable(what), look.width, COLUMN, COLUMN);
            let lead = format!("  {label:<width$}", width = COLUMN - 2);
            for (n, line) in lines.iter().enumerate() {
                let rest = line.get(COLUMN..).unwrap_or_default();
                let before = if n == 0 { lead.clone() } else { " ".repeat(COLUMN) };
                text += &format!("{before}{rest}\n");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_understood_with_and_without_a_port() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for (host, address) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:443", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
        ] {
            assert_eq!(addresses(host).unwrap(), [ip(address)], "{host}");
        }
        assert!(addresses("localhost:80").unwrap().iter().all(IpAddr::is_loopback));
        let error = addresses("no.such.name.invalid").unwrap_err().to_string();
        assert!(error.contains("has no address") && error.contains("\n  hint: "), "{error}");
    }
}
