//! What each day came to, as the API shows it.

use serde::Serialize;

use crate::engine::events::entry::plain;
use crate::engine::report::days::{DaySum, LANES, Line, SHOWN, View};
use crate::engine::report::lanes::Stretch;
use crate::time::Utc;
use crate::time::day::Day;

/// The last 90 days.
#[derive(Debug, Serialize)]
pub(super) struct DaysOf {
    /// Oldest first; the last is today, where the box is.
    days: Vec<String>,
    /// One for each day; `null`: nothing was recorded.
    house: Vec<Option<SumOf>>,
    uplinks: Vec<UplinkDays>,
    /// The newest outages of which more than a sum is known, oldest first.
    incidents: Vec<IncidentOf>,
    lanes: Lanes,
}

/// The last 30 days as stretches.
#[derive(Debug, Serialize)]
struct Lanes {
    span_s: u64,
    house: Vec<StretchOf>,
    uplinks: Vec<LaneOf>,
}

#[derive(Debug, Serialize)]
struct LaneOf {
    name: String,
    stretches: Vec<StretchOf>,
}

#[derive(Debug, Serialize)]
struct StretchOf {
    from_s_ago: f64,
    to_s_ago: f64,
    state: &'static str,
}

#[derive(Debug, Serialize)]
struct UplinkDays {
    name: String,
    days: Vec<Option<SumOf>>,
}

#[derive(Debug, Serialize)]
struct SumOf {
    watched_s: u64,
    down_s: f64,
    outages: u32,
}

#[derive(Debug, Serialize)]
struct IncidentOf {
    /// `null`: of the house.
    uplink: Option<String>,
    from: String,
    /// `null`: it goes on.
    to: Option<String>,
    down_s: f64,
    cause: &'static str,
    /// The cause in a few words.
    text: &'static str,
}

impl From<&DaySum> for SumOf {
    fn from(sum: &DaySum) -> Self {
        Self { watched_s: sum.watched / 1000, down_s: seconds(sum.down), outages: sum.outages }
    }
}

impl From<&Line> for IncidentOf {
    fn from(line: &Line) -> Self {
        Self {
            uplink: line.uplink.as_deref().map(plain),
            from: Utc(line.span.from).to_string(),
            to: line.over.then(|| Utc(line.span.to).to_string()),
            down_s: seconds(line.down),
            cause: line.cause.word(),
            text: line.cause.phrase(),
        }
    }
}

impl From<View> for DaysOf {
    fn from(view: View) -> Self {
        let first = view.today.plus(1 - i32::try_from(SHOWN).unwrap_or(0));
        let days: Vec<Day> = (0..).map(|n| first.plus(n)).take(SHOWN).collect();
        let sums = &view.sums;
        let ago = |at: u64| seconds(view.end.saturating_sub(at));
        let stretches = |lane: &[Stretch]| -> Vec<StretchOf> {
            let of = |(span, stood): &Stretch| StretchOf {
                from_s_ago: ago(span.from),
                to_s_ago: ago(span.to),
                state: stood.word(),
            };
            lane.iter().map(of).collect()
        };
        let lane = |(name, lane): &(String, Vec<Stretch>)| LaneOf {
            name: plain(name),
            stretches: stretches(lane),
        };
        let lanes = Lanes {
            span_s: LANES / 1000,
            house: stretches(&view.house),
            uplinks: view.lanes.iter().map(lane).collect(),
        };
        let uplink = |name: &String| UplinkDays {
            name: plain(name),
            days: days
                .iter()
                .map(|day| sums.uplinks.get(name)?.get(day).map(SumOf::from))
                .collect(),
        };
        Self {
            house: days.iter().map(|day| sums.house.get(day).map(SumOf::from)).collect(),
            uplinks: view.names.iter().map(uplink).collect(),
            incidents: view.incidents.iter().map(IncidentOf::from).collect(),
            days: days.iter().map(ToString::to_string).collect(),
            lanes,
        }
    }
}

/// To a tenth.
fn seconds(ms: u64) -> f64 {
    ((ms + 50) / 100) as f64 / 10.0
}
