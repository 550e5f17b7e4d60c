//! How each uplink served, and its incidents.

use std::collections::{BTreeMap, BTreeSet};

use super::cause::Cause;
use super::placed::Placed;
use super::runs::{Away, Run};
use super::span::{End, Ms, Span, args, ms};
use crate::engine::events::entry::Entry;

/// How an uplink serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    Works,
    /// In all that it has, or in one IP version only.
    Fails {
        cause: Cause,
        only: Option<String>,
    },
}

/// A stretch in which it served in one way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) span: Span,
    pub(super) state: State,
    /// A person had paused it when that began.
    paused: bool,
}

/// How every uplink served, by name.
pub(super) type Services = BTreeMap<String, Vec<Stretch>>;

/// A stretch in which an uplink did not lead to the Internet, or not in one IP version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    pub span: Span,
    pub end: End,
    pub cause: Cause,
    /// What else was wrong with it later, in order.
    pub then: Vec<Cause>,
    /// Only this IP version was concerned.
    pub only: Option<String>,
    /// How long nothing worked on it while the agent ran, in milliseconds.
    pub down: u64,
    /// How long only one IP version did not, the same.
    pub partial: u64,
    /// How long the agent did not run, the same.
    pub apart: u64,
    /// The others that reached the Internet meanwhile, best first.
    pub others: Vec<Company>,
}

/// Another uplink, and how long it worked during an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Company {
    pub name: String,
    /// In milliseconds.
    pub worked: u64,
    /// All the while that the agent ran.
    pub throughout: bool,
}

struct Walk {
    run: Option<Run>,
    now: BTreeMap<String, (Ms, State, bool)>,
    paused: BTreeSet<String>,
    done: Services,
}

/// How every uplink served.
pub(super) fn services(placed: &[Placed<'_>], runs: &[Run]) -> Services {
    let mut walk =
        Walk { run: None, now: BTreeMap::new(), paused: BTreeSet::new(), done: Services::new() };
    let mut rest = runs.iter();
    for one in placed {
        let Some(entry) = one.entry else { continue };
        while walk.run.is_none_or(|run| one.boot != run.boot || one.at > run.span.to)
            || (entry.code == "started" && walk.run.is_some_and(|run| run.span.from < one.at))
        {
            let Some(next) = rest.next() else { break };
            walk.enter(*next);
        }
        walk.take(entry, one.at);
    }
    walk.leave();
    walk.done
}

impl Walk {
    /// Another run begins: nothing is known yet, and a pause has outlived no reboot.
    fn enter(&mut self, run: Run) {
        if self.run.is_some_and(|before| before.boot != run.boot) {
            self.paused.clear();
        }
        self.leave();
        self.run = Some(run);
    }

    /// The run is over.
    fn leave(&mut self) {
        let Some(run) = self.run.take() else { return };
        for (name, (from, state, paused)) in std::mem::take(&mut self.now) {
            let span = Span { from, to: run.span.to.max(from) };
            self.done.entry(name).or_default().push(Stretch { span, state, paused });
        }
    }

    fn take(&mut self, entry: &Entry, at: Ms) {
        let args = args(entry);
        let word = |key: &str| args.get(key).and_then(|value| value.as_str());
        let state = match entry.code.as_str() {
            "by_hand" => return self.person(word("deed"), entry.uplink.as_ref()),
            "uplink_works" => State::Works,
            "uplink_fails" => {
                let cause = word("condition").map_or(Cause::Other, Cause::of_condition);
                State::Fails { cause, only: entry.family.clone() }
            }
            _ => return,
        };
        let Some(name) = &entry.uplink else { return };
        let began = self.run.map_or(0, |run| run.span.from);
        let since = at.saturating_sub(ms(&args, "lasts_ms").unwrap_or(0)).max(began);
        let paused = self.paused.contains(name);
        let Some((from, before, was)) = self.now.insert(name.clone(), (since, state, paused))
        else {
            return;
        };
        // What is known better now was known worse before.
        let since = since.max(from);
        if let Some((begin, ..)) = self.now.get_mut(name) {
            *begin = since;
        }
        let span = Span { from, to: since };
        let stretch = Stretch { span, state: before, paused: was };
        self.done.entry(name.clone()).or_default().push(stretch);
    }

    fn person(&mut self, deed: Option<&str>, uplink: Option<&String>) {
        let Some(name) = uplink else { return };
        match deed {
            Some("pause") => drop(self.paused.insert(name.clone())),
            Some("resume" | "pause_over") => drop(self.paused.remove(name)),
            _ => {}
        }
    }
}

/// The incidents of one uplink. What lies between two stretches in which it failed, with nothing in between but the
/// agent's own absence, belongs to it.
pub(super) fn incidents(all: &[Stretch], away: &[Away], end: Ms) -> Vec<Incident> {
    let mut found = Vec::new();
    let mut open: Option<Incident> = None;
    for stretch in all {
        let State::Fails { cause, only } = &stretch.state else {
            if let Some(incident) = open.take() {
                found.push(ended(incident, stretch));
            }
            continue;
        };
        let cause = if stretch.paused { Cause::Maintenance } else { *cause };
        let incident = open.get_or_insert_with(|| Incident {
            span: stretch.span,
            end: End::Seen,
            cause,
            then: Vec::new(),
            only: only.clone(),
            down: 0,
            partial: 0,
            apart: 0,
            others: Vec::new(),
        });
        let between = Span { from: incident.span.to, to: stretch.span.from };
        let apart: u64 = away.iter().map(|away| away.span.within(between).ms()).sum();
        incident.apart += apart;
        let looked = between.ms().saturating_sub(apart) + stretch.span.ms();
        if only.is_none() {
            incident.down += looked;
            if incident.only.take().is_some() {
                // The other IP version followed.
                incident.cause = cause;
            }
        } else {
            incident.partial += looked;
        }
        let last = incident.then.last().copied().unwrap_or(incident.cause);
        if last != cause && only.is_none() {
            incident.then.push(cause);
        }
        incident.span.to = stretch.span.to;
    }
    if let Some(mut incident) = open {
        incident.end = if incident.span.to >= end { End::GoesOn } else { End::Unseen };
        found.push(incident);
    }
    found.into_iter().map(named).collect()
}

/// It works again, or it was not looked at when that began.
fn ended(mut incident: Incident, next: &Stretch) -> Incident {
    incident.end = if next.span.from > incident.span.to { End::Unseen } else { End::Seen };
    incident
}

/// One that concerned one IP version all the while is called so; names that do not resolve in one are worse than that.
fn named(mut incident: Incident) -> Incident {
    if incident.only.is_some() && incident.cause.counts() && incident.cause != Cause::NamesOnly {
        incident.cause = Cause::OneFamily;
    }
    incident
}

/// Who else worked meanwhile, the longest first.
pub(super) fn company(of: &str, span: Span, apart: Ms, all: &Services) -> Vec<Company> {
    let looked = span.ms().saturating_sub(apart);
    let worked = |(name, stretches): (&String, &Vec<Stretch>)| {
        let works = |one: &&Stretch| one.state == State::Works;
        let worked = stretches.iter().filter(works).map(|one| one.span.within(span).ms()).sum();
        // Neither clocks nor verdicts are exact.
        let throughout = worked + 1000 >= looked;
        (worked > 0).then(|| Company { name: name.clone(), worked, throughout })
    };
    let others = all.iter().filter(|(name, _)| *name != of);
    let mut found: Vec<Company> = others.filter_map(worked).collect();
    found.sort_by_key(|other| std::cmp::Reverse(other.worked));
    found
}
