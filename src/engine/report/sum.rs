//! The sums of a stretch of time.

use super::cause::Cause;
use super::home::{Outage, home};
use super::lanes::{Uses, uses};
use super::placed::{Mark, place};
use super::runs::{Away, Run, away, runs};
use super::service::{Incident, Services, company, incidents, services};
use super::span::{Ms, Span, args};
use super::terms::{Owed, Written, notes, reports};
use super::total_loss::{TotalLoss, losses};
use crate::config::Provider;
use crate::engine::events::entry::Entry;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    /// All that is known, oldest first.
    pub entries: &'a [Entry],
    pub marks: &'a [Mark],
    /// The agent runs, and it is that time, in milliseconds since 1970; `None`: it does not.
    pub now: Option<u64>,
    /// Which stretch of time.
    pub span: Span,
    /// Only this uplink.
    pub uplink: Option<&'a str>,
}

/// What it comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub span: Span,
    /// Since when there is a history, in milliseconds since 1970; `None`: there is none in this stretch.
    pub known: Option<u64>,
    /// How long the agent ran, in milliseconds.
    pub watched: u64,
    /// When it did not.
    pub away: Vec<Away>,
    pub home: HomeSum,
    /// In the order of the chain.
    pub uplinks: Vec<UplinkSum>,
    /// When each uplink was in use, or paused.
    pub(super) uses: Uses,
}

/// The home as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct HomeSum {
    /// From 0 to 1; `None`: nobody looked.
    pub availability: Option<f64>,
    pub outages: Vec<Outage>,
    /// How long people had no answer, over all interruptions, in milliseconds.
    pub felt: u64,
    /// How many interruptions that were.
    pub interruptions: usize,
}

/// One uplink.
#[derive(Clone, Debug, PartialEq)]
pub struct UplinkSum {
    pub name: String,
    /// From 0 to 1; `None`: nobody looked.
    pub availability: Option<f64>,
    /// How long nothing worked on it, but for what a person or this box did, in milliseconds.
    pub down: u64,
    pub incidents: Vec<Incident>,
    /// Total losses that reach into the stretch, whole.
    pub losses: Vec<TotalLoss>,
    /// What a person wrote last.
    pub note: Option<Written>,
    /// Who provides it, if that is known.
    pub provider: Option<Provider>,
    /// What they may owe, if there is a rule.
    pub owed: Option<Owed>,
}

impl UplinkSum {
    /// The longest of those that count.
    #[must_use]
    pub fn longest(&self) -> Option<&Incident> {
        let down = |incident: &&Incident| incident.cause.counts() && incident.down > 0;
        self.incidents.iter().filter(down).max_by_key(|incident| incident.down)
    }

    /// How many count.
    #[must_use]
    pub fn outages(&self) -> usize {
        let down = |incident: &&Incident| incident.cause.counts() && incident.down > 0;
        self.incidents.iter().filter(down).count()
    }
}

/// Reckons what happened in a stretch of time.
#[must_use]
pub fn report(ask: &Ask<'_>) -> Report {
    let placed = place(ask.entries, ask.marks);
    let runs = runs(&placed, ask.now);
    let away = away(&runs);
    let services = services(&placed, &runs);
    let end = runs.last().map_or(0, |run| run.span.to);
    let watched: Ms = runs.iter().map(|run| run.span.within(ask.span).ms()).sum();
    let home = home(&placed, &services, &away, ask.now);
    let name = |name: &&String| ask.uplink.is_none_or(|only| *name == only);
    let names = chain(ask.entries, &services);
    let mut notes = notes(ask.entries);
    let uplinks = names.iter().filter(name).map(|name| {
        let all = services.get(name).map_or(&[][..], Vec::as_slice);
        let whole = incidents(all, &away, end);
        let losses = losses(&whole, &reports(&placed, name)).into_iter();
        let losses = losses.filter(|loss| loss.span.within(ask.span).ms() > 0).collect();
        let here = whole.into_iter().filter_map(|incident| cut(incident, ask.span, &runs));
        let here = here.map(|incident| {
            let others = company(name, incident.span, incident.apart, &services);
            Incident { others, ..incident }
        });
        let note = notes.remove(name);
        UplinkSum { losses, note, ..uplink(name, here.collect(), watched) }
    });
    let uplinks = uplinks.collect();
    let felt = home.felt.iter().filter(|(at, _)| (ask.span.from..ask.span.to).contains(at));
    let (count, felt) = felt.fold((0, 0), |(n, all), (_, felt)| (n + 1, all + felt));
    let outages: Vec<Outage> =
        home.outages.into_iter().filter(|one| one.span.within(ask.span).ms() > 0).collect();
    // What nobody felt, because nobody was there, was an outage all the same.
    let down: Ms = outages.iter().map(|outage| down_within(outage, ask.span, &runs)).sum();
    Report {
        span: ask.span,
        known: runs.iter().find(|run| run.span.within(ask.span).ms() > 0).map(|run| run.span.from),
        watched,
        away: away.into_iter().filter(|one| one.span.within(ask.span).ms() > 0).collect(),
        home: HomeSum {
            availability: share(down.max(felt), watched),
            outages,
            felt,
            interruptions: count,
        },
        uplinks,
        uses: uses(&placed, &runs),
    }
}

fn down_within(outage: &Outage, span: Span, runs: &[Run]) -> Ms {
    let here = outage.span.within(span);
    runs.iter().map(|run| run.span.within(here).ms()).sum()
}

fn uplink(name: &str, incidents: Vec<Incident>, watched: Ms) -> UplinkSum {
    let counts = incidents.iter().filter(|incident| incident.cause.counts());
    let down = counts.map(|incident| incident.down).sum();
    UplinkSum {
        name: name.to_owned(),
        availability: share(down, watched),
        down,
        incidents,
        losses: Vec::new(),
        note: None,
        provider: None,
        owed: None,
    }
}

/// What of an incident lies in a stretch; `None`: nothing.
fn cut(incident: Incident, span: Span, runs: &[Run]) -> Option<Incident> {
    let here = incident.span.within(span);
    if here.ms() == 0 {
        return None;
    }
    if here == incident.span {
        return Some(incident);
    }
    let looked: Ms = runs.iter().map(|run| run.span.within(here).ms()).sum();
    let all = incident.down + incident.partial;
    let part = |ms: Ms| if all == 0 { 0 } else { (ms as f64 * looked as f64 / all as f64) as Ms };
    let (down, partial) = (part(incident.down).min(looked), part(incident.partial).min(looked));
    let apart = here.ms().saturating_sub(looked);
    Some(Incident { span: here, down, partial, apart, ..incident })
}

fn share(down: Ms, watched: Ms) -> Option<f64> {
    (watched > 0).then(|| 1.0 - (down.min(watched) as f64 / watched as f64))
}

/// Uplinks in the order of the last chain; those that are no longer in it behind.
fn chain(entries: &[Entry], services: &Services) -> Vec<String> {
    let last = entries.iter().rev().find(|entry| entry.code == "started");
    let chain = last.and_then(|entry| args(entry).get("chain")?.as_array().cloned());
    let names = chain.unwrap_or_default();
    let mut names: Vec<String> =
        names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect();
    let others = services.keys().filter(|name| !names.contains(name)).cloned();
    let others: Vec<String> = others.collect();
    names.extend(others);
    names
}

impl Report {
    /// How long the box itself was off or restarting, in milliseconds.
    #[must_use]
    pub fn own(&self) -> u64 {
        let own = |outage: &&Outage| matches!(outage.cause, Cause::Power | Cause::Restart);
        self.home.outages.iter().filter(own).map(|outage| outage.apart).sum()
    }
}
