//! When a line was really lost, and when it was really back, as well as that can be known: between the last
//! question that was answered and the first that was not lies the moment, and its middle is off by half of that
//! at most. For people only; nothing is decided by it.

use super::asking::Use;
use super::{DEAD_EVERY, Line};
use crate::engine::health::{Condition, Health, Transition};
use crate::time::Instant;

impl Line {
    /// When the line was lost that was found dead just now.
    #[must_use]
    pub fn died_at(&self, condition: Condition, now: Instant) -> Instant {
        match (self.last_answer(), self.asked_since) {
            _ if condition.is_hard() => now,
            (Some(answer), Some(asked)) => middle(answer, asked).min(now),
            (None, asked) => asked.unwrap_or(now),
            (Some(answer), None) => answer,
        }
    }

    /// When the line was back that answers, or is connected, again just now.
    #[must_use]
    pub fn back_at(&self, turned: Transition, now: Instant) -> Instant {
        let Health::Down { since, condition } = turned.from else { return now };
        if condition.is_hard() {
            return now;
        }
        // Not the one that was answered, nor another that was sent with it.
        let earlier = now - DEAD_EVERY / 2;
        let questions = self.pending.values().filter(|asked| asked.purpose != Use::Gateway);
        let before = questions.map(|asked| asked.sent).filter(|sent| *sent <= earlier).max();
        let unanswered = before.unwrap_or(since).max(now - DEAD_EVERY);
        middle(unanswered, now)
    }

    /// When names stopped resolving.
    #[must_use]
    pub fn unnamed_at(&self, now: Instant) -> Instant {
        match self.proof.last_named() {
            (Some(named), Some(unnamed)) => middle(named, unnamed),
            (_, unnamed) => unnamed.unwrap_or(now),
        }
    }

    /// When pages stopped being those that were asked for.
    #[must_use]
    pub fn unpaged_at(&self, now: Instant) -> Instant {
        // Whoever is shown a page to sign in to gets nothing else.
        let passed = self.proof.passed();
        if let Some(since) = self.traffic.one_sided_since(now).filter(|at| Some(*at) > passed) {
            return since;
        }
        match (passed, self.proof.pages_asked()) {
            (Some(passed), Some(asked)) => middle(passed, asked),
            (_, asked) => asked.unwrap_or(now),
        }
    }

    /// When names resolved and pages loaded again that did not.
    #[must_use]
    pub fn well_at(&self, now: Instant) -> Instant {
        let asked = self.proof.pages_asked().max(self.proof.names_asked()).unwrap_or(now);
        self.proof.last_unwell().map_or(asked, |unwell| middle(unwell, asked))
    }
}

fn middle(from: Instant, to: Instant) -> Instant {
    from + to.since(from) / 2
}
