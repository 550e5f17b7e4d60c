//! A switch, step by step, after it has been decided: flows that must move, and what is left over.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::event::SwitchKind;
use crate::time::Instant;
use crate::units::UplinkId;

/// A switch under way in one family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Switch {
    /// The uplink that was left.
    pub from: Option<UplinkId>,
    /// The uplink that carries the traffic now.
    pub to: UplinkId,
    /// What kind of move.
    pub kind: SwitchKind,
    /// When it was decided.
    pub at: Instant,
    /// The wish that carries it out.
    pub generation: u64,
    /// When the kernel had carried it out.
    pub applied: Option<Instant>,
    /// When something last came back by the old way.
    pub last_answer: Option<Instant>,
    /// What becomes of the old flows.
    pub flush: Flush,
    /// Looks at what is left over, still to come.
    pub looks: Vec<Duration>,
    /// A look that is under way.
    pub looking: Option<Duration>,
    /// How long people felt it, once known.
    pub felt: Option<Duration>,
}

/// What becomes of the flows on an uplink that was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Flush {
    /// They stay: the old uplink lives.
    Never,
    /// They are dead beyond doubt: at once, as soon as the route has moved.
    WhenApplied,
    /// They are dead if the old uplink stays silent until then: a wrong verdict costs no flow.
    IfSilentUntil(Instant),
    /// Done.
    Done,
}

/// Looks after a switch.
pub(super) const LOOKS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];
/// A first answer that takes longer than that is not the switch's doing.
pub(super) const FEEL_FOR: Duration = Duration::from_secs(30);

impl Switch {
    /// When something is next due.
    #[must_use]
    pub(super) fn deadline(&self) -> Option<Instant> {
        let look = self.looks.first().map(|after| self.at + *after);
        match self.flush {
            Flush::IfSilentUntil(at) if self.applied.is_some() => {
                Some(look.map_or(at, |l| l.min(at)))
            }
            Flush::Never | Flush::WhenApplied | Flush::IfSilentUntil(_) | Flush::Done => look,
        }
    }

    /// Whether the first answer by the new way is still awaited.
    #[must_use]
    pub(super) fn is_felt(&self, now: Instant) -> bool {
        self.felt.is_none() && now.since(self.at) < FEEL_FOR
    }
}
