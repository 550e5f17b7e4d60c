//! The evidence counters. They are read in the loop: the kernel lists them without waiting for whoever changes its
//! tables, and a box at rest need not wake a thread for them each second.

use super::Agent;
use super::reconciler::evidence;
use crate::engine::input::Input;
use crate::units::{IfIndex, NFT_TABLE};

impl Agent {
    /// Reads the counters; those of interfaces, for which the kernel may let others finish first, by the thread.
    pub(super) fn read_counters(&mut self, bytes: Vec<IfIndex>) {
        match (&mut self.evidence, &self.reconciler) {
            (Some(nft), _) if bytes.is_empty() => {
                let found = nft.counters(NFT_TABLE);
                self.pending.push_back(Input::Counters(evidence(found)));
            }
            (_, Some(reconciler)) => reconciler.read_counters(bytes),
            (_, None) => {}
        }
    }
}
