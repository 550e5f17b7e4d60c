//! The evidence counters. They are read in the loop: the kernel lists them without waiting for whoever changes its
//! tables, and a box at rest need not wake a thread for them each second.

use std::collections::BTreeMap;

use crate::engine::dataplane::ruleset;
use crate::engine::input::{Counters, Input};
use crate::io::netlink::nft::Count;
use crate::units::{Family, IfIndex, NFT_TABLE, PerFamily, UplinkId};

use super::Agent;

impl Agent {
    /// Reads the counters; those of interfaces, for which the kernel may let others finish first, by the thread.
    pub(super) fn read_counters(&mut self, bytes: Vec<IfIndex>) {
        match (&mut self.evidence, &self.reconciler) {
            (Some(nft), _) if bytes.is_empty() => {
                let found = nft.counters(NFT_TABLE);
                self.pending.push_back(Input::Counters(counters(found)));
            }
            (_, Some(reconciler)) => reconciler.read_counters(bytes),
            (_, None) => {}
        }
    }
}

/// What the counters of our table say.
pub(super) fn counters<E>(found: Result<BTreeMap<String, Count>, E>) -> Counters {
    let mut counters = Counters::default();
    let Ok(named) = found else {
        return Counters { absent: true, ..counters };
    };
    let packets = |name: String| named.get(&name).map(|count| count.packets);
    counters.un_nated = packets(ruleset::WRONG_SOURCE.to_owned()).unwrap_or(0);
    for id in (1..=UplinkId::MAX).filter_map(UplinkId::new) {
        let of = |name: &dyn Fn(UplinkId, Family) -> String| {
            let v4 = packets(name(id, Family::V4));
            let v6 = packets(name(id, Family::V6));
            Some(PerFamily { v4: v4?, v6: v6? })
        };
        let (inward, outward) = (of(&ruleset::inward), of(&ruleset::outward));
        counters.inward.extend(inward.map(|count| (id, count)));
        counters.outward.extend(outward.map(|count| (id, count)));
    }
    counters
}
