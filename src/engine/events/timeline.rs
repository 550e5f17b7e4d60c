//! The last day at a glance: who carried the traffic when, and the last hour of each uplink minute
//! by minute. For people only; nothing is decided by it.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;

use crate::engine::health::tally::Tally;
use crate::time::Instant;
use crate::units::{LossPercent, Rtt, UplinkId};

/// How far back it goes.
pub const SPAN: Duration = Duration::from_secs(86_400);
/// Minutes in the strip of an uplink.
pub const MINUTES: usize = 60;
/// Stretches that are kept; on a day with more of them the earliest are forgotten.
pub(in crate::engine) const MOST: usize = 512;
pub(in crate::engine) const MINUTE: Duration = Duration::from_secs(60);
/// A gap in the agent's own loop longer than this is shown as one.
pub(in crate::engine) const GAP: Duration = Duration::from_secs(10);

/// Who carries the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Serving {
    /// The first uplink of the chain.
    First,
    Backup,
    None,
    Unknown,
}

impl Serving {
    /// The word in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Backup => "backup",
            Self::None => "none",
            Self::Unknown => "unknown",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Stretch {
    pub(in crate::engine) from: Instant,
    pub(in crate::engine) carrier: Serving,
    pub(in crate::engine) uplink: Option<String>,
}

/// One minute of an uplink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Minute {
    pub rtt: Option<Rtt>,
    /// Base probes that were not answered.
    pub loss: Option<LossPercent>,
    /// Whether it was alive all the time; `None`: not known.
    pub up: Option<bool>,
    /// Bytes that asking it took.
    pub bytes: u64,
}

impl Minute {
    pub(in crate::engine) fn count(&mut self, tally: Tally) {
        self.rtt = tally.rtt();
        self.loss = tally.loss_percent().map(LossPercent);
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::engine) struct Strip {
    pub(in crate::engine) past: VecDeque<Minute>,
    pub(in crate::engine) running: Minute,
    pub(in crate::engine) bytes: u64,
}

/// The day and the hours.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::engine) struct Timeline {
    pub(in crate::engine) stretches: VecDeque<Stretch>,
    pub(in crate::engine) strips: BTreeMap<UplinkId, Strip>,
    pub(in crate::engine) minute_from: Instant,
}

/// A stretch of time as it is told, in seconds before now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// It began so long ago.
    pub from: Duration,
    /// It ended so long ago; zero: it goes on.
    pub to: Duration,
    /// Who carried the traffic.
    pub carrier: Serving,
    pub uplink: Option<String>,
}

/// What people are shown.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// The day, oldest first, without gaps.
    pub segments: Vec<Segment>,
    /// Each uplink's last hour, oldest minute first, the running one last.
    pub strips: Vec<(String, Vec<Minute>)>,
}

impl Timeline {
    pub(in crate::engine) fn new(now: Instant) -> Self {
        Self { minute_from: now, ..Self::default() }
    }

    /// Whether it is so already.
    pub(in crate::engine) fn stands(&self, carrier: Serving, uplink: Option<&str>) -> bool {
        let last = self.stretches.back();
        last.is_some_and(|last| last.carrier == carrier && last.uplink.as_deref() == uplink)
    }

    /// Who carries the traffic from now on.
    pub(in crate::engine) fn note(
        &mut self,
        carrier: Serving,
        uplink: Option<String>,
        now: Instant,
    ) {
        if self.stands(carrier, uplink.as_deref()) {
            return;
        }
        let over = |stretches: &VecDeque<Stretch>| {
            let next = stretches.get(1);
            stretches.len() >= MOST || next.is_some_and(|next| now.since(next.from) >= SPAN)
        };
        while over(&self.stretches) {
            self.stretches.pop_front();
        }
        self.stretches.push_back(Stretch { from: now, carrier, uplink });
    }

    /// Nobody looked from then on.
    pub(in crate::engine) fn gap(&mut self, from: Instant, length: Duration) {
        if length >= GAP {
            self.note(Serving::Unknown, None, from);
        }
    }

    /// An uplink is alive now, or is not.
    pub(in crate::engine) fn look(&mut self, id: UplinkId, up: Option<bool>) {
        let running = &mut self.strips.entry(id).or_default().running;
        running.up = match (running.up, up) {
            (Some(before), Some(now)) => Some(before && now),
            (before, now) => before.or(now),
        };
    }

    /// A question to an uplink took so many bytes.
    pub(in crate::engine) fn spend(&mut self, id: UplinkId, bytes: u64) {
        let strip = self.strips.entry(id).or_default();
        strip.running.bytes += bytes;
        strip.bytes += bytes;
    }

    /// Bytes that asking an uplink has taken so far.
    pub(in crate::engine) fn spent(&self, id: UplinkId) -> u64 {
        self.strips.get(&id).map_or(0, |strip| strip.bytes)
    }

    pub(in crate::engine) fn minute_is_over(&self, now: Instant) -> bool {
        now.since(self.minute_from) >= MINUTE
    }

    /// Books the minute that is over, and those in which nobody looked.
    pub(in crate::engine) fn end_minute(
        &mut self,
        tallies: &BTreeMap<UplinkId, Tally>,
        now: Instant,
    ) {
        let over = now.since(self.minute_from).as_secs() / MINUTE.as_secs();
        self.minute_from = self.minute_from + Duration::from_secs(over * MINUTE.as_secs());
        let missed = usize::try_from(over).unwrap_or(MINUTES).saturating_sub(1).min(MINUTES);
        self.strips.retain(|id, _| tallies.contains_key(id));
        for (id, tally) in tallies {
            let strip = self.strips.entry(*id).or_default();
            let mut minute = std::mem::take(&mut strip.running);
            minute.count(*tally);
            strip.past.push_back(minute);
            strip.past.extend(std::iter::repeat_n(Minute::default(), missed));
            let extra = strip.past.len().saturating_sub(MINUTES);
            strip.past.drain(..extra);
        }
    }

    pub(in crate::engine) fn segments(&self, now: Instant) -> Vec<Segment> {
        let ends = self.stretches.iter().skip(1).map(|next| now.since(next.from));
        let ends = ends.chain([Duration::ZERO]);
        let told = self.stretches.iter().zip(ends).map(|(stretch, to)| Segment {
            from: now.since(stretch.from).min(SPAN),
            to,
            carrier: stretch.carrier,
            uplink: stretch.uplink.clone(),
        });
        let told: Vec<Segment> = told.filter(|segment| segment.to < segment.from).collect();
        let begins = told.first().map_or(Duration::ZERO, |first| first.from);
        let before = Segment { from: SPAN, to: begins, carrier: Serving::Unknown, uplink: None };
        (begins < SPAN).then_some(before).into_iter().chain(told).collect()
    }

    pub(in crate::engine) fn strip(&self, id: UplinkId, running: Tally) -> Vec<Minute> {
        let none = Strip::default();
        let strip = self.strips.get(&id).unwrap_or(&none);
        let mut last = strip.running;
        last.count(running);
        let past = strip.past.len().min(MINUTES - 1);
        let known = strip.past.iter().skip(strip.past.len() - past).copied();
        let missing = std::iter::repeat_n(Minute::default(), MINUTES - 1 - past);
        missing.chain(known).chain([last]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Gather as _;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn told(timeline: &Timeline, now: u64) -> Vec<(u64, u64, &'static str)> {
        let segments = timeline.segments(at(now));
        segments.iter().map(|s| (s.from.as_secs(), s.to.as_secs(), s.carrier.word())).collect()
    }

    #[test]
    fn the_day_has_no_gaps_and_ends_now() {
        let start = 200_000;
        let mut timeline = Timeline::new(at(start));
        assert_eq!(told(&timeline, start), [(86_400, 0, "unknown")]);
        timeline.note(Serving::First, Some("cable".to_owned()), at(start));
        timeline.note(Serving::First, Some("cable".to_owned()), at(start + 50));
        timeline.note(Serving::Backup, Some("mifi".to_owned()), at(start + 100));
        timeline.note(Serving::Backup, Some("phone".to_owned()), at(start + 110));
        timeline.note(Serving::None, None, at(start + 120));
        assert_eq!(
            told(&timeline, start + 150),
            [
                (86_400, 150, "unknown"),
                (150, 50, "first"),
                (50, 40, "backup"),
                (40, 30, "backup"),
                (30, 0, "none")
            ]
        );
        assert_eq!(told(&timeline, start + 110 + 86_400)[0], (86_400, 86_390, "backup"));
        assert_eq!(told(&timeline, start + 120 + 90_000), [(86_400, 0, "none")]);
    }

    #[test]
    fn a_day_of_flapping_is_bounded_and_old_days_are_forgotten() {
        let mut timeline = Timeline::new(at(0));
        for n in 0..20_000 {
            let carrier = if n % 2 == 0 { Serving::First } else { Serving::None };
            timeline.note(carrier, None, at(100_000 + n * 4));
            assert!(timeline.stretches.len() <= MOST);
        }
        let segments = timeline.segments(at(180_000));
        assert_eq!(segments.first().map(|s| s.carrier), Some(Serving::Unknown));
        assert!(segments.windows(2).all(|pair| pair[0].to == pair[1].from));
        timeline.note(Serving::Backup, None, at(1_000_000));
        assert_eq!(timeline.stretches.len(), 2, "what is older than a day is forgotten");
    }

    #[test]
    fn a_gap_in_the_loop_is_shown_as_one() {
        let mut timeline = Timeline::new(at(0));
        timeline.note(Serving::First, Some("cable".to_owned()), at(100_000));
        timeline.gap(at(100_100), Duration::from_secs(2));
        timeline.gap(at(100_200), Duration::from_secs(300));
        timeline.note(Serving::First, Some("cable".to_owned()), at(100_500));
        let words: Vec<_> = told(&timeline, 101_000).into_iter().map(|s| s.2).collect();
        assert_eq!(words, ["unknown", "first", "unknown", "first"]);
    }

    #[test]
    fn minutes_go_by_and_missed_ones_are_empty() {
        let id = UplinkId::new(1).unwrap();
        let mut timeline = Timeline::new(at(0));
        let tally = Tally { answered: 3, lost: 1, timed: 2, sum: Duration::from_millis(30) };
        let tallies = |tally| [(id, tally)].into_iter().gather();
        timeline.look(id, Some(true));
        timeline.look(id, Some(false));
        timeline.look(id, Some(true));
        timeline.spend(id, 72);
        assert!(!timeline.minute_is_over(at(59)) && timeline.minute_is_over(at(60)));
        timeline.end_minute(&tallies(tally), at(61));
        // Three more minutes without a look.
        timeline.end_minute(&tallies(Tally::default()), at(245));
        let strip = timeline.strip(id, tally);
        assert_eq!(strip.len(), MINUTES);
        let first = strip.iter().position(|minute| *minute != Minute::default()).unwrap();
        let seen = Minute {
            rtt: Some(Rtt(Duration::from_millis(15))),
            loss: Some(LossPercent(25.0)),
            up: Some(false),
            bytes: 72,
        };
        assert_eq!((first, strip[first]), (MINUTES - 5, seen));
        assert_eq!(strip[MINUTES - 1].rtt, seen.rtt, "the running minute");
        for n in 5..200 {
            timeline.end_minute(&tallies(tally), at(n * 60));
        }
        assert_eq!(timeline.strips[&id].past.len(), MINUTES);
        timeline.end_minute(&BTreeMap::new(), at(12_060));
        assert!(timeline.strips.is_empty(), "an uplink that is no more");
    }
}
