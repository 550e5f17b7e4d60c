//! Selection: which uplink carries a slot's traffic, and why each of the others does not. A slot is an
//! IP version.
//!
//! The rules, in the order in which they are applied:
//! 1. Nothing carries the slot yet: the best takes it. Best is who gives people the most of the Internet
//!    (next to nothing < something), then a person's choice, then who loses the fewest packets (in steps of
//!    ten points), then the place in the chain.
//! 2. The one in use was taken at the start and is still being proven: it stays, because being proven
//!    first is no reason to go elsewhere and back again.
//! 3. The one in use is dead: the best other one takes over. Where only silence speaks against the old one
//!    (what silenced it may have silenced all), the new one must have answered since. If there is none,
//!    traffic stays, and all uplinks are down.
//! 4. The one in use answers, but people get next to nothing by it (a sign-in page, or no names): the best
//!    that gives more takes over at once, one that loses packets among them.
//! 5. A person chose the one in use: it stays. A person chose another one that gives people something: it
//!    takes over at once if the choice is fresh, and waits out its hold if it has been left since.
//! 6. The one in use was taken at the start, and one that comes before it in the chain is ready: that one
//!    takes over, without a hold.
//! 7. The one in use loses many packets and was measured beside the others: the one that loses the fewest
//!    takes over if it is better by enough.
//! 8. One that comes before it in the chain is ready and calm: it takes over when it has been up for its hold.
//! 9. Everything stays as it is.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::events::facts::SwitchKind;
use crate::engine::health::quality::BETTER_BY;
use crate::engine::uplink::standing::{Standing, Use};
use crate::time::Instant;
use crate::units::{LossPercent, UplinkId};

/// What selection knows of one uplink in one slot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    pub id: UplinkId,
    /// Its place in the chain, 0 first.
    pub place: usize,
    /// What it is good for.
    pub standing: Standing,
    /// What a person wants of it.
    pub choice: Choice,
    pub loss: Loss,
    /// How often it was left in the last hour; each time it must be better by more to be taken again.
    pub left: u8,
    /// It answered since the one in use is suspected.
    pub confirmed: bool,
    /// Since when it has been up without a break.
    pub up_since: Instant,
    /// How long it must have been up before traffic fails back to it.
    pub hold: Duration,
}

/// What a person wants of an uplink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    #[default]
    None,
    /// Chosen, and not left since.
    Fresh,
    /// Chosen, and left since because it failed.
    Left,
}

/// What is known of an uplink's loss.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Loss {
    /// Of the last probes, in percent.
    pub lately: LossPercent,
    /// As measured beside the one in use, if it was.
    pub beside: Option<LossPercent>,
    /// Low enough for long enough to go back to.
    pub calm: bool,
}

/// How it stands with the uplink that carries the traffic now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incumbent {
    pub id: UplinkId,
    /// How firmly it is in use.
    pub footing: Footing,
}

/// How firmly an uplink is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Footing {
    /// It answers, or is merely suspected.
    Firm,
    /// The same, but it was taken at the start without proof, and the choice is still open.
    Open,
    /// It was taken at the start, is being proven, and nothing speaks against it so far.
    Proving,
    /// It was taken at the start and has not proven itself.
    Failed,
    /// It is dead for all that is known: it is silent.
    Silent,
    /// It is dead beyond doubt, as seen on the box itself; or a person paused it.
    Gone,
}

impl Footing {
    #[must_use]
    pub const fn is_alive(self) -> bool {
        matches!(self, Self::Firm | Self::Open)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Leave it as it is.
    Stay,
    Move(UplinkId, SwitchKind),
    /// The one in use is dead and no other is alive: stay, and say so.
    AllDown,
}

/// Why an uplink carries the traffic, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It carries the traffic: none is better.
    InUse,
    /// It carries the traffic because a person chose it.
    Chosen,
    /// It carries the traffic only because none is alive.
    NothingElse,
    /// It is better and takes over then, if it holds until then.
    Holding(Instant),
    /// It would be better, but it loses packets now and then.
    NotCalm,
    /// A person chose another one.
    NotChosen,
    /// It has not answered since the one in use is suspected.
    Unconfirmed,
    /// It is ready, and comes after the one in use.
    Spare,
    /// It is worse than the one in use.
    Worse,
    /// Traffic may not move to it as it stands.
    Unusable(Standing),
}

/// What was decided for a slot, with a reason for each uplink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    pub decision: Decision,
    /// Why each uplink carries the slot's traffic after that, or does not.
    pub whys: BTreeMap<UplinkId, Why>,
}

/// The order of preference: fields from first to last, smaller is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    next_to_nothing: bool,
    not_chosen: bool,
    lossy: Use,
    tens_of_loss: u8,
    place: usize,
}

impl Candidate {
    fn rank(&self) -> Rank {
        let lossy = self.standing.usable();
        let loss = self.loss.beside.unwrap_or(self.loss.lately).0.clamp(0.0, 100.0);
        Rank {
            next_to_nothing: lossy == Use::None,
            not_chosen: self.choice == Choice::None,
            lossy,
            tens_of_loss: if lossy == Use::Lossy { (loss / BETTER_BY) as u8 } else { 0 },
            place: self.place,
        }
    }

    /// Whether people get something by it, and traffic may move to it.
    fn is_useful(&self) -> bool {
        matches!(self.standing, Standing::Ready | Standing::Lossy)
    }

    /// Whether it was measured to lose fewer packets than the one in use, by enough.
    fn is_better_than(&self, own: LossPercent) -> bool {
        let lossy = self.standing == Standing::Lossy;
        let times = if lossy { self.left.saturating_add(1) } else { 1 };
        let margin = BETTER_BY * f32::from(times);
        self.loss.beside.is_some_and(|loss| loss.0 + margin <= own.0)
    }

    /// When it may take over.
    fn due(&self) -> Instant {
        self.up_since + self.hold
    }
}

/// What one of the rules came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ruling {
    Decided(Decision),
    /// That one takes over then.
    Wait(UplinkId, Instant),
}

/// Decides for one slot.
#[must_use]
pub fn select(chain: &[Candidate], incumbent: Option<Incumbent>, now: Instant) -> Selection {
    let ruling = match incumbent {
        None => first(chain),
        Some(Incumbent { id, footing }) => match footing {
            Footing::Proving => Ruling::Decided(Decision::Stay),
            Footing::Failed | Footing::Silent | Footing::Gone => replace(chain, id, footing),
            Footing::Firm | Footing::Open => improve(chain, id, footing, now),
        },
    };
    let (decision, waiting) = match ruling {
        Ruling::Decided(decision) => (decision, None),
        Ruling::Wait(id, until) => (Decision::Stay, Some((id, until))),
    };
    let carrier = match decision {
        Decision::Move(to, _) => Some(to),
        Decision::Stay | Decision::AllDown => incumbent.map(|incumbent| incumbent.id),
    };
    let own = carrier.and_then(|id| chain.iter().find(|c| c.id == id));
    let why = |c: &Candidate| {
        let why = match waiting {
            Some((id, until)) if id == c.id => Why::Holding(until),
            _ => why(c, own, decision),
        };
        (c.id, why)
    };
    Selection { decision, whys: chain.iter().map(why).collect() }
}

fn first(chain: &[Candidate]) -> Ruling {
    let best = chain.iter().filter(|c| c.standing.may_carry()).min_by_key(|c| c.rank());
    Ruling::Decided(best.map_or(Decision::Stay, |c| Decision::Move(c.id, SwitchKind::First)))
}

/// Rule 3: the one in use is dead.
fn replace(chain: &[Candidate], own: UplinkId, footing: Footing) -> Ruling {
    let sure = |c: &&Candidate| footing != Footing::Silent || c.confirmed;
    let others = chain.iter().filter(|c| c.id != own && c.standing.may_carry());
    let best = others.filter(sure).min_by_key(|c| c.rank());
    Ruling::Decided(match (best, footing) {
        (Some(best), Footing::Failed) => Decision::Move(best.id, SwitchKind::First),
        (Some(best), _) => Decision::Move(best.id, SwitchKind::Failover),
        (None, Footing::Failed) => Decision::Stay,
        (None, _) => Decision::AllDown,
    })
}

/// Rules 4 to 9: the one in use answers.
fn improve(chain: &[Candidate], own: UplinkId, footing: Footing, now: Instant) -> Ruling {
    let stay = Ruling::Decided(Decision::Stay);
    let Some(own) = chain.iter().find(|c| c.id == own) else {
        return stay;
    };
    let useful = || chain.iter().filter(|c| c.id != own.id && c.is_useful());
    let take = |c: &Candidate, kind| Ruling::Decided(Decision::Move(c.id, kind));
    let when_due = |c: &Candidate| match c.due() {
        due if due <= now => take(c, SwitchKind::Failback),
        due => Ruling::Wait(c.id, due),
    };
    if own.standing.usable() == Use::None {
        let best = useful().min_by_key(|c| c.rank());
        return best.map_or(stay, |best| take(best, SwitchKind::Quality));
    }
    if own.choice != Choice::None {
        return stay;
    }
    match useful().find(|c| c.choice != Choice::None) {
        Some(chosen) if chosen.choice == Choice::Fresh => return take(chosen, SwitchKind::Manual),
        Some(chosen) => return when_due(chosen),
        None => {}
    }
    let before = |c: &&Candidate| c.standing == Standing::Ready && c.place < own.place;
    if footing == Footing::Open
        && let Some(best) = useful().find(before)
    {
        return take(best, SwitchKind::First);
    }
    if own.standing == Standing::Lossy
        && let Some(loss) = own.loss.beside
        && let Some(best) = useful().filter(|c| c.is_better_than(loss)).min_by_key(|c| c.rank())
    {
        return take(best, SwitchKind::Quality);
    }
    match useful().find(|c| before(c) && c.loss.calm) {
        Some(best) => when_due(best),
        None => stay,
    }
}

/// Why an uplink that does not wait for its hold carries the traffic, or does not.
fn why(c: &Candidate, own: Option<&Candidate>, decision: Decision) -> Why {
    let Some(own) = own else {
        return Why::Unusable(c.standing);
    };
    if c.id == own.id {
        return match (decision, own.choice) {
            (Decision::AllDown, _) => Why::NothingElse,
            (_, Choice::None) => Why::InUse,
            (_, Choice::Fresh | Choice::Left) => Why::Chosen,
        };
    }
    if !c.standing.may_carry() {
        Why::Unusable(c.standing)
    } else if decision == Decision::AllDown {
        Why::Unconfirmed
    } else if c.standing.usable() != Use::Well {
        Why::Worse
    } else if own.choice != Choice::None {
        Why::NotChosen
    } else if c.place < own.place {
        Why::NotCalm
    } else {
        Why::Spare
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::health::Condition;

    const HOLD: Duration = Duration::from_secs(60);

    fn at(s: u64) -> Instant {
        Instant::from_micros(s * 1_000_000)
    }

    fn id(n: u8) -> UplinkId {
        UplinkId::new(n).unwrap()
    }

    fn candidate(n: u8, standing: Standing) -> Candidate {
        Candidate {
            id: id(n),
            place: usize::from(n),
            standing,
            choice: Choice::None,
            loss: Loss { calm: true, ..Loss::default() },
            left: 0,
            confirmed: true,
            up_since: at(0),
            hold: HOLD,
        }
    }

    /// One that loses packets: as measured beside the one in use.
    fn lossy(n: u8, percent: f32) -> Candidate {
        let loss = LossPercent(percent);
        let loss = Loss { lately: loss, beside: Some(loss), calm: false };
        Candidate { loss, ..candidate(n, Lossy) }
    }

    fn on(n: u8, footing: Footing) -> Option<Incumbent> {
        Some(Incumbent { id: id(n), footing })
    }

    fn decide(chain: &[Candidate], incumbent: Option<Incumbent>, now: u64) -> Decision {
        select(chain, incumbent, at(now)).decision
    }

    fn moved(chain: &[Candidate], on: Option<Incumbent>, now: u64) -> Option<(u8, SwitchKind)> {
        match decide(chain, on, now) {
            Decision::Move(id, kind) => Some((id.get(), kind)),
            Stay | AllDown => None,
        }
    }

    use Decision::{AllDown, Stay};
    use Footing::{Failed, Firm, Gone, Open, Proving, Silent};
    use Standing::{Lossy, Nameless, Paused, Ready, Suspected, Unfit, Unproven};

    const PORTAL: Standing = Unfit(Condition::Portal);

    #[test]
    fn falls_to_the_first_that_answered() {
        let mut chain = [
            candidate(1, Unfit(Condition::BeyondModem)),
            Candidate { confirmed: false, ..candidate(2, Ready) },
            candidate(3, Ready),
        ];
        assert_eq!(moved(&chain, on(1, Silent), 9), Some((3, SwitchKind::Failover)));
        chain[2].confirmed = false;
        assert_eq!(decide(&chain, on(1, Silent), 9), AllDown);
        assert_eq!(moved(&chain, on(1, Gone), 9), Some((2, SwitchKind::Failover)));
    }

    #[test]
    fn fails_back_only_after_the_hold_and_only_when_calm() {
        let mut chain = [candidate(1, Ready), candidate(2, Ready)];
        let waiting = select(&chain, on(2, Firm), at(59));
        assert_eq!(waiting.decision, Stay);
        assert_eq!(waiting.whys, [(id(1), Why::Holding(at(60))), (id(2), Why::InUse)].into());
        assert_eq!(moved(&chain, on(2, Firm), 60), Some((1, SwitchKind::Failback)));
        chain[0].loss.calm = false;
        assert_eq!(select(&chain, on(2, Firm), at(60)).whys[&id(1)], Why::NotCalm);
        for standing in [Nameless, Lossy, Suspected, Unproven, PORTAL, Paused] {
            chain[0] = candidate(1, standing);
            assert_eq!(decide(&chain, on(2, Firm), 60), Stay, "never back to {standing:?}");
        }
    }

    #[test]
    fn what_may_not_carry_never_does() {
        for standing in [Unproven, Suspected, Paused, PORTAL] {
            let chain = [candidate(1, standing), candidate(2, PORTAL)];
            assert_eq!(decide(&chain, None, 9), Stay);
            for footing in [Silent, Gone] {
                let told = select(&chain, on(2, footing), at(9));
                assert_eq!(told.decision, AllDown, "{standing:?}");
                assert_eq!(told.whys[&id(1)], Why::Unusable(standing));
                assert_eq!(told.whys[&id(2)], Why::NothingElse);
            }
        }
        let chain = [candidate(1, Nameless)];
        assert_eq!(moved(&chain, on(2, Silent), 9), Some((1, SwitchKind::Failover)));
    }

    /// What is in use against what else there is, and whether traffic moves at once.
    #[test]
    fn next_to_nothing_is_left_for_anything_that_is_more() {
        let rows = [
            (PORTAL, Ready, true),
            (PORTAL, Lossy, true),
            (PORTAL, Nameless, false),
            (PORTAL, PORTAL, false),
            (Nameless, Ready, true),
            (Nameless, Lossy, true),
            (Nameless, Nameless, false),
            (Lossy, PORTAL, false),
            (Lossy, Nameless, false),
            (Ready, Lossy, false),
        ];
        for (own, other, moves) in rows {
            let other = if other == Lossy { lossy(2, 60.0) } else { candidate(2, other) };
            for choice in [Choice::None, Choice::Fresh, Choice::Left] {
                let chain = [Candidate { choice, ..candidate(1, own) }, other];
                let to = moves.then_some((2, SwitchKind::Quality));
                assert_eq!(moved(&chain, on(1, Firm), 1), to, "{own:?} against {other:?}");
            }
        }
        let chain = [candidate(1, PORTAL), lossy(2, 60.0), lossy(3, 25.0), lossy(4, 22.0)];
        assert_eq!(moved(&chain, on(1, Firm), 1), Some((3, SwitchKind::Quality)));
    }

    #[test]
    fn of_two_that_lose_packets_the_better_is_taken_and_kept() {
        let rows = [(60.0, 30.0, true), (60.0, 51.0, false), (30.0, 60.0, false)];
        for (own, other, moves) in rows {
            let chain = [lossy(1, own), lossy(2, other)];
            let to = moves.then_some((2, SwitchKind::Quality));
            assert_eq!(moved(&chain, on(1, Firm), 1), to, "{own} against {other}");
            let mut unmeasured = chain;
            unmeasured[0].loss.beside = None;
            assert_eq!(decide(&unmeasured, on(1, Firm), 1), Stay);
        }
        // One that was left is not taken again for the noise of a measurement.
        let left = Candidate { left: 1, ..lossy(1, 25.0) };
        assert_eq!(decide(&[left, lossy(2, 40.0)], on(2, Firm), 1), Stay);
        assert_eq!(moved(&[left, lossy(2, 46.0)], on(2, Firm), 1), Some((1, SwitchKind::Quality)));
        let mut well = candidate(2, Ready);
        let chain = [lossy(1, 40.0), well];
        assert_eq!(decide(&chain, on(1, Firm), 1), Stay, "it was not measured");
        well.loss.beside = Some(LossPercent(0.0));
        assert_eq!(moved(&[lossy(1, 40.0), well], on(1, Firm), 1), Some((2, SwitchKind::Quality)));
    }

    #[test]
    fn a_person_comes_before_loss_and_the_chain() {
        let mut chain = [candidate(1, Ready), candidate(2, Ready)];
        chain[1].choice = Choice::Fresh;
        assert_eq!(moved(&chain, on(1, Firm), 1), Some((2, SwitchKind::Manual)));
        let told = select(&chain, on(2, Firm), at(999));
        assert_eq!(told.decision, Stay, "and it stays");
        assert_eq!(told.whys, [(id(1), Why::NotChosen), (id(2), Why::Chosen)].into());
        chain[1] = Candidate { choice: Choice::Fresh, ..lossy(2, 40.0) };
        assert_eq!(moved(&chain, on(1, Firm), 1), Some((2, SwitchKind::Manual)));
        assert_eq!(decide(&chain, on(2, Firm), 1), Stay);
        chain[1] = Candidate { choice: Choice::Left, ..candidate(2, Ready) };
        assert_eq!(select(&chain, on(1, Firm), at(1)).whys[&id(2)], Why::Holding(at(60)));
        assert_eq!(moved(&chain, on(1, Firm), 60), Some((2, SwitchKind::Failback)));
    }

    #[test]
    fn the_first_choice_needs_no_hold() {
        let chain = [candidate(1, Ready), candidate(2, Ready)];
        assert_eq!(moved(&chain, on(2, Open), 1), Some((1, SwitchKind::First)));
        assert_eq!(moved(&chain, None, 1), Some((1, SwitchKind::First)));
        assert_eq!(decide(&chain, on(2, Proving), 1), Stay);
        assert_eq!(moved(&chain, on(2, Failed), 1), Some((1, SwitchKind::First)));
        assert_eq!(decide(&[candidate(1, PORTAL)], on(2, Failed), 1), Stay);
    }
}
