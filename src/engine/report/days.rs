//! What each day came to, for longer than the history reaches: the bars of the page.
//!
//! The history makes room when it is full. What it says of a day is summed up and kept apart before that; a day of
//! which nothing is kept was not recorded, which is not the same as "up".

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::cause::Cause;
use super::home::Outage;
use super::lanes::{Stood, Stretch, laid};
use super::service::Incident;
use super::span::{End, Ms, Span};
use super::sum::{Report, UplinkSum};
use crate::time::day::Day;

/// So many days are shown.
pub const SHOWN: usize = 90;
/// More uplinks than this were never configured; the names of some that are gone may linger.
const NAMES: usize = 64;

/// What a day came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaySum {
    /// How long the agent ran, in milliseconds.
    #[serde(rename = "w")]
    pub watched: u64,
    /// How long there was no Internet meanwhile, or none by this uplink.
    #[serde(rename = "d")]
    pub down: u64,
    /// How many outages were that, those that went on over midnight on either day.
    #[serde(rename = "n")]
    pub outages: u32,
}

/// What each day came to. What is not there was not recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Days {
    pub house: BTreeMap<Day, DaySum>,
    /// By the uplinks' names.
    pub uplinks: BTreeMap<String, BTreeMap<Day, DaySum>>,
}

impl Days {
    /// What a report says of these days. It reaches until `end` (in milliseconds since 1970): now, or the end of the last
    /// run.
    #[must_use]
    pub fn of(report: &Report, end: u64, days: &[(Day, Span)]) -> Self {
        let mut sums = Self::default();
        let Some(known) = report.known else { return sums };
        let known = Span { from: known, to: end };
        let away =
            |span: Span| -> Ms { report.away.iter().map(|away| away.span.within(span).ms()).sum() };
        for (day, span) in days {
            let here = known.within(*span);
            let watched = here.ms().saturating_sub(away(here));
            if watched == 0 {
                continue;
            }
            let looked = |of: Span| of.within(here).ms().saturating_sub(away(of.within(here)));
            let sum = |parts: Vec<Ms>| DaySum {
                watched,
                down: parts.iter().sum::<Ms>().min(watched),
                outages: u32::try_from(parts.len()).unwrap_or(u32::MAX),
            };
            let house = report.home.outages.iter().filter(|one: &&Outage| one.down > 0);
            let house = house.map(|one| looked(one.span)).filter(|down| *down > 0);
            sums.house.insert(*day, sum(house.collect()));
            for uplink in &report.uplinks {
                let counts = |one: &&Incident| one.cause.counts() && one.down > 0;
                let part = |one: &Incident| {
                    // What was wrong in one IP version only is no outage.
                    let all = (one.down + one.partial).max(1);
                    (looked(one.span) as f64 * one.down as f64 / all as f64) as Ms
                };
                let parts = uplink.incidents.iter().filter(counts).map(part).filter(|ms| *ms > 0);
                let own = sums.uplinks.entry(uplink.name.clone()).or_default();
                own.insert(*day, sum(parts.collect()));
            }
        }
        sums
    }

    /// Takes up what is said now. A day of which the history has lost a part stays as it was kept.
    pub fn take(&mut self, newer: Self) {
        let merge = |kept: &mut BTreeMap<Day, DaySum>, newer: BTreeMap<Day, DaySum>| {
            for (day, sum) in newer {
                let before = kept.entry(day).or_insert(sum);
                if sum.watched >= before.watched {
                    *before = sum;
                }
            }
        };
        merge(&mut self.house, newer.house);
        for (name, sums) in newer.uplinks {
            merge(self.uplinks.entry(name).or_default(), sums);
        }
    }

    /// Forgets what was before a day, and what no box has: bounds what is kept.
    pub fn forget_before(&mut self, first: Day) {
        self.house.retain(|day, _| *day >= first);
        for sums in self.uplinks.values_mut() {
            sums.retain(|day, _| *day >= first);
        }
        self.uplinks.retain(|_, sums| !sums.is_empty());
        while self.uplinks.len() > NAMES {
            self.uplinks.pop_last();
        }
    }

    /// The same without a day that is not over.
    #[must_use]
    pub fn before(&self, today: Day) -> Self {
        let over = |sums: &BTreeMap<Day, DaySum>| {
            sums.range(..today).map(|(day, sum)| (*day, *sum)).collect()
        };
        Self {
            house: over(&self.house),
            uplinks: self.uplinks.iter().map(|(name, sums)| (name.clone(), over(sums))).collect(),
        }
    }
}

/// The page's 90 days.
#[derive(Clone, Debug)]
pub struct View {
    pub today: Day,
    pub sums: Days,
    /// The uplinks in the order of the chain; those that are no longer in it behind.
    pub names: Vec<String>,
    /// What is known of single outages, oldest first.
    pub incidents: Vec<Line>,
    /// The last 30 days as stretches: of the house, and of each uplink by name. They end here.
    pub house: Vec<Stretch>,
    pub lanes: Vec<(String, Vec<Stretch>)>,
    /// In milliseconds since 1970.
    pub end: u64,
}

/// One outage in a line.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// `None`: of the house.
    pub uplink: Option<String>,
    pub span: Span,
    /// It has an end.
    pub over: bool,
    /// How long there was none, in milliseconds.
    pub down: u64,
    pub cause: Cause,
}

/// Lanes are that long, in milliseconds.
pub const LANES: u64 = 30 * 86_400_000;

/// The lane of the house, and those of the uplinks.
fn lanes(report: &Report, end: u64) -> (Vec<Stretch>, Vec<(String, Vec<Stretch>)>) {
    let span = Span { from: end.saturating_sub(LANES), to: end };
    let before = Span { from: 0, to: report.known.unwrap_or(end) };
    let away = report.away.iter().map(|away| away.span);
    let away: Vec<Span> = away.chain([before]).collect();
    let down = report.home.outages.iter().filter(|one| one.down > 0).map(|one| one.span);
    let down: Vec<Span> = down.collect();
    let layers: [(&[Span], Stood); 2] = [(&away, Stood::Unknown), (&down, Stood::Down)];
    let house = laid(span, &layers, Stood::Works);
    let lane = |uplink: &UplinkSum| {
        let failed = uplink.incidents.iter().filter(|one| one.only.is_none()).map(|one| one.span);
        let paused = report.uses.paused.get(&uplink.name).into_iter().flatten().copied();
        let bad: Vec<Span> = failed.chain(paused).collect();
        let carried = report.uses.carried.get(&uplink.name).map_or(&[][..], Vec::as_slice);
        let layers: [(&[Span], Stood); 3] =
            [(&away, Stood::Unknown), (&bad, Stood::NotReady), (carried, Stood::Carried)];
        (uplink.name.clone(), laid(span, &layers, Stood::Ready))
    };
    (house, report.uplinks.iter().map(lane).collect())
}

/// So many single outages are told, the newest.
const MOST_LINES: usize = 300;

impl View {
    /// From what is kept, and what the history still says.
    #[must_use]
    pub fn new(report: &Report, sums: &Days, today: Day, end: u64) -> Self {
        let house = report.home.outages.iter().filter(|one| one.down > 0).map(|one| Line {
            uplink: None,
            span: one.span,
            over: one.end != End::GoesOn,
            down: one.down,
            cause: one.cause,
        });
        let of = |uplink: &UplinkSum| {
            let name = uplink.name.clone();
            let counts = uplink.incidents.iter().filter(|one| one.cause.counts() && one.down > 0);
            counts
                .map(move |one| Line {
                    uplink: Some(name.clone()),
                    span: one.span,
                    over: one.end != End::GoesOn,
                    down: one.down,
                    cause: one.cause,
                })
                .collect::<Vec<_>>()
        };
        let mut incidents: Vec<Line> = house.chain(report.uplinks.iter().flat_map(of)).collect();
        incidents.sort_by_key(|line| line.span.from);
        let surplus = incidents.len().saturating_sub(MOST_LINES);
        incidents.drain(..surplus);
        let mut names: Vec<String> = report.uplinks.iter().map(|one| one.name.clone()).collect();
        let gone: Vec<String> =
            sums.uplinks.keys().filter(|name| !names.contains(name)).cloned().collect();
        names.extend(gone);
        let (house, lanes) = lanes(report, end);
        Self { today, sums: sums.clone(), names, incidents, house, lanes, end }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sum::HomeSum;
    use super::super::{Away, Why};
    use super::*;

    const HOUR: Ms = 3_600_000;
    const DAY: Ms = 24 * HOUR;

    fn day(number: i64) -> Day {
        Day::from_days(20_000 + number).unwrap()
    }

    fn days(count: i64) -> Vec<(Day, Span)> {
        let span = |n: i64| {
            let from = n.unsigned_abs() * DAY;
            (day(n), Span { from, to: from + DAY })
        };
        (0..count).map(span).collect()
    }

    fn incident(from: Ms, to: Ms, down: Ms) -> Incident {
        Incident {
            span: Span { from, to },
            end: End::Seen,
            cause: Cause::BeyondModem,
            then: Vec::new(),
            only: None,
            down,
            partial: (to - from) - down,
            apart: 0,
            others: Vec::new(),
        }
    }

    /// Known since noon of the first day; an outage over midnight, a power cut in the third night.
    fn report() -> Report {
        let span = Span { from: 0, to: 4 * DAY };
        let away = Away { span: Span { from: 2 * DAY, to: 2 * DAY + 6 * HOUR }, why: Why::Power };
        let incidents = vec![incident(DAY - HOUR, DAY + 2 * HOUR, 3 * HOUR)];
        let cable = UplinkSum {
            name: "cable".to_owned(),
            availability: None,
            down: 3 * HOUR,
            incidents,
            losses: Vec::new(),
            note: None,
            provider: None,
            owed: None,
        };
        let home = HomeSum { availability: None, outages: Vec::new(), felt: 0, interruptions: 0 };
        let (known, uplinks) = (Some(12 * HOUR), vec![cable]);
        let uses = super::super::lanes::Uses::default();
        Report { span, known, watched: 0, away: vec![away], home, uplinks, uses }
    }

    #[test]
    fn a_day_has_its_part_of_an_outage_and_what_was_not_seen_is_not_up() {
        let sums = Days::of(&report(), 3 * DAY + HOUR, &days(5));
        let told = |sum: &DaySum| (sum.watched / HOUR, sum.down / HOUR, sum.outages);
        let cable: Vec<_> = sums.uplinks["cable"].values().map(told).collect();
        assert_eq!(cable, [(12, 1, 1), (24, 2, 1), (18, 0, 0), (1, 0, 0)]);
        assert!(!sums.house.contains_key(&day(4)), "it has not come");
        assert_eq!(sums.house.values().map(told).next_back(), Some((1, 0, 0)));
    }

    #[test]
    fn what_the_history_has_lost_stays_kept() {
        let mut kept = Days::of(&report(), 3 * DAY, &days(3));
        let whole = kept.clone();
        // The history begins later now, in the middle of the second day.
        let later = Report { known: Some(DAY + 12 * HOUR), ..report() };
        kept.take(Days::of(&later, 3 * DAY, &days(3)));
        assert_eq!(kept, whole);
        kept.take(Days::of(&later, 3 * DAY + HOUR, &days(4)));
        assert_eq!(kept.house.len(), 4, "a new day is taken up");
        assert_eq!(kept.before(day(3)), whole);
        kept.forget_before(day(2));
        assert_eq!((kept.house.len(), kept.uplinks["cable"].len()), (2, 2));
        let text = serde_json::to_string(&kept).unwrap();
        assert_eq!(serde_json::from_str::<Days>(&text).unwrap(), kept);
    }
}
