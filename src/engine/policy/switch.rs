//! A switch under way in one family.

use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;

use crate::time::Instant;
use crate::units::UplinkId;

/// A switch under way in one family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Switch {
    /// The uplink that carries the traffic now.
    pub to: UplinkId,
    /// When it was decided.
    pub at: Instant,
    /// The wish that carries it out.
    pub generation: u64,
    /// When the kernel had carried it out.
    pub applied: Option<Instant>,
    /// When something last came back by the old way.
    pub last_answer: Option<Instant>,
    /// How long people felt it, once known.
    pub felt: Option<Duration>,
}

/// One outage makes both families leave; it is one departure.
pub(in crate::engine) const ONE_DEPARTURE: Duration = Duration::from_secs(5);
/// A first answer that takes longer than that is not the switch's doing.
pub(in crate::engine) const FEEL_FOR: Duration = Duration::from_secs(30);

impl Switch {
    /// Whether the first answer by the new way is still awaited.
    #[must_use]
    pub(in crate::engine) fn is_felt(&self, now: Instant) -> bool {
        self.felt.is_none() && now.since(self.at) < FEEL_FOR
    }
}
