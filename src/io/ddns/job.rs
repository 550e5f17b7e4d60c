//! A request with all that it needs, and how it can fail.

use std::net::IpAddr;

use crate::config::DdnsConfig;
use crate::engine::names::ddns::request::{NameFailure, NameRequest, Record, Task, Then};
use crate::io::client::{Addresses, Way};
use crate::units::{Family, PerFamily};

/// A request with all that it needs.
pub(super) struct Job<'a> {
    pub(super) request: &'a NameRequest,
    pub(super) config: &'a DdnsConfig,
    pub(super) addresses: &'a Addresses,
    pub(super) way: Way,
}

impl Job<'_> {
    /// Whether a name server's answer is what is asked for.
    pub(super) fn is_met(&self, says: &PerFamily<Vec<IpAddr>>) -> bool {
        Family::BOTH.iter().all(|family| match self.request.records.get(*family) {
            Record::Keep => true,
            Record::None => says.get(*family).is_empty(),
            Record::Is(ip) => says.get(*family).as_slice() == [*ip],
        })
    }

    /// Whether it is only looked.
    pub(super) fn only_looks(&self) -> bool {
        self.request.task == Task::Look
    }
}

/// A failure that the next try may not have; the server was told nothing.
pub(super) fn passing(why: String) -> NameFailure {
    NameFailure { why, then: Then::Retry, sent: false }
}

/// The same where the server may have been told.
pub(super) fn unclear(why: String) -> NameFailure {
    NameFailure { sent: true, ..passing(why) }
}
