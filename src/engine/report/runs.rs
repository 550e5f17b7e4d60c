//! When the agent ran, and why it did not.

use super::placed::Placed;
use super::span::{Ms, Span};

/// The agent ran from then until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) span: Span,
    pub(super) boot: usize,
    /// It said that it stops.
    pub(super) said: bool,
}

/// Why the agent did not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// It was stopped, or ended; the traffic went on as it was.
    Agent,
    /// The box was restarted in order.
    Restart,
    /// The box lost its power, or crashed.
    Power,
}

impl Why {
    /// The word in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Restart => "restart",
            Self::Power => "power",
        }
    }
}

/// A stretch in which the agent did not run. One that begins with a power cut may have begun later: it begins where
/// the agent was last known to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Away {
    pub span: Span,
    pub why: Why,
}

/// All runs, oldest first. The last one goes on until `now`, if the agent runs.
pub(super) fn runs(placed: &[Placed<'_>], now: Option<Ms>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut open: Option<Run> = None;
    for one in placed {
        let code = one.entry.map_or("", |entry| entry.code.as_str());
        let begins = code == "started" || open.is_some_and(|run| run.boot != one.boot);
        if begins && let Some(mut run) = open.take() {
            if run.boot == one.boot {
                // Whoever is killed is started again at once, and until then it ran.
                run.span.to = one.at;
            }
            runs.push(run);
        }
        // What is told behind the end belongs to it.
        let last = runs.last().filter(|run| run.said && run.boot == one.boot);
        if open.is_none() && code != "started" && last.is_some() {
            continue;
        }
        let begun = Run { span: Span { from: one.at, to: one.at }, boot: one.boot, said: false };
        let mut run = open.take().unwrap_or(begun);
        run.span.to = run.span.to.max(one.at);
        if code == "stopped" {
            run.said = true;
            runs.push(run);
        } else {
            open = Some(run);
        }
    }
    if let Some(mut run) = open {
        run.span.to = run.span.to.max(now.unwrap_or(0));
        runs.push(run);
    }
    runs
}

/// The stretches between.
pub(super) fn away(runs: &[Run]) -> Vec<Away> {
    let between = |pair: &[Run]| {
        let [before, after] = pair else { return None };
        let span = Span { from: before.span.to, to: after.span.from.max(before.span.to) };
        let why = match (before.boot == after.boot, before.said) {
            (true, _) => Why::Agent,
            (false, true) => Why::Restart,
            (false, false) => Why::Power,
        };
        (span.ms() > 0).then_some(Away { span, why })
    };
    runs.windows(2).filter_map(between).collect()
}
