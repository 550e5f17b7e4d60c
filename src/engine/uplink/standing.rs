//! What an uplink is good for now: the one definition that selection, roles, LEDs, metrics, page and
//! messages share.

use serde::{Deserialize, Serialize};

use super::{SharedContext, Uplink};
use crate::config::Config;
use crate::engine::health::line::Line;
use crate::engine::health::proof::Finding;
use crate::engine::health::{Condition, Health};
use crate::time::Instant;
use crate::units::Family;

/// What an uplink is good for, in one family or as a whole; best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Proven, and nothing is wrong with it.
    Ready,
    /// Ready until a moment ago: a late answer is being looked into, and until that is settled traffic
    /// does not move here.
    Suspected,
    /// Proven, and it loses many packets.
    Lossy,
    /// It answers, but no names resolve by it.
    Nameless,
    /// It answers, but a firewall of somebody else on this box does not let the LAN out by it, or the
    /// answers back in.
    Barred,
    /// Being proven, or nothing is known of it yet.
    Unproven,
    /// Known not to work, and why.
    Unfit(Condition),
    /// A person stopped using it for now.
    Paused,
}

/// How much of the Internet people get by a line that answers; best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    Well,
    Lossy,
    /// Next to nothing: a sign-in page, no names, or a firewall in the way.
    None,
}

impl Standing {
    /// Whether it could take over now and people would notice nothing amiss. A suspicion takes this from
    /// no uplink: most end with the next answer.
    #[must_use]
    pub const fn is_ready(self) -> bool {
        matches!(self, Self::Ready | Self::Suspected)
    }

    /// Whether traffic may move to it if nothing better is left.
    #[must_use]
    pub const fn may_carry(self) -> bool {
        matches!(self, Self::Ready | Self::Lossy | Self::Nameless | Self::Barred)
    }

    /// Whether it leads to the Internet for all that is known: traffic that is on it is carried.
    #[must_use]
    pub const fn carries(self) -> bool {
        !matches!(self, Self::Unfit(_) | Self::Barred)
    }

    /// How much of the Internet people get by it.
    #[must_use]
    pub const fn usable(self) -> Use {
        match self {
            Self::Ready | Self::Suspected | Self::Unproven => Use::Well,
            Self::Lossy => Use::Lossy,
            Self::Nameless | Self::Barred | Self::Unfit(_) | Self::Paused => Use::None,
        }
    }
}

impl Uplink {
    /// What it is good for in one family; a pause stands above everything else.
    #[must_use]
    pub(in crate::engine) fn standing(
        &self,
        config: &Config,
        shared: &SharedContext,
        family: Family,
        now: Instant,
    ) -> Standing {
        if self.paused.is_some() {
            return Standing::Paused;
        }
        self.fitness(config, shared, family, now)
    }

    /// The same without regard to a pause: what becomes of traffic that is on it.
    #[must_use]
    pub(in crate::engine) fn fitness(
        &self,
        config: &Config,
        shared: &SharedContext,
        family: Family,
        now: Instant,
    ) -> Standing {
        let line = self.lines.get(family);
        if line.egress.is_none() {
            return Standing::Unfit(self.fault(family));
        }
        let s = self.context(config, shared, family, now);
        // Pages that do not answer while they do elsewhere are enough not to go there; of a line that is
        // in use, and may be slow because it is, a page of its own has to have been seen.
        let portal = if *shared.active.get(family) == Some(self.id) {
            matches!(line.proof.http(), Finding::Wrong(_)).then_some(Condition::Portal)
        } else {
            line.obstacle(&s).filter(|c| matches!(c, Condition::Portal | Condition::NoWeb))
        };
        match line.health {
            Health::Down { condition, .. } => Standing::Unfit(condition),
            Health::Unknown => Standing::Unproven,
            Health::Up { .. } | Health::Failing { .. } if portal.is_some() => {
                Standing::Unfit(portal.unwrap_or(Condition::Portal))
            }
            Health::Up { .. } | Health::Failing { .. } if shared.barred(self.id, family) => {
                Standing::Barred
            }
            Health::Up { .. } | Health::Failing { .. } if line.dns_is_broken() => {
                Standing::Nameless
            }
            Health::Failing { .. } => Standing::Suspected,
            Health::Up { .. } if line.quality.is_degraded() => Standing::Lossy,
            Health::Up { .. } => Standing::Ready,
            Health::Recovering { .. } if line.is_last_resort(&s) => Standing::Nameless,
            Health::Recovering { .. } => match line.obstacle(&s) {
                None | Some(Condition::Ok) => Standing::Unproven,
                Some(condition) => Standing::Unfit(condition),
            },
        }
    }

    /// What it is good for as a whole: the worst of the families that it has. One that it never had is
    /// missing, which is no fault; one that is refused is.
    #[must_use]
    pub(in crate::engine) fn whole(
        &self,
        config: &Config,
        shared: &SharedContext,
        now: Instant,
    ) -> Standing {
        if self.paused.is_some() {
            return Standing::Paused;
        }
        if self.attachment.overlap().is_some() {
            return Standing::Unfit(Condition::OverlapsLan);
        }
        let of = |(family, _): (Family, &Line)| self.standing(config, shared, family, now);
        let worst = self.present().map(of).max();
        worst.unwrap_or_else(|| Standing::Unfit(self.fault(Family::V4)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_each_standing_allows() {
        use Standing::{Barred, Lossy, Nameless, Paused, Ready, Suspected, Unfit, Unproven};
        let portal = Unfit(Condition::Portal);
        // Ready, traffic may move to it, traffic that is on it is carried.
        let rows = [
            (Ready, true, true, true),
            (Suspected, true, false, true),
            (Lossy, false, true, true),
            (Nameless, false, true, true),
            (Barred, false, true, false),
            (Unproven, false, false, true),
            (portal, false, false, false),
            (Paused, false, false, true),
        ];
        for (standing, ready, may_carry, carries) in rows {
            let got = (standing.is_ready(), standing.may_carry(), standing.carries());
            assert_eq!(got, (ready, may_carry, carries), "{standing:?}");
        }
        assert!(Ready.usable() < Lossy.usable() && Lossy.usable() < portal.usable());
        assert_eq!(portal.usable(), Nameless.usable(), "nobody moves from one to the other");
        assert_eq!(portal.usable(), Barred.usable(), "nobody moves from one to the other");
    }
}
