//! One line: an uplink in one IP version, how it is watched and what is known of it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::asking::{Asking, Fate, Found, Method, Pending, Use};
use self::base::Base;
use self::burst::Burst;
use self::candidacy::Candidacy;
use self::hiccups::Hiccups;
use self::sampling::Sampling;
use self::trial::Trial;
use self::witnesses::{Scrutiny, Witnesses};
use super::proof::{Finding, Plan, Proof};
use super::quality::{Quality, Sample};
use super::suspicion::{Duty, Profile};
use super::traffic::{Evidence, Own, Packets, Traffic};
use super::{Condition, Health, Signal, Transition};
use crate::config::Kind;
use crate::engine::health::tally::Tally;
use crate::engine::kernel::egress::Egress;
use crate::engine::probe::estimator::{LossWindow, RttEstimator};
use crate::engine::probe::window::{Learned, Range};
use crate::engine::probe::{Asker, Heard, Outcome, ProbeId};
use crate::time::Instant;

/// What a line needs to know besides itself.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    pub now: Instant,
    /// The kind of line.
    pub kind: Kind,
    /// What it is to the chain.
    pub duty: Duty,
    /// Whether every probe costs.
    pub metered: bool,
    /// Nothing works at all: save nothing.
    pub desperate: bool,
    /// A window that the configuration fixes.
    pub fixed_window: Option<Duration>,
    pub targets: &'a [IpAddr],
    /// The checks above ICMP.
    pub plan: Plan<'a>,
    /// The page check passed on some line: its silence here is this line's fault.
    pub page_works_somewhere: bool,
    /// Packets of known flows go around the evidence counters here: one witness less.
    pub offloaded: bool,
}

/// News of a line.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    Health(Transition),
    /// It became degraded, or good again.
    Quality,
    /// A check above ICMP came to another finding.
    Proof,
    /// Its own resolvers have fallen silent while public ones answer, or answer again.
    Resolvers {
        /// Whether they are silent now.
        silent: bool,
    },
    /// It answered as a candidate.
    Confirmed,
    /// A verdict was wrong: it answered again by itself.
    Premature,
    Sampled,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Its egress, if the box has one here.
    pub egress: Option<Egress>,
    /// What is known of it.
    pub health: Health,
    pub rtt: RttEstimator,
    pub loss: LossWindow,
    pub learned: Learned,
    pub traffic: Traffic,
    /// Loss, as a judgement.
    pub quality: Quality,
    pub proof: Proof,
    /// Loss as last sampled beside the others.
    pub sampled: Option<Sample>,
    asking: Asking,
    pending: BTreeMap<ProbeId, Pending>,
    /// The agent's own packets, to tell them from the traffic.
    own: Own,
    base: Base,
    last_life: Option<Instant>,
    asked_since: Option<Instant>,
    burst: Option<Burst>,
    gateway_answers: bool,
    trial: Option<Trial>,
    candidacy: Option<Candidacy>,
    sampling: Option<Sampling>,
    proven_at: Option<Instant>,
    /// It was alive when it was last judged dead.
    condemned: bool,
    tally: Tally,
    hiccups: Hiccups,
    witnesses: Witnesses,
}

/// How long an echo is waited for: late is slow, not lost.
const PATIENCE: Duration = Duration::from_secs(10);
/// A base probe without an answer for so long counts as lost (until it is answered after all).
const LOST_AFTER: Duration = Duration::from_secs(2);
/// Between questions to a dead line.
const DEAD_EVERY: Duration = Duration::from_secs(1);
/// Between questions to a dead line that costs, while another one works.
const DEAD_METERED: Duration = Duration::from_secs(60);
/// A verdict was wrong if the line answers by itself within so long.
const PREMATURE: Duration = Duration::from_secs(3);

impl Line {
    /// Begins anew with another egress, or none. What was learned of the line stays.
    pub fn relink(&mut self, egress: Option<Egress>, now: Instant) {
        let learned = std::mem::take(&mut self.learned);
        let (health, sampled) = (self.health, self.sampled);
        *self =
            Self { egress, health, learned, sampled, base: Base::begin(now), ..Self::default() };
    }

    /// The window that applies now.
    #[must_use]
    pub fn window(&self, s: &Context<'_>) -> Duration {
        let profile = Profile::of(s.kind, s.duty);
        let doubled = if s.offloaded { 2 } else { 1 };
        let learned = self.learned.window(Range::of(s.kind)) * doubled;
        let fixed = s.fixed_window.or(profile.fixed_window);
        // A slow line is not a silent one: its answers must have time to arrive.
        let slow = self.rtt.rtt().map_or(Duration::ZERO, |_| {
            self.rtt.late_after().min(Duration::from_secs(3)) + profile.tick * 4
        });
        fixed.unwrap_or(learned).max(if s.fixed_window.is_some() { Duration::ZERO } else { slow })
    }

    /// When the line last gave a sign of life.
    #[must_use]
    pub const fn last_life(&self) -> Option<Instant> {
        self.last_life
    }

    /// When the last answer came, as well as it is known: what the counters show came at some time
    /// between two looks at them.
    #[must_use]
    pub fn last_answer(&self) -> Option<Instant> {
        let life = self.last_life?;
        let looks = self.traffic.came().filter(|(_, seen)| *seen == life);
        Some(looks.map_or(life, |(before, seen)| before + seen.since(before) / 2))
    }

    /// Whether it answered since it became a candidate.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        self.candidacy.is_some_and(|candidacy| candidacy.is_confirmed(self.last_life))
    }

    /// Whether it is a candidate.
    #[must_use]
    pub const fn is_candidate(&self) -> bool {
        self.candidacy.is_some()
    }

    /// Asks at once whether it could take over.
    pub fn become_candidate(&mut self, now: Instant) {
        if self.candidacy.is_none() && self.egress.is_some() {
            self.candidacy = Some(Candidacy::begin(now));
        }
    }

    /// The decision has been made.
    pub fn end_candidacy(&mut self) {
        self.candidacy = None;
    }

    /// Measures loss beside the others.
    pub fn begin_sampling(&mut self, now: Instant) {
        self.sampled = None;
        self.sampling = Some(Sampling::begin(now));
    }

    /// Whether loss is being measured beside the others.
    #[must_use]
    pub const fn is_sampling(&self) -> bool {
        self.sampling.is_some()
    }

    /// Asks the next base probe now rather than later.
    pub fn probe_soon(&mut self, now: Instant) {
        self.base.hurry(now);
    }

    /// The agent itself stood still: what was not heard meanwhile proves nothing.
    pub fn void(&mut self, now: Instant) {
        self.asked_since = self.asked_since.map(|_| now);
        if let Some(burst) = &mut self.burst {
            *burst = burst.begin_again(now);
        }
        for pending in self.pending.values_mut() {
            (pending.fate, pending.measures) = (Fate::Void, false);
        }
    }

    /// Passes a signal to the state machine and draws the consequences.
    pub fn signal(&mut self, signal: Signal, s: &Context<'_>, news: &mut Vec<News>) {
        let now = s.now;
        let Some(transition) = self.health.step(signal, now) else {
            return;
        };
        self.health = transition.to;
        match transition.to {
            Health::Failing { .. } => {
                self.burst = Some(Burst::begin(now));
                self.asked_since.get_or_insert(now);
            }
            Health::Up { .. } | Health::Unknown => {
                if signal == Signal::Proven {
                    self.proven_at = Some(now);
                }
                self.burst = None;
                self.trial = None;
            }
            Health::Recovering { .. } => {
                self.burst = None;
                self.begin_again();
                self.trial = Some(Trial::begin(now));
            }
            Health::Down { condition, .. } => {
                self.condemned = transition.from.is_alive();
                self.trial = None;
                self.proof.abandon();
                self.sampling = None;
                // The burst goes on for one more window: a wrong verdict should cost no flow.
                let until = now + self.window(s);
                let goes_on = self.burst.filter(|_| !condition.is_hard());
                self.burst = goes_on.map(|burst| burst.linger(until));
                self.base.wait(now + DEAD_EVERY);
            }
        }
        news.push(News::Health(transition));
    }

    /// A line that comes up is measured again: what was asked before says nothing of it, and when it is
    /// answered now, it was held back.
    fn begin_again(&mut self) {
        self.loss.clear();
        self.quality = Quality::Good;
        self.asking.begin();
        for pending in self.pending.values_mut() {
            pending.measures = false;
        }
    }

    /// Takes the evidence counters.
    pub fn counters(&mut self, seen: Packets, s: &Context<'_>, news: &mut Vec<News>) {
        match self.traffic.look(seen, &self.own, s.now) {
            Evidence::Life => self.life(s, news),
            Evidence::OneSided(since) if self.health.is_alive() => {
                // An answer to somebody else ends no one-sided talk, but it ends the silence.
                let since = self.last_life.map_or(since, |life| life.max(since));
                self.asked_since.get_or_insert(since);
                self.base.hurry_after_last(Profile::of(s.kind, s.duty).one_sided);
            }
            Evidence::Quiet if self.has_nothing_to_wait_for(s.now) => self.asked_since = None,
            Evidence::OneSided(_) | Evidence::Quiet => {}
        }
    }

    /// Whoever asked has given up, such as for a page that was answered from a port which does not count:
    /// the next question begins anew. Else a rest would pass for a silence, and teach patience.
    fn has_nothing_to_wait_for(&self, now: Instant) -> bool {
        let up = matches!(self.health, Health::Up { .. });
        up && self.pending.is_empty() && !self.traffic.is_busy(now)
    }

    /// Takes the end of a probe of this line.
    pub fn reply(
        &mut self,
        id: ProbeId,
        outcome: &Outcome,
        s: &Context<'_>,
        asker: &mut Asker<'_>,
        news: &mut Vec<News>,
    ) {
        let before = (self.findings(), self.proof.own_are_silent(s.plan));
        let asked = asker.requests.len();
        if self.proof.reply(id, outcome, s.plan, asker) {
            self.own.asked_names(&asker.requests[asked..], self.egress.as_ref());
            if before.0 != self.findings() {
                news.push(News::Proof);
            }
            let silent = self.proof.own_are_silent(s.plan);
            if before.1 != silent {
                news.push(News::Resolvers { silent });
            }
            self.conclude_trial(s, news);
            return;
        }
        let Some(mut pending) = self.pending.remove(&id) else {
            return;
        };
        // What ends a death was held back by it.
        pending.measures &= !matches!(self.health, Health::Down { .. });
        let Outcome::Answered(rtt) = outcome else {
            // Not even sent, or refused on the way: the same as silence, seen at once.
            self.settle(pending, Heard::Silence);
            return;
        };
        if pending.purpose == Use::Gateway {
            self.witnesses.gateway_answered(rtt.0);
            self.gateway_answers = true;
            if let Some(burst) = &mut self.burst {
                burst.gateway_answered();
            }
            return;
        }
        match pending.method {
            Method::Echo => self.own.answered(),
            Method::Tcp => self.own.shook_hands(),
            Method::Web => {
                self.own.answered();
                self.own.shook_hands();
            }
        }
        let well = matches!(self.health, Health::Up { .. });
        let scrutiny = if well { Scrutiny::Usual } else { Scrutiny::Strict };
        if self.witnesses.is_doubtful(pending.target, rtt.0, s.targets, scrutiny) {
            // The modem's own answer, by all appearances. Others will tell.
            self.own.doubted();
            if pending.measures {
                self.witnesses.answered(pending.target, rtt.0);
            }
            self.settle(pending, Heard::Answer);
            return;
        }
        let proven = self.health.is_alive();
        self.asking.answered(pending.method, if proven { Found::Proven } else { Found::Proving });
        if self.asking.is_measured(&pending, *rtt, self.rtt.rtt()) {
            self.rtt.sample(*rtt);
            self.tally.time(*rtt);
            self.witnesses.answered(pending.target, rtt.0);
        }
        self.settle(pending, Heard::Answer);
        if let Some(trial) = self.trial.as_mut().filter(|_| pending.measures) {
            trial.answered(pending.target);
        }
        self.life(s, news);
        self.conclude_trial(s, news);
    }

    /// What decisions depend on.
    fn findings(&self) -> (Finding, Finding, [bool; 3]) {
        let (dns, http) = (self.proof.dns().clone(), self.proof.http().clone());
        let silent = self.proof.pages_are_silent();
        (dns, http, [self.dns_is_broken(), self.shows_portal(), silent])
    }

    /// A sign of life from beyond the uplink.
    fn life(&mut self, s: &Context<'_>, news: &mut Vec<News>) {
        let silence = self.asked_since.take().map_or(Duration::ZERO, |since| s.now.since(since));
        let premature = match self.health {
            Health::Down { since, .. } => self.condemned && s.now.since(since) <= PREMATURE,
            Health::Unknown
            | Health::Up { .. }
            | Health::Failing { .. }
            | Health::Recovering { .. } => false,
        };
        let suspected = matches!(self.health, Health::Failing { .. });
        if (suspected && s.duty == Duty::Active) || premature {
            // A wrong verdict teaches what the silence was, no more: the next one like it is covered.
            self.learned.silence(silence, Range::of(s.kind));
            self.hiccups.note(silence, s.now);
        }
        if premature {
            news.push(News::Premature);
        }
        let fresh = !self.is_confirmed();
        self.last_life = Some(s.now);
        if fresh && self.is_confirmed() {
            news.push(News::Confirmed);
        }
        self.signal(Signal::Life, s, news);
    }

    /// Books the fate of a probe.
    fn settle(&mut self, pending: Pending, heard: Heard) {
        match pending.purpose {
            Use::Base => self.settle_base(pending, heard),
            Use::Sample => {
                if let Some(sampling) = self.sampling.as_mut().filter(|_| heard == Heard::Answer) {
                    sampling.answered();
                }
            }
            Use::Burst | Use::Gateway | Use::Proof | Use::Echo => {}
        }
    }

    fn settle_base(&mut self, pending: Pending, heard: Heard) {
        match (heard, pending.fate) {
            (Heard::Answer, _) => self.base.answered(pending.target),
            (Heard::Silence, Fate::Open) => self.base.missed(pending.target),
            (Heard::Silence, Fate::Lost | Fate::Void) => {}
        }
        match (pending.fate, heard) {
            (Fate::Open, Heard::Answer) => self.tally.answered(),
            (Fate::Open, Heard::Silence) => self.tally.lost(),
            (Fate::Lost, Heard::Answer) => self.tally.answered_late(),
            (Fate::Lost, Heard::Silence) | (Fate::Void, _) => {}
        }
        match pending.fate {
            Fate::Open if pending.measures => self.loss.sample(heard),
            Fate::Lost if pending.measures && heard == Heard::Answer => self.loss.answered_late(),
            Fate::Open | Fate::Lost | Fate::Void => {}
        }
    }

    /// Ends the trial if everything is proven.
    fn conclude_trial(&mut self, s: &Context<'_>, news: &mut Vec<News>) {
        if self.trial_answered(s) && self.obstacle(s).is_none() {
            self.signal(Signal::Proven, s, news);
        }
    }

    /// Whether the trial's ICMP half is done.
    fn trial_answered(&self, s: &Context<'_>) -> bool {
        self.trial.as_ref().is_some_and(|trial| trial.is_complete(s.targets.len()))
    }

    /// What stands against trusting the line although it answers; `Some(Ok)` while the checks run.
    #[must_use]
    pub fn obstacle(&self, s: &Context<'_>) -> Option<Condition> {
        let no_page = match self.proof.http() {
            Finding::Wrong(_) => return Some(Condition::Portal),
            Finding::Unknown if !s.plan.pages.is_empty() => return Some(Condition::Ok),
            // One page that did not load is no verdict on a line that is proven.
            Finding::NoAnswer => {
                let sure = self.proof.pages_are_silent() || !self.health.is_alive();
                s.page_works_somewhere && sure
            }
            Finding::Unknown | Finding::Passed | Finding::Blocked => false,
        };
        match self.proof.dns() {
            // Where names do not resolve no page can be found, which is no portal's doing.
            Finding::NoAnswer | Finding::Wrong(_) => Some(Condition::DnsBroken),
            Finding::Unknown if s.plan.name.is_some() && self.proof.is_busy() => {
                Some(Condition::Ok)
            }
            Finding::Unknown | Finding::Passed | Finding::Blocked => {
                no_page.then_some(Condition::NoWeb)
            }
        }
    }

    /// Whether it answers and only its names do not resolve: better than nothing.
    #[must_use]
    pub fn is_last_resort(&self, s: &Context<'_>) -> bool {
        matches!(self.health, Health::Recovering { .. })
            && self.trial_answered(s)
            && self.obstacle(s) == Some(Condition::DnsBroken)
    }

    /// Whether every page that was asked for in the last round was somebody else's.
    #[must_use]
    pub fn shows_portal(&self) -> bool {
        matches!(self.proof.http(), Finding::Wrong(_)) && !self.proof.is_busy()
    }

    /// Whether names have stopped resolving on a line that is otherwise up.
    #[must_use]
    pub fn dns_is_broken(&self) -> bool {
        self.proof.dns_failures() >= 2
    }
}

mod asking;
mod base;
mod burst;
mod candidacy;
/// What the passing of time does to a line.
mod clockwork;
mod hiccups;
mod lapse;
mod sampling;
mod told;
mod trial;
mod witnesses;

pub use hiccups::Pattern;
