//! The choice as it stands: which uplink carries each family, and what it waits for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::select::Why;
use crate::engine::events::causes::{Cause, Scope};
use crate::time::Instant;
use crate::units::{PerFamily, UplinkId};

/// What has been chosen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::engine) struct Choice {
    pub(in crate::engine) active: PerFamily<Active>,
    /// Switches in all, over restarts.
    pub(in crate::engine) switch_count: u64,
    /// A person put an uplink first and it has not been left since.
    pub(in crate::engine) manual_fresh: bool,
    /// Something has changed since it was last decided.
    pub(in crate::engine) undecided: bool,
}

/// The uplink that carries a family's traffic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Active {
    pub(in crate::engine) uplink: Option<UplinkId>,
    pub(in crate::engine) since: Option<Instant>,
    /// Taken at the start without proof, until then.
    pub(in crate::engine) provisional_until: Option<Instant>,
    /// It was taken without proof, and until then nobody else takes its place for being proven first.
    pub(in crate::engine) proving_until: Option<Instant>,
    /// It is dead and no other is alive.
    pub(in crate::engine) all_down: bool,
    /// And that has been said: of this IP version, or as the end of all.
    pub(in crate::engine) told_all_down: Option<Scope>,
    /// A person ended what kept traffic away from another uplink; when, and why traffic moves if that
    /// is all that it takes.
    pub(in crate::engine) let_go: Option<(Instant, Cause)>,
    /// Why each uplink carries the traffic, or does not, as last decided.
    pub(in crate::engine) whys: BTreeMap<UplinkId, Why>,
    /// It is degraded: when it is next measured beside the spares.
    pub(in crate::engine) sample_at: Option<Instant>,
}

impl Active {
    /// The uplink that takes over when its hold is over, and when that is.
    pub(in crate::engine) fn waiting(&self) -> Option<(Instant, UplinkId)> {
        self.whys.iter().find_map(|(id, why)| {
            let Why::Holding(until) = why else { return None };
            Some((*until, *id))
        })
    }
}
