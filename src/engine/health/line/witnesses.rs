//! Who answers, and from how far. Some modems answer in the name of a well-known target: that answer comes
//! from no farther than the modem itself, while the other targets are far.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The quickest answers of a line's gateway and of its targets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Witnesses {
    gateway: Option<Duration>,
    quickest: BTreeMap<IpAddr, Duration>,
}

/// How closely an answer is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scrutiny {
    /// The line is well: an answer is doubted only if it is as quick as the gateway's.
    Usual,
    /// Everything else may be silent: an answer that is much quicker than the others' ever were is doubted.
    Strict,
}

impl Witnesses {
    pub(super) fn gateway_answered(&mut self, rtt: Duration) {
        self.gateway = Some(self.gateway.map_or(rtt, |quickest| quickest.min(rtt)));
    }

    /// A target gave an answer that measures.
    pub(super) fn answered(&mut self, target: IpAddr, rtt: Duration) {
        let quickest = self.quickest.entry(target).or_insert(rtt);
        *quickest = rtt.min(*quickest);
    }

    /// Whether an answer that took so long may be the modem's own.
    pub(super) fn is_doubtful(
        &self,
        target: IpAddr,
        rtt: Duration,
        targets: &[IpAddr],
        scrutiny: Scrutiny,
    ) -> bool {
        let Some(gateway) = self.gateway else {
            return false;
        };
        let near = match scrutiny {
            Scrutiny::Usual => gateway * 3 / 2 + Duration::from_micros(300),
            Scrutiny::Strict => gateway * 3 + Duration::from_millis(2),
        };
        let is_far = |ip: &&IpAddr| self.quickest.get(*ip).is_some_and(|q| *q > near * 3 / 2);
        rtt <= near && targets.iter().filter(|ip| **ip != target).any(|ip| is_far(&ip))
    }

    /// Whether a target has always been answered by the modem.
    pub(super) fn is_near(&self, target: IpAddr, targets: &[IpAddr]) -> bool {
        let quickest = self.quickest.get(&target);
        quickest.is_some_and(|rtt| self.is_doubtful(target, *rtt, targets, Scrutiny::Usual))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn what_is_as_near_as_the_modem_is_doubted_only_where_others_are_far() {
        let targets = ["1.1.1.1", "8.8.8.8", "9.9.9.9"].map(|ip| ip.parse().unwrap());
        let [a, b, c] = targets;
        let mut witnesses = Witnesses::default();
        let doubts = |w: &Witnesses, ip, ms| w.is_doubtful(ip, MS(ms), &targets, Scrutiny::Strict);
        for ip in [a, b, c] {
            witnesses.answered(ip, MS(8));
        }
        assert!(!doubts(&witnesses, a, 1), "nobody knows how far the modem is");
        witnesses.gateway_answered(MS(1));
        assert!(doubts(&witnesses, a, 1));
        assert!(!doubts(&witnesses, a, 8), "control: as far as ever");
        assert!(!witnesses.is_near(a, &targets));
        witnesses.answered(a, MS(1));
        assert!(witnesses.is_near(a, &targets) && !witnesses.is_near(b, &targets));
        witnesses.answered(b, MS(1));
        witnesses.answered(c, MS(1));
        assert!(!doubts(&witnesses, a, 1), "a line on which everything is near");
    }
}
