//! Others have a say in where packets go: it is heeded, and told.

use ipnet::IpNet;

use crate::engine::Engine;
use crate::engine::dataplane::followers::leads_to_main;
use crate::engine::dataplane::wanted::Wanted;
use crate::engine::events::facts::Fact;
use crate::engine::kernel::claims::{Known, claims, foreign_default, whole_marks};
use crate::engine::uplink::Uplink;
use crate::engine::uplink::hosts::{hosts, new};
use crate::time::Now;
use crate::units::{Family, PerFamily};

impl Engine {
    /// Looks at whom others want to have where.
    pub(in crate::engine) fn heed(&mut self, now: Now) {
        let claims = claims(&self.seen.view, &self.known());
        let hosts = hosts(self.uplinks.values().map(Uplink::owner), &self.seen.view);
        let before = std::mem::replace(&mut self.seen.hosts, hosts);
        let to_main: Vec<_> =
            self.seen.view.rules.iter().filter(|rule| leads_to_main(rule)).cloned().collect();
        let rules = self.seen.to_main != to_main;
        self.seen.to_main = to_main;
        if self.seen.claims.set(claims) || self.seen.hosts != before || rules {
            self.kernel.replan();
            self.telling.look = true;
        }
        for host in new(&self.seen.hosts, &before) {
            if self.seen.hosts_told.insert(IpNet::from(host)) {
                self.record(Fact::HostFollows { host }, now);
            }
        }
        if self.seen.hosts_told.len() > MOST_TOLD {
            self.seen.hosts_told.clone_from(&self.seen.hosts);
        }
        self.tell_claims(now);
    }

    /// Tells of claims that are new, and of those that are over.
    pub(in crate::engine) fn tell_claims(&mut self, now: Now) {
        let (new, over) = self.seen.claims.news(now.mono);
        for claim in new {
            self.record(Fact::Claimed { claim }, now);
        }
        for claim in over {
            self.record(Fact::ClaimOver { claim }, now);
        }
    }

    /// What is to be wanted in the kernel on their account.
    pub(super) fn want_what_others_want(&self, wanted: &mut Wanted) {
        let known = self.known();
        let heeded = |family| foreign_default(&self.seen.view, &known, family).copied();
        wanted.heeded = PerFamily { v4: heeded(Family::V4), v6: heeded(Family::V6) };
        for family in Family::BOTH {
            let narrowed = wanted.narrowed.get_mut(family).as_mut();
            // Where `main` is passed over, what is heeded stands beside it.
            narrowed.into_iter().for_each(|n| n.kept.extend(heeded(family)));
        }
        wanted.to_main.clone_from(&self.seen.to_main);
        wanted.hosts.clone_from(&self.seen.hosts);
        wanted.claimed_marks = whole_marks(&self.seen.view.rules);
    }

    fn known(&self) -> Known {
        Known::new(self.interfaces().into_iter().collect(), &self.config, &self.seen.view)
    }
}

/// Hosts that were told of, at most.
const MOST_TOLD: usize = 64;

#[cfg(test)]
mod tests;
