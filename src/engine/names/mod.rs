//! Names: the resolvers that the box asks.

use serde::{Deserialize, Serialize};

pub mod resolvers;

/// Resolvers as they are known, and as they were last told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Names {
    /// As the system names them.
    pub(super) named: resolvers::Named,
    /// Those that the box was last told to ask.
    pub(super) resolvers: Option<resolvers::Resolvers>,
}
