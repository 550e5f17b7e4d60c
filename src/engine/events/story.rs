//! One interruption, one figure. What happens to the slots (IP versions) within two seconds, and until
//! people get answers again, is one story: it begins with the first death or move, has the reason of that,
//! and ends with the first answer after it.
//!
//! ```text
//!          died, moved                 answered, in every slot that carried traffic
//!   none ───────────────► open ─────────────────────────────────────► told (2 s after it began)
//!                         │  ▲
//!                         └──┘ moved again, or the other slot too
//! ```
//! How long it was felt is the longest hole, from the last answer before it to the first one after it, over
//! the slots that carried traffic; where none did, the shortest, because nobody was there to feel more.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::causes::{Cause, Order};
use super::facts::SwitchKind;
use crate::time::Instant;
use crate::units::{Family, PerFamily, UplinkId};

/// What happens within this time of a story's begin belongs to it.
pub const TOGETHER: Duration = Duration::from_secs(2);
/// After a move, a first answer that takes longer is not the move's doing.
const AWAITED: Duration = Duration::from_secs(30);
/// Traffic that was seen so lately was there when its line died: what it takes to be sure of that, and a
/// look at a page in between, during which nobody's traffic can be told from the agent's own.
const LATELY: Duration = Duration::from_secs(9);
/// How often it must have been seen: a packet of the agent's own may pass for one of somebody else's.
const SEEN: usize = 3;

/// The last interruption, or the last switch that interrupted nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interruption {
    pub at: Instant,
    /// Which uplink carried the traffic before.
    pub from: Option<String>,
    /// Which carries it since. The same, if that died and came back.
    pub to: String,
    pub cause: Cause,
    /// How long people felt it, once known.
    pub felt: Option<Duration>,
    /// When answers came again, once known.
    pub ended: Option<Instant>,
    /// For a while nothing worked.
    pub outage: bool,
}

/// What one slot does in a story.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Part {
    /// When the last answer before it came.
    last_answer: Instant,
    /// People used the slot.
    used: bool,
    /// By which uplink the next answer is awaited.
    by: UplinkId,
    /// Since when, and what the kernel has to do for it first.
    since: Instant,
    generation: Option<u64>,
    /// When the kernel had done it.
    applied: Option<Instant>,
    /// When the first answer came.
    answered: Option<Instant>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Open {
    told: Interruption,
    parts: PerFamily<Option<Part>>,
}

/// A slot's line was left, or died with nothing else alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    pub slot: Family,
    /// The uplink that carried it.
    pub from: Option<String>,
    /// The uplink that carries it from now on: number and name.
    pub to: (UplinkId, String),
    pub cause: Cause,
    /// When the last answer came by the old one.
    pub last_answer: Instant,
    /// The change of the kernel that carries it out; `None`: nothing is to be changed, it is waited for.
    pub generation: Option<u64>,
}

/// The story under way, and the last one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stories {
    open: Option<Open>,
    last: Option<Interruption>,
    /// When traffic of people was seen in each slot, the last few times.
    used: PerFamily<VecDeque<Instant>>,
}

impl Part {
    /// Whether its first answer is still awaited.
    fn is_open(&self, now: Instant) -> bool {
        let given_up = self.generation.is_some() && now.since(self.since) >= AWAITED;
        self.answered.is_none() && !given_up
    }

    fn hole(&self) -> Option<Duration> {
        Some(self.answered?.since(self.last_answer))
    }
}

impl Open {
    fn parts(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter_map(|(_, part)| part.as_ref())
    }

    /// The parts that count: those that people used, else all.
    fn counting(&self) -> impl Iterator<Item = &Part> {
        let any = self.parts().any(|part| part.used);
        self.parts().filter(move |part| part.used || !any)
    }

    fn is_awaited(&self, now: Instant) -> bool {
        self.counting().any(|part| part.is_open(now))
    }

    /// Whether what happens to a slot now is the same as what began just before.
    fn is_together(&self, slot: Family, now: Instant) -> bool {
        let over = self.parts.get(slot).as_ref().is_some_and(|part| !part.is_open(now));
        now.since(self.told.at) < TOGETHER && !over
    }

    /// Whether people are still without an answer, so that what happens to a slot goes on with that.
    fn goes_on(&self, slot: Family, now: Instant) -> bool {
        let waits = |part: &Option<Part>| part.as_ref().is_some_and(|part| part.is_open(now));
        let people = self.parts().any(|part| part.used && part.is_open(now));
        people || waits(self.parts.get(slot)) || waits(&self.parts.v4)
    }

    /// Brings the figures up to date.
    fn measure(&mut self, now: Instant) {
        if self.is_awaited(now) {
            return;
        }
        let holes = self.counting().filter_map(Part::hole);
        self.told.felt = if self.parts().any(|part| part.used) { holes.max() } else { holes.min() };
        self.told.ended = self.counting().filter_map(|part| part.answered).max();
    }
}

impl Stories {
    /// Traffic of people moved in a slot at that time.
    pub fn seen_in_use(&mut self, slot: Family, moved: Instant) {
        let seen = self.used.get_mut(slot);
        if seen.back() != Some(&moved) {
            seen.push_back(moved);
            let extra = seen.len().saturating_sub(SEEN);
            seen.drain(..extra);
        }
    }

    /// Whether people use a slot.
    fn is_used(&self, slot: Family, now: Instant) -> bool {
        let seen = self.used.get(slot);
        seen.len() == SEEN && seen.front().is_some_and(|at| now.since(*at) < LATELY)
    }

    /// Traffic of a slot moves to another uplink.
    pub fn moved(&mut self, turn: Turn, kind: SwitchKind, now: Instant) -> Order {
        // What a person does, and what nothing forces, interrupts nothing and is a story of its own.
        let forced = matches!(kind, SwitchKind::Failover | SwitchKind::Quality);
        let joins = self.open.as_ref().is_some_and(|open| {
            open.is_together(turn.slot, now)
                || ((forced || open.told.outage) && open.goes_on(turn.slot, now))
        });
        let order = if joins { Order::Joins } else { self.begin(&turn, now) };
        self.enter(turn, now);
        order
    }

    /// A slot's line died and no other is alive.
    pub fn died(&mut self, turn: Turn, now: Instant) {
        let known = self.open.as_ref().and_then(|open| open.parts.get(turn.slot).as_ref());
        if known.is_some_and(|part| part.is_open(now) && part.generation.is_none()) {
            return;
        }
        let joins = |open: &Open| open.is_together(turn.slot, now) || open.goes_on(turn.slot, now);
        if !self.open.as_ref().is_some_and(joins) {
            self.begin(&turn, now);
        }
        self.enter(turn, now);
    }

    /// Nothing works at all.
    pub fn nothing_works(&mut self) {
        if let Some(open) = &mut self.open {
            open.told.outage = true;
        }
    }

    /// The line of a slot that died works again: the kernel lets people use it with this change.
    pub fn revived(&mut self, slot: Family, generation: u64, now: Instant) {
        let part = self.open.as_mut().and_then(|open| open.parts.get_mut(slot).as_mut());
        if let Some(part) = part.filter(|part| part.generation.is_none()) {
            (part.generation, part.since) = (Some(generation), now);
        }
    }

    /// The kernel has carried out a change.
    pub fn applied(&mut self, generation: u64, now: Instant) {
        let Some(open) = &mut self.open else { return };
        for slot in Family::BOTH {
            if let Some(part) = open.parts.get_mut(slot)
                && part.generation.is_some_and(|wanted| generation >= wanted)
            {
                part.applied.get_or_insert(now);
            }
        }
    }

    /// By which uplink a slot's next answer is awaited.
    #[must_use]
    pub fn awaited_by(&self, slot: Family) -> Option<UplinkId> {
        let part = self.open.as_ref()?.parts.get(slot).as_ref()?;
        (part.answered.is_none() && part.applied.is_some()).then_some(part.by)
    }

    /// A sign of life by that uplink, and when it came.
    pub fn answered(&mut self, slot: Family, at: Instant, now: Instant) {
        let Some(open) = &mut self.open else { return };
        if let Some(part) = open.parts.get_mut(slot)
            && part.applied.is_some_and(|applied| at >= applied)
        {
            part.answered.get_or_insert(at);
        }
        open.measure(now);
    }

    /// Ends the story if it is time; what it was.
    pub fn tick(&mut self, now: Instant) -> Option<Interruption> {
        let open = self.open.as_mut()?;
        open.measure(now);
        if open.is_awaited(now) || now.since(open.told.at) < TOGETHER {
            return None;
        }
        self.last = self.open.take().map(|open| open.told);
        self.last.clone()
    }

    /// When it is time to look again.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let open = self.open.as_ref()?;
        let together = open.told.at + TOGETHER;
        let given_up = |part: &Part| {
            let waits = part.generation.is_some() && part.answered.is_none();
            waits.then_some(part.since + AWAITED)
        };
        let awaited = open.counting().filter(|part| part.answered.is_none());
        match awaited.map(given_up).reduce(|a, b| Some(a?.max(b?))) {
            None => Some(together),
            Some(given_up) => given_up.map(|at| at.max(together)),
        }
    }

    /// Whether a first answer is awaited that has to be seen when it comes.
    #[must_use]
    pub fn is_awaited(&self, now: Instant) -> bool {
        let waits = |part: &Part| part.is_open(now) && part.generation.is_some();
        self.open.as_ref().is_some_and(|open| open.parts().any(waits))
    }

    /// The story under way, once traffic has moved or answers have come, else the last one.
    #[must_use]
    pub fn latest(&self) -> Option<&Interruption> {
        let open = self.open.as_ref().map(|open| &open.told);
        let tells =
            |told: &&Interruption| told.ended.is_some() || told.from.as_ref() != Some(&told.to);
        open.filter(tells).or(self.last.as_ref())
    }

    /// Since when nobody has had an answer, while that is so.
    #[must_use]
    pub fn without_answer_since(&self, now: Instant) -> Option<Instant> {
        let open = self.open.as_ref().filter(|open| open.is_awaited(now))?;
        open.counting().map(|part| part.last_answer).min()
    }

    fn begin(&mut self, turn: &Turn, now: Instant) -> Order {
        let told = Interruption {
            at: now,
            from: turn.from.clone(),
            to: turn.to.1.clone(),
            cause: turn.cause.clone(),
            felt: None,
            ended: None,
            outage: false,
        };
        // A slot that nobody uses may be dead for days; that goes on beside.
        let before = self.open.take().map(|open| open.parts).unwrap_or_default();
        let still = |part: Option<Part>| part.filter(|part| part.is_open(now));
        let parts = PerFamily { v4: still(before.v4), v6: still(before.v6) };
        self.open = Some(Open { told, parts });
        Order::Opens
    }

    fn enter(&mut self, turn: Turn, now: Instant) {
        let used = self.is_used(turn.slot, now);
        let Some(open) = &mut self.open else { return };
        // IPv4 speaks for the whole; who died and has no other keeps its name.
        if turn.slot == Family::V4 || open.parts.v4.is_none() {
            open.told.to = turn.to.1;
        }
        let place = open.parts.get_mut(turn.slot);
        // The hole goes on from where it began, if it has not been closed in between.
        let before = place.as_ref().filter(|part| part.answered.is_none());
        let last_answer = before.map_or(turn.last_answer, |part| part.last_answer);
        let used = used || before.is_some_and(|part| part.used);
        *place = Some(Part {
            last_answer,
            used,
            by: turn.to.0,
            since: now,
            generation: turn.generation,
            applied: None,
            answered: None,
        });
        open.told.felt = None;
        open.told.ended = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::health::Condition;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    fn id(n: u8) -> UplinkId {
        UplinkId::new(n).unwrap()
    }

    fn failed(uplink: &str) -> Cause {
        Cause::Failed { uplink: uplink.to_owned(), condition: Condition::BeyondModem }
    }

    fn turn(slot: Family, from: &str, to: (u8, &str), last: u64, generation: Option<u64>) -> Turn {
        let to = (id(to.0), to.1.to_owned());
        let (from, cause) = (Some(from.to_owned()), failed(from));
        Turn { slot, from, to, cause, last_answer: at(last), generation }
    }

    /// People use a slot until then.
    fn use_of(stories: &mut Stories, slot: Family, until: u64) {
        for moved in [until - 200, until - 100, until - 100, until] {
            stories.seen_in_use(slot, at(moved));
        }
    }

    use Family::{V4, V6};
    use SwitchKind::{Failback, Failover, Manual};

    /// Both families leave cable for the MiFi, IPv6 half a second later; people use what is said.
    fn both_move(used: &[Family]) -> Stories {
        let mut stories = Stories::default();
        used.iter().for_each(|slot| use_of(&mut stories, *slot, 10_000));
        let v4 = turn(V4, "cable", (2, "mifi"), 10_000, Some(1));
        let v6 = turn(V6, "cable", (2, "mifi"), 9_200, Some(2));
        assert_eq!(stories.moved(v4, Failover, at(10_600)), Order::Opens);
        stories.applied(1, at(10_605));
        assert_eq!(stories.awaited_by(V4), Some(id(2)));
        stories.answered(V4, at(10_602), at(10_602));
        stories.answered(V4, at(10_620), at(10_620));
        assert_eq!(stories.moved(v6, Failover, at(11_100)), Order::Joins);
        stories.applied(2, at(11_105));
        stories.answered(V6, at(11_130), at(11_130));
        stories
    }

    #[test]
    fn the_families_are_one_story_and_only_what_people_use_counts() {
        for (used, felt) in [(&[V4][..], 620), (&[V6], 1930), (&[V4, V6], 1930), (&[], 620)] {
            let mut stories = both_move(used);
            assert_eq!(stories.latest().unwrap().felt, Some(Duration::from_millis(felt)));
            assert_eq!(stories.deadline(), Some(at(12_600)));
            assert_eq!(stories.tick(at(12_599)), None);
            let told = stories.tick(at(12_600)).unwrap();
            assert_eq!(told.felt, Some(Duration::from_millis(felt)), "{used:?}");
            assert_eq!((told.at, told.from.as_deref()), (at(10_600), Some("cable")));
            assert_eq!(stories.tick(at(12_600)), None, "once");
            assert_eq!(stories.deadline(), None);
        }
    }

    #[test]
    fn a_packet_now_and_then_is_nobody() {
        let mut stories = Stories::default();
        for second in 0..100 {
            stories.seen_in_use(V6, at(second * 5_000));
            assert!(!stories.is_used(V6, at(second * 5_000)));
        }
        use_of(&mut stories, V6, 600_000);
        assert!(stories.is_used(V6, at(608_000)) && !stories.is_used(V6, at(609_000)));
    }

    #[test]
    fn an_outage_is_felt_from_the_first_death_to_the_first_answer() {
        let mut stories = Stories::default();
        use_of(&mut stories, V4, 10_000);
        let to_phone = turn(V4, "cable", (3, "phone"), 10_000, Some(1));
        assert_eq!(stories.moved(to_phone, Failover, at(10_600)), Order::Opens);
        stories.applied(1, at(10_610));
        // The phone dies before it has answered anybody; nothing else is alive.
        stories.died(turn(V4, "phone", (3, "phone"), 10_900, None), at(11_700));
        stories.nothing_works();
        assert_eq!(stories.deadline(), None, "it takes as long as it takes");
        assert_eq!(stories.tick(at(46_000)), None);
        assert_eq!(stories.without_answer_since(at(46_000)), Some(at(10_000)));
        let back = turn(V4, "phone", (1, "cable"), 10_900, Some(2));
        assert_eq!(stories.moved(back, Failover, at(47_000)), Order::Joins);
        stories.applied(2, at(47_005));
        stories.answered(V4, at(47_010), at(47_010));
        let told = stories.tick(at(47_010)).unwrap();
        assert_eq!(told.felt, Some(Duration::from_millis(37_010)));
        assert_eq!((told.from.as_deref(), told.to.as_str()), (Some("cable"), "cable"));
        assert_eq!((told.cause, told.outage), (failed("cable"), true));
    }

    #[test]
    fn a_line_that_dies_and_comes_back_is_an_interruption() {
        let mut stories = Stories::default();
        use_of(&mut stories, V4, 10_000);
        stories.died(turn(V4, "cable", (1, "cable"), 10_000, None), at(10_700));
        stories.died(turn(V4, "cable", (1, "cable"), 10_000, None), at(10_900));
        stories.revived(V4, 7, at(18_900));
        assert!(stories.is_awaited(at(18_900)));
        stories.answered(V4, at(18_950), at(18_950));
        stories.applied(7, at(18_960));
        stories.answered(V4, at(19_000), at(19_000));
        let told = stories.tick(at(19_000)).unwrap();
        assert_eq!(told.felt, Some(Duration::from_secs(9)));
        assert_eq!((told.from.as_deref(), told.to.as_str()), (Some("cable"), "cable"));
    }

    #[test]
    fn a_slot_that_nobody_uses_may_be_dead_for_days_beside_what_happens() {
        let mut stories = Stories::default();
        stories.died(turn(V6, "cable", (1, "cable"), 9_000, None), at(10_000));
        assert_eq!(stories.tick(at(500_000)), None);
        use_of(&mut stories, V4, 500_000);
        let v4 = turn(V4, "cable", (2, "mifi"), 500_000, Some(1));
        assert_eq!(stories.moved(v4, Failover, at(500_600)), Order::Opens);
        stories.applied(1, at(500_610));
        stories.answered(V4, at(500_620), at(500_620));
        let told = stories.tick(at(502_600)).unwrap();
        assert_eq!((told.felt, told.outage), (Some(Duration::from_millis(620)), false));
    }

    #[test]
    fn what_people_do_afterwards_is_another_story() {
        let mut stories = both_move(&[V4]);
        let by_hand = turn(V4, "mifi", (3, "phone"), 11_500, Some(3));
        assert_eq!(stories.moved(by_hand, Manual, at(11_500)), Order::Opens);
        let back = turn(V4, "phone", (1, "cable"), 60_000, Some(4));
        assert_eq!(stories.moved(back, Failback, at(60_000)), Order::Opens);
    }

    #[test]
    fn an_answer_that_never_comes_is_given_up() {
        let mut stories = Stories::default();
        stories.moved(turn(V4, "cable", (2, "mifi"), 10_000, Some(1)), Failover, at(10_600));
        assert_eq!(stories.deadline(), Some(at(40_600)));
        let told = stories.tick(at(40_600)).unwrap();
        assert_eq!((told.felt, told.ended), (None, None));
    }
}
