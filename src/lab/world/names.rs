//! A name server of the world: it takes what it is told, and remembers it all.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::engine::names::ddns::request::{NameReply, NameRequest, Record, Seen, Task};
use crate::time::Instant;
use crate::units::{Family, PerFamily};

/// What one name says.
pub type Says = PerFamily<Vec<IpAddr>>;

/// The name server.
#[derive(Clone, Debug, Default)]
pub struct NameServer {
    pub says: BTreeMap<String, Says>,
    /// Every write: when, which name, and what it says since.
    pub written: Vec<(Instant, String, Says)>,
}

impl NameServer {
    pub(super) fn ask(&mut self, request: &NameRequest, now: Instant) -> NameReply {
        let says = self.says.entry(request.name.clone()).or_default();
        let before = says.clone();
        if request.task == Task::Write {
            for family in Family::BOTH {
                match request.records.get(family) {
                    Record::Keep => {}
                    Record::None => says.get_mut(family).clear(),
                    Record::Is(ip) => *says.get_mut(family) = vec![*ip],
                }
            }
        }
        let wrote = *says != before;
        if wrote {
            self.written.push((now, request.name.clone(), says.clone()));
        }
        let seen = Seen { wrote, says: Some(says.clone()), others_say: None };
        NameReply { number: request.number, name: request.name.clone(), result: Ok(seen) }
    }
}
