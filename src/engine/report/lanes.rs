//! How each uplink stood over a stretch of time: it carried the traffic, was ready, or was not.

use std::collections::BTreeMap;

use super::placed::Placed;
use super::runs::Run;
use super::span::{Ms, Span, args};

/// Stretches by the uplinks' names.
pub(super) type Stretches = BTreeMap<String, Vec<Span>>;

/// What people and the engine made of the uplinks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Uses {
    /// When each was in use.
    pub(super) carried: Stretches,
    /// When each was paused.
    pub(super) paused: Stretches,
}

/// When each uplink was in use, by what moved the traffic, and when it was paused.
pub(super) fn uses(placed: &[Placed<'_>], runs: &[Run]) -> Uses {
    let mut walk = Walk::default();
    let mut boot = None;
    for one in placed {
        let Some(entry) = one.entry else { continue };
        let before = runs.iter().rev().find(|run| run.span.to <= one.at);
        let ended = before.map_or(one.at, |run| run.span.to);
        if entry.code == "started" || boot.is_some_and(|boot| boot != one.boot) {
            walk.run_ends(ended);
        }
        if boot.replace(one.boot).is_some_and(|boot| boot != one.boot) {
            // A pause outlives the agent, and no reboot.
            walk.boot_ends(ended);
        }
        let args = args(entry);
        let deed = args.get("deed").and_then(|value| value.as_str());
        match (entry.code.as_str(), deed, entry.uplink.as_ref()) {
            ("switched" | "followed" | "back_online", _, Some(name)) => {
                walk.moves(entry.family.as_deref(), name, one.at);
            }
            ("by_hand", Some("pause"), Some(name)) => {
                walk.pausing.entry(name.clone()).or_insert(one.at);
            }
            ("by_hand", Some("resume" | "pause_over"), Some(name)) => {
                if let Some(from) = walk.pausing.remove(name) {
                    let span = Span { from, to: one.at };
                    walk.uses.paused.entry(name.clone()).or_default().push(span);
                }
            }
            _ => {}
        }
    }
    let end = runs.last().map_or(0, |run| run.span.to);
    walk.run_ends(end);
    walk.boot_ends(end);
    walk.uses
}

#[derive(Default)]
struct Walk {
    /// Which uplink an IP version is on, and since when.
    on: BTreeMap<&'static str, (String, Ms)>,
    pausing: BTreeMap<String, Ms>,
    uses: Uses,
}

impl Walk {
    /// Traffic of one IP version moves, or all of it.
    fn moves(&mut self, family: Option<&str>, to: &str, at: Ms) {
        let families: &[&'static str] = match family {
            Some("v4") => &["v4"],
            Some("v6") => &["v6"],
            _ => &["v4", "v6"],
        };
        for family in families {
            if self.on.get(family).is_some_and(|(name, _)| name == to) {
                continue;
            }
            if let Some((name, from)) = self.on.insert(family, (to.to_owned(), at)) {
                self.uses.carried.entry(name).or_default().push(Span { from, to: at });
            }
        }
    }

    fn run_ends(&mut self, at: Ms) {
        for (name, from) in std::mem::take(&mut self.on).into_values() {
            self.uses.carried.entry(name).or_default().push(Span { from, to: at.max(from) });
        }
    }

    fn boot_ends(&mut self, at: Ms) {
        for (name, from) in std::mem::take(&mut self.pausing) {
            self.uses.paused.entry(name).or_default().push(Span { from, to: at.max(from) });
        }
    }
}

/// How an uplink, or the house, stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stood {
    /// The house had Internet.
    Works,
    /// It had none.
    Down,
    Carried,
    Ready,
    NotReady,
    /// The agent did not run.
    Unknown,
}

impl Stood {
    /// The word in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::Down => "none",
            Self::Carried => "carried",
            Self::Ready => "ready",
            Self::NotReady => "not_ready",
            Self::Unknown => "unknown",
        }
    }
}

/// A stretch in which it stood so.
pub type Stretch = (Span, Stood);

/// So many stretches of a lane are told, the newest.
const MOST: usize = 400;

/// What stands above what: the first list that has a moment says how it was then; `rest`: none has.
pub(super) fn laid(span: Span, layers: &[(&[Span], Stood)], rest: Stood) -> Vec<Stretch> {
    let all = layers.iter().flat_map(|(spans, _)| spans.iter());
    let ends = all.flat_map(|one| [one.from, one.to]);
    let inside = ends.filter(|at| (span.from + 1..span.to).contains(at));
    let mut cuts: Vec<Ms> = inside.chain([span.from, span.to]).collect();
    cuts.sort_unstable();
    cuts.dedup();
    let mut lane: Vec<Stretch> = Vec::new();
    for pair in cuts.windows(2) {
        let [from, to] = pair else { continue };
        let has = |spans: &[Span]| spans.iter().any(|one| one.from <= *from && *to <= one.to);
        let stood = layers.iter().find(|(spans, _)| has(spans)).map_or(rest, |(_, stood)| *stood);
        match lane.last_mut() {
            Some((last, before)) if *before == stood => last.to = *to,
            _ => lane.push((Span { from: *from, to: *to }, stood)),
        }
    }
    let surplus = lane.len().saturating_sub(MOST);
    lane.drain(..surplus);
    lane
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(from: Ms, to: Ms) -> Span {
        Span { from, to }
    }

    #[test]
    fn what_is_above_hides_what_is_below() {
        let (away, bad, carried) = ([span(0, 10)], [span(30, 40), span(5, 12)], [span(8, 35)]);
        let layers: [(&[Span], Stood); 3] =
            [(&away, Stood::Unknown), (&bad, Stood::NotReady), (&carried, Stood::Carried)];
        let lane = laid(span(2, 60), &layers, Stood::Ready);
        let told: Vec<_> =
            lane.iter().map(|(one, stood)| (one.from, one.to, stood.word())).collect();
        let expected = [
            (2, 10, "unknown"),
            (10, 12, "not_ready"),
            (12, 30, "carried"),
            (30, 40, "not_ready"),
            (40, 60, "ready"),
        ];
        assert_eq!(told, expected);
        assert_eq!(laid(span(0, 5), &[], Stood::Works), [(span(0, 5), Stood::Works)]);
    }

    #[test]
    fn a_move_of_one_ip_version_leaves_the_other_where_it_is() {
        let mut walk = Walk::default();
        walk.moves(None, "cable", 10);
        walk.moves(Some("v6"), "mifi", 20);
        walk.moves(None, "mifi", 30);
        walk.run_ends(40);
        assert_eq!(walk.uses.carried["cable"], [span(10, 20), span(10, 30)]);
        assert_eq!(walk.uses.carried["mifi"], [span(30, 40), span(20, 40)]);
    }
}
