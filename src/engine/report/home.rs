//! When the home had no Internet, and what people felt.

use std::collections::BTreeMap;

use super::cause::Cause;
use super::placed::Placed;
use super::runs::{Away, Why};
use super::service::{Services, State};
use super::span::{End, Ms, Span, args, ms};

/// A stretch in which nothing worked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    pub span: Span,
    pub end: End,
    pub cause: Cause,
    /// How long there was no answer while the agent ran, in milliseconds.
    pub down: u64,
    /// How long the agent did not run, the same.
    pub apart: u64,
    /// What was wrong with each uplink when it began.
    pub uplinks: BTreeMap<String, Cause>,
}

/// What was noticed.
#[derive(Clone, Debug, Default)]
pub(super) struct Home {
    pub(super) outages: Vec<Outage>,
    /// When answers came again after an interruption, and how long there were none, in milliseconds.
    pub(super) felt: Vec<(Ms, Ms)>,
}

/// An outage that is not over.
struct Open {
    from: Ms,
    /// The last moment of which is known that it lasted.
    to: Ms,
    stays_on: Option<String>,
}

/// The outages of the home. Those of the box itself, which had no power or restarted, are among them.
pub(super) fn home(
    placed: &[Placed<'_>],
    services: &Services,
    away: &[Away],
    end: Option<Ms>,
) -> Home {
    let mut home = Home::default();
    let mut open: Option<Open> = None;
    for one in placed {
        let Some(entry) = one.entry else { continue };
        let args = args(entry);
        let whole = entry.family.is_none();
        match entry.code.as_str() {
            "no_way_out" if whole => {
                let stays_on = args.get("stays_on").and_then(|name| name.as_str());
                let stays_on = stays_on.map(str::to_owned);
                let begun = Open { from: one.at, to: one.at, stays_on };
                open.get_or_insert(begun).to = one.at;
            }
            "back_online" => {
                let felt = ms(&args, "felt_ms");
                let begun = open.take().map(|open| (open.from, open.stays_on));
                let from = felt.map(|felt| one.at.saturating_sub(felt));
                let told = begun.as_ref().map(|(at, _)| *at);
                let from = from.into_iter().chain(told).min().unwrap_or(one.at);
                let name = begun.and_then(|(_, name)| name);
                home.outages.push(outage(Span { from, to: one.at }, name, services, away));
            }
            // It began, and nobody said that it ended: the agent did not run then.
            "uplink_works" if open.as_ref().is_some_and(|open| over(open, one.at, away)) => {
                home.outages.extend(open.take().map(|open| unseen(open, services, away)));
            }
            "felt" => home.felt.extend(ms(&args, "felt_ms").map(|felt| (one.at, felt))),
            _ => {}
        }
    }
    if let Some(mut open) = open {
        let how = if end.is_some() { End::GoesOn } else { End::Unseen };
        open.to = end.unwrap_or(open.to);
        let last = unseen(open, services, away);
        home.outages.push(Outage { end: how, ..last });
    }
    home.outages
        .extend(away.iter().filter_map(|away| own(*away, &home.outages)).collect::<Vec<_>>());
    home.outages.sort_by_key(|outage| outage.span.from);
    home
}

/// Whether the agent stood still between what was last known of an outage and then.
fn over(open: &Open, at: Ms, away: &[Away]) -> bool {
    let since = Span { from: open.to, to: at };
    away.iter().any(|away| away.span.within(since).ms() > 0)
}

/// An outage whose end nobody saw ended with the run, or goes on.
fn unseen(open: Open, services: &Services, away: &[Away]) -> Outage {
    let mut to = open.to;
    if let Some(next) = away.iter().find(|away| away.span.from >= open.to) {
        to = next.span.from;
    }
    let seen = outage(Span { from: open.from, to }, open.stays_on, services, away);
    Outage { end: End::Unseen, ..seen }
}

fn outage(span: Span, on: Option<String>, services: &Services, away: &[Away]) -> Outage {
    let apart: u64 = away.iter().map(|away| away.span.within(span).ms()).sum();
    let uplinks: BTreeMap<String, Cause> = services
        .keys()
        .filter_map(|name| Some((name.clone(), fault(name, span, services)?)))
        .collect();
    let own = on.and_then(|name| uplinks.get(&name).copied());
    let cause = own.or_else(|| uplinks.values().next().copied()).unwrap_or(Cause::Other);
    let down = span.ms().saturating_sub(apart);
    Outage { span, end: End::Seen, cause, down, apart, uplinks }
}

/// What was wrong with an uplink first.
fn fault(name: &str, span: Span, services: &Services) -> Option<Cause> {
    let all = services.get(name)?;
    all.iter().find_map(|one| match &one.state {
        State::Fails { cause, only: None } if one.span.within(span).ms() > 0 => Some(*cause),
        State::Fails { .. } | State::Works => None,
    })
}

/// The box itself was off. Where that lies in an outage it is part of that.
fn own(away: Away, outages: &[Outage]) -> Option<Outage> {
    let cause = match away.why {
        Why::Power => Cause::Power,
        Why::Restart => Cause::Restart,
        Why::Agent => return None,
    };
    let part =
        |outage: &Outage| outage.span.from <= away.span.from && away.span.to <= outage.span.to;
    let alone = !outages.iter().any(part) && away.span.ms() > 0;
    alone.then(|| Outage {
        span: away.span,
        end: End::Seen,
        cause,
        down: 0,
        apart: away.span.ms(),
        uplinks: BTreeMap::new(),
    })
}
