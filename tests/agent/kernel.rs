//! What stands in the router's kernel, as sorted text: rules, routes, nft tables, sysctls.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use futures_util::TryStreamExt;
use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteProtocol};
use netlink_packet_route::rule::{RuleAttribute, RuleMessage};
use rtnetlink::IpVersion;
use sparelink::io::netlink::nfnl::{Attrs, Message, Nfnl, SUBSYS_NFTABLES};
use sparelink::lab::topology::Home;

/// Route and rule protocol of ours.
pub(crate) const OURS: u8 = 83;

/// Everything that sparelink might touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dump {
    pub(crate) rules: Vec<String>,
    pub(crate) routes: Vec<String>,
    pub(crate) nft: Vec<String>,
    pub(crate) sysctls: BTreeMap<String, String>,
}

impl Dump {
    /// What differs, for a person.
    pub(crate) fn difference(&self, later: &Self) -> String {
        let lines = |dump: &Self| -> Vec<String> {
            let sysctls = dump.sysctls.iter().map(|(k, v)| format!("{k} = {v}"));
            let rest = dump.rules.iter().chain(&dump.routes).chain(&dump.nft);
            rest.cloned().chain(sysctls).collect()
        };
        let (before, after) = (lines(self), lines(later));
        let gone = before.iter().filter(|line| !after.contains(line));
        let new = after.iter().filter(|line| !before.contains(line));
        gone.map(|line| format!("- {line}\n"))
            .chain(new.map(|line| format!("+ {line}\n")))
            .collect()
    }

    /// The part that is ours, without sysctls.
    pub(crate) fn ours(mut self) -> Self {
        self.sysctls.clear();
        let bears_our_number = |line: &String| line.contains("Other(83)");
        self.rules.retain(bears_our_number);
        self.routes.retain(bears_our_number);
        self.nft.retain(|line| line.split(' ').nth(2) == Some("sparelink"));
        self
    }

    /// Two must be the same.
    pub(crate) fn must_equal(&self, later: &Self) -> Result<()> {
        ensure!(self == later, "the kernel differs:\n{}", self.difference(later));
        Ok(())
    }
}

/// What is ours in the router now, without sysctls: quick, to see when it is back.
pub(crate) async fn ours(home: &Home) -> Result<Dump> {
    home.router.run(observe_without_sysctls()).await?.map(Dump::ours)
}

/// Looks at the router.
pub(crate) async fn dump(home: &Home) -> Result<Dump> {
    home.router.run(observe()).await?
}

async fn observe() -> Result<Dump> {
    let mut sysctls = BTreeMap::new();
    read_below(Path::new("/proc/sys/net"), &mut sysctls);
    ensure!(sysctls.len() > 50, "control: sysctls: {}", sysctls.len());
    Ok(Dump { sysctls, ..observe_without_sysctls().await? })
}

async fn observe_without_sysctls() -> Result<Dump> {
    let mut rules: Vec<String> = rules().await?.iter().map(|r| format!("{r:?}")).collect();
    let mut routes: Vec<String> = routes().await?.iter().map(plain).collect();
    rules.sort();
    routes.sort();
    Ok(Dump { rules, routes, nft: nft()?, sysctls: BTreeMap::new() })
}

/// A route without what ages.
fn plain(route: &RouteMessage) -> String {
    let mut route = route.clone();
    route.attributes.retain(|a| !matches!(a, RouteAttribute::CacheInfo(_)));
    format!("{route:?}")
}

/// Every rule, both families.
async fn rules() -> Result<Vec<RuleMessage>> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    tokio::spawn(connection);
    let mut all = Vec::new();
    for version in [IpVersion::V4, IpVersion::V6] {
        let found: Vec<_> = handle.rule().get(version).execute().try_collect().await?;
        all.extend(found);
    }
    Ok(all)
}

/// Every route of every table, both families.
pub(crate) async fn routes() -> Result<Vec<RouteMessage>> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    tokio::spawn(connection);
    let mut all = Vec::new();
    for family in
        [netlink_packet_route::AddressFamily::Inet, netlink_packet_route::AddressFamily::Inet6]
    {
        let mut question = RouteMessage::default();
        question.header.address_family = family;
        let found: Vec<_> = handle.route().get(question).execute().try_collect().await?;
        all.extend(found);
    }
    // The kernel's clones of routes, for destinations somebody asked about, come and go.
    all.retain(|r| !r.header.flags.contains(netlink_packet_route::route::RouteFlags::Cloned));
    Ok(all)
}

/// Tables and chains, each with how many rules it has.
fn nft() -> Result<Vec<String>> {
    // linux/netfilter/nf_tables.h
    const GET_TABLE: u16 = 1;
    const GET_CHAIN: u16 = 4;
    const GET_RULE: u16 = 7;
    let mut link = Nfnl::open()?;
    let mut lines = BTreeMap::<String, u32>::new();
    for (what, word) in [(GET_TABLE, "table"), (GET_CHAIN, "chain"), (GET_RULE, "rule")] {
        let message = Message {
            kind: (u16::from(SUBSYS_NFTABLES) << 8) | what,
            flags: 0,
            family: 0,
            version: 0,
            attrs: Attrs::new(),
            object: word.to_owned(),
        };
        link.dump(&message, |entry| {
            let (table, name) = (entry.text(1).unwrap_or(""), entry.text(2).unwrap_or(""));
            // A chain's name is its third attribute.
            let name = match what {
                GET_TABLE => "",
                GET_CHAIN => entry.text(3).unwrap_or(""),
                _ => name,
            };
            *lines.entry(format!("nft {word} {table} {name}")).or_default() += 1;
        })?;
    }
    Ok(lines.iter().map(|(k, n)| format!("{k} x{n}")).collect())
}

/// Values below `/proc/sys`, but those that count something or change by themselves.
fn read_below(dir: &Path, into: &mut BTreeMap<String, String>) {
    const VOLATILE: [&str; 3] = ["nf_conntrack_count", "nf_conntrack_buckets", "stable_secret"];
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            read_below(&path, into);
        } else if let Ok(value) = fs::read_to_string(&path)
            && !VOLATILE.iter().any(|name| path.ends_with(name))
        {
            into.insert(path.display().to_string(), value.trim().to_owned());
        }
    }
}

/// Deletes every route of ours in one table, or all.
pub(crate) async fn delete_our_routes(table: Option<u32>) -> Result<usize> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    tokio::spawn(connection);
    let mut count = 0;
    for route in routes().await? {
        let wanted =
            table.is_none_or(|table| route.attributes.contains(&RouteAttribute::Table(table)));
        if route.header.protocol == RouteProtocol::Other(OURS) && wanted {
            handle.route().del(route).execute().await?;
            count += 1;
        }
    }
    Ok(count)
}

/// Deletes our rules of one priority, both families.
pub(crate) async fn delete_our_rules(priority: u32) -> Result<usize> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    tokio::spawn(connection);
    let mut count = 0;
    for rule in rules().await? {
        let ours = rule.attributes.contains(&RuleAttribute::Protocol(RouteProtocol::Other(OURS)));
        if ours && rule.attributes.contains(&RuleAttribute::Priority(priority)) {
            handle.rule().del(rule).execute().await?;
            count += 1;
        }
    }
    Ok(count)
}

/// The device index of the default route of a table.
pub(crate) async fn device_of(table: u32) -> Result<u32> {
    let routes = routes().await?;
    let found = routes.iter().find(|route| {
        route.header.address_family == netlink_packet_route::AddressFamily::Inet
            && route.attributes.contains(&RouteAttribute::Table(table))
    });
    let device = found.and_then(|route| {
        route
            .attributes
            .iter()
            .find_map(|a| if let RouteAttribute::Oif(index) = a { Some(*index) } else { None })
    });
    device.with_context(|| format!("no default route in table {table}"))
}
