//! Firewalls of others: which uplinks they close to the LAN, and what follows.

use std::collections::BTreeMap;

use crate::engine::events::facts::Fact;
use crate::engine::kernel::firewall::Way;
use crate::engine::output::Output;
use crate::engine::uplink::ways::ways;
use crate::engine::{Engine, Mode};
use crate::time::{Instant, Now};
use crate::units::{Family, IfIndex, PerFamily, UplinkId};

impl Engine {
    /// When others' firewalls are looked at next; without a LAN never.
    pub(in crate::engine) fn firewalls_due(&self) -> Option<Instant> {
        let looks = self.config.lan.is_some() && self.life.mode == Mode::Steer;
        looks.then(|| self.seen.firewalls.deadline())
    }

    /// Asks whether others let the LAN out, when it is time.
    pub(in crate::engine) fn look_at_firewalls(&mut self, now: Now) {
        let due = self.firewalls_due().is_some_and(|at| at <= now.mono);
        if due && self.life.started.is_some() {
            self.seen.firewalls.asked(now.mono);
            let ways = self.seen.firewalls.ways.clone();
            self.outputs.push_back(Output::LookAtFirewalls(ways));
        }
    }

    /// Interfaces have come, gone or been given other addresses.
    pub(in crate::engine) fn follow_ways(&mut self) {
        let lan = self.config.lan.as_ref().map_or(&[][..], |lan| &lan.interfaces);
        let of = |id: &UplinkId| {
            let u = self.uplinks.get(id)?;
            Some(ways(lan, &u.attachment, &self.seen.view))
        };
        let ways: Vec<Way> = self.uplinks.chain.iter().filter_map(of).flatten().collect();
        if ways != self.seen.firewalls.ways {
            self.seen.firewalls.ways = ways;
            self.seen.firewalls.look();
        }
    }

    /// Takes the answer.
    pub(in crate::engine) fn firewalls_seen(
        &mut self,
        closed: &PerFamily<BTreeMap<IfIndex, String>>,
        now: Now,
    ) {
        if !self.seen.firewalls.seen(closed, now.mono) {
            return;
        }
        let before = self.uplinks.shared.barred.clone();
        self.choice.undecided = true;
        self.refresh_shared(now);
        let after = self.uplinks.shared.barred.clone();
        for family in Family::BOTH {
            let (old, new) = (before.get(family), after.get(family));
            self.tell_barred(family, &fewer(new, old), Bar::Up, now);
            self.tell_barred(family, &fewer(old, new), Bar::Gone, now);
        }
    }

    fn tell_barred(
        &mut self,
        family: Family,
        uplinks: &BTreeMap<UplinkId, String>,
        bar: Bar,
        now: Now,
    ) {
        for (id, firewall) in uplinks {
            let (uplink, firewall) = (self.name(*id), firewall.clone());
            let barred = bar == Bar::Up;
            self.record(Fact::Barred { uplink, family, firewall, barred }, now);
        }
    }

    /// The uplinks that are closed to the LAN for longer than a moment, and by whom.
    pub(in crate::engine) fn barred_uplinks(&self) -> PerFamily<BTreeMap<UplinkId, String>> {
        let of = |family: Family| {
            let closed = |id: &UplinkId| {
                let (index, _) = self.uplinks.get(id)?.attachment.link.as_ref()?;
                let by = self.seen.firewalls.closed(*index, family)?;
                Some((*id, by.to_owned()))
            };
            self.uplinks.chain.iter().filter_map(closed).collect()
        };
        PerFamily { v4: of(Family::V4), v6: of(Family::V6) }
    }

    /// Who closes an uplink to the LAN, in whatever family.
    pub(in crate::engine) fn barred_by(&self, id: UplinkId) -> Option<&str> {
        let barred = &self.uplinks.shared.barred;
        barred.iter().find_map(|(_, all)| all.get(&id)).map(String::as_str)
    }
}

/// Whether a bar has come or gone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bar {
    Up,
    Gone,
}

/// Those that are not among the others, whoever closes them there.
fn fewer(
    of: &BTreeMap<UplinkId, String>,
    others: &BTreeMap<UplinkId, String>,
) -> BTreeMap<UplinkId, String> {
    let new = of.iter().filter(|(id, _)| !others.contains_key(id));
    new.map(|(id, by)| (*id, by.clone())).collect()
}
