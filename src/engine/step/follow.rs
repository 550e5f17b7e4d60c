//! What follows from where the uplinks and the LAN are: resolvers, and the page's addresses.

use std::net::IpAddr;

use crate::engine::Engine;
use crate::engine::health::Health;
use crate::engine::lan::listen::places;
use crate::engine::names::resolvers::{MOST, Named, Nameserver, OWN, Resolvers, own};
use crate::engine::names::resolvers::{is_private, is_scoped};
use crate::engine::output::Output;
use crate::units::{Family, UplinkId};

impl Engine {
    /// The system names other resolvers now.
    pub(in crate::engine) fn resolvers_named(&mut self, named: Named) {
        self.names.named = named;
        self.learn_resolvers();
    }

    /// Works out anew which resolvers each uplink has.
    pub(in crate::engine) fn learn_resolvers(&mut self) {
        for uplink in self.uplinks.values_mut() {
            uplink.resolvers = own(uplink, &self.names.named, &self.seen.view);
        }
        self.choice.undecided = true;
    }

    /// Tells whom to ask for names, if that has changed.
    pub(in crate::engine) fn follow_resolvers(&mut self) {
        let Some(now) = self.resolvers_now() else { return };
        if self.names.resolvers.as_ref() != Some(&now) {
            self.names.resolvers = Some(now.clone());
            self.outputs.push_back(Output::Resolvers(now));
        }
    }

    /// Whom to ask for names; `None` while nothing works: then whoever was asked last stays, for
    /// nobody would be better.
    fn resolvers_now(&self) -> Option<Resolvers> {
        let carrying = |family: Family| {
            let u = self.uplinks.get(&self.choice.active.get(family).uplink?)?;
            let line = u.lines.get(family);
            let dead = matches!(line.health, Health::Down { .. });
            (line.egress.is_some() && !dead).then_some(u)
        };
        let (v4, v6) = (carrying(Family::V4), carrying(Family::V6));
        let first = v4.or(v6)?;
        let second = v6.filter(|u| u.id != first.id);
        let (mut good, mut silent) = (Vec::new(), Vec::new());
        for u in [Some(first), second].into_iter().flatten() {
            for ip in &u.resolvers {
                let family = Family::of(ip);
                let carries = carrying(family).is_some_and(|carrier| carrier.id == u.id);
                if !carries || ip.is_loopback() || self.is_ambiguous(*ip, u.id) {
                    continue;
                }
                let scope = u.attachment.link.as_ref().filter(|_| is_scoped(*ip));
                let scope = scope.map(|(_, name)| name.clone());
                let conduct = u.lines.get(family).proof.conduct();
                let list = if conduct.is_silent(ip) { &mut silent } else { &mut good };
                list.push(Nameserver { address: *ip, scope });
            }
        }
        let public = Family::BOTH.into_iter().filter(|f| carrying(*f).is_some());
        let public = public.flat_map(|family| self.config.probe.targets(family).iter().copied());
        let public = public.filter(|ip| !is_private(*ip));
        let public = public.map(|address| Nameserver { address, scope: None });
        let own_are_silent = good.is_empty() && !silent.is_empty();
        let rest = good.split_off(good.len().min(OWN));
        let mut list: Vec<Nameserver> = Vec::new();
        for nameserver in good.into_iter().chain(public).chain(rest).chain(silent) {
            if list.len() < MOST && !list.contains(&nameserver) {
                list.push(nameserver);
            }
        }
        let uplinks = [Some(first), second].into_iter().flatten();
        let uplinks = uplinks.map(|u| u.config.name.clone()).collect();
        Some(Resolvers { uplinks, own_are_silent, list })
    }

    /// Whether an address lies in the subnet of another uplink, too (two modems of one make): then
    /// the kernel's connected routes decide who gets the question.
    fn is_ambiguous(&self, ip: IpAddr, of: UplinkId) -> bool {
        let others = self.uplinks.values().filter(|u| u.id != of);
        !is_scoped(ip)
            && others
                .flat_map(|u| &u.attachment.near)
                .any(|net| net.prefix_len() > 0 && net.contains(&ip))
    }
}

impl Engine {
    /// Says where the page is to be found when that is somewhere else now.
    pub(in crate::engine) fn follow_lan(&mut self) {
        let (listen, lan) = (&self.config.web.listen, self.config.lan.as_ref());
        let places = places(listen, lan, &self.seen.view, &self.interfaces());
        if places != self.lan.page {
            self.lan.page.clone_from(&places);
            self.outputs.push_back(Output::Listen(places));
        }
    }
}

#[cfg(test)]
mod tests;
