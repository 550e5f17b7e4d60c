//! One name: what it should say, when that may be written, and what came of it.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::request::{NameFailure, NameReply, Record, Seen, Task, Then};
use super::told::State;
use crate::time::{Instant, Now, Utc};
use crate::units::{Family, PerFamily};

/// What is wanted has to stand for so long before it is written: a move is often followed by that of the other IP
/// version, and a line that is back within a second would have been written for nothing.
const SETTLES: Duration = Duration::from_millis(900);
/// While a line that counts is in doubt it is waited for, but no longer than this.
const PATIENCE: Duration = Duration::from_secs(4);
/// Two writes are so far apart; and an address goes without another in its place only after so long.
const MINUTE: Duration = Duration::from_secs(60);
/// After a failure it is tried again after so long, the last one again and again.
const PAUSES: [Duration; 5] = [
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(60),
    Duration::from_secs(300),
    Duration::from_secs(900),
];
/// What was written is looked for again after so long, until the name server says it.
const LOOKS: [Duration; 5] = [
    Duration::from_secs(2),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(600),
];
/// Others can change a name, too: it is looked at so often.
const LOOK_EVERY: Duration = Duration::from_secs(3600);
/// What does not say what a name has is told the same again after so long: some services drop a name of which
/// nothing is heard for a month, and count what comes more often as abuse.
const AGAIN_MS: u64 = 28 * 86_400_000;
/// A request that has not ended by then never will.
const LOST: Duration = Duration::from_secs(90);

/// What a name should say, as things are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::engine) struct Wish {
    pub(in crate::engine) records: PerFamily<Record>,
    /// A line that counts is in doubt.
    pub(in crate::engine) doubt: bool,
    /// The server can be spoken to: what needs the time of day has it.
    pub(in crate::engine) clock: bool,
    /// The server does not say what a name has: it is told the same again after some weeks.
    pub(in crate::engine) repeats: bool,
}

/// What happened to a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) enum News {
    /// It was written, and says this now.
    Written,
    /// It cannot be written, for another reason than before.
    Fails { why: String, stays: bool },
}

/// A request under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Asked {
    number: u64,
    at: Instant,
    task: Task,
    records: PerFamily<Record>,
    /// It was asked with another configuration.
    void: bool,
}

/// What went wrong last, and when it is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Failing {
    failure: NameFailure,
    tries: usize,
    /// `None`: not before the configuration changes.
    again: Option<Instant>,
}

/// Whether a name server says what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Match {
    Right,
    Wrong,
}

/// What is known of what a name says in one IP version: nothing, that it says nothing, or an address.
type Stands = Option<Option<IpAddr>>;

/// The uplinks whose addresses a name has.
pub(in crate::engine) type Owners = PerFamily<Option<String>>;

/// One name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::engine) struct Follower {
    wanted: PerFamily<Record>,
    /// Since when that is wanted.
    since: PerFamily<Instant>,
    /// Since when something else is wanted than stands.
    differs: Option<Instant>,
    stands: PerFamily<Stands>,
    asked: Option<Asked>,
    failing: Option<Failing>,
    /// The same before it was last right.
    moved: Option<Instant>,
    /// When something was last written, or may have been.
    written: Option<Instant>,
    /// The same for people, and over restarts.
    written_utc: Option<Utc>,
    /// How long after the move a name server said it.
    seen_after: Option<Duration>,
    /// Of which uplinks that was.
    of: Owners,
    /// It has been seen since it was written.
    seen: bool,
    /// What stands is what an earlier run had kept, and it may have written something since: a name server knows better.
    unsure: bool,
    /// When the name server is asked next, and how often it has been in vain.
    look: Option<(Instant, usize)>,
}

/// Whether a record is what stands.
fn is_met(record: Record, stands: Stands) -> bool {
    match record {
        Record::Keep => true,
        Record::None => stands == Some(None),
        Record::Is(ip) => stands == Some(Some(ip)),
    }
}

/// Whether it is just what others are told.
fn is_said(record: Record, others: &[IpAddr]) -> bool {
    match record {
        Record::Keep => true,
        Record::None => others.is_empty(),
        Record::Is(ip) => others == [ip],
    }
}

impl Follower {
    /// One that an earlier run wrote. Its last minute still counts; where the clock is not set, it begins now.
    pub(in crate::engine) fn kept(kept: &Kept, now: Now) -> Self {
        let stands = |ip: Option<IpAddr>| ip.map(Some);
        let ago = |at: Utc| now.utc.map_or(0, |utc| utc.0.saturating_sub(at.0));
        let ago = |at: Utc| Duration::from_millis(ago(at));
        let written = kept.at.filter(|at| ago(*at) < MINUTE);
        Self {
            stands: PerFamily { v4: stands(kept.v4), v6: stands(kept.v6) },
            written: written.map(|at| now.mono - ago(at)),
            written_utc: kept.at,
            look: Some((now.mono + LOOKS[0], 0)),
            unsure: true,
            ..Self::default()
        }
    }

    /// What is kept over a restart.
    pub(in crate::engine) fn keep(&self) -> Kept {
        let PerFamily { v4, v6 } = self.stands;
        Kept { v4: v4.flatten(), v6: v6.flatten(), at: self.written_utc }
    }

    /// Takes note of what is wanted now.
    pub(in crate::engine) fn want(&mut self, wish: &Wish, now: Instant) {
        for family in Family::BOTH {
            let (new, old) = (*wish.records.get(family), self.wanted.get_mut(family));
            if new != *old {
                *old = new;
                *self.since.get_mut(family) = now;
            }
        }
        if self.is_right() {
            self.differs = None;
            // What could not be written need not be any more. A login that is refused stays one.
            if !self.gives_up() {
                self.failing = None;
            }
        } else {
            self.differs.get_or_insert(now);
        }
    }

    fn is_right(&self) -> bool {
        Family::BOTH.iter().all(|f| is_met(*self.wanted.get(*f), *self.stands.get(*f)))
    }

    /// Whether all that is to be done is to take an address away.
    fn only_takes_away(&self) -> bool {
        let is_lost = |f: &Family| matches!(self.stands.get(*f), Some(Some(_)));
        Family::BOTH.iter().all(|f| match *self.wanted.get(*f) {
            Record::None => is_lost(f) || is_met(Record::None, *self.stands.get(*f)),
            record @ (Record::Keep | Record::Is(_)) => is_met(record, *self.stands.get(*f)),
        })
    }

    /// When it is to be written; `None`: it need not be, or cannot be.
    fn write_at(&self, wish: &Wish) -> Option<Instant> {
        let differs = self.differs?;
        let off = |f: &&Family| !is_met(*self.wanted.get(**f), *self.stands.get(**f));
        let changed = Family::BOTH.iter().filter(off).map(|f| *self.since.get(*f)).max()?;
        let settled = if wish.doubt { differs + PATIENCE } else { changed + SETTLES };
        let settled = settled.min(differs + PATIENCE);
        let settled = if self.only_takes_away() { settled.max(changed + MINUTE) } else { settled };
        let again = match &self.failing {
            Some(failing) => failing.again?,
            None => Instant::ZERO,
        };
        let free = self.written.map_or(Instant::ZERO, |written| written + MINUTE);
        Some(settled.max(again).max(free))
    }

    /// What is due now.
    pub(in crate::engine) fn due(&self, wish: &Wish, now: Now) -> Option<Task> {
        let utc = now.utc;
        let now = now.mono;
        if self.asked.is_some() || !wish.clock {
            return None;
        }
        let old = |(utc, written): (Utc, Utc)| utc.0.saturating_sub(written.0) >= AGAIN_MS;
        let old = wish.repeats && utc.zip(self.written_utc).is_some_and(old);
        let known = Family::BOTH.iter().any(|f| matches!(self.wanted.get(*f), Record::Is(_)));
        let repeats = old && known && self.differs.is_none() && self.is_free(now);
        if repeats || self.write_at(wish).is_some_and(|at| at <= now) {
            return Some(Task::Write);
        }
        let look = self.look.filter(|(at, _)| *at <= now && self.differs.is_none());
        look.map(|_| Task::Look)
    }

    /// Whether nothing that was written or has failed stands in the way of writing.
    fn is_free(&self, now: Instant) -> bool {
        let again = |failing: &Failing| failing.again.is_some_and(|again| again <= now);
        self.failing.as_ref().is_none_or(again)
            && self.written.is_none_or(|written| written + MINUTE <= now)
    }

    /// When something is due.
    pub(in crate::engine) fn deadline(&self, wish: &Wish) -> Option<Instant> {
        if let Some(asked) = self.asked {
            return Some(asked.at + LOST);
        }
        let look = self.look.filter(|_| self.differs.is_none()).map(|(at, _)| at);
        let write = self.write_at(wish);
        [write, look].into_iter().flatten().min().filter(|_| wish.clock)
    }

    /// What is asked for now: an address goes without another in its place only when that has lasted.
    pub(in crate::engine) fn records(&self, now: Instant) -> PerFamily<Record> {
        let of = |family: Family| match *self.wanted.get(family) {
            Record::None if now < *self.since.get(family) + MINUTE => Record::Keep,
            record @ (Record::Keep | Record::None | Record::Is(_)) => record,
        };
        PerFamily { v4: of(Family::V4), v6: of(Family::V6) }
    }

    /// It was asked for, with the addresses of these uplinks.
    pub(in crate::engine) fn ask(&mut self, (number, task): (u64, Task), of: Owners, now: Instant) {
        let records = self.records(now);
        self.asked = Some(Asked { number, at: now, task, records, void: false });
        if task == Task::Write {
            self.of = of;
        }
        if task == Task::Look {
            self.look = self.look.map(|(_, vain)| (now + LOOK_EVERY, vain));
        }
    }

    /// The name with another configuration: nothing is known of it but when it was written, and one request is under way
    /// at a time all the same.
    pub(super) fn anew(&self) -> Self {
        let asked = self.asked.map(|asked| Asked { void: true, ..asked });
        Self { written: self.written, asked, ..Self::default() }
    }

    /// What failed is tried again at once: the configuration was read again.
    pub(super) fn try_again(&mut self) {
        self.failing = None;
    }

    /// Gives up a request of which nothing was heard.
    pub(in crate::engine) fn forget_lost(&mut self, now: Instant) {
        if let Some(asked) = self.asked.take_if(|asked| asked.at + LOST <= now)
            && asked.task == Task::Write
        {
            self.may_be_written(&asked);
        }
    }

    /// The server may have done what it was asked for: what stands there is not known.
    fn may_be_written(&mut self, asked: &Asked) {
        self.written = Some(asked.at);
        for family in Family::BOTH {
            if *asked.records.get(family) != Record::Keep {
                *self.stands.get_mut(family) = None;
            }
        }
    }

    /// Takes in how a request ended.
    pub(in crate::engine) fn ended(&mut self, reply: &NameReply, now: Now) -> Option<News> {
        let asked = self.asked.take_if(|asked| asked.number == reply.number)?;
        if asked.void {
            self.written = Some(asked.at);
            return None;
        }
        let news = match &reply.result {
            Ok(seen) => self.succeeded(&asked, seen, now),
            Err(failure) => self.failed(&asked, failure, now.mono),
        };
        if self.is_right() {
            self.moved = self.differs.take().or(self.moved);
        }
        news
    }

    fn succeeded(&mut self, asked: &Asked, seen: &Seen, now: Now) -> Option<News> {
        self.failing = None;
        if seen.wrote {
            (self.written, self.written_utc) = (Some(asked.at), now.utc.or(self.written_utc));
            (self.seen, self.seen_after) = (false, None);
        }
        let mut right = true;
        let unsure = std::mem::take(&mut self.unsure) && !seen.wrote;
        let says = seen.says.as_ref().or(seen.others_say.as_ref().filter(|_| unsure));
        for family in Family::BOTH {
            let record = *asked.records.get(family);
            let said = says.map(|says| says.get(family).as_slice());
            let stands = match (said, record) {
                (Some([]), _) => Some(None),
                (Some([one]), _) => Some(Some(*one)),
                // Several addresses are never what is wanted.
                (Some(_), _) => None,
                (None, Record::Is(ip)) => Some(Some(ip)),
                (None, Record::None) => Some(None),
                (None, Record::Keep) => *self.stands.get(family),
            };
            right &= match &seen.others_say {
                Some(others) => is_said(record, others.get(family)),
                None => is_met(record, stands),
            };
            // What has just been written will be said; until then that is what is looked for.
            let expects = asked.task == Task::Look && !self.seen && self.written.is_some();
            if !((seen.wrote || expects) && !is_met(record, stands)) {
                *self.stands.get_mut(family) = stands;
            } else if let Record::Is(ip) = record {
                *self.stands.get_mut(family) = Some(Some(ip));
            }
        }
        self.looked(seen, if right { Match::Right } else { Match::Wrong }, now.mono);
        seen.wrote.then_some(News::Written)
    }

    /// Plans the next look at the name server.
    fn looked(&mut self, seen: &Seen, says: Match, now: Instant) {
        let vain = if seen.wrote { 0 } else { self.look.map_or(0, |(_, vain)| vain) };
        let asked = seen.says.as_ref().or(seen.others_say.as_ref());
        match asked {
            // What was taken just now is looked for soon. A service whose zone has no name server that can be
            // asked stays with what it said.
            None => self.look = seen.wrote.then(|| (now + LOOKS[0], 0)),
            Some(_) if says == Match::Right => {
                if !std::mem::replace(&mut self.seen, true) {
                    let since = self.since_the_move();
                    self.seen_after = self.written.and(since).map(|since| now.since(since));
                }
                // A service is told again after weeks, not when others say something else.
                self.look = seen.says.is_some().then(|| (now + LOOK_EVERY, 0));
            }
            Some(_) => {
                let pause = LOOKS.get(vain).copied();
                // Nobody says it after all that time: it is not what stands there.
                if pause.is_none() && seen.says.is_some() {
                    self.stands = PerFamily::default();
                    self.seen = true;
                }
                self.look = Some((now + pause.unwrap_or(LOOK_EVERY), vain + 1));
            }
        }
    }

    /// Since when it was wrong before it was last written.
    fn since_the_move(&self) -> Option<Instant> {
        self.differs.or(self.moved).or(self.written)
    }

    fn failed(&mut self, asked: &Asked, failure: &NameFailure, now: Instant) -> Option<News> {
        if asked.task == Task::Look {
            // Who only looked has written nothing, and looks again.
            let vain = self.look.map_or(0, |(_, vain)| vain);
            let pause = LOOKS.get(vain).copied().unwrap_or(LOOK_EVERY);
            self.look = Some((now + pause, vain + 1));
            return None;
        }
        if failure.sent {
            self.may_be_written(asked);
        }
        let before = self.failing.take();
        let tries = before.as_ref().map_or(0, |failing| failing.tries);
        let last = PAUSES[PAUSES.len() - 1];
        let again = match failure.then {
            Then::Retry => Some(now + PAUSES.get(tries).copied().unwrap_or(last)),
            Then::RetryAfter(pause) => Some(now + pause),
            Then::Stay => None,
        };
        let known = before.is_some_and(|failing| failing.failure.why == failure.why);
        let stays = failure.then != Then::Retry;
        self.failing = Some(Failing { failure: failure.clone(), tries: tries + 1, again });
        (!known).then(|| News::Fails { why: failure.why.clone(), stays })
    }
}

/// What outlives a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    pub v4: Option<IpAddr>,
    pub v6: Option<IpAddr>,
    /// When it was written.
    pub at: Option<Utc>,
}

impl Follower {
    /// How it stands with it.
    pub(in crate::engine) fn state(&self) -> State {
        let wanted = || Family::BOTH.iter().map(|f| *self.wanted.get(*f));
        match &self.failing {
            Some(failing) if failing.failure.then == Then::Retry => State::Failing,
            Some(_) => State::Refused,
            None if self.differs.is_some() || self.asked.is_some() => State::Waiting,
            None if wanted().any(|r| matches!(r, Record::Is(_))) => State::Right,
            None if wanted().any(|r| r == Record::None) => State::NoAddress,
            None if self.stands == PerFamily::default() => State::NoAddress,
            None => State::Right,
        }
    }

    /// What it says, as far as is known.
    pub(in crate::engine) fn says(&self) -> PerFamily<Option<IpAddr>> {
        PerFamily { v4: self.stands.v4.flatten(), v6: self.stands.v6.flatten() }
    }

    /// Whose addresses were last written.
    pub(in crate::engine) const fn owners(&self) -> &Owners {
        &self.of
    }

    pub(in crate::engine) const fn wanted(&self) -> &PerFamily<Record> {
        &self.wanted
    }

    /// Why it could not be written.
    pub(in crate::engine) fn why(&self) -> Option<&str> {
        self.failing.as_ref().map(|failing| failing.failure.why.as_str())
    }

    /// Whether it is not tried again before the configuration changes.
    pub(in crate::engine) fn gives_up(&self) -> bool {
        self.failing.as_ref().is_some_and(|failing| failing.failure.then == Then::Stay)
    }

    /// When it is tried again, or written.
    pub(in crate::engine) fn next(&self, wish: &Wish) -> Option<Instant> {
        self.differs.and(self.write_at(wish)).filter(|_| self.asked.is_none() && wish.clock)
    }

    /// Whether the name server has said what was written, and how long after the move.
    pub(in crate::engine) const fn seen(&self) -> (bool, Option<Duration>) {
        (self.seen, self.seen_after)
    }

    /// The name server was asked since it was written, and says something else.
    pub(in crate::engine) fn is_missed(&self) -> bool {
        !self.seen && self.look.is_some_and(|(_, vain)| vain > 0)
    }

    pub(in crate::engine) const fn written(&self) -> Option<Utc> {
        self.written_utc
    }
}

#[cfg(test)]
mod tests;
