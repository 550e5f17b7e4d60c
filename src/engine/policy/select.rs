//! Selection: one uplink per family, or none; a reason for each uplink.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::events::facts::SwitchKind;
use crate::engine::health::Condition;
use crate::time::Instant;
use crate::units::UplinkId;

/// What selection knows of one uplink in one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Which uplink.
    pub id: UplinkId,
    /// Its place in the chain, 0 first.
    pub place: usize,
    /// Whether it may carry traffic at all.
    pub standing: Standing,
    /// A person put it first.
    pub manual: bool,
    /// It loses packets, or its names do not resolve, and another was measured to be better.
    pub troubled: bool,
    /// It answered since the active one is suspected.
    pub confirmed: bool,
    /// Since when it has been up without a break.
    pub up_since: Instant,
    /// How long it must have been up before traffic climbs back to it.
    pub hold: Duration,
    /// Loss is low enough to climb back.
    pub calm: bool,
}

/// Whether an uplink may carry traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Proven.
    Ready,
    /// Answers, but is short of something: better than nothing.
    LastResort,
    /// Being proven, or not heard of yet.
    Unproven,
    /// Known not to work.
    Unfit(Condition),
    /// A person set it aside.
    Paused,
}

/// How it stands with the uplink that carries the traffic now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incumbent {
    /// Which uplink.
    pub id: UplinkId,
    /// It works, or is merely suspected.
    pub alive: bool,
    /// It is dead beyond doubt, as seen on the box itself; or a person set it aside.
    pub hard: bool,
    /// It was taken at the start without proof.
    pub provisional: bool,
    /// It has been taken at the start, is being proven, and nothing speaks against it so far.
    pub proving: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Leave it as it is.
    Stay,
    /// Leave it as it is until then; this better uplink is waiting out its hold.
    StayUntil(Instant, UplinkId),
    /// Move the traffic.
    Move(UplinkId, SwitchKind),
    /// The active uplink is dead and no other is alive: stay, and say so.
    NoWayOut,
}

/// The order of preference: fields from first to last, smaller is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    not_manual: bool,
    last_resort: bool,
    troubled: bool,
    place: usize,
}

impl Candidate {
    const fn rank(&self) -> Rank {
        Rank {
            not_manual: !self.manual,
            last_resort: matches!(self.standing, Standing::LastResort),
            troubled: self.troubled,
            place: self.place,
        }
    }

    const fn may_carry(&self) -> bool {
        matches!(self.standing, Standing::Ready | Standing::LastResort)
    }
}

/// Decides for one family.
#[must_use]
pub fn select(chain: &[Candidate], incumbent: Option<Incumbent>, now: Instant) -> Decision {
    let best = |fits: &dyn Fn(&Candidate) -> bool| {
        chain.iter().filter(|c| c.may_carry() && fits(c)).min_by_key(|c| c.rank()).copied()
    };
    let Some(incumbent) = incumbent else {
        return best(&|_| true).map_or(Decision::Stay, |c| Decision::Move(c.id, SwitchKind::First));
    };
    let other = |c: &Candidate| c.id != incumbent.id;
    if incumbent.alive {
        return climb(chain, incumbent, now);
    }
    if incumbent.proving {
        // Whoever happens to be proven first is no reason to go there and back again.
        return Decision::Stay;
    }
    let kind = if incumbent.provisional { SwitchKind::First } else { SwitchKind::Failover };
    // Hard evidence leaves no doubt about the old one; a soft verdict wants proof of the new one,
    // because what silenced one line may have silenced all of them.
    let sure = |c: &Candidate| other(c) && (incumbent.hard || incumbent.provisional || c.confirmed);
    match best(&sure) {
        Some(c) => Decision::Move(c.id, kind),
        None if incumbent.provisional => Decision::Stay,
        None => Decision::NoWayOut,
    }
}

/// The incumbent works: is there a better one, and may traffic move there yet?
fn climb(chain: &[Candidate], incumbent: Incumbent, now: Instant) -> Decision {
    let Some(own) = chain.iter().find(|c| c.id == incumbent.id) else {
        return Decision::Stay;
    };
    let better = chain.iter().filter(|c| c.standing == Standing::Ready && c.rank() < own.rank());
    let Some(best) = better.min_by_key(|c| c.rank()) else {
        return Decision::Stay;
    };
    if best.manual {
        return manual_or_wait(best, now);
    }
    if incumbent.provisional {
        return Decision::Move(best.id, SwitchKind::First);
    }
    if own.troubled && !best.troubled {
        return Decision::Move(best.id, SwitchKind::Quality);
    }
    if !best.calm {
        return Decision::Stay;
    }
    let due = best.up_since + best.hold;
    if due <= now {
        Decision::Move(best.id, SwitchKind::Failback)
    } else {
        Decision::StayUntil(due, best.id)
    }
}

/// A person's choice is followed at once; returning to it after it had died waits like any failback.
fn manual_or_wait(best: &Candidate, now: Instant) -> Decision {
    let due = best.up_since + best.hold;
    if best.hold.is_zero() {
        Decision::Move(best.id, SwitchKind::Manual)
    } else if due <= now {
        Decision::Move(best.id, SwitchKind::Failback)
    } else {
        Decision::StayUntil(due, best.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: Duration = Duration::from_secs(60);

    fn at(s: u64) -> Instant {
        Instant::from_micros(s * 1_000_000)
    }

    fn candidate(n: u8, standing: Standing) -> Candidate {
        Candidate {
            id: UplinkId::new(n).unwrap(),
            place: usize::from(n),
            standing,
            manual: false,
            troubled: false,
            confirmed: true,
            up_since: at(0),
            hold: HOLD,
            calm: true,
        }
    }

    fn on(n: u8, alive: bool) -> Option<Incumbent> {
        let id = UplinkId::new(n).unwrap();
        Some(Incumbent { id, alive, hard: false, provisional: false, proving: false })
    }

    fn moved(decision: Decision) -> Option<(u8, SwitchKind)> {
        match decision {
            Decision::Move(id, kind) => Some((id.get(), kind)),
            Decision::Stay | Decision::StayUntil(..) | Decision::NoWayOut => None,
        }
    }

    use Standing::{LastResort, Ready, Unproven};

    #[test]
    fn falls_to_the_first_that_answered() {
        let mut chain = [
            candidate(1, Standing::Unfit(Condition::BeyondModem)),
            Candidate { confirmed: false, ..candidate(2, Ready) },
            candidate(3, Ready),
        ];
        assert_eq!(moved(select(&chain, on(1, false), at(9))), Some((3, SwitchKind::Failover)));
        chain[2].confirmed = false;
        assert_eq!(select(&chain, on(1, false), at(9)), Decision::NoWayOut);
        let hard = on(1, false).map(|i| Incumbent { hard: true, ..i });
        assert_eq!(moved(select(&chain, hard, at(9))), Some((2, SwitchKind::Failover)));
    }

    #[test]
    fn climbs_back_only_after_the_hold_and_only_when_calm() {
        let mut chain = [candidate(1, Ready), candidate(2, Ready)];
        let first = UplinkId::new(1).unwrap();
        assert_eq!(select(&chain, on(2, true), at(59)), Decision::StayUntil(at(60), first));
        assert_eq!(moved(select(&chain, on(2, true), at(60))), Some((1, SwitchKind::Failback)));
        chain[0].calm = false;
        assert_eq!(select(&chain, on(2, true), at(60)), Decision::Stay);
        chain[0] = candidate(1, LastResort);
        assert_eq!(select(&chain, on(2, true), at(60)), Decision::Stay, "never climb to that");
    }

    #[test]
    fn an_unproven_or_paused_uplink_never_carries() {
        for standing in [Unproven, Standing::Paused, Standing::Unfit(Condition::Portal)] {
            let chain = [candidate(1, standing)];
            assert_eq!(select(&chain, None, at(9)), Decision::Stay);
            assert_eq!(select(&chain, on(2, false), at(9)), Decision::NoWayOut);
        }
        let chain = [candidate(1, LastResort)];
        assert_eq!(moved(select(&chain, on(2, false), at(9))), Some((1, SwitchKind::Failover)));
    }

    #[test]
    fn a_person_and_quality_come_before_the_chain() {
        let mut chain = [candidate(1, Ready), candidate(2, Ready)];
        chain[1].manual = true;
        chain[1].hold = Duration::ZERO;
        assert_eq!(moved(select(&chain, on(1, true), at(1))), Some((2, SwitchKind::Manual)));
        assert_eq!(select(&chain, on(2, true), at(999)), Decision::Stay, "and it stays");
        chain[1].manual = false;
        chain[0].troubled = true;
        assert_eq!(moved(select(&chain, on(1, true), at(1))), Some((2, SwitchKind::Quality)));
        assert_eq!(select(&chain, on(2, true), at(999)), Decision::Stay);
    }

    #[test]
    fn the_first_choice_needs_no_hold() {
        let chain = [candidate(1, Ready), candidate(2, Ready)];
        let provisional = on(2, true).map(|i| Incumbent { provisional: true, ..i });
        assert_eq!(moved(select(&chain, provisional, at(1))), Some((1, SwitchKind::First)));
        assert_eq!(moved(select(&chain, None, at(1))), Some((1, SwitchKind::First)));
        let proving = on(2, false).map(|i| Incumbent { provisional: true, proving: true, ..i });
        assert_eq!(select(&chain, proving, at(1)), Decision::Stay);
    }
}
