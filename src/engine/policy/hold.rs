//! The hold: how long an uplink must have been good before traffic climbs back to it.
//!
//! It doubles with every departure of the last hour, so that a line that flaps is visited less and
//! less often. It holds back failback only, never failover.

use std::time::Duration;

use crate::config::FailbackConfig;
use crate::engine::uplink::DEPARTURES_KEPT;
use crate::time::Instant;

/// Departures older than this are forgiven.
pub const MEMORY: Duration = DEPARTURES_KEPT;

/// The hold of an uplink that was left at these times: hold · 2^(departures − 1), at most `hold_max`.
#[must_use]
pub fn hold(config: FailbackConfig, departures: &[Instant], now: Instant) -> Duration {
    let recent = departures.iter().filter(|left| now.since(**left) < MEMORY).count();
    let doublings = u32::try_from(recent.saturating_sub(1)).unwrap_or(u32::MAX).min(20);
    config.hold.saturating_mul(1 << doublings).min(config.hold_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hold_doubles_with_each_departure_and_forgives_in_an_hour() {
        let config =
            FailbackConfig { hold: Duration::from_secs(60), hold_max: Duration::from_secs(1800) };
        let at = |s: u64| Instant::from_micros(s * 1_000_000);
        let left: Vec<Instant> = (1..=9).map(|n| at(n * 10)).collect();
        let holds: Vec<u64> =
            (0..=9).map(|n| hold(config, &left[..n], at(100)).as_secs()).collect();
        assert_eq!(holds, [60, 60, 120, 240, 480, 960, 1800, 1800, 1800, 1800]);
        assert_eq!(hold(config, &left, at(4000)).as_secs(), 60);
    }
}
