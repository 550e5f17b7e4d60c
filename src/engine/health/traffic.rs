//! Return traffic as evidence: packets that came back from beyond the uplink are life.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::kernel::egress::Egress;
use crate::engine::probe::{ProbeRequest, Question};
use crate::time::Instant;

/// Packets of one line so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packets {
    pub inward: u64,
    pub outward: u64,
}

/// The agent's own packets on a line, as far as the counters see them: echoes, handshakes, and questions for names.
/// Pages are asked for so seldom that they may pass for traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Own {
    packets: Packets,
    /// Answers among them that are the modem's own.
    doubted: u64,
}

impl Own {
    /// A target is asked.
    pub const fn asked(&mut self) {
        self.packets.outward += 1;
    }

    /// A target has answered an echo.
    pub const fn answered(&mut self) {
        self.packets.inward += 1;
    }

    /// The last answer was the modem's own, and proves nothing.
    pub const fn doubted(&mut self) {
        self.doubted += 1;
    }

    /// A handshake is complete, and was reset. Its answer came from a port whose packets are not counted.
    pub const fn shook_hands(&mut self) {
        self.packets.outward += 2;
    }

    /// Takes note of those among these requests that ask for names; answers to those are not counted. The modem's
    /// own resolver is not beyond it.
    pub fn asked_names(&mut self, requests: &[ProbeRequest], egress: Option<&Egress>) {
        let modem = egress.and_then(|egress| egress.gateway);
        for request in requests {
            if let Question::Dns { resolver, .. } = &request.question
                && Some(*resolver) != modem
            {
                self.packets.outward += 1;
            }
        }
    }
}

/// What the evidence counters of one line said so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    seen: Option<Packets>,
    own: Own,
    polled: Option<Instant>,
    moved: Option<Instant>,
    asked: Option<Instant>,
    /// The last two looks between which something came back.
    #[serde(default)]
    came: Option<(Instant, Instant)>,
    /// Own packets that the counters had not seen at the last look: they are sent by others of our threads.
    #[serde(default)]
    ahead: u64,
    /// What came at the last look, if it may turn out to be our own.
    #[serde(default)]
    unsure: Option<Unsure>,
}

/// The counters see an answer to us before the loop hears of it, so for one look it passes for others' traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Unsure {
    packets: u64,
    /// What was known before.
    moved: Option<Instant>,
    asked: Option<Instant>,
}

/// What one look at the counters showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    Life,
    /// Something went out; nothing came back since that instant.
    OneSided(Instant),
    Quiet,
}

/// Traffic that stopped for so long has ended; the counters need no close watch.
const BUSY: Duration = Duration::from_secs(2);

impl Traffic {
    /// Takes the counters as they are now, and how many of those packets were the agent's own. A counter
    /// that went back was made anew: no evidence.
    ///
    /// Own packets prove life, but they are nobody's traffic: a line that nobody uses would be asked
    /// ever so often because it is asked, and one whose portal answers echoes would look fine.
    pub fn look(&mut self, seen: Packets, own: &Own, now: Instant) -> Evidence {
        let before = self.polled.replace(now).unwrap_or(now);
        let old = self.seen.replace(seen).unwrap_or(seen);
        let (own_old, doubted_old) = (self.own.packets, self.own.doubted);
        self.own = *own;
        let own = own.packets;
        let grown = |new: u64, old: u64, own: u64, own_old: u64| {
            new.saturating_sub(old).saturating_sub(own.saturating_sub(own_old))
        };
        let heard = own.inward.saturating_sub(own_old.inward);
        let arrived = seen.inward.saturating_sub(old.inward);
        if let Some(unsure) = self.unsure.take()
            && heard.saturating_sub(arrived) >= unsure.packets
        {
            (self.moved, self.asked) = (unsure.moved, unsure.asked);
        }
        let others = arrived.saturating_sub(heard);
        let came = others > 0;
        if came {
            let (moved, asked) = (self.moved, self.asked);
            self.unsure = Some(Unsure { packets: others, moved, asked });
        }
        let left = seen.outward.saturating_sub(old.outward);
        let sent = own.outward.saturating_sub(own_old.outward);
        let went = left > sent + self.ahead;
        self.ahead = sent.saturating_sub(left.saturating_sub(self.ahead));
        // What was asked before a rest has been given up; what is asked now begins anew.
        if !self.is_busy(now) {
            self.asked = None;
        }
        if came || went {
            self.moved = Some(now);
        }
        if came {
            self.asked = None;
        } else if went {
            self.asked.get_or_insert(before);
        }
        if grown(seen.inward, old.inward, self.own.doubted, doubted_old) > 0 {
            self.came = Some((before, now));
            return Evidence::Life;
        }
        self.asked.map_or(Evidence::Quiet, Evidence::OneSided)
    }

    /// When packets of others last moved.
    #[must_use]
    pub const fn moved(&self) -> Option<Instant> {
        self.moved
    }

    /// Between which two looks something last came back.
    #[must_use]
    pub const fn came(&self) -> Option<(Instant, Instant)> {
        self.came
    }

    /// Takes counters that have not moved while no question is open: no evidence, and cheap.
    /// Returns whether that was so.
    pub fn is_quiet(&mut self, seen: Packets, now: Instant) -> bool {
        let quiet = self.seen == Some(seen) && self.asked.is_none() && self.unsure.is_none();
        if quiet {
            self.polled = Some(now);
        }
        quiet
    }

    /// Whether packets moved lately.
    #[must_use]
    pub fn is_busy(&self, now: Instant) -> bool {
        self.moved.is_some_and(|moved| now.since(moved) < BUSY)
    }

    /// Since when traffic goes out and nothing comes back; forgotten when the traffic ends.
    #[must_use]
    pub fn one_sided_since(&self, now: Instant) -> Option<Instant> {
        self.asked.filter(|_| self.is_busy(now))
    }

    /// Forgets what was asked: a verdict or a new link has dealt with it.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_growth_is_evidence() {
        let at = |ms: u64| Instant::from_micros(ms * 1000);
        let mut t = Traffic::default();
        let look = |t: &mut Traffic, inward, outward, ms| {
            t.look(Packets { inward, outward }, &Own::default(), at(ms))
        };
        let first = look(&mut t, 100, 100, 0);
        assert_eq!(first, Evidence::Quiet, "the first look shows no growth");
        assert_eq!(look(&mut t, 101, 101, 100), Evidence::Life);
        assert_eq!(look(&mut t, 101, 105, 200), Evidence::OneSided(at(100)));
        let again = look(&mut t, 101, 109, 300);
        assert_eq!(again, Evidence::OneSided(at(100)), "since the first");
        assert_eq!(t.one_sided_since(at(350)), Some(at(100)));
        assert_eq!(look(&mut t, 102, 110, 400), Evidence::Life);
        assert_eq!(t.one_sided_since(at(450)), None);
        assert_eq!(look(&mut t, 0, 0, 500), Evidence::Quiet, "a table made anew");
        assert!(!t.is_busy(at(2400)));
    }

    #[test]
    fn what_nobody_answered_before_a_rest_is_not_asked_since_then() {
        let at = |ms: u64| Instant::from_micros(ms * 1000);
        let mut t = Traffic::default();
        let mut look = |inward, outward, ms| {
            let evidence = t.look(Packets { inward, outward }, &Own::default(), at(ms));
            (evidence, t.one_sided_since(at(ms)))
        };
        look(5, 5, 0);
        let since = Evidence::OneSided(at(0));
        assert_eq!(look(5, 6, 1000), (since, Some(at(0))));
        assert_eq!(look(5, 7, 2900), (since, Some(at(0))), "control: it goes on");
        assert_eq!(look(5, 7, 4800), (since, Some(at(0))));
        assert_eq!(look(5, 7, 5000), (Evidence::Quiet, None), "the traffic has ended");
        let since = Evidence::OneSided(at(60_000));
        assert_eq!(look(5, 7, 60_000), (Evidence::Quiet, None));
        assert_eq!(look(5, 8, 60_100), (since, Some(at(60_000))), "others begin");
    }

    #[test]
    fn what_the_counters_see_early_or_late_is_still_our_own() {
        let at = |ms: u64| Instant::from_micros(ms * 1000);
        let own = |inward, outward| Own { packets: Packets { inward, outward }, ..Own::default() };
        let seen = |inward, outward| Packets { inward, outward };
        let mut t = Traffic::default();
        t.look(seen(5, 5), &own(0, 0), at(0));
        // Asked, but not yet on the wire.
        t.look(seen(5, 5), &own(0, 1), at(100));
        t.look(seen(5, 6), &own(0, 1), at(200));
        assert!(!t.is_busy(at(200)));
        // Its answer is on the wire, but not yet with the loop.
        assert_eq!(t.look(seen(6, 6), &own(0, 1), at(300)), Evidence::Life);
        assert!(!t.is_quiet(seen(6, 6), at(400)), "it is looked at once more");
        t.look(seen(6, 6), &own(1, 1), at(400));
        assert!(!t.is_busy(at(400)));
        // Control: others' packets stay others'.
        t.look(seen(7, 7), &own(1, 1), at(500));
        t.look(seen(7, 7), &own(1, 1), at(600));
        assert!(t.is_busy(at(600)));
    }

    #[test]
    fn own_echoes_are_life_but_no_traffic() {
        let at = |ms: u64| Instant::from_micros(ms * 1000);
        let both = |n| Packets { inward: n, outward: n };
        let own = |n| Own { packets: both(n), ..Own::default() };
        let mut t = Traffic::default();
        t.look(both(5), &own(2), at(0));
        assert_eq!(t.look(both(7), &own(4), at(100)), Evidence::Life);
        assert!(!t.is_busy(at(100)));
        let people = Packets { inward: 8, outward: 12 };
        assert_eq!(t.look(people, &own(5), at(200)), Evidence::Life);
        assert_eq!(t.one_sided_since(at(200)), Some(at(100)), "they get no answer");
    }
}
