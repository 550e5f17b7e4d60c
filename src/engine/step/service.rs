//! What is kept of how each uplink serves, so that outages can be reckoned later.

use crate::engine::Engine;
use crate::engine::health::proof::Finding;
use crate::engine::health::{Condition, Health, Transition};
use crate::engine::status::service::Service;
use crate::engine::uplink::Uplink;
use crate::engine::uplink::standing::Standing;
use crate::time::{Instant, Now};
use crate::units::{Family, UplinkId};

impl Engine {
    /// Notes when a line was lost, or was back, better than the verdict does.
    pub(in crate::engine) fn note_turn(
        &mut self,
        id: UplinkId,
        family: Family,
        turned: Transition,
        now: Now,
    ) {
        let Some(u) = self.uplinks.get(&id) else { return };
        let line = u.lines.get(family);
        match (turned.from, turned.to) {
            (Health::Down { .. }, Health::Down { .. }) => {}
            (_, Health::Down { condition, .. }) => {
                let at = line.died_at(condition, now.mono);
                self.telling.service.lost(id, family, at);
            }
            (_, Health::Recovering { .. }) => {
                let at = line.back_at(turned, now.mono);
                self.telling.service.back(id, family, at);
            }
            (_, Health::Unknown | Health::Up { .. } | Health::Failing { .. }) => {}
        }
    }

    /// Books how every uplink serves, if that may have changed.
    pub(in crate::engine) fn watch_service(&mut self, now: Now) {
        if !self.telling.look || self.life.started.is_none() {
            return;
        }
        self.telling.service.keep(&self.uplinks.chain);
        for id in self.uplinks.chain.clone() {
            for family in Family::BOTH {
                if let Some((service, since)) = self.serves(id, family, now) {
                    self.telling.service.note(id, family, service, since);
                }
            }
            let name = self.name(id);
            if let Some(fact) = self.telling.service.news(id, &name, now.mono) {
                self.record(fact, now);
            }
        }
    }

    /// How a line serves, and since when; `None`: as before.
    fn serves(&self, id: UplinkId, family: Family, now: Now) -> Option<(Service, Instant)> {
        let u = self.uplinks.get(&id)?;
        let line = u.lines.get(family);
        let (lost, back) = self.telling.service.turned(id, family);
        if line.egress.is_none() {
            let missing = !self.telling.service.worked(id, family) && u.present().next().is_some();
            let speaks = family == Family::V4 || self.telling.service.worked(id, family);
            let fault = u.fault(family);
            return (speaks && !missing).then_some((Service::Fails(fault), now.mono));
        }
        let died = matches!(line.health, Health::Down { .. });
        let proving = matches!(line.health, Health::Recovering { .. });
        let wrong = matches!(line.proof.http(), Finding::Wrong(_));
        Some(match u.fitness(&self.config, &self.uplinks.shared, family, now.mono) {
            Standing::Ready | Standing::Suspected | Standing::Lossy => {
                (Service::Works, self.works_since_then(u, family, back, now))
            }
            // What was found before it died says nothing of how it is now.
            Standing::Nameless | Standing::Unfit(_) if proving && !wrong => return None,
            Standing::Nameless => (Service::Fails(Condition::DnsBroken), line.unnamed_at(now.mono)),
            Standing::Barred => (Service::Fails(Condition::Barred), now.mono),
            Standing::Unfit(condition) if died => (Service::Fails(condition), lost),
            Standing::Unfit(condition @ (Condition::Portal | Condition::NoWeb)) => {
                (Service::Fails(condition), line.unpaged_at(now.mono))
            }
            Standing::Unfit(condition) => (Service::Fails(condition), now.mono),
            Standing::Unproven | Standing::Paused => return None,
        })
    }

    /// Since when a line works that does so now: since it answered, or since its checks went well.
    fn works_since_then(&self, u: &Uplink, family: Family, back: Instant, now: Now) -> Instant {
        match self.telling.service.service(u.id, family) {
            Service::Fails(Condition::DnsBroken | Condition::Portal | Condition::NoWeb) => {
                u.lines.get(family).well_at(now.mono)
            }
            Service::Fails(Condition::Barred) => now.mono,
            Service::Fails(_) | Service::Works | Service::Unknown => back.min(now.mono),
        }
    }
}
