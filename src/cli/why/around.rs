//! What the kernel's answer means on this box.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Serialize;

use crate::cli::failure::Failure;
use crate::cli::status::{Status, why_in_use};
use crate::config::Config;
use crate::engine::kernel::rule::ForeignRule;
use crate::engine::kernel::view::KernelView;
use crate::io::netlink::way::{Packet, Way, Ways};
use crate::units::{Family, IfIndex, IfName, PerFamily, TableId, UplinkId};

/// What is known of the box.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around<'a> {
    pub(super) config: &'a Config,
    pub(super) view: &'a KernelView,
    /// What the agent says, if one runs.
    pub(super) status: Option<&'a Status>,
    /// Whether the kernel forwards.
    pub(super) forwards: PerFamily<bool>,
}

/// Where the traffic of one address goes.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    address: IpAddr,
    /// It has a way, and as far as anyone knows that works.
    pub(super) ok: bool,
    /// The uplink, if it is one that it goes by.
    uplink: Option<String>,
    interface: Option<String>,
    /// All of it in one sentence.
    pub(super) text: String,
    pub(super) why: Vec<String>,
    /// The route that decides, in the words of `ip route`.
    pub(super) route: Option<String>,
    /// Rules of other programs that lead to it.
    pub(super) rules: Vec<String>,
    /// As whose packet.
    pub(super) asked: String,
}

/// What is meant by an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    /// Packets to it.
    There,
    /// Packets from it, a device in the LAN, to the Internet.
    Device,
}

impl Around<'_> {
    /// Asks the kernel, and puts into words what it says. `host` is how the person called the address.
    pub(super) fn answer(
        &self,
        ways: &mut Ways,
        host: &str,
        address: IpAddr,
    ) -> Result<Answer, Failure> {
        let (subject, packet) = self.packet(address);
        let cannot = |error| {
            let text = format!("the kernel does not say which way {address} takes: {error}");
            Failure::plain(text)
        };
        let (packet, way) = match ways.of(&packet) {
            Ok(way) => (packet, way),
            // Nobody could send that from the LAN; the box itself can.
            Err(_) if packet.from.is_some() && subject == Subject::There => {
                let own = Packet { from: None, ..packet };
                (own, ways.of(&own).map_err(cannot)?)
            }
            Err(error) => return Err(cannot(error)),
        };
        let called = if host == address.to_string() {
            host.to_owned()
        } else {
            format!("{host} ({address})")
        };
        Ok(self.told(&called, subject, &packet, way.as_ref()))
    }

    /// The packet that is asked for.
    fn packet(&self, address: IpAddr) -> (Subject, Packet) {
        let family = Family::of(&address);
        let inside = self.lan(family).find(|(net, _)| {
            net.contains(&address) && net.addr() != address && !address.is_loopback()
        });
        if let Some((_, dev)) = inside {
            let out = match family {
                Family::V4 => self.config.probe.targets.v4.first().copied(),
                Family::V6 => self.config.probe.targets.v6.first().copied(),
            };
            if let Some(to) = out {
                return (Subject::Device, Packet { to, from: Some((address, dev)) });
            }
        }
        let from = self.lan(family).next().map(|(net, dev)| (neighbour(net.addr()), dev));
        (Subject::There, Packet { to: address, from })
    }

    /// The box's own addresses in the LAN, with their subnets.
    fn lan(&self, family: Family) -> impl Iterator<Item = (ipnet::IpNet, IfIndex)> {
        let interfaces = self.config.lan.iter().flat_map(|lan| &lan.interfaces);
        let links =
            interfaces.filter_map(|name| self.view.links.values().find(|link| link.name == *name));
        links.flat_map(move |link| {
            let own = self.view.addresses.iter().filter(move |a| a.index == link.index);
            let fit = own.filter(move |a| a.global && Family::of(&a.net.addr()) == family);
            fit.map(|address| (address.net, address.index))
        })
    }

    fn told(&self, called: &str, subject: Subject, packet: &Packet, way: Option<&Way>) -> Answer {
        let address = match (subject, packet.from) {
            (Subject::Device, Some((from, _))) => from,
            _ => packet.to,
        };
        let who = match subject {
            Subject::There => called.to_owned(),
            Subject::Device => format!("what {called} sends to the Internet"),
        };
        let interface = way.and_then(|way| self.name(way.dev?));
        let uplink = interface.as_deref().and_then(|name| self.uplink(name));
        let works = self.status.is_none_or(Status::works);
        let by_choice = way.is_some_and(|way| way.table == TableId::ACTIVE);
        let is_closed =
            way.is_none() && packet.from.is_some() && !self.forwards.get(Family::of(&packet.to));
        let closed = is_closed.then(|| "this box does not forward: does the agent run?".to_owned());
        let text = match way {
            None if is_closed => format!("{who} has no way from the LAN"),
            None => format!("{who} has no way: no route leads there"),
            Some(way) => self.sentence(&who, way, interface.as_deref(), uplink.as_deref()),
        };
        Answer {
            address,
            ok: way.is_some() && (works || !by_choice),
            text,
            why: self
                .why(address, subject, way, uplink.as_deref())
                .into_iter()
                .chain(closed)
                .collect(),
            route: way.map(|way| route(way, interface.as_deref())),
            rules: way.map(|way| self.rules(Family::of(&packet.to), way.table)).unwrap_or_default(),
            asked: self.asked(packet),
            uplink,
            interface,
        }
    }

    fn sentence(
        &self,
        who: &str,
        way: &Way,
        interface: Option<&str>,
        uplink: Option<&str>,
    ) -> String {
        let dev = interface.unwrap_or("no interface");
        let is_lan = self.config.lan.iter().flat_map(|lan| &lan.interfaces);
        let is_lan = is_lan.into_iter().any(|name| name.as_str() == dev);
        let own = UplinkId::MAX;
        let pinned = (1..=own).filter_map(UplinkId::new).any(|id| id.table() == way.table);
        let of_main = matches!(way.table, TableId::MAIN | TableId::OTHERS);
        match uplink {
            _ if way.is_local => format!("{who} is this box itself"),
            _ if is_lan => format!("{who} is in the LAN, reached by {dev} and by no uplink"),
            Some(name) if way.table == TableId::ACTIVE => {
                let works = self.status.is_none_or(Status::works);
                let but = if works { "" } else { ", but no uplink works" };
                format!("{who} goes by {name}, the uplink in use{but}")
            }
            Some(name) if pinned => format!("{who} goes by {name}, to which it is pinned"),
            Some(name) if of_main && way.dst.prefix_len() == 0 => {
                format!("{who} goes by {name}, by the default route of the system")
            }
            Some(name) if of_main && way.via.is_none() => {
                format!("{who} is on the link of {name} itself, as its modem is")
            }
            Some(name) if of_main => {
                format!("{who} goes by {name} whatever uplink is in use: it has a route of its own")
            }
            Some(name) => format!("{who} goes by {name}, as another program wants it"),
            None if of_main => {
                format!("{who} goes by {dev}, which is no uplink (a tunnel, or another network)")
            }
            None => format!("{who} goes by {dev}, which is no uplink, as another program wants it"),
        }
    }

    fn why(
        &self,
        address: IpAddr,
        subject: Subject,
        way: Option<&Way>,
        uplink: Option<&str>,
    ) -> Vec<String> {
        let mut why = Vec::new();
        let kept = self.config.uplinks.iter().find(|u| u.keep_routes.contains(&address));
        if let Some(kept) = kept {
            why.push(format!("keep_routes of {} in the configuration names it", kept.name));
        }
        if subject == Subject::There
            && self.config.probe.targets.iter().any(|(_, t)| t.contains(&address))
        {
            why.push("it is a target: sparelink's own probes to it go by every uplink".to_owned());
        }
        let by_choice = uplink.is_some() && way.is_some_and(|way| way.table == TableId::ACTIVE);
        match self.status {
            Some(status) if by_choice || way.is_none() => why.extend(why_in_use(status)),
            None if by_choice => {
                why.push("no agent runs; this is what the last one left".to_owned());
            }
            Some(_) | None => {}
        }
        why
    }

    /// Rules of other programs that lead to a table which is not ours and not the system's.
    fn rules(&self, family: Family, table: TableId) -> Vec<String> {
        if table.is_ours() || matches!(table, TableId::MAIN | LOCAL) {
            return Vec::new();
        }
        let to_it = |rule: &&ForeignRule| rule.family == family && rule.table == Some(table);
        let words =
            |rule: &ForeignRule| format!("{}: {}lookup {table}", rule.priority.0, rule.selector);
        self.view.rules.iter().filter(to_it).map(words).collect()
    }

    fn asked(&self, packet: &Packet) -> String {
        match packet.from {
            None => format!("as a packet of this box to {}", packet.to),
            Some((from, dev)) => {
                let dev = self.name(dev).unwrap_or_default();
                format!("as a packet from {from} by {dev} to {}", packet.to)
            }
        }
    }

    fn name(&self, dev: IfIndex) -> Option<String> {
        Some(self.view.links.get(&dev)?.name.to_string())
    }

    /// The uplink that an interface is: as the agent says, else as configured.
    fn uplink(&self, interface: &str) -> Option<String> {
        let told = self.status.and_then(|status| status.uplink_by(interface));
        let configured = || {
            let is_it = |name: &IfName| name.as_str() == interface;
            let all = self.config.uplinks.iter();
            let mut fit = all.filter(|u| u.device.interface.as_ref().is_some_and(is_it));
            fit.next().map(|uplink| uplink.name.clone())
        };
        told.map(str::to_owned).or_else(configured)
    }
}

/// The kernel's table of the box's own addresses.
const LOCAL: TableId = TableId(255);

/// Another address of the same subnet: the kernel takes none of the box's own for a sender.
fn neighbour(own: IpAddr) -> IpAddr {
    match own {
        IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() ^ 2).into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() ^ 2).into(),
    }
}

/// In the words of `ip route`.
fn route(way: &Way, interface: Option<&str>) -> String {
    let dst = if way.dst.prefix_len() == 0 { "default".to_owned() } else { way.dst.to_string() };
    let via = way.via.map(|via| format!(" via {via}")).unwrap_or_default();
    let dev = interface.map(|dev| format!(" dev {dev}")).unwrap_or_default();
    let table = match way.table {
        // Without rules of anybody the kernel has it in one with `main`.
        _ if way.is_local => "local".to_owned(),
        TableId::MAIN => "main".to_owned(),
        other => other.to_string(),
    };
    format!("{dst}{via}{dev} table {table}")
}

#[cfg(test)]
mod tests;
