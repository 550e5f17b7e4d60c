//! From facts to messages: what is told, when, and what is not.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "of most kinds of facts and tales the same holds, and each has its place in the catalogue"
)]

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::tale::Tale;
use super::{Look, Message};
use crate::engine::events::catalogue::Code;
use crate::engine::events::causes::{Order, Scope};
use crate::engine::events::facts::{Event, Fact, SwitchKind};
use crate::time::{Instant, Now, Utc};
use crate::units::{Family, Severity};

/// The first answers tell how long people waited; a move is told with it, or without it after so long.
const ANSWERED: Duration = Duration::from_secs(1);
/// The first uplink being down is a nuisance until then, and afterwards something to call the provider for.
const FIRST_DOWN: Duration = Duration::from_secs(5 * 60);
/// What lasts so long is told once more.
const REMIND: Duration = Duration::from_secs(4 * 3600);
/// The same is not told again so soon.
const AGAIN: Duration = Duration::from_secs(3600);
/// What lasts beside something graver is looked at again after so long.
const LATER: Duration = Duration::from_secs(60);
/// More than this never waits or is remembered: who changes more often than that is told less.
const MOST: usize = 64;

/// What a message is about, so that it is told once: kind, uplink, IP version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Topic(Code, Option<String>, Option<Family>);

impl Topic {
    fn of(fact: &Fact) -> Self {
        // What ends a state is about what began it.
        let code = match fact.code() {
            Code::SpareBack => Code::NoSpareLeft,
            Code::FightOver => Code::Fight,
            Code::ClaimOver => Code::Claimed,
            code => code,
        };
        Self(code, fact.uplink().map(str::to_owned), fact.family())
    }

    /// Whether one ends what the other began. Which spare is back is nothing to who was told that none is left.
    fn is_same(&self, other: &Self) -> bool {
        self == other || (self.0 == other.0 && self.0 == Code::NoSpareLeft)
    }
}

/// Something that is told if it still holds when its time has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Waiting {
    due: Instant,
    at: Instant,
    utc: Option<Utc>,
    severity: Severity,
    fact: Fact,
}

/// A move away from the first uplink, up to the return.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Away {
    since: Instant,
    /// The number of its first message.
    story: u64,
    /// When it is looked whether the first uplink is still down; `None`: that has been told.
    look_at: Option<Instant>,
    /// When it is looked whether what is used costs money; `None`: that has been told.
    remind_at: Option<Instant>,
}

/// A state that was told, and whose end is to be told to the same people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Told {
    story: u64,
    since: Instant,
    severity: Severity,
    /// When it is told once more; `None`: it has been.
    remind_at: Option<Instant>,
}

impl Away {
    fn new(first: &Message) -> Self {
        let (since, story) = (first.at, first.story);
        Self { since, story, look_at: Some(since + FIRST_DOWN), remind_at: Some(since + REMIND) }
    }
}

impl Told {
    fn new(message: &Message, remind_at: Option<Instant>) -> Self {
        let (story, since, severity) = (message.story, message.at, message.severity);
        Self { story, since, severity, remind_at }
    }
}

/// What people have been told. It is kept with the messages, so that an agent that starts again neither tells a thing
/// twice nor leaves one out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Known {
    numbers: u64,
    /// The uplink that people think is in use.
    on: Option<String>,
    away: Option<Away>,
    /// Nothing works.
    dark: Option<Told>,
    /// Other states that were told and are not over.
    open: Vec<(Topic, Told)>,
    /// What was told lately, and when.
    lately: Vec<(Topic, Instant)>,
}

impl Known {
    /// What counts of it after a reboot: its times are of another clock, and the box has been away itself.
    #[must_use]
    pub fn after_reboot(&self) -> Self {
        Self { numbers: self.numbers, ..Self::default() }
    }

    /// Since when people have been told that nothing works, while that is so.
    #[must_use]
    pub fn dark_since(&self) -> Option<Instant> {
        self.dark.as_ref().map(|dark| dark.since)
    }
}

/// What has been told, and what is about to be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::engine) struct Teller {
    known: Known,
    waiting: Vec<Waiting>,
}

/// Whether a fact begins a state, ends one, or is neither.
enum Edge {
    Begins,
    Ends,
    Happens,
}

fn edge(fact: &Fact) -> Edge {
    match fact {
        Fact::NoSpareLeft { .. }
        | Fact::Quality { degraded: true, .. }
        | Fact::Resolvers { silent: true, .. }
        | Fact::Barred { barred: true, .. }
        | Fact::Fight { .. }
        | Fact::Claimed { .. } => Edge::Begins,
        Fact::SpareBack { .. }
        | Fact::Quality { degraded: false, .. }
        | Fact::Resolvers { silent: false, .. }
        | Fact::Barred { barred: false, .. }
        | Fact::FightOver
        | Fact::ClaimOver { .. } => Edge::Ends,
        _ => Edge::Happens,
    }
}

/// Whether anybody wants a message of it. What was put right by itself is for the log.
fn is_told(fact: &Fact) -> bool {
    let put_right = matches!(fact.code(), Code::Premature | Code::Repaired | Code::FlowsLeft);
    fact.severity() >= Severity::Notice && !put_right
}

const fn is_move(fact: &Fact) -> bool {
    matches!(fact, Fact::Switched { .. })
}

/// Whether a move interrupts people. What a person does, and what nothing forces, does not.
const fn is_forced(kind: SwitchKind) -> bool {
    matches!(kind, SwitchKind::Failover | SwitchKind::Quality)
}

const fn is_dark(fact: &Fact) -> bool {
    matches!(fact, Fact::AllUplinksDown { scope: Scope::Whole, .. })
}

const fn is_end(fact: &Fact) -> bool {
    matches!(fact, Fact::BackOnline { .. })
}

impl Teller {
    pub(in crate::engine) fn new(known: Known) -> Self {
        Self { known, waiting: Vec::new() }
    }

    /// What people have been told so far.
    pub(in crate::engine) const fn known(&self) -> &Known {
        &self.known
    }

    /// Takes note of what happened.
    pub(in crate::engine) fn heard(&mut self, event: &Event) {
        let fact = &event.fact;
        match fact {
            // An agent that starts again tells of what moved while there was none.
            Fact::Switched { to, kind: SwitchKind::First, scope: Scope::Whole, .. }
                if self.known.on.is_none() =>
            {
                self.known.on = Some(to.clone());
            }
            Fact::Switched { kind: SwitchKind::First, scope: Scope::Family, .. } => {}
            // The digest of the outage says where traffic is.
            Fact::Switched { .. } if self.known.dark.is_some() => {}
            Fact::Switched { to, order, .. } => {
                if *order == Order::Opens || self.known.on.as_ref() != Some(to) {
                    self.move_waits(event);
                }
            }
            Fact::AllUplinksDown { scope: Scope::Whole, .. } => {
                self.waiting.retain(|w| !is_move(&w.fact));
                if self.known.dark.is_none() {
                    self.wait(event, Duration::ZERO, fact.severity());
                }
            }
            Fact::BackOnline { .. } => {
                self.waiting.retain(|w| !is_move(&w.fact) && !is_end(&w.fact));
                // Unless it has been told already that an uplink works after all.
                if self.known.dark.is_some() || self.waiting.iter().any(|w| is_dark(&w.fact)) {
                    self.wait(event, Duration::ZERO, Severity::Critical);
                }
            }
            fact => match edge(fact) {
                Edge::Begins | Edge::Happens if !is_told(fact) => {}
                edge => self.state_waits(event, edge),
            },
        }
    }

    /// An uplink is proven to work although people were told that nothing does, and nobody has said that this is
    /// over: an agent that has started again meanwhile does not know that there was an outage.
    pub(in crate::engine) fn works_after_all(&mut self, uplink: &str, now: Now) {
        if self.known.dark.is_none() || self.waiting.iter().any(|w| is_end(&w.fact)) {
            return;
        }
        let fact = Fact::BackOnline { uplink: uplink.to_owned(), gap: None };
        let event = Event { id: 0, at: now.mono, utc: now.utc, fact };
        self.wait(&event, ANSWERED, Severity::Critical);
    }

    /// One move is told for several that come at once: where the first began, and where the last leads.
    fn move_waits(&mut self, event: &Event) {
        let before = self.waiting.iter_mut().find(|w| is_move(&w.fact));
        if let Some(Waiting { fact: Fact::Switched { family, to, kind, scope, .. }, .. }) = before
            && let Fact::Switched { family: other, to: last, kind: now, scope: then, .. } =
                &event.fact
        {
            to.clone_from(last);
            *kind = *now;
            // One IP version and then the other are the whole.
            if family != other || *then == Scope::Whole {
                *scope = Scope::Whole;
            }
        } else {
            self.wait(event, ANSWERED, Severity::Notice);
        }
    }

    fn state_waits(&mut self, event: &Event, edge: Edge) {
        let (topic, fact) = (Topic::of(&event.fact), &event.fact);
        match edge {
            Edge::Begins | Edge::Happens => {
                self.wait(event, fact.code().shows_after(), fact.severity());
            }
            Edge::Ends => {
                self.waiting.retain(|w| !topic.is_same(&Topic::of(&w.fact)));
                let told = self.known.open.iter().find(|(of, _)| topic.is_same(of));
                if let Some(severity) = told.map(|(_, told)| told.severity) {
                    self.wait(event, Duration::ZERO, severity);
                }
            }
        }
    }

    fn wait(&mut self, event: &Event, after: Duration, severity: Severity) {
        if self.waiting.len() < MOST {
            let (at, utc, fact) = (event.at, event.utc, event.fact.clone());
            self.waiting.push(Waiting { due: at + after, at, utc, severity, fact });
        }
    }

    /// What is to be told now.
    pub(in crate::engine) fn tick(&mut self, look: &Look, now: Now) -> Vec<Message> {
        let mut messages = Vec::new();
        // People have had an answer. What interrupts nobody waits until both IP versions have moved.
        let felt = |w: &Waiting| match &w.fact {
            Fact::Switched { to, kind, .. } => {
                is_forced(*kind) && look.felt.is_some() && look.active.as_ref() == Some(to)
            }
            _ => false,
        };
        while let Some(at) = self.waiting.iter().position(|w| w.due <= now.mono || felt(w)) {
            let waiting = self.waiting.remove(at);
            messages.extend(self.tell(waiting, look));
        }
        messages.extend(self.remind(look, now));
        self.known.lately.retain(|(_, at)| now.mono.since(*at) < AGAIN);
        messages
    }

    /// Whether a move waits to be told with how long people had no answer.
    pub(in crate::engine) fn awaits_an_answer(&self) -> bool {
        self.waiting.iter().any(|w| is_move(&w.fact))
    }

    /// When [`Self::tick`] has something to do.
    pub(in crate::engine) fn deadline(&self) -> Option<Instant> {
        let waiting = self.waiting.iter().map(|w| w.due);
        let away = self.known.away.iter().flat_map(|away| [away.look_at, away.remind_at]).flatten();
        let open = self.known.open.iter().filter_map(|(_, told)| told.remind_at);
        waiting.chain(away).chain(open).min()
    }

    fn tell(&mut self, w: Waiting, look: &Look) -> Option<Message> {
        match w.fact {
            Fact::Switched { .. } => self.tell_of_a_move(w, look),
            Fact::AllUplinksDown { scope: Scope::Whole, stays_on, .. } => {
                let uplink = stays_on.clone();
                let message = self.message(
                    (w.at, w.utc),
                    None,
                    w.severity,
                    uplink,
                    Tale::NoInternet { stays_on },
                );
                self.known.dark = Some(Told::new(&message, None));
                Some(message)
            }
            Fact::BackOnline { uplink, gap } => {
                let dark = self.known.dark.take();
                let began = gap.map(|gap| w.at - gap);
                let from = began.or(dark.as_ref().map(|dark| dark.since)).unwrap_or(w.at);
                self.known.on = Some(uplink.clone());
                let is_first = look.first.as_ref().is_some_and(|(first, _)| *first == uplink);
                let story = dark.map(|dark| dark.story);
                let spares = look.spares.clone();
                let tale = Tale::Outage { from, uplink: uplink.clone(), gap, spares };
                let message = self.message((w.at, w.utc), story, w.severity, Some(uplink), tale);
                self.known.away = if is_first { None } else { Some(Away::new(&message)) };
                Some(message)
            }
            fact => self.tell_of_a_state(Waiting { fact, ..w }, look),
        }
    }

    fn tell_of_a_move(&mut self, w: Waiting, look: &Look) -> Option<Message> {
        let Fact::Switched { family, from, to, kind, cause, scope, .. } = w.fact else {
            return None;
        };
        let (felt, spares) = (look.felt.filter(|_| is_forced(kind)), look.spares.clone());
        if scope == Scope::Family {
            // The other one stays, and with it what people think.
            let (family, uplink) = (Some(family), Some(to.clone()));
            let tale = Tale::Moved { from, to, kind, cause, family, felt, spares };
            return Some(self.message((w.at, w.utc), None, w.severity, uplink, tale));
        }
        if self.known.on.as_ref() == Some(&to) {
            return None;
        }
        self.known.on = Some(to.clone());
        let is_first = look.first.as_ref().is_some_and(|(first, _)| *first == to);
        let away = self.known.away.take();
        let story = away.as_ref().map(|away| away.story);
        if is_first && kind != SwitchKind::Manual {
            let away = away.map(|away| w.at.since(away.since));
            let tale = Tale::Returned { from, to: to.clone(), away, spares };
            return Some(self.message((w.at, w.utc), story, w.severity, Some(to), tale));
        }
        let tale = Tale::Moved { from, to: to.clone(), kind, cause, family: None, felt, spares };
        let message = self.message((w.at, w.utc), story, w.severity, Some(to), tale);
        self.known.away = if is_first { None } else { away.or(Some(Away::new(&message))) };
        Some(message)
    }

    fn tell_of_a_state(&mut self, w: Waiting, look: &Look) -> Option<Message> {
        let (topic, edge) = (Topic::of(&w.fact), edge(&w.fact));
        let uplink = w.fact.uplink().map(str::to_owned);
        if matches!(edge, Edge::Ends) {
            let told = self.known.open.iter().position(|(of, _)| topic.is_same(of))?;
            let (_, told) = self.known.open.remove(told);
            let tale = match w.fact {
                Fact::SpareBack { uplink } => Tale::SpareAgain { uplink },
                fact => Tale::Plain { fact },
            };
            return Some(self.message((w.at, w.utc), Some(told.story), w.severity, uplink, tale));
        }
        let covered = |code: &Code| match code {
            Code::AllUplinksDown => self.known.dark.is_some(),
            code => self.known.open.iter().any(|(of, _)| of.0 == *code),
        };
        let again = self.known.lately.iter().find(|(of, _)| *of == topic).map(|(_, at)| *at);
        let again = again.map(|at| at + AGAIN).filter(|at| *at > w.due);
        let later = topic.0.depends_on().iter().any(covered).then_some(w.due + LATER).or(again);
        if let Some(due) = later {
            // A state may outlast what makes it nothing new now.
            if matches!(edge, Edge::Begins) {
                self.waiting.push(Waiting { due, ..w });
            }
            return None;
        }
        let spareless = topic.0 == Code::NoSpareLeft;
        let tale = match w.fact {
            Fact::NoSpareLeft { others } => Tale::NoSpare { active: look.active.clone(), others },
            fact => Tale::Plain { fact },
        };
        let message = self.message((w.at, w.utc), None, w.severity, uplink, tale);
        self.known.lately.retain(|(of, _)| *of != topic);
        if self.known.lately.len() < MOST {
            self.known.lately.push((topic.clone(), w.due));
        }
        if matches!(edge, Edge::Begins) && self.known.open.len() < MOST {
            let remind_at = spareless.then(|| w.at + REMIND);
            self.known.open.push((topic, Told::new(&message, remind_at)));
        }
        Some(message)
    }

    /// What has lasted for long is told once more.
    fn remind(&mut self, look: &Look, now: Now) -> Vec<Message> {
        let due = |at: &mut Instant| *at <= now.mono;
        let mut told = Vec::new();
        if let Some(away) = &mut self.known.away {
            if away.look_at.take_if(due).is_some() {
                match &look.first {
                    Some((uplink, Some(trouble))) if self.known.dark.is_none() => {
                        let (uplink, trouble) = (uplink.clone(), *trouble);
                        let (since, on) = (away.since, self.known.on.clone());
                        told.push((away.story, Tale::FirstDown { uplink, trouble, since, on }));
                    }
                    _ => away.look_at = Some(now.mono + FIRST_DOWN),
                }
            }
            if away.remind_at.take_if(due).is_some()
                && look.metered
                && let Some(uplink) = self.known.on.clone()
            {
                told.push((away.story, Tale::StillMetered { uplink, since: away.since }));
            }
        }
        for (_, open) in &mut self.known.open {
            if open.remind_at.take_if(due).is_some() {
                told.push((open.story, Tale::StillNoSpare { since: open.since }));
            }
        }
        let mut say = |(story, tale): (u64, Tale)| {
            let uplink = match &tale {
                Tale::FirstDown { uplink, .. } | Tale::StillMetered { uplink, .. } => {
                    Some(uplink.clone())
                }
                _ => None,
            };
            self.message((now.mono, now.utc), Some(story), Severity::Warning, uplink, tale)
        };
        told.into_iter().map(&mut say).collect()
    }

    fn message(
        &mut self,
        (at, utc): (Instant, Option<Utc>),
        story: Option<u64>,
        severity: Severity,
        uplink: Option<String>,
        tale: Tale,
    ) -> Message {
        self.known.numbers = self.known.numbers.saturating_add(1);
        let (number, story) = (self.known.numbers, story.unwrap_or(self.known.numbers));
        Message { number, story, severity, at, utc, uplink, tale, notes: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::events::causes::{Cause, Trouble};
    use crate::engine::health::Condition;

    /// A teller, what it has told, and how the box is.
    #[derive(Default)]
    struct Play {
        teller: Teller,
        look: Look,
        told: Vec<(u64, Message)>,
    }

    fn at(ms: u64) -> Now {
        Now { mono: Instant::from_micros(ms * 1000), utc: Some(Utc(1_800_000_000_000 + ms)) }
    }

    fn failed(uplink: &str) -> Cause {
        Cause::Failed { uplink: uplink.to_owned(), condition: Condition::BeyondModem }
    }

    fn moved(family: Family, from: &str, to: &str, kind: SwitchKind, order: Order) -> Fact {
        let (from, to, cause) = (Some(from.to_owned()), to.to_owned(), failed(from));
        Fact::Switched { family, from, to, kind, cause, order, scope: Scope::Whole }
    }

    fn no_spare() -> Fact {
        Fact::NoSpareLeft { others: vec![("phone".to_owned(), Trouble::Paused)] }
    }

    use Family::{V4, V6};
    use Order::{Joins, Opens};
    use SwitchKind::{Failback, Failover};

    impl Play {
        fn new() -> Self {
            let first = Some(("cable".to_owned(), None));
            let mut this = Self { look: Look { first, ..Look::default() }, ..Self::default() };
            this.on("cable");
            let first = moved(V4, "cable", "cable", SwitchKind::First, Opens);
            this.happens(0, first);
            this
        }

        /// Traffic is there from now on.
        fn on(&mut self, uplink: &str) {
            self.look.active = Some(uplink.to_owned());
        }

        fn happens(&mut self, ms: u64, fact: Fact) {
            self.until(ms);
            let now = at(ms);
            self.teller.heard(&Event { id: 1, at: now.mono, utc: now.utc, fact });
            self.tick(ms);
        }

        fn tick(&mut self, ms: u64) {
            let told = self.teller.tick(&self.look, at(ms));
            self.told.extend(told.into_iter().map(|message| (ms, message)));
        }

        /// Time passes.
        fn until(&mut self, ms: u64) {
            while let Some(due) = self.teller.deadline().filter(|due| *due <= at(ms).mono) {
                self.tick(due.as_micros() / 1000);
            }
        }

        /// When, of which story, how grave, and under which title people were told.
        fn told(&self) -> Vec<(u64, u64, &'static str, String)> {
            let clock = |at: Instant| format!("{}", at.as_micros() / 1_000_000);
            let of = |(ms, m): &(u64, Message)| {
                (*ms, m.story, m.severity.word(), m.tale.words(m.at, &clock).title)
            };
            self.told.iter().map(of).collect()
        }
    }

    fn expected(all: &[(u64, u64, &'static str, &str)]) -> Vec<(u64, u64, &'static str, String)> {
        all.iter()
            .map(|(ms, story, grave, title)| (*ms, *story, *grave, (*title).to_owned()))
            .collect()
    }

    #[test]
    fn a_move_of_both_versions_and_the_return_are_one_story() {
        let mut play = Play::new();
        play.happens(10_000, moved(V4, "cable", "mifi", Failover, Opens));
        play.on("mifi");
        play.happens(10_400, moved(V6, "cable", "mifi", Failover, Joins));
        play.look.felt = Some(Duration::from_millis(700));
        play.tick(10_500);
        play.look.felt = None;
        play.happens(70_000, moved(V4, "mifi", "cable", Failback, Opens));
        play.on("cable");
        play.happens(70_010, moved(V6, "mifi", "cable", Failback, Joins));
        play.until(20_000_000);
        let wanted = [
            (10_500, 1, "notice", "On mifi since 10"),
            (71_000, 1, "notice", "Back on cable since 70"),
        ];
        assert_eq!(play.told(), expected(&wanted));
        let Tale::Moved { felt, .. } = &play.told[0].1.tale else { panic!("no move") };
        assert_eq!(*felt, Some(Duration::from_millis(700)));
        let Tale::Returned { away, .. } = &play.told[1].1.tale else { panic!("no return") };
        assert_eq!(*away, Some(Duration::from_secs(60)));
    }

    #[test]
    fn an_outage_is_told_twice_and_nothing_beside_it() {
        let mut play = Play::new();
        play.happens(10_000, moved(V4, "cable", "mifi", Failover, Opens));
        play.on("mifi");
        play.happens(10_500, no_spare());
        let dark = Fact::AllUplinksDown {
            stays_on: Some("mifi".to_owned()),
            family: V4,
            scope: Scope::Whole,
        };
        play.happens(10_600, dark.clone());
        // A restart in the middle of it is no news.
        let known = serde_json::to_string(play.teller.known()).unwrap();
        play.teller = Teller::new(serde_json::from_str(&known).unwrap());
        play.happens(40_000, dark);
        play.until(300_000);
        play.happens(310_000, moved(V4, "mifi", "phone", Failover, Joins));
        play.on("phone");
        play.happens(
            310_050,
            Fact::BackOnline { uplink: "phone".to_owned(), gap: Some(Duration::from_secs(300)) },
        );
        play.until(320_000);
        let wanted = [
            (10_600, 1, "critical", "No Internet since 10"),
            (310_050, 1, "critical", "No Internet 10–310"),
        ];
        assert_eq!(play.told(), expected(&wanted));
        assert!(play.told[1].1.is_digest());
    }

    #[test]
    fn one_version_that_moves_alone_is_told_as_that_and_both_as_one() {
        let alone =
            |family, from: &str, to: &str, order| match moved(family, from, to, Failover, order) {
                Fact::Switched { family, from, to, kind, cause, order, .. } => {
                    Fact::Switched { family, from, to, kind, cause, order, scope: Scope::Family }
                }
                other => other,
            };
        let mut play = Play::new();
        play.happens(10_000, alone(V6, "cable", "mifi", Opens));
        play.happens(10_500, alone(V6, "mifi", "phone", Opens));
        play.until(400_000);
        play.happens(500_000, alone(V6, "phone", "cable", Opens));
        play.until(1_000_000);
        // The first uplink carries the other version all the time.
        let wanted = [
            (11_000, 1, "notice", "On phone for IPv6 since 10"),
            (501_000, 2, "notice", "On cable for IPv6 since 500"),
        ];
        assert_eq!(play.told(), expected(&wanted));
        let mut play = Play::new();
        play.happens(10_000, alone(V6, "cable", "mifi", Opens));
        play.happens(10_200, alone(V4, "cable", "mifi", Joins));
        play.on("mifi");
        play.until(20_000);
        assert_eq!(play.told(), expected(&[(11_000, 1, "notice", "On mifi since 10")]));
        // What each version begins with is no news.
        let mut play = Play::new();
        let first = match alone(V6, "cable", "mifi", Opens) {
            Fact::Switched { family, from, to, cause, order, scope, .. } => {
                let kind = SwitchKind::First;
                Fact::Switched { family, from, to, kind, cause, order, scope }
            }
            other => other,
        };
        play.happens(10_000, first);
        play.until(20_000);
        assert_eq!(play.told(), []);
    }

    #[test]
    fn a_digest_is_told_once_whoever_says_first_that_it_is_over() {
        let mut play = Play::new();
        let dark = Fact::AllUplinksDown { stays_on: None, family: V4, scope: Scope::Whole };
        play.happens(10_000, dark);
        play.on("phone");
        play.teller.works_after_all("phone", at(70_000));
        play.until(80_000);
        let gap = Some(Duration::from_secs(60));
        play.happens(90_000, Fact::BackOnline { uplink: "phone".to_owned(), gap });
        play.until(100_000);
        let wanted = [
            (10_000, 1, "critical", "No Internet since 10"),
            (71_000, 1, "critical", "No Internet 10–70"),
        ];
        assert_eq!(play.told(), expected(&wanted));
    }

    #[test]
    fn what_outlasts_an_outage_is_told_after_it() {
        let mut play = Play::new();
        play.happens(10_000, no_spare());
        play.happens(
            20_000,
            Fact::AllUplinksDown { stays_on: None, family: V4, scope: Scope::Whole },
        );
        play.on("cable");
        let gap = Some(Duration::from_secs(180));
        play.happens(200_000, Fact::BackOnline { uplink: "cable".to_owned(), gap });
        play.until(400_000);
        let wanted = [
            (20_000, 1, "critical", "No Internet since 20"),
            (200_000, 1, "critical", "No Internet 20–200"),
            (250_000, 3, "warning", "No spare left"),
        ];
        assert_eq!(play.told(), expected(&wanted));
    }

    #[test]
    fn what_a_person_does_interrupts_nobody() {
        let mut play = Play::new();
        play.look.felt = Some(Duration::from_millis(700));
        play.on("mifi");
        play.happens(10_000, moved(V4, "cable", "mifi", SwitchKind::Manual, Opens));
        play.until(20_000);
        let Tale::Moved { felt, .. } = &play.told[0].1.tale else { panic!("no move") };
        assert_eq!(*felt, None);
    }

    #[test]
    fn a_spare_that_is_missed_for_a_minute_is_told_reminded_of_and_told_off() {
        let mut play = Play::new();
        play.happens(10_000, no_spare());
        play.happens(69_000, Fact::SpareBack { uplink: "mifi".to_owned() });
        play.until(200_000);
        assert_eq!(play.told(), [], "it was there again in time");
        play.happens(200_000, no_spare());
        play.until(50_000_000);
        play.happens(50_000_000, Fact::SpareBack { uplink: "mifi".to_owned() });
        let wanted = [
            (260_000, 1, "warning", "No spare left"),
            (14_600_000, 1, "warning", "Still no spare left"),
            (50_000_000, 1, "warning", "A spare again"),
        ];
        assert_eq!(play.told(), expected(&wanted));
    }

    #[test]
    fn the_first_uplink_is_missed_after_five_minutes_and_money_after_four_hours() {
        let mut play = Play::new();
        play.happens(0, moved(V4, "cable", "mifi", Failover, Opens));
        play.on("mifi");
        play.look.metered = true;
        play.look.first =
            Some(("cable".to_owned(), Some(Trouble::Condition(Condition::NoCarrier))));
        play.until(20_000_000);
        let wanted = [
            (1_000, 1, "notice", "On mifi since 0"),
            (300_000, 1, "warning", "Cable down since 0"),
            (14_400_000, 1, "warning", "Still on mifi"),
        ];
        assert_eq!(play.told(), expected(&wanted));
    }

    #[test]
    fn several_moves_in_a_second_are_one() {
        let mut play = Play::new();
        play.happens(0, moved(V4, "cable", "mifi", Failover, Opens));
        play.happens(500, moved(V4, "mifi", "phone", Failover, Joins));
        play.on("phone");
        play.until(10_000);
        assert_eq!(play.told(), expected(&[(1_000, 1, "notice", "On phone since 0")]));
        // To where people think it is, it is no move.
        play.happens(10_000, moved(V6, "mifi", "phone", Failover, Joins));
        play.until(20_000);
        assert_eq!(play.told().len(), 1);
        // An agent that starts again and finds traffic elsewhere tells it.
        play.happens(20_000, moved(V4, "phone", "mifi", SwitchKind::First, Opens));
        play.on("mifi");
        play.until(30_000);
        assert_eq!(play.told()[1], (21_000, 1, "notice", "On mifi since 20".to_owned()));
    }

    #[test]
    fn the_same_is_not_told_again_within_the_hour() {
        let mut play = Play::new();
        let lost = |degraded| Fact::Quality { uplink: "cable".to_owned(), degraded, loss: 30.0 };
        for n in 0..10 {
            play.happens(n * 200_000, lost(true));
            play.happens(n * 200_000 + 100_000, lost(false));
        }
        let wanted = [(60_000, 1, "warning", "Cable"), (100_000, 1, "warning", "Cable")];
        assert_eq!(play.told(), expected(&wanted));
        // What is still so after the hour is.
        play.happens(2_000_000, lost(true));
        play.happens(2_100_000, lost(false));
        play.happens(2_200_000, lost(true));
        play.until(10_000_000);
        assert_eq!(play.told()[2..], expected(&[(3_660_000, 3, "warning", "Cable")]));
    }
}
