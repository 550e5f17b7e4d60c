//! Names: the resolvers that the box asks, and its own names that follow the traffic.

use serde::{Deserialize, Serialize};

pub mod ddns;
pub mod resolvers;

/// Resolvers as they are known, and as they were last told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Names {
    /// As the system names them.
    pub(super) named: resolvers::Named,
    /// Those that the box was last told to ask.
    pub(super) resolvers: Option<resolvers::Resolvers>,
    /// Names of the box that follow the traffic.
    #[serde(default)]
    pub(super) followers: ddns::all::Followers,
    /// As whom the Internet sees uplinks that are behind another router.
    #[serde(default)]
    pub(super) outsides: ddns::outside::Outsides,
}
