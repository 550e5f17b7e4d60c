//! What the passing of time does to a line: probes, bursts, verdicts. Each part names when it wants
//! to be woken next; [`Line::deadline`] is the earliest of them.

use std::net::IpAddr;
use std::time::Duration;

use super::asking::{Fate, Method, Pending, Use};
use super::base::Pick;
use super::burst::{self, Gateway, MIN_TICKS};
use super::sampling::Due;
use super::trial::Trial;
use super::{Context, DEAD_EVERY, DEAD_METERED, LOST_AFTER, Line, News, PATIENCE};
use crate::engine::health::proof::{self, Finding, Round};
use crate::engine::health::suspicion::{Duty, Profile};
use crate::engine::health::tally::{METERED_SPARE, NAMES_EVERY, PAGES_EVERY};
use crate::engine::health::{Condition, Health, Signal};
use crate::engine::probe::{Asker, Heard};
use crate::time::Instant;

/// Lines without traffic are asked at the same time, and the box wakes once for all.
const ALIGNED: Duration = Duration::from_secs(1);
/// However slow a line is, after this time an answer is late.
const LATE_AT_LAST: Duration = Duration::from_secs(3);
/// An instant that never comes.
const NEVER: Instant = Instant::from_micros(u64::MAX);

impl Line {
    /// Does everything that is due.
    pub fn timeout(&mut self, s: &Context<'_>, asker: &mut Asker<'_>, news: &mut Vec<News>) {
        if self.egress.is_none() {
            return;
        }
        self.give_up_old_probes(s, news);
        match self.health {
            Health::Up { .. } => {
                self.base_probe(s, asker);
                self.suspect_if_late(s, news);
            }
            Health::Unknown => self.base_probe(s, asker),
            Health::Failing { .. } => {}
            Health::Recovering { .. } => self.trial_tick(s, asker, news),
            Health::Down { .. } => self.base_probe(s, asker),
        }
        // A suspicion that began just now sends its first tick just now.
        self.burst_tick(s, asker);
        if matches!(self.health, Health::Failing { .. }) {
            self.judge_silence(s, news);
        }
        self.candidate_tick(s, asker);
        self.sample_tick(s, asker, news);
        let (due, round) = self.proof_due(s);
        if due <= s.now {
            self.begin_proof(round, s, asker);
        }
    }

    fn begin_proof(&mut self, round: Round, s: &Context<'_>, asker: &mut Asker<'_>) {
        let asked = asker.requests.len();
        let patience = proof::patience(self.rtt.rtt().map(|_| self.rtt.late_after()));
        self.proof.begin(round, patience, s.plan, s.now, asker);
        self.own.asked_names(&asker.requests[asked..], self.egress.as_ref());
    }

    /// When something is next due.
    #[must_use]
    pub fn deadline(&self, s: &Context<'_>) -> Instant {
        if self.egress.is_none() {
            return NEVER;
        }
        let by_health = match self.health {
            Health::Up { .. } => self.base.deadline().min(self.late_at(s)),
            Health::Unknown | Health::Down { .. } => self.base.deadline(),
            Health::Failing { .. } => self.verdict_at(s),
            Health::Recovering { .. } => self.trial.as_ref().map_or(NEVER, Trial::deadline),
        };
        let burst = self.burst.map_or(NEVER, |burst| burst.deadline());
        let candidacy = self.candidacy.map_or(NEVER, |candidacy| candidacy.deadline());
        let sampling = self.sampling.map_or(NEVER, |sampling| sampling.deadline());
        let given_up = self.lost_at();
        [by_health, burst, candidacy, sampling, given_up, self.proof_due(s).0]
            .into_iter()
            .fold(NEVER, Instant::min)
    }

    fn ask(&mut self, target: IpAddr, purpose: Use, now: Instant, asker: &mut Asker<'_>) {
        self.ask_by(self.asking.method(), target, purpose, now, asker);
    }

    fn ask_by(
        &mut self,
        method: Method,
        target: IpAddr,
        purpose: Use,
        now: Instant,
        asker: &mut Asker<'_>,
    ) {
        let method = if purpose == Use::Gateway { Method::Echo } else { method };
        let id = asker.ask(method.question(target), PATIENCE);
        let measures = match self.health {
            Health::Up { .. } | Health::Recovering { .. } | Health::Unknown => true,
            Health::Failing { .. } | Health::Down { .. } => false,
        };
        let fate = Fate::Open;
        self.pending.insert(id, Pending { sent: now, target, purpose, method, fate, measures });
        if purpose != Use::Gateway {
            self.own.asked();
            self.asked_since.get_or_insert(now);
        }
    }

    fn ask_all(&mut self, s: &Context<'_>, purpose: Use, asker: &mut Asker<'_>) {
        for target in s.targets {
            self.ask(*target, purpose, s.now, asker);
        }
    }

    /// The next target in turn; those at fault themselves, and those that the modem answers, only when there
    /// is no other.
    fn next_target(&mut self, targets: &[IpAddr]) -> Option<IpAddr> {
        let alive = self.health.is_alive();
        let pick = if alive { Pick::Fit(&self.witnesses) } else { Pick::Any };
        self.base.target(targets, pick)
    }

    fn base_probe(&mut self, s: &Context<'_>, asker: &mut Asker<'_>) {
        if self.base.deadline() > s.now {
            return;
        }
        if let Some(target) = self.next_target(s.targets) {
            // What answered once may be dropped today: a dead line is now and then asked otherwise.
            let (usual, alive) = (self.asking.method(), self.health.is_alive());
            let otherwise = self.base.otherwise();
            let times = otherwise.filter(|_| !alive);
            let method = times.map_or(usual, |times| usual.other(times));
            self.ask_by(method, target, Use::Base, s.now, asker);
            if usual != Method::Echo && alive && otherwise.is_some() {
                self.ask_by(Method::Echo, target, Use::Echo, s.now, asker);
            }
        }
        let interval = self.base_interval(s);
        let next = s.now + interval;
        let rests = self.health.is_alive() && !self.traffic.is_busy(s.now) && interval >= ALIGNED;
        self.base.asked(s.now, if rests { next.aligned(ALIGNED) } else { next });
    }

    fn base_interval(&self, s: &Context<'_>) -> Duration {
        if !self.health.is_alive() {
            let save = s.metered && !s.desperate;
            return if save { DEAD_METERED } else { DEAD_EVERY };
        }
        let profile = Profile::of(s.kind, s.duty);
        let unanswered = |since| self.last_life.is_none_or(|life| life < since);
        let one_sided = self.traffic.one_sided_since(s.now);
        if one_sided.is_some_and(unanswered) {
            profile.one_sided
        } else if one_sided.is_some() {
            // Only the agent itself is answered. What people ask for may be answered by a modem.
            profile.base.min(profile.one_sided * 2)
        } else if self.traffic.is_busy(s.now) {
            profile.base
        } else {
            profile.idle
        }
    }

    /// Base probes that nothing answered for long are booked as lost; all are forgotten in the end.
    fn give_up_old_probes(&mut self, s: &Context<'_>, news: &mut Vec<News>) {
        let now = s.now;
        let lost_after = self.lost_after();
        let mut lost = Vec::new();
        for pending in self.pending.values_mut() {
            if pending.is_open_base() && now >= pending.sent + lost_after {
                lost.push(*pending);
                pending.fate = Fate::Lost;
            }
        }
        for pending in lost {
            self.settle(pending, Heard::Silence);
        }
        self.pending.retain(|_, pending| now.since(pending.sent) < PATIENCE * 2);
        if let (Some(loss), Health::Up { .. }) = (self.loss.verdict(), self.health)
            && self.quality.judge(loss, now)
        {
            news.push(News::Quality);
        }
    }

    fn lost_after(&self) -> Duration {
        self.rtt.late_after().max(LOST_AFTER).min(PATIENCE)
    }

    fn lost_at(&self) -> Instant {
        let open = self.pending.values().find(|p| p.is_open_base());
        open.map_or(NEVER, |pending| pending.sent + self.lost_after())
    }

    /// When the oldest base probe that nothing has answered since becomes late.
    fn late_at(&self, s: &Context<'_>) -> Instant {
        let profile = Profile::of(s.kind, s.duty);
        let estimate = self.rtt.late_after();
        // An answer cannot be late before it can be there.
        let slow = self.rtt.rtt().is_some_and(|rtt| rtt.0 >= profile.late_max);
        let late = if slow {
            estimate.clamp(profile.late_min, LATE_AT_LAST)
        } else {
            estimate.clamp(profile.late_min, profile.late_max)
        };
        let heard = self.last_life.unwrap_or(Instant::ZERO);
        // Booked as lost or not: a line that is asked seldom may be late after that.
        let unanswered =
            |p: &&Pending| p.purpose == Use::Base && p.fate != Fate::Void && p.sent >= heard;
        let open = self.pending.values().find(unanswered);
        open.map_or(NEVER, |pending| pending.sent + late)
    }

    fn suspect_if_late(&mut self, s: &Context<'_>, news: &mut Vec<News>) {
        if self.late_at(s) <= s.now {
            self.signal(Signal::Suspected, s, news);
        }
    }

    fn burst_tick(&mut self, s: &Context<'_>, asker: &mut Asker<'_>) {
        let every = Profile::of(s.kind, s.duty).tick;
        let number = match self.burst.as_mut().map_or(burst::Due::Nothing, |b| b.tick(every, s.now))
        {
            burst::Due::Nothing => return,
            burst::Due::End => {
                self.burst = None;
                return;
            }
            burst::Due::Tick(number) => number,
        };
        if number == MIN_TICKS && matches!(self.health, Health::Failing { .. }) {
            self.look_for_portal(s, asker);
        }
        self.ask_all(s, Use::Burst, asker);
        if let Some(gateway) = self.egress.as_ref().and_then(|egress| egress.gateway) {
            self.ask(gateway, Use::Gateway, s.now, asker);
        }
    }

    fn verdict_at(&self, s: &Context<'_>) -> Instant {
        let Some(burst) = &self.burst else {
            return NEVER;
        };
        let silent_since = self.asked_since.unwrap_or(s.now);
        burst.over_at(silent_since, self.window(s), Profile::of(s.kind, s.duty).tick)
    }

    fn judge_silence(&mut self, s: &Context<'_>, news: &mut Vec<News>) {
        let Some(burst) = self.burst else { return };
        if self.verdict_at(s) > s.now {
            return;
        }
        self.signal(Signal::Silent(burst.condition(self.gateway())), s, news);
    }

    /// What is known of the gateway.
    fn gateway(&self) -> Gateway {
        let there = self.egress.as_ref().is_some_and(|egress| egress.gateway.is_some());
        if there && self.gateway_answers { Gateway::Known } else { Gateway::Unknown }
    }

    fn trial_tick(&mut self, s: &Context<'_>, asker: &mut Asker<'_>, news: &mut Vec<News>) {
        let Health::Recovering { since } = self.health else {
            return;
        };
        let Some(trial) = self.trial.as_mut().filter(|trial| trial.deadline() <= s.now) else {
            return;
        };
        let heard = self.last_life.map_or(since, |life| life.max(since));
        if trial.has_failed(heard, s.now) {
            let gateway = self.egress.as_ref().is_some_and(|egress| egress.gateway.is_some());
            let silent = gateway && !self.gateway_answers;
            let condition = if silent { Condition::ModemSilent } else { Condition::BeyondModem };
            self.signal(Signal::Silent(condition), s, news);
            return;
        }
        let slowly = if s.metered && !s.desperate { DEAD_METERED } else { DEAD_EVERY };
        let turn = trial.tick(slowly, s.now);
        let usual = self.asking.method();
        let method = turn.otherwise.map_or(usual, |times| usual.other(times));
        if let Some(target) = self.next_target(s.targets) {
            self.ask_by(method, target, Use::Proof, s.now, asker);
            if method != Method::Echo && turn.number.is_multiple_of(4) {
                self.ask_by(Method::Echo, target, Use::Echo, s.now, asker);
            }
        }
        if turn.number == 1
            && let Some(gateway) = self.egress.as_ref().and_then(|egress| egress.gateway)
        {
            self.ask(gateway, Use::Gateway, s.now, asker);
        }
    }

    /// Asks at once what would be asked later. What is answered, or is not, is judged as ever: nothing
    /// is taken back before.
    pub fn prove_anew(&mut self, s: &Context<'_>, asker: &mut Asker<'_>) {
        self.probe_soon(s.now);
        self.ask_all(s, Use::Burst, asker);
        let answers = self.trial.as_mut().is_some_and(|trial| {
            trial.hurry(s.now);
            trial.is_answered()
        });
        // Nobody is asked for names and pages by a line that answers nothing at all.
        if self.health.is_alive() || answers {
            self.begin_proof(Round::All, s, asker);
        }
    }

    /// A candidate is asked at once, then a little more slowly, until the decision is made.
    fn candidate_tick(&mut self, s: &Context<'_>, asker: &mut Asker<'_>) {
        let Some(ticks) = self.candidacy.as_mut().and_then(|candidacy| candidacy.tick(s.now))
        else {
            return;
        };
        if !self.is_confirmed() {
            self.ask_all(s, Use::Burst, asker);
        }
        if ticks == 2 {
            self.look_for_portal(s, asker);
        }
    }

    /// Most suspicions end with the first answer; one that lasts is worth a look for a portal.
    fn look_for_portal(&mut self, s: &Context<'_>, asker: &mut Asker<'_>) {
        let stale = if s.metered { 300 } else { 5 };
        let fresh = |at: Instant| s.now.since(at) < Duration::from_secs(stale);
        if !self.proof.pages_asked().is_some_and(fresh) {
            self.begin_proof(Round::All, s, asker);
        }
    }

    fn sample_tick(&mut self, s: &Context<'_>, asker: &mut Asker<'_>, news: &mut Vec<News>) {
        match self.sampling.as_mut().map_or(Due::Nothing, |sampling| sampling.tick(s.now)) {
            Due::Nothing => {}
            Due::Question => {
                if let Some(target) = self.next_target(s.targets) {
                    self.ask(target, Use::Sample, s.now, asker);
                }
            }
            Due::Result(sample) => {
                self.sampled = Some(sample);
                self.sampling = None;
                news.push(News::Sampled);
            }
        }
    }

    /// When checks above ICMP are due again, and how much they ask.
    fn proof_due(&self, s: &Context<'_>) -> (Instant, Round) {
        let nothing_to_check = s.plan.name.is_none() && s.plan.pages.is_empty();
        if self.proof.is_busy() || nothing_to_check {
            return (NEVER, Round::All);
        }
        let (Some(names), Some(pages)) = (self.proof.names_asked(), self.proof.pages_asked())
        else {
            let answers = self.trial.as_ref().is_some_and(Trial::is_answered);
            let wanted = self.health.is_alive() || answers;
            return (if wanted { Instant::ZERO } else { NEVER }, Round::All);
        };
        let wrong = matches!(self.proof.http(), Finding::Wrong(_));
        let silent = |finding: &Finding| *finding == Finding::NoAnswer;
        let unwell = wrong || silent(self.proof.dns()) || silent(self.proof.http());
        let saving = s.metered && !s.desperate;
        let all_every = |seconds: u64| (pages + Duration::from_secs(seconds), Round::All);
        match (self.health, s.duty) {
            (Health::Recovering { .. }, _) => all_every(if saving { 60 } else { 5 }),
            (Health::Up { .. }, Duty::Active) if unwell => all_every(2),
            (Health::Up { .. }, Duty::Active) if self.stalled_since(s.now) > Some(pages) => {
                all_every(2)
            }
            // That no resolver names a page's server shows nothing: nobody has looked yet.
            (Health::Up { .. }, Duty::Active)
                if *self.proof.http() == Finding::Blocked
                    && self.stalled_since(s.now).is_some() =>
            {
                all_every(10)
            }
            (Health::Up { .. }, Duty::Spare) if unwell => all_every(10),
            (Health::Up { .. }, Duty::MeteredSpare) => (pages + METERED_SPARE, Round::All),
            (Health::Up { .. }, Duty::Active | Duty::Spare) => {
                let slower = Self::slower(s);
                let names = names + self.names_every(s.duty, s.now) * slower;
                let pages = pages + PAGES_EVERY * slower;
                if pages <= names { (pages, Round::All) } else { (names, Round::Names) }
            }
            (Health::Unknown | Health::Failing { .. } | Health::Down { .. }, _) => {
                (NEVER, Round::All)
            }
        }
    }

    /// How often names are asked for. Doubts about a resolver are settled at once; one that has fallen
    /// silent is not waited for longer than need be; and where people are at work they soon notice.
    fn names_every(&self, duty: Duty, now: Instant) -> Duration {
        let conduct = self.proof.conduct();
        match duty {
            Duty::Active if conduct.is_in_doubt() => Duration::from_secs(2),
            Duty::Active if self.traffic.is_busy(now) => Duration::from_secs(8),
            Duty::Active if conduct.is_uneasy() => Duration::from_secs(10),
            Duty::Active | Duty::Spare | Duty::MeteredSpare => NAMES_EVERY,
        }
    }

    /// Traffic goes out, probes are answered, and yet nothing comes back: a portal, perhaps; or one
    /// lonely device that talks to nobody, for which one look is enough.
    fn stalled_since(&self, now: Instant) -> Option<Instant> {
        let since = self.traffic.one_sided_since(now)? + LOST_AFTER;
        (since <= now).then_some(since)
    }
}

#[cfg(test)]
mod tests;
