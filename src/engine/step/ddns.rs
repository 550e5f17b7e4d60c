//! Names that follow: what each should say now, and what came of saying so.

use std::net::IpAddr;
use std::time::Duration;

use super::judge::path;
use crate::config::DdnsConfig;
use crate::engine::events::facts::Fact;
use crate::engine::names::ddns::follower::{News, Wish};
use crate::engine::names::ddns::outside::{Cost, OutsideReply, OutsideRequest, Public};
use crate::engine::names::ddns::public::{Reach, reach};
use crate::engine::names::ddns::request::{NameReply, NameRequest, Record};
use crate::engine::output::Output;
use crate::engine::probe::Path;
use crate::engine::status::housekeeping::SAVE_EVERY;
use crate::engine::uplink::Uplink;
use crate::engine::uplink::standing::Standing;
use crate::engine::{Engine, Mode};
use crate::time::{Instant, Now};
use crate::units::{Family, PerFamily};

/// What was written is kept on disk, but not more often than this.
const KEPT_EVERY: Duration = Duration::from_secs(600);

/// What a line has for a name.
enum Line<'a> {
    /// It leads to the Internet.
    Leads(&'a Uplink),
    /// It may, which is not known yet.
    Unproven,
    /// It is dead, or there is none.
    Dead,
}

impl Engine {
    /// Looks at every name, and has written what is due.
    pub(in crate::engine) fn follow_names(&mut self, now: Now) {
        self.names.followers.next = None;
        if self.life.mode != Mode::Steer || self.life.started.is_none() {
            return;
        }
        self.ask_outside(now);
        let names = std::mem::take(&mut self.config.ddns);
        for config in &names {
            let wish = self.wish(config, now);
            let follower = self.names.followers.of(&config.name);
            follower.want(&wish, now.mono);
            follower.forget_lost(now.mono);
            if let Some(task) = follower.due(&wish, now) {
                let (number, of) = (self.names.followers.number(), self.owners(config, now));
                let follower = self.names.followers.of(&config.name);
                follower.ask((number, task), of, now.mono);
                let (name, records) = (config.name.clone(), follower.records(now.mono));
                let paths = self.paths_of(config, now);
                let request = NameRequest { number, name, task, records, paths };
                self.outputs.push_back(Output::Name(request));
            }
            let deadline = self.names.followers.of(&config.name).deadline(&wish);
            let next = &mut self.names.followers.next;
            *next = [*next, deadline].into_iter().flatten().min();
        }
        self.config.ddns = names;
    }

    /// When a name is due next.
    pub(in crate::engine) fn names_due(&self) -> Option<Instant> {
        let outside = self.names.outsides.deadline();
        [self.names.followers.next, outside].into_iter().flatten().min()
    }

    /// Asks through each uplink that some name may need and that is behind another router, as whom it is seen.
    fn ask_outside(&mut self, now: Now) {
        let names = self.config.ddns.iter().filter(|config| config.families.v4);
        let mut servers: Vec<String> = Vec::new();
        for server in names.clone().flat_map(|config| &config.echo) {
            if !servers.contains(server) {
                servers.push(server.clone());
            }
        }
        let wanted = |u: &Uplink| {
            names.clone().any(|c| c.uplink.as_ref().is_none_or(|name| *name == u.config.name))
        };
        let mut asks = Vec::new();
        for u in self.uplinks.values() {
            let line = u.lines.get(Family::V4);
            let source = line.egress.as_ref().map(|egress| egress.source);
            let hidden = source.is_some_and(|ip| reach(ip) != Reach::Everywhere);
            let fitness = u.fitness(&self.config, &self.uplinks.shared, Family::V4, now.mono);
            let proven = !matches!(fitness, Standing::Unfit(_) | Standing::Unproven);
            if !hidden || !proven || !wanted(u) {
                self.names.outsides.forget(u.id);
            } else {
                let path = path(u.id, line);
                if self.names.outsides.take(&path, now.mono) {
                    asks.push(OutsideRequest { path, servers: servers.clone() });
                }
            }
        }
        self.outputs.extend(asks.into_iter().map(Output::Outside));
    }

    /// Somebody has said as whom the Internet sees an uplink.
    pub(in crate::engine) fn seen_outside(&mut self, reply: &OutsideReply, now: Now) {
        let metered = self.uplinks.get(&reply.uplink).is_some_and(|u| u.config.metered);
        let cost = if metered { Cost::Metered } else { Cost::Free };
        self.names.outsides.heard(reply, cost, now.mono);
    }

    /// A request for a name has ended.
    pub(in crate::engine) fn name_asked(&mut self, reply: &NameReply, now: Now) {
        let Some(config) = self.config.ddns.iter().find(|c| c.name == reply.name).cloned() else {
            return;
        };
        let follower = self.names.followers.of(&reply.name);
        let Some(news) = follower.ended(reply, now) else { return };
        let name = reply.name.clone();
        match news {
            News::Written => {
                let says = follower.says();
                let of = follower.owners().clone();
                if !config.updater.answers() {
                    let house = &mut self.telling.housekeeping;
                    let last = house.save_at - SAVE_EVERY;
                    house.save_at = house.save_at.min(now.mono.max(last + KEPT_EVERY));
                }
                let uplinks = [of.v4, of.v6].into_iter().flatten();
                let mut uplinks: Vec<String> = uplinks.collect();
                uplinks.dedup();
                self.record(Fact::NameWritten { name, v4: says.v4, v6: says.v6, uplinks }, now);
            }
            News::Fails { why, stays } => self.record(Fact::NameFails { name, why, stays }, now),
        }
    }

    /// What a name should say now.
    pub(super) fn wish(&self, config: &DdnsConfig, now: Now) -> Wish {
        let lines = PerFamily {
            v4: self.line_of(config, Family::V4, now),
            v6: self.line_of(config, Family::V6, now),
        };
        let mut wish = Wish {
            repeats: !config.updater.answers(),
            clock: !config.updater.needs_the_clock() || now.utc.is_some(),
            ..Wish::default()
        };
        for (family, line) in lines.iter().filter(|(family, _)| *config.families.get(*family)) {
            let record = match line {
                Line::Unproven => {
                    wish.doubt = true;
                    Record::Keep
                }
                Line::Dead => Record::Keep,
                Line::Leads(u) => {
                    let fitness = u.fitness(&self.config, &self.uplinks.shared, family, now.mono);
                    wish.doubt |= fitness == Standing::Suspected;
                    let behind = config.behind_nat;
                    match self.public(u, family) {
                        Some(Public::Is(ip)) => Record::Is(ip),
                        // What is seen of a line behind the provider's NAT is shared with others.
                        Some(Public::Behind { own, seen: Some(ip) })
                            if behind
                                && reach(own) != Reach::Provider
                                && reach(ip) == Reach::Everywhere =>
                        {
                            Record::Is(ip)
                        }
                        Some(Public::Asking) if behind => {
                            wish.doubt = true;
                            Record::Keep
                        }
                        Some(Public::Behind { seen: None, .. }) if behind => Record::Keep,
                        Some(Public::Behind { .. } | Public::Asking) | None => Record::None,
                    }
                }
            };
            let removes = config.updater.answers();
            let kept = if record == Record::None && !removes { Record::Keep } else { record };
            *wish.records.get_mut(family) = kept;
        }
        // Whoever asks by the other IP version gets in; by one whose line is dead nobody would.
        let leads = wish.records.iter().any(|(_, record)| matches!(record, Record::Is(_)));
        if leads && config.uplink.is_none() && config.updater.answers() {
            for (family, line) in lines.iter().filter(|(f, _)| *config.families.get(*f)) {
                if matches!(line, Line::Dead) {
                    *wish.records.get_mut(family) = Record::None;
                }
            }
        }
        wish
    }

    /// By which address the Internet reaches an uplink; `None`: by none of this IP version.
    fn public(&self, u: &Uplink, family: Family) -> Option<Public> {
        let source: IpAddr = u.lines.get(family).egress.as_ref()?.source;
        match family {
            Family::V4 => Some(self.names.outsides.public(u.id, source)),
            Family::V6 => (reach(source) == Reach::Everywhere).then_some(Public::Is(source)),
        }
    }

    /// Behind whose router the uplink is that a name follows, if its address is not written for that.
    pub(super) fn hidden(&self, config: &DdnsConfig, now: Now) -> Option<String> {
        let Line::Leads(u) = self.line_of(config, Family::V4, now) else { return None };
        let written = matches!(self.wish(config, now).records.v4, Record::Is(_));
        let public = self.public(u, Family::V4).filter(|_| config.families.v4 && !written)?;
        public.words(&u.config.name)
    }

    /// The line that a name follows.
    fn line_of(&self, config: &DdnsConfig, family: Family, now: Now) -> Line<'_> {
        let uplink = match &config.uplink {
            Some(name) => self.uplinks.values().find(|u| u.config.name == *name),
            None => self.active_of(family),
        };
        let Some(u) = uplink else { return Line::Dead };
        match u.fitness(&self.config, &self.uplinks.shared, family, now.mono) {
            Standing::Ready
            | Standing::Suspected
            | Standing::Lossy
            | Standing::Nameless
            | Standing::Barred => Line::Leads(u),
            Standing::Unproven => Line::Unproven,
            Standing::Unfit(_) | Standing::Paused => Line::Dead,
        }
    }

    fn active_of(&self, family: Family) -> Option<&Uplink> {
        self.uplinks.get(&self.choice.active.get(family).uplink?)
    }

    /// Whose addresses a name should have.
    pub(super) fn owners(&self, config: &DdnsConfig, now: Now) -> PerFamily<Option<String>> {
        let of = |family| match self.line_of(config, family, now) {
            Line::Leads(u) if *config.families.get(family) => Some(u.config.name.clone()),
            Line::Leads(_) | Line::Unproven | Line::Dead => None,
        };
        PerFamily { v4: of(Family::V4), v6: of(Family::V6) }
    }

    /// By which uplinks a server is told: those whose addresses it is told.
    fn paths_of(&self, config: &DdnsConfig, now: Now) -> Vec<Path> {
        let path = |family| match self.line_of(config, family, now) {
            Line::Leads(u) => Some(path(u.id, u.lines.get(family))),
            Line::Unproven | Line::Dead => None,
        };
        Family::BOTH.into_iter().filter_map(path).collect()
    }
}
