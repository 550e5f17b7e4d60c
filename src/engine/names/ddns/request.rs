//! What is asked of the side that speaks to servers, and what comes of it.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::probe::Path;
use crate::units::PerFamily;

/// What a name should say in one IP version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// Whatever it says: nothing better is known.
    #[default]
    Keep,
    /// Nothing: there is no address by which anybody would get in.
    None,
    Is(IpAddr),
}

/// What is asked of the side that speaks to servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Have the name say this, unless it does already.
    Write,
    /// Only look what it says.
    Look,
}

/// A request for one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameRequest {
    pub number: u64,
    pub name: String,
    pub task: Task,
    pub records: PerFamily<Record>,
    /// By which uplinks it goes, one for each IP version that it has.
    pub paths: Vec<Path>,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameReply {
    pub number: u64,
    pub name: String,
    pub result: Result<Seen, NameFailure>,
}

/// What was done, and what the name server says now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    pub wrote: bool,
    /// What the one that is told says itself; `None`: it does not say.
    pub says: Option<PerFamily<Vec<IpAddr>>>,
    /// Where it does not: what the zone's name server says, if that was asked.
    pub others_say: Option<PerFamily<Vec<IpAddr>>>,
}

/// Why a request came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameFailure {
    /// In words, without anything secret.
    pub why: String,
    pub then: Then,
    /// The server may have been told all the same.
    pub sent: bool,
}

/// When it is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    Retry,
    /// Not before that: it was refused, or the server asked for it.
    RetryAfter(Duration),
    /// Not before the configuration changes.
    Stay,
}
