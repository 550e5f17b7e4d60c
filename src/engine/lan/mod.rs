//! What in the LAN follows the uplinks: whose IPv6 prefix is whose, what is told of it, where the page is.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

pub(super) mod deprecation;
pub mod listen;
pub(super) mod prefixes;

/// What in the LAN follows the uplinks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Lan {
    pub(super) prefixes: prefixes::Prefixes,
    pub(super) announcing: deprecation::Announcing,
    /// Where the page is to be found, as last said.
    pub(super) page: BTreeSet<listen::Place>,
}
