//! Flows that began while our table was not there, with the client's own address: the kernel gives
//! a flow its address translation once, with its first packet, so they would be held back for as
//! long as somebody keeps asking. They are flushed, and begin anew with the next packet.

use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;

use crate::time::Instant;

/// What is known of packets with a wrong source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::engine) struct UnNatedFlows {
    /// How many there had been when flows were last flushed.
    pub(in crate::engine) seen: u64,
    pub(in crate::engine) flushed_at: Option<Instant>,
    /// The least time until the next flush.
    pub(in crate::engine) pause: Duration,
}

/// A flush walks through all connections, so it is not made for every packet …
pub(in crate::engine) const PAUSE: Duration = Duration::from_millis(200);
/// … and less and less often if it does not help: somebody sends forged packets.
pub(in crate::engine) const PAUSE_MOST: Duration = Duration::from_secs(60);
/// Without such packets for so long after a pause, the flush has helped.
pub(in crate::engine) const REST: Duration = Duration::from_secs(2);

impl UnNatedFlows {
    /// Whether flows should be flushed now that so many packets were held back in all.
    pub(in crate::engine) fn look(&mut self, packets: u64, now: Instant) -> bool {
        if packets <= self.seen {
            // The counter begins anew with the table.
            self.seen = packets;
            return false;
        }
        let since = self.flushed_at.map(|at| now.since(at));
        if since.is_some_and(|since| since < self.pause) {
            return false;
        }
        let quiet = since.is_none_or(|since| since >= self.pause * 2 + REST);
        self.pause = if quiet { PAUSE } else { (self.pause * 2).min(PAUSE_MOST) };
        self.seen = packets;
        self.flushed_at = Some(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strays_are_flushed_at_once_and_ever_less_often_if_it_does_not_help() {
        let mut un_nated = UnNatedFlows::default();
        assert!(!un_nated.look(0, Instant::ZERO));
        // A packet every 100 ms for ten minutes.
        let at = |n: u32| Instant::ZERO + Duration::from_millis(100) * n;
        let flushes: Vec<u32> =
            (1..6000).filter(|n| un_nated.look(u64::from(*n), at(*n))).collect();
        assert_eq!(flushes.first(), Some(&1));
        assert!((10..25).contains(&flushes.len()), "{flushes:?}");
        // Somebody deletes the table every fifteen seconds, which is helped each time.
        let mut often = UnNatedFlows::default();
        assert!((0..20).all(|n| often.look(u64::from(n) + 1, at(n * 150))));
        // Nothing for some minutes, then a new table.
        assert!(!un_nated.look(0, at(9000)));
        assert!(un_nated.look(1, at(9001)));
        assert!(!un_nated.look(1, at(9050)), "nothing new");
        assert!(un_nated.look(2, at(9051)), "it helped, and there is one more");
    }
}
